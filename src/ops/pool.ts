/**
 * Pooling over one to three spatial axes: the largest, the mean or a norm of each window; windows of a size, or as many as
 * are asked for.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { type DType, isFloat, rangeOf } from "../core/dtype.ts";
import { OptionError, ShapeError } from "../core/errors.ts";
import * as kinds from "../core/kinds.ts";
import { checkOption, checkOptions, type Idle, type OptionTable } from "../core/options.ts";
import { formatShape } from "../core/shape.ts";
import { show } from "../core/show.ts";
import { tidy } from "../tensor/mod.ts";
import { demandTensor } from "./bridge.ts";
import { tensor } from "./create.ts";
import { add, div, mul, pow } from "./elementwise.ts";
import { gather, indexSelect } from "./index.ts";
import { stack } from "./join.ts";
import { perAxisFrom } from "./options.ts";
import { argmax, mean } from "./reduce.ts";
import { along } from "./resample.ts";
import type { Tensor } from "./tensor.ts";
import { reshape, squeeze } from "./views.ts";
import { mostAlong, type PerAxis, perAxis, type Window, windowViews } from "./windows.ts";

/**
 * Options of {@link maxPool1d} to `3d` and {@link avgPool1d} to `3d`.
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

/**
 * Options of {@link lpPool1d} to `3d`.
 *
 * @category Products, attention, norms
 */
export interface LpPoolOptions {
  /** Steps between windows. Default: the kernel's size. */
  stride?: PerAxis;
  /** Also windows that reach over the edge, as long as they start inside. Default false. */
  ceilMode?: boolean;
}

const lpOptions: OptionTable<LpPoolOptions> = { stride: perAxisFrom(1), ceilMode: kinds.flag };

/** @throws {ShapeError} unless x is [batch, channels, …axes]. */
function demandImages(what: string, x: Tensor, axes: number): void {
  demandTensor(what, x);
  if (x.shape.length === axes + 2) return;
  const names = ["time", "height, width", "depth, height, width"][axes - 1];
  throw new ShapeError(`${what}: x is [batch, channels, ${names}], not ${formatShape(x.shape)}`);
}

function windowOf(what: string, x: Tensor, kernelSize: PerAxis, options: PoolOptions, axes: number): Window {
  demandImages(what, x, axes);
  const kernel = perAxis(kernelSize, axes, `${what}: kernelSize`, 1);
  const stride = perAxis(options.stride ?? kernel, axes, `${what}: stride`, 1);
  const padding = perAxis(options.padding ?? 0, axes, `${what}: padding`, 0);
  const dilation = perAxis(options.dilation ?? 1, axes, `${what}: dilation`, 1);
  if (padding.some((p, i) => p > kernel[i] / 2)) {
    throw new OptionError(
      `${what}: padding ${formatShape(padding)} is more than half of the kernel ${formatShape(kernel)}`,
    );
  }
  const after: number[] = [];
  const out = kernel.map((k, i) => {
    const n = x.shape[i + 2], reach = dilation[i] * (k - 1) + 1, span = n + 2 * padding[i] - reach;
    let count = (options.ceilMode ? Math.ceil : Math.floor)(span / stride[i]) + 1;
    if (options.ceilMode && (count - 1) * stride[i] >= n + padding[i]) count--;
    after.push(padding[i] + Math.max(0, (count - 1) * stride[i] + reach - n - 2 * padding[i]));
    return count;
  });
  if (out.some((n) => n < 1)) {
    throw new ShapeError(`${what}: the window is larger than ${formatShape(x.shape.slice(2))}`);
  }
  return { kernel, stride, dilation, before: padding, after, out };
}

/** What is larger than nothing. */
function lowest(dtype: DType): number {
  return isFloat(dtype) ? -Infinity : Number(rangeOf(dtype)?.[0] ?? 0);
}

/** The largest of the last axis; of equal ones the first gets the gradient. */
function largest(x: Tensor): Tensor {
  return squeeze(gather(x, -1, argmax(x, -1, true)), -1);
}

