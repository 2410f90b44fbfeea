/**
 * Large products by a BLAS (`../blas.ts`), where there is one: its kernels use the widest vectors of the machine, four
 * times WebAssembly's on some.
 *
 * A work item is a block of the output: one call of sgemm straight into the output, then the epilogue on the block
 * while it is warm. Taken are products whose operands are row-major or transposed and large enough that the library
 * is faster, which was measured (`../tune.ts`). Matrices in half precision become f32 before, where there are rows enough, but for
 * two of bf16, which a processor may multiply as they are. An output in half precision has its blocks computed beside it.
 * Never in deterministic mode.
 *
 * @module
 */
import type { DType } from "../../../core/dtype.ts";
import { input, type Program } from "../../../expr/nodes.ts";
import { program as programOf } from "../../../expr/program.ts";
import type { View } from "../../contract.ts";
import type { FunctionBuilder, Local, ModuleBuilder } from "../assembler/mod.ts";
import type { CpuBuffer } from "../buffer.ts";
import {
  type Engine,
  importThreadScratch,
  type Kernel,
  type KernelContext,
  threadScratchBytes,
} from "../engine.ts";
import { elementwise } from "./elementwise.ts";
import { emitAtMost, emitDivide, emitSetSum } from "./gemm/address.ts";
import * as arg from "./gemm/arguments.ts";
import { type ColumnLayout, emitFinish, type OperandForm } from "./gemm/finish.ts";
import { streamRows } from "./gemm/gemv.ts";
import type { Operand, Product } from "./gemm/plan.ts";
import { write, writeEpilogue, writeProduct } from "./gemm/write.ts";
import { emitLibraryProduct, type Routine } from "./library_product.ts";

// No library that was met is faster with fewer multiply-adds, rows, columns or products in a sum.
const leastWork = 1 << 17;
const leastRows = 2;
const leastSide = 16;

// A few rows are multiplied in our own kernels, where a row gives the same bits whatever stands beside it, unless that costs
// time that is felt.
const fewRows = 8, leastFewWork = 1 << 20;
// With so many rows it pays to turn half-precision weights into f32 before.
const leastHalfRows = 48;

// A block repacks its rows of a and columns of b, so it has many of both; and there is one for every thread at least.
const blockSide = 768;
// The most that stands in a thread's own memory.
const stagedSide = 16 * Math.floor(Math.sqrt(threadScratchBytes / 4) / 16);
const leastBlockWork = 1 << 21;
// A few rows are as long under way as b takes to be read, which two threads do in half the time.
const leastFewBlockWork = 1 << 19;
// Where b lies as [columns, depth] a block of it is brought into the second-level cache before, as one stream.
const streamedBytes = 1 << 19, leastStreamedSide = 64;

// Arguments beside those of the product, in the second half of the block.
const callArg = arg.secondBlock;
const transposeAArg = callArg,
  strideAArg = callArg + 4,
  transposeBArg = callArg + 8,
  strideBArg = callArg + 12,
  strideOutArg = callArg + 16,
  blockRowsArg = callArg + 20,
  blockColumnsArg = callArg + 24,
  failedArg = callArg + 28,
  streamsArg = callArg + 32,
  wasteArg = callArg + 36;

const identity = programOf("f32", [input(0)]);

/** Whether its shape and layout are for a library, whichever there is. */
function couldBeNative(engine: Engine, product: Product): boolean {
  const { rows, columns, depth } = product;
  if (rows < leastRows || columns < leastSide || depth < leastSide || engine.deterministic) return false;
  const work = rows * columns * depth;
  return work >= (isFew(product) ? leastFewWork : leastWork) && isPlain(product, engine.blas.hasBgemm);
}

/** Whether a BLAS multiplies it. */
export function isNative(engine: Engine, product: Product): boolean {
  const { rows, columns, depth } = product, { blas } = engine;
  if (!couldBeNative(engine, product) || !blas.available) return false;
  const { leastRows, leastRowsTransposed, leastWork } = blas.reach;
  if (rows < (isTransposed(product) ? leastRowsTransposed : leastRows)) return false;
  return rows * columns * depth >= leastWork;
}

/** Whether b lies as [columns, depth] in memory. */
const isTransposed = ({ b: { row, column, bytes } }: Product): boolean => row === bytes && column !== bytes;

