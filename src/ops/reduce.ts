/**
 * Operations that make one number of many: sums, extremes, moments.
 *
 * `dim` is one axis, a list, or nothing for all of them; with `keepdim` the reduced axes stay with size 1.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { type DType, isFloat } from "../core/dtype.ts";
import { ShapeError } from "../core/errors.ts";
import { flag, number } from "../core/kinds.ts";
import { isDynamic } from "../core/number.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { contiguousStrides, formatShape, normalizeAxes, normalizeAxis, type Shape } from "../core/shape.ts";
import type { Epilogue, ReduceKind } from "../backends/contract.ts";
import { binary, input, scalar } from "../expr/nodes.ts";
import { program } from "../expr/program.ts";
import { computeType, isRecording, noGrad, tidy } from "../tensor/mod.ts";
import { alias, copy, demandPositions, demandTensor, empty, record } from "./bridge.ts";
import { eye } from "./create.ts";
import { add, div, eq, gt, mul, ne, sub, where } from "./elementwise.ts";
import { exp, log, sqrt, square } from "./functions.ts";
import { inFloat32, toDType } from "./row.ts";
import type { Tensor } from "./tensor.ts";
import { expand, flip, permute, reshape } from "./views.ts";

/**
 * One axis, several, or all.
 *
 * @category Reductions and order
 */
export type Dims = number | readonly number[] | null;

/**
 * `keepdim`, plain or by name.
 *
 * @category Reductions and order
 */
export type KeepDim = boolean | { keepdim?: boolean };

function axesOf(dim: Dims, x: Tensor, what: string): number[] {
  demandTensor(what, x);
  if (dim !== null && typeof dim === "object" && !Array.isArray(dim) && !isDynamic(dim)) {
    throw new ShapeError(
      `${what}: dim is a number, a list of numbers or null for all; options come after it`,
    );
  }
  return normalizeAxes(dim, x.shape.length, what);
}

const keepDimOptions: OptionTable<{ keepdim?: boolean }> = { keepdim: flag };

function keepdimOf(what: string, option: KeepDim): boolean {
  return typeof option === "boolean" ? option : checkOptions(what, option, keepDimOptions).keepdim ?? false;
}

/** Reduces without recording; the result keeps the reduced axes as 1. */
function reduced(
  kind: ReduceKind,
  x: Tensor,
  axes: readonly number[],
  dtype: DType,
  epilogue?: Epilogue,
): Tensor {
  const out = empty(x.shape.map((n, i) => axes.includes(i) ? 1 : n), dtype, x.backend, kind);
  // Integers become wider ones, or floats, as they are read.
  const isPosition = kind === "argmax" || kind === "argmin";
  const convert = !isPosition && computeType(dtype) !== computeType(x.dtype)
    ? program(computeType(dtype), [element], { inputs: 1, scalars: 0 })
    : null;
  if (out.size) x.backend.reduce(kind, convert, [x], [], axes, out, epilogue);
  return out;
}

// The same objects every time, so that their programs are made once.
const quotient = binary("div", input(0), scalar(0)), element = input(0);

/** Divides results by a number as they are stored. */
function dividedBy(n: number, dtype: DType): Epilogue {
  const divide = program(computeType(dtype), [quotient], { inputs: 1, scalars: 1 });
  return { program: divide, inputs: [], scalars: [n] };
}

/** `kept` (reduced axes as 1) without those axes, when they are not to be kept. Takes kept over. */
function drop(kept: Tensor, axes: readonly number[], keepdim: boolean): Tensor {
  if (keepdim || axes.length === 0) return kept;
  const shape = kept.shape.filter((_, i) => !axes.includes(i));
  const out = alias(kept, shape, contiguousStrides(shape));
  kept.dispose();
  return out;
}

/** The shape with the reduced axes as 1. */
function keptShape(shape: Shape, axes: readonly number[]): number[] {
  return shape.map((n, i) => axes.includes(i) ? 1 : n);
}

function count(shape: Shape, axes: readonly number[]): number {
  return axes.reduce((n, axis) => n * shape[axis], 1);
}

function demandElements(what: string, x: Tensor, axes: readonly number[]): void {
  if (count(x.shape, axes) === 0) {
    throw new ShapeError(
      `${what}: nothing to take it of: shape ${formatShape(x.shape)} has no elements there`,
    );
  }
}

/** The sum in `dtype`. */
function total(x: Tensor, axes: readonly number[], keepdim: boolean, dtype: DType): Tensor {
  const own = x.dtype, shape = x.shape, kept = keptShape(shape, axes);
  const out = drop(reduced("sum", x, axes, dtype), axes, keepdim);
  return record("sum", out, [x], [], (g) => [expand(reshape(toDType(g, own), kept), shape)]);
}

