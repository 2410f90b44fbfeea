/**
 * Products of a few rows (a decoding step has one) with a large matrix: bound by how fast b can be read.
 *
 * Where k is contiguous in b (a weight stored as [out, in]), each of its columns is read once from end to end and multiplied
 * with two rows of a: one sequential stream, which is what memory gives fastest. Further rows find it in the cache, and go
 * through it in tiles. Where columns are contiguous ([in, out]), four rows of b at a time are added into a block of sums that stays in the first-level cache.
 *
 * A work item is a block of columns of one matrix, so threads read disjoint parts of b.
 *
 * @module
 */
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import { importThreadScratch, type KernelContext } from "../../engine.ts";
import type { Program } from "../../../../expr/nodes.ts";
import { emitAtMost, emitSetSum } from "./address.ts";
import { emitAccumulate } from "./accumulate.ts";
import * as arg from "./arguments.ts";
import { dotRows, emitDot, emitSplitPairs, splitsPairs } from "./dot.ts";
import { dotTileRows, emitDotTile } from "./dot_tile.ts";
import { emitFinish, type OperandForm } from "./finish.ts";
import { type Arithmetic, elementBytes, type Source } from "./load.ts";
import { emitPack, type StripLayout } from "./pack.ts";

/** The most rows of a that go this way where columns of b are contiguous. */
export const gemvRows = 4;

/** The most where k is contiguous in b: as many as fill a decoding step of several texts. */
export const streamRows = 16;

// Columns that all rows are multiplied with before the next ones: they stay in the second-level cache, and are many enough
// for the stream from memory to get into its stride.
const stripColumns = 32;

/** What a kernel is emitted for. */
export interface GemvOptions {
  /** What is multiplied. */
  readonly arithmetic: Arithmetic;
  /** Rows of a: 1 to {@link gemvRows}, or {@link streamRows} where k is contiguous in b. */
  readonly rows: number;
  /** Element type of a, which the packing task converts. */
  readonly a: Source;
  /** Element type of b, and which of its axes is contiguous. */
  readonly b: Source;
  readonly bLayout: Exclude<StripLayout, "any">;
  /** Where results go, and what happens to them before. */
  readonly out: OperandForm;
  readonly program: Program | null;
  readonly inputs: readonly OperandForm[];
}

/**
 * Emits the kernel. Task 0 multiplies: a is f32 (or i32) with k contiguous, laid out as the products with b want it. Task 1
 * makes such an a out of any, item by item one row of one matrix.
 */
