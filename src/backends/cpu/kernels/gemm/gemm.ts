/**
 * Blocked multiplication of matrices (after Goto and van de Geijn, "Anatomy of high-performance matrix
 * multiplication", 2008): panels of b, 8 columns wide, stay in the first-level cache while the tiles of a block of rows
 * run over them; a block of a stays in the second.
 *
 * A work item is a block of rows times a block of columns of one matrix, over all of k. Nothing in an item depends on
 * how items are spread over threads, and the blocks of k depend on k alone.
 *
 * @module
 */
import type { Program } from "../../../../expr/nodes.ts";
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import { importThreadScratch, type KernelContext } from "../../engine.ts";
import { emitAtMost, emitDivide, emitSetSum } from "./address.ts";
import * as arg from "./arguments.ts";
import { emitFinish, type OperandForm } from "./finish.ts";
import { type Arithmetic, elementBytes, type Source } from "./load.ts";
import { emitMultiply } from "./multiply.ts";
import { emitPack, emitPackPanels, passPanels, type StripLayout } from "./pack.ts";
import { emitTile, panelColumns, type RowAccess, tileRows } from "./tile.ts";

/** What a kernel of matrix multiplication is emitted for. */
export interface GemmOptions {
  /** What is multiplied. */
  readonly arithmetic: Arithmetic;
  /** Element type of a, and how a tile finds it. */
  readonly a: Source;
  readonly access: RowAccess;
  /** How a lies in memory, seen in strips of rows, when it is packed. */
  readonly aLayout: StripLayout;
  /** Element type and layout of b. */
  readonly b: Source;
  readonly bLayout: StripLayout;
  /** Where results go, and what happens to them before. */
  readonly out: OperandForm;
  readonly program: Program | null;
  readonly inputs: readonly OperandForm[];
}

/** How a tile finds a where it lies as `source` in `layout`. */
export function rowAccess(
  fusedMadd: boolean,
  arithmetic: Arithmetic,
  source: Source,
  layout: StripLayout,
): RowAccess {
  if (!fusedMadd && arithmetic === "f32") return "splat";
  return layout === "k" && elementBytes(source) === 4 ? "rows" : "packed";
}

/** Emits the kernel. Its arguments are in `arguments.ts`. */
export function emitGemm(m: ModuleBuilder, context: KernelContext, options: GemmOptions): void {
  const { arithmetic, access, out, program } = options;
  const scratch = importThreadScratch(m);
  const fullRows = tileRows(context, arithmetic);
  const tiles: FunctionBuilder[] = [];
  for (let rows = 1; rows <= fullRows; rows++) tiles[rows] = emitTile(m, context, arithmetic, access, rows);
  const packRows = access === "rows" ? null : emitPack(m, context, {
    name: "packRows",
    source: options.a,
    layout: options.aLayout,
    width: fullRows,
    splat: access === "splat",
    pad: false,
  });
  const packPanels = emitPackPanels(m, context, options.b, options.bLayout);
  const direct = program === null && out.layout === "unit" && out.dtype === arithmetic;
  const finish = emitFinish(m, context, arithmetic, options);

  const multiply = m.function("multiply", { params: ["i32", "i32"], export: false });
  emitMultiply(multiply, { scratch, tiles, packRows, packPanels, finish, direct, access });
  const packB = m.function("packB", { params: ["i32", "i32"], export: false });
  emitPackPanelsItem(packB, packPanels);
  const packA = m.function("packA", { params: ["i32", "i32"], export: false });
  if (packRows) emitPackRowsItem(packA, packRows, access === "splat" ? 16 : 4);

  const run = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = run.params;
  const item = run.local("i32");
  const task = arg.emitArgument(run, args, arg.taskArg);
  const doItem = (what: FunctionBuilder): void => {
    run.get(args);
    run.get(item);
    run.call(what);
  };
  run.forRange(item, begin, end, 1, () => {
    run.get(task);
    run.if(() => {
      run.get(task);
      run.i32(arg.tasks.packRows);
      run.op("i32.eq");
      run.if(() => doItem(packA), () => doItem(packB));
    }, () => doItem(multiply));
  });
}

/** Splits an item into the number of its part of a matrix and the indices of the matrix. */
function emitItem(
  f: FunctionBuilder,
  args: Local,
  item: Local,
  parts: number,
): [part: Local, inner: Local, outer: Local] {
  const part = f.local("i32"), inner = f.local("i32"), outer = f.local("i32");
  f.set(outer, item);
  emitDivide(f, outer, part, arg.emitArgument(f, args, parts));
  emitDivide(f, outer, inner, arg.emitArgument(f, args, arg.innerArg));
  return [part, inner, outer];
}

/** The function `pack(args, item)`: an item is a few panels of one matrix b. */
function emitPackPanelsItem(f: FunctionBuilder, packPanels: FunctionBuilder): void {
  const [args, item] = f.params;
  const columnsPerItem = passPanels * panelColumns;
  const [group, inner, outer] = emitItem(f, args, item, arg.columnBlocksArg);
  const from = f.local("i32"), to = f.local("i32"), column = f.local("i32"), count = f.local("i32");
  const depth = arg.emitArgument(f, args, arg.depthArg), columns = arg.emitArgument(f, args, arg.columnsArg);
  const kStride = arg.emitArgument(f, args, arg.bArg + 4),
    columnStride = arg.emitArgument(f, args, arg.bArg + 8);
  arg.emitMatrixStart(f, args, arg.bArg, inner, outer, from);
  arg.emitMatrixStart(f, args, arg.packedPanelsArg, inner, outer, to);
  emitSetSum(f, column, [group, columnsPerItem]);
  emitSetSum(f, from, from, [column, columnStride]);
  // A panel of 8 columns takes 32 bytes for each k, so a column counts for 4.
  emitSetSum(f, count, [column, depth]);
  emitSetSum(f, to, to, [count, 4]);
  f.set(count, columnsPerItem);
  emitSetSum(f, column, columns, [column, -1]);
  emitAtMost(f, count, column);
  for (const x of [from, to, depth, columnStride, kStride, count]) f.get(x);
  f.call(packPanels);
}

/** The function `pack(args, item)`: an item is the rows of one tile of one matrix a. */
function emitPackRowsItem(f: FunctionBuilder, packRows: FunctionBuilder, unit: number): void {
  const [args, item] = f.params;
  const [tile, inner, outer] = emitItem(f, args, item, arg.rowBlocksArg);
  const from = f.local("i32"), to = f.local("i32"), row = f.local("i32"), count = f.local("i32");
  const depth = arg.emitArgument(f, args, arg.depthArg), rows = arg.emitArgument(f, args, arg.rowsArg);
  const rowStride = arg.emitArgument(f, args, arg.aArg + 4),
    kStride = arg.emitArgument(f, args, arg.aArg + 8);
  const tileRows = arg.emitArgument(f, args, arg.tileRowsArg);
  arg.emitMatrixStart(f, args, arg.aArg, inner, outer, from);
  arg.emitMatrixStart(f, args, arg.packedRowsArg, inner, outer, to);
  emitSetSum(f, row, [tile, tileRows]);
  emitSetSum(f, from, from, [row, rowStride]);
  emitSetSum(f, count, [row, depth]);
  emitSetSum(f, to, to, [count, unit]);
  f.set(count, tileRows);
  emitSetSum(f, row, rows, [row, -1]);
  emitAtMost(f, count, row);
  for (const x of [from, to, depth, rowStride, kStride, count]) f.get(x);
  f.call(packRows);
}
