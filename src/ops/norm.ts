/**
 * Layer norm and RMS norm: each row brought to a common size, then scaled by learned weights.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import type { View } from "../backends/contract.ts";
import { ShapeError } from "../core/errors.ts";
import { demandList, formatShape, sameShape, type Shape, sizeOf } from "../core/shape.ts";
import { fused, isHalf, noGrad } from "../tensor/mod.ts";
import { contiguousView, copy, demandTensor, empty, wantsGradient } from "./bridge.ts";
import { add, mul, sub } from "./elementwise.ts";
import { rsqrt, square } from "./functions.ts";
import { mean } from "./reduce.ts";
import { inFloat32 } from "./row.ts";
import type { Tensor } from "./tensor.ts";
import { reshape } from "./views.ts";

/** The sizes that are normalised, checked against x and the weights. */
function rowShape(
  what: string,
  x: Tensor,
  normalizedShape: number | Shape,
  weights: (Tensor | null)[],
): Shape {
  demandTensor(what, x);
  demandTensor(what, x);
  const shape = typeof normalizedShape === "number" ? [normalizedShape] : normalizedShape;
  demandList(what, shape, "a size or a list of sizes");
  for (const w of weights) if (w !== null) demandTensor(what, w, "a weight or bias");
  if (!shape.length || !sameShape(shape, x.shape.slice(-shape.length))) {
    throw new ShapeError(`${what}: ${formatShape(shape)} are not the last dims of ${formatShape(x.shape)}`);
  }
  for (const w of weights) {
    if (w && !sameShape(w.shape, shape)) {
      throw new ShapeError(
        `${what}: a weight or bias of shape ${formatShape(w.shape)} does not fit ${formatShape(shape)}`,
      );
    }
  }
  return shape;
}

/**
 * Where there is no kernel for numbers of 16 bits that are trained: by the definition, of which nothing is kept but what it was
 * given, so that no copy in f32 stays.
 */
function givenAlone(
  inputs: readonly Tensor[],
  definition: (...inputs: Tensor[]) => Tensor,
): (() => { output: Tensor; keep: Tensor[] }) | null {
  if (!isHalf(inputs[0].dtype) || !wantsGradient(inputs)) return null;
  return () => ({ output: noGrad(() => definition(...inputs)), keep: [] });
}

function lastAxes(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i - count);
}

/** Whether kernels take them: numbers of 16 bits go to them as f32, and what is kept of them stays as small as it is. */
function isPlain(...tensors: (Tensor | null)[]): boolean {
  return tensors.every((t) => t === null || t.dtype === "f32" || isHalf(t.dtype));
}

/** t as f32, not recorded. */
const wide = (t: Tensor): Tensor => isHalf(t.dtype) ? copy(t, "f32") : t;

/** What a kernel gave, in the dtype of `like`. */
const narrow = (t: Tensor, like: Tensor): Tensor => t.dtype === like.dtype ? t : copy(t, like.dtype);

/** t (or a contiguous copy) as kernels see it: rows of `width`, in f32. */
function rows(t: Tensor, width: number): View {
  const { buffer, dtype, offset, size } = contiguousView(wide(t));
  return { buffer, dtype, offset, shape: [size / width, width], strides: [width, 1] };
}

/**
 * (x − mean) / √(variance + eps) · weight + bias over the last axes `normalizedShape`, with the biased variance (Ba,
 * Kiros, Hinton 2016). Weight and bias have that shape.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * layerNorm(tensor([[1, 3]]), [2]); // [[-1, 1]]
 * ```
 * @category Products, attention, norms
 */
