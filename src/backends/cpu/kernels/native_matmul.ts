/**
 * Large products by a BLAS (`../blas.ts`), where there is one: its kernels use the widest vectors of the machine, four
 * times WebAssembly's on some.
 *
 * A work item is a block of the output: one call of sgemm straight into the output, then the epilogue on the block
 * while it is warm. Taken are f32 products whose operands are row-major or transposed and large enough that the library
 * is faster, which was measured (`../tune.ts`); b may be in half precision where there are rows enough to convert it for.
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
import type { Engine, Kernel, KernelContext } from "../engine.ts";
import { elementwise } from "./elementwise.ts";
import { emitAtMost, emitDivide, emitSetSum } from "./gemm/address.ts";
import * as arg from "./gemm/arguments.ts";
import { type ColumnLayout, emitFinish, type OperandForm } from "./gemm/finish.ts";
import type { Operand, Product } from "./gemm/plan.ts";
import { write, writeEpilogue, writeProduct } from "./gemm/write.ts";

// No library that was met is faster with fewer multiply-adds, rows, columns or products in a sum.
const leastWork = 1 << 17;
const leastRows = 8;
const leastSide = 16;
// With so many rows it pays to turn half-precision weights into f32 before.
const leastHalfRows = 48;

// A block repacks its rows of a and columns of b, so it has many of both; and there is one for every thread at least.
const blockSide = 768;
const leastBlockWork = 1 << 21;

// Arguments beside those of the product, in the second half of the block.
const callArg = arg.secondBlock;
const transposeAArg = callArg,
  strideAArg = callArg + 4,
  transposeBArg = callArg + 8,
  strideBArg = callArg + 12,
  strideOutArg = callArg + 16,
  blockRowsArg = callArg + 20,
  blockColumnsArg = callArg + 24,
  failedArg = callArg + 28;

const identity = programOf("f32", [input(0)]);

/** What the library multiplies: f32, or bf16 with results in f32. */
export type Routine = "sgemm" | "bgemm";

/** Whether its shape and layout are for a library, whichever there is. */
function couldBeNative(engine: Engine, product: Product): boolean {
  const { rows, columns, depth } = product;
  if (rows < leastRows || columns < leastSide || depth < leastSide || engine.deterministic) return false;
  return rows * columns * depth >= leastWork && isPlain(product);
}

/** Whether a BLAS multiplies it. */
export function isNative(engine: Engine, product: Product): boolean {
  const { rows, columns, depth } = product, { blas } = engine;
  if (!couldBeNative(engine, product) || !blas.available) return false;
  return rows >= blas.reach.leastRows && rows * columns * depth >= blas.reach.leastWork;
}

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
  if (b.dtype === "f32") return multiplyBlocks(engine, product, program, scalars, "sgemm");
  const { address, dtype, bytes, row, column } = b;
  const floats = convert(engine, product);
  const done = multiplyBlocks(engine, product, program, scalars, "sgemm");
  Object.assign(b, { address, dtype, bytes, row, column });
  engine.heap.release(floats);
  return done;
}

/** Makes b an f32 matrix of the same layout in memory of its own, and gives the address of that. */
function convert(engine: Engine, { columns, depth, b }: Product): number {
  const { address, dtype, bytes, row, column } = b, transposed = column !== bytes;
  const shape = transposed ? [columns, depth] : [depth, columns], size = columns * depth;
  const floats = engine.heap.scratch(4 * size);
  const view = (pointer: number, dtype: DType, stride: number): View => {
    const buffer: CpuBuffer = { pointer, byteLength: size * stride };
    return { buffer, dtype, shape, strides: [stride, 1], offset: 0 };
  };
  const from = view(address, dtype, (transposed ? column : row) / bytes), to = view(floats, "f32", shape[1]);
  elementwise(engine, identity, [from], [], [to]);
  b.address = floats;
  b.dtype = "f32";
  b.bytes = 4;
  b.row = transposed ? 4 : 4 * columns;
  b.column = transposed ? 4 * depth : 4;
  return floats;
}

