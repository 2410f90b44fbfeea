/**
 * Penalties on what was said before.
 *
 * @module
 */
import type { LogitsProcessor } from "../options.ts";

/**
 * Logits of the tokens among the `last` ones divided by `penalty` where positive, multiplied where negative (Keskar et al.
 * 2019, CTRL).
 */
export function repetitionPenalty(penalty: number, last = Infinity): LogitsProcessor {
  return (ids, logits) => {
    for (const id of new Set(last < ids.length ? ids.slice(-last) : ids)) {
      logits[id] = logits[id] < 0 ? logits[id] * penalty : logits[id] / penalty;
    }
  };
}

/**
 * What OpenAI's API and vLLM take from the logit of a token that was made after `start` ids and among the `last` ones:
 * `presence` once, and `frequency` for each time.
 */
export function countPenalty(
  frequency: number,
  presence: number,
  start: number,
  last = Infinity,
): LogitsProcessor {
  return (ids, logits) => {
    const counts = new Map<number, number>();
    for (let i = Math.max(start, ids.length - last); i < ids.length; i++) {
      counts.set(ids[i], (counts.get(ids[i]) ?? 0) + 1);
    }
    for (const [id, count] of counts) logits[id] -= presence + frequency * count;
  };
}

/** No `size` tokens in a row appear twice (Paulus et al. 2017): what would complete a known row gets −∞. */
export function noRepeatNgram(size: number): LogitsProcessor {
  return (ids, logits) => {
    const last = ids.length - size + 1; // where the row that is being written begins
    for (let at = 0; at < last; at++) {
      let same = 0;
      while (same < size - 1 && ids[at + same] === ids[last + same]) same++;
      if (same === size - 1) logits[ids[at + same]] = -Infinity;
    }
  };
}
