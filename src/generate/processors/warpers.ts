/**
 * What gives a distribution to draw from another form: flatter, or without its tail. A dropped token's logit is −∞;
 * the `keep` likeliest are never dropped (beams that are drawn need more than one).
 *
 * @module
 */
import type { LogitsProcessor } from "../options.ts";

/** The largest f32. */
const largest = 3.4028234663852886e38;

/**
 * Logits divided by `temperature`. Where the quotients are beyond f32 their differences are what is kept: then the likeliest
 * token has 0 and the others fall away, which is what temperatures tend to as they become small.
 */
export function temperature(value: number): LogitsProcessor {
  return (_ids, logits) => {
    let top = -Infinity, size = 0;
    for (let i = 0; i < logits.length; i++) {
      const v = logits[i];
      if (v > top) top = v;
      if (Number.isFinite(v)) size = Math.max(size, Math.abs(v));
    }
    const shift = size / value > largest && Number.isFinite(top) ? top : 0;
    for (let i = 0; i < logits.length; i++) logits[i] = (logits[i] - shift) / value;
  };
}

/** All but the `k` largest get −∞; those that tie with the last one stay. */
export function topK(k: number, keep = 1): LogitsProcessor {
  return (_ids, logits) => {
    const count = Math.max(k, keep);
    if (count >= logits.length) return;
    const least = kthLargest(logits, count);
    for (let i = 0; i < logits.length; i++) if (logits[i] < least) logits[i] = -Infinity;
  };
}

