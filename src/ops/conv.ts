/**
 * Convolution and pooling over one or two spatial axes.
 *
 * A convolution is a sum over the kernel's positions: for each, the input seen through a strided slice times that
 * position's weights as a matrix. Nothing is unfolded into memory, and the gradients follow from slices and products.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { demandTensor } from "./bridge.ts";
import { type DType, isFloat, rangeOf } from "../core/dtype.ts";
import { OptionError, ShapeError } from "../core/errors.ts";
import * as kinds from "../core/kinds.ts";
import { checkOptions, type Idle, type OptionTable } from "../core/options.ts";
import { formatShape, sizeOf } from "../core/shape.ts";
import { show } from "../core/show.ts";
import { tidy } from "../tensor/mod.ts";
import { add, div, mul } from "./elementwise.ts";
import { tensor } from "./create.ts";
import { pad, stack } from "./join.ts";
import { matmul } from "./matmul.ts";
import { gather } from "./index.ts";
import { argmax } from "./reduce.ts";
import { convOptions, perAxisFrom } from "./options.ts";
import type { Tensor } from "./tensor.ts";
import { type Range, reshape, slice, squeeze } from "./views.ts";

/**
 * One number for all spatial axes, or one each.
 *
 * @category Products, attention, norms
 */
export type PerAxis = number | readonly number[];

/**
 * Options of {@link conv1d}, {@link conv2d} and {@link conv3d}.
 *
 * @category Products, attention, norms
 */
export interface ConvOptions {
  /** Steps between outputs. Default 1. */
  stride?: PerAxis;
  /** Zeros added on both sides. Default 0. */
  padding?: PerAxis;
  /** Distance between kernel positions. Default 1. */
  dilation?: PerAxis;
  /** Groups of channels that do not mix. Default 1. */
  groups?: number;
}

/**
 * Options of {@link maxPool2d} and {@link avgPool2d}.
 *
 * @category Products, attention, norms
 */
export interface PoolOptions {
  /** Steps between windows. Default: the kernel's size. */
  stride?: PerAxis;
  /** Border on both sides: −∞ for max, zeros for avg. Default 0. */
  padding?: PerAxis;
  /** Distance between the window's positions (max only). Default 1. */
  dilation?: PerAxis;
  /** Also windows that reach over the edge, as long as they start inside. Default false. */
  ceilMode?: boolean;
  /** Whether the border counts in an average. Default true. */
  countIncludePad?: boolean;
}

const poolOptions: OptionTable<PoolOptions> = {
  stride: perAxisFrom(1),
  padding: perAxisFrom(0),
  dilation: perAxisFrom(1),
  ceilMode: kinds.flag,
  countIncludePad: kinds.flag,
};

const notForMax: readonly Idle<PoolOptions>[] = [{
  option: "countIncludePad",
  when: () => true,
  because: "the largest of a window is not divided by a count",
}];

const notForAverage: readonly Idle<PoolOptions>[] = [{
  option: "dilation",
  when: () => true,
  because: "windows of an average have no gaps",
  unless: 1,
}];

function perAxis(value: PerAxis, axes: number, what: string, least: number): number[] {
  const list = typeof value === "number" ? new Array<number>(axes).fill(value) : [...value];
  if (list.length !== axes || list.some((n) => !Number.isInteger(n) || n < least)) {
    throw new OptionError(`${what} is a whole number from ${least}, or ${axes} of them, not ${show(value)}`);
  }
  return list;
}

/** Each position of a kernel is a pass over all outputs: more are not worth beginning. */
const mostPositions = 2 ** 22;

/**
 * Every position of a kernel of `sizes`, row-major.
 * @throws {ShapeError} for too many.
 */
function positions(sizes: readonly number[]): number[][] {
  if (sizeOf(sizes) > mostPositions) {
    throw new ShapeError(
      `a window of ${formatShape(sizes)} has more than ${mostPositions} positions; take smaller ones`,
    );
  }
  return sizes.reduce<number[][]>(
    (all, n) => all.flatMap((p) => Array.from({ length: n }, (_, i) => [...p, i])),
    [[]],
  );
}

function border(padding: readonly number[]): number[] {
  return [...padding].reverse().flatMap((p) => [p, p]);
}

