/**
 * Writing Protocol Buffers: fields one after another, each a tag and a value, nested messages as bytes with their
 * length before them. the format is that of protobuf.dev, "Encoding".
 *
 * @module
 */

import { OptionError } from "../core/errors.ts";

const encoder = new TextEncoder();

/** A message that grows field by field. Field numbers are the schema's; a field may be written again (repeated). */
export class ProtobufWriter {
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(256);
  #length = 0;

  #room(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }

  /** Seven bits a byte, lowest first; the top bit says that more follow. */
  #varint(value: number): void {
    this.#room(10);
    if (value < 0) {
      // A negative int64 is its two's complement, which always takes ten bytes.
      let rest = BigInt.asUintN(64, BigInt(value));
      for (; rest > 127n; rest >>= 7n) this.#bytes[this.#length++] = Number(rest & 127n) | 128;
      this.#bytes[this.#length++] = Number(rest);
      return;
    }
    for (; value > 127; value = Math.floor(value / 128)) this.#bytes[this.#length++] = value % 128 | 128;
    this.#bytes[this.#length++] = value;
  }

  /** A field of type int32, int64, bool or enum: a safe integer. */
  integer(field: number, value: number): this {
    if (!Number.isSafeInteger(value)) throw new OptionError(`field ${field} holds an integer, not ${value}`);
    this.#varint(field * 8);
    this.#varint(value);
    return this;
  }

  /** A field of type int64: any. */
  long(field: number, value: bigint): this {
    if (value <= 9007199254740991n && value >= -9007199254740991n) return this.integer(field, Number(value));
    this.#varint(field * 8);
    this.#room(10);
    let rest = BigInt.asUintN(64, value);
    for (; rest > 127n; rest >>= 7n) this.#bytes[this.#length++] = Number(rest & 127n) | 128;
    this.#bytes[this.#length++] = Number(rest);
    return this;
  }

  /** A field of type float. */
  float(field: number, value: number): this {
    this.#varint(field * 8 + 5);
    this.#room(4);
    new DataView(this.#bytes.buffer).setFloat32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  /** A field of type double. */
  double(field: number, value: number): this {
    this.#varint(field * 8 + 1);
    this.#room(8);
    new DataView(this.#bytes.buffer).setFloat64(this.#length, value, true);
    this.#length += 8;
    return this;
  }

  /** A field of type bytes. */
  bytes(field: number, value: Uint8Array): this {
    this.#varint(field * 8 + 2);
    this.#varint(value.length);
    this.#room(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** A field of type string. */
  string(field: number, value: string): this {
    return this.bytes(field, encoder.encode(value));
  }

  /** A field that is a message, written by `write`. */
  message(field: number, write: (message: ProtobufWriter) => void): this {
    const message = new ProtobufWriter();
    write(message);
    return this.bytes(field, message.#bytes.subarray(0, message.#length));
  }

  /** What was written, in bytes of its own. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }
}
