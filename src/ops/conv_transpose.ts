/**
 * Transposed convolution: the gradient of a convolution as an operation of its own (PyTorch's convTranspose).
 *
 * Each position of the kernel is a product of the input with that position's weights, written at the strided places that
 * the position reaches; what meets there is summed.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { demandTensor } from "./bridge.ts";
import { OptionError, ShapeError } from "../core/errors.ts";
import { whole } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { formatShape, sizeOf } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import { tidy } from "../tensor/mod.ts";
import type { ConvOptions, PerAxis } from "./conv.ts";
import { add } from "./elementwise.ts";
import { concat, stack } from "./join.ts";
import { matmul } from "./matmul.ts";
import { perAxisFrom } from "./options.ts";
import type { Tensor } from "./tensor.ts";
import { narrow, permute, type Range, reshape, slice, spread, squeeze } from "./views.ts";

/**
 * Options of {@link convTranspose1d}, {@link convTranspose2d} and {@link convTranspose3d}.
 *
 * @category Products, attention, norms
 */
export interface ConvTransposeOptions extends ConvOptions {
  /** Elements added at the end of each axis, fewer than stride or dilation. Default 0. */
  outputPadding?: PerAxis;
}

const options: OptionTable<ConvTransposeOptions> = {
  stride: perAxisFrom(1),
  padding: perAxisFrom(0),
  dilation: perAxisFrom(1),
  groups: whole(1),
  outputPadding: perAxisFrom(0),
};

function perAxis(what: string, name: string, value: PerAxis, axes: number): readonly number[] {
  const list = typeof value === "number" ? new Array<number>(axes).fill(value) : value;
  if (!Array.isArray(list) || list.length !== axes) {
    throw new OptionError(`${what}: ${name} is ${value}, expected ${counted(axes, "number")}`);
  }
  return list;
}

/** Positions of a kernel at most for which {@link apart} pays: each is a copy of its own. */
const mostApart = 64;

/** Where windows lie side by side nothing meets: one product gives all positions, which are put between each other, axis by axis. */
function apart(x: Tensor, weight: Tensor): Tensor {
  const [batch, channels, ...inner] = x.shape, [, filters, ...kernel] = weight.shape, axes = inner.length;
  const rows = permute(reshape(weight, [channels, filters * sizeOf(kernel)]), [1, 0]);
  const product = matmul(rows, reshape(x, [batch, channels, sizeOf(inner)]));
  let y = reshape(product, [batch, filters, ...kernel, ...inner]);
  for (let axis = axes - 1; axis >= 0; axis--) {
    // [batch, filters, kernel up to this axis, …]: the last of the kernel's axes goes behind its own.
    const size = kernel[axis], at = 2 + axis;
    const steps = Array.from({ length: size }, (_, k) => squeeze(narrow(y, at, k, 1), at));
    y = size === 1 ? steps[0] : stack(steps, 2 + 2 * axis + 1);
    const shape = [batch, filters, ...kernel.slice(0, axis), ...inner.slice(0, axis), inner[axis] * size];
    y = reshape(y, [...shape, ...inner.slice(axis + 1).map((n, i) => n * kernel[axis + 1 + i])]);
  }
  return y;
}

