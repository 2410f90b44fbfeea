/**
 * Convolution by a native library, where there is one: which ones, and how they are cut.
 *
 * @module
 */
import type { Epilogue, View } from "../../../contract.ts";
import type { Engine } from "../../engine.ts";
import { itemWork } from "../gemm/blocks.ts";
import { words, writeWords } from "./arguments.ts";
import { emitByLibrary } from "./library.ts";
import { type Asked, finishing, parts, sumBytes, wantedItems, type Words } from "./plan.ts";

/** Bytes of what a library multiplies at once, and the least outputs of that. */
const panelBytes = 1 << 20, leastAtOnce = 48;
/** Filters and weights of one at least for which what outputs see is worth to be put side by side. */
const leastFilters = 12, leastDepth = 48;

/** By a native library, where there is one and it is faster; `ordered` says how the input lies in order. */
export function byLibrary(
  engine: Engine,
  asked: Asked,
  out: View,
  epilogue: Epilogue | undefined,
  ordered: Words & { readonly planeBytes: number; readonly paddedRows: number },
): boolean {
  const { batch, planes, groups, filters, out: [outRows, outColumns] } = asked, { blas, heap } = engine;
  const depth = ordered.depth!, work = batch * groups * filters * depth * outRows * outColumns;
  if (engine.deterministic || filters < leastFilters || depth < leastDepth) return false;
  if (!blas.available) blas.note(work);
  const most = Math.floor(Math.min(panelBytes / (4 * depth), sumBytes / (4 * filters))) - 4;
  if (!blas.available || most < leastAtOnce || outRows * outColumns < leastAtOnce) return false;
  const [columnBlocks, blockColumns] = parts(outColumns, most);
  const wanted = Math.max(1, Math.min(wantedItems, Math.floor(work / itemWork)));
  const others = batch * groups * columnBlocks;
  const [rowBlocks, blockRows] = parts(
    outRows,
    Math.min(Math.floor(most / blockColumns), Math.ceil(outRows * others / wanted)),
  );
  const atOnce = blockRows * blockColumns, { leastRows, leastWork } = blas.reach;
  if (filters < leastRows || filters * depth * atOnce < leastWork) return false;

  const pointer = heap.scratch(batch * planes * ordered.planeBytes);
  const { form, key } = finishing(engine, asked, out, epilogue, false);
  const sums = 64 * Math.ceil(depth / 16), slab = sums + 64 * Math.ceil(filters * atOnce / 16);
  const kernel = engine.kernel(
    `convolution by a library ${key}`,
    (m, context) => emitByLibrary(m, context, form),
  );
  const blocks = { rowBlocks, blockRows, columnBlocks, blockColumns };
  writeWords(engine, { ...ordered, ...blocks, planes: pointer, sums, slab, failed: 0, task: 0 });
  engine.run(kernel, batch * planes * ordered.paddedRows, Math.max(1, Math.ceil(32_000 / ordered.rowBytes!)));
  writeWords(engine, { task: 1 });
  const items = others * rowBlocks;
  engine.run(kernel, items, Math.max(1, Math.ceil(2 * itemWork * items / work)));
  heap.release(pointer);
  if (engine.i32[(engine.args + words.failed) >>> 2] !== 0) {
    blas.disable("a worker thread could not open the library");
  }
  return true;
}
