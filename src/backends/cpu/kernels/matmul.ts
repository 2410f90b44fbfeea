/**
 * Matrix multiplication on the cpu: reads the call, chooses a kernel and a way to cut the work, and runs it.
 *
 * Any strides, any leading axes. Products of a few rows stream b (`gemm/gemv.ts`), all others are blocked
 * (`gemm/gemm.ts`). Kernels are specialised by dtypes, by which axes are contiguous, and by the epilogue; sizes and
 * strides are arguments. How the work is cut depends on sizes alone, never on threads.
 *
 * @module
 */
import { isQuantized } from "../../../core/dtype.ts";
import { DTypeError } from "../../../core/errors.ts";
import type { Program } from "../../../expr/nodes.ts";
import type { Epilogue, View } from "../../contract.ts";
import { addressOf } from "../buffer.ts";
import type { Engine, Kernel } from "../engine.ts";
import { blockKernels } from "./blocks.ts";
import * as arg from "./gemm/arguments.ts";
import { blockDepth, Blocks, itemWork, panelModes, panelsAt, sumsAt } from "./gemm/blocks.ts";
import { splitsPairs } from "./gemm/dot.ts";
import { rowAccess } from "./gemm/gemm.ts";
import { gemvRows, streamRows } from "./gemm/gemv.ts";
import { arithmeticOf, isReady, kernelFor, panelLayout, rowLayout } from "./gemm/kernels.ts";
import { isSource, type Source } from "./gemm/load.ts";
import { passPanels, type StripLayout } from "./gemm/pack.ts";
import { type Operand, Product } from "./gemm/plan.ts";
import { panelColumns, tileRows } from "./gemm/tile.ts";
import { write, writeEpilogue, writePacked, writeProduct } from "./gemm/write.ts";
import { isNative, multiplyNative } from "./native_matmul.ts";

const product = new Product();
const blocks = new Blocks();
const noInputs: readonly View[] = [];
const noScalars: readonly number[] = [];

const mostPackedBytes = 48 << 20, leastColumns = 64;
/** With more rows than these, packing b is nothing beside multiplying. */
const mostPackingRows = 2048;

/** `out = epilogue(a · b)`; see `Backend.matmul`. */
export function matmul(engine: Engine, a: View, b: View, out: View, epilogue?: Epilogue): void {
  const inputs = epilogue?.inputs ?? noInputs;
  const integer = a.dtype === "i32";
  if (isQuantized(b.dtype) && isSource(a.dtype) && !integer) {
    return blockKernels().matmul(engine, a, b, out, epilogue);
  }
  if (!isSource(a.dtype) || !isSource(b.dtype) || integer !== (b.dtype === "i32")) {
    throw new DTypeError(
      `matmul: the cpu multiplies floating-point matrices with each other, or i32 with i32, not ${a.dtype} with ${b.dtype}; ` +
        `convert one with .to({ dtype })`,
    );
  }
  if (!product.read(a, b, out, inputs)) return;
  // A column-major output is the transpose of a row-major one; and few columns are better few rows.
  const { out: o } = product;
  const thin = product.columns <= gemvRows, turned = o.column !== o.bytes && o.row === o.bytes;
  // Turned or not, products are summed in another order; where that counts, it may not depend on how many rows there are.
  if ((thin || turned) && product.rows > gemvRows && !engine.deterministic) product.transpose();
  const program = epilogue?.program ?? null;
  const scalars = epilogue?.scalars ?? noScalars;
  if (product.depth === 0) return withoutDepth(engine, program, scalars);
  eachOuter(engine, program, scalars);
}

/** A sum of nothing is 0: the product of one column and one row of zeros. */
function withoutDepth(engine: Engine, program: Program | null, scalars: readonly number[]): void {
  const zero = engine.heap.scratch(64);
  engine.refuseCapture();
  engine.u8.fill(0, zero, zero + 64);
  product.depth = 1;
  for (const operand of [product.a, product.b]) {
    operand.address = zero;
    operand.row = operand.column = 0;
    operand.leading.fill(0);
  }
  eachOuter(engine, program, scalars);
  engine.heap.release(zero);
}

