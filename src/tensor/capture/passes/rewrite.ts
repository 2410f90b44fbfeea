/**
 * What passes have in common: steps by who writes and who reads, and how one expression takes in another.
 *
 * @module
 */
import type { View } from "../../../backends/contract.ts";
import {
  compare,
  type ComputeType,
  constant,
  type Expr,
  input,
  type Program,
  scalar,
} from "../../../expr/nodes.ts";
import { nodesOf } from "../../../expr/graph.ts";
import { program as makeProgram, substitute } from "../../../expr/program.ts";
import { readsOf, sameView, type Step, type Value, valueOf, writesOf } from "../value.ts";

/** Most pieces of memory that a fused kernel sees: what the least of GPUs binds at once, less one for numbers. */
const mostValues = 7;
/** Most nodes of a fused expression. */
const mostNodes = 96;

/** Steps in the making. Those that were merged away are null. */
export class Steps {
  /** The steps by place. */
  readonly list: (Step | null)[];
  readonly #kept: ReadonlySet<Value>;
  readonly #readers = new Map<Value, Set<number>>();
  readonly #writers = new Map<Value, Set<number>>();

  /** `kept` are values that the run gives back. */
  constructor(steps: readonly Step[], kept: ReadonlySet<Value>) {
    this.list = [...steps];
    this.#kept = kept;
    steps.forEach((step, i) => this.#enter(i, step));
  }

  /** Places of the steps that read `value`. */
  readers(value: Value): ReadonlySet<number> {
    return this.#readers.get(value) ?? none;
  }

  /** Places of the steps that write `value`. */
  writers(value: Value): ReadonlySet<number> {
    return this.#writers.get(value) ?? none;
  }

  /** Whether `value` is a temporary that only `by` reads. */
  isOnlyFor(value: Value, by: number): boolean {
    if (value.source.kind !== "temporary" || this.#kept.has(value)) return false;
    for (const reader of this.readers(value)) if (reader !== by) return false;
    return true;
  }

  /** Whether anybody but `by` wants what the step at `from` leaves in `value`. */
  isWantedBeside(value: Value, from: number, by: number): boolean {
    if (value.source.kind !== "temporary" || this.#kept.has(value)) return true;
    // Who read it before saw something else.
    for (const reader of this.readers(value)) if (reader > from && reader !== by) return true;
    return false;
  }

  /** The one step that ever writes the temporary `value`; null where there are more or none. */
  onlyWriter(value: Value): number | null {
    const writers = this.writers(value);
    if (value.source.kind !== "temporary" || writers.size !== 1) return null;
    return [...writers][0];
  }

  /** Whether a step between places `from` and `to` (neither of them) writes `value`. */
  isWrittenBetween(value: Value, from: number, to: number): boolean {
    for (const at of this.writers(value)) if (at > from && at < to) return true;
    return false;
  }

  /** Whether a step between places `from` and `to` (neither of them) reads or writes `value`. */
  isUsedBetween(value: Value, from: number, to: number): boolean {
    for (const at of this.readers(value)) if (at > from && at < to) return true;
    return this.isWrittenBetween(value, from, to);
  }

  /** Puts `step` (or nothing) at a place. */
  set(at: number, step: Step | null): void {
    const before = this.list[at];
    if (before) {
      for (const value of readsOf(before)) this.#readers.get(value)?.delete(at);
      for (const value of writesOf(before)) this.#writers.get(value)?.delete(at);
    }
    this.list[at] = step;
    if (step) this.#enter(at, step);
  }

  /** What is left. */
  steps(): Step[] {
    return this.list.filter((step) => step !== null);
  }

  #enter(at: number, step: Step): void {
    const add = (map: Map<Value, Set<number>>, value: Value): void => {
      const places = map.get(value);
      if (places) places.add(at);
      else map.set(value, new Set([at]));
    };
    for (const value of readsOf(step)) add(this.#readers, value);
    for (const value of writesOf(step)) add(this.#writers, value);
  }
}

const none: ReadonlySet<number> = new Set();

/** Whether what is stored as `dtype` is read back as it was computed in `type`. */
export function isExact(dtype: View["dtype"], type: ComputeType): boolean {
  return dtype === type || (dtype === "bool" && type !== "f64");
}

/** What reading a stored `expr` back gives: a bool is 1 or 0. */
export function stored(expr: Expr, dtype: View["dtype"]): Expr {
  if (dtype !== "bool" || isTruth(expr)) return expr;
  return compare("ne", expr, constant(0));
}

function isTruth(expr: Expr): boolean {
  return expr.kind === "compare" || (expr.kind === "unary" && expr.op === "not") ||
    (expr.kind === "const" && (expr.value === 0 || expr.value === 1));
}

/** Expressions over views and numbers, which grow by taking others in. */
export class Fusion {
  /** The operands. */
  readonly inputs: View[] = [];
  /** The numbers. */
  readonly scalars: number[] = [];

  /** The input that stands for `view`. */
  input(view: View): Expr {
    let at = this.inputs.findIndex((known) => sameView(known, view));
    if (at < 0) at = this.inputs.push(view) - 1;
    return input(at);
  }

  /** The outputs of `program` in terms of this; `instead` replaces inputs. */
  take(
    program: Program,
    inputs: readonly View[],
    scalars: readonly number[],
    instead: (view: View, index: number) => Expr | null,
  ): Expr[] {
    const leaves = inputs.map((view, i) => instead(view, i) ?? this.input(view));
    const numbers = scalars.map((x) => scalar(this.scalars.push(x) - 1));
    return program.outputs.map((expr) => substitute(expr, leaves, numbers));
  }

  /** The program of `outputs`; null where it would be too large. */
  program(type: ComputeType, outputs: readonly Expr[], written: readonly View[]): Program | null {
    const values = new Set([...this.inputs, ...written].map(valueOf));
    if (values.size > mostValues || nodesOf(outputs).length > mostNodes) return null;
    return makeProgram(type, outputs, { inputs: this.inputs.length, scalars: this.scalars.length });
  }
}

/** Whether an output lies over an input in any way but element by element. */
export function isTangled(inputs: readonly View[], outputs: readonly View[]): boolean {
  return outputs.some((output, i) =>
    inputs.some((view) => view.buffer === output.buffer && !sameView(view, output)) ||
    outputs.some((other, j) => j > i && other.buffer === output.buffer)
  );
}
