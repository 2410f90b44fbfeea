/**
 * A table of distinct words, looked up by a range of a string, so that neither finding nor adding one makes a
 * substring.
 *
 * Open addressing over FNV-1a hashes of the code units; the units of all words lie in one array. Words are numbered
 * 0, 1, 2 … in the order of their arrival; what belongs to a word is kept by the owner of the table, under its number.
 *
 * @module
 */

/** Distinct words, numbered as they came. */
export class WordTable {
  /** Number of words. */
  size = 0;
  #slots = new Int32Array(1 << 12); // number of the word + 1; 0 is empty
  #hashes = new Int32Array(1 << 11);
  #starts = new Int32Array((1 << 11) + 1); // into units; word n ends where word n + 1 begins
  #units = new Uint16Array(1 << 13);

  /** The number of the word `text[start, end)`; `~number` when it was not there and has been added. */
  add(text: string, start: number, end: number): number {
    let hash = 0x811c9dc5 | 0;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    hash ^= hash >>> 15;
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (let found = this.#slots[slot]; found !== 0; found = this.#slots[slot]) {
      if (this.#hashes[found - 1] === hash && this.#equals(found - 1, text, start, end)) return found - 1;
      slot = slot + 1 & mask;
    }
    this.#insert(slot, hash, text, start, end);
    return ~(this.size - 1);
  }

  /** How many code units all words have. */
  get units(): number {
    return this.#starts[this.size];
  }

  /** The word with this number. */
  word(index: number): string {
    let word = "";
    for (let i = this.#starts[index]; i < this.#starts[index + 1]; i++) {
      word += String.fromCharCode(this.#units[i]);
    }
    return word;
  }

  /** Forgets all words. */
  clear(): void {
    this.size = 0;
    this.#slots.fill(0);
  }

  #equals(index: number, text: string, start: number, end: number): boolean {
    const at = this.#starts[index];
    if (this.#starts[index + 1] - at !== end - start) return false;
    for (let i = start, unit = at; i < end; i++, unit++) {
      if (this.#units[unit] !== text.charCodeAt(i)) return false;
    }
    return true;
  }

  #insert(slot: number, hash: number, text: string, start: number, end: number): void {
    const index = this.size++, at = this.#starts[index];
    if (at + end - start > this.#units.length) {
      const units = new Uint16Array(Math.max(2 * this.#units.length, at + end - start));
      units.set(this.#units);
      this.#units = units;
    }
    for (let i = start, unit = at; i < end; i++, unit++) this.#units[unit] = text.charCodeAt(i);
    this.#hashes[index] = hash;
    this.#starts[index + 1] = at + end - start;
    this.#slots[slot] = index + 1;
    if (this.size === this.#hashes.length) this.#grow();
  }

  /** Twice the room; at most half of the slots are ever taken. */
  #grow(): void {
    const hashes = new Int32Array(2 * this.#hashes.length);
    hashes.set(this.#hashes);
    this.#hashes = hashes;
    const starts = new Int32Array(hashes.length + 1);
    starts.set(this.#starts);
    this.#starts = starts;
    this.#slots = new Int32Array(2 * hashes.length);
    const mask = this.#slots.length - 1;
    for (let index = 0; index < this.size; index++) {
      let slot = hashes[index] & mask;
      while (this.#slots[slot] !== 0) slot = slot + 1 & mask;
      this.#slots[slot] = index + 1;
    }
  }
}
