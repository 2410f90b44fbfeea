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
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import { importThreadScratch, type KernelContext } from "../../engine.ts";
import type { Program } from "../../../../expr/nodes.ts";
import { emitSetSum } from "./address.ts";
import * as arg from "./arguments.ts";
import { emitFinish, type OperandForm } from "./finish.ts";
import { type Arithmetic, elementBytes, pushLoad, pushLoadSplat, type Source, sourceWriter } from "./load.ts";
import { emitPack, type StripLayout } from "./pack.ts";
import { emitMultiplyAdd } from "./tile.ts";

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
  const sum = bLayout === "k" ? emitDot(m, context, options) : emitAccumulate(m, context, options);
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

/** `dot(a, aRow, b, bColumn, k, columns, sums, stride)`: one column of b at a time, with all rows of a. */
function emitDot(m: ModuleBuilder, context: KernelContext, options: GemvOptions): FunctionBuilder {
  const { arithmetic, rows, b: source } = options;
  const f = m.function("dot", { params: new Array(8).fill("i32"), export: false });
  const [a, aRow, b, bColumn, k, columns, sums, stride] = f.params;
  // At least eight independent chains hide the latency of a multiply-add.
  const chains = [8, 4, 3, 2][rows - 1];
  const sum = f.localArray("v128", rows * chains);
  const x = f.localArray("i32", rows);
  const y = f.local("i32"), n = f.local("i32"), next = f.local("i32"), at = f.local("i32");
  const value = f.local("v128"), row = f.local("v128");
  const bytes = elementBytes(source);
  const w = sourceWriter(f, context, source);

  const steps = (vectors: number): void => {
    for (let v = 0; v < vectors; v++) {
      pushLoad(w, source, y, 4 * v * bytes);
      f.set(value);
      for (let i = 0; i < rows; i++) {
        emitMultiplyAdd(f, context, arithmetic, sum[i * chains + v], () => {
          f.get(x[i]);
          f.load("v128.load", 16 * v, 4);
        }, () => f.get(value));
      }
    }
    f.increment(y, 4 * vectors * bytes);
    for (const p of x) f.increment(p, 16 * vectors);
    f.increment(n, -4 * vectors);
  };
  const whileAtLeast = (count: number, body: () => void): void => {
    f.get(n);
    f.i32(count);
    f.op("i32.ge_s");
    f.if(() =>
      f.loop((again) => {
        body();
        f.get(n);
        f.i32(count);
        f.op("i32.ge_s");
        f.brIf(again);
      })
    );
  };
  f.get(b);
  f.set(next);
  f.get(columns);
  f.if(() =>
    f.loop((again) => {
      f.get(next);
      f.set(y);
      f.increment(next, bColumn);
      for (let i = 0; i < rows; i++) emitSetSum(f, x[i], i === 0 ? a : x[i - 1], i === 0 ? 0 : aRow);
      for (const s of sum) {
        f.i32x4(0);
        f.set(s);
      }
      f.get(k);
      f.set(n);
      whileAtLeast(4 * chains, () => steps(chains));
      whileAtLeast(4, () => steps(1));
      // The last one to three products go into the first lane.
      whileAtLeast(1, () => {
        pushLoadSplat(w, source, y);
        f.set(value);
        for (let i = 0; i < rows; i++) {
          emitMultiplyAdd(f, context, arithmetic, sum[i * chains], () => {
            f.get(x[i]);
            f.load("v128.load32_zero");
          }, () => f.get(value));
          f.increment(x[i], 4);
        }
        f.increment(y, bytes);
        f.increment(n, -1);
      });
      f.get(sums);
      f.set(at);
      for (let i = 0; i < rows; i++) {
        f.get(sum[i * chains]);
        for (let v = 1; v < chains; v++) {
          f.get(sum[i * chains + v]);
          f.op(`${arithmetic}x4.add`);
        }
        f.set(row);
        for (const distance of [2, 1]) {
          f.get(row);
          f.get(row);
          f.get(row);
          f.shuffle(Array.from({ length: 16 }, (_, byte) => (byte + 4 * distance) % 16));
          f.op(`${arithmetic}x4.add`);
          f.set(row);
        }
        f.get(at);
        f.get(row);
        f.laneMemory("v128.store32_lane", 0);
        if (i + 1 < rows) f.increment(at, stride);
      }
      f.increment(sums, 4);
      f.increment(columns, -1);
      f.get(columns);
      f.brIf(again);
    })
  );
  return f;
}

