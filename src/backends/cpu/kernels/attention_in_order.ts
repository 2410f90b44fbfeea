/**
 * Attention query by query, each by itself: see `attention/in_order.ts`. What the deterministic mode computes attention with,
 * of a prompt as of a step, so that a text's numbers do not depend on how it is cut.
 *
 * @module
 */
import { sizeOf } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import type { ModuleBuilder } from "../assembler/mod.ts";
import type { Engine, KernelContext } from "../engine.ts";
import { forwardBlocks } from "./attention.ts";
import {
  emitArgument,
  emitCall,
  emitHead,
  emitItems,
  emitMin,
  emitOperand,
  emitRest,
} from "./attention/emit.ts";
import { emitMeetInOrder } from "./attention/in_order.ts";
import {
  blockArg,
  blockCountArg,
  capArg,
  keysArg,
  reachArg,
  scaleArg,
  seenArg,
  setAttentionOperand,
  windowArg,
} from "./attention/layout.ts";
import { setForward } from "./attention/queries.ts";
import type { StoredKeys } from "./attention/stored.ts";
import { emitSetSum } from "./gemm/address.ts";

/** Queries of one head that an item takes. */
const itemQueries = 8;

/** A window that hides nothing. */
export const noWindow: number = 2 ** 31 - 1;

/** See `Kernels.attentionInOrder`. */
export function attentionInOrder(
  engine: Engine,
  q: View,
  k: View,
  v: View,
  out: View,
  lse: View | null,
  scale: number,
  causal: boolean,
  softcap: number,
  window: number,
  seen: View | null,
): void {
  if (sizeOf(q.shape) === 0) return;
  const [, , queries, width] = q.shape, keys = k.shape[2];
  const stored = k.dtype === "f32" ? null : k.dtype as StoredKeys;
  const kernel = engine.kernel(
    `attention in order ${width} ${k.dtype}`,
    (m, context) => emitInOrder(m, context, width, stored),
  );
  const items = setForward(engine, [q, k, v, out], lse, scale, causal, itemQueries), { args } = engine;
  engine.f32[(args + capArg) >>> 2] = softcap;
  engine.u32[(args + windowArg) >>> 2] = window || noWindow;
  engine.u32[(args + seenArg) >>> 2] = seen ? 1 : 0;
  setAttentionOperand(engine, 4, seen ?? q);
  const work = Math.min(itemQueries, queries) * Math.min(keys, window || keys) * width;
  engine.run(kernel, items, Math.max(1, Math.ceil(40_000 / work)));
}

function emitInOrder(
  m: ModuleBuilder,
  context: KernelContext,
  width: number,
  stored: StoredKeys | null,
): void {
  const meet = emitMeetInOrder(m, context, forwardBlocks(context, width, stored), stored);
  const f = m.function("item", { params: ["i32", "i32"], export: false });
  const [args, number] = f.params;
  const head = emitHead(f, args, number, emitArgument(f, args, blockCountArg));
  const { block, queries, lse, q, k, v, out } = head;
  const seen = emitOperand(f, args, 4, head.batch, head.head);
  const [i, from, count, visible, behind, keys, values, mask] = f.localArray("i32", 8);
  const all = emitArgument(f, args, keysArg), reach = emitArgument(f, args, reachArg);
  const window = emitArgument(f, args, windowArg), masked = emitArgument(f, args, seenArg);
  const rows = emitArgument(f, args, blockArg);
  emitSetSum(f, from, [block, rows]);
  emitRest(f, count, queries, from, rows);
  for (const { at, stride } of [q, out, seen]) emitSetSum(f, at, at, [from, stride]);
  f.get(lse);
  f.if(() => emitSetSum(f, lse, lse, [from, 4]));
  f.forRange(i, 0, count, 1, () => {
    emitSetSum(f, visible, from, i, reach, 1);
    emitMin(f, visible, visible, all);
    // Keys that a window leaves behind.
    emitSetSum(f, behind, visible, [window, -1]);
    f.push(0, behind, visible.op("le_s", window));
    f.select();
    f.set(behind);
    emitSetSum(f, visible, visible, [behind, -1]);
    emitSetSum(f, keys, k.at, [k.stride, behind]);
    emitSetSum(f, values, v.at, [v.stride, behind]);
    emitSetSum(f, mask, seen.at, behind);
    f.set(mask, masked.select(mask, 0));
    const float = (offset: number) => (): void => {
      f.push(args.load(offset, "f32.load"));
    };
    emitCall(
      f,
      meet,
      q.at,
      keys,
      k.stride,
      values,
      v.stride,
      visible,
      out.at,
      lse,
      float(scaleArg),
      float(capArg),
      mask,
    );
    for (const { at, stride } of [q, out, seen]) emitSetSum(f, at, at, stride);
    f.get(lse);
    f.if(() => f.increment(lse, 4));
  });
  emitItems(m, f);
}
