/**
 * Windows that move over the last axes of a tensor: what convolution and pooling see.
 *
 * @module
 */
import { OptionError, ShapeError } from "../core/errors.ts";
import { formatShape, sizeOf } from "../core/shape.ts";
import { show } from "../core/show.ts";
import { pad } from "./join.ts";
import type { Tensor } from "./tensor.ts";
import { type Range, slice } from "./views.ts";

/**
 * One number for all spatial axes, or one each.
 *
 * @category Products, attention, norms
 */
export type PerAxis = number | readonly number[];

/** The most of anything along an axis: places are worked out as lists. */
export const mostAlong = 2 ** 24;

/** `value` for each of `axes`. @throws {OptionError} for what is none. */
export function perAxis(value: PerAxis, axes: number, what: string, least: number): number[] {
  const list = Array.isArray(value)
    ? [...value as readonly number[]]
    : new Array<number>(axes).fill(value as number);
  if (list.length !== axes || list.some((n) => !Number.isInteger(n) || n < least || n > mostAlong)) {
    throw new OptionError(
      `${what} is a whole number from ${least}, or ${axes} of them, at most ${mostAlong}, not ${show(value)}`,
    );
  }
  return list;
}

/** Each position of a kernel is a pass over all outputs: more are not worth beginning. */
const mostPositions = 2 ** 22;

/**
 * Every position of a kernel of `sizes`, row-major.
 * @throws {ShapeError} for too many.
 */
export function positions(sizes: readonly number[]): number[][] {
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

/** What the kernel's position sees of x: one element per output, as a strided slice of the last axes. */
export function seen(
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

/** A window: its size, how it moves, the border on both sides, and how many outputs there are along each axis. */
export interface Window {
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly out: readonly number[];
}

/** One tensor for each position of the window: what each output sees there of x, whose border is `fill`. */
export function windowViews(
  x: Tensor,
  { kernel, stride, dilation, before, after, out }: Window,
  fill: number,
): Tensor[] {
  const hasBorder = [...before, ...after].some((n) => n !== 0);
  const whole = hasBorder ? pad(x, before.map((n, i) => [n, after[i]]).reverse().flat(), { value: fill }) : x;
  return positions(kernel).map((at) => seen(whole, at, out, stride, dilation));
}
