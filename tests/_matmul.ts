/** Matrices in the heap of a cpu engine, and their product worked out naively in double precision. */
import type { Epilogue, View } from "../src/backends/contract.ts";
import type { CpuBuffer } from "../src/backends/cpu/buffer.ts";
import type { Engine } from "../src/backends/cpu/engine.ts";
import { arrayOn, byteSize, type DType } from "../src/core/dtype.ts";
import { fromBf16, fromF16, toBf16, toF16 } from "../src/core/half.ts";
import { sizeOf } from "../src/core/shape.ts";
import { compileJs } from "../src/expr/evaluate.ts";

/** How the axes of a view lie in memory. */
export interface Layout {
  /** Axes from the outermost in memory to the innermost; by default in their own order. */
  order?: readonly number[];
  /** Axes that are repeated with stride 0. */
  repeat?: readonly number[];
  /** Axes that run backwards. */
  reverse?: readonly number[];
  /** Elements left free after each row of the innermost axis in memory. */
  gap?: number;
}

const marker = 0x7fc00001; // a NaN; what lies around and between the elements of a view

/** A view filled by `value`, in memory that is NaN elsewhere. */
export function view(
  engine: Engine,
  dtype: DType,
  shape: readonly number[],
  value: () => number,
  { order = shape.map((_, axis) => axis), repeat = [], reverse = [], gap = 0 }: Layout = {},
): View {
  const strides = shape.map(() => 0);
  let step = 1;
  for (const axis of order.toReversed()) {
    if (repeat.includes(axis)) continue;
    strides[axis] = step;
    step = (step * shape[axis]) + (step === 1 ? gap : 0);
  }
  const before = 5;
  const count = 2 * before + step;
  const byteLength = 4 * Math.ceil(byteSize(dtype, count) / 4);
  const buffer: CpuBuffer = { pointer: engine.heap.allocate(byteLength), byteLength };
  engine.u32.fill(marker, buffer.pointer >>> 2, (buffer.pointer + byteLength) >>> 2);
  let offset = before;
  for (const axis of reverse) {
    offset += strides[axis] * (shape[axis] - 1);
    strides[axis] = -strides[axis];
  }
  const result = { buffer, dtype, shape, strides, offset };
  const values = elements(engine, result);
  eachIndex(shape, (index) => {
    values[at(result, index)] = encode(dtype, value());
  });
  return result;
}

/** Gives the memory of views back. */
export function release(engine: Engine, ...views: View[]): void {
  for (const { buffer } of views) engine.heap.release((buffer as CpuBuffer).pointer);
}

/** The whole buffer of a view as elements. */
function elements(engine: Engine, { dtype, buffer }: View): { [i: number]: number } {
  const { pointer, byteLength } = buffer as CpuBuffer;
  return arrayOn(
    dtype,
    engine.heap.memory.buffer,
    pointer,
    byteLength / byteSize(dtype, 1),
  ) as unknown as number[];
}

function at({ strides, offset }: View, index: readonly number[]): number {
  return index.reduce((sum, i, axis) => sum + i * strides[axis], offset);
}

function encode(dtype: DType, x: number): number {
  return dtype === "f16" ? toF16(x) : dtype === "bf16" ? toBf16(x) : x;
}

function decode(dtype: DType, x: number): number {
  return dtype === "f16" ? fromF16(x) : dtype === "bf16" ? fromBf16(x) : x;
}

/** Runs through all positions of a shape, row-major. The index is one array that changes. */
export function eachIndex(
  shape: readonly number[],
  body: (index: readonly number[], i: number) => void,
): void {
  const index = shape.map(() => 0);
  const size = sizeOf(shape);
  for (let i = 0; i < size; i++) {
    body(index, i);
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0;
  }
}

/** The elements of a view, row-major. */
export function read(engine: Engine, v: View): Float64Array {
  const values = elements(engine, v), result = new Float64Array(sizeOf(v.shape));
  eachIndex(v.shape, (index, i) => result[i] = decode(v.dtype, values[at(v, index)]));
  return result;
}

/** The bytes of a view's whole buffer, with what lies around its elements. */
export function bytesOf(engine: Engine, { buffer }: View): Uint8Array {
  const { pointer, byteLength } = buffer as CpuBuffer;
  return engine.u8.slice(pointer, pointer + byteLength);
}

/** The product and the sum of the magnitudes of its terms, both row-major, in double precision. */
export function expected(
  engine: Engine,
  a: View,
  b: View,
  epilogue?: Epilogue,
): { values: Float64Array; scale: number } {
  const rank = a.shape.length, [m, k] = a.shape.slice(-2), n = b.shape[rank - 1];
  const matrices = sizeOf(a.shape.slice(0, -2));
  const x = read(engine, a), y = read(engine, b), values = new Float64Array(matrices * m * n);
  let scale = 1;
  for (let i = 0; i < matrices * m; i++) {
    const from = Math.floor(i / m) * k * n;
    for (let j = 0; j < n; j++) {
      let sum = 0, terms = 0;
      for (let l = 0; l < k; l++) {
        const term = x[i * k + l] * y[from + l * n + j];
        sum += term;
        terms += Math.abs(term);
      }
      values[i * n + j] = a.dtype === "i32" ? sum | 0 : sum;
      if (terms > scale) scale = terms;
    }
  }
  if (epilogue) {
    const run = compileJs(epilogue.program), result: number[] = [];
    const operands = epilogue.inputs.map((input) => read(engine, input));
    values.forEach((value, i) => {
      run([value, ...operands.map((operand) => operand[i])], epilogue.scalars, result);
      values[i] = result[0];
    });
  }
  return { values, scale };
}
