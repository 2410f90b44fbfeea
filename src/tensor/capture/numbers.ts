/**
 * Numbers that differ from run to run, put into memory: then they are read there by work that was captured once.
 *
 * An elementwise program takes a number as a scalar. Here such a scalar becomes one more input, a view of one element with
 * strides of 0, in the type that the program computes in.
 *
 * @module
 */
import type { Backend, Epilogue, View } from "../../backends/contract.ts";
import type { DType } from "../../core/dtype.ts";
import { type DynamicNumber, isDynamic } from "../../core/number.ts";
import { toI32, toI64 } from "../../expr/arithmetic.ts";
import { type ComputeType, type Expr, input, type Program, scalar } from "../../expr/nodes.ts";
import { program as makeProgram, substitute } from "../../expr/program.ts";
import { type RowProgram, rowProgram } from "../../expr/row_program.ts";
import { type Step, Value } from "./value.ts";

const named = new WeakMap<View, string>();

/** What a view of a number is called: n4 is number 4. */
export function numberName(view: View): string {
  return named.get(view) ?? "numbers";
}

/** A number in memory. */
interface Cell {
  readonly number: DynamicNumber;
  readonly type: ComputeType;
}

/** Bytes of a cell, whatever its type. */
const cellBytes = 8;

/** The numbers of a program on one device. */
export class NumberMemory {
  /** The memory. Its size is known when all cells are. */
  value: Value;
  readonly #cells: Cell[] = [];
  readonly #places = new Map<string, number>();
  #bytes: Uint8Array = new Uint8Array(0);
  #written = false;

  /** Nothing yet. */
  constructor(backend: Backend) {
    this.value = new Value(-1, backend, 0, { kind: "numbers" });
  }

  /** A view of `number` of `shape`. */
  view(number: DynamicNumber, type: ComputeType, shape: readonly number[]): View {
    const key = `${number.index} ${type}`;
    let place = this.#places.get(key);
    if (place === undefined) {
      this.#places.set(key, place = this.#cells.length);
      this.#cells.push({ number, type });
    }
    const wide = type === "f64" || type === "i64", dtype: DType = type;
    const offset = wide ? place : 2 * place;
    const view: View = { buffer: this.value, dtype, shape, strides: shape.map(() => 0), offset };
    named.set(view, `n${number.index}`);
    return view;
  }

  /** How much memory it takes. */
  get byteLength(): number {
    return cellBytes * this.#cells.length;
  }