const isFew = (product: Product): boolean =>
  product.rows < fewRows || (product.rows <= streamRows && isTransposed(product));

/** Multiplies, or gives false where the product is not for a BLAS. */
export function multiplyNative(
  engine: Engine,
  product: Product,
  program: Program | null,
  scalars: readonly number[],
): boolean {
  const { rows, columns, depth, b } = product, { blas } = engine;
  if (!blas.available && couldBeNative(engine, product)) blas.note(rows * columns * depth * product.matrices);
  if (!isNative(engine, product)) return false;
  if (isBf16(product) && blas.hasBgemm) {
    multiplyBlocks(engine, product, program, scalars, "bgemm");
    return true;
  }
  const { a } = product, own = [{ ...a }, { ...b }];
  const floats = [
    a.dtype === "f32" ? 0 : convert(engine, a, rows, depth),
    b.dtype === "f32" ? 0 : convert(engine, b, depth, columns),
  ];
  multiplyBlocks(engine, product, program, scalars, "sgemm");
  Object.assign(a, own[0]);
  Object.assign(b, own[1]);
  for (const pointer of floats) if (pointer !== 0) engine.heap.release(pointer);
  return true;
}

/** Makes an operand of so many rows and columns an f32 matrix of the same layout in memory of its own, and gives the address of that. */
function convert(engine: Engine, operand: Operand, rows: number, columns: number): number {
  const { address, dtype, bytes, row, column } = operand, transposed = column !== bytes;
  const shape = transposed ? [columns, rows] : [rows, columns], size = columns * rows;
  const floats = engine.heap.scratch(4 * size);
  const view = (pointer: number, dtype: DType, stride: number): View => {
    const buffer: CpuBuffer = { pointer, byteLength: size * stride };
    return { buffer, dtype, shape, strides: [stride, 1], offset: 0 };
  };
  const from = view(address, dtype, (transposed ? column : row) / bytes), to = view(floats, "f32", shape[1]);
  elementwise(engine, identity, [from], [], [to]);
  operand.address = floats;
  operand.dtype = "f32";
  operand.bytes = 4;
  operand.row = transposed ? 4 : 4 * columns;
  operand.column = transposed ? 4 * rows : 4;
  return floats;
}

/** Multiplies block by block. Operands are as {@link multiplyNative} demands, or all bf16. */
export function multiplyBlocks(
  engine: Engine,
  product: Product,
  program: Program | null,
  scalars: readonly number[],
  routine: Routine,
): void {
  const { rows, columns, depth, a, b, out } = product, matrixWork = rows * columns * depth;
  const { args } = engine, blockWork = rows < fewRows ? leastFewBlockWork : leastBlockWork;
  const streams = rows <= streamRows && isTransposed(product);
  const side = out.dtype === "f32" ? blockSide : stagedSide;
  let rowParts = Math.ceil(rows / side);
  const columnSide = streams ? Math.max(leastStreamedSide, streamedBytes / b.bytes / depth) : side;
  let columnParts = Math.ceil(columns / columnSide);
  const { matrices } = product;
  if ((rowParts * columnParts * matrices) % 2 !== 0 && matrixWork >= 2 * blockWork) {
    // An even number of blocks gives two threads even shares.
    if (rows / rowParts > columns / columnParts) rowParts++;
    else columnParts++;
  }
  const blockRows = partSize(rows, rowParts), blockColumns = partSize(columns, columnParts);
  const transposedA = a.column !== a.bytes, transposedB = b.column !== b.bytes;
  const kernel = kernelFor(engine, product, program, routine);
  writeProduct(engine, args, product);
  writeEpilogue(engine, product, program, scalars);
  write(engine, args, arg.rowBlocksArg, Math.ceil(rows / blockRows));
  write(engine, args, arg.columnBlocksArg, Math.ceil(columns / blockColumns));
  write(engine, args, blockRowsArg, blockRows);
  write(engine, args, blockColumnsArg, blockColumns);
  write(engine, args, transposeAArg, transposedA ? 1 : 0);
  write(engine, args, strideAArg, (transposedA ? a.column : a.row) / a.bytes);
  write(engine, args, transposeBArg, transposedB ? 1 : 0);
  write(engine, args, strideBArg, (transposedB ? b.column : b.row) / b.bytes);
  write(engine, args, strideOutArg, out.row / out.bytes);
  write(engine, args, failedArg, 0);
  write(engine, args, streamsArg, streams ? 1 : 0);
  // Written here although the kernel alone looks at it: what is captured ends behind the last word that was.
  write(engine, args, wasteArg, 0);
  const items = Math.ceil(rows / blockRows) * Math.ceil(columns / blockColumns) * matrices;
  engine.run(kernel, items, Math.max(1, Math.ceil(blockWork * items / (matrixWork * matrices))));
  if (engine.i32[(args + failedArg) >>> 2] !== 0) {
    engine.blas.disable("a worker thread could not open the library");
  }
}

