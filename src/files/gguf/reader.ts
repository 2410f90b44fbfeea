/**
 * Open GGUF files: names now, bytes when asked, from one file or from the parts of one model
 * (`name-00001-of-00003.gguf`).
 *
 * Opening reads the header and nothing else; {@link GgufFile.bytesRead} counts.
 *
 * @module
 */
import { demand, demandNoMore, demandText } from "../../core/demand.ts";
import type { ByteSource } from "../../core/byte_source.ts";
import type { DType } from "../../core/dtype.ts";
import { FerrotypeError, FormatError, ShapeError } from "../../core/errors.ts";
import { sizeOf } from "../../core/shape.ts";
import { byteSize } from "../../core/dtype.ts";
import { counted } from "../../core/show.ts";
import { demandScales } from "../block_scales.ts";
import { checkConversion, convertBytes } from "../convert.ts";
import type { FileDType } from "../disk_dtype.ts";
import { quote } from "../quote.ts";
import { dequantize, isBlockType, isLikeQ8, toQ8 } from "./dequantize.ts";
import {
  type GgufEntry,
  type GgufHeader,
  type GgufValue,
  maxGgufHeaderBytes,
  parseGgufHeader,
} from "./header.ts";
import { type GgufType, ggufTypes } from "./types.ts";
import type { GgufNotes, TypedNote } from "./writer.ts";

/**
 * What a file says of a tensor.
 *
 * @category Files
 */
export interface GgufTensorInfo {
  /** Its name. */
  readonly name: string;
  /** Its type in the file. */
  readonly type: GgufType;
  /** The library's dtype of the same bytes; f32 for types that are widened while they are read. */
  readonly dtype: DType;
  /** Its sizes, outermost first. */
  readonly shape: readonly number[];
  /** The file it is in. */
  readonly file: string;
  /** Its first byte, counted from the start of that file. */
  readonly begin: number;
  /** Its bytes in the file. */
  readonly byteLength: number;
}

/** Values that are read and converted at once. */
const pieceValues = 1 << 20;
/** What is read of a file first, in bytes: the header of a model without a large vocabulary fits. */
const firstPiece = 1 << 16;
/** Up to here the next piece is eight times as long, few reads; from here on twice, since it is held in memory whole. */
const largePiece = 1 << 22;

/**
 * One open file.
 *
 * @category Files
 */
export class GgufPart {
  /** Its checked header. */
  readonly header: GgufHeader;
  /** Bytes read so far, the header included. */
  bytesRead: number;
  readonly #source: ByteSource;
  #closed = false;

  /** `bytesRead` is what reading the header took. */
  constructor(source: ByteSource, header: GgufHeader, bytesRead: number) {
    demandNoMore(arguments, 3, "GgufPart");
    this.#source = source;
    this.header = header;
    this.bytesRead = bytesRead;
  }

  /** What it is called in errors. */
  get name(): string {
    return this.#source.name;
  }

