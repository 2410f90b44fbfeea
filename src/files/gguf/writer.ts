/**
 * Writing GGUF, version 3: the header is worked out from names, types and shapes, then bytes are streamed tensor by
 * tensor, so that nothing is held or copied whole.
 *
 * @module
 */
import { FormatError, OptionError } from "../../core/errors.ts";
import { formatShape, sizeOf } from "../../core/shape.ts";
import { counted } from "../../core/show.ts";
import { quote } from "../quote.ts";
import { isBlockType } from "./dequantize.ts";
import type { GgufValue } from "./header.ts";
import { quantize, writableTypes } from "./quantize.ts";
import { type GgufType, ggufTypes } from "./types.ts";

/**
 * A note with the type it is written as, where the value alone does not tell.
 *
 * @category Files
 */
export interface TypedNote {
  /** One of the format's types of numbers. */
  readonly type: "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "f32" | "u64" | "i64" | "f64";
  /** The number. */
  readonly value: number | bigint;
}

/**
 * What notes are written from: whole numbers without a type become u32 (i32 below 0), others f32.
 *
 * @category Files
 */
export type GgufNotes = Readonly<Record<string, GgufValue | TypedNote | readonly number[]>>;

/** A tensor to be written. */
export interface GgufTensorToSave {
  /** Its name. */
  readonly name: string;
  /** Its type in the file. */
  readonly type: GgufType;
  /** Its sizes, outermost first. */
  readonly shape: readonly number[];
  /** Its bytes in the file's form, asked for once, when it is its turn. */
  readonly bytes: () => Uint8Array | Promise<Uint8Array>;
}

/** A file to be written. */
export interface GgufPlan {
  /** Its size in bytes. */
  readonly byteLength: number;
  /** Its bytes, piece by piece. @throws {FormatError} when a tensor's bytes are not as many as its shape says. */
  chunks(): AsyncGenerator<Uint8Array, void, undefined>;
}

const alignment = 32;
const kinds = [
  "u8",
  "i8",
  "u16",
  "i16",
  "u32",
  "i32",
  "f32",
  "bool",
  "string",
  "array",
  "u64",
  "i64",
  "f64",
] as const;
type KindName = typeof kinds[number];
const encoder = new TextEncoder();

/** Bytes that grow. */
class Sink {
  #bytes = new Uint8Array(1 << 12);
  #view = new DataView(this.#bytes.buffer);
  length = 0;

  /** The place of `n` more bytes. */
  #room(n: number): number {
    const at = this.length;
    this.length += n;
    if (this.length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }

  number(kind: KindName, value: number | bigint): void {
    const at = this.#room(kind.endsWith("64") ? 8 : kind.endsWith("32") ? 4 : kind.endsWith("16") ? 2 : 1);
    const into = this.#view;
    if (kind === "u64") into.setBigUint64(at, BigInt(value), true);
    else if (kind === "i64") into.setBigInt64(at, BigInt(value), true);
    else if (kind === "f64") into.setFloat64(at, Number(value), true);
    else if (kind === "f32") into.setFloat32(at, Number(value), true);
    else if (kind === "u32") into.setUint32(at, Number(value), true);
    else if (kind === "i32") into.setInt32(at, Number(value), true);
    else if (kind === "u16") into.setUint16(at, Number(value), true);
    else if (kind === "i16") into.setInt16(at, Number(value), true);
    else into.setInt8(at, Number(value));
  }

  string(text: string): void {
    const bytes = encoder.encode(text);
    this.number("u64", bytes.length);
    // Making room may replace the bytes.
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }

  pad(to: number): void {
    this.#room((to - this.length % to) % to);
  }

  take(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }
}

const arrayKinds = new Map<unknown, KindName>([
  [Uint8Array, "u8"],
  [Int8Array, "i8"],
  [Uint16Array, "u16"],
  [Int16Array, "i16"],
  [Uint32Array, "u32"],
  [Int32Array, "i32"],
  [Float32Array, "f32"],
  [Float64Array, "f64"],
  [BigUint64Array, "u64"],
  [BigInt64Array, "i64"],
]);

/** The type that plain numbers are written as. */
function kindOf(values: readonly (number | bigint)[], what: string): KindName {
  if (values.some((n) => typeof n === "bigint")) return values.some((n) => n < 0) ? "i64" : "u64";
  if (!values.every(Number.isInteger)) return "f32";
  let least = 0, greatest = 0;
  for (const value of values as number[]) {
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
  }
  if (least >= 0 && greatest < 2 ** 32) return "u32";
  if (least >= -(2 ** 31) && greatest < 2 ** 31) return "i32";
  if (Number.isSafeInteger(least) && Number.isSafeInteger(greatest)) return "i64";
  throw new OptionError(`saveGguf: ${what} is beyond what f64 holds exactly; give it as a bigint`);
}

