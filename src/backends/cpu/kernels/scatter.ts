/**
 * Placing elements by index, adding up where several meet.
 *
 * A work item is one position over all the axes except the indexed one: two items never write the same element, and
 * within one the additions happen in the order of the index, whoever does it. Where the index repeats along the
 * inner axes (adding whole rows: the gradient of an embedding), a thread takes a range of columns and goes once
 * through the index, a vector at a time.
 *
 * @module
 */
import { byteSize, type DType } from "../../../core/dtype.ts";
import { fromBf16, fromF16, toBf16, toF16 } from "../../../core/half.ts";
import { formatShape, indexError, sizeOf } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import type { FunctionBuilder, Local, ModuleBuilder } from "../assembler/mod.ts";
import { addressOf } from "../buffer.ts";
import type { Engine } from "../engine.ts";
import {
  advance,
  axesArg,
  checkIndices,
  countsIn,
  emitIndex,
  fromArg,
  indexArg,
  innerArg,
  loadArgument,
  loadOf,
  setAxis,
  storeOf,
  toArg,
  widthOf,
} from "./gather.ts";
import { emitWalk, mergeAxes, storeAxes } from "./walk.ts";

/** Adds (or writes) `source[i0…]` to `out[… index[i0…] at axis …]`; see `Backend.scatter`. */
export function scatter(
  engine: Engine,
  mode: "add" | "set",
  out: View,
  axis: number,
  index: View,
  source: View,
): void {
  if (sizeOf(source.shape) === 0) return;
  if (mode === "add" && (out.dtype === "f16" || out.dtype === "bf16")) {
    return addHalves(engine, out, axis, index, source);
  }
  const width = widthOf(out, "scatter");
  const indexWidth = byteSize(index.dtype, 1);
  const widths = [width, indexWidth, width];
  const others = source.shape.map((size, d) => d === axis ? 1 : size);
  const axes = mergeAxes(others, [source.strides, index.strides, out.strides], widths);
  const along = [source.strides[axis] * width, index.strides[axis] * indexWidth];
  const inner = axes.at(-1);
  const rows = inner !== undefined && inner.strides[1] === 0 && inner.strides[0] === width &&
    inner.strides[2] === width;
  const form = rows ? "rows" : "elements";
  const count = countsIn(index, out.shape[axis]);
  const key = `scatter ${mode} ${form} ${mode === "set" ? width : out.dtype} ${index.dtype} ${count}`;
  const kernel = engine.kernel(
    key,
    (m) => emitScatter(m, form, mode === "set" ? null : out.dtype, width, index.dtype, count),
  );
  const { args, u32 } = engine;
  const columns = rows ? inner.size : 1;
  if (rows) axes.pop();
  u32[(args + indexArg) >>> 2] = addressOf(index);
  setAxis(engine, out.strides[axis] * width, out.shape[axis]);
  u32[(args + innerArg) >>> 2] = source.shape[axis];
  u32[((args + innerArg) >>> 2) + 1] = along[0];
  u32[((args + innerArg) >>> 2) + 2] = along[1];
  storeAxes(u32, args + axesArg, axes);
  const positions = axes.reduce((n, { size }) => n * size, 1);
  u32[((args + innerArg) >>> 2) + 3] = positions;
  u32[(args + fromArg) >>> 2] = addressOf(source);
  u32[(args + toArg) >>> 2] = addressOf(out);
  const items = rows ? columns : positions;
  const each = source.shape[axis] * (rows ? positions : 4);
  engine.run(kernel, items, Math.max(rows ? 16 : 1, Math.ceil(16384 / each)));
  checkIndices(engine, "scatter", out, axis);
}

