/**
 * Layer norm over rows, and its gradient (Ba, Kiros, Hinton 2016).
 *
 * The mean is taken twice: a rough one, then that of the distances to it, which puts right what rounding lost when the
 * mean is large against the spread. Both passes and the last one, which writes, find the row in cache.
 *
 * The gradients of weight and bias are sums over rows. Blocks of rows, cut by the shape alone, are summed each into
 * memory of its own, and then the blocks are summed in order: the number of threads changes no bit.
 *
 * @module
 */
import { sizeOf } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import type { FunctionBuilder, Local, ModuleBuilder } from "../assembler/mod.ts";
import { addressOf } from "../buffer.ts";
import type { Engine, KernelContext } from "../engine.ts";
import { hoistConstants, type VectorWriter } from "../math/writer.ts";
import {
  emitExtra,
  emitOperand,
  emitRowFunction,
  emitRowLoop,
  emitRows,
  emitSplat,
  emitStoreFirst,
  extraArg,
  Gathered,
  runRows,
  setOperand,
} from "./row.ts";

/** (x - mean) · rstd · weight + bias; see `Kernels.layerNorm`. */
export function layerNorm(
  engine: Engine,
  x: View,
  weight: View | null,
  bias: View | null,
  eps: number,
  out: View,
  mean: View,
  rstd: View,
): void {
  const length = x.shape.at(-1) ?? 1;
  const rows = sizeOf(x.shape) / length;
  if (!(rows > 0)) return;
  const form = (weight ? 1 : 0) + (bias ? 2 : 0);
  const kernel = engine.kernel(`layerNorm ${form}`, (m, context) => emitLayerNorm(m, context, form));
  setOperand(engine, 0, x, length);
  setOperand(engine, 1, out, length);
  setOperand(engine, 2, mean, 1);
  setOperand(engine, 3, rstd, 1);
  if (weight) setOperand(engine, 4, weight, 0);
  if (bias) setOperand(engine, weight ? 5 : 4, bias, 0);
  engine.f32[(engine.args + extraArg) >>> 2] = eps;
  runRows(engine, kernel, rows, length);
}

const blockRowsArg = extraArg, rowsArg = extraArg + 4, sumsArg = extraArg + 8;
const outputsArg = extraArg + 16;

/** Gradients of layer norm; see `Kernels.layerNormBackward`. */
export function layerNormBackward(
  engine: Engine,
  dy: View,
  x: View,
  weight: View | null,
  mean: View,
  rstd: View,
  dx: View,
  dweight: View | null,
  dbias: View | null,
): void {
  const length = x.shape.at(-1) ?? 1;
  const rows = sizeOf(x.shape) / length;
  const outputs = [dweight, dbias].filter((view) => view !== null);
  if (!(rows > 0)) {
    engine.refuseCapture();
    for (const view of outputs) engine.f32.fill(0, addressOf(view) >>> 2, (addressOf(view) >>> 2) + length);
    return;
  }
  const sums = outputs.length > 0;
  const kernel = engine.kernel(
    `layerNormBackward ${weight !== null} ${sums}`,
    (m, context) => emitLayerNormBackward(m, context, weight !== null, sums),
  );
  const operands = () => {
    setOperand(engine, 0, dy, length);
    setOperand(engine, 1, x, length);
    setOperand(engine, 2, mean, 1);
    setOperand(engine, 3, rstd, 1);
    setOperand(engine, 4, dx, length);
    if (weight) setOperand(engine, 5, weight, 0);
  };
  if (!sums) {
    operands();
    runRows(engine, kernel, rows, length);
    return;
  }
  const blockRows = Math.max(16, Math.ceil(rows / 64));
  const blocks = Math.ceil(rows / blockRows);
  const scratch = engine.heap.scratch(blocks * 8 * length);
  operands();
  const { args, u32 } = engine;
  u32[args >>> 2] = length;
  u32[(args + blockRowsArg) >>> 2] = blockRows;
  u32[(args + rowsArg) >>> 2] = rows;
  u32[(args + sumsArg) >>> 2] = scratch;
  engine.run(kernel, blocks, Math.max(1, Math.ceil(8192 / (length * blockRows))));
  const combine = engine.kernel("layerNormBackward sums", emitCombine);
  u32[(args + blockRowsArg) >>> 2] = blocks;
  outputs.forEach((view, k) => {
    u32[(args + outputsArg + 8 * k) >>> 2] = addressOf(view);
    u32[(args + outputsArg + 8 * k + 4) >>> 2] = scratch + (view === dbias ? 4 * length : 0);
  });
  engine.run(combine, outputs.length, outputs.length);
  engine.heap.release(scratch);
}

function emitCount(f: FunctionBuilder, length: Local): Local {
  const count = f.local("v128");
  f.set(count, length.op("f32.convert_i32_u").op("f32x4.splat"));
  return count;
}

/** Factors beyond the row multiply what is never stored. */
function factor(load: (k: number, fill: number) => readonly Local[], k: number): readonly Local[] {
  return load(k, 0);
}

