/**
 * Picking elements by index. (Placing them is `scatter.ts`.)
 *
 * Where the index repeats along the inner axes (taking whole rows: an embedding), an index is read once and a row
 * is copied at once; otherwise each element has an index of its own. Elements are moved as bits, so one kernel
 * serves all dtypes of a width. Work items are rows.
 *
 * @module
 */
import { byteSize, isQuantized } from "../../../core/dtype.ts";
import { DTypeError } from "../../../core/errors.ts";
import { formatShape, indexError, sizeOf } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import type { FunctionBuilder, LoadName, Local, ModuleBuilder, StoreName } from "../assembler/mod.ts";
import { addressOf } from "../buffer.ts";
import type { Engine } from "../engine.ts";
import { emitWalk, mergeAxes, storeAxes } from "./walk.ts";

// Arguments of the kernels of gather and scatter.
/** Address of x (or of the source). */
export const fromArg = 0;
/** Address of the index. */
export const indexArg = 4;
/** Address of the output. */
export const toArg = 8;
/** Bytes from one position to the next along the axis that is indexed. */
export const stepArg = 12;
/** Positions along that axis, as i64: an axis that repeats may have more than 2^32. */
export const sizeArg = 16;
/** Becomes 1 when an index is out of range. */
export const wrongArg = 24;
/** That index, as i64. */
export const wrongIndexArg = 56;
/** Size and strides (from, index, to) of the inner loop. */
export const innerArg = 32;
/** The outer axes, as `walk.ts` stores them. */
export const axesArg = 64;

/** Bytes of one element. */
export function widthOf(view: View, what: string): number {
  if (isQuantized(view.dtype)) {
    throw new DTypeError(
      `${what}: ${view.dtype} weights have no single elements; convert them with .to({ dtype: "f32" })`,
    );
  }
  return byteSize(view.dtype, 1);
}

/** Writes what every kernel with indices reads: the axis, and that nothing is wrong so far. */
export function setAxis({ u32, args }: Engine, step: number, size: number): void {
  u32[(args + stepArg) >>> 2] = step;
  u32[(args + sizeArg) >>> 2] = size;
  u32[(args + sizeArg + 4) >>> 2] = size / 2 ** 32;
  u32[(args + wrongArg) >>> 2] = 0;
}

/** How positions are counted: i64 for indices of i64 and for axes that a u32 does not count, else i32. */
export function countsIn(index: View, size: number): "i32" | "i64" {
  return index.dtype === "i64" || size >= 2 ** 32 ? "i64" : "i32";
}

/**
 * Looks now, and whenever the kernel's work is done again.
 * @throws {ShapeError} when it met an index out of range.
 */
export function checkIndices(engine: Engine, what: string, { shape }: View, axis: number): void {
  if (engine.isCapturing) engine.afterJob((args) => demandInside(engine, args, what, shape, axis));
  demandInside(engine, engine.args, what, shape, axis);
}

function demandInside(
  { i32, i64 }: Engine,
  args: number,
  what: string,
  shape: readonly number[],
  axis: number,
): void {
  if (i32[(args + wrongArg) >>> 2] === 0) return;
  i32[(args + wrongArg) >>> 2] = 0;
  throw indexError(what, i64[(args + wrongIndexArg) >>> 3], shape[axis], axis, formatShape(shape));
}

/** `out[i0…] = x[… index[i0…] at axis …]`; see `Backend.gather`. */
export function gather(engine: Engine, x: View, axis: number, index: View, out: View): void {
  if (sizeOf(out.shape) === 0) return;
  const width = widthOf(x, "gather");
  const along = x.strides.map((stride, d) => d === axis ? 0 : stride);
  const indexWidth = byteSize(index.dtype, 1);
  const axes = mergeAxes(out.shape, [along, index.strides, out.strides], [width, indexWidth, width]);
  const inner = axes.pop() ?? { size: 1, strides: [0, 0, 0] };
  const whole = inner.strides[1] === 0 && inner.strides[0] === width && inner.strides[2] === width;
  const form = whole && inner.size * width >= 64 ? "rows" : "elements";
  const count = countsIn(index, x.shape[axis]);
  const kernel = engine.kernel(
    `gather ${form} ${width} ${index.dtype} ${count}`,
    (m) => emitGather(m, form, width, index.dtype, count),
  );
  const { args, u32 } = engine;
  u32[(args + fromArg) >>> 2] = addressOf(x);
  u32[(args + indexArg) >>> 2] = addressOf(index);
  u32[(args + toArg) >>> 2] = addressOf(out);
  setAxis(engine, x.strides[axis] * width, x.shape[axis]);
  u32[(args + innerArg) >>> 2] = inner.size;
  inner.strides.forEach((step, k) => u32[((args + innerArg) >>> 2) + 1 + k] = step);
  storeAxes(u32, args + axesArg, axes);
  const rows = axes.reduce((n, { size }) => n * size, 1);
  engine.run(kernel, rows, Math.ceil(65536 / (inner.size * (form === "rows" ? width : 16))));
  checkIndices(engine, "gather", x, axis);
}

