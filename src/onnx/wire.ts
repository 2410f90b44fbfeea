/**
 * Reading Protocol Buffers: fields one after another, each a tag and a value (protobuf.dev, "Encoding").
 *
 * Messages that fit into memory are walked where they lie, and what is bytes is a view of them. `walk` goes through a
 * message in a source of any size and reads no more of it than heads of fields and what is asked for, so that a file of
 * many gigabytes costs what its graph costs. A length that leads outside is an error before anything is taken.
 *
 * @module
 */
import type { ByteSource } from "../core/byte_source.ts";
import { FormatError } from "../core/errors.ts";
import { counted } from "../core/show.ts";

const decoder = new TextDecoder("utf-8", { fatal: true });

/** How a field's value is written. */
export const wireTypes = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** A message in memory, walked field by field. `at` is the place of its first byte in the file. */
export class WireReader {
  /** The number of the field that {@link next} came to. */
  field = 0;
  /** How its value is written. */
  wire = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #where: string;
  readonly #at: number;
  #pos = 0;

  constructor(bytes: Uint8Array, where: string, at = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#where = where;
    this.#at = at;
  }

  /** An error at this place. */
  fail(what: string): FormatError {
    return new FormatError(`${this.#where}: ${what}, at byte ${this.#at + this.#pos}`);
  }