export function layerNorm(
  x: Tensor,
  normalizedShape: number | Shape,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  eps = 1e-5,
): Tensor {
  demandNoMore(arguments, 5, "layerNorm");
  const shape = rowShape("layerNorm", x, normalizedShape, [weight, bias]);
  const inputs = [x, weight, bias].filter((t) => t !== null);
  const { layerNorm: kernel, layerNormBackward } = x.backend.kernels;
  const width = sizeOf(shape), count = x.size / Math.max(1, width);
  const usable = kernel && isPlain(x, weight, bias) && x.size > 0 && (weight !== null || bias === null);
  const definition = (x: Tensor, ...rest: Tensor[]): Tensor => {
    const w = weight ? rest.shift() : undefined, b = bias ? rest.shift() : undefined;
    const axes = lastAxes(shape.length);
    return inFloat32(x, (x) => {
      const centred = sub(x, mean(x, axes, true));
      let y = mul(centred, rsqrt(add(mean(square(centred), axes, true), eps)));
      if (w) y = mul(y, w);
      return b ? add(y, b) : y;
    });
  };
  return fused<Tensor>({
    name: "layerNorm",
    inputs,
    definition,
    kernel: usable
      ? () => {
        const output = empty(x.shape, "f32", x.backend, "layerNorm");
        const mu = empty([count], "f32", x.backend, "layerNorm"),
          rstd = empty([count], "f32", x.backend, "layerNorm");
        kernel(
          rows(x, width),
          weight && flat(weight),
          bias && flat(bias),
          eps,
          rows(output, width),
          mu,
          rstd,
        );
        return { output: narrow(output, x), keep: [mu, rstd] };
      }
      : givenAlone(inputs, definition),
    gradient: usable && layerNormBackward
      ? (g, inputs, [mu, rstd]) => {
        const x = inputs[0], w = weight ? inputs[1] : null;
        const dx = empty(x.shape, "f32", x.backend, "layerNormBackward");
        const dw = w && empty([width], "f32", x.backend, "layerNormBackward");
        const db = w && empty([width], "f32", x.backend, "layerNormBackward");
        layerNormBackward(rows(g, width), rows(x, width), w && flat(w), mu, rstd, rows(dx, width), dw, db);
        const result: (Tensor | null)[] = [narrow(dx, x)];
        if (dw) result.push(narrow(reshape(dw, shape), inputs[1]));
        if (db && bias) result.push(narrow(reshape(db, shape), bias));
        return result;
      }
      : null,
  });
}

function flat(t: Tensor): View {
  return rows(t, Math.max(1, t.size));
}

/**
 * x / √(mean(x²) + eps) · weight over the last axes `normalizedShape` (Zhang, Sennrich 2019). eps is the smallest step
 * of f32 above 1 (1.19e-7) unless told, as in PyTorch.
 *
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for an operand that is neither a number nor a tensor.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * rmsNorm(tensor([[3, 4]]), [2], undefined, 0); // [[0.8485, 1.1314]]
 * ```
 * @category Products, attention, norms
 */
export function rmsNorm(
  x: Tensor,
  normalizedShape: number | Shape,
  weight: Tensor | null = null,
  eps: number | null = null,
): Tensor {
  demandNoMore(arguments, 4, "rmsNorm");
  const shape = rowShape("rmsNorm", x, normalizedShape, [weight]), axes = lastAxes(shape.length);
  const small = eps ?? 2 ** -23, width = sizeOf(shape), count = x.size / Math.max(1, width);
  const { rmsNorm: kernel, rmsNormBackward } = x.backend.kernels;
  const inputs = weight ? [x, weight] : [x], usable = kernel && isPlain(x, weight) && x.size > 0;
  const definition = (x: Tensor, w?: Tensor): Tensor =>
    inFloat32(x, (x) => {
      const y = mul(x, rsqrt(add(mean(square(x), axes, true), small)));
      return w ? mul(y, w) : y;
    });
  return fused<Tensor>({
    name: "rmsNorm",
    inputs,
    definition,
    kernel: usable
      ? () => {
        const output = empty(x.shape, "f32", x.backend, "rmsNorm");
        const rstd = empty([count], "f32", x.backend, "rmsNorm");
        kernel(rows(x, width), weight && flat(weight), small, rows(output, width), rstd);
        return { output: narrow(output, x), keep: [rstd] };
      }
      : givenAlone(inputs, definition),
    gradient: usable && rmsNormBackward
      ? (g, inputs, [rstd]) => {
        const x = inputs[0], w = weight ? inputs[1] : null;
        const dx = empty(x.shape, "f32", x.backend, "rmsNormBackward");
        const dw = w && empty([width], "f32", x.backend, "rmsNormBackward");
        rmsNormBackward(rows(g, width), rows(x, width), w && flat(w), rstd, rows(dx, width), dw);
        return dw ? [narrow(dx, x), narrow(reshape(dw, shape), inputs[1])] : [narrow(dx, x)];
      }
      : null,
  });
}
