/**
 * Names that lie in the bytes of a file, found by hash: a few bytes a name, however many there are.
 *
 * The hash is HalfSipHash-1-3 with a key of this process (Aumasson and Bernstein 2012), so that a file cannot be made
 * whose names all fall together.
 *
 * @module
 */
import type { JsonScanner } from "./json_scanner.ts";

/** What marks an end where the name has escapes; a header is shorter than that. */
const escapeBit = 0x80000000;

let key: Uint32Array | null = null;

function hash(bytes: Uint8Array, begin: number, end: number): number {
  key ??= crypto.getRandomValues(new Uint32Array(2));
  const length = end - begin;
  let v0 = key[0] | 0, v1 = key[1] | 0, v2 = 0x6c796765 ^ v0, v3 = 0x74656462 ^ v1;
  // Words of four bytes, then what is left with the length, then three rounds of nothing.
  for (let left = (length >> 2) + 4, at = begin; left > 0; left--, at += 4) {
    let word = 0;
    if (left > 4) word = bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24;
    else if (left === 4) {
      word = length << 24;
      for (let i = 0; i < (length & 3); i++) word |= bytes[at + i] << 8 * i;
    } else if (left === 3) v2 ^= 0xff;
    v3 ^= word;
    v0 = v0 + v1 | 0;
    v1 = (v1 << 5 | v1 >>> 27) ^ v0;
    v0 = v0 << 16 | v0 >>> 16;
    v2 = v2 + v3 | 0;
    v3 = (v3 << 8 | v3 >>> 24) ^ v2;
    v0 = v0 + v3 | 0;
    v3 = (v3 << 7 | v3 >>> 25) ^ v0;
    v2 = v2 + v1 | 0;
    v1 = (v1 << 13 | v1 >>> 19) ^ v2;
    v2 = v2 << 16 | v2 >>> 16;
    v0 ^= word;
  }
  return (v1 ^ v3) >>> 0;
}

/** `array` with room for `length` elements. */
export function withRoom<A extends Uint32Array | Float64Array | Uint8Array | Uint16Array>(
  array: A,
  length: number,
): A {
  if (array.length >= length) return array;
  const larger = new (array.constructor as new (length: number) => A)(length);
  larger.set(array as never);
  return larger;
}

/** Names by number, in the order in which they were added. */
export class NameTable {
  readonly #bytes: Uint8Array;
  readonly #scanner: JsonScanner;
  #begins = new Uint32Array(0);
  #ends = new Uint32Array(0);
  #hashes = new Uint32Array(0);
  /** Of a hash the number of a name, plus 1; names that fall together follow each other. */
  #slots = new Int32Array(16);
  /** How many there are. */
  size = 0;
  #names: string[] | null = null;
  #scratch = new Uint8Array(256);
  #other = new Uint8Array(256);

  /** A table of names in `bytes`, which `scanner` reads. */
  constructor(bytes: Uint8Array, scanner: JsonScanner) {
    this.#bytes = bytes;
    this.#scanner = scanner;
  }

  /** How many names there is room for without growing. */
  get room(): number {
    return this.#begins.length;
  }

