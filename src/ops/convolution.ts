/**
 * Convolution with whatever windows there are: a sum over the kernel's positions: for each, the input seen through a strided slice
 * times that position's weights as a matrix. Nothing is unfolded into memory, and the gradients follow from slices and products.
 * A device may have a kernel for one and two axes.
 *
 * @module
 */
import type { View } from "../backends/contract.ts";
import { convKernels, mostWeights } from "../backends/kernels/conv.ts";
import { ShapeError } from "../core/errors.ts";
import { formatShape, sizeOf } from "../core/shape.ts";
import { binary, input, type Program } from "../expr/nodes.ts";
import { program } from "../expr/program.ts";
import { broadcastView, fused } from "../tensor/mod.ts";
import { contiguousView, empty } from "./bridge.ts";
import { add, mul } from "./elementwise.ts";
import { pad } from "./join.ts";
import { matmul } from "./matmul.ts";
import type { Tensor } from "./tensor.ts";
import { reshape, slice } from "./views.ts";
import { positions, seen } from "./windows.ts";

/** How windows move over x, with zeros before and after each axis (negative: so many elements less). */
export interface ConvWindows {
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly groups: number;
}

/** @throws {ShapeError} unless x and weight fit together. */
export function demandFit(what: string, x: Tensor, weight: Tensor, groups: number, axes: number): void {
  const channels = x.shape[1], [filters, perGroup] = weight.shape;
  if (
    x.shape.length !== axes + 2 || weight.shape.length !== axes + 2 || channels !== perGroup * groups ||
    filters % groups !== 0 || weight.shape.slice(2).includes(0)
  ) {
    throw new ShapeError(
      `${what}: x ${formatShape(x.shape)} is [batch, channels, …] and weight ${formatShape(weight.shape)} ` +
        `[filters, channels / ${groups}, …]; they do not fit`,
    );
  }
}

/**
 * Convolution with what windows there are, as one operation where the device has it.
 * @throws {ShapeError} for shapes that do not fit.
 */
export function convolution(
  what: string,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  windows: ConvWindows,
): Tensor {
  const { stride, dilation, before, after, groups } = windows, axes = stride.length;
  demandFit(what, x, weight, groups, axes);
  const kernel = weight.shape.slice(2), padded = x.shape.slice(2).map((n, i) => n + before[i] + after[i]);
  const out = kernel.map((k, i) => Math.floor((padded[i] - dilation[i] * (k - 1) - 1) / stride[i]) + 1);
  if (out.some((n) => n < 1)) {
    throw new ShapeError(`${what}: a kernel of ${formatShape(kernel)} is larger than ${formatShape(padded)}`);
  }
  const inputs = bias ? [x, weight, bias] : [x, weight];
  const own = inputs.every((t) => t.backend === x.backend && t.dtype === "f32") ? convKernels(x.backend) : {};
  const shape = [x.shape[0], weight.shape[0], ...out];
  const isTaken = axes <= 2 && x.size > 0 && sizeOf(shape) > 0 &&
    sizeOf(weight.shape.slice(1)) <= mostWeights;
  // One weight for each channel at each place is a product as it is.
  const isProduct = groups === 1 && sizeOf(kernel) === 1 && stride.every((n) => n === 1);
  return fused<Tensor>({
    name: what,
    inputs,
    definition: (x, weight, bias) => byPositions(x, weight, bias ?? null, windows, out),
    kernel: own.conv && isTaken && !isProduct
      ? () => {
        const output = empty(shape, "f32", x.backend, what);
        const epilogue = bias
          ? { program: plusBias, inputs: [perFilter(bias, shape)], scalars: [] }
          : undefined;
        const [data, weights] = [contiguousView(x), contiguousView(weight)];
        own.conv!(data, weights, stride, dilation, before, groups, output, epilogue);
        return { output, keep: [] };
      }
      : null,
    gradient: null,
  });
}

const plusBias: Program = program("f32", [binary("add", input(0), input(1))], { inputs: 2, scalars: 0 });

/** One number a filter, as an operand of the output's shape. */
function perFilter(bias: Tensor, shape: readonly number[]): View {
  if (bias.shape.length !== 1 || bias.size !== shape[1]) {
    throw new ShapeError(
      `a convolution's bias is [${shape[1]}], a number for each filter, not ${formatShape(bias.shape)}`,
    );
  }
  return broadcastView(reshape(bias, [shape[1], ...shape.slice(2).map(() => 1)]), shape);
}

/** What it means: the sum over positions. */
function byPositions(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  { stride, dilation, before, after, groups }: ConvWindows,
  out: readonly number[],
): Tensor {
  const axes = out.length, [batch] = x.shape, [filters, perGroup] = weight.shape;
  const hasBorder = [...before, ...after].some((n) => n !== 0);
  const padded = hasBorder ? pad(x, before.map((n, i) => [n, after[i]]).reverse().flat()) : x;
  const area = out.reduce((a, b) => a * b, 1), each = filters / groups;
  const isAlone = perGroup === 1 && each === 1;
  let total: Tensor | null = null;
  for (const at of positions(weight.shape.slice(2))) {
    const columns = seen(padded, at, out, stride, dilation), own = slice(weight, null, null, ...at);
    // A channel by itself is a product with one number; groups of several are a batch of matrix products.
    const product = isAlone
      ? mul(columns, reshape(own, [filters, ...new Array<number>(axes).fill(1)]))
      : groups === 1
      ? matmul(own, reshape(columns, [batch, perGroup, area]))
      : matmul(reshape(own, [groups, each, perGroup]), reshape(columns, [batch, groups, perGroup, area]));
    total = total ? add(total, product) : product;
  }
  const y = reshape(total as Tensor, [batch, filters, ...out]);
  return bias ? add(y, reshape(bias, [filters, ...new Array<number>(axes).fill(1)])) : y;
}
