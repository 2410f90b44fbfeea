/**
 * The kernel of products with quantised weights: one module for an element type, a number of rows (one or several),
 * and an epilogue.
 *
 * Arguments are those of `gemm/arguments.ts`; `panelsArg` says how many panels of b are interleaved in memory. The
 * others (the last one, when it has fewer than eight rows) are interleaved by the item that needs them.
 *
 * @module
 */
import type { Program } from "../../../../expr/nodes.ts";
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import { importThreadScratch, type KernelContext } from "../../engine.ts";
import { emitAtMost, emitDivide, emitSetSum } from "../gemm/address.ts";
import * as arg from "../gemm/arguments.ts";
import { emitFinish, type OperandForm } from "../gemm/finish.ts";
import type { Source } from "../gemm/load.ts";
import { emitPack } from "../gemm/pack.ts";
import { activationBytes, emitQuantize } from "./activations.ts";
import { blockBytes, blockWeights, panelRows, type Quantized } from "./format.ts";
import { emitInterleave, emitRestore } from "./layout.ts";
import { bytesMethod } from "./bytes.ts";
import type { Method } from "./method.ts";
import { wordsMethod } from "./words.ts";

/** How an engine multiplies quantised weights: by words only where no relaxed instructions may be used. */
export function methodFor({ relaxed }: KernelContext): Method {
  return relaxed ? bytesMethod : wordsMethod;
}

/** The most panels of an item when there is one row: their sums lie in scratch. */
export const mostStreamPanels = 128;

const panelAt = 32 * mostStreamPanels; // bytes of thread scratch before the panel that an item interleaves

/** Tasks of the kernels: of {@link emitQuantized} the first two, of {@link emitLayout} the others. */
export const tasks = { multiply: 0, quantize: 1, interleave: 0, restore: 1 } as const;

/** What a kernel is emitted for. */
export interface QuantizedOptions {
  /** Element type of b. */
  readonly dtype: Quantized;
  /** How it is multiplied. */
  readonly method: Method;
  /** Whether a has few rows, which are multiplied one by one. */
  readonly single: boolean;
  /** Element type of a, and whether its rows are f32 with k contiguous. */
  readonly a: Source;
  readonly ready: boolean;
  /** Where results go, and what happens to them before. */
  readonly out: OperandForm;
  readonly program: Program | null;
  readonly inputs: readonly OperandForm[];
}

