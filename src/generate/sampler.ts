/**
 * Choosing a token from logits.
 *
 * @module
 */
import { FerrotypeError } from "../core/errors.ts";
import type { Generator } from "../core/random.ts";
import { probabilities } from "./processors/warpers.ts";

/** The position of the largest number; the first where they tie. */
export function argmaxOf(logits: Float32Array): number {
  let best = -1, value = -Infinity;
  for (let i = 0; i < logits.length; i++) if (logits[i] > value) value = logits[best = i];
  if (best < 0) {
    throw new FerrotypeError(
      "generate: every token is excluded (or the logits are NaN); loosen the constraints",
    );
  }
  return best;
}

/** A token drawn with its probability: one uniform number walks down the tokens in order of their ids. */
export function sample(logits: Float32Array, random: Generator): number {
  argmaxOf(logits);
  const p = probabilities(logits), u = random.uniform();
  let below = 0, last = 0;
  for (let i = 0; i < p.length; i++) {
    if (p[i] === 0) continue;
    below += p[i];
    last = i;
    if (u < below) return i;
  }
  return last;
}
