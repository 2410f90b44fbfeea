/**
 * Convolution over one to three spatial axes.
 *
 * A convolution is a sum over the kernel's positions: for each, the input seen through a strided slice times that
 * position's weights as a matrix. Nothing is unfolded into memory, and the gradients follow from slices and products.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { demandTensor } from "./bridge.ts";
import { ShapeError } from "../core/errors.ts";
import { checkOptions } from "../core/options.ts";
import { formatShape } from "../core/shape.ts";
import { tidy } from "../tensor/mod.ts";
import { add, mul } from "./elementwise.ts";
import { pad } from "./join.ts";
import { matmul } from "./matmul.ts";
import { convOptions } from "./options.ts";
import type { Tensor } from "./tensor.ts";
import { reshape, slice } from "./views.ts";
import { border, type PerAxis, perAxis, positions, seen } from "./windows.ts";

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