/** The sum in `dtype` divided by the count, which rides along as the reduction's epilogue. */
function average(x: Tensor, axes: readonly number[], keepdim: boolean, dtype: DType): Tensor {
  const own = x.dtype, shape = x.shape, kept = keptShape(shape, axes), n = count(shape, axes);
  const out = drop(reduced("sum", x, axes, dtype, dividedBy(n, dtype)), axes, keepdim);
  return record("mean", out, [x], [], (g) => [expand(reshape(div(toDType(g, own), n), kept), shape)]);
}

/** What sums and products of `dtype` are made in: integers and bool in i64, as PyTorch does, so that 32 bits do not wrap. */
function sumType(dtype: DType): DType {
  return isFloat(dtype) ? dtype : "i64";
}

/** How many elements of a bool tensor are true. */
function countTrue(x: Tensor, dim: Dims, keepdim: boolean, what: string): Tensor {
  const axes = axesOf(dim, x, what);
  return total(x, axes, keepdim, count(x.shape, axes) < 2 ** 31 ? "i32" : "i64");
}

/**
 * The sum. Integers and bool add up in i64.
 *
 * @throws {ShapeError} for an axis that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @example
 * ```ts
 * sum(tensor([[1, 2], [3, 4]]), 1); // [3, 7]
 * ```
 * @category Reductions and order
 */
export function sum(x: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
  demandNoMore(arguments, 3, "sum");
  return total(x, axesOf(dim, x, "sum"), keepdimOf("sum", keepdim), sumType(x.dtype));
}

/**
 * The mean; integers give f32. f16 and bf16 are summed in f32, so the sum does not overflow.
 *
 * @throws {ShapeError} for an axis that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @example
 * ```ts
 * mean(tensor([[1, 2], [3, 4]]), 0, true); // [[2, 3]]
 * ```
 * @category Reductions and order
 */
export function mean(x: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
  demandNoMore(arguments, 3, "mean");
  const axes = axesOf(dim, x, "mean"), keeps = keepdimOf("mean", keepdim);
  const result = isFloat(x.dtype) ? x.dtype : "f32", wide = x.dtype === "f64" ? "f64" : "f32";
  return tidy(() => toDType(average(x, axes, keeps, wide), result));
}

/**
 * The product of all elements along `dim`. Integers and bool multiply in i64.
 *
 * @throws {ShapeError} for an axis that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @example
 * ```ts
 * prod(tensor([2, 3, 4])); // 24
 * ```
 * @category Reductions and order
 */
export function prod(x: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
  demandNoMore(arguments, 3, "prod");
  const axes = axesOf(dim, x, "prod"), kept = keptShape(x.shape, axes), shape = x.shape;
  const out = drop(reduced("prod", x, axes, sumType(x.dtype)), axes, keepdimOf("prod", keepdim));
  return record("prod", out, [x], [x], (g, [x]) => {
    const slope = isRecording() && x.size ? productsOfOthers(x, axes) : slopeOfProduct(x, axes);
    return [mul(slope, expand(reshape(g, kept), shape))];
  });
}

/** The product of all elements but one, for each. One zero gets the product of the rest, two or more leave nothing. */
function slopeOfProduct(x: Tensor, axes: readonly number[]): Tensor {
  const zero = eq(x, 0), safe = where(zero, 1, x);
  const zeros = countTrue(zero, axes, true, "prod"), others = prod(safe, axes, true);
  return where(zero, where(eq(zeros, 1), others, 0), where(eq(zeros, 0), div(others, safe), 0));
}

/** The same, made so that it can be differentiated again at zeros too: n rows of n factors, one of them left out. */
function productsOfOthers(x: Tensor, axes: readonly number[]): Tensor {
  const rest = x.shape.map((_, i) => i).filter((i) => !axes.includes(i)), order = [...rest, ...axes];
  const moved = permute(x, order), n = count(x.shape, axes);
  const rows = reshape(moved, [-1, 1, n]);
  const square = [rows.shape[0], n, n];
  const own = eye(n, { device: x.device, dtype: "bool" });
  const products = prod(where(own, 1, expand(rows, square)), -1);
  return permute(reshape(products, moved.shape), order.map((_, i) => order.indexOf(i)));
}

function extreme(kind: "max" | "min", x: Tensor, dim: Dims, keepdim: KeepDim, what: string = kind): Tensor {
  const axes = axesOf(dim, x, what), kept = keptShape(x.shape, axes), shape = x.shape;
  demandElements(what, x, axes);
  const out = drop(reduced(kind, x, axes, x.dtype), axes, keepdimOf(what, keepdim));
  return record(`a${kind}`, out, [x], [x, out], (g, [x, y]) => {
    // Elements that tie share the gradient evenly, as PyTorch's amax and amin do.
    const same = toDType(eq(x, expand(reshape(y, kept), shape)), x.dtype);
    return [mul(same, expand(div(reshape(g, kept), sum(same, axes, true)), shape))];
  });
}

