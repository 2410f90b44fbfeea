/**
 * Attention with its two products by a BLAS (`../../blas.ts`), where there is one, for many queries: its vectors are wider
 * than WebAssembly's.
 *
 * An item is a block of queries of one head, as in `../attention.ts`, and so is the softmax between the products. But
 * the library reads keys and values where they lie, and blocks of keys are long, for it packs what it reads once a call.
 *
 * @module
 */
import type { View } from "../../../contract.ts";
import type { Local, ModuleBuilder } from "../../assembler/mod.ts";
import { type Engine, importThreadScratch, type KernelContext } from "../../engine.ts";
import { emitSetSum } from "../gemm/address.ts";
import { emitLibraryProduct } from "../library_product.ts";
import { emitCall, emitItems, emitRest, emitRoundUp, emitRow, emitScratch } from "./emit.ts";
import { type Blocks, failedArg, ScratchMap, tileRoom } from "./layout.ts";
import { emitQueryBlock, setForward } from "./queries.ts";
import { emitCopyRows, emitStoreRows } from "./rows.ts";
import { emitFinish, emitSoften, recordBytes, softenFloats } from "./softmax.ts";

// Measured: with fewer queries, keys or narrower heads our own products are as fast.
const leastQueries = 48, leastKeys = 48, leastWidth = 32;
const mostWidth = 256;

/** Queries in an item, and keys that they meet at a time. */
const blockQueries = 64, blockKeys = 512;

/** Computes attention, or gives false where it is not for a BLAS. See `attention` in `../attention.ts`. */
export function attendNative(
  engine: Engine,
  q: View,
  k: View,
  v: View,
  out: View,
  lse: View | null,
  scale: number,
  causal: boolean,
): boolean {
  const [, , queries, width] = q.shape, keys = k.shape[2];
  if (queries < leastQueries || keys < leastKeys || width < leastWidth || width > mostWidth) return false;
  if (width % 8 !== 0 || k.dtype !== "f32" || k.strides[2] < width || v.strides[2] < width) return false;
  if (engine.deterministic || !engine.blas.available) return false;
  const kernel = engine.kernel(`native attention ${width}`, (m, context) => emit(m, context, width));
  const { args, u32 } = engine, block = Math.min(blockQueries, queries);
  const items = setForward(engine, [q, k, v, out], lse, scale, causal, block);
  u32[(args + failedArg) >>> 2] = 0;
  engine.run(kernel, items, 1);
  if (u32[(args + failedArg) >>> 2] !== 0) engine.blas.disable("a worker thread could not open the library");
  return true;
}

function emit(m: ModuleBuilder, context: KernelContext, width: number): void {
  const multiply = emitLibraryProduct(m, "sgemm");
  const scratch = importThreadScratch(m);
  const blocks: Blocks = { width, padded: width, size: blockKeys, scores: blockKeys, tile: tileRoom };
  const map = new ScratchMap();
  const ownAt = map.take(softenFloats), recordsAt = map.take(blockQueries / tileRoom * recordBytes / 4);
  const queriesAt = map.take(blockQueries * width), outAt = map.take(blockQueries * width);
  const addedAt = map.take(blockQueries * width), scoresAt = map.take(blockQueries * blockKeys);
  const copyQueries = emitCopyRows(m, "copyQueries", blocks, true);
  const add = emitStoreRows(m, "add", blocks, true);
  const soften = emitSoften(m, context, blocks, scratch, ownAt);
  const finish = emitFinish(m, context, blocks);

  const f = m.function("item", { params: ["i32", "i32"], export: false });
  const [args, number] = f.params;
  const { k, v, count, seen, rows, record, queryRows, outRows, t, tiles, outOf, visibleFrom, end } =
    emitQueryBlock(f, args, number, scratch, {
      blocks,
      records: recordsAt,
      queries: queriesAt,
      out: outAt,
      room: blockQueries,
      copyQueries,
      finish,
    });
  const [addedRows, scoreRows] = [addedAt, scoresAt].map((offset) => emitScratch(f, scratch, offset));
  const i32 = (): Local => f.local("i32");
  const start = i32(), keys = i32(), target = i32();
  const product = (transposed: 0 | 1, columns: Local, depth: Local, operands: (Local | number)[]): void => {
    f.i32(0);
    f.i32(transposed);
    for (const x of [count, columns, depth]) f.get(x);
    for (const x of operands) typeof x === "number" ? f.i32(x) : f.get(x);
    f.call(multiply);
    f.op("i32.eqz");
    f.if(() => {
      f.get(args);
      f.i32(1);
      f.store("i32.store", failedArg);
    });
  };
  const floats = (bytes: Local): Local => {
    const stride = i32();
    f.get(bytes);
    f.i32(2);
    f.op("i32.shr_u");
    f.set(stride);
    return stride;
  };
  const wide = i32();
  f.i32(width);
  f.set(wide);
  const keyStride = floats(k.stride), valueStride = floats(v.stride);
  f.forRange(start, 0, seen, blockKeys, () => {
    emitRest(f, keys, seen, start, blockKeys);
    product(1, keys, wide, [queryRows, width, k.at, keyStride, scoreRows, blockKeys]);
    tiles(() => {
      const here = visibleFrom(start), scores = (): void => emitRow(f, scoreRows, t, 4 * blockKeys);
      emitCall(f, soften, scores, rows, here, keys, () => emitRoundUp(f, keys, 16, 0), record, outOf);
    });
    f.get(addedRows);
    f.get(outRows);
    f.get(start);
    f.select();
    f.set(target);
    product(0, wide, keys, [scoreRows, blockKeys, v.at, valueStride, target, width]);
    f.get(start);
    f.if(() => emitCall(f, add, addedRows, count, outRows, () => f.i32(4 * width)));
    emitSetSum(f, k.at, k.at, [k.stride, blockKeys]);
    emitSetSum(f, v.at, v.at, [v.stride, blockKeys]);
  });
  end();
  emitItems(m, f);
}
