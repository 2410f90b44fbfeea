/**
 * Folds of rows and what is computed of them as one kernel over rows: a softmax or a norm that is written in primitives reads a
 * row once and keeps it in the first cache.
 *
 * A fold along the last axis is taken into the elementwise step (or the next fold) of the same rows that reads its result, and
 * so is what comes before it element by element. What others read too is stored besides.
 *
 * @module
 */
import { mostRowBuffers, rowKernels } from "../../../backends/kernels/rows.ts";
import type { Epilogue, View } from "../../../backends/contract.ts";
import { operations } from "../../../backends/operations.ts";
import { sizeOf, viewStrides } from "../../../core/shape.ts";
import { nodesOf } from "../../../expr/graph.ts";
import { type Expr, input, type Program, scalar } from "../../../expr/nodes.ts";
import { substitute } from "../../../expr/program.ts";
import {
  type FoldKind,
  foldLeaf,
  type RowFold,
  type RowPicks,
  type RowProgram,
  rowProgram,
} from "../../../expr/row_program.ts";
import { elementwiseOf, sameView, type Step, type Value, valueOf } from "../value.ts";
import { mayMove } from "./fuse.ts";
import { isTangled, Steps } from "./rewrite.ts";

/** Shorter rows cost more than they save; longer ones leave the cache. */
const leastLength = 16, mostLength = 16384;
const mostFolds = 4, mostNodes = 128, mostOperands = 24;

/** The rows that a step is about. */
export interface Extent {
  readonly rows: number;
  readonly length: number;
}

/** An output: where it goes, and what it is. */
export interface Output {
  readonly view: View;
  readonly value: Expr;
  readonly wide: boolean;
}

/** A step as folds and outputs over rows. */
export interface RowStep {
  readonly inputs: View[];
  readonly scalars: number[];
  readonly folds: RowFold[];
  readonly outputs: Output[];
}

/** Which row of a table is seen: an expression in i32 over `views`, which are [rows, 1]. */
export interface Pick {
  readonly position: Expr;
  readonly views: readonly View[];
}

/** What a row program reads: a view of the rows, or a table of which rows are picked. */
export interface RowInput extends View {
  readonly pick?: Pick;
}

/** Whether a view of rows has more than one element a row. */
export const isWide = (view: View): boolean => view.shape[1] > 1;

const alone: readonly View["dtype"][] = ["f32"];

/**
 * A view of one of `dtypes` as [rows, length], or as [rows, 1] where it is the same all along a row; null for others.
 */
export function asRows(view: View, { rows, length }: Extent, dtypes = alone): View | null {
  if (!dtypes.includes(view.dtype)) return null;
  const size = sizeOf(view.shape);
  if (size === rows) {
    const strides = viewStrides(view.shape, view.strides, [rows, 1]);
    return strides && { ...view, shape: [rows, 1], strides: [strides[0], 1] };
  }
  const strides = size === rows * length ? viewStrides(view.shape, view.strides, [rows, length]) : null;
  if (!strides) return null;
  if (strides[1] === 0) return { ...view, shape: [rows, 1], strides: [strides[0], 1] };
  return strides[1] === 1 ? { ...view, shape: [rows, length], strides } : null;
}

/** The rows that a step folds or was fused over; null for steps that do neither. */
function extentOf({ operation, args }: Step): Extent | null {
  let shape: readonly number[];
  if (operation.name === "rows") {
    shape = [...args[1] as View[], ...args[3] as View[]].find(isWide)!.shape;
  } else if (operation.name === "reduce") {
    const axes = args[4] as readonly number[];
    shape = (args[2] as View[])[0].shape;
    if (
      axes.length !== 1 || axes[0] !== shape.length - 1 || !["sum", "max", "min"].includes(args[0] as string)
    ) {
      return null;
    }
  } else return null;
  const length = shape[shape.length - 1], rows = sizeOf(shape) / length;
  // Whatever their number: what a row gives must not depend on how many there are beside it.
  return length >= leastLength && length <= mostLength && rows >= 1 ? { rows, length } : null;
}

