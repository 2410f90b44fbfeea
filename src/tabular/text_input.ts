/**
 * Bytes into text, strictly: UTF-8 or a sentence that says what the file is instead and where that shows.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";

/** Bytes in pieces, in order. */
export type ByteStream = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** Where in the text a reader stands, for messages. */
export interface Position {
  /** The record, the first being 1. */
  readonly row: number;
  /** The cell in the record, the first being 1. */
  readonly column: number;
}

/** What files begin with that are taken for CSV and are not. */
const beginnings: readonly (readonly [readonly number[], string])[] = [
  [[0xff, 0xfe], "UTF-16 text; convert it to UTF-8, for example with iconv -f UTF-16 -t UTF-8"],
  [[0xfe, 0xff], "UTF-16 text; convert it to UTF-8, for example with iconv -f UTF-16 -t UTF-8"],
  [[0x50, 0x4b, 0x03, 0x04], "a zip archive or a spreadsheet (.xlsx); export it as CSV"],
  [[0x1f, 0x8b], "compressed with gzip; unpack it first"],
  [[0x50, 0x41, 0x52, 0x31], "a Parquet file; export it as CSV"],
];

/** The index of the first byte that is not UTF-8; the length when all are, or the last character is not complete. */
function firstInvalid(bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length;) {
    const b = bytes[i];
    const length = b < 0x80
      ? 1
      : b >= 0xc2 && b < 0xe0
      ? 2
      : b >= 0xe0 && b < 0xf0
      ? 3
      : b >= 0xf0 && b < 0xf5
      ? 4
      : 0;
    if (length === 0) return i;
    for (let k = 1; k < length && i + k < bytes.length; k++) {
      const next = bytes[i + k];
      const low = k > 1 ? 0x80 : b === 0xe0 ? 0xa0 : b === 0xf0 ? 0x90 : 0x80;
      const high = k > 1 ? 0xbf : b === 0xed ? 0x9f : b === 0xf4 ? 0x8f : 0xbf;
      if (next < low || next > high) return i;
    }
    i += length;
  }
  return bytes.length;
}

/** Bytes that end in the middle of a character are kept for the next piece: how many of them. */
function unfinished(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const b = bytes[bytes.length - back];
    if (b >= 0xc0) return (b >= 0xf0 ? 4 : b >= 0xe0 ? 3 : 2) > back ? back : 0;
    if (b < 0x80) return 0;
  }
  return 0;
}

/** A decoder that is fed bytes and gives text, or the reason why it cannot at the text before it. */
export class StrictDecoder {
  readonly #name: string;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  #rest: Uint8Array = new Uint8Array(0);
  #begun = false;

  /** `name` is what the messages call the file. */
  constructor(name: string) {
    this.#name = name;
  }

  /**
   * The text of the next bytes. `where` is asked, with the text before the fault, for the place of a fault.
   *
   * @throws {FormatError} for bytes that are not UTF-8 text.
   */
  decode(bytes: Uint8Array, where: (before: string) => Position): string {
    if (!this.#begun && bytes.length > 0) {
      this.#begun = true;
      for (const [magic, what] of beginnings) {
        if (magic.every((byte, i) => bytes[i] === byte)) throw new FormatError(`${this.#name} is ${what}`);
      }
      if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) bytes = bytes.subarray(3);
    }
    const zero = bytes.indexOf(0);
    if (zero >= 0) throw this.#zeroByte(bytes, zero, where);
    const all = this.#rest.length === 0 ? bytes : joined(this.#rest, bytes);
    const cut = all.length - unfinished(all), whole = all.subarray(0, cut);
    this.#rest = all.slice(cut);
    try {
      return this.#decoder.decode(whole);
    } catch {
      const at = firstInvalid(whole);
      throw this.#invalid(whole[at], where(this.#decoder.decode(whole.subarray(0, at))));
    }
  }

  /** To be called after the last bytes. @throws {FormatError} when the last character is not complete. */
  finish(where: (before: string) => Position): void {
    if (this.#rest.length > 0) throw this.#invalid(this.#rest[0], where(""));
  }

  #zeroByte(bytes: Uint8Array, at: number, where: (before: string) => Position): FormatError {
    const evens = [0, 2, 4, 6].every((i) => bytes[i] === 0), odds = [1, 3, 5, 7].every((i) => bytes[i] === 0);
    if (evens !== odds) {
      return new FormatError(
        `${this.#name} is UTF-16 text; convert it to UTF-8, for example with iconv -f UTF-16 -t UTF-8`,
      );
    }
    const { row, column } = where(new TextDecoder().decode(bytes.subarray(0, at)));
    return new FormatError(`${this.#name} is not a text file: row ${row}, column ${column} has a zero byte`);
  }

  #invalid(byte: number, { row, column }: Position): FormatError {
    const shown = byte >= 0xa0 ? ` ("${String.fromCharCode(byte)}" in Latin-1)` : "";
    return new FormatError(
      `${this.#name} is not UTF-8: row ${row}, column ${column} has the byte 0x${
        byte.toString(16).toUpperCase()
      }${shown}; ` +
        "convert it, for example with iconv -f LATIN1 -t UTF-8",
    );
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