  /**
   * Adds the text that the scanner has read.
   * @returns whether it is new; null when it is not valid Unicode.
   */
  add(): boolean | null {
    const { begin, end, escaped } = this.#scanner;
    let bytes = this.#bytes, from = begin, to = end;
    if (escaped) {
      bytes = this.#scratch = withRoom(this.#scratch, end - begin);
      from = 0;
      to = this.#scanner.unescape(this.#scanner, bytes);
      if (to < 0) return null;
    }
    const code = hash(bytes, from, to);
    if (this.size === this.room) this.#grow(end);
    const mask = this.#slots.length - 1;
    let slot = code & mask;
    for (; this.#slots[slot] !== 0; slot = slot + 1 & mask) {
      const other = this.#slots[slot] - 1;
      if (this.#hashes[other] === code && this.#isSame(other, bytes, from, to)) return false;
    }
    this.#slots[slot] = this.size + 1;
    this.#begins[this.size] = begin;
    this.#ends[this.size] = escaped ? end + escapeBit : end;
    this.#hashes[this.size++] = code;
    this.#names = null;
    return true;
  }

  /** The number of a name; -1 when it is not there. */
  find(name: string): number {
    if (this.size === 0) return -1;
    const bytes = new TextEncoder().encode(name), code = hash(bytes, 0, bytes.length);
    const mask = this.#slots.length - 1;
    for (let slot = code & mask; this.#slots[slot] !== 0; slot = slot + 1 & mask) {
      const other = this.#slots[slot] - 1;
      if (this.#hashes[other] === code && this.#isSame(other, bytes, 0, bytes.length)) return other;
    }
    return -1;
  }

  /** Where a name begins in the bytes, behind its quote. */
  beginOf(index: number): number {
    return this.#begins[index];
  }

  /** A name. */
  at(index: number): string {
    return this.#scanner.textAt(this.#place(index));
  }

  /** All names by number. */
  all(): readonly string[] {
    return this.#names ??= this.#decodeAll();
  }

  #decodeAll(): string[] {
    const names = new Array<string>(this.size), scratch = new Uint8Array(1 << 16);
    // Many at a time: a text in JSON has no line ends but escaped ones.
    let filled = 0, from = 0;
    const flush = (to: number): void => {
      const texts = new TextDecoder("utf-8", { ignoreBOM: true }).decode(scratch.subarray(0, filled)).split(
        "\n",
      );
      for (let i = from; i < to; i++) names[i] = texts[i - from];
      filled = 0;
      from = to;
    };
    for (let i = 0; i < this.size; i++) {
      const { begin, end, escaped } = this.#place(i), length = end - begin;
      if (filled + length + 1 > scratch.length) flush(i);
      if (escaped || length >= scratch.length) {
        flush(i);
        names[i] = this.at(i);
        from = i + 1;
      } else {
        if (i > from) scratch[filled++] = 0x0a;
        for (let at = begin; at < end; at++) scratch[filled++] = this.#bytes[at];
      }
    }
    flush(this.size);
    return names;
  }

  #place(index: number): { begin: number; end: number; escaped: boolean } {
    const end = this.#ends[index];
    return { begin: this.#begins[index], end: end % escapeBit, escaped: end >= escapeBit };
  }

  /** Whether name `index` is that of the bytes from `begin` to `end`. */
  #isSame(index: number, bytes: Uint8Array, begin: number, end: number): boolean {
    const own = this.#place(index);
    let others = this.#bytes, from = own.begin, to = own.end;
    if (own.escaped) {
      others = this.#other = withRoom(this.#other, to - from);
      to = this.#scanner.unescape(own, others);
      from = 0;
    }
    if (to - from !== end - begin) return false;
    for (let i = begin; i < end; i++) if (bytes[i] !== others[from + i - begin]) return false;
    return true;
  }

  /** Makes room, as much as it will take if the rest of the bytes is like what was read. */
  #grow(read: number): void {
    const all = Math.ceil(1.05 * this.size * this.#bytes.length / Math.max(read, 1)) + 16;
    const room = Math.min(Math.max(all, this.size * 2), this.size * 16 + 64);
    this.#begins = withRoom(this.#begins, room);
    this.#ends = withRoom(this.#ends, room);
    this.#hashes = withRoom(this.#hashes, room);
    let slots = this.#slots.length;
    while (slots < 1.5 * room) slots *= 2;
    if (slots === this.#slots.length) return;
    this.#slots = new Int32Array(slots);
    for (let i = 0; i < this.size; i++) {
      let slot = this.#hashes[i] & slots - 1;
      while (this.#slots[slot] !== 0) slot = slot + 1 & slots - 1;
      this.#slots[slot] = i + 1;
    }
  }
}
