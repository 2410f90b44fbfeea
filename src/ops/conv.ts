/**
 * Convolution over one to three spatial axes.
 *
 * What is given is checked here; what it means is in `convolution.ts`.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { checkOptions } from "../core/options.ts";
import { demandTensor } from "./bridge.ts";
import { convolution, demandFit } from "./convolution.ts";
import { convOptions } from "./options.ts";
import type { Tensor } from "./tensor.ts";
import { type PerAxis, perAxis } from "./windows.ts";

export type { PerAxis } from "./windows.ts";

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
  demandFit(what, x, weight, options.groups ?? 1, axes);
  const padding = perAxis(options.padding ?? 0, axes, `${what}: padding`, 0);
  return convolution(what, x, weight, bias, {
    stride: perAxis(options.stride ?? 1, axes, `${what}: stride`, 1),
    dilation: perAxis(options.dilation ?? 1, axes, `${what}: dilation`, 1),
    before: padding,
    after: padding,
    groups: options.groups ?? 1,
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
