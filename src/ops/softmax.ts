/**
 * Softmax and its logarithm.
 *
 * @module
 */
import { normalizeAxis } from "../core/shape.ts";
import { tidy } from "../tensor/mod.ts";
import { contiguousView, empty, record } from "./bridge.ts";
import { div, exp, log, mul, sub } from "./elementwise.ts";
import { max, sum } from "./reduce.ts";
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
  if (kernel && x.dtype === "f32" && x.size) {
    const out = empty(x.shape, x.dtype, x.backend, logarithm ? "logSoftmax" : "softmax");
    const whole = contiguousView(x);
    kernel(whole, out, logarithm);
    if (whole !== x) whole.dispose();
    return out;
  }
  return tidy(() => definition(x.detach(), logarithm));
}

function backwardOf(g: Tensor, y: Tensor, logarithm: boolean): Tensor {
  const kernel = y.backend.kernels.softmaxBackward;
  if (kernel && y.dtype === "f32" && g.dtype === "f32" && !g.node && !y.node && y.size) {
    const out = empty(y.shape, y.dtype, y.backend, "softmaxBackward");
    kernel(contiguousView(g), y, out, logarithm);
    return out;
  }
  return logarithm ? sub(g, mul(exp(y), sum(g, -1, true))) : mul(y, sub(g, sum(mul(g, y), -1, true)));
}

function along(x: Tensor, dim: number, logarithm: boolean): Tensor {
  const name = logarithm ? "logSoftmax" : "softmax";
  const axis = normalizeAxis(dim, x.shape.length, name);
  if (x.shape.length && axis !== x.shape.length - 1) {
    return tidy(() => transpose(along(transpose(x, axis, -1), -1, logarithm), axis, -1));
  }
  const out = forward(x, logarithm);
  return record(name, out, [x], [out], (g, [y]) => [backwardOf(g, y, logarithm)]);
}

/** eˣ / Σeˣ along `dim` (default the last). */
export function softmax(x: Tensor, dim = -1): Tensor {
  return along(x, dim, false);
}

/** ln softmax along `dim` (default the last), accurate where the softmax underflows. */
export function logSoftmax(x: Tensor, dim = -1): Tensor {
  return along(x, dim, true);
}