/** What the kernel's position sees of x: one element per output, as a strided slice of the last axes. */
function seen(
  x: Tensor,
  at: readonly number[],
  out: readonly number[],
  stride: readonly number[],
  dilation: readonly number[],
): Tensor {
  const ranges = at.map((p, i): Range => {
    const start = p * dilation[i];
    return [start, start + (out[i] - 1) * stride[i] + 1, stride[i]];
  });
  return slice(x, ...new Array<null>(x.shape.length - at.length).fill(null), ...ranges);
}

function convolve(
  what: string,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  options: ConvOptions,
  axes: number,
): Tensor {
  demandTensor(what, x);
  demandTensor(what, weight, "weight");
  if (bias !== null) demandTensor(what, bias, "bias");
  checkOptions(what, options, convOptions);
  const groups = options.groups ?? 1, [batch, channels] = x.shape, [filters, perGroup] = weight.shape;
  if (
    x.shape.length !== axes + 2 || weight.shape.length !== axes + 2 || channels !== perGroup * groups ||
    filters % groups !== 0 || weight.shape.slice(2).includes(0)
  ) {
    throw new ShapeError(
      `${what}: x ${formatShape(x.shape)} is [batch, channels, …] and weight ${formatShape(weight.shape)} ` +
        `[filters, channels / ${groups}, …]; they do not fit`,
    );
  }
  const stride = perAxis(options.stride ?? 1, axes, `${what}: stride`, 1);
  const padding = perAxis(options.padding ?? 0, axes, `${what}: padding`, 0);
  const dilation = perAxis(options.dilation ?? 1, axes, `${what}: dilation`, 1);
  const kernel = weight.shape.slice(2);
  return tidy(() => {
    const padded = padding.some((p) => p > 0) ? pad(x, border(padding)) : x;
    const out = kernel.map((k, i) =>
      Math.floor((padded.shape[i + 2] - dilation[i] * (k - 1) - 1) / stride[i]) + 1
    );
    if (out.some((n) => n < 1)) {
      throw new ShapeError(
        `${what}: a kernel of ${formatShape(kernel)} is larger than ${formatShape(padded.shape.slice(2))}`,
      );
    }
    const area = out.reduce((a, b) => a * b, 1), each = filters / groups;
    const isAlone = perGroup === 1 && each === 1;
    let total: Tensor | null = null;
    for (const at of positions(kernel)) {
      const columns = seen(padded, at, out, stride, dilation), own = slice(weight, null, null, ...at);
      // A channel by itself is a product with one number; groups of several are a batch of matrix products.
      const product = isAlone
        ? mul(columns, reshape(own, [filters, ...new Array<number>(axes).fill(1)]))
        : groups === 1
        ? matmul(own, reshape(columns, [batch, perGroup, area]))
        : matmul(reshape(own, [groups, each, perGroup]), reshape(columns, [batch, groups, perGroup, area]));
      total = total ? add(total, product) : product;
    }
    let y = reshape(total as Tensor, [batch, filters, ...out]);
    if (bias) y = add(y, reshape(bias, [filters, ...new Array<number>(axes).fill(1)]));
    return y;
  });
}

/**
 * Convolution of x [batch, channels, time] with weight [filters, channels / groups, size] (cross-correlation, as PyTorch).
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @example
 * ```ts
 * conv1d(tensor([[[1, 2, 3]]]), tensor([[[1, 1]]])); // [[[3, 5]]]
 * ```
 * @category Products, attention, norms
 */
export function conv1d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvOptions = {},
): Tensor {
  demandNoMore(arguments, 4, "conv1d");
  return convolve("conv1d", x, weight, bias, options, 1);
}

/**
 * Convolution of x [batch, channels, height, width] with weight [filters, channels / groups, height, width].
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor.
 * @category Products, attention, norms
 */
export function conv2d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvOptions = {},
): Tensor {
  demandNoMore(arguments, 4, "conv2d");
  return convolve("conv2d", x, weight, bias, options, 2);
}

/**
 * Convolution of x [batch, channels, depth, height, width] with weight [filters, channels / groups, depth, height, width].
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor.
 * @category Products, attention, norms
 */
export function conv3d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvOptions = {},
): Tensor {
  demandNoMore(arguments, 4, "conv3d");
  return convolve("conv3d", x, weight, bias, options, 3);
}

interface Windows {
  /** One tensor per position of the window, each [batch, channels, outputs…]. */
  views: Tensor[];
  out: number[];
}

