/**
 * The kernel of products with weights in blocks of a GGUF: a block of 256 (or eight of 32) becomes floats in the thread's
 * scratch, a kilobyte that stays in the first-level cache, and is multiplied with its part of every row of the item before the
 * next one is taken. A matrix is never widened as a whole.
 *
 * Arguments are those of `gemm/arguments.ts`. An item is a block of columns and a block of rows, or, packing, one row of a.
 *
 * @module
 */
import { blockValues, byteSize, type KDType } from "../../../../core/dtype.ts";
import type { Program } from "../../../../expr/nodes.ts";
import type { FunctionBuilder, ModuleBuilder } from "../../assembler/mod.ts";
import { importThreadScratch, type KernelContext } from "../../engine.ts";
import { emitAtMost, emitDivide, emitSetSum } from "../gemm/address.ts";
import * as arg from "../gemm/arguments.ts";
import { emitFinish, type OperandForm } from "../gemm/finish.ts";
import type { Source } from "../gemm/load.ts";
import { emitPack } from "../gemm/pack.ts";
import { emitMultiplyAdd } from "../gemm/tile.ts";
import { emitDecode, kValues } from "./decode.ts";

/** Tasks of the kernel. */
export const tasks = { multiply: 0, pack: 1 } as const;

/** The most columns and rows of an item, whose sums lie in scratch. */
export const mostColumns = 64, mostRows = 240;

/** Bytes of thread scratch before the sums: a block as floats. */
const sumsAt = 4 * kValues;

/** What a kernel is emitted for. */
export interface MatmulKOptions {
  /** Element type of b. */
  readonly dtype: KDType;
  /** Element type of a, and whether its rows are f32 with k contiguous. */
  readonly a: Source;
  readonly ready: boolean;
  /** Where results go, and what happens to them before. */
  readonly out: OperandForm;
  readonly program: Program | null;
  readonly inputs: readonly OperandForm[];
}

/** Rows that are multiplied with a block at once: each of its vectors is then loaded once for all. */
const rowsAtOnce = 4;

/**
 * The function `dots(x, step, y, sum, stride, count)`: adds to sums `stride` bytes apart the products of `count` f32 at y, a
 * multiple of 32, with those of `rows` rows, `step` bytes apart. What a row gives does not depend on how many there are.
 */
function emitDots(m: ModuleBuilder, context: KernelContext, rows: number): FunctionBuilder {
  const f = m.function(`dots${rows}`, { params: new Array(6).fill("i32"), export: false });
  const [x, step, y, sum, stride, count] = f.params, n = f.local("i32"), value = f.local("v128");
  const pointers = [x, ...f.localArray("i32", rows - 1)];
  const sums = pointers.map(() => f.localArray("v128", 2));
  for (let row = 1; row < rows; row++) emitSetSum(f, pointers[row], pointers[row - 1], step);
  for (const each of sums.flat()) {
    f.f32x4(0);
    f.set(each);
  }
  f.forRange(n, 0, count, 16, () => {
    for (let i = 0; i < 4; i++) {
      f.set(value, y.load(16 * i, "v128.load", 4));
      pointers.forEach((pointer, row) => {
        const load = (): void => {
          f.push(pointer.load(16 * i, "v128.load", 4));
        };
        emitMultiplyAdd(f, context, "f32", sums[row][i % 2], load, () => f.get(value));
      });
    }
    for (const pointer of [...pointers, y]) f.increment(pointer, 64);
  });
  for (const [one, other] of sums) {
    f.set(one, one.op("f32x4.add", other));
    f.push(sum, sum.load(0, "f32.load"));
    for (let lane = 0; lane < 4; lane++) {
      f.get(one);
      f.lane("f32x4.extract_lane", lane);
      if (lane > 0) f.op("f32.add");
    }
    f.op("f32.add");
    f.store("f32.store");
    emitSetSum(f, sum, sum, stride);
  }
  return f;
}