function maxPool(what: string, x: Tensor, kernelSize: PerAxis, options: PoolOptions, axes: number): Tensor {
  checkOptions(what, options, poolOptions, notForMax);
  const window = windowOf(what, x, kernelSize, options, axes);
  return tidy(() => largest(stack(windowViews(x, window, lowest(x.dtype)), -1)));
}

function avgPool(what: string, x: Tensor, kernelSize: PerAxis, options: PoolOptions, axes: number): Tensor {
  checkOptions(what, options, poolOptions, notForAverage);
  const window = windowOf(what, x, kernelSize, options, axes);
  return tidy(() => {
    const total = windowViews(x, window, 0).reduce(add);
    return div(total, poolCounts(x, window, options.countIncludePad ?? true, total));
  });
}

/** How many elements each average is over, of the output's axes. */
function poolCounts(
  x: Tensor,
  { kernel, stride, before, out }: Window,
  include: boolean,
  like: Tensor,
): Tensor | number {
  const lists = out.map((count, i) =>
    Array.from({ length: count }, (_, k) => {
      const n = x.shape[i + 2], start = k * stride[i] - before[i];
      const end = Math.min(start + kernel[i], n + before[i]);
      return include ? end - start : Math.min(end, n) - Math.max(start, 0);
    })
  );
  if (lists.every((list) => list.every((n) => n === list[0]))) return lists.reduce((all, [n]) => all * n, 1);
  return lists.map((list, i) =>
    tensor(list, {
      dtype: like.dtype,
      device: like.device,
      shape: [list.length, ...new Array<number>(out.length - 1 - i).fill(1)],
    } as never)
  ).reduce((a: Tensor, b: Tensor) => mul(a, b));
}

const norm: kinds.Kind = kinds.number({ above: 0 });

function lpPool(
  what: string,
  x: Tensor,
  normType: number,
  kernelSize: PerAxis,
  options: LpPoolOptions,
  axes: number,
): Tensor {
  checkOptions(what, options, lpOptions);
  checkOption(what, "normType", normType, norm);
  const window = windowOf(what, x, kernelSize, options, axes);
  return tidy(() => {
    const powers = pow(x, normType), total = windowViews(powers, window, 0).reduce(add);
    // As PyTorch, whose mean over fewer is made the sum of a whole window.
    const counts = poolCounts(x, window, true, total), whole = window.kernel.reduce((a, b) => a * b, 1);
    const sums = typeof counts === "number" && counts === whole ? total : mul(div(total, counts), whole);
    return pow(sums, 1 / normType);
  });
}

/**
 * How many outputs an adaptive pooling has along each axis, one number for all or one each; null keeps the input's.
 *
 * @category Products, attention, norms
 */
export type OutputSize = number | readonly (number | null)[];

function outputSizes(what: string, x: Tensor, outputSize: OutputSize, axes: number): number[] {
  demandImages(what, x, axes);
  const list = Array.isArray(outputSize) ? outputSize : new Array<unknown>(axes).fill(outputSize);
  if (
    list.length !== axes || list.some((n) => n !== null && !(Number.isInteger(n) && n >= 1 && n <= mostAlong))
  ) {
    throw new OptionError(
      `${what}: outputSize is a whole number from 1, or ${axes} of them (null for the input's), at most ${mostAlong}, not ${
        show(outputSize)
      }`,
    );
  }
  const empty = x.shape.findIndex((n, i) => i >= 2 && n === 0);
  if (empty >= 0) throw new ShapeError(`${what}: dim ${empty} of ${formatShape(x.shape)} has no element`);
  return list.map((n, i) => n ?? x.shape[i + 2]);
}

/** Where each of `out` windows over `n` elements begins and ends. */
function adaptiveWindows(n: number, out: number): [start: number, end: number][] {
  return Array.from({ length: out }, (_, i) => [Math.floor(i * n / out), Math.ceil((i + 1) * n / out)]);
}