/** Kernels take two leading axes; more are walked here. */
function eachOuter(
  engine: Engine,
  program: Program | null,
  scalars: readonly number[],
  multiplyOne: typeof multiply = multiply,
): void {
  const { sizes } = product;
  if (sizes.length <= 2) return multiplyOne(engine, program, scalars);
  const size = sizes.shift() as number;
  const operands = [product.a, product.b, product.out, ...product.inputs.slice(0, product.inputCount)];
  const steps = operands.map((operand) => operand.leading.shift() as number);
  const starts = operands.map((operand) => operand.address);
  for (let i = 0; i < size; i++) {
    operands.forEach((operand, k) => operand.address = starts[k] + i * steps[k]);
    eachOuter(engine, program, scalars, multiplyOne);
  }
  operands.forEach((operand, k) => {
    operand.leading.unshift(steps[k]);
    operand.address = starts[k];
  });
  sizes.unshift(size);
}

function multiply(engine: Engine, program: Program | null, scalars: readonly number[]): void {
  const layout = panelLayout(product), { rows } = product;
  if (multiplyNative(engine, product, program, scalars)) return;
  if (layout === "k" && rows > streamRows && engine.deterministic && product.a.dtype !== "i32") {
    return byRows(engine, program, scalars);
  }
  if (rows <= (layout === "k" ? streamRows : gemvRows) && layout !== "any") {
    multiplyFew(engine, program, scalars);
  } else multiplyBlocked(engine, program, scalars);
}

/** Many rows as a few at a time, so that a row gives the same bits as it does alone. */
function byRows(engine: Engine, program: Program | null, scalars: readonly number[]): void {
  const { a, out, inputs, inputCount, rows } = product;
  const operands = [a, out, ...inputs.slice(0, inputCount)], starts = operands.map(({ address }) => address);
  for (let row = 0; row < rows; row += streamRows) {
    product.rows = Math.min(streamRows, rows - row);
    operands.forEach((operand, i) => operand.address = starts[i] + row * operand.row);
    multiplyFew(engine, program, scalars);
  }
  product.rows = rows;
  operands.forEach((operand, i) => operand.address = starts[i]);
}

/** A few rows: b is read once, and nothing of it is copied. */
function multiplyFew(engine: Engine, program: Program | null, scalars: readonly number[]): void {
  const { b, rows, columns, depth } = product;
  const kernel = kernelFor(engine, product, program, rows);
  const matrices = product.matrices;
  const layout = panelLayout(product),
    ready = isReady(product) && !(layout === "k" && splitsPairs(b.dtype as Source));
  const packed = ready ? 0 : engine.heap.scratch(4 * rows * depth * matrices);
  const { args } = engine;
  if (!ready) {
    writeProduct(engine, args, product);
    write(engine, args, arg.taskArg, 1);
    write(engine, args, arg.columnBlocksArg, rows);
    write(engine, args, arg.packedRowsArg, packed);
    engine.run(kernel, rows * matrices, rows * matrices);
  }
  const width = 8 * Math.ceil(Math.min(512, Math.max(16, columnsAtATime(engine, layout))) / 8);
  const count = Math.ceil(columns / width);
  writeProduct(engine, args, product);
  if (!ready) {
    const { sizes } = product, last = sizes.length - 1, bytes = 4 * depth * rows;
    write(engine, args, arg.aArg, packed);
    write(engine, args, arg.aArg + 4, 4 * depth);
    write(engine, args, arg.aArg + 12, bytes);
    write(engine, args, arg.aArg + 16, last >= 0 ? bytes * sizes[last] : 0);
  }
  write(engine, args, arg.taskArg, 0);
  write(engine, args, arg.blockPanelsArg, width);
  write(engine, args, arg.columnBlocksArg, count);
  write(engine, args, arg.blockDepthArg, blockDepth(depth));
  write(engine, args, arg.atOnceArg, b.bytes * columns * depth <= cachedBytes ? 2 : 1);
  writeEpilogue(engine, product, program, scalars);
  const items = count * matrices;
  const bytes = depth * Math.min(width, columns) * b.bytes * rows;
  engine.run(kernel, items, Math.max(1, Math.ceil(100_000 / bytes)));
  if (!ready) engine.heap.release(packed);
}

/** A model of matrices no larger than this is in the cache as a whole, or nearly. */
const cachedBytes = 640 << 10;

/** Columns of an item of {@link multiplyFew}, about. */
function columnsAtATime({ threads }: Engine, layout: StripLayout): number {
  const { rows, columns, depth, matrices } = product;
  // For some tens of kilobytes of b, so that threads get even shares and sums stay close.
  const most = Math.max(1, Math.min(64, Math.floor(rows * columns * depth * matrices / 30_000)));
  const wanted = most > 1 && matrices % 2 !== 0 ? 2 * Math.ceil(most / 2) : most;
  if (layout === "k" || wanted === 1) return columns * matrices / wanted;
  // Pieces of rows as long as may be: memory gives short ones of many rows at half the speed and less.
  const shares = Math.ceil(threads / matrices);
  return columns / (shares * Math.ceil(columns / (512 * shares)));
}

