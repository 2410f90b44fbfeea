/**
 * Convolution by a BLAS where there is one (`../../blas.ts`): what the outputs of a few rows see is put side by side in thread
 * scratch, where the library multiplies it with the filters.
 *
 * A work item is a block of rows and columns of the output, with all filters of a group.
 *
 * @module
 */
import type { FunctionBuilder, FunctionHandle, Global, Local, ModuleBuilder } from "../../assembler/mod.ts";
import { importThreadScratch, type KernelContext } from "../../engine.ts";
import { emitAtMost, emitDivide, emitSetSum } from "../gemm/address.ts";
import { emitFinish } from "../gemm/finish.ts";
import { emitLibraryProduct } from "../library_product.ts";
import { emitWord, type Word, words } from "./arguments.ts";
import { type ConvForm, emitOrder, emitTasks } from "./dense.ts";
import { emitFill, emitPlaces } from "./planes.ts";

/** Emits the kernel. Its arguments are in `arguments.ts`. */
export function emitByLibrary(m: ModuleBuilder, context: KernelContext, form: ConvForm): void {
  const multiply = emitLibraryProduct(m, "sgemm"), scratch = importThreadScratch(m);
  const finish = emitFinish(m, context, "f32", form), fill = emitFill(m, form.step);
  const places = emitPlaces(m, scratch);
  const order = m.function("order", { params: ["i32", "i32"], export: false });
  emitOrder(order, fill);
  const convolve = m.function("convolve", { params: ["i32", "i32"], export: false });
  emitConvolve(convolve, scratch, multiply, finish);
  emitTasks(m, places, order, convolve);
}

/** The function `convolve(args, item)`. */
function emitConvolve(
  f: FunctionBuilder,
  scratch: Global,
  multiply: FunctionHandle,
  finish: FunctionBuilder,
): void {
  const [args, item] = f.params, local = (): Local => f.local("i32");
  const word = (name: Word): Local => emitWord(f, args, name);
  const rowBlock = local(), columnBlock = local(), group = local(), batch = local(), groups = word("groups");
  f.set(batch, item);
  emitDivide(f, batch, rowBlock, word("rowBlocks"));
  emitDivide(f, batch, columnBlock, word("columnBlocks"));
  emitDivide(f, batch, group, groups);

  const row = local(), rows = local(), column = local(), columns = local(), all = local();
  const blockRows = word("blockRows"), blockColumns = word("blockColumns");
  emitSetSum(f, row, [rowBlock, blockRows]);
  emitSetSum(f, rows, word("outRows"), [row, -1]);
  emitAtMost(f, rows, blockRows);
  emitSetSum(f, column, [columnBlock, blockColumns]);
  emitSetSum(f, columns, word("outColumns"), [column, -1]);
  emitAtMost(f, columns, blockColumns);
  emitSetSum(f, all, [rows, columns]);

  const table = local(), panel = local(), sums = local(), x = local(), step = local();
  f.globalGet(scratch);
  f.set(table);
  emitSetSum(f, panel, table, word("slab"));
  emitSetSum(f, sums, table, word("sums"));
  const rowBytes = word("rowBytes"), rowStride = word("rowStride");
  emitSetSum(f, x, [batch, groups], group);
  emitSetSum(f, x, [x, word("channels")]);
  emitSetSum(f, x, word("planes"), [x, word("planeBytes")], [column, 4]);
  emitSetSum(f, step, [row, rowStride]);
  emitSetSum(f, x, x, [step, rowBytes]);
  emitSetSum(f, step, [rowStride, rowBytes]);

  // [depth, rows, columns]: what a vector has beyond a row is written over by the next one.
  const depth = word("depth"),
    k = local(),
    r = local(),
    from = local(),
    at = local(),
    to = local(),
    end = local();
  f.set(to, panel);
  f.forRange(k, 0, depth, 1, () => {
    emitSetSum(f, from, table, [k, 4]);
    f.set(from, from.load().plus(x));
    f.forRange(r, 0, rows, 1, () => {
      f.set(at, from);
      emitSetSum(f, end, to, [columns, 4]);
      f.loop((again) => {
        f.push(to, at.load(0, "v128.load", 4));
        f.store("v128.store", 0, 4);
        f.increment(at, 16);
        f.increment(to, 16);
        f.brIf(again, to.op("lt_u", end));
      });
      f.set(to, end);
      emitSetSum(f, from, from, step);
    });
  });

  const filters = word("filters"), filter = local(), weights = local();
  emitSetSum(f, filter, [group, filters]);
  emitSetSum(f, weights, [filter, depth]);
  emitSetSum(f, weights, word("weights"), [weights, 4]);
  f.push(0, 0, filters, all, depth, weights, depth, panel, all, sums, all);
  f.call(multiply);
  f.op("i32.eqz");
  f.if(() => {
    f.push(args, 1);
    f.store("i32.store", words.failed);
  });
  const stride = local(), inner = local();
  emitSetSum(f, stride, [all, 4]);
  f.forRange(r, 0, rows, 1, () => {
    emitSetSum(f, inner, row, r);
    f.push(sums, stride, filter, column, filters, columns, args, inner, batch);
    f.call(finish);
    emitSetSum(f, sums, sums, [columns, 4]);
  });
}
