/**
 * Cross-entropy of rows of logits against class ids, and its gradient; probabilities are never stored.
 *
 * The loss is computed as log Σ exp(x - max) - (x[target] - max), which keeps its digits when all logits are large. A
 * target that is no class is noted in the arguments and thrown for; its loss is NaN, so that it does not pass unseen in
 * work that is done again either.
 *
 * @module
 */
import { targetError } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import type { FunctionBuilder, Local, ModuleBuilder } from "../assembler/mod.ts";
import type { Engine, KernelContext } from "../engine.ts";
import { emitLog } from "../math/log.ts";
import { emitRowLoop, emitRows, emitSplat, emitStoreFirst, extraArg, runRows, setOperand } from "./row.ts";
import { emitRowMax, emitRowSum, emitWeight, writerForWeights } from "./softmax.ts";

// Arguments beside `extraArg`: 1 once a target was no class, and that target.
const wrongArg = extraArg + 4, wrongTargetArg = extraArg + 8;

/**
 * Losses and log Σ exp per row; see `Kernels.crossEntropy`.
 * @throws {ShapeError} for a target that is no class.
 */
export function crossEntropy(
  engine: Engine,
  logits: View,
  targets: View,
  losses: View,
  lse: View,
  ignoreIndex: number,
): void {
  const [rows, classes] = logits.shape;
  if (rows * classes === 0) return;
  const kernel = engine.kernel("crossEntropy", emitCrossEntropy);
  setOperand(engine, 0, logits, classes);
  setOperand(engine, 1, targets, 1);
  setOperand(engine, 2, losses, 1);
  setOperand(engine, 3, lse, 1);
  engine.i32[(engine.args + extraArg) >>> 2] = ignoreIndex;
  engine.i32[(engine.args + wrongArg) >>> 2] = 0;
  runRows(engine, kernel, rows, classes);
  const demandClasses = (args: number): void => {
    const { i32 } = engine;
    if (i32[(args + wrongArg) >>> 2] === 0) return;
    i32[(args + wrongArg) >>> 2] = 0;
    throw targetError("crossEntropy", i32[(args + wrongTargetArg) >>> 2], classes, ignoreIndex);
  };
  if (engine.isCapturing) engine.afterJob(demandClasses);
  demandClasses(engine.args);
}

/** (softmax - onehot) · scale[row], perhaps in place; see `Kernels.crossEntropyBackward`. */
export function crossEntropyBackward(
  engine: Engine,
  logits: View,
  targets: View,
  lse: View,
  scale: View,
  dlogits: View,
  ignoreIndex: number,
): void {
  const [rows, classes] = logits.shape;
  if (rows * classes === 0) return;
  const kernel = engine.kernel("crossEntropyBackward", emitCrossEntropyBackward);
  setOperand(engine, 0, logits, classes);
  setOperand(engine, 1, targets, 1);
  setOperand(engine, 2, lse, 1);
  setOperand(engine, 3, scale, 1);
  setOperand(engine, 4, dlogits, classes);
  engine.i32[(engine.args + extraArg) >>> 2] = ignoreIndex;
  runRows(engine, kernel, rows, classes);
}

/** Sets `id` to the row's target, and `at` to the address of that class in `row`; leaves whether it counts. */
function emitTarget(f: FunctionBuilder, args: Local, target: Local, row: Local, id: Local, at: Local): void {
  f.set(at, row.plus(target.load().tee(id).shl(2)));
  f.push(id.op("ne", args.load(extraArg)));
}

function emitIsClass(f: FunctionBuilder, id: Local, classes: Local): void {
  f.push(id.op("lt_u", classes));
}

function emitCrossEntropy(m: ModuleBuilder, context: KernelContext): void {
  emitRows(m, 4, (f, [x, target, loss, lse], length, args) => {
    const w = writerForWeights(f, context);
    const top = emitRowMax(w, x, length);
    const log = emitLog(w, [emitRowSum(w, x, length, top, null)]);
    emitStoreFirst(f, lse, w.add(log, [top])[0]);
    const id = f.local("i32"), at = f.local("i32"), result = f.local("v128");
    emitTarget(f, args, target, x, id, at);
    f.if(() => {
      f.f32x4(NaN);
      f.set(result);
      emitIsClass(f, id, length);
      f.if(() => w.assign([result], w.sub(log, w.sub([emitSplat(f, at)], [top]))), () => {
        f.push(args, id);
        f.store("i32.store", wrongTargetArg);
        f.push(args, 1);
        f.store("i32.store", wrongArg);
      });
    });
    emitStoreFirst(f, loss, result);
  });
}

function emitCrossEntropyBackward(m: ModuleBuilder, context: KernelContext): void {
  emitRows(m, 5, (f, [x, target, lse, scale, dx], length, args) => {
    const id = f.local("i32"), at = f.local("i32");
    emitTarget(f, args, target, dx, id, at);
    f.if(() => {
      const w = writerForWeights(f, context);
      const log = emitSplat(f, lse), factor = emitSplat(f, scale);
      emitRowLoop(w, length, [x, dx], ({ w, load, store }) => {
        store(1, w.mul(emitWeight(w, w.sub(load(0, 0), w.repeat(log))), w.repeat(factor)));
      });
      emitIsClass(f, id, length);
      f.if(() => {
        f.push(at, at.load(0, "f32.load").op("f32.sub", scale.load(0, "f32.load")));
        f.store("f32.store");
      });
    }, () => {
      f.op("memory.fill", dx, 0, length.shl(2));
    });
  });
}
