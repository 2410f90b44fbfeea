/**
 * Products of one query with many keys, read in place: for decoding, where keys are used once and copying them would
 * cost more than it saves.
 *
 * @module
 */
import { byteSize } from "../../../../core/dtype.ts";
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import { importThreadScratch, type KernelContext } from "../../engine.ts";
import { emitTanh } from "../../math/exp.ts";
import { hoistConstants, type Vectors, type VectorWriter } from "../../math/writer.ts";
import { emitSetSum } from "../gemm/address.ts";
import { emitCall, emitRest, emitRoundUp, emitScratch } from "./emit.ts";
import { type Blocks, ScratchMap } from "./layout.ts";
import { emitAlongRow, emitCopyRows, emitLoadLanes, emitStoreLanes } from "./rows.ts";
import {
  emitBySixteen,
  emitClearRecord,
  emitFinish,
  emitLoadFour,
  emitSoften,
  emitStoreFour,
  softenFloats,
} from "./softmax.ts";
import { emitExpandRows, type StoredKeys } from "./stored.ts";

/** Keys that one query meets at a time: with their values, no more than a second-level cache holds. */
const blockKeys = 512;

/** Bytes of a line of the caches. */
const line = 64;

/** Sums over the lanes of four vectors, as the lanes of one. */
function emitSumsOfFour(w: VectorWriter, [a, b, c, d]: readonly Local[]): Vectors {
  const pairs = (x: Local, y: Local): Vectors =>
    w.add(w.shuffle32([x], [y], [0, 4, 1, 5]), w.shuffle32([x], [y], [2, 6, 3, 7]));
  const left = pairs(a, b), right = pairs(c, d);
  return w.add(w.shuffle32(left, right, [0, 1, 4, 5]), w.shuffle32(left, right, [2, 3, 6, 7]));
}

/**
 * The function `dots(q, k, stride, count, s)`: products of the padded row q with `count` rows k, stored at s; up to
 * three floats behind them are overwritten.
 */
export function emitDots(m: ModuleBuilder, context: KernelContext, { width }: Blocks): FunctionBuilder {
  const four = m.function("dots4", { params: new Array(6).fill("i32"), export: false });
  {
    const f = four, [q, k0, k1, k2, k3, s] = f.params;
    const w = hoistConstants(f, context, () => {});
    const sums = f.localArray("v128", 4), x = f.local("v128");
    emitAlongRow(f, width, [q, k0, k1, k2, k3], ([q, ...k], offset, lanes) => {
      emitLoadLanes(f, q, offset, 4);
      f.set(x);
      k.forEach((row, i) => {
        const y = w.each(() => emitLoadLanes(f, row, offset, lanes));
        w.assign([sums[i]], w.madd([x], y, [sums[i]]));
      });
    });
    emitStoreLanes(f, s, emitSumsOfFour(w, sums)[0], 0, 4);
  }
  const f = m.function("dots", { params: new Array(5).fill("i32"), export: false });
  const [q, k, stride, count, s] = f.params;
  const rows = f.localArray("i32", 3);
  const call = (): void => {
    f.push(q, k);
    for (const row of rows) f.get(row);
    f.get(s);
    f.call(four);
  };
  f.forRange(count, () => f.get(count), 3, -4, () => {
    rows.forEach((row, i) => emitSetSum(f, row, i ? rows[i - 1] : k, stride));
    call();
    emitSetSum(f, k, rows[2], stride);
    f.increment(s, 16);
  });
  f.push(count.op("gt_s", 0));
  f.if(() => {
    // Rows that are not there are stood in for by the one before.
    rows.forEach((row, i) => {
      emitSetSum(f, row, i ? rows[i - 1] : k, stride);
      f.set(row, count.op("gt_s", i + 1).select(row, i ? rows[i - 1] : k));
    });
    call();
  });
  return f;
}

/** The function `mix(p, v, stride, count, o)`: o += Σ p[i] · row i of v; o is a padded row. */
export function emitMix(m: ModuleBuilder, context: KernelContext, { width }: Blocks): FunctionBuilder {
  // Up to eight vectors of the row at a time, which is enough to hide the latency of adding.
  const parts = new Map<number, FunctionBuilder>();
  const part = (floats: number): FunctionBuilder => {
    const known = parts.get(floats);
    if (known) return known;
    const f = m.function(`mix${floats}`, { params: new Array(5).fill("i32"), export: false });
    const [p, v, stride, count, o] = f.params;
    const w = hoistConstants(f, context, () => {});
    const vectors = Math.ceil(floats / 4);
    const sums = w.withWidth(vectors).each((i) => emitLoadLanes(f, o, 16 * i, 4));
    f.forRange(count, () => f.get(count), 0, -1, () => {
      const [x] = w.each(() => {
        f.push(p.load(0, "v128.load32_splat"));
      });
      const wide = w.withWidth(vectors);
      const row = wide.each((i) => emitLoadLanes(f, v, 16 * i, Math.min(4, floats - 4 * i)));
      wide.assign(sums, wide.madd(wide.repeat(x), row, sums));
      f.increment(p, 4);
      emitSetSum(f, v, v, stride);
    });
    sums.forEach((sum, i) => emitStoreLanes(f, o, sum, 16 * i, 4));
    parts.set(floats, f);
    return f;
  };
  const pieces: [number, FunctionBuilder][] = [];
  for (let at = 0; at < width; at += 32) pieces.push([at, part(Math.min(32, width - at))]);
  const f = m.function("mix", { params: new Array(5).fill("i32"), export: false });
  const [p, v, stride, count, o] = f.params;
  for (const [at, callee] of pieces) {
    f.push(p, v.plus(4 * at), stride, count, o.plus(4 * at));
    f.call(callee);
  }
  return f;
}

