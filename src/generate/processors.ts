/**
 * What is done to logits before a token is chosen: penalties first, then, when sampling, the warpers in the order of
 * Hugging Face: temperature, top-k, top-p, min-p. A dropped token's logit is −∞.
 *
 * @module
 */
import type { LogitsProcessor, ResolvedOptions } from "./options.ts";

/** Logits of seen tokens divided by `penalty` where positive, multiplied where negative (Keskar et al. 2019, CTRL). */
export function repetitionPenalty(penalty: number): LogitsProcessor {
  return (ids, logits) => {
    for (const id of new Set(ids)) logits[id] = logits[id] < 0 ? logits[id] * penalty : logits[id] / penalty;
  };
}

/** The tokens of `ends` get −∞ until `least` tokens were made after `start` ids. */
export function minNewTokens(least: number, start: number, ends: readonly number[]): LogitsProcessor {
  return (ids, logits) => {
    if (ids.length - start < least) { for (const id of ends) logits[id] = -Infinity; }
  };
}

/** Logits divided by `temperature`. */
export function temperature(value: number): LogitsProcessor {
  return (_ids, logits) => {
    for (let i = 0; i < logits.length; i++) logits[i] /= value;
  };
}

/** All but the `k` largest get −∞; those that tie with the last one stay. */
export function topK(k: number): LogitsProcessor {
  return (_ids, logits) => {
    if (k >= logits.length) return;
    const least = kthLargest(logits, k);
    for (let i = 0; i < logits.length; i++) if (logits[i] < least) logits[i] = -Infinity;
  };
}

/** The k-th largest number of `values`, by a heap of the k largest so far. */
function kthLargest(values: Float32Array, k: number): number {
  const heap = values.slice(0, k).sort();
  for (let i = k; i < values.length; i++) {
    const v = values[i];
    if (!(v > heap[0])) continue;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= k) break;
      if (child + 1 < k && heap[child + 1] < heap[child]) child++;
      if (heap[child] >= v) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = v;
  }
  return heap[0];
}

/** Probabilities of `logits` (double precision), with the largest logit's taken as the scale. */
export function probabilities(logits: Float32Array): Float64Array {
  let top = -Infinity;
  for (let i = 0; i < logits.length; i++) if (logits[i] > top) top = logits[i];
  const p = new Float64Array(logits.length);
  let total = 0;
  for (let i = 0; i < logits.length; i++) {
    total += p[i] = logits[i] === -Infinity ? 0 : Math.exp(logits[i] - top);
  }
  for (let i = 0; i < p.length; i++) p[i] /= total;
  return p;
}

/**
 * Keeps the smallest set of likeliest tokens whose probability reaches `p` (Holtzman et al. 2019); at least one.
 */
export function topP(p: number): LogitsProcessor {
  return (_ids, logits) => {
    const chance = probabilities(logits), order: number[] = [];
    // Tokens below this have less than 1 - p together, so the set lies among the others, and few are sorted.
    const least = (1 - p) / chance.length;
    for (let i = 0; i < chance.length; i++) {
      if (chance[i] > 0 && chance[i] >= least) order.push(i);
      else logits[i] = -Infinity;
    }
    order.sort((a, b) => chance[b] - chance[a] || a - b);
    let before = 0;
    for (const id of order) {
      // A token stays when those before it have not reached p yet.
      if (before >= p) logits[id] = -Infinity;
      before += chance[id];
    }
  };
}

/** Drops tokens less likely than `p` times the likeliest (Nguyen et al. 2024). */
export function minP(p: number): LogitsProcessor {
  return (_ids, logits) => {
    let top = -Infinity;
    for (let i = 0; i < logits.length; i++) if (logits[i] > top) top = logits[i];
    const least = top + Math.log(p);
    for (let i = 0; i < logits.length; i++) if (logits[i] < least) logits[i] = -Infinity;
  };
}

/** All processors that `options` ask for, in order, for a prompt of `start` ids. */
export function buildProcessors(options: ResolvedOptions, start: number): LogitsProcessor[] {
  const list: LogitsProcessor[] = [];
  if (options.repetitionPenalty !== 1) list.push(repetitionPenalty(options.repetitionPenalty));
  if (options.minNewTokens > 0) list.push(minNewTokens(options.minNewTokens, start, options.eosTokenId));
  list.push(...options.logitsProcessors);
  if (options.doSample) {
    if (options.temperature !== 1) list.push(temperature(options.temperature));
    if (options.topK > 0) list.push(topK(options.topK));
    if (options.topP < 1) list.push(topP(options.topP));
    if (options.minP > 0) list.push(minP(options.minP));
  }
  return list;
}
