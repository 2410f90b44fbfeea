/**
 * A step as a program over rows: its folds, and what is computed of them and of a row. Steps of the same rows, one of which reads
 * what the other gives, join into one.
 *
 * @module
 */
import type { Epilogue, View } from "../../../backends/contract.ts";
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
import { elementwiseOf, sameView, type Step } from "../value.ts";
import { isTangled } from "./rewrite.ts";

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
export function extentOf({ operation, args }: Step): Extent | null {
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