/** Multiplies block by block; false when a thread could not. Operands are as {@link multiplyNative} demands, or all bf16. */
export function multiplyBlocks(
  engine: Engine,
  product: Product,
  program: Program | null,
  scalars: readonly number[],
  routine: Routine,
): boolean {
  const { rows, columns, depth, a, b, out } = product, matrixWork = rows * columns * depth;
  const { args } = engine;
  engine.refuseCapture();
  let rowParts = Math.ceil(rows / blockSide), columnParts = Math.ceil(columns / blockSide);
  const { matrices } = product;
  if ((rowParts * columnParts * matrices) % 2 !== 0 && matrixWork >= 2 * leastBlockWork) {
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
  write(engine, args, strideOutArg, out.row / 4);
  write(engine, args, failedArg, 0);
  const items = Math.ceil(rows / blockRows) * Math.ceil(columns / blockColumns) * matrices;
  engine.run(kernel, items, Math.max(1, Math.ceil(leastBlockWork * items / (matrixWork * matrices))));
  if (engine.i32[(args + failedArg) >>> 2] === 0) return true;
  engine.blas.disable("a worker thread could not open the library");
  return false;
}

/** A part of `size` cut into `parts`: whole tiles of any library's kernels. */
function partSize(size: number, parts: number): number {
  return Math.min(size, 16 * Math.ceil(size / parts / 16));
}

/** Whether a BLAS can take the operands: f32, one axis contiguous, the other at least as far as that one is long. */
function isPlain(product: Product): boolean {
  const { rows, columns, depth, a, b, out, inputs, inputCount } = product;
  if (a.dtype !== "f32" || out.dtype !== "f32") return false;
  if (b.dtype !== "f32" && !isHalf(product)) return false;
  const one = b.bytes;
  if (out.column !== 4 || out.row < 4 * columns) return false;
  if (a.column === 4 ? a.row < 4 * depth : a.row !== 4 || a.column < 4 * rows) return false;
  if (b.column === one ? b.row < one * columns : b.row !== one || b.column < one * depth) return false;
  // The epilogue runs when the block is already overwritten, so its operands lie elsewhere.
  for (let i = 0; i < inputCount; i++) if (mayMeet(product, inputs[i], out)) return false;
  return true;
}

/** Whether b is one matrix in half precision that enough rows are multiplied with. */
function isHalf({ rows, b: { dtype, leading } }: Product): boolean {
  return (dtype === "f16" || dtype === "bf16") && rows >= leastHalfRows &&
    leading.every((step) => step === 0);
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
  { inputs, inputCount }: Product,
  program: Program | null,
  routine: Routine,
): Kernel {
  const forms: OperandForm[] = [];
  let key = `native ${routine}`;
  for (let i = 0; i < inputCount; i++) {
    const form = { dtype: inputs[i].dtype, layout: layoutOf(inputs[i]) };
    forms.push(form);
    key += ` ${form.dtype} ${form.layout}`;
  }
  return engine.kernel(
    program ? `${key}: ${program.key}` : key,
    (m, context) => emit(m, context, program, forms, routine),
  );
}

function emit(
  m: ModuleBuilder,
  context: KernelContext,
  program: Program | null,
  inputs: readonly OperandForm[],
  routine: Routine,
): void {
  const gemm = m.importFunction("env", routine, new Array(11).fill("i32"), ["i32"]);
  const out: OperandForm = { dtype: "f32", layout: "unit" };
  const finish = program && emitFinish(m, context, "f32", { out, program, inputs });
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
    arg.emitMatrixStart(f, args, arg.outArg, inner, outer, c);
    emitSetSum(f, a, a, [row, aRow]);
    emitSetSum(f, b, b, [column, bColumn]);
    emitSetSum(f, c, c, [row, outRow], [column, 4]);
    for (const x of [transposeA, transposeB, height, width, depth, a, strideA, b, strideB, c, strideOut]) {
      f.get(x);
    }
    f.call(gemm);
    f.if(() => {
      if (!finish) return;
      for (const x of [c, outRow, row, column, height, width, args, inner, outer]) f.get(x);
      f.call(finish);
    }, () => {
      f.push(args, 1);
      f.store("i32.store", failedArg);
    });
  });
}

/** Sets `to` to the smaller of `block` and `size` - `from`. */
function emitPart(f: FunctionBuilder, to: Local, block: Local, size: Local, from: Local): void {
  emitSetSum(f, to, size, [from, -1]);
  emitAtMost(f, to, block);
}
