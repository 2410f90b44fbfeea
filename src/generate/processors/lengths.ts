/**
 * When a text may end, and when it must.
 *
 * @module
 */
import type { LogitsProcessor } from "../options.ts";

/** The tokens of `ends` get −∞ until the text has `least` ids. */
export function minLength(least: number, ends: readonly number[]): LogitsProcessor {
  return (ids, logits) => {
    if (ids.length < least) { for (const id of ends) logits[id] = -Infinity; }
  };
}

/** All tokens but those of `forced` get −∞ when the text has `length` ids. */
export function forceAt(length: number, forced: readonly number[]): LogitsProcessor {
  return (ids, logits) => {
    if (ids.length !== length) return;
    logits.fill(-Infinity);
    for (const id of forced) logits[id] = 0;
  };
}

/**
 * From `start` new tokens on (counted from `begin` ids), the end-of-text tokens become likelier by the power of `factor`:
 * their logit grows by |logit| · (factor^n − 1) at the n-th token beyond.
 */
export function exponentialDecay(
  start: number,
  factor: number,
  begin: number,
  ends: readonly number[],
): LogitsProcessor {
  return (ids, logits) => {
    const beyond = ids.length - begin - start;
    if (beyond <= 0) return;
    // What is excluded (-Infinity) stays so.
    for (const id of ends) {
      if (logits[id] > -Infinity) logits[id] += Math.abs(logits[id]) * (factor ** beyond - 1);
    }
  };
}