/**
 * The largest element; ties share the gradient. Values only: {@link argmax} gives the position.
 *
 * @throws {ShapeError} for an axis that x does not have, or one without elements.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @example
 * ```ts
 * max(tensor([[1, 5], [7, 3]]), -1); // [5, 7]
 * ```
 * @category Reductions and order
 */
export function max(x: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
  demandNoMore(arguments, 3, "max");
  return extreme("max", x, dim, keepdim);
}

/**
 * The smallest element; ties share the gradient.
 *
 * @throws {ShapeError} for an axis that x does not have, or one without elements.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @example
 * ```ts
 * min(tensor([4, 2, 9])); // 2
 * ```
 * @category Reductions and order
 */
export function min(x: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
  demandNoMore(arguments, 3, "min");
  return extreme("min", x, dim, keepdim);
}

/**
 * PyTorch's name for {@link max} along `dim`.
 *
 * @throws {ShapeError} for an axis that x does not have, or one without elements.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @category Reductions and order
 */
export function amax(x: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
  demandNoMore(arguments, 3, "amax");
  return extreme("max", x, dim, keepdim, "amax");
}

/**
 * PyTorch's name for {@link min} along `dim`.
 *
 * @throws {ShapeError} for an axis that x does not have, or one without elements.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @category Reductions and order
 */
export function amin(x: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
  demandNoMore(arguments, 3, "amin");
  return extreme("min", x, dim, keepdim, "amin");
}

function position(kind: "argmax" | "argmin", x: Tensor, dim: number | null, keepdim: KeepDim): Tensor {
  demandTensor(kind, x);
  if (dim === null) {
    demandElements(kind, x, x.shape.map((_, i) => i));
    const out = position(kind, reshape(x, [-1]), 0, false);
    return keepdimOf(kind, keepdim) ? reshape(out, x.shape.map(() => 1)) : out;
  }
  const axes = [normalizeAxis(dim, x.shape.length, kind)];
  if (x.shape.length === 0) return position(kind, reshape(x, [1]), 0, false);
  demandElements(kind, x, axes);
  // Of an axis that repeats one element the first position is 0, however long it is.
  if (x.strides[axes[0]] !== 0) demandPositions(kind, x.shape[axes[0]]);
  return drop(reduced(kind, x, axes, "i32"), axes, keepdimOf(kind, keepdim));
}

/**
 * The first position of the largest element along `dim`, or in row-major order; i32.
 *
 * @throws {ShapeError} for an axis that x does not have, or one without elements.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @example
 * ```ts
 * argmax(tensor([[1, 5], [7, 3]]), -1); // [1, 0]
 * ```
 * @category Reductions and order
 */
export function argmax(x: Tensor, dim: number | null = null, keepdim: KeepDim = false): Tensor {
  demandNoMore(arguments, 3, "argmax");
  return position("argmax", x, dim, keepdim);
}

/**
 * The first position of the smallest element along `dim`, or in row-major order; i32.
 *
 * @throws {ShapeError} for an axis that x does not have, or one without elements.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @example
 * ```ts
 * argmin(tensor([4, 2, 9])); // 1
 * ```
 * @category Reductions and order
 */
export function argmin(x: Tensor, dim: number | null = null, keepdim: KeepDim = false): Tensor {
  demandNoMore(arguments, 3, "argmin");
  return position("argmin", x, dim, keepdim);
}

/**
 * Options of {@link variance} and {@link std}.
 *
 * @category Reductions and order
 */
export interface VarOptions {
  /** What is taken from the count in the divisor: 1 (Bessel's, the default) or 0 (biased). */
  correction?: number;
  /** Keep reduced axes with size 1. Default false. */
  keepdim?: boolean;
}

const varOptions: OptionTable<VarOptions> = { correction: number({ from: 0 }), keepdim: flag };

/**
 * The variance, divided by (count − correction); correction 1 unless told. In two passes, so a large mean is no harm.
 *
 * @throws {ShapeError} for an axis that x does not have.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @example
 * ```ts
 * variance(tensor([1, 2, 3, 4]), null, { correction: 0 }); // 1.25
 * ```
 * @category Reductions and order
 */
export function variance(x: Tensor, dim: Dims = null, options: VarOptions = {}): Tensor {
  demandNoMore(arguments, 3, "variance");
  return spreadOf("variance", x, dim, options);
}

