/**
 * Scaled dot-product attention without a matrix of scores: blocks of queries meet blocks of keys, and softmax is put
 * together block by block (Dao, "FlashAttention-2", 2023). Memory per thread is constant.
 *
 * An item is a block of queries of one head. Its keys are transposed and its values copied into cache block by block,
 * and tiles of 6 queries go through both products with their softmax between them. Up to three queries (decoding) go
 * row by row instead. Where blocks of keys end depends on the width of a head alone, and nothing else changes bits.
 *
 * @module
 */
import { sizeOf } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import type { Local, ModuleBuilder } from "../assembler/mod.ts";
import { type Engine, importThreadScratch, type KernelContext } from "../engine.ts";
import {
  emitArgument,
  emitCall,
  emitHead,
  emitItems,
  emitMin,
  emitRest,
  emitRoundUp,
  emitRow,
  emitScratch,
} from "./attention/emit.ts";
import { emitMeet } from "./attention/few_rows.ts";
import { emitExpandRows, type StoredKeys } from "./attention/stored.ts";
import {
  blockCountArg,
  type Blocks,
  blocksFor,
  keysArg,
  reachArg,
  scaleArg,
  ScratchMap,
  tileRoom,
} from "./attention/layout.ts";
import { attendNative } from "./attention/native.ts";
import { emitProduct } from "./attention/product.ts";
import { emitQueryBlock, setForward } from "./attention/queries.ts";
import { emitCopyRows, emitTransposeRows } from "./attention/rows.ts";
import { emitFinish, emitSoften, softenFloats } from "./attention/softmax.ts";
import { emitSetSum } from "./gemm/address.ts";

// Queries that are not worth copying keys for.
const fewRows = 3;

// Blocks of queries that share a copied block of keys.
const queryBlocks = 2;

/** softmax(q · kᵀ · scale) · v; see `Kernels.attention`. */
export function attention(
  engine: Engine,
  q: View,
  k: View,
  v: View,
  out: View,
  lse: View | null,
  scale: number,
  causal: boolean,
): void {
  if (sizeOf(q.shape) === 0) return;
  if (attendNative(engine, q, k, v, out, lse, scale, causal)) return;
  const [batch, heads, queries, width] = q.shape, keys = k.shape[2];
  const few = queries <= fewRows, stored = k.dtype === "f32" ? null : k.dtype as StoredKeys;
  const kernel = engine.kernel(
    `attention ${few ? "few " : ""}${width} ${stored ?? ""}`,
    (m, context) => few ? emitFewRows(m, context, width, stored) : emitTiled(m, context, width, stored),
  );
  let block = few ? queries : queryBlocks * forwardBlocks(engine.context, width, stored).size;
  // Shorter blocks where there would be few items.
  while (block > 24 && block % 2 === 0 && batch * heads * Math.ceil(queries / block) < 64) block /= 2;
  const items = setForward(engine, [q, k, v, out], lse, scale, causal, block);
  const work = Math.min(block, queries) * keys * width;
  engine.run(kernel, items, Math.max(1, Math.ceil((few ? 40_000 : 200_000) / work)));
}

/** The blocks of a forward pass. */
export function forwardBlocks(context: KernelContext, width: number, stored: StoredKeys | null): Blocks {
  return blocksFor(context, width, (stored ? 3 : 2) + 2 * queryBlocks);
}

