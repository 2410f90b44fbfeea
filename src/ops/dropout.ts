/**
 * Dropout (Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014).
 *
 * @module
 */
import { OptionError } from "../core/errors.ts";
import { tidy } from "../tensor/mod.ts";
import { rand } from "./create.ts";
import { ge, mul, toDType } from "./elementwise.ts";
import type { Tensor } from "./tensor.ts";

/**
 * While training, each element is 0 with probability p and 1 / (1 − p) as large otherwise; else x itself. Draws from
 * the process's generator (`manualSeed`).
 */
export function dropout(x: Tensor, p = 0.5, training = true): Tensor {
  if (!(p >= 0 && p <= 1)) throw new OptionError(`dropout: p is a probability, not ${p}`);
  if (!training || p === 0) return x;
  if (p === 1) return mul(x, 0);
  return tidy(() => {
    const mask = toDType(ge(rand(x.shape, { device: x.device }), p), x.dtype);
    return mul(mul(mask, 1 / (1 - p)), x);
  });
}
