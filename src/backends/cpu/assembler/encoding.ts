/**
 * Bytes of the binary format: a buffer that grows, with LEB128 integers, IEEE floats, names and byte vectors.
 *
 * Nothing here allocates per byte; a kernel of some kilobytes is written in well under a millisecond.
 *
 * @module
 */

import { ValidationError } from "./types.ts";

const scratch = new DataView(new ArrayBuffer(8));
const encoder = new TextEncoder();

/** A growable byte buffer that writes the primitive encodings of the binary format. */
export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;

  /**
   * An empty buffer.
   *
   * @param capacity bytes reserved at first; it grows by itself
   */
  constructor(capacity: number = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Forgets what was written and keeps the buffer. */
  clear(): void {
    this.#length = 0;
  }

  /** A view of what was written; it is valid until the next write. */
  view(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  /** A copy of what was written. */
  toBytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  #reserve(extra: number): void {
    const needed = this.#length + extra;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }

  /** One byte. */
  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  /** Bytes as they are. */
  bytes(values: ArrayLike<number>): void {
    this.#reserve(values.length);
    // A call of `set` costs more than the few bytes of an opcode.
    if (values.length > 8) this.#bytes.set(values, this.#length);
    else for (let i = 0; i < values.length; i++) this.#bytes[this.#length + i] = values[i];
    this.#length += values.length;
  }

  /** An unsigned LEB128 integer, `0 <= value < 2^53`. */
  unsigned(value: number): void {
    if (value >= 0 && value < 0x80 && Number.isInteger(value)) return this.byte(value);
    if (!(Number.isSafeInteger(value) && value >= 0)) {
      throw new ValidationError(`an unsigned integer is expected in the binary format, got ${value}`);
    }
    this.#reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80;
      rest = rest < 0x80000000 ? rest >>> 7 : Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length++] = rest;
  }

  /** A signed LEB128 integer of 32 bits; `2^31 … 2^32 - 1` is taken as the same bits, negative. */
  signed32(value: number): void {
    if (!(Number.isInteger(value) && value >= -0x80000000 && value <= 0xffffffff)) {
      throw new ValidationError(`i32.const takes an integer of 32 bits, got ${value}`);
    }
    this.#reserve(5);
    let rest = value | 0;
    while (rest < -64 || rest > 63) {
      this.#bytes[this.#length++] = (rest & 0x7f) | 0x80;
      rest >>= 7;
    }
    this.#bytes[this.#length++] = rest & 0x7f;
  }

  /** A signed LEB128 integer of 64 bits; `2^63 … 2^64 - 1` is taken as the same bits, negative. */
  signed64(value: bigint | number): void {
    if (typeof value === "number") {
      if (value === (value | 0)) return this.signed32(value);
      if (!Number.isSafeInteger(value)) {
        throw new ValidationError(
          `i64.const takes an integer, exact as a number or else a bigint, got ${value}`,
        );
      }
    }
    let rest = BigInt(value);
    if (rest < -(1n << 63n) || rest >= 1n << 64n) {
      throw new ValidationError(`i64.const takes an integer of 64 bits, got ${value}`);
    }
    rest = BigInt.asIntN(64, rest);
    this.#reserve(10);
    while (rest < -64n || rest > 63n) {
      this.#bytes[this.#length++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#bytes[this.#length++] = Number(rest & 0x7fn);
  }

  /** An IEEE float of 32 bits, little endian. */
  f32(value: number): void {
    scratch.setFloat32(0, value, true);
    this.#scratch(4);
  }

  /** An IEEE float of 64 bits, little endian. */
  f64(value: number): void {
    scratch.setFloat64(0, value, true);
    this.#scratch(8);
  }

  #scratch(count: number): void {
    this.#reserve(count);
    for (let i = 0; i < count; i++) this.#bytes[this.#length++] = scratch.getUint8(i);
  }

  /** A name: the length of its UTF-8 bytes, then the bytes. */
  text(value: string): void {
    this.vector(encoder.encode(value));
  }

  /** A byte vector: its length, then the bytes. */
  vector(values: ArrayLike<number>): void {
    this.unsigned(values.length);
    this.bytes(values);
  }
}