function emitTiled(
  m: ModuleBuilder,
  context: KernelContext,
  width: number,
  stored: StoredKeys | null,
): void {
  const scratch = importThreadScratch(m);
  const blocks = forwardBlocks(context, width, stored);
  const { padded, size, scores, tile } = blocks;
  const map = new ScratchMap();
  const most = queryBlocks * size;
  const ownAt = map.take(softenFloats), recordsAt = map.take(16 * Math.ceil(most / tile));
  const scoresAt = map.take(tileRoom * scores), queriesAt = map.take((most + tileRoom) * padded);
  const keysAt = map.take(size * width), valuesAt = map.take(size * padded);
  const outAt = map.take((most + tileRoom) * padded), expandedAt = map.take(stored ? size * padded : 0);

  const copyQueries = emitCopyRows(m, "copyQueries", blocks, true);
  const expand = stored && emitExpandRows(m, context, "expand", blocks, stored);
  const copyValues = expand ?? emitCopyRows(m, "copyValues", blocks, false);
  const transpose = emitTransposeRows(m, "transpose", blocks);
  const score = emitProduct(m, context, {
    name: "score",
    rows: tile,
    a: [4 * padded, 4],
    b: [32, 32 * width],
    c: 4 * scores,
    add: false,
  });
  const mix = emitProduct(m, context, {
    name: "mix",
    rows: tile,
    a: [4 * scores, 4],
    b: [4 * padded, 32],
    c: 4 * padded,
    add: true,
  });
  const soften = emitSoften(m, context, blocks, scratch, ownAt);
  const finish = emitFinish(m, context, blocks);

  const f = m.function("item", { params: ["i32", "i32"], export: false });
  const [args, number] = f.params;
  const { k, v, seen, t, rows, record, queryRows, tiles, outOf, visibleFrom, end } = emitQueryBlock(
    f,
    args,
    number,
    scratch,
    {
      blocks,
      records: recordsAt,
      queries: queriesAt,
      out: outAt,
      room: most + tileRoom,
      copyQueries,
      finish,
    },
  );
  const [scoreRows, keyPanels, valueRows, expanded] = [scoresAt, keysAt, valuesAt, expandedAt].map((offset) =>
    emitScratch(f, scratch, offset)
  );
  const i32 = (): Local => f.local("i32");
  const start = i32(), keys = i32(), visible = i32();
  f.forRange(start, 0, seen, size, () => {
    emitRest(f, keys, seen, start, size);
    if (expand) {
      emitCall(f, expand, k.at, k.stride, keys, expanded);
      emitCall(f, transpose, expanded, () => f.i32(4 * padded), keys, keyPanels);
    } else emitCall(f, transpose, k.at, k.stride, keys, keyPanels);
    emitCall(f, copyValues, v.at, v.stride, keys, valueRows);
    emitSetSum(f, k.at, k.at, [k.stride, size]);
    emitSetSum(f, v.at, v.at, [v.stride, size]);
    tiles(() => {
      const here = visibleFrom(start);
      emitSetSum(f, visible, here, rows, -1);
      emitMin(f, visible, visible, keys);
      f.push(visible.op("gt_s", 0));
      f.if(() => {
        emitCall(
          f,
          score,
          () => emitRow(f, queryRows, t, 4 * padded),
          keyPanels,
          () => f.i32(width),
          () => emitRoundUp(f, visible, 8, 3),
          scoreRows,
        );
        emitCall(f, soften, scoreRows, rows, here, keys, () => emitRoundUp(f, visible, 16, 0), record, outOf);
        emitCall(f, mix, scoreRows, valueRows, visible, () => f.i32(padded / 8), outOf);
      });
    });
  });
  end();
  emitItems(m, f);
}

function emitFewRows(
  m: ModuleBuilder,
  context: KernelContext,
  width: number,
  stored: StoredKeys | null,
): void {
  const meet = emitMeet(m, context, forwardBlocks(context, width, stored), stored);
  const f = m.function("item", { params: ["i32", "i32"], export: false });
  const [args, number] = f.params;
  const { queries, lse, q, k, v, out } = emitHead(f, args, number, emitArgument(f, args, blockCountArg));
  const i = f.local("i32"), seen = f.local("i32");
  const all = emitArgument(f, args, keysArg), reach = emitArgument(f, args, reachArg);
  f.forRange(i, 0, queries, 1, () => {
    emitSetSum(f, seen, i, reach, 1);
    emitMin(f, seen, seen, all);
    emitCall(f, meet, q.at, k.at, k.stride, v.at, v.stride, seen, out.at, lse, () => {
      f.push(args.load(scaleArg, "f32.load"));
    });
    emitSetSum(f, q.at, q.at, q.stride);
    emitSetSum(f, out.at, out.at, out.stride);
    f.get(lse);
    f.if(() => f.increment(lse, 4));
  });
  emitItems(m, f);
}
