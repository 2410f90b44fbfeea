/**
 * SentencePiece's BPE: of all pairs of neighbours that are a piece together, the one with the best score is joined, the
 * leftmost of equals, until none is left (Sennrich et al. 2016; Kudo and Richardson 2018).
 *
 * @module
 */
import type { Steps } from "../../core/steps.ts";

/** Pairs that are looked at in a step, and what one costs. */
const stepPairs = 512, pairUnits = 16;

/** A pair that may be joined, by where its left one begins. */
interface Candidate {
  readonly left: number;
  readonly right: number;
  readonly score: number;
  /** How long both together were: a pair that has changed since is passed over. */
  readonly length: number;
}

/** Best score first, then leftmost. */
function isBetter(a: Candidate, b: Candidate): boolean {
  return a.score > b.score || (a.score === b.score && a.left < b.left);
}

/** A binary heap of candidates. */
class Heap {
  readonly #items: Candidate[] = [];

  push(item: Candidate): void {
    const items = this.#items;
    let i = items.push(item) - 1;
    while (i > 0) {
      const parent = i - 1 >> 1;
      if (!isBetter(items[i], items[parent])) break;
      [items[i], items[parent]] = [items[parent], items[i]];
      i = parent;
    }
  }

  pop(): Candidate | undefined {
    const items = this.#items, top = items[0], last = items.pop();
    if (items.length > 0) {
      items[0] = last!;
      for (let i = 0;;) {
        const left = 2 * i + 1, right = left + 1;
        let best = i;
        if (left < items.length && isBetter(items[left], items[best])) best = left;
        if (right < items.length && isBetter(items[right], items[best])) best = right;
        if (best === i) break;
        [items[i], items[best]] = [items[best], items[i]];
        i = best;
      }
    }
    return top;
  }
}

/**
 * The parts that `symbols` are joined into. `scoreOf` gives a piece's score, or undefined for what is none; those at
 * `frozen` places are never joined.
 */
export function* joinByScore(
  symbols: readonly string[],
  frozen: ReadonlySet<number>,
  scoreOf: (piece: string) => number | undefined,
): Steps<string[]> {
  const parts = [...symbols], before = parts.map((_, i) => i - 1), after = parts.map((_, i) => i + 1);
  const heap = new Heap();
  const offer = (left: number, right: number): void => {
    if (left < 0 || right >= parts.length || frozen.has(left) || frozen.has(right)) return;
    const joined = parts[left] + parts[right], score = scoreOf(joined);
    if (score !== undefined) heap.push({ left, right, score, length: joined.length });
  };
  for (let i = 0; i + 1 < parts.length; i++) {
    offer(i, i + 1);
    if (i % stepPairs === stepPairs - 1) yield stepPairs * pairUnits;
  }
  let turns = 0;
  for (let best = heap.pop(); best !== undefined; best = heap.pop()) {
    const { left, right, length } = best;
    if (++turns % stepPairs === 0) yield stepPairs * pairUnits;
    if (parts[left] === "" || parts[right] === "" || parts[left].length + parts[right].length !== length) {
      continue;
    }
    parts[left] += parts[right];
    parts[right] = "";
    after[left] = after[right];
    if (after[right] < parts.length) before[after[right]] = left;
    offer(before[left], left);
    offer(left, after[left]);
  }
  return parts.filter((part) => part !== "");
}