function adaptiveAvgPool(what: string, x: Tensor, outputSize: OutputSize, axes: number): Tensor {
  const sizes = outputSizes(what, x, outputSize, axes);
  return tidy(() =>
    sizes.reduce((y, out, i) => {
      const axis = i + 2, n = y.shape[axis];
      if (n === out) return y;
      if (n % out === 0) {
        return mean(
          reshape(y, [...y.shape.slice(0, axis), out, n / out, ...y.shape.slice(axis + 1)]),
          axis + 1,
        );
      }
      const rows = adaptiveWindows(n, out).flatMap(([start, end]) =>
        Array.from({ length: n }, (_, k) => k >= start && k < end ? 1 / (end - start) : 0)
      );
      return along(y, axis, rows, out);
    }, reshape(x, x.shape))
  );
}

function adaptiveMaxPool(what: string, x: Tensor, outputSize: OutputSize, axes: number): Tensor {
  const sizes = outputSizes(what, x, outputSize, axes);
  return tidy(() =>
    sizes.reduce((y, out, i) => {
      const axis = i + 2, n = y.shape[axis], places = adaptiveWindows(n, out);
      if (n === out) return y;
      // Shorter windows see their last element again.
      const width = Math.max(...places.map(([start, end]) => end - start));
      const views = Array.from({ length: width }, (_, k) => {
        const at = places.map(([start, end]) => Math.min(start + k, end - 1));
        return indexSelect(y, axis, tensor(at, { dtype: "i32", device: y.device }));
      });
      return largest(stack(views, -1));
    }, reshape(x, x.shape))
  );
}

/**
 * The largest element of each window of x [batch, channels, time]; of equal ones the first gets the gradient.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor.
 * @category Products, attention, norms
 */
export function maxPool1d(x: Tensor, kernelSize: PerAxis, options: PoolOptions = {}): Tensor {
  demandNoMore(arguments, 3, "maxPool1d");
  return maxPool("maxPool1d", x, kernelSize, options, 1);
}

/**
 * The largest element of each window of x [batch, channels, height, width]; of equal ones the first gets the gradient.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @example
 * ```ts
 * maxPool2d(tensor([[[[1, 2], [3, 4]]]]), 2); // [[[[4]]]]
 * ```
 * @category Products, attention, norms
 */
export function maxPool2d(x: Tensor, kernelSize: PerAxis, options: PoolOptions = {}): Tensor {
  demandNoMore(arguments, 3, "maxPool2d");
  return maxPool("maxPool2d", x, kernelSize, options, 2);
}

/**
 * The largest element of each window of x [batch, channels, depth, height, width]; of equal ones the first gets the gradient.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor.
 * @category Products, attention, norms
 */
export function maxPool3d(x: Tensor, kernelSize: PerAxis, options: PoolOptions = {}): Tensor {
  demandNoMore(arguments, 3, "maxPool3d");
  return maxPool("maxPool3d", x, kernelSize, options, 3);
}

/**
 * The mean of each window of x [batch, channels, time].
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor.
 * @category Products, attention, norms
 */
export function avgPool1d(x: Tensor, kernelSize: PerAxis, options: PoolOptions = {}): Tensor {
  demandNoMore(arguments, 3, "avgPool1d");
  return avgPool("avgPool1d", x, kernelSize, options, 1);
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
  return avgPool("avgPool2d", x, kernelSize, options, 2);
}

/**
 * The mean of each window of x [batch, channels, depth, height, width].
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor.
 * @category Products, attention, norms
 */
export function avgPool3d(x: Tensor, kernelSize: PerAxis, options: PoolOptions = {}): Tensor {
  demandNoMore(arguments, 3, "avgPool3d");
  return avgPool("avgPool3d", x, kernelSize, options, 3);
}

/**
 * The norm of each window of x [batch, channels, time]: the `normType`-th root of the sum of these powers.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * lpPool1d(tensor([[[3, 4]]]), 2, 2); // [[[5]]]
 * ```
 * @category Products, attention, norms
 */