/** Grows by taking in what a step reads. */
class Growing {
  readonly inputs: View[] = [];
  readonly scalars: number[] = [];
  readonly folds: RowFold[] = [];

  take(step: RowStep, instead: (view: View) => Expr | null): { folds: number; of: (expr: Expr) => Expr } {
    const leaves: Expr[] = [],
      first = this.folds.length,
      numbers = step.scalars.map((x) => scalar(this.scalars.push(x) - 1));
    step.inputs.forEach((view, k) => leaves[k] = instead(view) ?? this.#input(view));
    step.folds.forEach((_, j) => leaves[foldLeaf + j] = input(foldLeaf + first + j));
    const of = (expr: Expr): Expr => substitute(expr, leaves, numbers);
    this.folds.push(...step.folds.map(({ kind, value }): RowFold => ({ kind, value: of(value) })));
    return { folds: first, of };
  }

  #input(view: RowInput): Expr {
    let at = this.inputs.findIndex((known: RowInput) => sameView(known, view) && known.pick === view.pick);
    if (at < 0) at = this.inputs.push(view) - 1;
    return input(at);
  }
}

/** A step over these rows, which reads `dtypes`; null where it is none. */
export function rowStepOf(step: Step, extent: Extent, dtypes = alone): RowStep | null {
  const { operation: { name }, args } = step,
    given = (views: readonly View[], of = alone): View[] | null => {
      const found = views.map((view) => asRows(view, extent, of));
      return found.includes(null) ? null : found as View[];
    };
  if (name === "rows") {
    const { folds, outputs } = args[0] as RowProgram, views = args[3] as View[];
    const own = extentOf(step);
    if (!own || own.rows !== extent.rows || own.length !== extent.length) return null;
    return {
      inputs: args[1] as View[],
      scalars: args[2] as number[],
      folds: [...folds],
      outputs: outputs.map(({ value, wide }, i) => ({ view: views[i], value, wide })),
    };
  }
  const parts = elementwiseOf(step);
  if (parts) {
    const inputs = given(parts.inputs, dtypes), outputs = given(parts.outputs);
    if (!inputs || !outputs || parts.program.type !== "f32") return null;
    if (sizeOf(parts.outputs[0].shape) === extent.rows) return null;
    if (!outputs.every(isWide)) return null;
    return {
      inputs,
      scalars: [...parts.scalars],
      folds: [],
      outputs: outputs.map((view, i) => ({ view, value: parts.program.outputs[i], wide: true })),
    };
  }
  if (name !== "reduce") return null;
  const own = extentOf(step);
  if (!own || own.rows !== extent.rows || own.length !== extent.length) return null;
  const [kind, program, inputs, scalars, , output, epilogue] = args as [
    FoldKind,
    Program | null,
    View[],
    number[],
    number[],
    View,
    Epilogue | undefined,
  ];
  const views = given(inputs), more = given(epilogue?.inputs ?? []), [to] = given([output]) ?? [null];
  if (!views || !more || !to || (program && program.type !== "f32")) return null;
  if (epilogue && epilogue.program.type !== "f32") return null;
  const result = input(foldLeaf);
  return {
    inputs: [...views, ...more],
    scalars: [...scalars, ...epilogue?.scalars ?? []],
    folds: [{ kind, value: program?.outputs[0] ?? input(0) }],
    outputs: [{
      view: to,
      wide: false,
      value: epilogue
        ? substitute(
          epilogue.program.outputs[0],
          [result, ...more.map((_, k) => input(views.length + k))],
          epilogue.scalars.map((_, k) => scalar(scalars.length + k)),
        )
        : result,
    }],
  };
}

/**
 * Both steps as one, what the first gives being read by the second; what is wanted of it besides comes before the second's
 * outputs. Null where they do not belong together, or would be too much.
 */