  /** Reads `length` bytes from `begin` on, into the front of `into` or a new array. */
  async read(begin: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    if (this.#closed) throw new FerrotypeError(`${this.name} is closed; read its tensors before closing it`);
    const target = into === undefined ? new Uint8Array(length) : into.subarray(0, length);
    if (length === 0) return target;
    this.bytesRead += length;
    return await this.#source.read(begin, length, target);
  }

  /** Closes the source. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#source.close();
  }
}

/**
 * A tensor in a GGUF file. Nothing is read until {@link bytes} or {@link read} is called.
 *
 * @category Files
 */
export class GgufView {
  /** What the file says of it. */
  readonly info: GgufTensorInfo;
  readonly #part: GgufPart;

  /** A view of a tensor in a part. */
  constructor(part: GgufPart, info: GgufTensorInfo) {
    demandNoMore(arguments, 2, "GgufView");
    this.#part = part;
    this.info = info;
  }

  /** Its sizes, outermost first. */
  get shape(): readonly number[] {
    return this.info.shape;
  }

  /** The library's dtype of the same bytes; f32 for types that are widened while they are read. */
  get dtype(): DType {
    return this.info.dtype;
  }

  /** Its bytes in the file. */
  get byteLength(): number {
    return this.info.byteLength;
  }

  /**
   * The bytes as stored, into the front of `into` or a new array that begins its own buffer.
   * @throws {ShapeError} for an array `into` of another length than `byteLength`.
   * @throws {FerrotypeError} for a file that is closed or cannot be read.
   * @throws {OptionError} for an `into` that is no Uint8Array.
   */
  bytes(into?: Uint8Array): Promise<Uint8Array> {
    this.#checkRoom(into, this.byteLength);
    return this.#part.read(this.info.begin, this.byteLength, into);
  }

  /**
   * The values as `dtype` (default: {@link dtype}), into the front of `into` or a new array that begins its own buffer.
   *
   * Blocks are widened to f32 in ggml's own arithmetic, and rounded from there (Q5_0 and IQ4_NL become q8 without: its blocks
   * hold them exactly); what is held at once is the result and one piece.
   *
   * @throws {DTypeError} when the file's type cannot be converted to `dtype`.
   * @throws {FormatError} for blocks whose scale is NaN or infinite.
   * @throws {ShapeError} for an array `into` of another length than the tensor takes.
   * @throws {FerrotypeError} for a file that is closed or cannot be read.
   * @throws {OptionError} for an `into` that is no Uint8Array.
   */
  async read(dtype: DType = this.dtype, into?: Uint8Array): Promise<Uint8Array> {
    const { type, shape, name } = this.info, { values, bytes, dtype: own } = ggufTypes[type];
    const count = sizeOf(shape),
      what = `tensor ${quote(name)} of ${this.info.file}`,
      blocks = isBlockType(type),
      length = byteSize(dtype, count),
      isLike = dtype === "q8" && isLikeQ8(type);
    if (dtype === own || isLike) {
      const read = await (isLike ? this.#asQ8(into) : this.bytes(into));
      demandScales(dtype, read.subarray(0, length), what);
      return read;
    }
    const from = blocks ? "f32" : (own ?? type.toLowerCase()) as FileDType;
    if (from !== dtype) checkConversion(from, dtype, shape, what);
    this.#checkRoom(into, length);
    const out = into === undefined ? new Uint8Array(length) : into.subarray(0, length);
    const scratch = new Uint8Array(Math.min(count, pieceValues) / values * bytes);
    const wide = blocks ? new Float32Array(Math.min(count, pieceValues)) : null;
    for (let at = 0; at < count; at += pieceValues) {
      const n = Math.min(pieceValues, count - at);
      const stored = await this.#part.read(
        this.info.begin + at / values * bytes,
        n / values * bytes,
        scratch,
      );
      const target = out.subarray(byteSize(dtype, at), byteSize(dtype, at + n));
      if (wide === null) convertBytes(from, dtype, stored, target, what, at);
      else {
        const floats = wide.subarray(0, n), raw = new Uint8Array(floats.buffer, 0, 4 * n);
        dequantize(type, stored, floats);
        if (dtype === "f32") target.set(raw);
        else convertBytes("f32", dtype, raw, target, what, at);
      }
    }
    return out;
  }

  /** Blocks of other types as those of q8 that they are, a piece at a time. */
  async #asQ8(into?: Uint8Array): Promise<Uint8Array> {
    const { type, shape, begin } = this.info, count = sizeOf(shape), { values, bytes } = ggufTypes[type];
    const length = byteSize("q8", count);
    this.#checkRoom(into, length);
    const out = into === undefined ? new Uint8Array(length) : into.subarray(0, length);
    const scratch = new Uint8Array(Math.min(count, pieceValues) / values * bytes);
    for (let at = 0; at < count; at += pieceValues) {
      const n = Math.min(pieceValues, count - at), from = begin + at / values * bytes;
      const stored = await this.#part.read(from, n / values * bytes, scratch);
      toQ8(type, stored, out.subarray(byteSize("q8", at), byteSize("q8", at + n)));
    }
    return out;
  }

  #checkRoom(into: Uint8Array | undefined, length: number): void {
    const isArray = into === undefined || into instanceof Uint8Array;
    demand(`tensor ${quote(this.info.name)}`, "into", into, isArray, "a Uint8Array");
    if (into !== undefined && into.byteLength < length) {
      throw new ShapeError(
        `tensor ${quote(this.info.name)} takes ${
          counted(length, "byte")
        }, the array given has ${into.byteLength}`,
      );
    }
  }
}