export function lpPool1d(
  x: Tensor,
  normType: number,
  kernelSize: PerAxis,
  options: LpPoolOptions = {},
): Tensor {
  demandNoMore(arguments, 4, "lpPool1d");
  return lpPool("lpPool1d", x, normType, kernelSize, options, 1);
}

/**
 * The norm of each window of x [batch, channels, height, width]: the `normType`-th root of the sum of these powers.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor.
 * @category Products, attention, norms
 */
export function lpPool2d(
  x: Tensor,
  normType: number,
  kernelSize: PerAxis,
  options: LpPoolOptions = {},
): Tensor {
  demandNoMore(arguments, 4, "lpPool2d");
  return lpPool("lpPool2d", x, normType, kernelSize, options, 2);
}

/**
 * The norm of each window of x [batch, channels, depth, height, width]: the `normType`-th root of the sum of these powers.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor.
 * @category Products, attention, norms
 */
export function lpPool3d(
  x: Tensor,
  normType: number,
  kernelSize: PerAxis,
  options: LpPoolOptions = {},
): Tensor {
  demandNoMore(arguments, 4, "lpPool3d");
  return lpPool("lpPool3d", x, normType, kernelSize, options, 3);
}

/**
 * The means of as many windows of x [batch, channels, time] as are asked for, which share it evenly.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for an output size that is none.
 * @example
 * ```ts
 * adaptiveAvgPool1d(tensor([[[1, 2, 3]]]), 2); // [[[1.5, 2.5]]]
 * ```
 * @category Products, attention, norms
 */
export function adaptiveAvgPool1d(x: Tensor, outputSize: OutputSize): Tensor {
  demandNoMore(arguments, 2, "adaptiveAvgPool1d");
  return adaptiveAvgPool("adaptiveAvgPool1d", x, outputSize, 1);
}

/**
 * The means of as many windows of x [batch, channels, height, width] as are asked for, which share it evenly.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for an output size that is none.
 * @category Products, attention, norms
 */
export function adaptiveAvgPool2d(x: Tensor, outputSize: OutputSize): Tensor {
  demandNoMore(arguments, 2, "adaptiveAvgPool2d");
  return adaptiveAvgPool("adaptiveAvgPool2d", x, outputSize, 2);
}

/**
 * The means of as many windows of x [batch, channels, depth, height, width] as are asked for, which share it evenly.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for an output size that is none.
 * @category Products, attention, norms
 */
export function adaptiveAvgPool3d(x: Tensor, outputSize: OutputSize): Tensor {
  demandNoMore(arguments, 2, "adaptiveAvgPool3d");
  return adaptiveAvgPool("adaptiveAvgPool3d", x, outputSize, 3);
}

/**
 * The largest elements of as many windows of x [batch, channels, time] as are asked for, which share it evenly.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for an output size that is none.
 * @example
 * ```ts
 * adaptiveMaxPool1d(tensor([[[1, 2, 3]]]), 2); // [[[2, 3]]]
 * ```
 * @category Products, attention, norms
 */
export function adaptiveMaxPool1d(x: Tensor, outputSize: OutputSize): Tensor {
  demandNoMore(arguments, 2, "adaptiveMaxPool1d");
  return adaptiveMaxPool("adaptiveMaxPool1d", x, outputSize, 1);
}

/**
 * The largest elements of as many windows of x [batch, channels, height, width] as are asked for, which share it evenly.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for an output size that is none.
 * @category Products, attention, norms
 */
export function adaptiveMaxPool2d(x: Tensor, outputSize: OutputSize): Tensor {
  demandNoMore(arguments, 2, "adaptiveMaxPool2d");
  return adaptiveMaxPool("adaptiveMaxPool2d", x, outputSize, 2);
}

/**
 * The largest elements of as many windows of x [batch, channels, depth, height, width] as are asked for, which share it evenly.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for an output size that is none.
 * @category Products, attention, norms
 */
export function adaptiveMaxPool3d(x: Tensor, outputSize: OutputSize): Tensor {
  demandNoMore(arguments, 2, "adaptiveMaxPool3d");
  return adaptiveMaxPool("adaptiveMaxPool3d", x, outputSize, 3);
}
