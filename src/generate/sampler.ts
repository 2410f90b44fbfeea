/**
 * Choosing a token from logits.
 *
 * @module
 */
import type { Generator } from "../core/random.ts";

/** The position of the largest number, the first where they tie; -1 where all are −∞, or one is NaN. */
export function argmaxOf(logits: Float32Array): number {
  let best = -1, value = -Infinity;
  for (let i = 0; i < logits.length; i++) {
    const x = logits[i];
    if (x > value) value = logits[best = i];
    else if (x !== x) return -1;
  }
  return best;
}

// Tokens that may be drawn, and how likely they are beside each other: memory for one draw at a time.
let ids = new Int32Array(0), weights = new Float64Array(0);

/**
 * A token drawn with its probability: one uniform number walks down the tokens in order of their ids. `best` is the likeliest
 * one ({@link argmaxOf}), whose logit is a finite number.
 */
export function sample(logits: Float32Array, random: Generator, best: number = argmaxOf(logits)): number {
  const top = logits[best];
  if (ids.length < logits.length) {
    ids = new Int32Array(logits.length);
    weights = new Float64Array(logits.length);
  }
  let total = 0, count = 0;
  // Few are left where there is a top k: only theirs are raised and walked over.
  for (let i = 0; i < logits.length; i++) {
    if (logits[i] === -Infinity) continue;
    const weight = Math.exp(logits[i] - top);
    total += weight;
    ids[count] = i;
    weights[count++] = weight;
  }
  const u = random.uniform();
  let below = 0, last = ids[0];
  for (let i = 0; i < count; i++) {
    if (weights[i] === 0) continue;
    below += weights[i] / total;
    last = ids[i];
    if (u < below) return last;
  }
  return last;
}
