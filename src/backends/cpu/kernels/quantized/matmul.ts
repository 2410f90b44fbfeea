/**
 * Products with quantised weights: activations become bytes, weights are multiplied as they are.
 *
 * The first product with a weight interleaves its rows, in place; {@link restoreRows} puts them back for whoever wants
 * to read the bytes.
 *
 * @module
 */
import { DTypeError, ShapeError } from "../../../../core/errors.ts";
import type { Epilogue, View } from "../../../contract.ts";
import type { CpuBuffer } from "../../buffer.ts";
import { type Engine, type Kernel, threadScratchBytes } from "../../engine.ts";
import * as arg from "../gemm/arguments.ts";
import { streamRows } from "../gemm/gemv.ts";
import { type Choose, formOf, isReady, kernelFor } from "../gemm/kernels.ts";
import { isSource, type Source } from "../gemm/load.ts";
import { Product } from "../gemm/plan.ts";
import { write, writeEpilogue, writeProduct } from "../gemm/write.ts";
import { activationBytes } from "./activations.ts";
import { blockBytes, blockWeights, panelRows, type Quantized } from "./format.ts";
import { multiplyQuantizedNative } from "./native.ts";
import type { Method } from "./method.ts";
import { emitLayout, emitQuantized, methodFor, mostStreamPanels, scratchNeeded, tasks } from "./kernel.ts";

const product = new Product();
const noInputs: readonly View[] = [];
const noScalars: readonly number[] = [];
const mostBlockRows = 240;

const chooseBy = (forced?: Method): Choose => (context, product, program, inputs, rows) => {
  const { a, b, out } = product, method = forced ?? methodFor(context);
  const options = {
    dtype: b.dtype as Quantized,
    method,
    single: rows > 0,
    a: a.dtype as Source,
    ready: isReady(product),
    out: formOf(out),
    program,
    inputs,
  };
  return (m, context) => emitQuantized(m, context, options);
};
const choose = chooseBy();

/**
 * `out = epilogue(a · b)` where b is q8 or q4 and was stored as rows along k; see `Backend.matmul`. An engine keeps to
 * one method.
 */
export function matmulQuantized(
  engine: Engine,
  a: View,
  b: View,
  out: View,
  epilogue?: Epilogue,
  forced?: Method,
): void {
  const dtype = b.dtype as Quantized;
  if (!product.read(a, b, out, epilogue?.inputs ?? noInputs)) return;
  const { rows, columns, depth } = product, method = forced ?? methodFor(engine.context);
  if (
    product.sizes.length > 0 || b.strides[b.strides.length - 2] !== 1 || depth % blockWeights !== 0 ||
    depth === 0
  ) {
    throw new ShapeError(
      `matmul: ${dtype} weights are one matrix seen transposed, with whole blocks of ${blockWeights} along k, ` +
        `not shape [${b.shape}] with strides [${b.strides}]; convert it with .to({ dtype: "f32" })`,
    );
  }
  if (!isSource(out.dtype) || out.dtype === "i32") {
    throw new DTypeError(`matmul: products with ${dtype} weights are floating-point, not ${out.dtype}`);
  }
  if (scratchNeeded(method, dtype, depth) > threadScratchBytes) {
    throw new ShapeError(
      `matmul: ${dtype} weights are multiplied for sums over up to 70,000 elements, not ${depth}`,
    );
  }
  // As many rows as a decoding step may have go one by one, so that what a row gives never depends on its neighbours.
  const single = rows <= streamRows,
    program = epilogue?.program ?? null,
    scalars = epilogue?.scalars ?? noScalars;
  const ready = (): number => readyPanels(engine, b.buffer as CpuBuffer, dtype);
  if (!single && !forced && multiplyQuantizedNative(engine, product, a, dtype, ready, program, scalars)) {
    return;
  }
  const kernel = kernelFor(engine, product, program, single ? 1 : 0, forced ? chooseBy(forced) : choose);
  const panels = ready();
  const bytes = engine.heap.scratch(
    rows * (depth / blockWeights) * activationBytes[method.form(dtype, single)],
  );

  const { args } = engine;
  writeProduct(engine, args, product);
  write(engine, args, arg.panelsArg, panels);
  write(engine, args, arg.packedRowsArg, bytes);
  writeEpilogue(engine, product, program, scalars);
  write(engine, args, arg.taskArg, tasks.quantize);
  engine.run(kernel, rows, Math.ceil(20_000 / depth));

  const count = Math.ceil(columns / panelRows);
  const work = depth * panelRows * Math.min(rows, mostBlockRows);
  const blockPanels = single
    ? Math.max(
      1,
      Math.min(mostStreamPanels, Math.floor(40_000 / (depth * blockBytes[dtype] / 4)), Math.ceil(count / 8)),
    )
    : Math.max(1, Math.min(16, Math.floor(4_000_000 / work), Math.ceil(count / 4)));
  const rowBlocks = Math.ceil(rows / mostBlockRows), columnBlocks = Math.ceil(count / blockPanels);
  write(engine, args, arg.taskArg, tasks.multiply);
  write(engine, args, arg.blockTilesArg, method.tileRows * Math.ceil(rows / rowBlocks / method.tileRows));
  write(engine, args, arg.blockPanelsArg, blockPanels);
  write(engine, args, arg.columnBlocksArg, columnBlocks);
  engine.run(kernel, columnBlocks * rowBlocks, Math.max(1, Math.ceil(50_000 / (work * blockPanels))));
  engine.heap.release(bytes);
}

