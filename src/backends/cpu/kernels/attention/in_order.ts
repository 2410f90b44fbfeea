/**
 * One query with the keys that it sees, every sum over them in their order and in one piece: what comes out depends on those keys
 * alone, not on how many queries are asked together, where in memory a text begins, or what is hidden between.
 *
 * Scores wait in scratch until all are there, so that no sum is put together block by block; what is hidden has a weight of 0,
 * and adding 0 changes no bit.
 *
 * @module
 */
import type { FunctionBuilder, ModuleBuilder } from "../../assembler/mod.ts";
import { importThreadScratch, type KernelContext } from "../../engine.ts";
import { emitLog } from "../../math/log.ts";
import { hoistConstants } from "../../math/writer.ts";
import { emitSetSum } from "../gemm/address.ts";
import { emitWeight } from "../softmax.ts";
import { emitCall, emitRest, emitRoundUp, emitScratch } from "./emit.ts";
import { emitBend, emitDots, emitMix } from "./few_rows.ts";
import { type Blocks, ScratchMap } from "./layout.ts";
import { emitAlongRow, emitCopyRows, emitLoadLanes, emitStoreLanes } from "./rows.ts";
import { emitBySixteen, emitHide, emitLoadFour, emitMaximum, emitStoreFour } from "./softmax.ts";
import { emitExpandRows, type StoredKeys } from "./stored.ts";

/** The most keys whose scores fit into a thread's scratch memory. */
export const mostKeysInOrder: number = 1 << 18;

/**
 * The function `meet(q, k, kStride, v, vStride, keys, out, lse, scale, cap, seen)`: as that of `few_rows.ts`; no cap is 0, and
 * `seen`, unless it is 0, has a byte for each key, 0 where it is hidden.
 */
export function emitMeetInOrder(
  m: ModuleBuilder,
  context: KernelContext,
  blocks: Blocks,
  stored: StoredKeys | null,
): FunctionBuilder {
  const scratch = importThreadScratch(m), { padded, size } = blocks, map = new ScratchMap();
  const scoresAt = map.take(mostKeysInOrder + 16), queryAt = map.take(padded), outAt = map.take(padded);
  const expandedAt = map.take(stored ? size * padded : 0);
  const expand = stored && emitExpandRows(m, context, "expand", blocks, stored);
  const copyQuery = emitCopyRows(m, "copyQuery", blocks, true);
  const dots = emitDots(m, context, blocks), mix = emitMix(m, context, blocks);
  const bend = emitBend(m, context);

  const params = [...new Array<"i32">(8).fill("i32"), "f32", "f32", "i32"] as const;
  const f = m.function("meet", { params, export: false });
  const [q, k, kStride, v, vStride, all, out, lse, scale, cap, seen] = f.params;
  const w = hoistConstants(f, context, (w) => {
    emitWeight(w, w.fresh());
    w.push(-Infinity, 0, "f32x4");
    w.f.drop();
  });
  const [scores, query, sum, expanded] = [scoresAt, queryAt, outAt, expandedAt].map((offset) =>
    emitScratch(f, scratch, offset)
  );
  const [start, keys, at, n, wide] = f.localArray("i32", 5), total = f.local("f32"), x = f.local("v128");
  const one = (): void => f.i32(1);
  const score = (): void => emitSetSum(f, at, scores, [start, 4]);
  /** Writes `body` for each block of rows at `from`, which are floats then. */
  const eachBlock = (
    from: typeof k,
    stride: typeof k,
    body: (...rows: (typeof k | (() => void))[]) => void,
  ) =>
    f.forRange(start, 0, all, size, () => {
      emitRest(f, keys, all, start, size);
      score();
      if (expand) {
        emitCall(f, expand, from, stride, keys, expanded);
        body(expanded, () => f.i32(4 * padded));
      } else body(from, stride);
      emitSetSum(f, from, from, [stride, size]);
    });

  emitCall(f, copyQuery, q, one, one, query, scale);
  eachBlock(k, kStride, (rows, stride) => emitCall(f, dots, query, rows, stride, keys, at));
  emitRoundUp(f, all, 16, 0);
  f.set(wide);
  f.get(cap);
  f.f32(0);
  f.op("f32.ne");
  f.if(() => emitCall(f, bend, scores, wide, cap));
  f.get(seen);
  f.if(() => {
    f.set(at, scores);
    f.forRange(n, 0, all, 1, () => {
      f.push(at, at.load(0, "f32.load"));
      f.f32(-Infinity);
      f.push(seen.load(0, "i32.load8_u"));
      f.select();
      f.store("f32.store");
      f.increment(at, 4);
      f.increment(seen, 1);
    });
  });
  emitSetSum(f, at, scores, [all, 4]);
  emitHide(f, at, n, all, wide);
  const top = emitMaximum(w, f.localArray("v128", 4), scores, wide);
  // A row that has seen only -∞ sums to 0, and gives NaN.
  const base = w.andNot(top, w.op("f32x4.eq", top, -Infinity));
  emitBySixteen(w, [scores], wide, (w, [at]) => {
    emitStoreFour(w, at, emitWeight(w, w.sub(emitLoadFour(w, at), w.repeat(base[0]))));
  });
  f.set(at, scores);
  f.f32(0);
  f.set(total);
  f.forRange(n, 0, all, 1, () => {
    f.set(total, total.op("f32.add", at.load(0, "f32.load")));
    f.increment(at, 4);
  });
  f.op("memory.fill", sum, 0, 4 * padded);
  eachBlock(v, vStride, (rows, stride) => emitCall(f, mix, at, rows, stride, keys, sum));
  const totals = w.each(() => {
    f.push(total.op("f32x4.splat"));
  });
  const [factor] = w.div(1, totals);
  emitAlongRow(f, blocks.width, [sum, out], ([from, to], offset, lanes) => {
    emitLoadLanes(f, from, offset, 4);
    f.op("f32x4.mul", factor);
    f.set(x);
    emitStoreLanes(f, to, x, offset, lanes);
  });
  f.get(lse);
  f.if(() => emitStoreLanes(f, lse, w.add(top, emitLog(w, totals))[0], 0, 1));
  return f;
}