export function emitGemv(m: ModuleBuilder, context: KernelContext, options: GemvOptions): void {
  const scratch = importThreadScratch(m);
  const { rows, bLayout } = options;
  const { arithmetic, b: source } = options;
  const dots = bLayout === "k"
    ? Array.from(
      { length: Math.min(rows, dotRows) },
      (_, i) => emitDot(m, context, arithmetic, source, i + 1),
    )
    : [];
  const parts = partsOf(rows, source);
  const tiles = new Map(
    [...new Set(parts)].filter((count) => bLayout === "k" && count > dotRows)
      .map((count) => [count, emitDotTile(m, context, arithmetic, source, count)]),
  );
  const accumulate = bLayout === "k" ? null : emitAccumulate(m, context, arithmetic, source, rows);
  const finish = emitFinish(m, context, options.arithmetic, options);
  const packRow = emitPack(m, context, {
    name: "packRow",
    source: options.a,
    layout: "any",
    width: 8,
    splat: false,
    pad: false,
  });

  const splitPairs = bLayout === "k" && splitsPairs(source) ? emitSplitPairs(m) : null;

  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const local = (): Local => f.local("i32");
  const value = (at: number): Local => arg.emitArgument(f, args, at);
  const columns = value(arg.columnsArg), depth = value(arg.depthArg);
  const innerSize = value(arg.innerArg), blocks = value(arg.columnBlocksArg), task = value(arg.taskArg);
  const atOnce = value(arg.atOnceArg);
  const width = value(arg.blockPanelsArg), blockSize = value(arg.blockDepthArg);
  const aRow = value(arg.aArg + 4), aColumn = value(arg.aArg + 8);
  const bRow = value(arg.bArg + 4), bColumn = value(arg.bArg + 8);
  const item = local(), block = local(), inner = local(), outer = local(), a = local(), b = local();
  const column = local(), count = local(), stride = local(), sums = local(), to = local();
  f.globalGet(scratch);
  f.set(sums);
  emitSetSum(f, stride, [width, 4]);
  f.forRange(item, begin, end, 1, () => {
    f.set(block, item.op("rem_u", blocks));
    f.set(inner, item.op("div_u", blocks).tee(outer).op("rem_u", innerSize));
    f.set(outer, outer.op("div_u", innerSize));
    arg.emitMatrixStart(f, args, arg.aArg, inner, outer, a);
    f.get(task);
    f.if(() => {
      emitSetSum(f, a, a, [block, aRow]);
      f.set(to, item.times(depth).times(4));
      f.set(to, to.plus(args.load(arg.packedRowsArg)));
      const pack = (): void => {
        f.push(a, to, depth, 0, aColumn, 1);
        f.call(packRow);
        f.set(a, to);
      };
      if (!splitPairs) return pack();
      // Floats that lie in order are taken from where they are.
      if (options.a !== "f32") pack();
      else {
        f.push(aColumn.op("ne", 4));
        f.if(pack);
      }
      for (const value of [a, to, depth]) f.get(value);
      f.call(splitPairs);
    }, () => {
      arg.emitMatrixStart(f, args, arg.bArg, inner, outer, b);
      emitSetSum(f, column, [block, width]);
      emitSetSum(f, b, b, [column, bColumn]);
      f.set(count, columns.minus(column).op("gt_s", width).select(width, columns.minus(column)));
      if (accumulate) accumulateBlocks(accumulate);
      else if (rows <= dotRows) callDot(rows, a, b, count, sums);
      else strips();
      f.push(sums, stride, 0, column, rows, count, args, inner, outer);
      f.call(finish);
    });
  });

  /** Sums over one block of k after the other, as products of many rows have them. */
  function accumulateBlocks(accumulate: FunctionBuilder): void {
    const k = local(), steps = local(), more = local(), at = local(), end = local();
    emitSetSum(f, end, sums, [stride, rows]);
    f.set(more, sums);
    f.forRange(k, 0, depth, blockSize, () => {
      emitSetSum(f, steps, depth, [k, -1]);
      emitAtMost(f, steps, blockSize);
      for (const x of [a, aRow, b, bRow, steps, count, more, stride]) f.get(x);
      f.call(accumulate);
      f.get(k);
      f.if(() => {
        f.set(to, end);
        f.forRange(at, () => f.get(sums), end, 16, () => {
          f.get(at);
          for (const part of [at, to]) {
            f.push(part.load(0, "v128.load", 4));
          }
          f.op(`${arithmetic}x4.add`);
          f.store("v128.store", 0, 4);
          f.increment(to, 16);
        });
      });
      emitSetSum(f, a, a, [steps, 4]);
      emitSetSum(f, b, b, [bRow, steps]);
      f.set(more, end);
    });
  }

  function callDot(count: number, x: Local, y: Local, columns: Local, to: Local): void {
    for (const value of [x, aRow, y, bColumn, depth, columns, to, stride, atOnce]) f.get(value);
    f.call(dots[count - 1]);
  }

  /** So many rows from x on with some columns; x and `to` go on behind them. */
  function part(count: number, x: Local, y: Local, columns: Local, to: Local): void {
    const tile = tiles.get(count);
    if (!tile) callDot(count, x, y, columns, to);
    else {
      const even = local(), last = local(), lastTo = local(), row = local();
      f.set(even, columns.and(-2));
      for (const value of [x, aRow, y, bColumn, depth, even, to, stride]) f.get(value);
      f.call(tile);
      emitSetSum(f, even, columns, [even, -1]);
      f.get(even);
      f.if(() => {
        emitSetSum(f, last, y, [bColumn, columns], [bColumn, -1]);
        emitSetSum(f, lastTo, to, [columns, 4], -4);
        emitSetSum(f, row, x);
        for (let i = 0; i < count; i++) {
          callDot(1, row, last, even, lastTo);
          f.increment(row, aRow);
          f.increment(lastTo, stride);
        }
      });
    }
    emitSetSum(f, x, x, [aRow, count]);
    emitSetSum(f, to, to, [stride, count]);
  }

  /** Some columns with all rows, then the next. */
  function strips(): void {
    const at = local(), left = local(), here = local(), x = local(), y = local(), most = local();
    f.set(most, stripColumns);
    f.set(y, b);
    f.forRange(at, 0, count, stripColumns, () => {
      emitSetSum(f, left, count, [at, -1]);
      emitAtMost(f, left, most);
      emitSetSum(f, here, sums, [at, 4]);
      f.set(x, a);
      for (const rows of parts) part(rows, x, y, left, here);
      emitSetSum(f, y, y, [bColumn, stripColumns]);
    });
  }
}

/**
 * How rows are taken: the first from memory, as many as are multiplied in the time of reading (numbers of two bytes are read
 * faster, and cost more to convert); then what is in the cache in tiles, as even as may be. One or two are no tile.
 */
function partsOf(rows: number, source: Source): number[] {
  const first = Math.min(rows, elementBytes(source) === 4 ? dotRows : 1), left = rows - first;
  if (rows <= dotRows) return [rows];
  const tiles = Math.ceil(left / dotTileRows);
  return [first, ...Array.from({ length: tiles }, (_, i) => Math.floor((left + i) / tiles))];
}
