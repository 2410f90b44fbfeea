/**
 * The softmax between the two products of attention, a block of keys at a time (Milakov, Gimelshein, "Online
 * normalizer calculation for softmax", 2018; Dao, "FlashAttention-2", 2023).
 *
 * A tile of queries has a record: 8 maxima m, then 8 sums l of exp(score - m). When a block raises the maximum, the
 * sum so far and the row of the output so far are scaled down.
 *
 * @module
 */
import type { FunctionBuilder, Global, Local, ModuleBuilder } from "../../assembler/mod.ts";
import type { KernelContext } from "../../engine.ts";
import { emitLog } from "../../math/log.ts";
import { hoistConstants, type Vectors, type VectorWriter } from "../../math/writer.ts";
import { emitSetSum } from "../gemm/address.ts";
import { emitAcross, emitSplat } from "../row.ts";
import { emitWeight } from "../softmax.ts";
import { emitVisible } from "./emit.ts";
import { type Blocks, tileRoom } from "./layout.ts";
import { emitAlongRow, emitLoadLanes, emitStoreLanes } from "./rows.ts";

/** Bytes of a tile's record. */
export const recordBytes = 64;

/** Floats of scratch memory that {@link emitSoften} needs for itself. */
export const softenFloats = 3 * tileRoom;

/** Writes `body` for each 16 floats of `count` at `pointer`, four vectors at a time; `count` is a multiple of 16. */
export function emitBySixteen(
  w: VectorWriter,
  pointers: readonly Local[],
  count: Local,
  body: (w: VectorWriter, at: readonly Local[]) => void,
): void {
  const { f } = w;
  const at = f.localArray("i32", pointers.length), n = f.local("i32");
  pointers.forEach((pointer, i) => {
    f.set(at[i], pointer);
  });
  f.forRange(n, 0, count, 16, () => {
    body(w.withWidth(4), at);
    for (const local of at) f.increment(local, 64);
  });
}

/** Four vectors at `at`. */
export function emitLoadFour(w: VectorWriter, at: Local): Vectors {
  return w.each((i) => emitLoadLanes(w.f, at, 16 * i, 4));
}

/** Stores four vectors at `at`. */
export function emitStoreFour(w: VectorWriter, at: Local, x: Vectors): void {
  x.forEach((local, i) => emitStoreLanes(w.f, at, local, 16 * i, 4));
}

/** Writes -∞ at `at` for each of the scores `from` … `wide`, which nobody sees; `n` counts. */
export function emitHide(f: FunctionBuilder, at: Local, n: Local, from: Local, wide: Local): void {
  f.forRange(n, () => f.get(from), wide, 1, () => {
    f.get(at);
    f.f32(-Infinity);
    f.store("f32.store");
    f.increment(at, 4);
  });
}

/** The largest of `wide` scores at `row`, in every lane; `maxima` are four vectors to work with. */
export function emitMaximum(w: VectorWriter, maxima: readonly Local[], row: Local, wide: Local): Vectors {
  w.assign(maxima, w.withWidth(4).constant(-Infinity, "f32x4"));
  emitBySixteen(
    w,
    [row],
    wide,
    (w, [at]) => w.assign(maxima, w.op("f32x4.pmax", maxima, emitLoadFour(w, at))),
  );
  const [a, b, c, d] = maxima.map((x): Vectors => [x]);
  return emitAcross(
    w,
    w.op("f32x4.pmax", w.op("f32x4.pmax", a, b), w.op("f32x4.pmax", c, d)),
    "f32x4.pmax",
  );
}

/**
 * The function `soften(s, rows, first, keys, wide, record, o)`: turns scores at s into exp(score - m), brings record
 * and output up to date. Row r sees the first `first` + r of `keys` keys; beyond, up to `wide` (a multiple of 16),
 * scores become 0. `scratch` + `own` has room for {@link softenFloats} floats.
 */