/**
 * How many panels, from the product's first column on, lie interleaved in memory. A weight that is multiplied as a
 * whole is interleaved now; a part of one that does not fit its panels has it put back.
 */
function readyPanels(engine: Engine, buffer: CpuBuffer, dtype: Quantized): number {
  const { b, columns, depth } = product;
  const rowBytes = depth / blockWeights * blockBytes[dtype];
  const known = buffer.interleaved;
  const contiguous = b.column === rowBytes || columns === 1;
  if (known === undefined) {
    const panels = Math.floor(columns / panelRows), rest = buffer.byteLength - columns * rowBytes;
    if (!contiguous || b.address !== buffer.pointer || panels === 0 || rest < 0 || rest >= rowBytes) return 0;
    buffer.interleaved = { dtype, depth, panels };
    rewrite(engine, buffer, tasks.interleave);
    return panels;
  }
  const first = (b.address - buffer.pointer) / (panelRows * rowBytes),
    end = first + Math.floor(columns / panelRows);
  const tail = columns % panelRows > 0;
  if (
    contiguous && known.dtype === dtype && known.depth === depth && Number.isInteger(first) &&
    (tail ? end >= known.panels : true)
  ) return Math.max(0, Math.min(end, known.panels) - first);
  restoreRows(engine, buffer);
  return 0;
}

/** Interleaves the rows of all matrices of `columns` rows that `w` has one below the other, before they are multiplied one by one. */
export function interleaveRows(engine: Engine, w: View, columns: number): void {
  const buffer = w.buffer as CpuBuffer, dtype = w.dtype as Quantized, [rows, depth] = w.shape;
  const rowBytes = depth / blockWeights * blockBytes[dtype], rest = buffer.byteLength - rows * rowBytes;
  const isWhole = w.offset === 0 && columns % panelRows === 0 && rest >= 0 && rest < rowBytes;
  if (buffer.interleaved !== undefined || !isWhole) return;
  buffer.interleaved = { dtype, depth, panels: rows / panelRows };
  rewrite(engine, buffer, tasks.interleave);
}

/** Puts the rows of a weight back as they were stored. */
export function restoreRows(engine: Engine, buffer: CpuBuffer): void {
  if (buffer.interleaved === undefined) return;
  rewrite(engine, buffer, tasks.restore);
  buffer.interleaved = undefined;
}

function rewrite(engine: Engine, { pointer, interleaved }: CpuBuffer, task: number): void {
  if (interleaved === undefined) return;
  engine.epoch++;
  const { dtype, depth, panels } = interleaved;
  const kernel: Kernel = engine.kernel(`layout ${dtype}`, (m) => emitLayout(m, dtype as Quantized));
  const { args } = engine;
  write(engine, args, arg.depthArg, depth);
  write(engine, args, arg.bArg, pointer);
  write(engine, args, arg.bArg + 8, depth / blockWeights * blockBytes[dtype as Quantized]);
  write(engine, args, arg.taskArg, task);
  engine.run(kernel, panels, Math.ceil(10_000 / depth));
}
