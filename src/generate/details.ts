/**
 * Log-probabilities of a token and of the likeliest ones at its place.
 *
 * @module
 */
import type { TokenDetails } from "./options.ts";

/**
 * What `logits` say of any token, with the `count` likeliest; the logits may change afterwards.
 */
export function detailsOf(logits: Float32Array, count: number): (id: number) => TokenDetails {
  let most = -Infinity, total = 0;
  for (const v of logits) if (v > most) most = v;
  for (const v of logits) total += Math.exp(v - most);
  const shift = most + Math.log(total), own = logits.slice();
  const best: number[] = [];
  for (let id = 0; id < logits.length && count > 0; id++) {
    if (best.length === count && !(logits[id] > logits[best[count - 1]])) continue;
    let at = best.length;
    while (at > 0 && logits[id] > logits[best[at - 1]]) at--;
    best.splice(at, 0, id);
    if (best.length > count) best.pop();
  }
  const top = best.map((id) => ({ id, logprob: logits[id] - shift }));
  return (id) => ({ logprob: own[id] - shift, top });
}