/**
 * Named tensors and notes in one GGUF file or in the parts of one model.
 *
 * @category Files
 */
export class GgufFile {
  /** The tensors' names, in the order of the header (part after part). */
  readonly names: readonly string[];
  /** The notes of the (first) file. */
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly #parts: readonly GgufPart[];
  readonly #places: ReadonlyMap<string, { part: GgufPart; entry: GgufEntry }>;

  /**
   * Takes what {@link openGgufFile} found.
   * @throws {OptionError} for what `openGguf` does not read.
   */
  constructor(parts: readonly GgufPart[]) {
    demandNoMore(arguments, 1, "GgufFile");
    const isRead = Array.isArray(parts) && parts.length > 0 &&
      parts.every((part) => part?.header !== undefined);
    demand("new Gguf", "what is given", parts, isRead, "what openGguf reads; call that");
    const places = new Map<string, { part: GgufPart; entry: GgufEntry }>();
    for (const part of parts) {
      for (const entry of part.header.entries) {
        if (places.has(entry.name)) {
          throw new FormatError(`${part.name}: tensor ${quote(entry.name)} is in another part too`);
        }
        places.set(entry.name, { part, entry });
      }
    }
    this.#parts = parts;
    this.#places = places;
    this.names = [...places.keys()];
    this.metadata = parts[0].header.metadata;
  }

  /** The names of the files that are read, as errors give them. */
  get files(): readonly string[] {
    return this.#parts.map(({ name }) => name);
  }

  /** The format's version, 2 or 3, of the (first) file. */
  get version(): number {
    return this.#parts[0].header.version;
  }

  /** The notes of the (first) file as the writer takes them: numbers keep their types. */
  get notes(): GgufNotes {
    const { kinds } = this.#parts[0].header;
    return Object.fromEntries(
      [...this.metadata].map(([key, value]) => {
        const type = kinds.get(key);
        return [key, type === undefined ? value : { type, value } as TypedNote];
      }),
    );
  }

  /** Bytes read so far, headers included. */
  get bytesRead(): number {
    return this.#parts.reduce((sum, { bytesRead }) => sum + bytesRead, 0);
  }

  /** Whether there is a tensor of this name. */
  has(name: string): boolean {
    demandNoMore(arguments, 1, "has");
    return this.#places.has(name);
  }

  /**
   * Type, shape and place of a tensor.
   * @throws {FormatError} when there is none of this name.
   * @throws {OptionError} for a name that is no text.
   */
  info(name: string): GgufTensorInfo {
    demandNoMore(arguments, 1, "info");
    demandText("info", name, "the name");
    const { part, entry: { type, shape, begin, byteLength } } = this.#place(name);
    return { name, type, dtype: ggufTypes[type].dtype ?? "f32", shape, file: part.name, begin, byteLength };
  }