/** Emits the kernel. */
export function emitMatmulK(m: ModuleBuilder, context: KernelContext, options: MatmulKOptions): void {
  const { dtype, ready } = options, scratch = importThreadScratch(m);
  const decode = emitDecode(m, dtype), one = emitDots(m, context, 1);
  const values = blockValues(dtype), blockBytes = byteSize(dtype, values);
  const several = emitDots(m, context, rowsAtOnce);
  const packRow = ready ? null : emitPack(m, context, {
    name: "packRow",
    source: options.a,
    layout: "any",
    width: 8,
    splat: false,
    pad: false,
  });
  const finish = emitFinish(m, context, "f32", options);
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const value = (at: number) => arg.emitArgument(f, args, at);
  const rows = value(arg.rowsArg), columns = value(arg.columnsArg), depth = value(arg.depthArg);
  const a = value(arg.aArg), aRow = value(arg.aArg + 4), aColumn = value(arg.aArg + 8);
  const b = value(arg.bArg), bColumn = value(arg.bArg + 8), packed = value(arg.packedRowsArg);
  const task = value(arg.taskArg),
    width = value(arg.blockPanelsArg),
    columnBlocks = value(arg.columnBlocksArg);
  const blockRows = value(arg.blockTilesArg);
  const [item, block, at, from, row, column, x, sum, count, zero, sums, stride, buffer, last] = f.localArray(
    "i32",
    14,
  );
  const [here, wide, limit] = f.localArray("i32", 3);
  const [row0, row1, column0, column1, rowBlock, columnBlock, depthLeft] = f.localArray("i32", 7);
  f.globalGet(scratch);
  f.set(buffer);
  emitSetSum(f, sums, buffer, sumsAt);
  emitSetSum(f, stride, [width, 4]);
  f.forRange(item, begin, end, 1, () => {
    f.get(task);
    f.if(pack, multiply);
  });

  /** Row number `item` of a becomes f32, one after the other. */
  function pack(): void {
    if (!packRow) return;
    emitSetSum(f, at, a, [item, aRow]);
    emitSetSum(f, x, [depth, 4]);
    emitSetSum(f, x, packed, [item, x]);
    for (const each of [at, x, depth, zero, aColumn]) f.get(each);
    f.i32(1);
    f.call(packRow);
  }

  function multiply(): void {
    f.set(rowBlock, item);
    emitDivide(f, rowBlock, columnBlock, columnBlocks);
    emitSetSum(f, column0, [columnBlock, width]);
    emitSetSum(f, column1, column0, width);
    emitAtMost(f, column1, columns);
    emitSetSum(f, row0, [rowBlock, blockRows]);
    emitSetSum(f, row1, row0, blockRows);
    emitAtMost(f, row1, rows);
    emitSetSum(f, count, row1, [row0, -1]);
    f.push(sums, 0);
    emitSetSum(f, last, [count, stride]);
    f.op("memory.fill", last);
    f.forRange(column, column0, column1, 1, () => {
      emitSetSum(f, from, b, [column, bColumn]);
      emitSetSum(f, block, a, [row0, aRow]);
      f.forRange(depthLeft, 0, depth, kValues, () => {
        emitSetSum(f, here, depth, [depthLeft, -1]);
        f.set(limit, kValues);
        emitAtMost(f, here, limit);
        emitSetSum(f, limit, buffer, [here, 4]);
        f.forRange(wide, () => f.get(buffer), limit, 4 * values, () => {
          f.push(from, wide);
          f.call(decode);
          f.increment(from, blockBytes);
        });
        f.set(x, block);
        emitSetSum(f, sum, column, [column0, -1]);
        emitSetSum(f, sum, sums, [sum, 4]);
        f.set(row, count);
        for (const [rows, dots] of [[rowsAtOnce, several], [1, one]] as const) {
          const isLeft = (): void => {
            f.push(row.op("ge_s", rows));
          };
          isLeft();
          f.if(() =>
            f.loop((again) => {
              for (const each of [x, aRow, buffer, sum, stride, here]) f.get(each);
              f.call(dots);
              emitSetSum(f, x, x, [aRow, rows]);
              emitSetSum(f, sum, sum, [stride, rows]);
              f.increment(row, -rows);
              isLeft();
              f.brIf(again);
            })
          );
        }
        f.increment(block, 4 * kValues);
      });
    });
    emitSetSum(f, last, column1, [column0, -1]);
    for (const each of [sums, stride, row0, column0, count, last, args, zero, zero]) f.get(each);
    f.call(finish);
  }
}
