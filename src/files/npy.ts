/**
 * `.npy`: one array as NumPy saves it, a line that says what it is and then its elements (numpy.lib.format).
 *
 * @module
 */
import { arrayOn, type DataArray, type DType } from "../core/dtype.ts";
import { FormatError } from "../core/errors.ts";
import { formatShape, type Shape, sizeOf } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import { quote } from "./quote.ts";

/** An array of a file. */
export interface NpyArray {
  /** The dtype that holds its elements; integers that there is no dtype for are held in the next wider one. */
  readonly dtype: DType;
  /** Sizes of its dims. */
  readonly shape: Shape;
  /** The elements, row-major, or column-major where `isTurned`. */
  readonly data: DataArray;
  /** Whether the first dim is the fastest (Fortran's order). */
  readonly isTurned: boolean;
}

/** What is read of NumPy's kinds of elements: the dtype here and the view of the file's bytes. */
const kinds: Readonly<
  Record<string, readonly [dtype: DType, bytes: number, read?: (v: DataView, at: number) => number | bigint]>
> = {
  f4: ["f32", 4],
  f2: ["f16", 2],
  f8: ["f64", 8],
  i8: ["i64", 8],
  i4: ["i32", 4],
  u1: ["u8", 1],
  b1: ["bool", 1],
  i1: ["i32", 1, (v, at) => v.getInt8(at)],
  i2: ["i32", 2, (v, at) => v.getInt16(at, true)],
  u2: ["i32", 2, (v, at) => v.getUint16(at, true)],
  u4: ["i64", 4, (v, at) => v.getUint32(at, true)],
  u8: ["i64", 8, (v, at) => v.getBigUint64(at, true)],
};

/** The longest head and the most dims that are read. */
const mostHead = 1 << 16, mostDims = 32;

/**
 * Reads such a file.
 * @throws {FormatError} for what is none, and for kinds of elements that are not read.
 */
export function readNpyArray(bytes: Uint8Array, name: string): NpyArray {
  const fail = (reason: string): FormatError => new FormatError(`${name}: ${reason}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 10 || String.fromCharCode(...bytes.subarray(1, 6)) !== "NUMPY" || bytes[0] !== 0x93) {
    throw fail("is no .npy file: it does not begin with \\x93NUMPY");
  }
  const isWide = bytes[6] >= 2, start = isWide ? 12 : 10;
  if (bytes[6] < 1 || bytes[6] > 3 || bytes.length < start) {
    throw fail(`is a .npy file of version ${bytes[6]}`);
  }
  const length = isWide ? view.getUint32(8, true) : view.getUint16(8, true);
  if (length > mostHead || start + length > bytes.length) {
    throw fail(`its head has ${counted(length, "byte")}`);
  }
  const head = new TextDecoder("latin1").decode(bytes.subarray(start, start + length));
  const kind = /'descr'\s*:\s*'([<>|=]?)([a-zA-Z]\d{0,6})'/.exec(head);
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(head),
    dims = /'shape'\s*:\s*\(([\d,\sL]*)\)/.exec(head);
  if (!kind || !order || !dims) {
    throw fail(`its head is ${quote(head.trim().slice(0, 80))}, which says no array`);
  }
  const row = Object.hasOwn(kinds, kind[2]) ? kinds[kind[2]] : undefined;
  if (!row) throw fail(`its elements are ${kind[1]}${kind[2]}, which are not read`);
  const shape = dims[1].split(",").map((text) => text.trim().replace(/L$/, "")).filter((text) => text !== "")
    .map(Number);
  const count = sizeOf(shape), [dtype, size, read] = row;
  if (shape.length > mostDims || !shape.every(Number.isSafeInteger) || !Number.isSafeInteger(count * size)) {
    throw fail(`its shape is ${formatShape(shape)}`);
  }
  const rest = bytes.length - start - length;
  if (rest !== count * size) {
    throw fail(`it is ${formatShape(shape)}, ${counted(count * size, "byte")}, and has ${rest}`);
  }
  const body = bytes.slice(start + length);
  if (kind[1] === ">") turnBytes(body, size);
  const data = read
    ? widened(dtype, count, size, new DataView(body.buffer), read)
    : arrayOn(dtype, body.buffer, 0, count);
  const large = kind[2] === "u8" ? (data as BigInt64Array).findIndex((x) => x < 0n) : -1;
  if (large >= 0) {
    throw fail(
      `element ${large} is ${BigInt.asUintN(64, data[large] as bigint)}, more than i64 holds, 2^63 - 1`,
    );
  }
  const other = dtype === "bool" ? (data as Uint8Array).findIndex((x) => x > 1) : -1;
  if (other >= 0) throw fail(`element ${other} of its bools is ${data[other]}, expected 0 or 1`);
  return { dtype, shape, data, isTurned: order[1] === "True" && shape.length > 1 };
}

/** Elements of `size` bytes that begin with the highest one, each turned over. */
function turnBytes(bytes: Uint8Array, size: number): void {
  for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}

function widened(
  dtype: DType,
  count: number,
  size: number,
  view: DataView,
  read: (v: DataView, at: number) => number | bigint,
): DataArray {
  if (dtype === "i64") return BigInt64Array.from({ length: count }, (_, i) => BigInt(read(view, i * size)));
  return Int32Array.from({ length: count }, (_, i) => Number(read(view, i * size)));
}

/**
 * The bytes of such a file.
 * @throws {FormatError} for a dtype that NumPy does not have.
 */
export function npyBytes(dtype: DType, shape: Shape, data: DataArray): Uint8Array<ArrayBuffer> {
  const kind = Object.entries(kinds).find(([, row]) => row[0] === dtype && row.length === 2)?.[0];
  if (kind === undefined) throw new FormatError(`a .npy file does not hold ${dtype}; convert it to f32`);
  const sign = kind.endsWith("1") ? "|" : "<", list = shape.join(", ") + (shape.length === 1 ? "," : "");
  const text = `{'descr': '${sign}${kind}', 'fortran_order': False, 'shape': (${list}), }`;
  const head = text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11) + "\n";
  const out = new Uint8Array(10 + head.length + data.byteLength);
  out.set([0x93, 78, 85, 77, 80, 89, 1, 0, head.length & 255, head.length >> 8]);
  out.set(new TextEncoder().encode(head), 10);
  out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + head.length);
  return out;
}
