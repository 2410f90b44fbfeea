/**
 * A tensor in a file, before anything of it is read: its shape and dtype now, its bytes when asked.
 *
 * A view reads exactly the bytes it stands for, straight into the memory it is given. Converting reads in pieces, so
 * that what is held at once is the result and one piece.
 *
 * @module
 */
import { demand, demandNoMore } from "../core/demand.ts";
import type { ByteSource } from "../core/byte_source.ts";
import { byteSize, type DType, isQuantized, quantBlock } from "../core/dtype.ts";
import { FerrotypeError, ShapeError } from "../core/errors.ts";
import { formatShape, sizeOf } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import { demandScales } from "./block_scales.ts";
import { checkConversion, convertBytes } from "./convert.ts";
import { type DiskDType, type FileDType, tensorBytes } from "./disk_dtype.ts";
import type { Header } from "./header.ts";
import { quote } from "./quote.ts";

/** Elements that are read and converted at once, a multiple of 32. */
const pieceElements = 1 << 20;

/**
 * What a file says of a tensor.
 *
 * @category Files
 */
export interface TensorInfo {
  /** Its name. */
  readonly name: string;
  /** Its dtype; `q8` and `q4` where the file's metadata say so. */
  readonly dtype: FileDType;
  /** Its dtype as the header writes it. */
  readonly diskDType: DiskDType;
  /** Its sizes, outermost first. */
  readonly shape: readonly number[];
  /** Present where the file holds the transpose of the matrix that the name stands for; only of quantised ones. */
  readonly transposed?: boolean;
  /** The file it is in. */
  readonly file: string;
  /** Its first byte, counted from the start of that file. */
  readonly begin: number;
  /** One past its last byte. */
  readonly end: number;
  /** `end - begin`. */
  readonly byteLength: number;
}

/** One open safetensors file: where its bytes come from, what its header says, and how much was read of it. */
export class OpenFile {
  /** What it is called, in errors and in what is said of its tensors. */
  readonly name: string;
  /** The checked header. */
  readonly header: Header;
  /** Bytes read so far, the header included. */
  bytesRead: number;
  #source: ByteSource;
  #closed = false;

  /** `bytesRead` is what reading the header took. */
  constructor(source: ByteSource, header: Header, bytesRead: number, name: string = source.name) {
    this.#source = source;
    this.name = name;
    this.header = header;
    this.bytesRead = bytesRead;
  }

