/**
 * Products of a few rows (a decoding step has one) with a large matrix: bound by how fast b can be read.
 *
 * Where k is contiguous in b (a weight stored as [out, in]), each of its columns is read once from end to end and
 * multiplied with all rows of a: one sequential stream, which is what memory gives fastest. Where columns are
 * contiguous ([in, out]), four rows of b at a time are added into a block of sums that stays in the first-level cache.
 *
 * A work item is a block of columns of one matrix, so threads read disjoint parts of b.
 *
 * @module
 */
import type { Local, ModuleBuilder } from "../../assembler/mod.ts";
import { importThreadScratch, type KernelContext } from "../../engine.ts";
import type { Program } from "../../../../expr/nodes.ts";
import { emitSetSum } from "./address.ts";
import { emitAccumulate } from "./accumulate.ts";
import * as arg from "./arguments.ts";
import { emitDot } from "./dot.ts";
import { emitFinish, type OperandForm } from "./finish.ts";
import type { Arithmetic, Source } from "./load.ts";
import { emitPack, type StripLayout } from "./pack.ts";

/** The most rows of a that go this way. */
export const gemvRows = 4;

/** What a kernel is emitted for. */
export interface GemvOptions {
  /** What is multiplied. */
  readonly arithmetic: Arithmetic;
  /** Rows of a: 1 to {@link gemvRows}. */
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
 * Emits the kernel. Task 0 multiplies: a is f32 (or i32) with k contiguous. Task 1 makes such an a out of any, item by
 * item one row of one matrix.
 */
export function emitGemv(m: ModuleBuilder, context: KernelContext, options: GemvOptions): void {
  const scratch = importThreadScratch(m);
  const { rows, bLayout } = options;
  const sum = (bLayout === "k" ? emitDot : emitAccumulate)(m, context, options.arithmetic, options.b, rows);
  const finish = emitFinish(m, context, options.arithmetic, options);
  const packRow = emitPack(m, context, {
    name: "packRow",
    source: options.a,
    layout: "any",
    width: 8,
    splat: false,
    pad: false,
  });

  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const local = (): Local => f.local("i32");
  const value = (at: number): Local => arg.emitArgument(f, args, at);
  const columns = value(arg.columnsArg), depth = value(arg.depthArg);
  const innerSize = value(arg.innerArg), blocks = value(arg.columnBlocksArg), task = value(arg.taskArg);
  const width = value(arg.blockPanelsArg);
  const aRow = value(arg.aArg + 4), aColumn = value(arg.aArg + 8);
  const bRow = value(arg.bArg + 4), bColumn = value(arg.bArg + 8);
  const item = local(), block = local(), inner = local(), outer = local(), a = local(), b = local();
  const column = local(), count = local(), stride = local(), sums = local(), to = local();
  f.globalGet(scratch);
  f.set(sums);
  emitSetSum(f, stride, [width, 4]);
  f.forRange(item, begin, end, 1, () => {
    f.get(item);
    f.get(blocks);
    f.op("i32.rem_u");
    f.set(block);
    f.get(item);
    f.get(blocks);
    f.op("i32.div_u");
    f.tee(outer);
    f.get(innerSize);
    f.op("i32.rem_u");
    f.set(inner);
    f.get(outer);
    f.get(innerSize);
    f.op("i32.div_u");
    f.set(outer);
    arg.emitMatrixStart(f, args, arg.aArg, inner, outer, a);
    f.get(task);
    f.if(() => {
      emitSetSum(f, a, a, [block, aRow]);
      f.get(item);
      f.get(depth);
      f.op("i32.mul");
      f.i32(4);
      f.op("i32.mul");
      f.set(to);
      f.get(a);
      f.get(to);
      f.get(args);
      f.load("i32.load", arg.packedRowsArg);
      f.op("i32.add");
      f.get(depth);
      f.i32(0);
      f.get(aColumn);
      f.i32(1);
      f.call(packRow);
    }, () => {
      arg.emitMatrixStart(f, args, arg.bArg, inner, outer, b);
      emitSetSum(f, column, [block, width]);
      emitSetSum(f, b, b, [column, bColumn]);
      f.get(width);
      f.get(columns);
      f.get(column);
      f.op("i32.sub");
      f.get(columns);
      f.get(column);
      f.op("i32.sub");
      f.get(width);
      f.op("i32.gt_s");
      f.select();
      f.set(count);
      f.get(a);
      f.get(aRow);
      f.get(b);
      f.get(bLayout === "k" ? bColumn : bRow);
      f.get(depth);
      f.get(count);
      f.get(sums);
      f.get(stride);
      f.call(sum);
      f.get(sums);
      f.get(stride);
      f.i32(0);
      f.get(column);
      f.i32(rows);
      f.get(count);
      f.get(args);
      f.get(inner);
      f.get(outer);
      f.call(finish);
    });
  });
}
