/**
 * Bytes into text, strictly: what is not text in the file's encoding is a sentence that says where that shows.
 *
 * The encoding is that of the byte order mark, else UTF-16 where every other byte of the beginning is zero, else UTF-8.
 * Nothing is guessed beyond that: a file in Latin-1 is refused until its encoding is said.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";

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
  [[0xff, 0xfe, 0, 0], "UTF-32 text; convert it, for example with iconv -f UTF-32 -t UTF-8"],
  [[0, 0, 0xfe, 0xff], "UTF-32 text; convert it, for example with iconv -f UTF-32 -t UTF-8"],
  [[0x50, 0x4b, 0x03, 0x04], "a zip archive or a spreadsheet (.xlsx); export it as CSV"],
  [[0xd0, 0xcf, 0x11, 0xe0], "a spreadsheet of an older kind (.xls); export it as CSV"],
  [[0x1f, 0x8b], "compressed with gzip; unpack it first"],
  [[0x50, 0x41, 0x52, 0x31], "a Parquet file; export it as CSV"],
];

const marks: readonly (readonly [readonly number[], string])[] = [
  [[0xef, 0xbb, 0xbf], "utf-8"],
  [[0xff, 0xfe], "utf-16le"],
  [[0xfe, 0xff], "utf-16be"],
];

/** So many bytes are waited for before the encoding is told, unless the file has fewer. */
const beginning = 64;

const startsWith = (bytes: Uint8Array, start: readonly number[]): boolean =>
  start.every((byte, i) => bytes[i] === byte);

/** Whether this runtime knows an encoding of that name. */
export function isEncoding(label: string): boolean {
  try {
    return new TextDecoder(label).encoding !== "";
  } catch {
    return false;
  }
}

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

/** Asks the reader of the text where in the file it stands after some more of it. */
export type Where = (before: string) => Position;

/** A decoder that is fed bytes and gives text, or the reason why it cannot. */
export class StrictDecoder {
  readonly #name: string;
  readonly #given: string | null;
  #decoder: TextDecoder | null = null;
  #rest: Uint8Array = new Uint8Array(0);
  /** Why the encoding is the one that it is. */
  evidence = "";

  /** `name` is what the messages call the file; `encoding` is told by the file when it is not given. */
  constructor(name: string, encoding?: string) {
    this.#name = name;
    this.#given = encoding === undefined ? null : new TextDecoder(encoding).encoding;
  }

  /** The name of the encoding; "" before it is known. */
  get encoding(): string {
    return this.#decoder?.encoding ?? "";
  }

  /**
   * The text of the next bytes; `last` when there are no more. `where` is asked, with the text before it, for the place
   * of a fault.
   *
   * @throws {FormatError} for bytes that are no text in this encoding.
   */
  decode(piece: Uint8Array, last: boolean, where: Where): string {
    let bytes = this.#rest.length === 0 ? piece : joined(this.#rest, piece);
    if (this.#decoder === null) {
      if (bytes.length < beginning && !last) {
        this.#rest = bytes.slice();
        return "";
      }
      bytes = this.#begin(bytes);
    }
    const text = this.encoding === "utf-8" ? this.#utf8(bytes, last, where) : this.#other(bytes, last, where);
    const zero = text.indexOf("\0");
    if (zero < 0) return text;
    const { row, column } = where(text.slice(0, zero));
    throw new FormatError(
      `${this.#name} is not a text file: row ${row}, column ${column} has a zero byte; if it is one all the same, ` +
        `take such bytes out, for example with tr -d '\\000'`,
    );
  }

  /** Decides the encoding, and takes the byte order mark off. */
  #begin(bytes: Uint8Array): Uint8Array {
    for (const [magic, what] of beginnings) {
      if (startsWith(bytes, magic)) throw new FormatError(`${this.#name} is ${what}`);
    }
    const [mark, marked] = marks.find(([mark]) => startsWith(bytes, mark)) ?? [[], null];
    const pattern = marked === null ? zeroPattern(bytes) : null;
    const encoding = this.#given ?? marked ?? pattern ?? "utf-8";
    if (
      marked !== null && encoding !== marked &&
      !(encoding.startsWith("utf-16") && marked.startsWith("utf-16"))
    ) {
      throw new FormatError(
        `${this.#name} begins with the byte order mark of ${marked}, so it is not ${encoding}; leave the encoding out`,
      );
    }
    this.evidence = marked !== null
      ? "its byte order mark"
      : this.#given !== null
      ? "as asked"
      : pattern !== null
      ? "every other byte at the beginning is zero"
      : "no byte order mark, and every byte is valid";
    this.#decoder = new TextDecoder(marked ?? encoding, { fatal: true, ignoreBOM: true });
    this.#rest = new Uint8Array(0);
    return bytes.subarray(mark.length);
  }

  #utf8(bytes: Uint8Array, last: boolean, where: Where): string {
    const cut = last ? bytes.length : bytes.length - unfinished(bytes), whole = bytes.subarray(0, cut);
    this.#rest = bytes.slice(cut);
    try {
      return this.#decoder!.decode(whole);
    } catch {
      let at = firstInvalid(whole);
      // All that is there is valid: the last character is not complete.
      if (at === whole.length) at -= unfinished(whole);
      const byte = whole[at], { row, column } = where(this.#decoder!.decode(whole.subarray(0, at)));
      const shown = byte >= 0xa0 ? ` ("${String.fromCharCode(byte)}" in Latin-1)` : "";
      throw new FormatError(
        `${this.#name} is not UTF-8: row ${row}, column ${column} has the byte 0x${
          byte.toString(16).toUpperCase()
        }${shown}; convert it, for example with iconv -f LATIN1 -t UTF-8, or say what it is, for example with ` +
          "--encoding windows-1252",
      );
    }
  }

  #other(bytes: Uint8Array, last: boolean, where: Where): string {
    this.#rest = new Uint8Array(0);
    try {
      return this.#decoder!.decode(bytes, { stream: !last });
    } catch {
      throw new FormatError(
        `${this.#name} is not ${this.encoding} (${this.evidence}): from row ${
          where("").row
        } on there are bytes that are ` +
          "no characters in it; say with --encoding what it is",
      );
    }
  }
}

/** UTF-16 without a byte order mark: Latin letters have a zero beside each byte. */
function zeroPattern(bytes: Uint8Array): "utf-16le" | "utf-16be" | null {
  const zeros = [0, 0], length = Math.min(bytes.length, beginning) & ~1;
  for (let i = 0; i < length; i++) if (bytes[i] === 0) zeros[i & 1]++;
  const many = length / 4;
  if (length < 4 || Math.max(...zeros) < many || Math.min(...zeros) > 0) return null;
  return zeros[1] > 0 ? "utf-16le" : "utf-16be";
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
