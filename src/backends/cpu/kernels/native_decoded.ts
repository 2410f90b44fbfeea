/**
 * Products of many rows with weights in blocks by a native library (`../blas.ts`): some columns of weights at a time become
 * numbers, which stay in the cache until they are multiplied.
 *
 * @module
 */
import { input, type Program } from "../../../expr/nodes.ts";
import { program as programOf } from "../../../expr/program.ts";
import type { View } from "../../contract.ts";
import type { CpuBuffer } from "../buffer.ts";
import type { Engine } from "../engine.ts";
import { elementwise } from "./elementwise.ts";
import type { Product } from "./gemm/plan.ts";
import { mayMeet, multiplyBlocks } from "./native_matmul.ts";

/** What weights, and activations with them, become. */
export type Numbers = "f32" | "bf16";

const identity = programOf("f32", [input(0)]);

/** No library that was met is faster with fewer columns, or sums so short. */
const leastSide = 64;

/** Weights that are numbers at a time, about; and columns, a multiple of what decoders take at once. */
const partWeights = 1 << 21, leastPart = 512, granule = 8;

/** Whether a product with one matrix of weights, stored as rows along k, is for a library that takes `leastRows` rows. */
export function isForLibrary(engine: Engine, product: Product, leastRows: number): boolean {
  const { rows, columns, depth, out, inputs, inputCount } = product, { blas } = engine;
  if (engine.deterministic || columns < leastSide || depth < leastSide) return false;
  if (out.dtype !== "f32" || out.column !== 4 || out.row < 4 * columns) return false;
  // The epilogue runs when the block is already overwritten, so its operands lie elsewhere.
  for (let i = 0; i < inputCount; i++) if (mayMeet(product, inputs[i], out)) return false;
  if (!blas.available) {
    blas.note(rows * columns * depth);
    return false;
  }
  return rows >= leastRows;
}

/**
 * Multiplies. `decode(first, rowBytes, to)` turns `product.columns` columns from the `first` on,
 * that lie `rowBytes` apart from `product.b.address` on, into numbers at `to`, row after row of k.
 */
export function multiplyDecoded(
  engine: Engine,
  product: Product,
  a: View,
  kind: Numbers,
  program: Program | null,
  scalars: readonly number[],
  decode: (first: number, rowBytes: number, to: number) => void,
): void {
  const { columns, depth, b, out, inputs } = product, bytes = kind === "bf16" ? 2 : 4;
  const saved = { ...b }, own = { ...product.a }, starts = [out, ...inputs].map(({ address }) => address);
  const part = granule * Math.ceil(Math.min(columns, Math.max(leastPart, partWeights / depth)) / granule);
  const weights = engine.heap.scratch(bytes * part * depth);
  const activations = plainActivations(engine, product, a, kind);
  for (let first = 0; first < columns; first += part) {
    product.columns = Math.min(part, columns - first);
    b.address = saved.address + first * saved.column;
    decode(first, saved.column, weights);
    Object.assign(b, { address: weights, dtype: kind, bytes, row: bytes, column: bytes * depth });
    [out, ...inputs].forEach((operand, i) => operand.address = starts[i] + first * operand.column);
    multiplyBlocks(engine, product, program, scalars, kind === "bf16" ? "bgemm" : "sgemm");
  }
  product.columns = columns;
  [out, ...inputs].forEach((operand, i) => operand.address = starts[i]);
  Object.assign(b, saved);
  Object.assign(product.a, own);
  if (activations !== 0) engine.heap.release(activations);
  engine.heap.release(weights);
}

/** Has a lie as rows of the wanted type, one behind the other; the address of memory that was taken for it, or 0. */
function plainActivations(engine: Engine, { rows, depth, a }: Product, view: View, kind: Numbers): number {
  if (a.dtype === kind && a.column === a.bytes && a.row >= a.bytes * depth) return 0;
  const bytes = kind === "bf16" ? 2 : 4, pointer = engine.heap.scratch(bytes * rows * depth);
  const buffer = view.buffer as CpuBuffer;
  const from: View = {
    buffer,
    dtype: a.dtype,
    shape: [rows, depth],
    strides: [a.row / a.bytes, a.column / a.bytes],
    offset: (a.address - buffer.pointer) / a.bytes,
  };
  const target: CpuBuffer = { pointer, byteLength: bytes * rows * depth };
  const to: View = { buffer: target, dtype: kind, shape: [rows, depth], strides: [depth, 1], offset: 0 };
  elementwise(engine, identity, [from], [], [to]);
  Object.assign(a, { address: pointer, dtype: kind, bytes, row: bytes * depth, column: bytes });
  return pointer;
}
