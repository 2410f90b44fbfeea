/**
 * The attention of a decoding step: one new position for each of several texts, every text with a cache of its own. An item
 * is a head of a text: it writes the new key and value into the cache and meets those that are there. One call does it for all
 * texts; as calls of their own, the writes, the products and joining the results would cost more than the arithmetic.
 *
 * Heads of queries that share keys each write them: the same bytes, before they read them.
 *
 * @module
 */
import { byteSize, quantBlock } from "../../../core/dtype.ts";
import type { View } from "../../contract.ts";
import type { FunctionBuilder, Local, ModuleBuilder } from "../assembler/mod.ts";
import { addressOf } from "../buffer.ts";
import { argumentBytes, type Engine, type KernelContext } from "../engine.ts";
import { hoistConstants } from "../math/writer.ts";
import { emitLoad, emitStore } from "./access.ts";
import { forwardBlocks } from "./attention.ts";
import { noWindow } from "./attention_in_order.ts";
import { emitArgument, emitCall, emitItems, emitSplitNumber } from "./attention/emit.ts";
import { emitMeet } from "./attention/few_rows.ts";
import { emitMeetInOrder, mostKeysInOrder } from "./attention/in_order.ts";
import { type Blocks, scaleArg } from "./attention/layout.ts";
import { emitAlongRow, emitLoadLanes, emitStoreLanes } from "./attention/rows.ts";
import { emitQuantizeBlock, type StoredKeys } from "./attention/stored.ts";
import { emitSetSum } from "./gemm/address.ts";

// Arguments: heads, heads of queries that share one of keys, address of the texts' queries, keys and values, and of the
// results; how many keys back a query looks, and the cap of scores; then the texts' records.
const headsArg = 0, shareArg = 4, qkvArg = 8, outArg = 12, windowArg = 20, capArg = 24, recordsArg = 256;

// A text's record: addresses of its keys and values, bytes between heads and between rows, the address of the number of
// positions filled, that number, where it is nowhere else, and the positions that there are.
const recordBytes = 28, lengthAt = 16, ownLengthAt = 20, capacityAt = 24;
const mostRows = Math.floor((argumentBytes - recordsArg) / recordBytes);

/** The function `put(from, to)`: a row of floats as a cache stores it. */
function emitPut(
  m: ModuleBuilder,
  context: KernelContext,
  blocks: Blocks,
  stored: StoredKeys | null,
): FunctionBuilder {
  const f = m.function("put", { params: ["i32", "i32"], export: false });
  const [from, to] = f.params;
  if (stored === null) {
    const x = f.local("v128");
    emitAlongRow(f, blocks.width, [from, to], ([source, target], offset, lanes) => {
      emitLoadLanes(f, source, offset, lanes);
      f.set(x);
      emitStoreLanes(f, target, x, offset, lanes);
    });
    return f;
  }
  const w = hoistConstants(f, context, () => {}), n = f.local("i32");
  f.forRange(n, blocks.width / quantBlock, 0, -1, () => {
    if (stored === "q8") emitQuantizeBlock(w, from, to);
    else emitStore(w.withWidth(8), stored, "f32", emitLoad(w.withWidth(8), "f32", "f32", from), to);
    f.increment(from, 4 * quantBlock);
    f.increment(to, byteSize(stored, quantBlock));
  });
  return f;
}