function windows(what: string, x: Tensor, kernelSize: PerAxis, options: PoolOptions, fill: number): Windows {
  demandTensor(what, x);
  if (x.shape.length !== 4) {
    throw new ShapeError(`${what}: x is [batch, channels, height, width], not ${formatShape(x.shape)}`);
  }
  const kernel = perAxis(kernelSize, 2, `${what}: kernelSize`, 1);
  const stride = perAxis(options.stride ?? kernel, 2, `${what}: stride`, 1);
  const padding = perAxis(options.padding ?? 0, 2, `${what}: padding`, 0);
  const dilation = perAxis(options.dilation ?? 1, 2, `${what}: dilation`, 1);
  if (padding.some((p, i) => p > kernel[i] / 2)) {
    throw new OptionError(
      `${what}: padding ${formatShape(padding)} is more than half of the kernel ${formatShape(kernel)}`,
    );
  }
  const extra: number[] = [];
  const out = kernel.map((k, i) => {
    const n = x.shape[i + 2], reach = dilation[i] * (k - 1) + 1, span = n + 2 * padding[i] - reach;
    let count = (options.ceilMode ? Math.ceil : Math.floor)(span / stride[i]) + 1;
    if (options.ceilMode && (count - 1) * stride[i] >= n + padding[i]) count--;
    extra.push(Math.max(0, (count - 1) * stride[i] + reach - n - 2 * padding[i]));
    return count;
  });
  if (out.some((n) => n < 1)) {
    throw new ShapeError(`${what}: the window is larger than ${formatShape(x.shape.slice(2))}`);
  }
  const sides = [padding[1], padding[1] + extra[1], padding[0], padding[0] + extra[0]];
  const padded = sides.some((n) => n > 0) ? pad(x, sides, { value: fill }) : x;
  return { views: positions(kernel).map((at) => seen(padded, at, out, stride, dilation)), out };
}

/** What is larger than nothing. */
function lowest(dtype: DType): number {
  return isFloat(dtype) ? -Infinity : Number(rangeOf(dtype)?.[0] ?? 0);
}

/**
 * The largest element of each window of x [batch, channels, height, width]; of equal ones the first gets the gradient.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * maxPool2d(tensor([[[[1, 2], [3, 4]]]]), 2); // [[[[4]]]]
 * ```
 * @category Products, attention, norms
 */
export function maxPool2d(x: Tensor, kernelSize: PerAxis, options: PoolOptions = {}): Tensor {
  demandNoMore(arguments, 3, "maxPool2d");
  checkOptions("maxPool2d", options, poolOptions, notForMax);
  demandTensor("maxPool2d", x);
  return tidy(() => {
    const seen = stack(windows("maxPool2d", x, kernelSize, options, lowest(x.dtype)).views, -1);
    return squeeze(gather(seen, -1, argmax(seen, -1, true)), -1);
  });
}

/**
 * The mean of each window of x [batch, channels, height, width].
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * avgPool2d(tensor([[[[1, 2], [3, 4]]]]), 2); // [[[[2.5]]]]
 * ```
 * @category Products, attention, norms
 */
export function avgPool2d(x: Tensor, kernelSize: PerAxis, options: PoolOptions = {}): Tensor {
  demandNoMore(arguments, 3, "avgPool2d");
  checkOptions("avgPool2d", options, poolOptions, notForAverage);
  return tidy(() => {
    const { views } = windows("avgPool2d", x, kernelSize, options, 0);
    const total = views.reduce(add);
    return div(total, poolCounts(x, kernelSize, options, total));
  });
}

/** How many elements each average is over: [height, width] of the output. */
function poolCounts(x: Tensor, kernelSize: PerAxis, options: PoolOptions, like: Tensor): Tensor | number {
  const kernel = perAxis(kernelSize, 2, "kernelSize", 1);
  const stride = perAxis(options.stride ?? kernel, 2, "stride", 1),
    padding = perAxis(options.padding ?? 0, 2, "padding", 0);
  const include = options.countIncludePad ?? true;
  const alongAxis = (i: number): number[] =>
    Array.from({ length: like.shape[i + 2] }, (_, k) => {
      const n = x.shape[i + 2], start = k * stride[i] - padding[i];
      const end = Math.min(start + kernel[i], n + padding[i]);
      return include ? end - start : Math.min(end, n) - Math.max(start, 0);
    });
  const rows = alongAxis(0), columns = alongAxis(1);
  if (rows.every((n) => n === rows[0]) && columns.every((n) => n === columns[0])) return rows[0] * columns[0];
  return tensor(rows.map((r) => columns.map((c) => r * c)), { dtype: like.dtype, device: like.device });
}