  /** Reads `length` bytes from `begin` on, into the front of `into` or a new array that begins its own buffer. */
  async read(begin: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    if (this.#closed) throw new FerrotypeError(`${this.name} is closed; read its tensors before closing it`);
    const target = into === undefined ? new Uint8Array(length) : into.subarray(0, length);
    if (length === 0) return target;
    const bytes = await this.#source.read(begin, length, target);
    this.bytesRead += length;
    return bytes;
  }

  /** Closes the source. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#source.close();
  }
}

/**
 * A tensor in a file, or some of its rows. Nothing is read until {@link bytes} or {@link read} is called.
 *
 * @category Files
 */
export class TensorView {
  /** What the file says of the whole tensor. */
  readonly info: TensorInfo;
  /** The sizes of this view, outermost first. */
  readonly shape: readonly number[];
  /** The bytes this view stands for, as stored. */
  readonly byteLength: number;
  #file: OpenFile;
  #begin: number;

  /** A view of `byteLength` bytes from byte `begin` of `file`. */
  constructor(file: OpenFile, info: TensorInfo, shape: readonly number[], begin: number, byteLength: number) {
    demandNoMore(arguments, 5, "TensorView");
    this.#file = file;
    this.info = info;
    this.shape = shape;
    this.#begin = begin;
    this.byteLength = byteLength;
  }

  /** The tensor's name. */
  get name(): string {
    return this.info.name;
  }

  /** The tensor's dtype. */
  get dtype(): FileDType {
    return this.info.dtype;
  }

  /**
   * The bytes as stored (little-endian, row-major), into the front of `into` (any memory, at least
   * {@link byteLength} bytes) or into a new array that begins its own buffer.
   * @throws {ShapeError} for an array `into` of another length than `byteLength`.
   * @throws {FerrotypeError} for a file that is closed or cannot be read.
   * @throws {OptionError} for an `into` that is no Uint8Array.
   */
  bytes(into?: Uint8Array): Promise<Uint8Array> {
    this.#checkRoom(into, this.byteLength);
    return this.#file.read(this.#begin, this.byteLength, into);
  }

  /**
   * The values as `dtype`, into the front of `into` or a new array that begins its own buffer.
   *
   * @throws {DTypeError} when the file's dtype cannot be converted to `dtype`.
   * @throws {FormatError} for blocks whose scale is NaN or infinite.
   * @throws {ShapeError} for an array `into` of another length than the tensor takes.
   * @throws {FerrotypeError} for a file that is closed or cannot be read.
   * @throws {OptionError} for an `into` that is no Uint8Array.
   */
  async read(dtype: DType, into?: Uint8Array): Promise<Uint8Array> {
    const what = `tensor ${quote(this.name)} of ${this.info.file}`;
    if (dtype === this.dtype) {
      const own = await this.bytes(into), skipped = this.#begin - this.info.begin;
      demandScales(dtype, own.subarray(0, this.byteLength), what, skipped / byteSize(dtype, 1));
      return own;
    }
    const count = sizeOf(this.shape);
    checkConversion(this.dtype, dtype, this.shape, what);
    const length = byteSize(dtype, count);
    this.#checkRoom(into, length);
    const out = into === undefined ? new Uint8Array(length) : into.subarray(0, length);
    const stored = this.byteLength / Math.max(count, 1);
    const scratch = new Uint8Array(Math.min(count, pieceElements) * stored);
    const before = (this.#begin - this.info.begin) / stored;
    for (let at = 0; at < count; at += pieceElements) {
      const n = Math.min(pieceElements, count - at);
      const piece = await this.#file.read(this.#begin + at * stored, n * stored, scratch);
      const target = out.subarray(byteSize(dtype, at), byteSize(dtype, at + n));
      convertBytes(this.dtype, dtype, piece, target, what, before + at);
    }
    return out;
  }

  /**
   * Rows `begin` to `end` (exclusive) along the first axis, as a view that reads only their bytes.
   *
   * @throws {ShapeError} for rows outside the tensor, and for parts that would cut a byte or a quantised block.
   */
  rows(begin: number, end: number): TensorView {
    const what = `rows ${begin} to ${end} of tensor ${quote(this.name)} ${formatShape(this.shape)}`;
    if (this.shape.length === 0) throw new ShapeError(`${what}: a single number has no rows`);
    const total = this.shape[0];
    if (!Number.isInteger(begin) || !Number.isInteger(end) || begin < 0 || begin > end || end > total) {
      throw new ShapeError(`${what}: rows lie from 0 to ${total}, the end not before the begin`);
    }
    const shape = [end - begin, ...this.shape.slice(1)];
    const skipped = tensorBytes(this.dtype, [begin, ...this.shape.slice(1)]);
    const length = tensorBytes(this.dtype, shape);
    if (typeof skipped === "string" || typeof length === "string") {
      const unit = isQuantized(this.dtype as DType) ? `${quantBlock} values` : "whole bytes";
      throw new ShapeError(`${what}: ${this.dtype} is cut only between ${unit}`);
    }
    return new TensorView(this.#file, this.info, shape, this.#begin + skipped, length);
  }

  #checkRoom(into: Uint8Array | undefined, length: number): void {
    const isArray = into === undefined || into instanceof Uint8Array;
    demand(`tensor ${quote(this.name)}`, "into", into, isArray, "a Uint8Array");
    if (into !== undefined && into.byteLength < length) {
      throw new ShapeError(
        `tensor ${quote(this.name)} takes ${counted(length, "byte")}, the array given has ${into.byteLength}`,
      );
    }
  }
}