function emitScatter(
  m: ModuleBuilder,
  form: "rows" | "elements",
  add: DType | null,
  width: number,
  indexType: string,
  counts: "i32" | "i64",
): void {
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const item = f.local("i32"), from = f.local("i32"), index = f.local("i32"), to = f.local("i32");
  const count = f.local("i32"), at = f.local("i32");
  const position = (of: Local, body: () => void): void => {
    loadArgument(f, args, fromArg, from);
    loadArgument(f, args, indexArg, index);
    loadArgument(f, args, toArg, to);
    emitWalk(f, args, axesArg, of, [from, index, to]);
    loadArgument(f, args, innerArg, count);
    f.loop((again) => {
      emitIndex(f, args, index, indexType, counts, at, body);
      advance(f, args, from, innerArg + 4);
      advance(f, args, index, innerArg + 8);
      f.increment(count, -1);
      f.brIf(again, count);
    });
  };
  if (form === "elements") {
    f.forRange(item, begin, end, 1, () =>
      position(item, () => {
        f.set(at, to.plus(at));
        emitPlace(f, add, width, at, from);
      }));
    return;
  }
  const positions = f.local("i32"), a = f.local("i32"), b = f.local("i32"), left = f.local("i32");
  loadArgument(f, args, innerArg + 12, positions);
  f.forRange(item, 0, positions, 1, () =>
    position(item, () => {
      columnAddress(f, a, from, null, begin, width);
      columnAddress(f, b, to, at, begin, width);
      f.set(left, end.minus(begin));
      if (add === "f32") {
        f.block((done) => {
          f.loop((again) => {
            f.brIf(done, left.op("lt_s", 4));
            f.push(b, b.load(0, "v128.load", 4).op("f32x4.add", a.load(0, "v128.load", 4)));
            f.store("v128.store", 0, 4);
            f.increment(a, 16);
            f.increment(b, 16);
            f.increment(left, -4);
            f.br(again);
          });
        });
      }
      f.block((done) => {
        f.loop((again) => {
          f.brIf(done, left.op("eqz"));
          emitPlace(f, add, width, b, a);
          f.increment(a, width);
          f.increment(b, width);
          f.increment(left, -1);
          f.br(again);
        });
      });
    }));
}

/** into = base (+ extra) + column * width. */
function columnAddress(
  f: FunctionBuilder,
  into: Local,
  base: Local,
  extra: Local | null,
  column: Local,
  width: number,
): void {
  f.get(base);
  if (extra) {
    f.op("i32.add", extra);
  }
  f.op("i32.add", column.times(width));
  f.set(into);
}

/** `to = from`, or `to += from` in the dtype `add`, for one element. */
function emitPlace(f: FunctionBuilder, add: DType | null, width: number, to: Local, from: Local): void {
  f.get(to);
  if (add === null) {
    f.get(from);
    f.load(loadOf(width));
    f.store(storeOf(width));
    return;
  }
  const load = add === "f32" ? "f32.load" : loadOf(width);
  f.get(to);
  f.load(load);
  f.get(from);
  f.load(load);
  f.op(add === "f32" ? "f32.add" : add === "i64" ? "i64.add" : add === "bool" ? "i32.or" : "i32.add");
  f.store(add === "f32" ? "f32.store" : storeOf(width));
}

/** Adds 16-bit floats, each sum rounded as it is stored. */
function addHalves(engine: Engine, out: View, axis: number, index: View, source: View): void {
  const [read, write] = out.dtype === "f16" ? [fromF16, toF16] : [fromBf16, toBf16];
  const { u16, i32, i64 } = engine;
  engine.refuseCapture();
  const step = byteSize(index.dtype, 1) / 4;
  const to = addressOf(out) / 2, from = addressOf(source) / 2, indices = addressOf(index) / 4;
  const size = out.shape[axis];
  const position = source.shape.map(() => 0);
  for (let n = sizeOf(source.shape); n > 0; n--) {
    let a = from, b = to, c = indices;
    position.forEach((i, d) => {
      a += i * source.strides[d];
      c += i * index.strides[d] * step;
      if (d !== axis) b += i * out.strides[d];
    });
    const given = index.dtype === "i64" ? Number(i64[c / 2]) : i32[c];
    if (!(given >= -size && given < size)) {
      throw indexError("scatter", given, size, axis, formatShape(out.shape));
    }
    b += (given < 0 ? given + size : given) * out.strides[axis];
    u16[b] = write(read(u16[b]) + read(u16[a]));
    for (let d = position.length - 1; d >= 0 && ++position[d] === source.shape[d]; d--) position[d] = 0;
  }
}
