/**
 * Softmax over rows, its logarithm, and their gradients.
 *
 * A row is read three times: for its maximum, for the sum of exp(x - max), and to scale; after the first time it lies
 * in cache. A row of nothing but -∞, or one with a NaN or +∞ in it, gives NaN, as in PyTorch.
 *
 * @module
 */
import { sizeOf } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import type { FunctionBuilder, Local, ModuleBuilder } from "../assembler/mod.ts";
import type { Engine, KernelContext } from "../engine.ts";
import { emitBoundedExp } from "../math/exp.ts";
import { emitLog } from "../math/log.ts";
import { hoistConstants, type Vectors, type VectorWriter } from "../math/writer.ts";
import { emitRowLoop, emitRows, Gathered, runRows, setOperand } from "./row.ts";

/** Softmax (or its logarithm) over the last axis; see `Kernels.softmax`. */
export function softmax(engine: Engine, x: View, out: View, log: boolean): void {
  const length = x.shape.at(-1) ?? 1;
  const rows = sizeOf(x.shape) / length;
  if (!(rows > 0)) return;
  const kernel = engine.kernel(log ? "logSoftmax" : "softmax", log ? emitLogSoftmax : emitSoftmax);
  setOperand(engine, 0, x, length);
  setOperand(engine, 1, out, length);
  runRows(engine, kernel, rows, length);
}

/** dx from dy and the result y; see `Kernels.softmaxBackward`. */
export function softmaxBackward(engine: Engine, dy: View, y: View, dx: View, log: boolean): void {
  const length = y.shape.at(-1) ?? 1;
  const rows = sizeOf(y.shape) / length;
  if (!(rows > 0)) return;
  const kernel = engine.kernel(
    log ? "logSoftmaxBackward" : "softmaxBackward",
    log ? emitLogSoftmaxBackward : emitSoftmaxBackward,
  );
  setOperand(engine, 0, dy, length);
  setOperand(engine, 1, y, length);
  setOperand(engine, 2, dx, length);
  runRows(engine, kernel, rows, length);
}

/**
 * exp(x) for x ≤ 0 (or a rounding error above), and 0 below -87, where results begin to be too small to be normal
 * numbers: beside a largest weight of 1 they change nothing. No branches, so that -∞ costs no more than other scores.
 * NaN stays.
 */
export function emitWeight(w: VectorWriter, x: Vectors): Vectors {
  const vanishing = w.op("f32x4.lt", x, -87);
  return w.andNot(emitBoundedExp(w, w.atLeast(x, -87)), vanishing);
}

/** A writer with the constants of {@link emitWeight} at hand. */
export function writerForWeights(f: FunctionBuilder, context: KernelContext): VectorWriter {
  return hoistConstants(f, context, (w) => {
    w.push(-Infinity, 0, "f32x4");
    w.f.drop();
    emitWeight(w, w.fresh());
  });
}

/** The greatest float of a row, in all lanes. */
export function emitRowMax(w: VectorWriter, x: Local, length: Local): Local {
  const top = new Gathered(w, "max");
  emitRowLoop(w, length, [x], ({ w, load }) => top.take(w, load(0, -Infinity)));
  return top.result();
}

/** Σ exp(x - top) of a row, in all lanes; the terms go to `out` when there is one. */
export function emitRowSum(w: VectorWriter, x: Local, length: Local, top: Local, out: Local | null): Local {
  const sum = new Gathered(w, "sum");
  emitRowLoop(w, length, out === null ? [x] : [x, out], ({ w, load, store }) => {
    const e = emitWeight(w, w.sub(load(0, -Infinity), w.repeat(top)));
    if (out !== null) store(1, e);
    sum.take(w, e);
  });
  return sum.result();
}

function emitSoftmax(m: ModuleBuilder, context: KernelContext): void {
  emitRows(m, 2, (f, [x, out], length) => {
    const w = writerForWeights(f, context);
    const top = emitRowMax(w, x, length);
    const sum = emitRowSum(w, x, length, top, out);
    const [factor] = w.div(1, [sum]);
    emitRowLoop(w, length, [out], ({ w, load, store }) => store(0, w.mul(load(0, 0), w.repeat(factor))));
  });
}

function emitLogSoftmax(m: ModuleBuilder, context: KernelContext): void {
  emitRows(m, 2, (f, [x, out], length) => {
    const w = writerForWeights(f, context);
    const top = emitRowMax(w, x, length);
    const [log] = emitLog(w, [emitRowSum(w, x, length, top, null)]);
    emitRowLoop(w, length, [x, out], ({ w, load, store }) => {
      store(1, w.sub(w.sub(load(0, 0), w.repeat(top)), w.repeat(log)));
    });
  });
}

function emitSoftmaxBackward(m: ModuleBuilder, context: KernelContext): void {
  emitRows(m, 3, (f, [dy, y, dx], length) => {
    const w = hoistConstants(f, context, () => {});
    const sum = new Gathered(w, "sum");
    emitRowLoop(w, length, [dy, y], ({ w, load }) => sum.takeProduct(w, load(0, 0), load(1, 0)));
    const dot = sum.result();
    emitRowLoop(w, length, [dy, y, dx], ({ w, load, store }) => {
      store(2, w.mul(w.sub(load(0, 0), w.repeat(dot)), load(1, 0)));
    });
  });
}

function emitLogSoftmaxBackward(m: ModuleBuilder, context: KernelContext): void {
  emitRows(m, 3, (f, [dy, y, dx], length) => {
    const w = writerForWeights(f, context);
    const total = new Gathered(w, "sum");
    emitRowLoop(w, length, [dy], ({ w, load }) => total.take(w, load(0, 0)));
    const sum = total.result();
    emitRowLoop(w, length, [dy, y, dx], ({ w, load, store }) => {
      store(2, w.sub(load(0, 0), w.mul(emitWeight(w, load(1, 0)), w.repeat(sum))));
    });
  });
}
