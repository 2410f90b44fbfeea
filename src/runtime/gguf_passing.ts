/**
 * A tensor on its way into a GGUF: rows in another order, columns made rows, floats made blocks, a piece at a time.
 *
 * @module
 */
import { type Shape, sizeOf } from "../core/shape.ts";
import {
  asBlocks,
  dequantize,
  type GgufTensorToSave,
  type GgufType,
  ggufTypes,
  isBlockType,
} from "../files/gguf/mod.ts";
import { convertBytes, type FileDType, transposeMatrix } from "../files/mod.ts";

/** Rows and values that are converted at once. */
const pieceValues = 1 << 20;

/** A matrix or vector on its way: how it is held, and what happens to it. */
export interface Passing {
  readonly name: string;
  /** As the file gets it. */
  readonly shape: Shape;
  /** As it is held. */
  readonly held: GgufType;
  readonly type: GgufType;
  readonly bytes: () => Promise<Uint8Array>;
  /** Row r of what is written is row `rows[r]` of what is held. */
  readonly rows?: Int32Array;
  readonly plus?: number;
  /** Column c of what is written is column `columns[c]` of what is held. */
  readonly columns?: Int32Array;
  /** What values become. */
  readonly map?: (x: number) => number;
  /** Whether columns are held where rows are written. */
  readonly transposed?: boolean;
}

/** Bytes of so many values. */
export const bytesFor = (type: GgufType, values: number): number =>
  values / ggufTypes[type].values * ggufTypes[type].bytes;

/** Rows of `bytes`, of `size` bytes each, in another order. */
function inOrder(bytes: Uint8Array, rows: Int32Array, size: number): Uint8Array {
  const out = new Uint8Array(rows.length * size);
  rows.forEach((from, to) => out.set(bytes.subarray(from * size, (from + 1) * size), to * size));
  return out;
}

function asFloats(type: GgufType, bytes: Uint8Array, out: Float32Array): void {
  if (isBlockType(type)) return dequantize(type, bytes, out);
  const raw = new Uint8Array(out.buffer, out.byteOffset, out.byteLength), { dtype } = ggufTypes[type];
  if (dtype === "f32") raw.set(bytes);
  else convertBytes((dtype ?? type.toLowerCase()) as FileDType, "f32", bytes, raw);
}

/** Floats as `type`. */
function asType(type: GgufType, x: Float32Array): Uint8Array {
  if (isBlockType(type)) return asBlocks(type, x);
  const raw = new Uint8Array(x.buffer, x.byteOffset, x.byteLength), { dtype } = ggufTypes[type];
  if (dtype === "f32") return raw.slice();
  const out = new Uint8Array(bytesFor(type, x.length));
  convertBytes("f32", dtype!, raw, out);
  return out;
}

/** The bytes that are written. */
async function passed(one: Passing): Promise<Uint8Array> {
  const { shape, held, type, rows, plus = 0, transposed = false } = one, count = sizeOf(shape);
  let bytes = await one.bytes();
  const { columns, map } = one, width = shape.length > 1 ? shape.at(-1)! : 1;
  if (rows) bytes = inOrder(bytes, rows, bytesFor(held, count) / rows.length);
  if (held === type && plus === 0 && !transposed && !columns && !map) return bytes;
  const out = new Uint8Array(bytesFor(type, count));
  if (transposed) {
    const floats = new Float32Array(count), turned = new Float32Array(count);
    asFloats(held, bytes, floats);
    transposeMatrix(floats, shape[1], shape[0], turned);
    return asType(type, turned);
  }
  const piece = Math.max(1, Math.floor(pieceValues / width)) * width;
  const floats = new Float32Array(Math.min(piece, count));
  for (let at = 0; at < count; at += piece) {
    const some = floats.subarray(0, Math.min(piece, count - at));
    asFloats(held, bytes.subarray(bytesFor(held, at), bytesFor(held, at + some.length)), some);
    if (plus !== 0) { for (let i = 0; i < some.length; i++) some[i] += plus; }
    if (map) some.set(some.map(map));
    if (columns) {
      for (let row = 0; row < some.length; row += width) {
        const own = some.slice(row, row + width);
        columns.forEach((from, to) => some[row + to] = own[from]);
      }
    }
    out.set(asType(type, some), bytesFor(type, at));
  }
  return out;
}

/** The tensor as the writer wants it. */
export const toSave = (one: Passing): GgufTensorToSave => ({
  name: one.name,
  type: one.type,
  shape: one.shape,
  bytes: () => passed(one),
});
