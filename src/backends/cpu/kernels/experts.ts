/**
 * Products of rows with matrices that they choose, on the cpu: rows are brought together by what they chose, and each matrix is
 * multiplied once, by the kernels for one matrix. What nobody chose is not read.
 *
 * Which rows go together is known when the numbers are: this is JavaScript between kernels, and no work that is captured.
 *
 * @module
 */
import { byteSize, isQuantized } from "../../../core/dtype.ts";
import { ShapeError } from "../../../core/errors.ts";
import type { View } from "../../contract.ts";
import { addressOf, type CpuBuffer } from "../buffer.ts";
import type { Engine } from "../engine.ts";
import { blockKernels } from "./blocks.ts";
import { matmul } from "./matmul.ts";

/** The rows of each of `experts` matrices that some row chose, in order. */
function chosen(engine: Engine, index: View, experts: number): Map<number, number[]> {
  const rows = new Map<number, number[]>(), [step] = index.strides;
  for (let i = 0; i < index.shape[0]; i++) {
    const own = engine.i32[addressOf(index, index.offset + i * step) >>> 2], others = rows.get(own);
    if (!(own >= 0 && own < experts)) {
      throw new ShapeError(`expertLinear: index[${i}] is ${own}, expected 0 to ${experts - 1}`);
    }
    if (others) others.push(i);
    else rows.set(own, [i]);
  }
  return rows;
}

/** Contiguous rows in memory of their own. */
function rowsAt(pointer: number, { dtype }: View, rows: number, width: number): View {
  const buffer: CpuBuffer = { pointer, byteLength: byteSize(dtype, rows * width) };
  return { buffer, dtype, shape: [rows, width], strides: [width, 1], offset: 0 };
}

/** See `Kernels.matmulExperts`. */
export function matmulExperts(engine: Engine, x: View, w: View, index: View, out: View): void {
  const [rows, depth] = x.shape, columns = out.shape[1];
  if (rows === 0 || columns === 0) return;
  engine.refuseCapture();
  if (isQuantized(w.dtype)) blockKernels().interleaveRows(engine, w, columns);
  for (const [expert, own] of chosen(engine, index, w.shape[0] / columns)) {
    const matrix: View = {
      buffer: w.buffer,
      dtype: w.dtype,
      shape: [depth, columns],
      strides: [1, depth],
      offset: w.offset + expert * columns * depth,
    };
    const count = own.length, first = own[0], isBeside = own[count - 1] - first === count - 1;
    if (isBeside) {
      const part = ({ buffer, dtype, offset }: View, width: number): View => ({
        buffer,
        dtype,
        shape: [count, width],
        strides: [width, 1],
        offset: offset + first * width,
      });
      matmul(engine, part(x, depth), matrix, part(out, columns));
      continue;
    }
    const from = engine.heap.scratch(byteSize(x.dtype, count * depth)),
      to = engine.heap.scratch(byteSize(out.dtype, count * columns));
    const given = rowsAt(from, x, count, depth), made = rowsAt(to, out, count, columns);
    copyRows(engine, x, own, given, null);
    matmul(engine, given, matrix, made);
    copyRows(engine, made, null, out, own);
    engine.heap.release(to);
    engine.heap.release(from);
  }
}

/** Rows of `from` (null: all) as those of `to`. */
function copyRows(
  engine: Engine,
  from: View,
  fromRows: readonly number[] | null,
  to: View,
  toRows: readonly number[] | null,
): void {
  const width = from.shape[1], bytes = byteSize(from.dtype, width), rows = fromRows ?? toRows!;
  rows.forEach((row, i) => {
    const start = addressOf(from, from.offset + (fromRows ? row : i) * width);
    engine.u8.copyWithin(addressOf(to, to.offset + (toRows ? row : i) * width), start, start + bytes);
  });
}
