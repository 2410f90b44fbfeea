/**
 * Softmax and its logarithm.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { isFloat } from "../core/dtype.ts";
import { normalizeAxis } from "../core/shape.ts";
import { autocastDType, isHalf, isRecording, noGrad, tidy } from "../tensor/mod.ts";
import { contiguousView, demandTensor, empty, record } from "./bridge.ts";
import { div, mul, sub } from "./elementwise.ts";
import { exp, log } from "./functions.ts";
import { max, sum } from "./reduce.ts";
import { inFloat32, toDType } from "./row.ts";
import type { Tensor } from "./tensor.ts";
import { transpose } from "./views.ts";

/** e^(x − max) / Σ e^(x − max) over the last axis, and its logarithm: what the operation means. */
function definition(x: Tensor, logarithm: boolean): Tensor {
  const shifted = sub(x, max(x, -1, true));
  if (logarithm) return sub(shifted, log(sum(exp(shifted), -1, true)));
  const e = exp(shifted);
  return div(e, sum(e, -1, true));
}

function forward(x: Tensor, logarithm: boolean): Tensor {
  const kernel = x.backend.kernels.softmax;
  if (!x.size) return empty(x.shape, x.dtype, x.backend, "softmax");
  if (!kernel || x.dtype !== "f32" || !x.shape.length) return definition(x, logarithm);
  const out = empty(x.shape, x.dtype, x.backend, logarithm ? "logSoftmax" : "softmax");
  kernel(contiguousView(x), out, logarithm);
  return out;
}

function backwardOf(g: Tensor, y: Tensor, logarithm: boolean): Tensor {
  const kernel = y.backend.kernels.softmaxBackward;
  if (kernel && y.dtype === "f32" && y.shape.length && y.size && !isRecording()) {
    const out = empty(y.shape, y.dtype, y.backend, "softmaxBackward");
    kernel(contiguousView(g), y, out, logarithm);
    return out;
  }
  return logarithm ? sub(g, mul(exp(y), sum(g, -1, true))) : mul(y, sub(g, sum(mul(g, y), -1, true)));
}

/** Over the last axis of f32 or f64. */
function overLast(x: Tensor, logarithm: boolean): Tensor {
  const out = noGrad(() => tidy(() => forward(x, logarithm)));
  const name = logarithm ? "logSoftmax" : "softmax";
  return record(name, out, [x], [out], (g, [y]) => [backwardOf(g, y, logarithm)]);
}

function along(x: Tensor, dim: number, logarithm: boolean): Tensor {
  demandTensor(logarithm ? "logSoftmax" : "softmax", x);
  const rank = x.shape.length, axis = normalizeAxis(dim, rank, logarithm ? "logSoftmax" : "softmax");
  const last = rank === 0 || axis === rank - 1;
  if (last && (x.dtype === "f32" || x.dtype === "f64")) return overLast(x, logarithm);
  return tidy(() =>
    inFloat32(
      isFloat(x.dtype) && !(isHalf(x.dtype) && autocastDType() !== "f32") ? x : toDType(x, "f32"),
      (x) => last ? overLast(x, logarithm) : transpose(overLast(transpose(x, axis, -1), logarithm), axis, -1),
    )
  );
}

/**
 * eˣ / Σeˣ along `dim` (default the last). Integers give f32.
 *
 * @throws {ShapeError} for an axis that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * softmax(tensor([0, 0, Math.LN2])); // [0.25, 0.25, 0.5]
 * ```
 * @category Reductions and order
 */
export function softmax(x: Tensor, dim = -1): Tensor {
  demandNoMore(arguments, 2, "softmax");
  return along(x, dim, false);
}

/**
 * ln softmax along `dim` (default the last), accurate where the softmax underflows.
 *
 * @throws {ShapeError} for an axis that x does not have.
 * @throws {DTypeError} for what is no tensor.
 * @example
 * ```ts
 * logSoftmax(tensor([0, 0])); // [-0.6931, -0.6931]
 * ```
 * @category Reductions and order
 */
export function logSoftmax(x: Tensor, dim = -1): Tensor {
  demandNoMore(arguments, 2, "logSoftmax");
  return along(x, dim, true);
}
