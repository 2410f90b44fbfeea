/**
 * Convolution of each channel by itself: rows of one plane are brought in order in thread scratch, where they stay in the cache
 * while the kernel's positions pass over them; sums of many neighbouring outputs lie in registers.
 *
 * A work item is a block of rows and columns of one plane of the output.
 *
 * @module
 */
import type { FunctionBuilder, Global, Local, ModuleBuilder } from "../../assembler/mod.ts";
import { importThreadScratch, type KernelContext } from "../../engine.ts";
import { emitAtMost, emitDivide, emitSetSum } from "../gemm/address.ts";
import { emitFinish } from "../gemm/finish.ts";
import { emitMultiplyAdd } from "../gemm/tile.ts";
import { emitWord, type Word } from "./arguments.ts";
import type { ConvForm } from "./dense.ts";
import { emitFill, emitInputRow, emitPlaces } from "./planes.ts";

/** Vectors of outputs that are summed at a time, the most first. */
const widths = [8, 4, 2, 1] as const;

/** Outputs that the widest of them takes. */
export const mostAtOnce: number = 4 * widths[0];

const unroll = 3;

/** The function `sum(w, x, places, k, to)`: 4 · `vectors` sums over k. */
function emitSums(m: ModuleBuilder, context: KernelContext, vectors: number): FunctionBuilder {
  const f = m.function(`sum${vectors}`, { params: new Array(5).fill("i32"), export: false });
  const [w, x, places, k, to] = f.params, sums = f.localArray("v128", vectors);
  const weight = f.local("v128"), from = f.local("i32");
  for (const steps of [unroll, 1]) {
    f.push(k.op("ge_s", steps));
    f.if(() =>
      f.loop((again) => {
        for (let u = 0; u < steps; u++) {
          f.set(from, x.plus(places.load(4 * u)));
          f.set(weight, w.load(4 * u, "v128.load32_splat"));
          sums.forEach((sum, v) =>
            emitMultiplyAdd(f, context, "f32", sum, () => f.get(weight), () => {
              f.push(from.load(16 * v, "v128.load", 4));
            })
          );
        }
        f.increment(w, 4 * steps);
        f.increment(places, 4 * steps);
        f.increment(k, -steps);
        f.brIf(again, k.op("ge_s", steps));
      })
    );
  }
  sums.forEach((sum, v) => {
    f.push(to, sum);
    f.store("v128.store", 16 * v, 4);
  });
  return f;
}

/** Emits the kernel. Its arguments are in `arguments.ts`; it has one task. */
export function emitDepthwise(m: ModuleBuilder, context: KernelContext, form: ConvForm): void {
  const scratch = importThreadScratch(m);
  const sums = widths.map((vectors) => emitSums(m, context, vectors));
  const finish = emitFinish(m, context, "f32", form), fill = emitFill(m, form.step);
  const places = emitPlaces(m, scratch);
  const convolve = m.function("convolve", { params: ["i32", "i32"], export: false });
  emitConvolve(convolve, scratch, sums, fill, finish);

  const run = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = run.params, item = run.local("i32");
  run.get(args);
  run.call(places);
  run.forRange(item, begin, end, 1, () => {
    run.push(args, item);
    run.call(convolve);
  });
}

/** The function `convolve(args, item)`. */
function emitConvolve(
  f: FunctionBuilder,
  scratch: Global,
  sumsOf: readonly FunctionBuilder[],
  fill: FunctionBuilder,
  finish: FunctionBuilder,
): void {
  const [args, item] = f.params, local = (): Local => f.local("i32");
  const word = (name: Word): Local => emitWord(f, args, name);
  const rowBlock = local(), columnBlock = local(), filter = local(), batch = local(), plane = local();
  const groups = word("groups"), filters = word("filters"), all = local();
  emitSetSum(f, all, [groups, filters]);
  f.set(batch, item);
  emitDivide(f, batch, rowBlock, word("rowBlocks"));
  emitDivide(f, batch, columnBlock, word("columnBlocks"));
  emitDivide(f, batch, filter, all);
  f.set(plane, filter.op("div_u", filters));
  emitSetSum(f, plane, plane, [batch, groups]);

  const row = local(), rows = local(), column = local(), columns = local();
  const blockRows = word("blockRows"), blockColumns = word("blockColumns");
  emitSetSum(f, row, [rowBlock, blockRows]);
  emitSetSum(f, rows, word("outRows"), [row, -1]);
  emitAtMost(f, rows, blockRows);
  emitSetSum(f, column, [columnBlock, blockColumns]);
  emitSetSum(f, columns, word("outColumns"), [column, -1]);
  emitAtMost(f, columns, blockColumns);

  const table = local(), slab = local(), sums = local(), at = local(), own = local(), count = local();
  f.globalGet(scratch);
  f.set(table);
  emitSetSum(f, slab, table, word("slab"));
  emitSetSum(f, sums, table, word("sums"));
  const rowStride = word("rowStride"), rowBytes = word("rowBytes"), sumStride = word("sumStride");

  // The rows that its windows see.
  const before = local(), first = local(), to = local();
  emitSetSum(f, before, [column, word("columnStride")]);
  emitSetSum(f, before, word("beforeColumns"), [before, -1]);
  emitSetSum(f, first, [row, rowStride], [word("beforeRows"), -1]);
  emitSetSum(f, count, rows, -1);
  emitSetSum(f, count, [count, rowStride], 1);
  emitSetSum(f, at, word("kernelRows"), -1);
  emitSetSum(f, count, count, [at, word("rowDilation")]);
  f.set(to, slab);
  f.forRange(at, 0, count, 1, () => {
    emitSetSum(f, own, first, at);
    f.get(args);
    emitInputRow(f, args, plane, own);
    f.push(to, before);
    f.call(fill);
    emitSetSum(f, to, to, rowBytes);
  });

  const weights = local(), depth = word("depth"), x = local(), sum = local(), left = local();
  emitSetSum(f, weights, [filter, depth]);
  emitSetSum(f, weights, word("weights"), [weights, 4]);
  f.forRange(at, 0, rows, 1, () => {
    emitSetSum(f, x, [at, rowStride]);
    emitSetSum(f, x, slab, [x, rowBytes]);
    emitSetSum(f, sum, sums, [at, sumStride]);
    emitSetSum(f, left, columns, 3);
    f.set(left, left.op("shr_u", 2));
    f.loop((again) => {
      f.block((done) =>
        widths.forEach((vectors, i) => {
          const call = (): void => {
            f.push(weights, x, table, depth, sum);
            f.call(sumsOf[i]);
            f.increment(x, 16 * vectors);
            f.increment(sum, 16 * vectors);
            f.increment(left, -vectors);
          };
          if (i === widths.length - 1) return call();
          // Some more than are left cost less than two calls.
          f.push(left.op("gt_s", widths[i + 1]));
          f.if(() => {
            call();
            f.br(done);
          });
        })
      );
      f.brIf(again, left.op("gt_s", 0));
    });
  });
  f.push(sums, sumStride, row, column, rows, columns, args, filter, batch);
  f.call(finish);
}