export function emitSoften(
  m: ModuleBuilder,
  context: KernelContext,
  blocks: Blocks,
  scratch: Global,
  own: number,
): FunctionBuilder {
  const f = m.function("soften", { params: new Array(7).fill("i32"), export: false });
  const [s, rows, first, keys, wide, record, o] = f.params;
  const w = hoistConstants(f, context, (w) => {
    emitWeight(w, w.fresh());
    w.push(-Infinity, 0, "f32x4");
    w.f.drop();
  });
  const tops = f.local("i32"),
    r = f.local("i32"),
    row = f.local("i32"),
    at = f.local("i32"),
    n = f.local("i32");
  f.globalGet(scratch);
  f.op("i32.add", own);
  f.set(tops);

  // The maximum of each row.
  f.set(row, s);
  const maxima = f.localArray("v128", 4);
  f.forRange(r, 0, rows, 1, () => {
    emitVisible(f, n, first, r, keys);
    emitSetSum(f, at, row, [n, 4]);
    emitHide(f, at, n, n, wide);
    const top = emitMaximum(w, maxima, row, wide);
    emitSetSum(f, at, tops, [r, 4]);
    emitStoreLanes(f, at, top[0], 0, 1);
    f.increment(row, 4 * blocks.scores);
  });

  // New maxima, and what scales what there is: factors lie 32 bytes behind the maxima.
  for (const half of [0, 16]) {
    const load = (at: Local, offset: number): Vectors => w.each(() => emitLoadLanes(f, at, offset + half, 4));
    const old = load(record, 0);
    const top = w.op("f32x4.pmax", old, load(tops, 0));
    emitStoreLanes(f, record, top[0], half, 4);
    // A row that has seen only -∞ keeps sums of 0.
    const base = w.andNot(top, w.op("f32x4.eq", top, -Infinity));
    emitStoreLanes(f, tops, base[0], half, 4);
    const factor = emitWeight(w, w.sub(old, base));
    emitStoreLanes(f, tops, factor[0], 32 + half, 4);
    emitStoreLanes(f, record, w.mul(load(record, 32), factor)[0], 32 + half, 4);
  }

  f.set(row, s);
  const sums = f.localArray("v128", 4), x = f.local("v128");
  f.forRange(r, 0, rows, 1, () => {
    emitSetSum(f, at, tops, [r, 4]);
    const base = emitSplat(f, at);
    f.push(at.load(32, "f32.load"));
    f.f32(1);
    f.op("f32.ne");
    f.if(() => {
      f.increment(at, 32);
      const factor = emitSplat(f, at);
      emitAlongRow(f, blocks.padded, [o], ([o], offset) => {
        emitLoadLanes(f, o, offset, 4);
        f.op("f32x4.mul", factor);
        f.set(x);
        emitStoreLanes(f, o, x, offset, 4);
      });
    });
    w.assign(sums, w.withWidth(4).constant(0, "f32x4"));
    emitBySixteen(w, [row], wide, (w, [at]) => {
      const e = emitWeight(w, w.sub(emitLoadFour(w, at), w.repeat(base)));
      emitStoreFour(w, at, e);
      w.assign(sums, w.add(sums, e));
    });
    const [a, b, c, d] = sums.map((x): Vectors => [x]);
    const total = emitAcross(w, w.add(w.add(a, b), w.add(c, d)), "f32x4.add");
    emitSetSum(f, at, record, [r, 4]);
    f.push(at, at.load(32, "f32.load"), total[0]);
    f.lane("f32x4.extract_lane", 0);
    f.op("f32.add");
    f.store("f32.store", 32);
    f.increment(row, 4 * blocks.scores);
    f.increment(o, 4 * blocks.padded);
  });
  return f;
}

/** Sets a record to nothing seen yet. */
export function emitClearRecord(f: FunctionBuilder, record: Local): void {
  for (const [offset, value] of [[0, -Infinity], [16, -Infinity], [32, 0], [48, 0]]) {
    f.get(record);
    f.f32x4(value);
    f.store("v128.store", offset, 4);
  }
}

/**
 * The function `finish(o, record, rows, to, stride, lse)`: stores rows of the output divided by their sums, and
 * m + log l unless `lse` is 0. The record is used up.
 */
export function emitFinish(m: ModuleBuilder, context: KernelContext, blocks: Blocks): FunctionBuilder {
  const f = m.function("finish", { params: new Array(6).fill("i32"), export: false });
  const [o, record, rows, to, stride, lse] = f.params;
  const w = hoistConstants(f, context, () => {});
  const r = f.local("i32"), x = f.local("v128");
  for (const half of [0, 16]) {
    const load = (offset: number): Vectors => w.each(() => emitLoadLanes(f, record, offset + half, 4));
    const sums = load(32);
    emitStoreLanes(f, record, w.div(1, sums)[0], 32 + half, 4);
    f.get(lse);
    f.if(() => emitStoreLanes(f, record, w.add(load(0), emitLog(w, sums))[0], half, 4));
  }
  f.forRange(r, 0, rows, 1, () => {
    f.push(record.load(32, "v128.load32_splat"));
    const factor = f.local("v128");
    f.set(factor);
    emitAlongRow(f, blocks.width, [o, to], ([o, to], offset, lanes) => {
      emitLoadLanes(f, o, offset, 4);
      f.op("f32x4.mul", factor);
      f.set(x);
      emitStoreLanes(f, to, x, offset, lanes);
    });
    f.get(lse);
    f.if(() => {
      f.push(lse, record.load(0, "f32.load"));
      f.store("f32.store");
      f.increment(lse, 4);
    });
    f.increment(record, 4);
    f.increment(o, 4 * blocks.padded);
    emitSetSum(f, to, to, stride);
  });
  return f;
}
