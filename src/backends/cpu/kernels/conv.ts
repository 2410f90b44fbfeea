/**
 * Convolution on the cpu, over one or two axes: without unfolding the input into memory, which is brought in order once
 * (`conv/planes.ts`), and with what follows done to the sums before they are stored.
 *
 * Channels that stand by themselves have a kernel of their own. How work is cut follows from sizes alone.
 *
 * @module
 */
import { byteSize } from "../../../core/dtype.ts";
import type { Epilogue, View } from "../../contract.ts";
import { addressOf } from "../buffer.ts";
import type { Engine } from "../engine.ts";
import { writeWords } from "./conv/arguments.ts";
import { type ConvForm, emitDense, type Tile } from "./conv/dense.ts";
import { emitDepthwise, mostAtOnce } from "./conv/depthwise.ts";
import type { Step } from "./conv/planes.ts";
import { outArg } from "./gemm/arguments.ts";
import { blockDepth, itemWork } from "./gemm/blocks.ts";
import { formOf } from "./gemm/kernels.ts";
import { type Operand, Product } from "./gemm/plan.ts";
import { tileRows } from "./gemm/tile.ts";
import { writeEpilogue, writeOperand } from "./gemm/write.ts";

/** Weights of a filter at most: the table of places that they meet lies in thread scratch. */
export const mostWeights: number = 2 ** 17;

/** Bytes of the input in order at most, where it can be taken in parts. */
const mostPlaneBytes = 16 << 20;
/** Bytes of a depthwise item's rows: they should stay in the cache. */
const slabBytes = 96 << 10, mostSlabBytes = 1 << 20;
/** Bytes of weights and of sums of an item. */
const weightBytes = 384 << 10, sumBytes = 256 << 10;
const mostColumns = 256, wantedItems = 16;

/** Filters of a channel at most that are computed one by one. */
const fewest = 2;

/** Vectors of a tile of one, two and three filters: as many sums as there are registers. */
const fewFilters: Readonly<Record<number, number>> = { 1: 12, 2: 6, 3: 3 };

/** Sizes along both axes; one axis alone is the second. */
type Pair = readonly [number, number];

function pair(list: readonly number[], missing: number): Pair {
  return list.length === 1 ? [missing, list[0]] : [list[0], list[1]];
}

/** What is asked for. */
interface Asked {
  readonly x: number;
  readonly weights: number;
  readonly batch: number;
  readonly planes: number;
  readonly groups: number;
  /** Channels and filters of a group. */
  readonly channels: number;
  readonly filters: number;
  readonly size: Pair;
  readonly out: Pair;
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly dilation: Pair;
  readonly before: Pair;
}

/** How a row of the input lies in order, for `columns` outputs. */
interface Runs {
  readonly period: number;
  readonly runs: number;
  readonly runLength: number;
  readonly runBytes: number;
  readonly rowBytes: number;
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}

function runsOf({ kernel, stride, dilation }: Asked, columns: number): Runs {
  const period = stride[1] / commonDivisor(stride[1], dilation[1]), runs = Math.min(kernel[1], period);
  const runLength = columns + Math.floor((kernel[1] - 1) * dilation[1] / stride[1]);
  const runBytes = 16 * Math.ceil(runLength / 4);
  return { period, runs, runLength, runBytes, rowBytes: runs * runBytes };
}

/** Rows of the input that windows of `rows` outputs see. */
function seenRows({ kernel, stride, dilation }: Asked, rows: number): number {
  return (rows - 1) * stride[0] + (kernel[0] - 1) * dilation[0] + 1;
}

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

const product = new Product();

function operandOf(view: View, isByRow: boolean): Operand {
  const { dtype, strides } = view, bytes = byteSize(dtype, 1);
  const [batch, filter, ...rest] = strides.map((step) => step * bytes), [row, column] = pair(rest, 0);
  const first = isByRow ? row : filter, inner = isByRow ? filter : row;
  return { address: addressOf(view), dtype, bytes, row: first, column, leading: [batch, inner] };
}

/** Writes down where results go and what happens to them; rows are filters, or `isByRow` rows of the output. */
function finishing(
  engine: Engine,
  { batch, out: [rows], stride: [, step] }: Asked,
  out: View,
  epilogue: Epilogue | undefined,
  isByRow: boolean,
): { form: ConvForm; key: string } {
  const program = epilogue?.program ?? null, views = epilogue?.inputs ?? [];
  const result = operandOf(out, isByRow), inputs = views.map((view) => operandOf(view, isByRow));
  product.sizes.splice(0, Infinity, batch, rows);
  product.inputs.splice(0, Infinity, ...inputs);
  product.inputCount = inputs.length;
  writeOperand(engine, engine.args + outArg, product, result);
  writeEpilogue(engine, product, program, epilogue?.scalars ?? []);
  const form = {
    step: (step <= 2 ? step : "any") as Step,
    out: formOf(result),
    program,
    inputs: inputs.map(formOf),
  };
  const forms = [form.out, ...form.inputs].map(({ dtype, layout }) => `${dtype} ${layout}`).join(", ");
  return { form, key: `${form.step}; ${program?.key ?? "no epilogue"} (${forms})` };
}

/** Words that both kernels have. */
function common(asked: Asked): Parameters<typeof writeWords>[1] {
  const { x, weights, groups, channels, filters, size, out, kernel, stride, dilation, before } = asked;
  return {
    x,
    weights,
    groups,
    channels,
    filters,
    height: size[0],
    width: size[1],
    outRows: out[0],
    outColumns: out[1],
    kernelRows: kernel[0],
    kernelColumns: kernel[1],
    rowStride: stride[0],
    columnStride: stride[1],
    rowDilation: dilation[0],
    columnDilation: dilation[1],
    beforeRows: before[0],
    beforeColumns: before[1],
    depth: channels * kernel[0] * kernel[1],
  };
}

/** Cuts `count` into even parts of at most `most`: how many, and how large. */
function parts(count: number, most: number): [parts: number, size: number] {
  const size = Math.ceil(count / Math.ceil(count / Math.max(1, most))), number = Math.ceil(count / size);
  return [number, size];
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
  const words = {
    ...common(asked),
    ...runs,
    planes: pointer,
    paddedRows,
    planeBytes,
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
  writeWords(engine, { ...words, task: 0 });
  engine.run(kernelOf, batch * planes * paddedRows, Math.max(1, Math.ceil(32_000 / runs.rowBytes)));
  writeWords(engine, { task: 1 });
  engine.run(kernelOf, count(), Math.max(1, Math.ceil(itemWork / 2 * count() / work)));
  heap.release(pointer);
}