/** The k-th largest number of `values`, by a heap of the k largest so far, or of the smallest where these are fewer. */
function kthLargest(values: Float32Array, k: number): number {
  const others = values.length - k + 1;
  if (others < k) return -kthLargest(values.map((v) => -v), others);
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

/** Fewer are simply sorted. */
const fewEnough = 64;

/**
 * How many of `ids` are needed, those with the smallest keys first and of equal ones the smallest ids, until their weights
 * reach `mass`, and at least `keep`; so many of them are then in front. Each time the half that cannot matter is passed over
 * (Hoare's selection), as sorting a large vocabulary would take longer than a step of a model.
 */
function inFront(
  ids: Int32Array,
  key: Float64Array,
  weight: Float64Array,
  mass: number,
  keep: number,
): number {
  const isLess = (a: number, b: number): boolean => key[a] < key[b] || (key[a] === key[b] && a < b);
  let from = 0, to = ids.length, before = 0;
  while (to - from > fewEnough) {
    const three = [ids[from], ids[(from + to) >> 1], ids[to - 1]].sort((a, b) => isLess(a, b) ? -1 : 1);
    const pivot = three[1];
    let split = from, sum = 0;
    for (let i = from; i < to; i++) {
      const id = ids[i];
      if (!isLess(id, pivot)) continue;
      ids[i] = ids[split];
      ids[split++] = id;
      sum += weight[id];
    }
    // Numbers that are none have no order.
    if (split === from) break;
    if (before + sum >= mass && split >= keep) to = split;
    else {
      before += sum;
      from = split;
    }
  }
  ids.subarray(from, to).sort((a, b) => isLess(a, b) ? -1 : 1);
  let count = from;
  for (; count < to && (before < mass || count < keep); count++) before += weight[ids[count]];
  return count;
}

/**
 * Keeps the smallest set of likeliest tokens whose probability reaches `p` (Holtzman et al. 2019).
 */
export function topP(p: number, keep = 1): LogitsProcessor {
  return (_ids, logits) => {
    const chance = probabilities(logits), ids = new Int32Array(chance.length);
    // Tokens below this have less than 1 - p together, so the set lies among the others.
    const least = keep > 1 ? 0 : (1 - p) / chance.length;
    let count = 0;
    for (let i = 0; i < chance.length; i++) {
      if (chance[i] > 0 && chance[i] >= least) ids[count++] = i;
      else logits[i] = -Infinity;
    }
    const order = ids.subarray(0, count);
    for (let i = inFront(order, chance.map((x) => -x), chance, p, keep); i < count; i++) {
      logits[order[i]] = -Infinity;
    }
  };
}

/** Of how many likeliest tokens {@link topH} looks at the entropy, as Hugging Face does. */
const entropyTokens = 100;

/**
 * Keeps the likeliest tokens as long as their −p ln p add up to at most `h` times the entropy, both among the 100 likeliest
 * (top-H, Potraghloo et al. 2025).
 */
export function topH(h: number, keep = 1): LogitsProcessor {
  return (_ids, logits) => {
    const count = Math.min(entropyTokens, logits.length), least = kthLargest(logits, count);
    const order: number[] = [];
    for (let i = 0; i < logits.length; i++) {
      // Where one is no number there is no order; whoever chooses says so.
      if (logits[i] !== logits[i]) return;
      if (logits[i] >= least && logits[i] > -Infinity) order.push(i);
    }
    order.sort((a, b) => logits[b] - logits[a] || a - b);
    order.length = Math.min(order.length, count);
    const chance = probabilities(Float32Array.from(order, (id) => logits[id])), most = h * entropyOf(chance);
    const kept = new Map<number, number>();
    let sum = 0;
    for (const [rank, id] of order.entries()) {
      const p = chance[rank];
      if (p > 0) sum -= p * Math.log(p);
      if (sum > most && rank >= keep) break;
      kept.set(id, logits[id]);
    }
    logits.fill(-Infinity);
    for (const [id, logit] of kept) logits[id] = logit;
  };
}

/** Drops tokens for which `drops` holds, but none of the `keep` likeliest. */
function dropWhere(logits: Float32Array, keep: number, drops: (i: number) => boolean): void {
  const kept = keep >= logits.length ? -Infinity : kthLargest(logits, keep);
  for (let i = 0; i < logits.length; i++) if (logits[i] < kept && drops(i)) logits[i] = -Infinity;
}

/** Drops tokens less likely than `p` times the likeliest (Nguyen et al. 2024). */
export function minP(p: number, keep = 1): LogitsProcessor {
  return (_ids, logits) => {
    let top = -Infinity;
    for (let i = 0; i < logits.length; i++) if (logits[i] > top) top = logits[i];
    const least = top + Math.log(p);
    dropWhere(logits, keep, (i) => logits[i] < least);
  };
}

/** −Σ p ln p. */
function entropyOf(chance: Float64Array): number {
  let sum = 0;
  for (const p of chance) if (p > 0) sum -= p * Math.log(p);
  return sum;
}

/**
 * Keeps the tokens whose surprise (−ln p) is nearest to the distribution's entropy, until they reach probability `mass`
 * (locally typical sampling, Meister et al. 2022).
 */
export function typicalP(mass: number, keep = 1): LogitsProcessor {
  return (_ids, logits) => {
    const chance = probabilities(logits), distance = new Float64Array(chance.length);
    // Logarithms of a large vocabulary would take longest: that of one token tells those of all.
    let best = 0, entropy = 0;
    for (let i = 0; i < chance.length; i++) if (chance[i] > chance[best]) best = i;
    const shift = logits[best] - Math.log(chance[best]);
    for (let i = 0; i < chance.length; i++) {
      const p = chance[i];
      distance[i] = p > 0 ? shift - logits[i] : Infinity;
      if (p > 0) entropy += p * distance[i];
    }
    for (let i = 0; i < distance.length; i++) distance[i] = Math.abs(distance[i] - entropy);
    const all = new Int32Array(chance.length);
    let possible = 0;
    for (let i = 0; i < chance.length; i++) if (chance[i] > 0) all[possible++] = i;
    const ids = all.subarray(0, possible), count = inFront(ids, distance, chance, mass, keep);
    const farthest = distance[ids[count - 1]];
    for (let i = 0; i < logits.length; i++) if (distance[i] > farthest) logits[i] = -Infinity;
  };
}

/** Drops tokens less likely than `epsilon` (Hewitt et al. 2022). */
export function epsilonCutoff(epsilon: number, keep = 1): LogitsProcessor {
  return (_ids, logits) => {
    const chance = probabilities(logits);
    dropWhere(logits, keep, (i) => chance[i] < epsilon);
  };
}

/** Drops tokens less likely than min(ε, √ε · e^−entropy) (eta sampling, Hewitt et al. 2022). */
export function etaCutoff(epsilon: number, keep = 1): LogitsProcessor {
  return (_ids, logits) => {
    const chance = probabilities(logits);
    const eta = Math.min(epsilon, Math.sqrt(epsilon) * Math.exp(-entropyOf(chance)));
    dropWhere(logits, keep, (i) => chance[i] < eta);
  };
}

/** ln softmax, in place. */
export function toLogProbabilities(logits: Float32Array): void {
  let top = -Infinity, total = 0;
  for (const v of logits) if (v > top) top = v;
  if (top === -Infinity) return;
  for (const v of logits) total += Math.exp(v - top);
  const shift = top + Math.log(total);
  for (let i = 0; i < logits.length; i++) logits[i] -= shift;
}

/** NaN becomes 0, and what is infinite the largest or smallest f32. */
export function removeInvalid(logits: Float32Array): void {
  for (let i = 0; i < logits.length; i++) {
    const v = logits[i];
    if (Number.isNaN(v)) logits[i] = 0;
    else if (v === Infinity) logits[i] = largest;
    else if (v === -Infinity) logits[i] = -largest;
  }
}
