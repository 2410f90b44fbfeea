/**
 * Random numbers, for devices that do not bring all of their kernels.
 *
 * @module
 */
import type { Backend, View } from "../contract.ts";
import { random } from "../cpu/kernels/random.ts";
import { provideKernels } from "../cpu/provided.ts";

provideKernels((engine) => ({
  random: (kind, seed, offset, out) => random(engine, kind, seed, offset, out),
}));

/** See {@link Backend.random}. */
export function fillRandom(
  backend: Backend,
  kind: "uniform" | "normal",
  seed: number,
  offset: number,
  out: View,
): void {
  backend.random(kind, seed, offset, out);
}