function transposed(
  what: string,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  given: ConvTransposeOptions,
  axes: number,
): Tensor {
  demandTensor(what, x);
  demandTensor(what, weight, "weight");
  if (bias !== null) demandTensor(what, bias, "bias");
  const { groups = 1, ...rest } = checkOptions(what, given, options);
  const [batch, channels] = x.shape, [own, each] = weight.shape;
  if (
    x.shape.length !== axes + 2 || weight.shape.length !== axes + 2 || own !== channels ||
    own % groups !== 0 ||
    weight.shape.includes(0) || x.shape.includes(0)
  ) {
    throw new ShapeError(
      `${what}: x ${formatShape(x.shape)} is [batch, channels, …] and weight ${formatShape(weight.shape)} ` +
        `[channels, filters / ${groups}, …]; they do not fit`,
    );
  }
  const stride = perAxis(what, "stride", rest.stride ?? 1, axes);
  const padding = perAxis(what, "padding", rest.padding ?? 0, axes);
  const dilation = perAxis(what, "dilation", rest.dilation ?? 1, axes);
  const more = perAxis(what, "outputPadding", rest.outputPadding ?? 0, axes);
  const kernel = weight.shape.slice(2),
    inner = x.shape.slice(2),
    area = sizeOf(inner),
    per = channels / groups;
  const full = inner.map((n, i) => (n - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1 + more[i]);
  if (
    full.some((n, i) => n - 2 * padding[i] < 1 || more[i] >= Math.max(stride[i], dilation[i]) && more[i] > 0)
  ) {
    throw new ShapeError(
      `${what}: padding ${formatShape(padding)} and outputPadding ${formatShape(more)} leave nothing of ${
        formatShape(full)
      }, or are larger than stride and dilation`,
    );
  }
  const isApart = kernel.every((n, i) => n === stride[i] && dilation[i] === 1 && more[i] === 0) &&
    sizeOf(kernel) <= mostApart;
  return tidy(() => {
    const parts = Array.from({ length: groups }, (_, g) => {
      if (isApart) return apart(narrow(x, 1, g * per, per), narrow(weight, 0, g * per, per));
      const input = reshape(narrow(x, 1, g * per, per), [batch, per, area]);
      const weights = narrow(weight, 0, g * per, per);
      let total: Tensor | null = null;
      for (let k = 0; k < sizeOf(kernel); k++) {
        const at = kernel.map((n, i) => Math.floor(k / sizeOf(kernel.slice(i + 1))) % n);
        const columns = matmul(permute(slice(weights, null, null, ...at), [1, 0]), input);
        const ranges = at.map((p, i): Range => {
          const start = p * dilation[i];
          return [start, start + (inner[i] - 1) * stride[i] + 1, stride[i]];
        });
        const placed = spread(reshape(columns, [batch, each, ...inner]), [batch, each, ...full], [
          null,
          null,
          ...ranges,
        ]);
        total = total ? add(total, placed) : placed;
      }
      return total as Tensor;
    });
    let y = groups === 1 ? parts[0] : concat(parts, 1);
    if (padding.some((p) => p > 0)) {
      y = slice(y, null, null, ...padding.map((p, i): Range => [p, full[i] - p]));
    }
    return bias ? add(y, reshape(bias, [each * groups, ...new Array<number>(axes).fill(1)])) : y;
  });
}

/**
 * Transposed convolution of x [batch, channels, time] with weight [channels, filters / groups, size].
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DTypeError} for what is no tensor.
 * @category Products, attention, norms
 */
export function convTranspose1d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvTransposeOptions = {},
): Tensor {
  demandNoMore(arguments, 4, "convTranspose1d");
  return transposed("convTranspose1d", x, weight, bias, options, 1);
}

/**
 * Transposed convolution of x [batch, channels, height, width] with weight [channels, filters / groups, height, width].
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @example
 * ```ts
 * convTranspose2d(tensor([[[[1]]]]), tensor([[[[1, 2], [3, 4]]]])); // [[[[1, 2], [3, 4]]]]
 * ```
 * @category Products, attention, norms
 */
export function convTranspose2d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvTransposeOptions = {},
): Tensor {
  demandNoMore(arguments, 4, "convTranspose2d");
  return transposed("convTranspose2d", x, weight, bias, options, 2);
}

/**
 * Transposed convolution of x [batch, channels, depth, height, width] with weight [channels, filters / groups, …].
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @category Products, attention, norms
 */
export function convTranspose3d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: ConvTransposeOptions = {},
): Tensor {
  demandNoMore(arguments, 4, "convTranspose3d");
  return transposed("convTranspose3d", x, weight, bias, options, 3);
}