/** A part of `size` cut into `parts`: whole tiles of any library's kernels. */
function partSize(size: number, parts: number): number {
  return Math.min(size, 16 * Math.ceil(size / parts / 16));
}

/** Whether a BLAS can take the operands: floats, one axis contiguous, the other at least as far as that one is long. */
function isPlain(product: Product, hasBgemm: boolean): boolean {
  const { rows, columns, depth, a, b, out, inputs, inputCount } = product;
  if (!isFloat(a) || !isFloat(b) || !isFloat(out)) return false;
  const asTheyAre = (a.dtype === "f32" && b.dtype === "f32") || (hasBgemm && isBf16(product));
  if (!asTheyAre && !isConverted(product)) return false;
  if (!isMatrix(a, rows, depth) || !isMatrix(b, depth, columns)) return false;
  if (out.column !== out.bytes || out.row < out.bytes * columns) return false;
  // The epilogue runs when the block is already overwritten, so its operands lie elsewhere.
  for (let i = 0; i < inputCount; i++) if (mayMeet(product, inputs[i], out)) return false;
  return true;
}

const isFloat = ({ dtype }: Operand): boolean => dtype === "f32" || dtype === "bf16" || dtype === "f16";

const isBf16 = ({ a, b }: Product): boolean => a.dtype === "bf16" && b.dtype === "bf16";

/** Whether it lies row-major or transposed. */
function isMatrix({ bytes, row, column }: Operand, rows: number, columns: number): boolean {
  return column === bytes ? row >= bytes * columns : row === bytes && column >= bytes * rows;
}

/** Whether enough rows and columns are multiplied for operands in half precision, which are one matrix each, to become f32 before. */
function isConverted({ rows, columns, a, b }: Product): boolean {
  return rows >= leastHalfRows && (a.dtype === "f32" || columns >= leastHalfRows) &&
    [a, b].every(({ dtype, leading }) => dtype === "f32" || leading.every((step) => step === 0));
}

/** Whether two operands of the output's shape may share memory. */
export function mayMeet(product: Product, x: Operand, y: Operand): boolean {
  const xStart = x.address + reach(product, x, -1), xEnd = x.address + reach(product, x, 1) + x.bytes;
  const yStart = y.address + reach(product, y, -1), yEnd = y.address + reach(product, y, 1) + y.bytes;
  return xStart < yEnd && yStart < xEnd;
}

/** How far an operand goes from its first element, in bytes, forwards (1) or backwards (-1). */
function reach({ rows, columns, sizes }: Product, { row, column, leading }: Operand, sign: 1 | -1): number {
  let bytes = far(row * (rows - 1), sign) + far(column * (columns - 1), sign);
  for (let i = 0; i < sizes.length; i++) bytes += far(leading[i] * (sizes[i] - 1), sign);
  return bytes;
}

function far(bytes: number, sign: 1 | -1): number {
  return bytes * sign > 0 ? bytes : 0;
}

const layoutOf = ({ column, bytes }: Operand): ColumnLayout =>
  column === bytes ? "unit" : column === 0 ? "zero" : "any";

function kernelFor(
  engine: Engine,
  { inputs, inputCount, out: { dtype } }: Product,
  program: Program | null,
  routine: Routine,
): Kernel {
  const forms: OperandForm[] = [];
  let key = `native ${routine} ${dtype}`;
  for (let i = 0; i < inputCount; i++) {
    const form = { dtype: inputs[i].dtype, layout: layoutOf(inputs[i]) };
    forms.push(form);
    key += ` ${form.dtype} ${form.layout}`;
  }
  return engine.kernel(
    program ? `${key}: ${program.key}` : key,
    (m, context) => emit(m, context, program, { dtype, layout: "unit" }, forms, routine),
  );
}