/** In blocks; `given` is where b lies packed already, if it does. */
function multiplyBlocked(
  engine: Engine,
  program: Program | null,
  scalars: readonly number[],
  given = 0,
): void {
  const { a, b, rows, columns, depth } = product;
  const { context, args, heap } = engine;
  const kernel = kernelFor(engine, product, program, 0);
  const arithmetic = arithmeticOf(product);
  const access = rowAccess(context.fusedMadd, arithmetic, a.dtype as Source, rowLayout(product));
  const unit = access === "rows" ? 0 : access === "packed" ? 4 : 16;
  const distinct = distinctMatrices(b);
  const inPlace = panelLayout(product) === "lanes" && b.bytes === 4 && !given;
  blocks.cut(product, tileRows(context, arithmetic), unit, inPlace, given > 0 || distinct < product.matrices);

  if (
    !given && blocks.mode === panelModes.packed && 4 * columns * depth * distinct > mostPackedBytes &&
    columns > leastColumns
  ) {
    return inPieces(engine, program, scalars, distinct);
  }

  const panelBytes = panelBytesOf(columns, depth),
    stripBytes = rows * depth * unit;
  const panels = given || blocks.mode !== panelModes.packed ? given : heap.scratch(panelBytes * distinct);
  const strips = unit > 0 && !blocks.ownStrips ? heap.scratch(stripBytes * distinctMatrices(a)) : 0;
  writeProduct(engine, args, product);
  write(engine, args, arg.blockTilesArg, blocks.tiles);
  write(engine, args, arg.blockPanelsArg, blocks.panels);
  write(engine, args, arg.rowBlocksArg, blocks.rowBlocks);
  write(engine, args, arg.columnBlocksArg, blocks.columnBlocks);
  write(engine, args, arg.blockDepthArg, blocks.depth);
  write(engine, args, arg.tileRowsArg, blocks.tileRows);
  write(engine, args, arg.panelsArg, blocks.mode);
  write(engine, args, arg.stripsArg, blocks.ownStrips ? 1 : 0);
  write(engine, args, arg.sumsArg, sumsAt);
  write(engine, args, arg.ownPanelsArg, panelsAt);
  writePacked(engine, arg.packedPanelsArg, product, b, panels, panelBytes);
  writePacked(engine, arg.packedRowsArg, product, a, strips, stripBytes);
  writeEpilogue(engine, product, program, scalars);
  if (panels && !given) packPanels(engine, kernel);
  if (strips) {
    const groups = Math.ceil(rows / blocks.tileRows);
    pack(engine, kernel, arg.tasks.packRows, groups, arg.rowBlocksArg, a, blocks.tileRows);
  }
  write(engine, args, arg.taskArg, arg.tasks.multiply);
  engine.run(kernel, blocks.items, Math.max(1, Math.ceil(itemWork / 2 / blocks.work)));
  if (strips) heap.release(strips);
  if (panels && !given) heap.release(panels);
}

/** Packs the matrices of b into where they are written to be packed. */
function packPanels(engine: Engine, kernel: Kernel): void {
  const lanes = panelColumns * passPanels, groups = Math.ceil(product.columns / lanes);
  pack(engine, kernel, arg.tasks.packPanels, groups, arg.columnBlocksArg, product.b, lanes);
}

/** See `Kernels.packedBytes`: products of many rows with a matrix that they would bring in order first. */
export function packedBytes(engine: Engine, a: View, b: View, out: View, epilogue?: Epilogue): number {
  if (a.dtype !== "f32" || !isFloat(b.dtype) || engine.deterministic) return 0;
  if (b.strides.some((step, i) => i < b.strides.length - 2 && step !== 0 && b.shape[i] !== 1)) return 0;
  if (!product.read(a, b, out, epilogue?.inputs ?? noInputs)) return 0;
  const { rows, columns, depth } = product, layout = panelLayout(product);
  if (depth === 0 || columns <= gemvRows || rows <= (layout === "k" ? streamRows : gemvRows)) return 0;
  if (rows > mostPackingRows || product.out.column !== product.out.bytes || isNative(engine, product)) {
    return 0;
  }
  const bytes = panelBytesOf(columns, depth);
  if (bytes > mostPackedBytes) return 0;
  // Rows of f32 are read in place where there are few tiles of them.
  if (layout === "lanes" && b.dtype === "f32") {
    blocks.cut(product, tileRows(engine.context, "f32"), 0, true, false);
    if (blocks.mode === panelModes.inPlace) return 0;
  }
  return bytes;
}

