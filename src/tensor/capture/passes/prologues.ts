/**
 * Prologues: a norm, and what is computed for it element by element or picked from tables, is done by the product that reads it.
 *
 * Where rows are few, as in a step of generation, a dispatch costs more than what is in it, and each part of a product computes
 * its rows anew. A result that products alone read goes into each of them; what it is computed from goes into the first that
 * wants it, and is stored there for the others. Which products take a prologue the table of operations says
 * (`Operation.withPrologue`), and of each call the device. This file comes with the devices that have one.
 *
 * @module
 */
import type { Epilogue, View } from "../../../backends/contract.ts";
import { operations } from "../../../backends/operations.ts";
import { isDynamic } from "../../../core/number.ts";
import { sizeOf, viewStrides } from "../../../core/shape.ts";
import { add, div, mul, sub } from "../../../expr/build.ts";
import { constant, type Expr, input, unary } from "../../../expr/nodes.ts";
import { program as makeProgram, substitute } from "../../../expr/program.ts";
import { foldLeaf, type RowFold, type RowPicks } from "../../../expr/row_program.ts";
import { elementwiseOf, sameView, type Step, type Value, valueOf } from "../value.ts";
import { mayMove } from "./fuse.ts";
import { Steps } from "./rewrite.ts";
import {
  asRows,
  type Extent,
  joined,
  type Output,
  type Pick,
  type RowInput,
  rowProgramOf,
  type RowStep,
  rowStepOf,
} from "./row_step.ts";

const floats: readonly View["dtype"][] = ["f32", "f16", "bf16"];

/** A view of one number a row in i32 as [rows, 1]; null for others. */
function asIndex(view: View, { rows, length }: Extent): View | null {
  if (view.dtype !== "i32") return null;
  const size = sizeOf(view.shape), strides = viewStrides(view.shape, view.strides, [rows, size / rows]);
  if (!strides || (size !== rows && (size !== rows * length || strides[1] !== 0))) return null;
  return { ...view, shape: [rows, 1], strides: [strides[0], 1] };
}

/** What a norm is: of x, weight and bias, in this order. */
function normOf({ operation: { name }, args }: Step, extent: Extent): RowStep | null {
  const isLayer = name === "layerNorm", [x, weight] = args as [View, View | null];
  const [bias, eps, out, ...narrow] = (isLayer ? args.slice(2) : [null, ...args.slice(2)]) as [
    View | null,
    number,
    ...View[],
  ];
  const width = x.shape[x.shape.length - 1];
  if (width !== extent.length || isDynamic(eps)) return null;
  const wide = asRows(x, extent), to = asRows(out, extent);
  if (!wide || !to) return null;
  const line = (view: View): View => ({ ...view, shape: [extent.rows, width], strides: [0, 1] });
  const inputs = [wide, ...[weight, bias].filter((view) => view !== null).map(line)];
  const sum = (j: number): Expr => div(input(foldLeaf + j), width), folds: RowFold[] = [];
  if (isLayer) folds.push({ kind: "sum", value: input(0) });
  const centred = isLayer ? sub(input(0), sum(0)) : input(0);
  folds.push({ kind: "sum", value: mul(centred, centred) });
  const rstd = div(1, unary("sqrt", add(sum(folds.length - 1), eps)));
  let value = mul(centred, rstd);
  if (weight) value = mul(value, input(1));
  if (bias) value = add(value, input(inputs.length - 1));
  const outputs: Output[] = [{ view: to, value, wide: true }];
  narrow.forEach((view, i) => {
    const of = { ...view, shape: [extent.rows, 1], strides: [1, 1] };
    outputs.push({ view: of, value: narrow.length - i === 1 ? rstd : sum(0), wide: false });
  });
  return { inputs, scalars: [], folds, outputs };
}

/** Rows of a table. */
function rowsOfTable({ args }: Step, extent: Extent): RowStep | null {
  const [table, axis, index, out] = args as [View, number, View, View];
  if (axis !== 0 || table.shape.length !== 2 || table.strides[1] !== 1 || !floats.includes(table.dtype)) {
    return null;
  }
  const at = asIndex(index, extent), to = asRows(out, extent, floats);
  if (!at || !to || table.shape[1] !== extent.length) return null;
  const { buffer, dtype, shape, strides, offset } = table, pick: Pick = { position: input(0), views: [at] };
  const picked: RowInput = { buffer, dtype, shape, strides, offset, pick };
  return { inputs: [picked], scalars: [], folds: [], outputs: [{ view: to, value: input(0), wide: true }] };
}

