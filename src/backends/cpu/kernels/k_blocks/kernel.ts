/**
 * The kernel of products with weights in blocks of 256: a block becomes floats in the thread's scratch, a kilobyte that stays
 * in the first-level cache, and is multiplied with its part of every row of the item before the next one is taken. A matrix
 * is never widened as a whole.
 *
 * Arguments are those of `gemm/arguments.ts`. An item is a block of columns and a block of rows, or, packing, one row of a.
 *
 * @module
 */
import { byteSize, type KDType } from "../../../../core/dtype.ts";
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

/** The function `dot(x, y)`: the sum of 256 products of f32. */
function emitDot(m: ModuleBuilder, context: KernelContext): FunctionBuilder {
  const f = m.function("dot", { params: ["i32", "i32"], results: ["f32"], export: false });
  const [x, y] = f.params, sums = f.localArray("v128", 4), n = f.local("i32");
  for (const sum of sums) {
    f.f32x4(0);
    f.set(sum);
  }
  const load = (from: typeof x, at: number) => (): void => {
    f.get(from);
    f.load("v128.load", at, 4);
  };
  f.forRange(n, 0, kValues, 32, () => {
    for (let i = 0; i < 8; i++) {
      emitMultiplyAdd(f, context, "f32", sums[i % 4], load(x, 16 * i), load(y, 16 * i));
    }
    f.increment(x, 128);
    f.increment(y, 128);
  });
  f.get(sums[0]);
  f.get(sums[1]);
  f.op("f32x4.add");
  f.get(sums[2]);
  f.get(sums[3]);
  f.op("f32x4.add");
  f.op("f32x4.add");
  f.set(sums[0]);
  for (let lane = 0; lane < 4; lane++) {
    f.get(sums[0]);
    f.lane("f32x4.extract_lane", lane);
    if (lane > 0) f.op("f32.add");
  }
  return f;
}

/** Emits the kernel. */
export function emitMatmulK(m: ModuleBuilder, context: KernelContext, options: MatmulKOptions): void {
  const { dtype, ready } = options, scratch = importThreadScratch(m);
  const decode = emitDecode(m, dtype), dot = emitDot(m, context), blockBytes = byteSize(dtype, kValues);
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
  const [row0, row1, column0, column1, rowBlock, columnBlock, depthLeft] = f.localArray("i32", 7);
  const total = f.local("f32");
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
    f.get(item);
    f.set(rowBlock);
    emitDivide(f, rowBlock, columnBlock, columnBlocks);
    emitSetSum(f, column0, [columnBlock, width]);
    emitSetSum(f, column1, column0, width);
    emitAtMost(f, column1, columns);
    emitSetSum(f, row0, [rowBlock, blockRows]);
    emitSetSum(f, row1, row0, blockRows);
    emitAtMost(f, row1, rows);
    emitSetSum(f, count, row1, [row0, -1]);
    f.get(sums);
    f.i32(0);
    emitSetSum(f, last, [count, stride]);
    f.get(last);
    f.op("memory.fill");
    f.forRange(column, column0, column1, 1, () => {
      emitSetSum(f, from, b, [column, bColumn]);
      emitSetSum(f, block, a, [row0, aRow]);
      f.forRange(depthLeft, 0, depth, kValues, () => {
        f.get(from);
        f.get(buffer);
        f.call(decode);
        f.get(block);
        f.set(x);
        emitSetSum(f, sum, column, [column0, -1]);
        emitSetSum(f, sum, sums, [sum, 4]);
        f.forRange(row, row0, row1, 1, () => {
          f.get(x);
          f.get(buffer);
          f.call(dot);
          f.set(total);
          f.get(sum);
          f.get(sum);
          f.load("f32.load");
          f.get(total);
          f.op("f32.add");
          f.store("f32.store");
          emitSetSum(f, x, x, aRow);
          emitSetSum(f, sum, sum, stride);
        });
        f.increment(from, blockBytes);
        f.increment(block, 4 * kValues);
      });
    });
    emitSetSum(f, last, column1, [column0, -1]);
    for (const each of [sums, stride, row0, column0, count, last, args, zero, zero]) f.get(each);
    f.call(finish);
  }
}