const isFloat = (dtype: View["dtype"]): boolean => dtype === "f32" || dtype === "f16" || dtype === "bf16";

function panelBytesOf(columns: number, depth: number): number {
  return Math.ceil(columns / panelColumns) * panelColumns * 4 * depth;
}

/** See `Kernels.pack`. */
export function packMatrix(engine: Engine, b: View, out: View): void {
  const [depth, columns] = b.shape.slice(-2), row = { buffer: out.buffer, dtype: "f32", offset: 0 } as const;
  const matrix = { ...row, buffer: b.buffer, dtype: b.dtype, offset: b.offset, shape: [depth, columns] };
  product.read(
    { ...row, shape: [1, depth], strides: [depth, 1] },
    { ...matrix, strides: b.strides.slice(-2) },
    { ...row, shape: [1, columns], strides: [columns, 1] },
    noInputs,
  );
  writeProduct(engine, engine.args, product);
  writePacked(engine, arg.packedPanelsArg, product, product.b, addressOf(out), 0);
  packPanels(engine, kernelFor(engine, product, null, 0));
}

/** See `Kernels.matmulPacked`. */
export function matmulPacked(
  engine: Engine,
  a: View,
  b: View,
  packed: View,
  out: View,
  epilogue?: Epilogue,
): void {
  // Sums that are in one order alone are those of the kernels that see to it.
  if (engine.deterministic) return matmul(engine, a, b, out, epilogue);
  const rank = out.shape.length, columns = out.shape[rank - 1], depth = a.shape[rank - 1];
  const shape = [...out.shape.slice(0, -2), depth, columns];
  const strides = shape.map((_, axis) => axis === rank - 2 ? columns : axis === rank - 1 ? 1 : 0);
  if (!product.read(a, { ...packed, shape, strides }, out, epilogue?.inputs ?? noInputs)) return;
  const panels = addressOf(packed);
  eachOuter(
    engine,
    epilogue?.program ?? null,
    epilogue?.scalars ?? noScalars,
    (engine, program, scalars) => multiplyBlocked(engine, program, scalars, panels),
  );
}

/** A large matrix b is packed and multiplied in pieces of its columns, so that the copy stays small. */
function inPieces(
  engine: Engine,
  program: Program | null,
  scalars: readonly number[],
  distinct: number,
): void {
  const { columns, depth, b, out, inputs, inputCount } = product;
  const fitting = mostPackedBytes / (4 * depth * distinct);
  const step = Math.max(leastColumns, panelColumns * Math.floor(fitting / panelColumns));
  const operands = [b, out, ...inputs.slice(0, inputCount)];
  const starts = operands.map(({ address }) => address);
  for (let column = 0; column < columns; column += step) {
    product.columns = Math.min(step, columns - column);
    operands.forEach((operand, i) => operand.address = starts[i] + column * operand.column);
    multiplyBlocked(engine, program, scalars);
  }
  product.columns = columns;
  operands.forEach((operand, i) => operand.address = starts[i]);
}

/** How many matrices an operand has. */
function distinctMatrices({ leading }: Operand): number {
  const { sizes } = product;
  let count = 1;
  for (let i = 0; i < sizes.length; i++) if (leading[i] !== 0) count *= sizes[i];
  return count;
}

/** Packs every distinct matrix of an operand, in `groups` parts of `lanes` lanes each. */
function pack(
  engine: Engine,
  kernel: Kernel,
  task: number,
  groups: number,
  groupsArg: number,
  operand: Operand,
  lanes: number,
): void {
  const { sizes, depth } = product;
  const args = engine.args + arg.secondBlock;
  engine.u8.copyWithin(args, engine.args, engine.args + arg.inputsArg);
  write(engine, args, arg.taskArg, task);
  write(engine, args, groupsArg, groups);
  // An axis along which the operand repeats is walked over once.
  const last = sizes.length - 1;
  write(engine, args, arg.innerArg, last >= 0 && operand.leading[last] !== 0 ? sizes[last] : 1);
  const grain = Math.max(1, Math.ceil(16_000 / (depth * lanes)));
  engine.run(kernel, groups * distinctMatrices(operand), grain, args);
}