function emit(
  m: ModuleBuilder,
  context: KernelContext,
  program: Program | null,
  out: OperandForm,
  inputs: readonly OperandForm[],
  routine: Routine,
): void {
  const multiply = emitLibraryProduct(m, routine);
  const scratch = out.dtype === "f32" ? null : importThreadScratch(m);
  const finish = program || scratch ? emitFinish(m, context, "f32", { out, program, inputs }) : null;
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const local = (): Local => f.local("i32");
  const value = (at: number): Local => arg.emitArgument(f, args, at);
  const rows = value(arg.rowsArg), columns = value(arg.columnsArg), depth = value(arg.depthArg);
  const innerSize = value(arg.innerArg);
  const rowParts = value(arg.rowBlocksArg), columnParts = value(arg.columnBlocksArg);
  const blockRows = value(blockRowsArg), blockColumns = value(blockColumnsArg);
  const aRow = value(arg.aArg + 4), bColumn = value(arg.bArg + 8), outRow = value(arg.outArg + 4);
  const transposeA = value(transposeAArg), strideA = value(strideAArg);
  const transposeB = value(transposeBArg), strideB = value(strideBArg), strideOut = value(strideOutArg);
  const bytes = routine === "sgemm" ? 4 : 2, streams = value(streamsArg);
  const [from, to, line, at, waste] = f.localArray("i32", 5);
  const item = local(), row = local(), column = local(), inner = local(), outer = local();
  const a = local(), b = local(), c = local(), height = local(), width = local();

  f.forRange(item, begin, end, 1, () => {
    f.set(outer, item);
    emitDivide(f, outer, row, rowParts);
    emitDivide(f, outer, column, columnParts);
    emitDivide(f, outer, inner, innerSize);
    emitSetSum(f, row, [row, blockRows]);
    emitSetSum(f, column, [column, blockColumns]);
    emitPart(f, height, blockRows, rows, row);
    emitPart(f, width, blockColumns, columns, column);
    arg.emitMatrixStart(f, args, arg.aArg, inner, outer, a);
    arg.emitMatrixStart(f, args, arg.bArg, inner, outer, b);
    if (!scratch) arg.emitMatrixStart(f, args, arg.outArg, inner, outer, c);
    emitSetSum(f, a, a, [row, aRow]);
    emitSetSum(f, b, b, [column, bColumn]);
    if (scratch) {
      f.globalGet(scratch);
      f.set(c);
      emitSetSum(f, strideOut, width);
      emitSetSum(f, outRow, [width, 4]);
    } else emitSetSum(f, c, c, [row, outRow], [column, 4]);
    f.get(streams);
    f.if(() => {
      // One number of each cache line, in order: a library jumps about in memory and would wait for each.
      emitSetSum(f, from, b);
      f.forRange(line, 0, width, 1, () => {
        emitSetSum(f, to, from, [depth, bytes]);
        f.forRange(at, () => f.get(from), to, 64, () => {
          f.set(waste, waste.op("xor", at.load()));
        });
        emitSetSum(f, from, from, bColumn);
      });
      // So that nobody leaves the reading out.
      f.push(args, waste);
      f.store("i32.store", wasteArg);
    });
    for (const x of [transposeA, transposeB, height, width, depth, a, strideA, b, strideB, c, strideOut]) {
      f.get(x);
    }
    f.call(multiply);
    f.op("i32.eqz");
    f.if(() => {
      f.push(args, 1);
      f.store("i32.store", failedArg);
    });
    if (!finish) return;
    for (const x of [c, outRow, row, column, height, width, args, inner, outer]) f.get(x);
    f.call(finish);
  });
}

/** Sets `to` to the smaller of `block` and `size` - `from`. */
function emitPart(f: FunctionBuilder, to: Local, block: Local, size: Local, from: Local): void {
  emitSetSum(f, to, size, [from, -1]);
  emitAtMost(f, to, block);
}
