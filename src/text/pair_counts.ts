/**
 * How often pairs of neighbouring tokens occur in a corpus, in which words, and which pair is the most frequent.
 *
 * Part of training a BPE tokenizer. The words of a pair are a linked list in shared arrays, so that a million pairs
 * cost arrays, not objects. A list may name a word that no longer has the pair; whoever reads it looks.
 *
 * @module
 */
import { PairTable } from "./pairs.ts";

/** A pair taken out for merging. */
export interface BestPair {
  /** Number of the pair. */
  readonly index: number;
  /** First token id. */
  readonly first: number;
  /** Second token id. */
  readonly second: number;
}

/** Counts of pairs, kept up to date by differences. */
export class PairCounts {
  readonly #pairs = new PairTable(1 << 12);
  #counts = new Float64Array(1 << 12);
  #heads = new Int32Array(1 << 12); // newest list node + 1; 0 is none
  #isChanged = new Uint8Array(1 << 12);
  #changed: number[] = [];

  #nodeWords = new Int32Array(1 << 12);
  #nodeNexts = new Int32Array(1 << 12);
  #nodes = 0;
  #free = 0; // list of nodes to use again, + 1

  #heapCounts = new Float64Array(1 << 12);
  #heapPairs = new Int32Array(1 << 12);
  #heapSize = 0;

  /** Adds `difference` to the count of a pair, because of `word`. */
  change(first: number, second: number, difference: number, word: number): void {
    const index = this.#pairs.add(first, second);
    if (index >= this.#counts.length) this.#growPairs();
    this.#counts[index] += difference;
    if (difference <= 0) return;
    if (this.#isChanged[index] === 0) {
      this.#isChanged[index] = 1;
      this.#changed.push(index);
    }
    const head = this.#heads[index];
    if (head === 0 || this.#nodeWords[head - 1] !== word) this.#heads[index] = this.#node(word, head);
  }

  /** Makes the pairs whose counts have risen candidates for {@link takeBest}. */
  queueChanged(): void {
    for (const index of this.#changed) {
      this.#isChanged[index] = 0;
      if (this.#counts[index] > 0) this.#push(this.#counts[index], index);
    }
    this.#changed.length = 0;
  }

  /** The most frequent pair, the smallest of equals, if it occurs at least `minimum` times. */
  takeBest(minimum: number): BestPair | undefined {
    while (this.#heapSize > 0) {
      const count = this.#heapCounts[0], index = this.#heapPairs[0];
      this.#pop();
      if (count !== this.#counts[index]) {
        if (this.#counts[index] > 0) this.#push(this.#counts[index], index);
      } else if (count < minimum) {
        return undefined;
      } else {
        return { index, first: this.#pairs.first[index], second: this.#pairs.second[index] };
      }
    }
    return undefined;
  }

  /** Visits the words of a pair that is being merged everywhere; afterwards it occurs nowhere. */
  forEachWord(pair: BestPair, visit: (word: number) => void): void {
    let node = this.#heads[pair.index];
    this.#heads[pair.index] = 0;
    while (node !== 0) {
      visit(this.#nodeWords[node - 1]);
      const next = this.#nodeNexts[node - 1];
      this.#nodeNexts[node - 1] = this.#free;
      this.#free = node;
      node = next;
    }
    this.#counts[pair.index] = 0;
  }

  #node(word: number, next: number): number {
    let node = this.#free;
    if (node !== 0) {
      this.#free = this.#nodeNexts[node - 1];
    } else {
      node = ++this.#nodes;
      if (node > this.#nodeWords.length) {
        this.#nodeWords = doubled(this.#nodeWords);
        this.#nodeNexts = doubled(this.#nodeNexts);
      }
    }
    this.#nodeWords[node - 1] = word;
    this.#nodeNexts[node - 1] = next;
    return node;
  }

  #growPairs(): void {
    const counts = new Float64Array(2 * this.#counts.length);
    counts.set(this.#counts);
    this.#counts = counts;
    this.#heads = doubled(this.#heads);
    const isChanged = new Uint8Array(counts.length);
    isChanged.set(this.#isChanged);
    this.#isChanged = isChanged;
  }

  /** Whether the first candidate goes before the second. */
  #before(count: number, pair: number, otherCount: number, other: number): boolean {
    if (count !== otherCount) return count > otherCount;
    const { first, second } = this.#pairs;
    return first[pair] !== first[other] ? first[pair] < first[other] : second[pair] < second[other];
  }

  #push(count: number, pair: number): void {
    if (this.#heapSize === this.#heapPairs.length) {
      const counts = new Float64Array(2 * this.#heapSize);
      counts.set(this.#heapCounts);
      this.#heapCounts = counts;
      this.#heapPairs = doubled(this.#heapPairs);
    }
    const counts = this.#heapCounts, pairs = this.#heapPairs;
    let at = this.#heapSize++;
    while (at > 0) {
      const parent = at - 1 >> 1;
      if (!this.#before(count, pair, counts[parent], pairs[parent])) break;
      counts[at] = counts[parent];
      pairs[at] = pairs[parent];
      at = parent;
    }
    counts[at] = count;
    pairs[at] = pair;
  }

  #pop(): void {
    const counts = this.#heapCounts, pairs = this.#heapPairs, size = --this.#heapSize;
    const count = counts[size], pair = pairs[size];
    let at = 0;
    for (let child = 1; child < size; child = 2 * at + 1) {
      if (
        child + 1 < size && this.#before(counts[child + 1], pairs[child + 1], counts[child], pairs[child])
      ) child++;
      if (!this.#before(counts[child], pairs[child], count, pair)) break;
      counts[at] = counts[child];
      pairs[at] = pairs[child];
      at = child;
    }
    counts[at] = count;
    pairs[at] = pair;
  }
}

function doubled(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * array.length);
  larger.set(array);
  return larger;
}