/** `accumulate(a, aRow, b, bRow, k, columns, sums, stride)`: four rows of b at a time are added to all sums. */
function emitAccumulate(m: ModuleBuilder, context: KernelContext, options: GemvOptions): FunctionBuilder {
  const { arithmetic, rows, b: source } = options;
  const f = m.function("accumulate", { params: new Array(8).fill("i32"), export: false });
  const [a, aRow, b, bRow, k, columns, sums, stride] = f.params;
  const bytes = elementBytes(source);
  const w = sourceWriter(f, context, source);
  const at = f.local("i32"), x = f.local("i32"), i = f.local("i32"), n = f.local("i32");
  const sum = f.localArray("v128", 2), factors = f.localArray("v128", 4), pointers = f.localArray("i32", 4);

  f.get(sums);
  f.i32(0);
  emitSetSum(f, n, [stride, rows]);
  f.get(n);
  f.op("memory.fill");

  /** Adds `count` rows of b, times the numbers of a at x, to one row of sums. */
  const addRows = (count: number): void => {
    for (let u = 0; u < count; u++) {
      f.get(x);
      f.load("v128.load32_splat", 4 * u);
      f.set(factors[u]);
      emitSetSum(f, pointers[u], u === 0 ? b : pointers[u - 1], u === 0 ? 0 : bRow);
    }
    f.get(columns);
    f.set(n);
    for (const lanes of [8, 4, 1]) {
      const vectors = Math.ceil(lanes / 4);
      f.get(n);
      f.i32(lanes);
      f.op("i32.ge_s");
      f.if(() =>
        f.loop((again) => {
          for (let v = 0; v < vectors; v++) {
            f.get(at);
            f.load(lanes === 1 ? "v128.load32_zero" : "v128.load", 16 * v, 4);
            f.set(sum[v]);
          }
          for (let u = 0; u < count; u++) {
            for (let v = 0; v < vectors; v++) {
              emitMultiplyAdd(f, context, arithmetic, sum[v], () => f.get(factors[u]), () => {
                if (lanes > 1) return pushLoad(w, source, pointers[u], 4 * v * bytes);
                pushLoadSplat(w, source, pointers[u]);
              });
            }
            f.increment(pointers[u], lanes * bytes);
          }
          for (let v = 0; v < vectors; v++) {
            f.get(at);
            f.get(sum[v]);
            if (lanes === 1) f.laneMemory("v128.store32_lane", 0);
            else f.store("v128.store", 16 * v, 4);
          }
          f.increment(at, 4 * lanes);
          f.increment(n, -lanes);
          f.get(n);
          f.i32(lanes);
          f.op("i32.ge_s");
          f.brIf(again);
        })
      );
    }
  };
  for (const count of [4, 1]) {
    f.get(k);
    f.i32(count);
    f.op("i32.ge_s");
    f.if(() =>
      f.loop((again) => {
        f.forRange(i, 0, rows, 1, () => {
          emitSetSum(f, at, sums, [i, stride]);
          emitSetSum(f, x, a, [i, aRow]);
          addRows(count);
        });
        f.increment(a, 4 * count);
        emitSetSum(f, b, b, [bRow, count]);
        f.increment(k, -count);
        f.get(k);
        f.i32(count);
        f.op("i32.ge_s");
        f.brIf(again);
      })
    );
  }
  return f;
}