function spreadOf(what: string, x: Tensor, dim: Dims, options: VarOptions): Tensor {
  const { correction = 1, keepdim = false } = checkOptions(what, options, varOptions);
  const axes = axesOf(dim, x, what);
  return tidy(() =>
    inFloat32(x, (x) => {
      const centred = sub(x, mean(x, axes, true));
      return div(sum(square(centred), axes, keepdim), Math.max(0, count(x.shape, axes) - correction));
    })
  );
}

/** √x whose gradient at 0 is 0: for lengths and deviations, which have a kink there. */
function rootOfSquares(x: Tensor): Tensor {
  const out = noGrad(() => sqrt(x));
  return record("sqrt", out, [x], [out], (g, [y]) => [where(eq(y, 0), 0, div(g, mul(y, 2)))]);
}

/**
 * The standard deviation; see {@link variance}. Its gradient is 0 where the deviation is 0.
 *
 * @throws {ShapeError} for an axis that x does not have.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @category Reductions and order
 */
export function std(x: Tensor, dim: Dims = null, options: VarOptions = {}): Tensor {
  demandNoMore(arguments, 3, "std");
  demandTensor("std", x);
  return tidy(() => inFloat32(x, (x) => rootOfSquares(spreadOf("std", x, dim, options))));
}

/**
 * ln Σ eˣ along `dim`, without overflow.
 *
 * @throws {ShapeError} for an axis that x does not have.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @example
 * ```ts
 * logsumexp(tensor([0, 0])); // 0.6931
 * ```
 * @category Reductions and order
 */
export function logsumexp(x: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
  demandNoMore(arguments, 3, "logsumexp");
  const axes = axesOf(dim, x, "logsumexp"), kept = keptShape(x.shape, axes);
  const keeps = keepdimOf("logsumexp", keepdim);
  demandElements("logsumexp", x, axes);
  return tidy(() =>
    inFloat32(x, (x) => {
      const top = reduced("max", x, axes, x.dtype);
      // Where all are −∞ (or one is +∞) the shift would give NaN, so it is 0 there.
      const shift = where(eq(sub(top, top), 0), top, 0);
      const result = add(log(sum(exp(sub(x, shift)), axes, true)), shift);
      return reshape(result, kept.filter((_, i) => keeps || !axes.includes(i)));
    })
  );
}

/**
 * Whether any element is not 0.
 *
 * @throws {ShapeError} for an axis that x does not have.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @category Reductions and order
 */
export function any(x: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
  demandNoMore(arguments, 3, "any");
  demandTensor("any", x);
  const keeps = keepdimOf("any", keepdim);
  return tidy(() => gt(countTrue(ne(x, 0), dim, keeps, "any"), 0));
}

/**
 * Whether all elements are not 0.
 *
 * @throws {ShapeError} for an axis that x does not have.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @category Reductions and order
 */
export function all(x: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
  demandNoMore(arguments, 3, "all");
  demandTensor("all", x);
  const keeps = keepdimOf("all", keepdim);
  return tidy(() => eq(countTrue(eq(x, 0), dim, keeps, "all"), 0));
}

/**
 * The length of x as a vector: √Σx². Its gradient is 0 where the length is 0.
 *
 * @throws {ShapeError} for an axis that x does not have.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * norm(tensor([3, 4])); // 5
 * ```
 * @category Reductions and order
 */
export function norm(x: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
  demandNoMore(arguments, 3, "norm");
  axesOf(dim, x, "norm");
  const keeps = keepdimOf("norm", keepdim);
  return tidy(() =>
    inFloat32(x, (x) => rootOfSquares(sum(square(isFloat(x.dtype) ? x : toDType(x, "f32")), dim, keeps)))
  );
}

/**
 * Running sums along `dim`. Integers and bool add up in i64.
 *
 * @throws {ShapeError} for an axis that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * cumsum(tensor([1, 2, 3]), 0); // [1, 3, 6]
 * ```
 * @category Reductions and order
 */
export function cumsum(x: Tensor, dim: number): Tensor {
  demandNoMore(arguments, 2, "cumsum");
  demandTensor("cumsum", x);
  const axis = normalizeAxis(dim, x.shape.length, "cumsum");
  const dtype = sumType(x.dtype);
  const out = empty(x.shape, dtype, x.backend, "cumsum");
  if (out.size && dtype === "i64") {
    const whole = x.dtype === dtype ? x : copy(x, dtype, "cumsum");
    x.backend.cumsum(whole, axis, out);
    if (whole !== x) whole.dispose();
  } else if (out.size) x.backend.cumsum(x, axis, out);
  // Each element is in the sums from its place on: running sums from the end.
  return record("cumsum", out, [x], [], (g) => [flip(cumsum(flip(g, axis), axis), axis)]);
}

export { variance as var };