export function joined(a: RowStep, b: RowStep, isWanted: (view: View) => boolean): RowStep | null {
  const produced = (view: View): Output | undefined =>
    a.outputs.find((out) => out.view.buffer === view.buffer);
  if (a.folds.length + b.folds.length > mostFolds || !b.inputs.some(produced)) return null;
  // Each place where the second reads what the first writes must be the same element.
  for (const view of b.inputs) {
    const out = produced(view);
    if (out && (!sameView(out.view, view) || (view as RowInput).pick)) return null;
  }
  if (b.outputs.some(({ view }) => produced(view))) return null;
  const growing = new Growing(), early = growing.take(a, () => null);
  const late = growing.take(b, (view) => {
    const out = produced(view);
    return out ? early.of(out.value) : null;
  });
  const outputs: Output[] = [
    ...a.outputs.filter(({ view }) => isWanted(view)).map((out) => ({ ...out, value: early.of(out.value) })),
    ...b.outputs.map((out) => ({ ...out, value: late.of(out.value) })),
  ];
  const { inputs, scalars, folds } = growing, views = outputs.map(({ view }) => view);
  if (isTangled(inputs, views) || inputs.length + views.length > mostOperands) return null;
  const roots = [...folds.map(({ value }) => value), ...outputs.map(({ value }) => value)];
  return nodesOf(roots).length > mostNodes ? null : { inputs, scalars, folds, outputs };
}

/** The program of a step over rows. */
export function rowProgramOf({ inputs, scalars, folds, outputs }: RowStep, picks?: RowPicks): RowProgram {
  return rowProgram({
    inputs: inputs.map(isWide),
    scalars: scalars.length,
    folds,
    outputs: outputs.map(({ value, wide }) => ({ value, wide })),
    picks,
  });
}

function merge(all: Steps, from: number, to: number): boolean {
  const first = all.list[from]!, second = all.list[to]!, extent = extentOf(second) ?? extentOf(first);
  if (!extent || first.backend !== second.backend) return false;
  const a = rowStepOf(first, extent), b = a && rowStepOf(second, extent);
  if (!a || !b || a.folds.length + b.folds.length === 0) return false;
  if (!mayMove(all, from, to, a.outputs.map(({ view }) => view))) return false;
  const both = joined(a, b, (view) => all.isWantedBeside(valueOf(view), from, to));
  if (!both) return false;
  const { inputs, scalars, outputs } = both, views = outputs.map(({ view }) => view);
  const buffers = new Set([...inputs, ...views].map(valueOf));
  if (buffers.size > mostRowBuffers(second.backend)) return false;
  if (![...inputs, ...views].some(isWide)) return false;
  // What is stored here is not what a narrow output's expression may see of the row.
  const program = rowProgramOf(both);
  all.set(from, null);
  all.set(to, { ...second, operation: operations.get("rows")!, args: [program, inputs, scalars, views] });
  return true;
}

/** `steps` with folds of rows and what belongs to them in one. */
export function fuseRows(steps: readonly Step[], kept: ReadonlySet<Value>): Step[] {
  const all = new Steps(steps, kept);
  for (let at = 0; at < all.list.length; at++) {
    for (let changed = true; changed;) {
      const step = all.list[at];
      changed = false;
      if (!step || !rowKernels(step.backend).rows) break;
      const { name } = step.operation;
      if (name !== "elementwise" && name !== "reduce" && name !== "rows") break;
      const read = new Set<number>();
      for (const view of [...step.args[name === "reduce" ? 2 : 1] as View[], ...epilogueInputs(step)]) {
        let latest = -1;
        for (const writer of all.writers(valueOf(view))) if (writer < at) latest = Math.max(latest, writer);
        if (latest >= 0) read.add(latest);
      }
      changed = [...read].sort((x, y) => y - x).some((from) => merge(all, from, at));
    }
  }
  return all.steps();
}

function epilogueInputs({ operation, args }: Step): readonly View[] {
  return operation.name === "reduce" ? (args[6] as Epilogue | undefined)?.inputs ?? [] : [];
}
