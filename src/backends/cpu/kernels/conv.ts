/**
 * Convolution on the cpu, over one or two axes: without unfolding the input into memory, which is brought in order once
 * (`conv/planes.ts`), and with what follows done to the sums before they are stored.
 *
 * Channels that stand by themselves have a kernel of their own. How work is cut follows from sizes alone.
 *
 * @module
 */
import type { Epilogue, View } from "../../contract.ts";
import { addressOf } from "../buffer.ts";
import type { Engine } from "../engine.ts";
import { writeWords } from "./conv/arguments.ts";
import { emitDense, type Tile } from "./conv/dense.ts";
import { emitDepthwise, mostAtOnce } from "./conv/depthwise.ts";
import { byLibrary } from "./conv/native.ts";
import {
  type Asked,
  common,
  finishing,
  pair,
  parts,
  runsOf,
  seenRows,
  sumBytes,
  wantedItems,
} from "./conv/plan.ts";
import { blockDepth, itemWork } from "./gemm/blocks.ts";
import { tileRows } from "./gemm/tile.ts";

/** Weights of a filter at most: the table of places that they meet lies in thread scratch. */
export const mostWeights: number = 2 ** 17;

/** Bytes of the input in order at most, where it can be taken in parts. */
const mostPlaneBytes = 16 << 20;
/** Bytes of a depthwise item's rows: they should stay in the cache. */
const slabBytes = 96 << 10, mostSlabBytes = 1 << 20;
/** Bytes of an item's weights, and its outputs in a row. */
const weightBytes = 384 << 10, mostColumns = 256;

/** Filters of a channel at most that are computed one by one. */
const fewest = 2;

/** Vectors of a tile of one, two and three filters: as many sums as there are registers. */
const fewFilters: Readonly<Record<number, number>> = { 1: 12, 2: 6, 3: 3 };

/** See `Kernels.conv`. */
export function conv(
  engine: Engine,
  x: View,
  weight: View,
  stride: readonly number[],
  dilation: readonly number[],
  before: readonly number[],
  groups: number,
  out: View,
  epilogue?: Epilogue,
): void {
  const [batch, planes] = x.shape, [filters, channels] = weight.shape;
  const asked: Asked = {
    x: addressOf(x),
    weights: addressOf(weight),
    batch,
    planes,
    groups,
    channels,
    filters: filters / groups,
    size: pair(x.shape.slice(2), 1),
    out: pair(out.shape.slice(2), 1),
    kernel: pair(weight.shape.slice(2), 1),
    stride: pair(stride, 1),
    dilation: pair(dilation, 1),
    before: pair(before, 0),
  };
  // Many filters of one channel share what they read.
  if (channels === 1 && asked.filters <= fewest && depthwise(engine, asked, out, epilogue)) return;
  dense(engine, asked, out, epilogue);
}

/** Each channel by itself; false where an item would not fit into thread scratch. */
function depthwise(engine: Engine, asked: Asked, out: View, epilogue?: Epilogue): boolean {
  const { batch, groups, filters, kernel, out: [outRows, outColumns], stride } = asked;
  const [columnBlocks, blockColumns] = parts(outColumns, mostColumns);
  const columns = mostAtOnce * Math.ceil(blockColumns / mostAtOnce), runs = runsOf(asked, columns);
  const { rowBytes } = runs, sumStride = 4 * columns, weights = kernel[0] * kernel[1];
  if (seenRows(asked, 1) * rowBytes > mostSlabBytes || weights > mostWeights) return false;
  const fitting = Math.floor((slabBytes / rowBytes - seenRows(asked, 1)) / stride[0]) + 1;
  const planes = batch * groups * filters * columnBlocks;
  const wanted = Math.ceil(outRows * planes / wantedItems);
  const [rowBlocks, blockRows] = parts(
    outRows,
    Math.max(1, Math.min(fitting, Math.floor(sumBytes / sumStride), wanted)),
  );
  const sums = 64 * Math.ceil(weights / 16), { form, key } = finishing(engine, asked, out, epilogue, true);
  writeWords(engine, {
    ...common(asked),
    ...runs,
    rowBlocks,
    blockRows,
    columnBlocks,
    blockColumns,
    sums,
    sumStride,
    slab: sums + sumStride * blockRows,
  });
  const kernelOf = engine.kernel(
    `depthwise convolution ${key}`,
    (m, context) => emitDepthwise(m, context, form),
  );
  const work = blockRows * (2 * blockColumns * weights + 16 * blockColumns);
  engine.run(kernelOf, planes * rowBlocks, Math.max(1, Math.ceil(itemWork / 4 / work)));
  return true;
}

