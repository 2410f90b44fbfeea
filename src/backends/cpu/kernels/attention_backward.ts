/**
 * Gradients of attention, with probabilities computed anew from the log-sums that the forward kernel kept (Dao,
 * "FlashAttention-2", 2023). Nothing of the size of the scores is stored.
 *
 * An item is one head of keys and values with all the heads of queries that share it. For each block of keys, blocks
 * of queries go by: p = exp(q kᵀ - lse) and ds = p (dout vᵀ - Σ dout · out); then dv += pᵀ dout, dk += dsᵀ q and
 * dq += ds k. The order of these sums is that of the blocks, whoever does the item.
 *
 * @module
 */
import { sizeOf } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import { type FunctionBuilder, type Local, type ModuleBuilder, Term } from "../assembler/mod.ts";
import { addressOf } from "../buffer.ts";
import { type Engine, importThreadScratch, type KernelContext } from "../engine.ts";
import { hoistConstants } from "../math/writer.ts";
import {
  emitArgument,
  emitCall,
  emitItems,
  emitMin,
  emitOperand,
  emitRest,
  emitRoundUp,
  emitRow,
  emitScratch,
  emitSplitNumber,
  emitVisible,
} from "./attention/emit.ts";
import {
  blockCountArg,
  type Blocks,
  blocksFor,
  deltaArg,
  groupArg,
  headsArg,
  keysArg,
  lseArg,
  queriesArg,
  reachArg,
  scaleArg,
  ScratchMap,
  setAttentionOperand,
  setAttentionSizes,
  tileRoom,
} from "./attention/layout.ts";
import { emitProduct } from "./attention/product.ts";
import {
  emitAlongRow,
  emitCopyRows,
  emitLoadLanes,
  emitStoreLanes,
  emitStoreRows,
  emitTransposeRows,
} from "./attention/rows.ts";
import { emitBySixteen, emitLoadFour, emitStoreFour } from "./attention/softmax.ts";
import { emitSetSum } from "./gemm/address.ts";
import { emitAcross, emitSplat } from "./row.ts";
import { emitWeight } from "./softmax.ts";

/** Gradients of attention; see `Kernels.attentionBackward`. */
export function attentionBackward(
  engine: Engine,
  dout: View,
  q: View,
  k: View,
  v: View,
  out: View,
  lse: View,
  dq: View,
  dk: View,
  dv: View,
  scale: number,
  causal: boolean,
): void {
  const [batch, heads, queries, width] = q.shape, [, groups, keys] = k.shape;
  if (sizeOf(k.shape) === 0) return;
  const kernel = engine.kernel(
    `attentionBackward ${width}`,
    (m, context) => emitBackward(m, context, blocksFor(context, width, 7)),
  );
  const delta = engine.heap.scratch(4 * batch * heads * queries);
  setAttentionSizes(engine, q, k, scale, causal);
  setAttentionOperand(engine, 0, q);
  setAttentionOperand(engine, 1, k);
  setAttentionOperand(engine, 2, v);
  setAttentionOperand(engine, 3, out);
  setAttentionOperand(engine, 4, dout);
  setAttentionOperand(engine, 5, dq);
  setAttentionOperand(engine, 6, dk);
  setAttentionOperand(engine, 7, dv);
  const { args, u32 } = engine;
  u32[(args + lseArg) >>> 2] = addressOf(lse);
  u32[(args + deltaArg) >>> 2] = delta;
  u32[(args + blockCountArg) >>> 2] = groups;
  const work = (heads / groups) * Math.max(1, queries) * keys * width;
  engine.run(kernel, batch * groups, Math.max(1, Math.ceil(100_000 / work)));
  engine.heap.release(delta);
}

/** The address of [batch, heads, queries] floats for one head. */
function emitRowValues(f: FunctionBuilder, args: Local, at: number, batch: Local, head: Local): Local {
  const values = emitArgument(f, args, at), heads = emitArgument(f, args, headsArg), row = f.local("i32");
  const queries = emitArgument(f, args, queriesArg);
  emitSetSum(f, row, [batch, heads], head);
  emitSetSum(f, row, [row, queries]);
  emitSetSum(f, values, values, [row, 4]);
  return values;
}