function emitLayerNorm(m: ModuleBuilder, context: KernelContext, form: number): void {
  const weight = form & 1 ? 4 : 0, bias = form & 2 ? (weight ? 5 : 4) : 0;
  emitRows(m, 4 + (form & 1) + (form >> 1), (f, pointers, length, args) => {
    const [x, out, mean, rstd, ...rest] = pointers;
    const w = hoistConstants(f, context, () => {});
    const count = emitCount(f, length);
    const total = new Gathered(w, "sum");
    emitRowLoop(w, length, [x], ({ w, load }) => total.take(w, load(0, 0)));
    const [rough] = w.div([total.result()], [count]);
    const first = new Gathered(w, "sum"), second = new Gathered(w, "sum");
    emitRowLoop(w, length, [x], ({ w, load }) => {
      const d = w.sub(load(0, rough), w.repeat(rough));
      first.take(w, d);
      second.takeProduct(w, d, d);
    });
    const shift = w.div([first.result()], [count]);
    const variance = w.atLeast(w.sub(w.div([second.result()], [count]), w.mul(shift, shift)), 0);
    const scale = w.div(1, w.op("f32x4.sqrt", w.add(variance, [emitExtra(f, args)])));
    emitStoreFirst(f, mean, w.add([rough], shift)[0]);
    emitStoreFirst(f, rstd, scale[0]);
    emitRowLoop(w, length, [x, out, ...rest], ({ w, load, store }) => {
      const centred = w.sub(w.sub(load(0, 0), w.repeat(rough)), w.repeat(shift[0]));
      const y = w.mul(centred, w.repeat(scale[0]));
      if (weight && bias) store(1, w.madd(y, factor(load, 2), factor(load, 3)));
      else if (weight) store(1, w.mul(y, factor(load, 2)));
      else store(1, bias ? w.add(y, factor(load, 2)) : y);
    });
  });
}

function emitLayerNormBackward(
  m: ModuleBuilder,
  context: KernelContext,
  weight: boolean,
  sums: boolean,
): void {
  const operands = weight ? 6 : 5;
  const emitRow = (f: FunctionBuilder, pointers: readonly Local[], length: Local): void => {
    const [dy, x, meanAt, rstdAt, dx, ...rest] = pointers;
    const w: VectorWriter = hoistConstants(f, context, () => {});
    const mean = emitSplat(f, meanAt), rstd = emitSplat(f, rstdAt), count = emitCount(f, length);
    const first = new Gathered(w, "sum", 2),
      second = new Gathered(w, "sum", 2),
      third = new Gathered(w, "sum", 2);
    emitRowLoop(w, length, [dy, x, ...rest.slice(0, weight ? 1 : 0)], ({ w, load }) => {
      const d = w.sub(load(1, mean), w.repeat(mean));
      const g = weight ? w.mul(load(0, 0), factor(load, 2)) : load(0, 0);
      first.take(w, d);
      second.take(w, g);
      third.takeProduct(w, g, d);
    }, 2);
    // What rounding took from the mean, then the means of g and of g · x̂.
    const shift = w.div([first.result()], [count]);
    const total = [second.result()];
    const level = w.div(total, [count]);
    const product = w.div(w.sub([third.result()], w.mul(shift, total)), [count]);
    const slope = w.mul(w.mul(product, [rstd]), [rstd]);
    emitRowLoop(w, length, [dy, x, dx, ...rest], ({ w, load, store }) => {
      const g0 = load(0, 0);
      const g = weight ? w.mul(g0, factor(load, 3)) : g0;
      const d = w.sub(w.sub(load(1, mean), w.repeat(mean)), w.repeat(shift[0]));
      const inner = w.sub(w.sub(g, w.repeat(level[0])), w.mul(d, w.repeat(slope[0])));
      store(2, w.mul(inner, w.repeat(rstd)));
      if (!sums) return;
      const at = weight ? 4 : 3;
      store(at, w.madd(g0, w.mul(d, w.repeat(rstd)), factor(load, at)));
      store(at + 1, w.add(g0, factor(load, at + 1)));
    }, 2);
  };
  if (!sums) return emitRows(m, operands, emitRow);
  const row = emitRowFunction(m, operands + 2, emitRow);
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const block = f.local("i32"), i = f.local("i32"), to = f.local("i32"), rows = f.local("i32");
  const at = f.local("i32"), middle = f.local("i32"), bytes = f.local("i32");
  f.set(rows, args.load(rowsArg));
  f.set(bytes, args.load().shl(2));
  f.forRange(block, begin, end, 1, () => {
    // at = sums + block · 2 rows; the second is that of the bias.
    f.set(middle, args.load(sumsArg).plus(block.times(bytes).shl(1)).tee(at).plus(bytes));
    f.op("memory.fill", at, 0, bytes.shl(1));
    f.set(to, block.times(args.load(blockRowsArg)).tee(i).plus(args.load(blockRowsArg)));
    f.set(to, to.op("lt_u", rows).select(to, rows));
    f.forRange(i, () => f.get(i), to, 1, () => {
      for (let k = 0; k < operands; k++) emitOperand(f, args, k, i);
      f.push(at, middle, args.load(), args);
      f.call(row);
    });
  });
}

/** Item k: output k = the sum over blocks of its part of the sums. */
function emitCombine(m: ModuleBuilder, context: KernelContext): void {
  const add = emitRowFunction(m, 2, (f, [from, to], length) => {
    const w = hoistConstants(f, context, () => {});
    emitRowLoop(w, length, [from, to], ({ w, load, store }) => store(1, w.add(load(1, 0), load(0, 0))));
  });
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const k = f.local("i32"), base = f.local("i32"), from = f.local("i32"), to = f.local("i32");
  const bytes = f.local("i32"), left = f.local("i32");
  f.set(bytes, args.load().shl(2));
  f.forRange(k, begin, end, 1, () => {
    f.set(base, args.plus(k.shl(3)));
    f.set(to, base.load(outputsArg));
    f.set(from, base.load(outputsArg + 4));
    f.op("memory.copy", to, from, bytes);
    f.set(left, args.load(blockRowsArg).minus(1));
    f.forRange(left, () => f.get(left), 0, -1, () => {
      f.push(bytes.shl(1).plus(from).tee(from), to, args.load(), args);
      f.call(add);
    });
  });
}