/** Emits the kernel. */
export function emitQuantized(m: ModuleBuilder, context: KernelContext, options: QuantizedOptions): void {
  const { dtype, method, single, ready } = options;
  const scratch = importThreadScratch(m);
  const interleave = emitInterleave(m, dtype);
  const { tileRows } = method;
  const form = method.form(dtype, single);
  const quantize = emitQuantize(m, form);
  const packRow = ready ? null : emitPack(m, context, {
    name: "packRow",
    source: options.a,
    layout: "any",
    width: 8,
    splat: false,
    pad: false,
  });
  const stream = single ? method.emitStream(m, context, dtype) : null;
  const unpack = single ? null : method.emitUnpack(m, context, dtype);
  const tiles: FunctionBuilder[] = [];
  if (!single) { for (let r = 1; r <= tileRows; r++) tiles[r] = method.emitTile(m, context, r); }
  const finish = emitFinish(m, context, "f32", options);

  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const local = (): Local => f.local("i32");
  const value = (at: number): Local => arg.emitArgument(f, args, at);
  const rows = value(arg.rowsArg), columns = value(arg.columnsArg), depth = value(arg.depthArg);
  const a = value(arg.aArg), aRow = value(arg.aArg + 4), aColumn = value(arg.aArg + 8);
  const b = value(arg.bArg), rowBytes = value(arg.bArg + 8), bytes = value(arg.packedRowsArg);
  const interleaved = value(arg.panelsArg), blockPanels = value(arg.blockPanelsArg);
  const task = value(arg.taskArg), columnBlocks = value(arg.columnBlocksArg);
  const blockRows = value(arg.blockTilesArg);
  const blocks = local(), sums = local(), ownPanel = local(), unpacked = local(), zero = local();
  const item = local(), at = local(), to = local(), count = local(), wholeBytes = local();
  f.set(blocks, depth.op("shr_u", Math.log2(blockWeights)));
  f.globalGet(scratch);
  f.set(sums);
  emitSetSum(f, ownPanel, sums, panelAt);
  emitSetSum(f, unpacked, ownPanel, [blocks, panelRows * blockBytes[dtype]]);
  emitSetSum(f, wholeBytes, [rowBytes, panelRows]);

  f.forRange(item, begin, end, 1, () => {
    f.get(task);
    f.if(quantizeRow, multiply);
  });

  /** Row number `item` of a becomes bytes. */
  function quantizeRow(): void {
    emitSetSum(f, at, a, [item, aRow]);
    if (packRow) {
      for (const x of [at, ownPanel, depth, zero, aColumn]) f.get(x);
      f.i32(1);
      f.call(packRow);
      f.set(at, ownPanel);
    }
    const row = local(), tile = local();
    if (!single) {
      f.set(row, item.op("rem_u", tileRows));
    }
    emitSetSum(f, tile, item, [row, -1]);
    emitSetSum(f, count, rows, [tile, -1]);
    f.set(to, tileRows);
    emitAtMost(f, count, to);
    emitSetSum(f, to, [tile, blocks]);
    emitSetSum(f, to, bytes, [to, activationBytes[form]]);
    for (const x of [at, to, blocks, count, row]) f.get(x);
    f.call(quantize);
  }

  /** Sets `at` to the panel, which is interleaved first where it is not. */
  function choosePanel(panel: Local): void {
    emitSetSum(f, at, b, [panel, wholeBytes]);
    f.push(panel.op("ge_s", interleaved));
    f.if(() => {
      emitSetSum(f, count, columns, [panel, -panelRows]);
      f.set(to, panelRows);
      emitAtMost(f, count, to);
      for (const x of [at, ownPanel, blocks, rowBytes, count]) f.get(x);
      f.call(interleave);
      f.set(at, ownPanel);
    });
  }

  function multiply(): void {
    const panel0 = local(), panel1 = local(), panel = local(), rowBlock = local(), columnBlock = local();
    f.set(rowBlock, item);
    emitDivide(f, rowBlock, columnBlock, columnBlocks);
    emitSetSum(f, panel0, [columnBlock, blockPanels]);
    emitSetSum(f, panel1, panel0, blockPanels);
    emitSetSum(f, panel, columns, panelRows - 1);
    f.set(panel, panel.op("shr_u", Math.log2(panelRows)));
    emitAtMost(f, panel1, panel);
    if (stream) multiplyRows(stream, panel, panel0, panel1);
    else multiplyTiles(unpack as FunctionBuilder, panel, panel0, panel1, rowBlock);
  }

  /** Row after row: the item's panels are few enough to stay in the cache between them. */
  function multiplyRows(stream: FunctionBuilder, panel: Local, panel0: Local, panel1: Local): void {
    const sum = local(), row = local(), x = local(), step = local();
    f.set(x, bytes);
    emitSetSum(f, step, [blocks, activationBytes[form]]);
    f.forRange(row, zero, rows, 1, () => {
      f.set(sum, sums);
      f.forRange(panel, panel0, panel1, 1, () => {
        choosePanel(panel);
        for (const y of [at, x, blocks, sum]) f.get(y);
        f.call(stream);
        f.increment(sum, 4 * panelRows);
      });
      emitSetSum(f, count, [panel1, panelRows]);
      emitAtMost(f, count, columns);
      emitSetSum(f, to, [panel0, panelRows]);
      emitSetSum(f, count, count, [to, -1]);
      f.get(sums);
      for (const y of [zero, row, to]) f.get(y);
      f.i32(1);
      for (const y of [count, args, zero, zero]) f.get(y);
      f.call(finish);
      f.increment(x, step);
    });
  }

  function multiplyTiles(
    unpack: FunctionBuilder,
    panel: Local,
    panel0: Local,
    panel1: Local,
    rowBlock: Local,
  ): void {
    const row = local(), row0 = local(), row1 = local(), x = local(), full = local();
    emitSetSum(f, row0, [rowBlock, blockRows]);
    emitSetSum(f, row1, row0, blockRows);
    emitAtMost(f, row1, rows);
    f.set(full, tileRows);
    f.forRange(panel, panel0, panel1, 1, () => {
      choosePanel(panel);
      for (const y of [at, unpacked, blocks]) f.get(y);
      f.call(unpack);
      f.forRange(row, row0, row1, tileRows, () => {
        emitSetSum(f, count, row1, [row, -1]);
        emitAtMost(f, count, full);
        emitSetSum(f, x, [row, blocks]);
        emitSetSum(f, x, bytes, [x, activationBytes[form]]);
        f.block((done) => {
          for (let r = tileRows; r >= 1; r--) {
            f.push(count.op("eq", r));
            f.if(() => {
              for (const y of [x, unpacked, blocks, sums]) f.get(y);
              f.call(tiles[r]);
              f.br(done);
            });
          }
        });
        f.push(sums, 4 * panelRows, row);
        emitSetSum(f, at, [panel, panelRows]);
        f.push(at, count);
        emitSetSum(f, to, columns, [at, -1]);
        f.set(at, panelRows);
        emitAtMost(f, to, at);
        for (const y of [to, args, zero, zero]) f.get(y);
        f.call(finish);
      });
    });
  }
}

/** Bytes of thread scratch that a product of this depth takes. */
export function scratchNeeded({ unpackedBytes }: Method, dtype: Quantized, depth: number): number {
  const blocks = depth / blockWeights;
  return panelAt + Math.max(4 * depth, blocks * (panelRows * blockBytes[dtype] + unpackedBytes));
}

/** Emits the kernel that rewrites panels of a weight in place: an item is a panel, interleaved or put back. */
export function emitLayout(m: ModuleBuilder, dtype: Quantized): void {
  const scratch = importThreadScratch(m);
  const interleave = emitInterleave(m, dtype), restore = emitRestore(m, dtype);
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const item = f.local("i32"),
    at = f.local("i32"),
    own = f.local("i32"),
    size = f.local("i32"),
    blocks = f.local("i32");
  const b = arg.emitArgument(f, args, arg.bArg), rowBytes = arg.emitArgument(f, args, arg.bArg + 8);
  const task = arg.emitArgument(f, args, arg.taskArg);
  f.set(blocks, args.load(arg.depthArg).op("shr_u", Math.log2(blockWeights)));
  f.globalGet(scratch);
  f.set(own);
  emitSetSum(f, size, [rowBytes, panelRows]);
  f.forRange(item, begin, end, 1, () => {
    emitSetSum(f, at, b, [item, size]);
    for (const x of [at, own, blocks]) f.get(x);
    f.get(task);
    f.if({ params: ["i32", "i32", "i32"], results: [] }, () => f.call(restore), () => {
      f.push(rowBytes, panelRows);
      f.call(interleave);
    });
    for (const x of [at, own, size]) f.get(x);
    f.op("memory.copy");
  });
}