  /** The numbers of this run as bytes; null when they are those of the last. */
  bytes(): Uint8Array | null {
    if (this.#bytes.length !== this.byteLength) this.#bytes = new Uint8Array(this.byteLength);
    const view = new DataView(this.#bytes.buffer);
    let changed = !this.#written;
    this.#written = true;
    for (let i = 0; i < this.#cells.length; i++) {
      const { number, type } = this.#cells[i], at = cellBytes * i, x = number.current;
      const before = view.getBigInt64(at, true);
      if (type === "f32") view.setFloat32(at, x, true);
      else if (type === "f64") view.setFloat64(at, x, true);
      else if (type === "i32") view.setInt32(at, toI32(x), true);
      else view.setBigInt64(at, toI64(x), true);
      changed = changed || view.getBigInt64(at, true) !== before;
    }
    return changed ? this.#bytes : null;
  }
}

/** Programs with scalars made inputs, by the program and which. */
const rewritten = new WeakMap<Program, Map<string, Program>>();

/** `program` with the scalars that `places` names made inputs, after those it has. */
function withInputs(program: Program, places: readonly number[]): Program {
  let forms = rewritten.get(program);
  if (!forms) rewritten.set(program, forms = new Map());
  const key = places.join();
  let found = forms.get(key);
  if (!found) {
    let rest = 0;
    const scalars = Array.from({ length: program.scalars }, (_, i) => {
      const at = places.indexOf(i);
      return at >= 0 ? input(program.inputs + at) : scalar(rest++);
    });
    const outputs = program.outputs.map((expr) => substitute(expr, [], scalars));
    found = makeProgram(program.type, outputs, { inputs: program.inputs + places.length, scalars: rest });
    forms.set(key, found);
  }
  return found;
}

function placesOf(scalars: readonly number[]): number[] {
  return scalars.flatMap((x, i) => isDynamic(x) ? [i] : []);
}

/** The same for a program over rows, of which each sees the numbers that it has in common with all. */
function rowsWithInputs(program: RowProgram, places: readonly number[]): RowProgram {
  const { inputs, folds, outputs } = program, scalars: Expr[] = [];
  let rest = 0;
  for (let i = 0; i < program.scalars; i++) {
    const at = places.indexOf(i);
    scalars.push(at >= 0 ? input(inputs.length + at) : scalar(rest++));
  }
  const change = (value: Expr): Expr => substitute(value, [], scalars);
  return rowProgram({
    inputs: [...inputs, ...places.map(() => false)],
    scalars: rest,
    folds: folds.map(({ kind, value }) => ({ kind, value: change(value) })),
    outputs: outputs.map(({ value, wide }) => ({ value: change(value), wide })),
  });
}

/** `step` with its changing scalars in memory. */
export function numbersInMemory(step: Step, memory: (backend: Backend) => NumberMemory): Step {
  const { operation: { name, parameters } } = step, args = [...step.args];
  const move = (
    program: Program,
    scalars: readonly number[],
    shape: readonly number[],
  ): [Program, View[], number[]] => {
    const places = placesOf(scalars), cells = memory(step.backend);
    return [
      withInputs(program, places),
      places.map((i) => cells.view(scalars[i] as unknown as DynamicNumber, program.type, shape)),
      scalars.filter((x) => !isDynamic(x)),
    ];
  };
  if (name === "elementwise" || name === "reduce") {
    const at = name === "elementwise" ? 0 : 1, program = args[at] as Program | null;
    const inputs = args[at + 1] as View[], scalars = args[at + 2] as number[];
    if (program && placesOf(scalars).length) {
      const { shape } = inputs[0] ?? (args[3] as View[])[0];
      const [own, more, rest] = move(program, scalars, shape);
      args[at] = own;
      args[at + 1] = [...inputs, ...more];
      args[at + 2] = rest;
    }
  }
  if (name === "rows") {
    const inputs = args[1] as View[], scalars = args[2] as number[], places = placesOf(scalars);
    if (places.length) {
      const [count] = [...inputs, ...args[3] as View[]][0].shape, cells = memory(step.backend);
      args[0] = rowsWithInputs(args[0] as RowProgram, places);
      args[1] = [
        ...inputs,
        ...places.map((i) => cells.view(scalars[i] as unknown as DynamicNumber, "f32", [count, 1])),
      ];
      args[2] = scalars.filter((x) => !isDynamic(x));
    }
  }
  const last = parameters.length - 1;
  if (parameters[last].kind === "epilogue" && args[last]) {
    const { program, inputs, scalars } = args[last] as Epilogue, written = args[last - 1] as View;
    if (placesOf(scalars).length) {
      const [own, more, rest] = move(program, scalars, written.shape);
      args[last] = { program: own, inputs: [...inputs, ...more], scalars: rest };
    }
  }
  return { ...step, args };
}

/** Whether numbers of the run are still among the arguments. */
export function hasNumbers(step: Step): boolean {
  return step.operation.parameters.some(({ kind }, i) => {
    if (kind === "epilogue") {
      return placesOf((step.args[i] as Epilogue | undefined)?.scalars ?? []).length > 0;
    }
    if (kind !== "number") return typeof step.args[i] === "function";
    return [step.args[i]].flat().some(isDynamic);
  }) || typeof step.args[1] === "function";
}