/** The function `prepare(args, batch, head)`: delta = Σ dout · out of each row, and dq = 0. */
function emitPrepare(m: ModuleBuilder, context: KernelContext, { width }: Blocks): FunctionBuilder {
  const f = m.function("prepare", { params: ["i32", "i32", "i32"], export: false });
  const [args, batch, head] = f.params;
  const w = hoistConstants(f, context, () => {});
  const [out, dout, dq] = [3, 4, 5].map((k) => emitOperand(f, args, k, batch, head));
  const delta = emitRowValues(f, args, deltaArg, batch, head);
  const sum = f.local("v128"),
    x = f.local("v128"),
    y = f.local("v128"),
    zero = f.local("v128"),
    i = f.local("i32");
  f.forRange(i, 0, emitArgument(f, args, queriesArg), 1, () => {
    f.f32x4(0);
    f.set(sum);
    emitAlongRow(f, width, [out.at, dout.at, dq.at], ([out, dout, dq], offset, lanes) => {
      emitLoadLanes(f, out, offset, lanes);
      f.set(x);
      emitLoadLanes(f, dout, offset, lanes);
      f.set(y);
      w.assign([sum], w.madd([x], [y], [sum]));
      emitStoreLanes(f, dq, zero, offset, lanes);
    });
    emitStoreLanes(f, delta, emitAcross(w, [sum], "f32x4.add")[0], 0, 1);
    f.increment(delta, 4);
    for (const { at, stride } of [out, dout, dq]) emitSetSum(f, at, at, stride);
  });
  return f;
}

/**
 * The function `grade(s, ds, rows, first, keys, lse, delta)`: scores become probabilities, and dout · vᵀ becomes the
 * gradient of the scores. Keys that a row does not see become 0, to the end of the row.
 */
function emitGrade(m: ModuleBuilder, context: KernelContext, { scores }: Blocks): FunctionBuilder {
  const f = m.function("grade", { params: new Array(7).fill("i32"), export: false });
  const [s, ds, rows, first, keys, lse, delta] = f.params;
  const w = hoistConstants(f, context, (w) => emitWeight(w, w.fresh()));
  const r = f.local("i32"), n = f.local("i32"), wide = f.local("i32"), rest = f.local("i32");
  const p = f.local("i32"), dp = f.local("i32"), zero = f.local("v128");
  f.forRange(r, 0, rows, 1, () => {
    emitVisible(f, n, first, r, keys);
    emitRoundUp(f, n, 16, 0);
    f.set(wide);
    const log = emitSplat(f, lse), level = emitSplat(f, delta);
    emitBySixteen(w, [s, ds], wide, (w, [s, ds]) => {
      const p = emitWeight(w, w.sub(emitLoadFour(w, s), w.repeat(log)));
      emitStoreFour(w, s, p);
      emitStoreFour(w, ds, w.mul(p, w.sub(emitLoadFour(w, ds), w.repeat(level))));
    });
    emitSetSum(f, p, s, [n, 4]);
    emitSetSum(f, dp, ds, [n, 4]);
    f.forRange(n, () => f.get(n), wide, 1, () => {
      for (const at of [p, dp]) {
        f.get(at);
        f.f32(0);
        f.store("f32.store");
        f.increment(at, 4);
      }
    });
    f.set(rest, Term.i32(scores).minus(wide));
    emitBySixteen(w, [p, dp], rest, (w, pointers) => {
      for (const at of pointers) emitStoreFour(w, at, w.repeat(zero));
    });
    f.increment(s, 4 * scores);
    f.increment(ds, 4 * scores);
    f.increment(lse, 4);
    f.increment(delta, 4);
  });
  return f;
}

