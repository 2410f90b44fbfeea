/**
 * Products with weights in blocks of a GGUF, which stay as they are in memory; activations are f32.
 *
 * @module
 */
import { blockValues, type KDType } from "../../../../core/dtype.ts";
import { DTypeError, ShapeError } from "../../../../core/errors.ts";
import type { Epilogue, View } from "../../../contract.ts";
import type { Engine } from "../../engine.ts";
import * as arg from "../gemm/arguments.ts";
import { type Choose, formOf, isReady, kernelFor } from "../gemm/kernels.ts";
import { isSource, type Source } from "../gemm/load.ts";
import { Product } from "../gemm/plan.ts";
import { write, writeEpilogue, writeProduct } from "../gemm/write.ts";
import { emitMatmulK, mostColumns, mostRows, tasks } from "./kernel.ts";
import { multiplyKNative } from "./native.ts";

const product = new Product();
const noInputs: readonly View[] = [];
const noScalars: readonly number[] = [];

const choose: Choose = (_, product, program, inputs) => {
  const { a, b, out } = product, dtype = b.dtype as KDType;
  const options = { dtype, a: a.dtype as Source, ready: isReady(product), out: formOf(out), program, inputs };
  return (m, context) => emitMatmulK(m, context, options);
};

/** `out = epilogue(a · b)` where b was stored as rows of blocks along k; see `Backend.matmul`. */
export function matmulK(engine: Engine, a: View, b: View, out: View, epilogue?: Epilogue): void {
  const dtype = b.dtype as KDType;
  if (!product.read(a, b, out, epilogue?.inputs ?? noInputs)) return;
  const { rows, columns, depth } = product, values = blockValues(dtype);
  if (
    product.sizes.length > 0 || b.strides[b.strides.length - 2] !== 1 || depth % values !== 0 ||
    depth === 0 ||
    (columns > 1 && b.strides[b.strides.length - 1] % values !== 0) || b.offset % values !== 0
  ) {
    throw new ShapeError(
      `matmul: ${dtype} weights are one matrix seen transposed, with whole blocks of ${values} along k, ` +
        `not shape [${b.shape}] with strides [${b.strides}]; convert it with .to({ dtype: "f32" })`,
    );
  }
  if (!isSource(out.dtype) || out.dtype === "i32") {
    throw new DTypeError(`matmul: products with ${dtype} weights are floating-point, not ${out.dtype}`);
  }
  const { args } = engine, program = epilogue?.program ?? null, scalars = epilogue?.scalars ?? noScalars;
  if (multiplyKNative(engine, product, a, dtype, program, scalars)) return;
  const ready = isReady(product);
  const kernel = kernelFor(engine, product, program, 0, choose);
  const packed = ready ? 0 : engine.heap.scratch(4 * rows * depth);
  writeProduct(engine, args, product);
  write(engine, args, arg.packedRowsArg, packed);
  writeEpilogue(engine, product, program, scalars);
  if (!ready) {
    write(engine, args, arg.taskArg, tasks.pack);
    engine.run(kernel, rows, Math.ceil(20_000 / depth));
    write(engine, args, arg.aArg, packed);
    write(engine, args, arg.aArg + 4, 4 * depth);
  }
  // How it is cut depends on sizes alone. Many rows share what a block was decoded to.
  const blockRows = Math.ceil(rows / Math.ceil(rows / mostRows));
  const rowBlocks = Math.ceil(rows / blockRows), work = depth * (16 + Math.min(rows, mostRows));
  const width = Math.max(
    4,
    Math.min(mostColumns, 4 * Math.floor(400_000 / work / 4), 4 * Math.ceil(columns / 32)),
  );
  const columnBlocks = Math.ceil(columns / width);
  write(engine, args, arg.taskArg, tasks.multiply);
  write(engine, args, arg.blockTilesArg, blockRows);
  write(engine, args, arg.blockPanelsArg, width);
  write(engine, args, arg.columnBlocksArg, columnBlocks);
  engine.run(kernel, columnBlocks * rowBlocks, Math.max(1, Math.ceil(50_000 / (work * width))));
  if (!ready) engine.heap.release(packed);
}
