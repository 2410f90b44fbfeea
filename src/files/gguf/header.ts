/**
 * The header of a GGUF file: notes of any kind, then what lies where.
 *
 * Little endian, versions 2 and 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). The header has no length
 * of its own, so it is parsed from a first piece of the file, and from a larger one where that was not enough. Every count
 * and length is held against the bytes that are left before anything of its size is made; what comes out can be trusted.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import { formatShape } from "../../core/shape.ts";
import { counted } from "../../core/show.ts";
import { quote } from "../quote.ts";
import { type GgufType, ggufTypeOf, ggufTypes, unreadType } from "./types.ts";

/**
 * A note of a file. Numbers of 64 bits that f64 does not hold are bigints; arrays of numbers are typed arrays.
 *
 * @category Files
 */
export type GgufValue = number | bigint | boolean | string | GgufArray;

/**
 * An array among the notes.
 *
 * @category Files
 */
export type GgufArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array
  | readonly boolean[]
  | readonly string[]
  | readonly GgufArray[];

/**
 * One tensor as the header describes it.
 *
 * @category Files
 */
export interface GgufEntry {
  /** Its name. */
  readonly name: string;
  /** Its type. */
  readonly type: GgufType;
  /** Its sizes, outermost first (the file has them the other way round). */
  readonly shape: readonly number[];
  /** Its first byte, counted from the start of the file. */
  readonly begin: number;
  /** Its bytes. */
  readonly byteLength: number;
}

/**
 * A checked header.
 *
 * @category Files
 */
export interface GgufHeader {
  /** The format's version, 2 or 3. */
  readonly version: number;
  /** The notes, in the file's order. */
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** The types of notes that are numbers, such as "u32". */
  readonly kinds: ReadonlyMap<string, string>;
  /** The tensors, in the file's order. */
  readonly entries: readonly GgufEntry[];
  /** Bytes from the start of the file to its first tensor. */
  readonly dataStart: number;
}

/** The largest header that is read, in bytes. The largest vocabularies in use take about 10 MB. */
export const maxGgufHeaderBytes = 256 << 20;
/** Axes of a tensor at most: ggml's own limit. */
const mostAxes = 4;
/** Notes, tensors and arrays of a header at most, and entries that are no numbers: what takes far more memory than bytes. */
const mostThings = 1 << 20, mostTexts = 1 << 24;
/** Arrays of arrays go no deeper. */
const mostDepth = 3;
/** The longest name of a note or a tensor, in bytes; the format's limit. */
const longestName = 65535;

/** Thrown inside, where the piece at hand is too short. */
class TooShort extends Error {}

const numbers = [
  Uint8Array,
  Int8Array,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  null,
  null,
  null,
  BigUint64Array,
  BigInt64Array,
  Float64Array,
] as const;

const names = "u8 i8 u16 i16 u32 i32 f32 bool string array u64 i64 f64".split(" ");
/** The least bytes that a value takes: of strings and arrays, their lengths. */
const least = [1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8];

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

/** A short text of ASCII, as most tokens are: a decoder takes longer to be called than this takes. */
function shortAscii(bytes: Uint8Array): string | null {
  if (bytes.length > 32) return null;
  for (const byte of bytes) if (byte > 127) return null;
  return String.fromCharCode(...bytes);
}

/** Reads the front of a file. */
class Cursor {
  at = 0;
  #arrays = 0;
  #texts = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #size: number;
  readonly #file: string;

  constructor(bytes: Uint8Array, size: number, file: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#size = size;
    this.#file = file;
  }

  fail(what: string, at = this.at): never {
    throw new FormatError(`${this.#file}: ${what} at byte ${at}`);
  }

