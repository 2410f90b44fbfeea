/**
 * Byte-pair merging of one piece: the pair with the lowest rank first, the leftmost of equals, until none is left.
 *
 * Pieces of a text are short (five bytes on average), so a scan for the best pair wins; a piece that is long (a
 * megabyte of spaces is one piece) goes through a heap over a linked list, n log n. Reference: R. Sennrich, B.
 * Haddow, A. Birch, "Neural machine translation of rare words with subword units", ACL 2016.
 *
 * @module
 */
import { finish, type Steps } from "../core/steps.ts";
import { PairTable } from "./pairs.ts";

const SCAN_LIMIT = 48;
const NONE = 0x7fffffff;

/** Pairs that are looked at in a step of a long piece, and what one costs. */
const stepPairs = 1024, pairUnits = 6;

/** The merges of a tokenizer, by rank. */
export class Merges {
  readonly #pairs: PairTable;
  readonly #results: Int32Array;
  readonly #ranks = new Int32Array(SCAN_LIMIT);

  /** The merges `first[rank]` + `second[rank]` → `results[rank]`; of a pair that comes twice the first counts. */
  constructor(first: ArrayLike<number>, second: ArrayLike<number>, results: ArrayLike<number>) {
    this.#pairs = new PairTable(first.length);
    this.#results = new Int32Array(first.length);
    for (let i = 0; i < first.length; i++) {
      const rank = this.#pairs.add(first[i], second[i]);
      if (rank === this.#pairs.size - 1) this.#results[rank] = results[i];
    }
  }

  /** Number of merges. */
  get size(): number {
    return this.#pairs.size;
  }

  /** The ids that merge number `rank` joins, and the id they become. */
  at(rank: number): [first: number, second: number, result: number] {
    return [this.#pairs.first[rank], this.#pairs.second[rank], this.#results[rank]];
  }

  /** Merges `ids[0, length)` in place and returns the new length. */
  merge(ids: Int32Array, length: number): number {
    return length <= SCAN_LIMIT ? this.#mergeShort(ids, length) : finish(this.mergeSteps(ids, length));
  }

  #rank(first: number, second: number): number {
    const rank = this.#pairs.get(first, second);
    return rank < 0 ? NONE : rank;
  }

  #mergeShort(ids: Int32Array, length: number): number {
    const ranks = this.#ranks;
    for (let i = 0; i + 1 < length; i++) ranks[i] = this.#rank(ids[i], ids[i + 1]);
    while (length > 1) {
      let at = 0;
      for (let i = 1; i + 1 < length; i++) if (ranks[i] < ranks[at]) at = i;
      if (ranks[at] === NONE) break;
      ids[at] = this.#results[ranks[at]];
      length--;
      for (let i = at + 1; i < length; i++) {
        ids[i] = ids[i + 1];
        ranks[i] = ranks[i + 1];
      }
      if (at > 0) ranks[at - 1] = this.#rank(ids[at - 1], ids[at]);
      if (at + 1 < length) ranks[at] = this.#rank(ids[at], ids[at + 1]);
    }
    return length;
  }

  /** The same in steps, of a piece of any length. */
  *mergeSteps(ids: Int32Array, length: number): Steps<number> {
    const next = new Int32Array(length), previous = new Int32Array(length);
    const ranks = new Int32Array(length).fill(NONE); // of the pair that begins here; a stale heap entry differs
    const heap = new RankHeap(2 * length);
    const consider = (at: number): void => {
      ranks[at] = next[at] < length ? this.#rank(ids[at], ids[next[at]]) : NONE;
      if (ranks[at] !== NONE) heap.push(ranks[at], at);
    };
    for (let i = length - 1; i >= 0; i--) {
      next[i] = i + 1;
      previous[i] = i - 1;
      consider(i);
      if (i % stepPairs === 0) yield stepPairs * pairUnits;
    }
    let turns = 0;
    while (heap.size > 0) {
      const rank = heap.topRank, at = heap.topPosition;
      heap.pop();
      if (++turns % stepPairs === 0) yield stepPairs * pairUnits;
      if (ranks[at] !== rank) continue;
      const gone = next[at], after = next[gone];
      ids[at] = this.#results[rank];
      ranks[gone] = NONE;
      next[at] = after;
      if (after < length) previous[after] = at;
      consider(at);
      if (previous[at] >= 0) consider(previous[at]);
    }
    let out = 0;
    for (let at = 0; at < length; at = next[at]) {
      ids[out++] = ids[at];
      if (out % (8 * stepPairs) === 0) yield 8 * stepPairs;
    }
    return out;
  }
}

const SPAN = 2 ** 32;

/** A binary heap of (rank, position), each held as one number that sorts by rank, then position. */
class RankHeap {
  size = 0;
  readonly #keys: Float64Array;

  constructor(capacity: number) {
    this.#keys = new Float64Array(capacity);
  }

  get topRank(): number {
    return Math.floor(this.#keys[0] / SPAN);
  }

  get topPosition(): number {
    return this.#keys[0] % SPAN;
  }

  push(rank: number, position: number): void {
    const keys = this.#keys, key = rank * SPAN + position;
    let at = this.size++;
    while (at > 0) {
      const parent = at - 1 >> 1;
      if (keys[parent] <= key) break;
      keys[at] = keys[parent];
      at = parent;
    }
    keys[at] = key;
  }

  pop(): void {
    const keys = this.#keys, size = --this.size, key = keys[size];
    let at = 0;
    for (let child = 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && keys[child + 1] < keys[child]) child++;
      if (keys[child] >= key) break;
      keys[at] = keys[child];
      at = child;
    }
    keys[at] = key;
  }
}