/** The tile for so many filters and outputs in a row. */
function tileFor(engine: Engine, filters: number, columns: number): Tile {
  const vectors = Math.ceil(columns / 4);
  const most = fewFilters[filters];
  if (most) return { rows: filters, vectors: parts(vectors, most)[1] };
  return { rows: parts(filters, tileRows(engine.context, "f32"))[1], vectors: Math.min(2, vectors) };
}

function dense(engine: Engine, asked: Asked, out: View, epilogue?: Epilogue): void {
  const { batch, planes, groups, channels, filters, out: [outRows, outColumns], kernel, size } = asked;
  const depth = channels * kernel[0] * kernel[1], tile = tileFor(engine, filters, outColumns);
  const atOnce = 4 * tile.vectors, tiles = Math.ceil(outColumns / atOnce);
  const runs = runsOf(asked, atOnce * tiles), paddedRows = seenRows(asked, outRows);
  // An odd number of lines, so that planes do not meet in the same places of the cache.
  const planeBytes = 64 * (Math.ceil(paddedRows * runs.rowBytes / 64) | 1);
  const { heap } = engine, batches = Math.max(1, Math.floor(mostPlaneBytes / (planes * planeBytes)));
  if (batch > batches) {
    for (let first = 0; first < batch; first += batches) {
      const count = Math.min(batches, batch - first);
      const part = (view: View): View => ({
        ...view,
        shape: [count, ...view.shape.slice(1)],
        offset: view.offset + first * view.strides[0],
      });
      const own = epilogue && { ...epilogue, inputs: epilogue.inputs.map(part) };
      const x = asked.x + 4 * first * planes * size[0] * size[1];
      dense(engine, { ...asked, x, batch: count }, part(out), own);
    }
    return;
  }

  const ordered = { ...common(asked), ...runs, paddedRows, planeBytes };
  if (byLibrary(engine, asked, out, epilogue, ordered)) return;
  let [columnBlocks, blockTiles] = parts(tiles, Math.floor(mostColumns / atOnce));
  const filterTiles = Math.ceil(filters / tile.rows);
  const fitting = Math.min(
    weightBytes / (4 * depth * tile.rows),
    sumBytes / (4 * atOnce * blockTiles * tile.rows),
  );
  let [filterBlocks, blockFilters] = parts(filterTiles, Math.floor(fitting));
  const work = 2 * batch * groups * filters * depth * outRows * atOnce * tiles;
  const wanted = Math.max(1, Math.min(wantedItems, Math.floor(work / itemWork)));
  const count = (): number => batch * groups * outRows * columnBlocks * filterBlocks;
  while (count() < wanted && (blockFilters > 1 || blockTiles > 1)) {
    if (blockFilters > 1) [filterBlocks, blockFilters] = parts(filterTiles, Math.ceil(blockFilters / 2));
    else [columnBlocks, blockTiles] = parts(tiles, Math.ceil(blockTiles / 2));
  }
  const blockColumns = atOnce * blockTiles;

  const pointer = heap.scratch(batch * planes * planeBytes);
  const { form, key } = finishing(engine, asked, out, epilogue, false);
  const own = {
    ...ordered,
    planes: pointer,
    blockDepth: blockDepth(depth),
    columnBlocks,
    blockColumns,
    filterBlocks,
    blockFilters: blockFilters * tile.rows,
    sums: 64 * Math.ceil(depth / 16),
    sumStride: 4 * blockColumns,
  };
  const kernelOf = engine.kernel(
    `convolution ${tile.rows} × ${tile.vectors} ${key}`,
    (m, context) => emitDense(m, context, form, tile),
  );
  writeWords(engine, { ...own, task: 0 });
  engine.run(kernelOf, batch * planes * paddedRows, Math.max(1, Math.ceil(32_000 / runs.rowBytes)));
  writeWords(engine, { task: 1 });
  engine.run(kernelOf, count(), Math.max(1, Math.ceil(itemWork / 2 * count() / work)));
  heap.release(pointer);
}