  /** The place of `length` bytes, which are passed over. */
  take(length: number, what: string): number {
    const at = this.at;
    if (at + length > this.#size) {
      this.fail(
        `${what} takes ${counted(length, "byte")} and ${
          this.#size - at
        } are left; the file is truncated or damaged,`,
      );
    }
    if (at + length > maxGgufHeaderBytes) {
      this.fail(
        `${what} of ${
          counted(length, "byte")
        } goes beyond the limit of ${maxGgufHeaderBytes} bytes of header`,
      );
    }
    if (at + length > this.#bytes.length) throw new TooShort();
    this.at += length;
    return at;
  }

  u32(what: string): number {
    return this.#view.getUint32(this.take(4, what), true);
  }

  /** A count or a length, which no file has more of than f64 counts. */
  count(what: string): number {
    const at = this.take(8, what), value = Number(this.#view.getBigUint64(at, true));
    if (!Number.isSafeInteger(value)) this.fail(`${what} is ${value}, more than any file holds,`, at);
    return value;
  }

  string(what: string, longest = Infinity): string {
    const at = this.at, length = this.count("the length of a text");
    if (length > longest) {
      this.fail(`${what} is ${counted(length, "byte")} long, at most ${longest} are allowed,`, at);
    }
    const from = this.take(length, what), bytes = this.#bytes.subarray(from, from + length);
    // Texts, such as tokens that are parts of characters, may be anything; names may not.
    if (longest === Infinity) return shortAscii(bytes) ?? lenient.decode(bytes);
    try {
      return strict.decode(bytes);
    } catch {
      this.fail(`${what} is not UTF-8`, from);
    }
  }

  /** The type of a value. */
  kind(what: string): number {
    const at = this.at, kind = this.u32(`the type of ${what}`);
    if (kind >= names.length) {
      this.fail(`${what} is of type ${kind}, and there are 0 to ${names.length - 1},`, at);
    }
    return kind;
  }

  value(kind: number, what: string, depth = 0): GgufValue {
    if (kind === 8) return this.string(what);
    if (kind === 9) return this.#array(what, depth);
    const at = this.take(least[kind], what), view = this.#view;
    switch (kind) {
      case 0:
        return view.getUint8(at);
      case 1:
        return view.getInt8(at);
      case 2:
        return view.getUint16(at, true);
      case 3:
        return view.getInt16(at, true);
      case 4:
        return view.getUint32(at, true);
      case 5:
        return view.getInt32(at, true);
      case 6:
        return view.getFloat32(at, true);
      case 7:
        if (view.getUint8(at) > 1) this.fail(`${what} is a bool of ${view.getUint8(at)}`, at);
        return view.getUint8(at) === 1;
      case 12:
        return view.getFloat64(at, true);
      default: {
        const big = kind === 10 ? view.getBigUint64(at, true) : view.getBigInt64(at, true),
          small = Number(big);
        return Number.isSafeInteger(small) ? small : big;
      }
    }
  }

  #array(what: string, depth: number): GgufArray {
    if (depth === mostDepth) this.fail(`${what} holds arrays in arrays more than ${mostDepth} deep`);
    if (++this.#arrays > mostThings) {
      this.fail(`${what} is the ${this.#arrays}th array; ${mostThings} are read,`);
    }
    const kind = this.kind(`what ${what} holds`), length = this.count(`the length of ${what}`);
    if (length * least[kind] > this.#size - this.at) {
      this.fail(
        `${what} says it holds ${counted(length, "value")} of ${names[kind]}, for which the ${
          counted(this.#size - this.at, "byte")
        } ` +
          "that are left are too few,",
      );
    }
    const Numbers = numbers[kind];
    if (Numbers !== null) {
      const from = this.take(length * least[kind], what);
      // A copy is aligned, whatever the place in the file.
      return new Numbers(this.#bytes.slice(from, from + length * least[kind]).buffer);
    }
    this.#texts += length;
    if (this.#texts > mostTexts) {
      this.fail(
        `with ${what} there are ${
          counted(this.#texts, "text")
        }, truth values and lists; ${mostTexts} are read,`,
      );
    }
    const out: unknown[] = [], entry = `an entry of ${what}`;
    for (let i = 0; i < length; i++) out.push(this.value(kind, entry, depth + 1));
    return out as unknown as GgufArray;
  }
}

/** A number among the notes that the format itself needs. */
function alignmentOf(metadata: ReadonlyMap<string, GgufValue>, file: string): number {
  const value = metadata.get("general.alignment") ?? 32;
  // A multiple of 8 in the format's words; ggml itself takes powers of two alone.
  if (typeof value !== "number" || !(value >= 1 && value <= 1 << 20) || (value & value - 1) !== 0) {
    throw new FormatError(
      `${file}: general.alignment is ${String(value)}, expected a power of two up to ${1 << 20}`,
    );
  }
  return value;
}

/** One tensor; its place still counts from the first one. */
function entryOf(cursor: Cursor, index: number): GgufEntry {
  const at = cursor.at,
    name = cursor.string(`the name of tensor ${index}`, longestName),
    what = `tensor ${quote(name)}`;
  const axes = cursor.u32(`the number of axes of ${what}`);
  if (axes > mostAxes) {
    cursor.fail(`${what} has ${counted(axes, "axis", "axes")}, and ${mostAxes} are the most,`, at);
  }
  const shape: number[] = [];
  for (let i = 0; i < axes; i++) shape.unshift(cursor.count(`size ${i} of ${what}`));
  const id = cursor.u32(`the type of ${what}`), type = ggufTypeOf(id);
  if (type === null) {
    cursor.fail(`${what} is ${unreadType(id)}; ${Object.keys(ggufTypes).join(" ")} are read; it stands`, at);
  }
  const begin = cursor.count(`the place of ${what}`), { values, bytes } = ggufTypes[type];
  const size = shape.reduce((product, n) => product * n, 1), row = shape.at(-1) ?? 1;
  if (!Number.isSafeInteger(size * bytes)) {
    cursor.fail(`${what} ${formatShape(shape)} is larger than any file`, at);
  }
  if (row % values !== 0) {
    cursor.fail(
      `${what} ${
        formatShape(shape)
      } is ${type}, in blocks of ${values} along its last axis, which they do not fill,`,
      at,
    );
  }
  return { name, type, shape, begin, byteLength: size / values * bytes };
}

/** The tensors with their places in the file. @throws {FormatError} where they overlap or reach beyond it. */
function placed(
  entries: readonly GgufEntry[],
  start: number,
  alignment: number,
  size: number,
  file: string,
): GgufEntry[] {
  const out = entries.map((entry) => ({ ...entry, begin: entry.begin + start }));
  let end = start;
  for (const entry of out.toSorted((a, b) => a.begin - b.begin)) {
    const what = `${file}: tensor ${quote(entry.name)}`;
    if ((entry.begin - start) % alignment !== 0) {
      throw new FormatError(
        `${what} begins at byte ${entry.begin}, which is no multiple of ${alignment} from ${start}`,
      );
    }
    if (entry.begin < end) {
      throw new FormatError(`${what} begins at byte ${entry.begin}, inside of another tensor`);
    }
    end = entry.begin + entry.byteLength;
    if (end > size) {
      throw new FormatError(`${what} ends at byte ${end}, and the file has ${size}; it is truncated`);
    }
  }
  return out;
}

/** The header at the front of a file, or null when `bytes` are too few. */
export function parseGgufHeader(bytes: Uint8Array, size: number, file: string): GgufHeader | null {
  const cursor = new Cursor(bytes, size, file);
  try {
    if (cursor.u32("the mark") !== 0x46554747) cursor.fail("there is no GGUF", 0);
    const version = cursor.u32("the version");
    if (version === 1 || version === 0x3000000 || version === 0x2000000) {
      cursor.fail(
        `the version is ${
          version === 1 ? "1" : "for big-endian machines"
        }; 2 and 3, little endian, are read,`,
        4,
      );
    }
    if (version !== 2 && version !== 3) cursor.fail(`the version is ${version}; 2 and 3 are read,`, 4);
    const tensors = cursor.count("the number of tensors"), notes = cursor.count("the number of notes");
    // A tensor takes 24 bytes of header at least, a note 13.
    if (tensors * 24 + notes * 13 > size) {
      cursor.fail(
        `${counted(tensors, "tensor")} and ${counted(notes, "note")} do not fit into the ${
          counted(size, "byte")
        } of the file, as is said`,
        8,
      );
    }
    if (Math.max(tensors, notes) > mostThings) {
      cursor.fail(
        `${counted(tensors, "tensor")} and ${
          counted(notes, "note")
        } are said; ${mostThings} of each are read,`,
        8,
      );
    }
    const metadata = new Map<string, GgufValue>(), kinds = new Map<string, string>();
    for (let i = 0; i < notes; i++) {
      const at = cursor.at, key = cursor.string(`the name of note ${i}`, longestName);
      if (metadata.has(key)) cursor.fail(`note ${quote(key)} stands twice, the second time`, at);
      const what = `note ${quote(key)}`, kind = cursor.kind(what), value = cursor.value(kind, what);
      metadata.set(key, value);
      if (typeof value === "number" || typeof value === "bigint") kinds.set(key, names[kind]);
    }
    const entries: GgufEntry[] = [], seen = new Set<string>();
    for (let i = 0; i < tensors; i++) {
      const at = cursor.at, entry = entryOf(cursor, i);
      if (seen.has(entry.name)) cursor.fail(`tensor ${quote(entry.name)} stands twice, the second time`, at);
      seen.add(entry.name);
      entries.push(entry);
    }
    const alignment = alignmentOf(metadata, file), start = Math.ceil(cursor.at / alignment) * alignment;
    return {
      version,
      metadata,
      kinds,
      entries: placed(entries, start, alignment, size, file),
      dataStart: start,
    };
  } catch (error) {
    if (error instanceof TooShort) return null;
    throw error;
  }
}