/**
 * The function `fetch(at, stride, count)`: reads a word of every line of rows of `bytes` bytes. A text's keys and values are
 * far from where the weights are read that went before, and each is too short for a processor to see a pattern in; asked for at
 * once, their lines come one behind the other.
 */
function emitFetch(m: ModuleBuilder, bytes: number): FunctionBuilder {
  const f = m.function("fetch", { params: new Array(3).fill("i32"), results: ["i32"], export: false });
  const [at, stride, count] = f.params, all = f.local("i32");
  f.forRange(count, () => f.get(count), 0, -1, () => {
    for (let offset = 0; offset < bytes; offset += line) {
      f.set(all, all.or(at.load(offset, "i32.load", 1)));
    }
    emitSetSum(f, at, at, stride);
  });
  f.get(all);
  return f;
}

/** The function `bend(s, wide, cap)`: scores s, of which there are `wide`, a multiple of 16, as cap · tanh(s / cap). */
export function emitBend(m: ModuleBuilder, context: KernelContext): FunctionBuilder {
  const f = m.function("bend", { params: ["i32", "i32", "f32"], export: false }), [s, wide, cap] = f.params;
  const w = hoistConstants(f, context, (w) => void emitTanh(w, w.fresh()));
  const most = f.local("v128");
  f.set(most, cap.op("f32x4.splat"));
  emitBySixteen(w, [s], wide, (w, [at]) => {
    const caps = w.repeat(most);
    emitStoreFour(w, at, w.mul(caps, emitTanh(w, w.div(emitLoadFour(w, at), caps))));
  });
  return f;
}

/**
 * The function `meet(q, k, kStride, v, vStride, keys, out, lse, scale)`: one query with the first `keys` rows of k and v,
 * block by block with the softmax put together; log Σ exp at `lse` unless that is 0. Where scores are `capped` it has their cap
 * as one argument more.
 */
export function emitMeet(
  m: ModuleBuilder,
  context: KernelContext,
  blocks: Blocks,
  stored: StoredKeys | null,
  capped = false,
): FunctionBuilder {
  const scratch = importThreadScratch(m);
  const { padded } = blocks, most = stored ? blocks.size : blockKeys;
  const map = new ScratchMap();
  const ownAt = map.take(softenFloats), recordAt = map.take(16), scoresAt = map.take(most + 16);
  const queryAt = map.take(padded), outAt = map.take(padded);
  const expandedAt = map.take(stored ? most * padded : 0);
  const expand = stored && emitExpandRows(m, context, "expand", blocks, stored);
  const copyQuery = emitCopyRows(m, "copyQuery", blocks, true);
  const fetch = emitFetch(m, stored ? byteSize(stored, blocks.width) : 4 * blocks.width);
  const fetchedAt = map.take(16);
  const dots = emitDots(m, context, blocks), mix = emitMix(m, context, blocks);
  const soften = emitSoften(m, context, blocks, scratch, ownAt);
  const finish = emitFinish(m, context, blocks), bend = capped ? emitBend(m, context) : null;

  const numbers = capped ? ["f32", "f32"] as const : ["f32"] as const;
  const f = m.function("meet", { params: [...new Array<"i32">(8).fill("i32"), ...numbers], export: false });
  const [q, k, kStride, v, vStride, all, out, lse, scale, cap] = f.params;
  const [record, scores, query, sum, expanded] = [recordAt, scoresAt, queryAt, outAt, expandedAt].map((
    offset,
  ) => emitScratch(f, scratch, offset));
  const start = f.local("i32"), keys = f.local("i32");
  const one = (): void => f.i32(1);
  // Rows of floats: the caller's, or those of the block that was just expanded.
  const floats = (at: Local, stride: Local): (Local | (() => void))[] => {
    if (!expand) return [at, stride];
    emitCall(f, expand, at, stride, keys, expanded);
    return [expanded, () => f.i32(4 * padded)];
  };
  emitCall(f, copyQuery, q, one, one, query, scale);
  f.op("memory.fill", sum, 0, 4 * padded);
  emitClearRecord(f, record);
  f.forRange(start, 0, all, most, () => {
    emitRest(f, keys, all, start, most);
    // Stored, so that no compiler finds that nobody needs what is read.
    f.globalGet(scratch);
    emitCall(f, fetch, k, kStride, keys);
    emitCall(f, fetch, v, vStride, keys);
    f.op("i32.or");
    f.store("i32.store", fetchedAt);
    emitCall(f, dots, query, ...floats(k, kStride), keys, scores);
    const wide = (): void => emitRoundUp(f, keys, 16, 0);
    if (bend) emitCall(f, bend, scores, wide, cap);
    emitCall(f, soften, scores, one, keys, keys, wide, record, sum);
    emitCall(f, mix, scores, ...floats(v, vStride), keys, sum);
    emitSetSum(f, k, k, [kStride, most]);
    emitSetSum(f, v, v, [vStride, most]);
  });
  emitCall(f, finish, sum, record, one, out, one, lse);
  return f;
}