/** A step over these rows; null where it is none, or takes numbers of the run. */
function overRows(step: Step, extent: Extent): RowStep | null {
  const { name } = step.operation;
  if (name === "layerNorm" || name === "rmsNorm") return normOf(step, extent);
  const found = name === "gather" ? rowsOfTable(step, extent) : rowStepOf(step, extent, floats);
  return found && !found.scalars.some(isDynamic) ? found : null;
}

/** A product and the program that computes its left operand, which is the program's first output. */
interface Product {
  readonly step: Step;
  readonly extent: Extent;
  readonly rows: RowStep;
}

/** The step of a product with its prologue; null where the device does not take it. */
function stepOf({ step, rows }: Product): Step | null {
  const { backend, operation: { withPrologue } } = step;
  const [, b, out, epilogue] = step.args as [View, View, View, Epilogue | undefined];
  const indices: View[] = [], positions: Expr[] = [], of: (number | null)[] = [];
  const known = new Map<Pick, number>();
  for (const { pick } of rows.inputs as RowInput[]) {
    if (pick && !known.has(pick)) {
      const leaves = pick.views.map((view) => {
        const at = indices.findIndex((other) => sameView(other, view));
        return input(at < 0 ? indices.push(view) - 1 : at);
      });
      known.set(pick, positions.push(substitute(pick.position, leaves)) - 1);
    }
    of.push(pick ? known.get(pick)! : null);
  }
  const picks: RowPicks | undefined = positions.length
    ? { of, positions: makeProgram("i32", positions, { inputs: indices.length, scalars: 0 }) }
    : undefined;
  const program = rowProgramOf(rows, picks), outputs = rows.outputs.slice(1).map(({ view }) => view);
  const args = [program, rows.inputs, rows.scalars, indices, outputs, b, out, epilogue] as const;
  if (!backend.kernels.fitsMatmulRows!(...args)) return null;
  return { ...step, operation: operations.get(withPrologue!)!, args };
}

/** Whether step `from` may be done at the place of `to`, where others find `stored` of what it writes. */
function mayBecome(all: Steps, from: number, to: number, stored: readonly Output[]): boolean {
  if (stored.some(({ view }) => valueOf(view).source.kind !== "temporary" || view.dtype !== "f32")) {
    return false;
  }
  return mayMove(all, from, to, stored.map(({ view }) => view));
}

/** Whether the product reads any of `views` elsewhere than as its left operand. */
function readsBeside({ args }: Step, views: readonly View[]): boolean {
  const [, b, , epilogue] = args as [View, View, View, Epilogue | undefined];
  return [b, ...epilogue?.inputs ?? []].some(({ buffer }) => views.some((view) => view.buffer === buffer));
}

/** The product at `at` with what computes its left operand, at `from`, taken in; null where that cannot be. */
function begun(all: Steps, from: number, at: number): Product | null {
  const step = all.list[at]!, source = all.list[from]!;
  const [a, , out] = step.args as [View, View, View];
  if (!step.operation.withPrologue || step.backend !== source.backend || a.shape.length !== 2) return null;
  // Who else sees what is not this run's alone does not see it half written.
  if (valueOf(out).source.kind !== "temporary") return null;
  const extent = { rows: a.shape[0], length: a.shape[1] }, rows = overRows(source, extent);
  const own = rows && asRows(a, extent), first = rows?.outputs.find(({ view }) => own && sameView(view, own));
  if (!rows || !first?.wide || readsBeside(step, rows.outputs.map(({ view }) => view))) return null;
  const beside = rows.outputs.filter((output) =>
    output !== first && all.isWantedBeside(valueOf(output.view), from, at)
  );
  if (!mayBecome(all, from, at, beside)) return null;
  return { step, extent, rows: { ...rows, outputs: [first, ...beside] } };
}

/** The products that read what the step at `from` computes, by their places; null where not all of them can compute it. */
function takenBy(
  all: Steps,
  kept: ReadonlySet<Value>,
  value: Value,
  from: number,
): Map<number, Product> | null {
  const readers = [...all.readers(value)], found = new Map<number, Product>();
  if (kept.has(value)) return null;
  for (const at of readers) {
    const product = at > from ? begun(all, from, at) : null;
    // What others want as well would be stored by each.
    if (!product || !stepOf(product) || (readers.length > 1 && product.rows.outputs.length > 1)) return null;
    found.set(at, product);
  }
  return found;
}