function isTyped(value: unknown): value is TypedNote {
  return typeof value === "object" && value !== null && "type" in value && "value" in value;
}

/** The type of an array's entries. */
function entryKind(value: object, what: string): KindName {
  const own = arrayKinds.get(value.constructor);
  if (own !== undefined) return own;
  if (!Array.isArray(value)) {
    throw new OptionError(`saveGguf: ${what} is no note; give text, numbers, booleans or lists`);
  }
  if (value.every((entry) => typeof entry === "string")) return "string";
  if (value.every((entry) => typeof entry === "boolean")) return "bool";
  if (value.every((entry) => typeof entry === "number" || typeof entry === "bigint")) {
    return kindOf(value, what);
  }
  if (value.every((entry) => typeof entry === "object" && entry !== null)) return "array";
  throw new OptionError(`saveGguf: ${what} mixes kinds of entries, and a list of the format has one`);
}

function putEntry(out: Sink, kind: KindName, value: unknown, what: string): void {
  if (kind === "string") out.string(value as string);
  else if (kind === "bool") out.number("u8", value ? 1 : 0);
  else if (kind === "array") putArray(out, value as object, what);
  else out.number(kind, value as number);
}

function putArray(out: Sink, value: object, what: string): void {
  const kind = entryKind(value, what), entries = value as ArrayLike<unknown>;
  out.number("u32", kinds.indexOf(kind));
  out.number("u64", entries.length);
  for (let i = 0; i < entries.length; i++) putEntry(out, kind, entries[i], what);
}

function putNote(out: Sink, key: string, value: GgufNotes[string]): void {
  const what = `note ${quote(key)}`;
  const put = (kind: KindName, content: unknown): void => {
    out.string(key);
    out.number("u32", kinds.indexOf(kind));
    putEntry(out, kind, content, what);
  };
  if (typeof value === "string") put("string", value);
  else if (typeof value === "boolean") put("bool", value);
  else if (typeof value === "number" || typeof value === "bigint") put(kindOf([value], what), value);
  else if (isTyped(value)) put(value.type, value.value);
  else put("array", value);
}

/** Bytes of a tensor, checked. */
function sizeIn({ name, type, shape }: GgufTensorToSave): number {
  const at = `saveGguf: tensor ${quote(name)} ${formatShape(shape)}`, { values, bytes } = ggufTypes[type];
  if (shape.length > 4) {
    throw new FormatError(`${at} has ${counted(shape.length, "axis", "axes")}, and the format has 4 at most`);
  }
  if (isBlockType(type) && (shape.at(-1) ?? 1) % values !== 0) {
    throw new FormatError(
      `${at}: ${type} is in blocks of ${values} along the last axis, which they do not fill`,
    );
  }
  return sizeOf(shape) / values * bytes;
}

/** A file with these notes and tensors, in their order. @throws {FormatError | OptionError} for what the format does not hold. */
export function planGguf(tensors: readonly GgufTensorToSave[], notes: GgufNotes): GgufPlan {
  const out = new Sink(), sizes = tensors.map(sizeIn), keys = Object.keys(notes);
  const seen = new Set<string>();
  for (const { name } of tensors) {
    if (seen.has(name)) throw new FormatError(`saveGguf: there are two tensors ${quote(name)}`);
    seen.add(name);
  }
  out.number("u32", 0x46554747);
  out.number("u32", 3);
  out.number("u64", tensors.length);
  out.number("u64", keys.length);
  for (const key of keys) putNote(out, key, notes[key]);
  let offset = 0;
  tensors.forEach(({ name, type, shape }, i) => {
    out.string(name);
    out.number("u32", shape.length);
    for (const size of shape.toReversed()) out.number("u64", size);
    out.number("u32", ggufTypes[type].id);
    out.number("u64", offset);
    offset += Math.ceil(sizes[i] / alignment) * alignment;
  });
  out.pad(alignment);
  const header = out.take();
  return {
    byteLength: header.length + offset,
    async *chunks() {
      yield header;
      for (const [i, { name, bytes }] of tensors.entries()) {
        const content = await bytes();
        if (content.length !== sizes[i]) {
          throw new FormatError(
            `saveGguf: tensor ${quote(name)} has ${counted(content.length, "byte")}, not the ${
              sizes[i]
            } of its shape`,
          );
        }
        yield content;
        const rest = (alignment - sizes[i] % alignment) % alignment;
        if (rest > 0) yield new Uint8Array(rest);
      }
    },
  };
}

/** Whether f32 can be written as `type`. */
export function isWritable(type: GgufType): boolean {
  return type === "F32" || type === "F16" || type === "BF16" || writableTypes.includes(type);
}

/** f32 values as blocks of `type`. */
export function asBlocks(type: GgufType, x: Float32Array): Uint8Array {
  const { values, bytes } = ggufTypes[type], out = new Uint8Array(x.length / values * bytes);
  quantize(type, x, out);
  return out;
}