function emitGather(
  m: ModuleBuilder,
  form: "rows" | "elements",
  width: number,
  indexType: string,
  count: "i32" | "i64",
): void {
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const row = f.local("i32"), from = f.local("i32"), index = f.local("i32"), to = f.local("i32");
  const left = f.local("i32"), at = f.local("i32");
  f.forRange(row, begin, end, 1, () => {
    loadArgument(f, args, fromArg, from);
    loadArgument(f, args, indexArg, index);
    loadArgument(f, args, toArg, to);
    emitWalk(f, args, axesArg, row, [from, index, to]);
    if (form === "rows") {
      emitIndex(f, args, index, indexType, count, at, () => {
        f.op("memory.copy", to, from.plus(at), args.load(innerArg).times(width));
      });
      return;
    }
    loadArgument(f, args, innerArg, left);
    f.loop((again) => {
      emitIndex(f, args, index, indexType, count, at, () => {
        f.push(to, from.plus(at));
        f.load(loadOf(width));
        f.store(storeOf(width));
      });
      [from, index, to].forEach((pointer, k) => advance(f, args, pointer, innerArg + 4 + 4 * k));
      f.increment(left, -1);
      f.brIf(again, left);
    });
  });
}

/** local = the argument at `offset`. */
export function loadArgument(f: FunctionBuilder, args: Local, offset: number, local: Local): void {
  f.set(local, args.load(offset));
}

/** pointer += the argument at `offset`. */
export function advance(f: FunctionBuilder, args: Local, pointer: Local, offset: number): void {
  f.set(pointer, pointer.plus(args.load(offset)));
}

/** The load that moves an element of `width` bytes. */
export function loadOf(width: number): LoadName {
  return width === 1 ? "i32.load8_u" : width === 2 ? "i32.load16_u" : width === 4 ? "i32.load" : "i64.load";
}

/** The store that moves an element of `width` bytes. */
export function storeOf(width: number): StoreName {
  return width === 1 ? "i32.store8" : width === 2 ? "i32.store16" : width === 4 ? "i32.store" : "i64.store";
}

/**
 * Emits `body` with into = bytes from the start of the axis to the position that the index at `pointer` names. An index out
 * of range is noted in the arguments, and nothing is read or written for it: what it names is not the operand's.
 */
export function emitIndex(
  f: FunctionBuilder,
  args: Local,
  pointer: Local,
  dtype: string,
  count: "i32" | "i64",
  into: Local,
  body: () => void,
): void {
  const raw = f.local(count), at = f.local(count), zero = (): void => count === "i64" ? f.i64(0) : f.i32(0);
  f.get(pointer);
  f.load(dtype === "i64" ? "i64.load" : "i32.load");
  if (dtype !== count) f.op("i64.extend_i32_s");
  f.tee(raw);
  f.get(args);
  f.load(`${count}.load`, sizeArg);
  zero();
  f.get(raw);
  zero();
  f.op(`${count}.lt_s`);
  f.select();
  f.op(`${count}.add`);
  f.tee(at);
  f.get(args);
  f.load(`${count}.load`, sizeArg);
  f.op(`${count}.lt_u`);
  f.if(() => {
    f.get(at);
    if (count === "i64") f.op("i32.wrap_i64");
    f.op("i32.mul", args.load(stepArg));
    f.set(into);
    body();
  }, () => {
    f.push(args, raw);
    if (count === "i32") f.op("i64.extend_i32_s");
    f.store("i64.store", wrongIndexArg);
    f.push(args, 1);
    f.store("i32.store", wrongArg);
  });
}