  /** Goes to the next field; false behind the last. The value must be taken or skipped. */
  next(): boolean {
    if (this.#pos >= this.#bytes.length) return false;
    const tag = this.#varint();
    if (tag > 0xffffffffn || tag < 8n) throw this.fail(`${tag} is no tag of a field`);
    this.field = Number(tag >> 3n);
    this.wire = Number(tag & 7n);
    return true;
  }

  #varint(): bigint {
    const bytes = this.#bytes;
    let low = 0, shift = 1;
    // Most are short: numbers do for seven bytes.
    for (let i = 0; i < 7; i++) {
      if (this.#pos >= bytes.length) throw this.fail("a number has no end");
      const byte = bytes[this.#pos++];
      low += (byte & 127) * shift;
      if (byte < 128) return BigInt(low);
      shift *= 128;
    }
    let value = BigInt(low);
    for (let i = 7n; i < 10n; i++) {
      if (this.#pos >= bytes.length) throw this.fail("a number has no end");
      const byte = bytes[this.#pos++];
      value |= BigInt(byte & 127) << (7n * i);
      if (byte < 128) return BigInt.asUintN(64, value);
    }
    throw this.fail("a number is longer than ten bytes");
  }

  #demand(wire: number, what: string): void {
    if (this.wire !== wire) throw this.fail(`field ${this.field} is not written as ${what}`);
  }

  #room(count: number): number {
    if (count > this.#bytes.length - this.#pos) {
      throw this.fail(
        `field ${this.field} has ${counted(count, "byte")}, ${this.#bytes.length - this.#pos} are left`,
      );
    }
    this.#pos += count;
    return this.#pos - count;
  }

  /** An int64 as a bigint. */
  long(): bigint {
    this.#demand(wireTypes.varint, "a number");
    return BigInt.asIntN(64, this.#varint());
  }

  /** A whole number that a double holds. */
  integer(): number {
    const value = this.long();
    if (value > 9007199254740991n || value < -9007199254740991n) {
      throw this.fail(`field ${this.field} is ${value}, beyond what is counted here`);
    }
    return Number(value);
  }

  /** A float. */
  float(): number {
    this.#demand(wireTypes.fixed32, "a float");
    return this.#view.getFloat32(this.#room(4), true);
  }

  /** The bytes of a field, as a view. */
  bytes(): Uint8Array {
    this.#demand(wireTypes.bytes, "bytes");
    const length = this.#length(), start = this.#room(length);
    return this.#bytes.subarray(start, start + length);
  }

  #length(): number {
    const length = this.#varint();
    if (length > BigInt(this.#bytes.length)) {
      throw this.fail(
        `field ${this.field} has ${counted(length, "byte")}, ${this.#bytes.length - this.#pos} are left`,
      );
    }
    return Number(length);
  }

  /** A text. @throws {FormatError} for bytes that are no UTF-8. */
  text(): string {
    const bytes = this.bytes();
    try {
      return decoder.decode(bytes);
    } catch {
      throw this.fail(`field ${this.field} is no UTF-8 text`);
    }
  }

  /** The message in a field. */
  message(): WireReader {
    const bytes = this.bytes();
    return new WireReader(bytes, this.#where, this.#at + this.#pos - bytes.length);
  }

  /** Where the bytes of the field that was read last begin in the file, for a view of `length` bytes. */
  placeOf(length: number): number {
    return this.#at + this.#pos - length;
  }

  /** One number of a repeated field, or a packed list of them. */
  longs(out: bigint[], most: number): void {
    if (this.wire === wireTypes.varint) out.push(this.long());
    else {
      const inner = this.message();
      while (inner.#pos < inner.#bytes.length) {
        if (out.length >= most) throw this.fail(`field ${this.field} has more than ${most} numbers`);
        out.push(BigInt.asIntN(64, inner.#varint()));
      }
    }
    if (out.length > most) throw this.fail(`field ${this.field} has more than ${most} numbers`);
  }

  /** One float of a repeated field, or a packed list of them. */
  floats(out: number[]): void {
    if (this.wire === wireTypes.fixed32) return void out.push(this.float());
    const inner = this.message(), { length } = inner.#bytes;
    if (length % 4) throw this.fail(`field ${this.field} has ${counted(length, "byte")}, no list of floats`);
    for (let i = 0; i < length; i += 4) out.push(inner.#view.getFloat32(i, true));
  }

  /** One double of a repeated field, or a packed list of them. */
  doubles(out: number[]): void {
    if (this.wire === wireTypes.fixed64) {
      return void out.push(this.#view.getFloat64(this.#room(8), true));
    }
    const inner = this.message(), { length } = inner.#bytes;
    if (length % 8) throw this.fail(`field ${this.field} has ${counted(length, "byte")}, no list of doubles`);
    for (let i = 0; i < length; i += 8) out.push(inner.#view.getFloat64(i, true));
  }

  /** Passes over the value of a field. */
  skip(): void {
    if (this.wire === wireTypes.varint) this.#varint();
    else if (this.wire === wireTypes.fixed64) this.#room(8);
    else if (this.wire === wireTypes.bytes) this.bytes();
    else if (this.wire === wireTypes.fixed32) this.#room(4);
    else throw this.fail(`field ${this.field} is written in the way ${this.wire}, which no field is`);
  }
}

/** Bytes of a source that {@link walk} looks at in one go. */
const pageSize = 1 << 16;

/** A field of a message in a source: its number, and where its value is; `head` reads what is no bytes. */
export interface FieldPlace {
  readonly field: number;
  readonly wire: number;
  /** The tag and, of what is no bytes, the value. */
  readonly head: WireReader;
  /** Where the value begins. */
  readonly start: number;
  /** Its length in bytes. */
  readonly length: number;
}

/** Goes through the fields of the message at `start` in `source`, reading their heads alone. */
export async function* walk(
  source: ByteSource,
  start: number,
  length: number,
  where: string,
): AsyncGenerator<FieldPlace> {
  const end = start + length;
  let page: Uint8Array = new Uint8Array(0), pageAt = start;
  for (let at = start; at < end;) {
    // A tag has at most five bytes, a length or number ten.
    const want = Math.min(20, end - at);
    if (at < pageAt || at + want > pageAt + page.length) {
      page = await source.read(at, Math.min(pageSize, end - at));
      pageAt = at;
    }
    const window = page.subarray(at - pageAt, at - pageAt + want);
    const head = new WireReader(window, where, at), place = headOf(head, window);
    if (place.length > end - at - place.start) {
      throw head.fail(
        `field ${head.field} has ${counted(place.length, "byte")}, ${end - at - place.start} are left`,
      );
    }
    yield {
      field: head.field,
      wire: head.wire,
      head: new WireReader(window.subarray(0, place.start + (head.wire === 2 ? 0 : place.length)), where, at),
      start: at + place.start,
      length: place.length,
    };
    at += place.start + place.length;
  }
}

/** Where the value of the field in `window` begins, and how long it is. */
function headOf(head: WireReader, window: Uint8Array): { start: number; length: number } {
  head.next();
  let at = 0;
  while (window[at++] >= 128);
  const tagEnd = at;
  if (head.wire === wireTypes.fixed32) return { start: at, length: 4 };
  if (head.wire === wireTypes.fixed64) return { start: at, length: 8 };
  let value = 0n, shift = 0n;
  for (; at < window.length; shift += 7n) {
    const byte = window[at++];
    value |= BigInt(byte & 127) << shift;
    if (byte >= 128 && shift < 63n) continue;
    if (byte >= 128) break;
    if (head.wire === wireTypes.varint) return { start: tagEnd, length: at - tagEnd };
    if (head.wire !== wireTypes.bytes) break;
    if (value > 9007199254740991n) throw head.fail(`field ${head.field} has ${counted(value, "byte")}`);
    return { start: at, length: Number(value) };
  }
  throw head.fail(`field ${head.field} is written in no known way`);
}
