/**
 * A table of ordered pairs of token ids, numbered 0, 1, 2 … in the order of their arrival.
 *
 * Put the merges of a tokenizer in and a pair's number is its rank; put the pairs of a corpus in and it is where
 * their counts are kept. Open addressing over typed arrays.
 *
 * @module
 */

function hashPair(first: number, second: number): number {
  const hash = Math.imul(first, 0x9e3779b1) ^ Math.imul(second + 1, 0x85ebca6b);
  return hash ^ hash >>> 15;
}

/** Distinct pairs of ids, numbered as they came. */
export class PairTable {
  /** Number of pairs. */
  size = 0;
  /** First ids, by number of the pair. Replaced when the table grows. */
  first: Int32Array;
  /** Second ids, by number of the pair. Replaced when the table grows. */
  second: Int32Array;
  #slots: Int32Array; // number of the pair + 1; 0 is empty

  /** A table with room for about `expected` pairs; it grows when there are more. */
  constructor(expected = 1024) {
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(16, expected + 1)));
    this.first = new Int32Array(capacity);
    this.second = new Int32Array(capacity);
    this.#slots = new Int32Array(2 * capacity);
  }

  /** The number of a pair, or -1. */
  get(first: number, second: number): number {
    const mask = this.#slots.length - 1;
    let slot = hashPair(first, second) & mask;
    for (let found = this.#slots[slot]; found !== 0; found = this.#slots[slot]) {
      if (this.first[found - 1] === first && this.second[found - 1] === second) return found - 1;
      slot = slot + 1 & mask;
    }
    return -1;
  }

  /** The number of a pair, which is added if it is new. */
  add(first: number, second: number): number {
    const mask = this.#slots.length - 1;
    let slot = hashPair(first, second) & mask;
    for (let found = this.#slots[slot]; found !== 0; found = this.#slots[slot]) {
      if (this.first[found - 1] === first && this.second[found - 1] === second) return found - 1;
      slot = slot + 1 & mask;
    }
    const index = this.size++;
    this.first[index] = first;
    this.second[index] = second;
    this.#slots[slot] = index + 1;
    if (this.size === this.first.length) this.#grow();
    return index;
  }

  #grow(): void {
    const first = new Int32Array(2 * this.first.length), second = new Int32Array(first.length);
    first.set(this.first);
    second.set(this.second);
    this.first = first;
    this.second = second;
    this.#slots = new Int32Array(2 * first.length);
    const mask = this.#slots.length - 1;
    for (let index = 0; index < this.size; index++) {
      let slot = hashPair(first[index], second[index]) & mask;
      while (this.#slots[slot] !== 0) slot = slot + 1 & mask;
      this.#slots[slot] = index + 1;
    }
  }
}