function emitStep(
  m: ModuleBuilder,
  context: KernelContext,
  width: number,
  stored: StoredKeys | null,
  capped: boolean,
  inOrder: boolean,
): void {
  const blocks = forwardBlocks(context, width, stored);
  const put = emitPut(m, context, blocks, stored);
  const meet = inOrder
    ? emitMeetInOrder(m, context, blocks, stored)
    : emitMeet(m, context, blocks, stored, capped);
  const f = m.function("item", { params: ["i32", "i32"], export: false });
  const [args, number] = f.params;
  const heads = emitArgument(f, args, headsArg), share = emitArgument(f, args, shareArg);
  const { high: row, low: head } = emitSplitNumber(f, number, heads);
  const { high: group } = emitSplitNumber(f, head, share);
  const record = f.local("i32");
  emitSetSum(f, record, args, recordsArg, [row, recordBytes]);
  const [keys, values, headStride, stride, length] = [0, 4, 8, 12, lengthAt].map((offset) => {
    const local = f.local("i32");
    f.push(record.load(offset));
    if (offset === lengthAt) f.load("i32.load");
    f.set(local);
    return local;
  });
  const q = emitArgument(f, args, qkvArg), out = emitArgument(f, args, outArg), all = f.local("i32");
  const queries = f.local("i32"), part = f.local("i32"), from = f.local("i32"), to = f.local("i32");
  // Queries of all heads, then keys, then values.
  emitSetSum(f, queries, [heads, 4 * width]);
  f.set(part, queries.op("div_u", share));
  emitSetSum(f, q, q, [row, queries], [row, part], [row, part]);
  emitSetSum(f, from, q, queries, [group, 4 * width]);
  emitSetSum(f, q, q, [head, 4 * width]);
  emitSetSum(f, out, out, [number, 4 * width]);
  // The number of positions is read from memory: beyond the last one lies what is not this text's.
  f.push(length.op("ge_u", record.load(capacityAt)));
  f.if(() => f.return());
  // Keys that a window leaves behind.
  const window = emitArgument(f, args, windowArg), behind = f.local("i32");
  emitSetSum(f, all, length, 1);
  f.set(behind, all.op("gt_s", window).select(all.minus(window), 0));
  for (const held of [keys, values] as Local[]) {
    emitSetSum(f, held, held, [group, headStride]);
    emitSetSum(f, to, held, [length, stride]);
    emitCall(f, put, from, to);
    emitSetSum(f, from, from, part);
    emitSetSum(f, held, held, [behind, stride]);
  }
  f.set(all, all.minus(behind));
  const number32 = (offset: number) => (): void => {
    f.push(args.load(offset, "f32.load"));
  };
  const numbers = [number32(scaleArg)];
  if (capped || inOrder) numbers.push(number32(capArg));
  if (inOrder) numbers.push(() => f.i32(0));
  emitCall(f, meet, q, keys, stride, values, stride, all, out, () => f.i32(0), ...numbers);
  emitItems(m, f);
}

/** See `Kernels.attentionStep`. */
export function attentionStep(
  engine: Engine,
  qkv: View,
  keys: readonly View[],
  values: readonly View[],
  lengths: readonly number[],
  out: View,
  scale: number,
  places?: View,
  softcap = 0,
  window = 0,
): void {
  const all = keys.length, [, heads, width] = out.shape, { dtype, shape: [, groups] } = keys[0];
  const stored = dtype === "f32" ? null : dtype as StoredKeys;
  const inOrder = engine.deterministic && keys.every(({ shape }) => shape[2] <= mostKeysInOrder);
  const kernel = engine.kernel(
    `attention step ${width} ${dtype}${softcap ? " capped" : ""}${inOrder ? " in order" : ""}`,
    (m, context) => emitStep(m, context, width, stored, softcap !== 0, inOrder),
  );
  const { args, u32 } = engine, at = args >>> 2, from = addressOf(qkv), to = addressOf(out);
  if (!places) engine.refuseCapture();
  for (let start = 0; start < all; start += mostRows) {
    const rows = Math.min(mostRows, all - start);
    let most = 0;
    for (let row = 0; row < rows; row++) {
      const i = start + row, record = args + recordsArg + recordBytes * row, word = record >>> 2;
      const { strides, shape } = keys[i];
      u32[word] = addressOf(keys[i]);
      u32[word + 1] = addressOf(values[i]);
      u32[word + 2] = byteSize(dtype, strides[1]);
      u32[word + 3] = byteSize(dtype, strides[2]);
      u32[word + lengthAt / 4] = places ? addressOf(places) + 4 * i : record + ownLengthAt;
      u32[word + ownLengthAt / 4] = lengths[i];
      u32[word + capacityAt / 4] = shape[2];
      // Done again, there may be as many positions as fit.
      most = Math.max(most, places ? shape[2] : lengths[i] + 1);
    }
    u32[at + headsArg / 4] = heads;
    u32[at + shareArg / 4] = heads / groups;
    u32[at + windowArg / 4] = window || noWindow;
    engine.f32[at + capArg / 4] = softcap;
    u32[at + qkvArg / 4] = from + 4 * (heads + 2 * groups) * width * start;
    u32[at + outArg / 4] = to + 4 * heads * width * start;
    engine.f32[at + scaleArg / 4] = scale;
    const met = window ? Math.min(most, window) : most;
    engine.run(kernel, rows * heads, Math.max(1, Math.ceil(10_000 / (met * width))));
  }
}