  /**
   * A lazy view of a tensor.
   * @throws {FormatError} when there is none of this name.
   * @throws {OptionError} for a name that is no text.
   */
  view(name: string): GgufView {
    demandNoMore(arguments, 1, "view");
    demandText("view", name, "the name");
    return new GgufView(this.#place(name).part, this.info(name));
  }

  /** Closes every file. Views can no longer be read. */
  async close(): Promise<void> {
    demandNoMore(arguments, 0, "close");
    await Promise.all(this.#parts.map((part) => part.close()));
  }

  /** Closes every file (`await using`). */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #place(name: string): { part: GgufPart; entry: GgufEntry } {
    const place = this.#places.get(name);
    if (place) return place;
    const some = this.names.slice(0, 5).map(quote).join(", ");
    const rest = this.names.length > 5 ? ` and ${this.names.length - 5} more` : "";
    throw new FormatError(
      `${this.files.join(", ")}: there is no tensor ${quote(name)}; there are ${some || "none"}${rest}`,
    );
  }
}

/** Whether a file begins as GGUF does. */
export function looksLikeGguf(prefix: Uint8Array): boolean {
  return prefix.length >= 4 && String.fromCharCode(...prefix.subarray(0, 4)) === "GGUF";
}

async function openPart(source: ByteSource): Promise<GgufPart> {
  let bytes = new Uint8Array(0), bytesRead = 0;
  for (;;) {
    const longer = bytes.length < largePiece ? 8 * bytes.length : 2 * bytes.length;
    const length = Math.min(Math.max(firstPiece, longer), source.size, maxGgufHeaderBytes);
    // What has been read stays; where headers are large, most of a file may be vocabulary.
    const piece = new Uint8Array(length);
    piece.set(bytes);
    await source.read(bytes.length, length - bytes.length, piece.subarray(bytes.length));
    bytesRead = length;
    bytes = piece;
    const header = parseGgufHeader(bytes, source.size, source.name);
    if (header !== null) return new GgufPart(source, header, bytesRead);
  }
}

const partName = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;

/** What the parts of a model are called, the first one's name given; null for a file that is whole. */
function otherParts(first: GgufPart, name: string): string[] | null {
  const count = first.header.metadata.get("split.count") ?? 1;
  if (count === 1 || count === 0) return null;
  const found = partName.exec(name);
  if (typeof count !== "number" || !(count < 100_000) || !found || Number(found[3]) !== count) {
    throw new FormatError(
      `${first.name} is one of ${
        counted(Number(count), "part")
      }, and is not named as such (name-00001-of-0000N.gguf)`,
    );
  }
  if (first.header.metadata.get("split.no") !== 0 || Number(found[2]) !== 1) {
    throw new FormatError(
      `${first.name} is not the first of ${counted(Number(count), "part")}; open ${found[1]}-00001-of-${
        found[3]
      }.gguf`,
    );
  }
  return Array.from(
    { length: count - 1 },
    (_, i) => `${found[1]}-${String(i + 2).padStart(5, "0")}-of-${found[3]}.gguf`,
  );
}

/** @throws {FormatError} where a part says it is another one, or one of another model. */
function checkPart({ name, header: { metadata } }: GgufPart, index: number, count: number): void {
  const no = metadata.get("split.no"), of = metadata.get("split.count");
  if (no !== index || of !== count) {
    throw new FormatError(
      `${name} should say it is part ${index} of ${count} (split.no, split.count), and says ${no} of ${of}`,
    );
  }
}

/** @throws {FormatError} where the parts together do not hold as many tensors as the first one says. */
function checkTensors(parts: readonly GgufPart[]): void {
  const said = parts[0].header.metadata.get("split.tensors.count");
  const found = parts.reduce((sum, { header }) => sum + header.entries.length, 0);
  if (said !== undefined && said !== found) {
    throw new FormatError(
      `${parts[0].name} says its parts hold ${
        counted(Number(said), "tensor")
      } (split.tensors.count), and they hold ${found}`,
    );
  }
}

/**
 * Opens a GGUF file, and with it the other parts of a model that is split; `openBeside` opens a file of the given name
 * that lies beside the first. On failure everything is closed.
 *
 * @throws {FormatError} that names the file and the byte, for everything the format does not allow.
 */
export async function openGgufFile<F extends GgufFile = GgufFile>(
  source: ByteSource,
  openBeside?: (name: string) => Promise<ByteSource>,
  make: (parts: readonly GgufPart[]) => F = (parts) => new GgufFile(parts) as F,
): Promise<F> {
  const sources = [source];
  try {
    const first = await openPart(source), parts = [first];
    const name = source.name.split(/[\\/]/).at(-1)!, others = otherParts(first, name);
    for (const other of others ?? []) {
      if (!openBeside) {
        throw new FormatError(`${source.name} is split; open it by path or URL, so that its parts are found`);
      }
      const beside = await openBeside(other);
      sources.push(beside);
      const part = await openPart(beside);
      checkPart(part, parts.length, others!.length + 1);
      parts.push(part);
    }
    if (others !== null) checkTensors(parts);
    return make(parts);
  } catch (error) {
    await Promise.allSettled(sources.map((each) => each.close()));
    throw error;
  }
}