/** The product at `at` with one more of the steps that its rows are computed from; null where there is none. */
function grown(all: Steps, at: number, product: Product): { from: number; product: Product } | null {
  for (const view of product.rows.inputs as RowInput[]) {
    for (const read of view.pick?.views ?? [view]) {
      const from = all.onlyWriter(valueOf(read));
      if (from === null || from >= at || all.list[from]!.backend !== product.step.backend) continue;
      const rows = view.pick ? withPosition(all, at, product, read, from) : withRows(all, at, product, from);
      const more = rows && { ...product, rows };
      if (more && stepOf(more)) return { from, product: more };
    }
  }
  return null;
}

/** The program of `product` with the rows that step `from` computes. */
function withRows(all: Steps, at: number, { step, extent, rows }: Product, from: number): RowStep | null {
  const source = overRows(all.list[from]!, extent), count = rows.outputs.length;
  if (!source || readsBeside(step, source.outputs.map(({ view }) => view))) return null;
  const isWanted = (view: View): boolean => all.isWantedBeside(valueOf(view), from, at);
  const both = joined(source, rows, isWanted);
  if (!both || !mayBecome(all, from, at, source.outputs.filter(({ view }) => isWanted(view)))) return null;
  // The left operand stays the first.
  const { outputs } = both, beside = outputs.length - count;
  return { ...both, outputs: [...outputs.slice(beside), ...outputs.slice(0, beside)] };
}

/** The program of `product` with the positions `read` computed as step `from` does. */
function withPosition(
  all: Steps,
  at: number,
  { step, extent, rows }: Product,
  read: View,
  from: number,
): RowStep | null {
  const parts = elementwiseOf(all.list[from]!), inputs = parts?.inputs.map((view) => asIndex(view, extent));
  if (
    !parts || !inputs || inputs.includes(null) || parts.program.type !== "i32" ||
    parts.scalars.some(isDynamic)
  ) {
    return null;
  }
  const to = parts.outputs.length === 1 ? asIndex(parts.outputs[0], extent) : null;
  if (
    !to || !sameView(to, read) || readsBeside(step, [read]) || !all.isOnlyFor(valueOf(read), at) ||
    !mayMove(all, from, at, [])
  ) {
    return null;
  }
  const changed = new Map<Pick, Pick>();
  const change = ({ position, views }: Pick): Pick => {
    const list: View[] = [];
    const leaves = views.map((view) => {
      if (view.buffer !== read.buffer) return input(list.push(view) - 1);
      const own = (inputs as View[]).map((view) => input(list.push(view) - 1));
      return substitute(parts.program.outputs[0], own, parts.scalars.map(constant));
    });
    return { position: substitute(position, leaves), views: list };
  };
  const moved = (rows.inputs as RowInput[]).map((view): RowInput => {
    if (!view.pick?.views.some(({ buffer }) => buffer === read.buffer)) return view;
    let pick = changed.get(view.pick);
    if (!pick) changed.set(view.pick, pick = change(view.pick));
    return { ...view, pick };
  });
  const isSame = (rows.inputs as RowInput[]).every(({ pick }) =>
    (pick?.views ?? []).every((view) => view.buffer !== read.buffer || sameView(view, read))
  );
  return isSame ? { ...rows, inputs: moved } : null;
}

/** `steps` with what products of few rows can compute themselves inside them. */
export function fuseAsPrologues(steps: readonly Step[], kept: ReadonlySet<Value>): Step[] {
  const all = new Steps(steps, kept), products = new Map<number, Product>();
  for (let at = 0; at < all.list.length; at++) {
    const step = all.list[at];
    if (!step?.operation.withPrologue || !step.backend.kernels.fitsMatmulRows) continue;
    const value = valueOf(step.args[0] as View), from = all.onlyWriter(value);
    const found = from === null ? null : takenBy(all, kept, value, from);
    if (from === null || !found) continue;
    all.set(from, null);
    for (const [place, product] of found) {
      products.set(place, product);
      all.set(place, stepOf(product));
    }
  }
  for (const [at, first] of [...products].sort(([a], [b]) => a - b)) {
    let product = first;
    for (let more = grown(all, at, product); more; more = grown(all, at, product)) {
      product = more.product;
      all.set(more.from, null);
      all.set(at, stepOf(product));
    }
  }
  return all.steps();
}
