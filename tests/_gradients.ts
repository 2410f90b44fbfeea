/**
 * Tensors and losses for tests of gradients: small, in f64 on the reference device, away from kinks.
 *
 * @module
 */
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { Generator } from "../src/core/random.ts";
import * as F from "../src/ops/mod.ts";
import { type Tensor, tensor } from "../src/ops/mod.ts";
import { checkGradients, grad, registerBackend, tidy } from "../src/tensor/mod.ts";

registerBackend("reference", createReferenceBackend);

/** Uneven numbers in [low, high), none of them close to a multiple of one half, where functions like to have kinks. */
export function unevenNumbers(count: number, low: number, high: number, seed = 1): number[] {
  const random = new Generator(seed), values: number[] = [];
  while (values.length < count) {
    const value = low + random.uniform() * (high - low);
    const apart = values.every((v) => Math.abs(v - value) > 1e-3);
    if (apart && Math.abs(value * 2 - Math.round(value * 2)) > 0.02) values.push(value);
  }
  return values;
}

/** A tensor of uneven numbers, f64 on the reference device. */
export function uneven(shape: readonly number[], low = -2, high = 2, seed = 1): Tensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return tensor(unevenNumbers(count, low, high, seed), { shape, dtype: "f64", device: "reference" });
}

/** One number that depends on every element of `y`, unevenly and with curvature. */
export function unevenLoss(y: Tensor): Tensor {
  const values = unevenNumbers(y.size, 0.5, 1.5, 99);
  const weights = tensor(values, { shape: y.shape, dtype: y.dtype, device: y.device });
  return y.sin().mul(weights).sum();
}

/** Checks first derivatives of `f`, then second ones, by finite differences. */
export async function checkTwice(
  f: (...x: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  eps = 1e-5,
): Promise<void> {
  await checkGradients(f, inputs, { eps, atol: 1e-6, rtol: 1e-5 });
  const slopes = grad((...x: Tensor[]) => unevenLoss(f(...x)), { argnums: inputs.map((_, i) => i) });
  const total = (...x: Tensor[]): Tensor =>
    tidy(() => slopes(...x).map(unevenLoss).reduce((a, b) => F.add(a, b)));
  await checkGradients(total, inputs, { eps, atol: 1e-6, rtol: 1e-5 });
}