function emitBackward(m: ModuleBuilder, context: KernelContext, blocks: Blocks): void {
  const scratch = importThreadScratch(m);
  const { width, padded, size, scores, tile } = blocks;
  const map = new ScratchMap(), room = size + tileRoom;
  const keyPanelsAt = map.take(size * width),
    valuePanelsAt = map.take(size * width),
    keysAt = map.take(size * padded);
  const queriesAt = map.take(room * padded), doutAt = map.take(room * padded);
  const dkeysAt = map.take(room * padded),
    dvaluesAt = map.take(room * padded),
    dqueriesAt = map.take(tileRoom * padded);
  const scoresAt = map.take(room * scores), dscoresAt = map.take(room * scores);

  const prepare = emitPrepare(m, context, blocks);
  const grade = emitGrade(m, context, blocks);
  const transpose = emitTransposeRows(m, "transpose", blocks);
  const copy = emitCopyRows(m, "copy", blocks, false),
    copyScaled = emitCopyRows(m, "copyScaled", blocks, true);
  const store = emitStoreRows(m, "store", blocks, false), add = emitStoreRows(m, "add", blocks, true);
  const rowBytes = 4 * padded, scoreBytes = 4 * scores;
  const score = emitProduct(m, context, {
    name: "score",
    rows: tile,
    a: [rowBytes, 4],
    b: [32, 32 * width],
    c: scoreBytes,
    add: false,
  });
  const mix = emitProduct(m, context, {
    name: "mix",
    rows: tile,
    a: [scoreBytes, 4],
    b: [rowBytes, 32],
    c: rowBytes,
    add: false,
  });
  // The rows of a are the columns of the matrix of scores.
  const turned = emitProduct(m, context, {
    name: "turned",
    rows: tile,
    a: [4, scoreBytes],
    b: [rowBytes, 32],
    c: rowBytes,
    add: true,
  });

  const head = m.function("head", { params: new Array(5).fill("i32"), export: false });
  {
    const f = head;
    const [args, batch, number, start, keys] = f.params;
    const [q, dout, dq] = [0, 4, 5].map((k) => emitOperand(f, args, k, batch, number));
    const lse = emitRowValues(f, args, lseArg, batch, number),
      delta = emitRowValues(f, args, deltaArg, batch, number);
    const queries = emitArgument(f, args, queriesArg), reach = emitArgument(f, args, reachArg);
    const [keyPanels, valuePanels, keyRows, queryRows, doutRows, dkeys, dvalues, dqueries, p, dp] = [
      keyPanelsAt,
      valuePanelsAt,
      keysAt,
      queriesAt,
      doutAt,
      dkeysAt,
      dvaluesAt,
      dqueriesAt,
      scoresAt,
      dscoresAt,
    ].map((offset) => emitScratch(f, scratch, offset));
    const i32 = (): Local => f.local("i32");
    const from = i32(), count = i32(), t = i32(), rows = i32(), here = i32(), visible = i32(), skip = i32();
    const left = i32(), panels = (): void => f.i32(padded / 8);
    const scale = (): void => {
      f.push(args.load(scaleArg, "f32.load"));
    };

    // The first query that sees a key of this block.
    f.set(from, start.minus(reach));
    emitAtLeastZero(f, from);
    for (const { at, stride } of [q, dout, dq]) emitSetSum(f, at, at, [from, stride]);
    for (const values of [lse, delta]) emitSetSum(f, values, values, [from, 4]);
    f.forRange(from, () => f.get(from), queries, size, () => {
      emitRest(f, count, queries, from, size);
      emitCall(f, copyScaled, q.at, q.stride, count, queryRows, scale);
      emitCall(f, copy, dout.at, dout.stride, count, doutRows);
      emitSetSum(f, q.at, q.at, [q.stride, size]);
      emitSetSum(f, dout.at, dout.at, [dout.stride, size]);
      f.forRange(t, 0, count, tile, () => {
        emitRest(f, rows, count, t, tile);
        // Row 0 of the tile sees `here` keys of this block.
        emitSetSum(f, here, from, t, reach, 1);
        f.set(here, here.minus(start));
        emitSetSum(f, visible, here, rows, -1);
        emitMin(f, visible, visible, keys);
        const scoreRows = (): void => emitRow(f, p, t, scoreBytes),
          dscoreRows = (): void => emitRow(f, dp, t, scoreBytes);
        const depth = (): void => f.i32(width), eights = (): void => emitRoundUp(f, visible, 8, 3);
        emitCall(f, score, () => emitRow(f, queryRows, t, rowBytes), keyPanels, depth, eights, scoreRows);
        emitCall(f, score, () => emitRow(f, doutRows, t, rowBytes), valuePanels, depth, eights, dscoreRows);
        emitCall(f, grade, scoreRows, dscoreRows, rows, here, keys, lse, delta);
        emitCall(f, mix, dscoreRows, keyRows, visible, panels, dqueries);
        emitCall(f, add, dqueries, rows, dq.at, dq.stride);
        emitSetSum(f, dq.at, dq.at, [dq.stride, rows]);
        for (const values of [lse, delta]) emitSetSum(f, values, values, [rows, 4]);
      });
      f.forRange(t, 0, keys, tile, () => {
        // Queries before `skip` see none of this tile of keys.
        emitSetSum(f, skip, start, t);
        f.set(skip, skip.minus(reach).minus(from));
        emitAtLeastZero(f, skip);
        f.push(count.minus(skip).tee(left).op("gt_s", 0));
        f.if(() => {
          for (const [scores, others, sums] of [[p, doutRows, dvalues], [dp, queryRows, dkeys]]) {
            emitSetSum(f, here, scores, [t, 4], [skip, scoreBytes]);
            emitCall(
              f,
              turned,
              here,
              () => emitRow(f, others, skip, rowBytes),
              left,
              panels,
              () => emitRow(f, sums, t, rowBytes),
            );
          }
        });
      });
    });
  }

  const f = m.function("item", { params: ["i32", "i32"], export: false });
  const [args, number] = f.params;
  const { high: batch, low: shared } = emitSplitNumber(f, number, emitArgument(f, args, blockCountArg));
  const [k, v, dk, dv] = [1, 2, 6, 7].map((operand) => emitOperand(f, args, operand, batch, shared));
  const group = emitArgument(f, args, groupArg), allKeys = emitArgument(f, args, keysArg);
  const [keyPanels, valuePanels, keyRows, dkeys, dvalues] = [
    keyPanelsAt,
    valuePanelsAt,
    keysAt,
    dkeysAt,
    dvaluesAt,
  ].map(
    (offset) => emitScratch(f, scratch, offset),
  );
  const g = f.local("i32"), h = f.local("i32"), start = f.local("i32"), keys = f.local("i32");
  f.forRange(g, 0, group, 1, () => {
    emitSetSum(f, h, [shared, group], g);
    emitCall(f, prepare, args, batch, h);
  });
  f.forRange(start, 0, allKeys, size, () => {
    emitRest(f, keys, allKeys, start, size);
    emitCall(f, transpose, k.at, k.stride, keys, keyPanels);
    emitCall(f, transpose, v.at, v.stride, keys, valuePanels);
    // Scaled keys make scaled dq; dk has its scale from the queries.
    emitCall(f, copyScaled, k.at, k.stride, keys, keyRows, () => {
      f.push(args.load(scaleArg, "f32.load"));
    });
    for (const sums of [dkeys, dvalues]) {
      f.op("memory.fill", sums, 0, room * rowBytes);
    }
    f.forRange(g, 0, group, 1, () => {
      emitSetSum(f, h, [shared, group], g);
      emitCall(f, head, args, batch, h, start, keys);
    });
    emitCall(f, store, dkeys, keys, dk.at, dk.stride);
    emitCall(f, store, dvalues, keys, dv.at, dv.stride);
    for (const { at, stride } of [k, v, dk, dv]) emitSetSum(f, at, at, [stride, size]);
  });
  emitItems(m, f);
}

function emitAtLeastZero(f: FunctionBuilder, x: Local): void {
  f.push(0, x, x.op("lt_s", 0));
  f.select();
  f.set(x);
}
