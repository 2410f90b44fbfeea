/**
 * Losses, as in PyTorch's `nn.functional`.
 *
 * @module
 */
import { DTypeError, OptionError, ShapeError } from "../core/errors.ts";
import { broadcastShapes, formatShape, sameShape } from "../core/shape.ts";
import { fused, tidy } from "../tensor/mod.ts";
import { contiguousView, empty } from "./bridge.ts";
import { abs, add, div, eq, le, log1p, maskedFill, mul, ne, neg, exp, relu, square, sub, toDType, where } from "./elementwise.ts";
import { gather } from "./index.ts";
import { mean, sum } from "./reduce.ts";
import { logSoftmax } from "./softmax.ts";
import type { Tensor } from "./tensor.ts";
import { expand, reshape, squeeze, unsqueeze } from "./views.ts";

/** What becomes of the losses of single elements. */
export type Reduction = "mean" | "sum" | "none";

/** Options of the losses between two tensors of one shape. */
export interface LossOptions {
  /** Default "mean". */
  reduction?: Reduction;
}

function reduceLoss(losses: Tensor, reduction: Reduction = "mean"): Tensor {
  if (reduction === "mean") return mean(losses);
  if (reduction === "sum") return sum(losses);
  if (reduction === "none") return losses;
  throw new OptionError(`reduction "${reduction}" is none of mean, sum, none`);
}

function demandSame(what: string, a: Tensor, b: Tensor): void {
  if (!sameShape(a.shape, b.shape)) broadcastShapes(what, a.shape, b.shape);
}

/** (x − y)². */
export function mseLoss(x: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  demandSame("mseLoss", x, target);
  return tidy(() => reduceLoss(square(sub(x, target)), options.reduction));
}

/** |x − y|. */
export function l1Loss(x: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  demandSame("l1Loss", x, target);
  return tidy(() => reduceLoss(abs(sub(x, target)), options.reduction));
}

/** Half the square up to `delta`, then delta · (|x − y| − delta / 2) (Huber 1964). */
export function huberLoss(x: Tensor, target: Tensor, options: LossOptions & { delta?: number } = {}): Tensor {
  const { delta = 1, reduction } = options;
  demandSame("huberLoss", x, target);
  if (!(delta > 0)) throw new OptionError(`huberLoss: delta must be above 0, not ${delta}`);
  return tidy(() => {
    const d = sub(x, target), size = abs(d);
    return reduceLoss(where(le(size, delta), mul(square(d), 0.5), mul(sub(size, delta / 2), delta)), reduction);
  });
}

/** Options of {@link bceWithLogits}. */
export interface BceOptions extends LossOptions {
  /** Factor of each loss; broadcasts. */
  weight?: Tensor;
  /** Factor of the losses of positive targets; broadcasts. */
  posWeight?: Tensor;
}

/** Binary cross-entropy of logits against targets in [0, 1], without overflow. */
export function bceWithLogits(x: Tensor, target: Tensor, options: BceOptions = {}): Tensor {
  demandSame("bceWithLogits", x, target);
  const { weight, posWeight, reduction } = options;
  return tidy(() => {
    // log(1 + e^-x) as max(-x, 0) + log1p(e^-|x|).
    const soft = add(log1p(exp(neg(abs(x)))), relu(neg(x)));
    const scale = posWeight ? add(mul(sub(posWeight, 1), target), 1) : null;
    let losses = add(mul(sub(1, target), x), scale ? mul(scale, soft) : soft);
    if (weight) losses = mul(losses, weight);
    return reduceLoss(losses, reduction);
  });
}

/** Options of the losses against class ids. */
export interface ClassLossOptions extends LossOptions {
  /** Targets with this id do not count. Default −100. */
  ignoreIndex?: number;
  /** Factor per class, [classes]. */
  weight?: Tensor;
  /** How much of the target is spread evenly over the classes (cross-entropy only). Default 0. */
  labelSmoothing?: number;
}

function demandClasses(what: string, x: Tensor, target: Tensor): void {
  if (target.dtype !== "i32" && target.dtype !== "i64") {
    throw new DTypeError(`${what}: targets are class ids in i32 or i64, not ${target.dtype}`);
  }
  const expected = x.shape.length === 1 ? [] : [x.shape[0], ...x.shape.slice(2)];
  if (x.shape.length < 1 || !sameShape(target.shape, expected)) {
    throw new ShapeError(
      `${what}: ${formatShape(x.shape)} is [rows, classes, …], so targets are ${formatShape(expected)}, not ${formatShape(target.shape)}`,
    );
  }
}

/** −Σ weight[target] · logProbability[target], over Σ weight for the mean. logProbabilities is [rows, classes]. */
function pick(logs: Tensor, target: Tensor, options: ClassLossOptions): { losses: Tensor; weights: Tensor } {
  const { ignoreIndex = -100, weight } = options;
  const counted = ne(target, ignoreIndex), safe = toDType(where(counted, target, 0), "i32");
  const picked = squeeze(gather(logs, 1, unsqueeze(safe, 1)), 1);
  const factor = toDType(counted, logs.dtype);
  const weights = weight ? mul(factor, reshape(gather(weight, 0, safe), safe.shape)) : factor;
  return { losses: maskedFill(neg(mul(picked, weights)), eq(counted, 0), 0), weights };
}

/** Classes moved to the last axis and everything else made rows. */
function asRows(x: Tensor): Tensor {
  if (x.shape.length <= 2) return x.shape.length === 1 ? unsqueeze(x, 0) : x;
  const moved = permuteClasses(x);
  return reshape(moved, [-1, x.shape[1]]);
}

function permuteClasses(x: Tensor): Tensor {
  return x.permute(0, ...x.shape.slice(2).map((_, i) => i + 2), 1);
}

/** −logProbabilities[target]: x is [rows, classes] or [rows, classes, …]. */
export function nllLoss(x: Tensor, target: Tensor, options: ClassLossOptions = {}): Tensor {
  demandClasses("nllLoss", x, target);
  if (options.labelSmoothing) throw new OptionError("nllLoss: label smoothing belongs to crossEntropy");
  return tidy(() => {
    const { losses, weights } = pick(asRows(x), reshape(target, [-1]), options);
    if (options.reduction === "none") return reshape(losses, target.shape);
    return options.reduction === "sum" ? sum(losses) : div(sum(losses), sum(weights));
  });
}

/**
 * Cross-entropy of logits [rows, classes] (or [rows, classes, …]) against class ids: −ln softmax(x)[target]. The mean
 * is over the targets that count, weighted when weights are given.
 */
export function crossEntropy(x: Tensor, target: Tensor, options: ClassLossOptions = {}): Tensor {
  demandClasses("crossEntropy", x, target);
  const { reduction = "mean", labelSmoothing = 0, ignoreIndex = -100 } = options;
  const kernels = x.backend.kernels;
  if (
    kernels.crossEntropy && kernels.crossEntropyBackward && x.dtype === "f32" && !labelSmoothing && !options.weight &&
    x.size
  ) {
    return tidy(() => {
      const ids = toDType(reshape(target, [-1]), "i32");
      const losses = fusedCrossEntropy(asRows(x), contiguousView(ids), ignoreIndex);
      if (reduction === "none") return reshape(losses, target.shape);
      if (reduction === "sum") return sum(losses);
      return div(sum(losses), sum(toDType(ne(ids, ignoreIndex), "f32")));
    });
  }
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new OptionError(`crossEntropy: labelSmoothing is from 0 to 1, not ${labelSmoothing}`);
  }
  return tidy(() => {
    const logs = logSoftmax(asRows(x), 1), ids = reshape(target, [-1]);
    const { losses, weights } = pick(logs, ids, options);
    let all = losses;
    if (labelSmoothing) {
      const classes = logs.shape[1], spreadLogs = options.weight ? mul(logs, expand(options.weight, logs.shape)) : logs;
      const even = maskedFill(neg(sum(spreadLogs, 1)), eq(ids, ignoreIndex), 0);
      all = add(mul(losses, 1 - labelSmoothing), mul(even, labelSmoothing / classes));
    }
    if (reduction === "none") return reshape(all, target.shape);
    if (reduction !== "mean") return reduceLoss(all, reduction);
    return div(sum(all), sum(weights));
  });
}

/** Losses per row in one pass, probabilities never stored. */
function fusedCrossEntropy(logits: Tensor, ids: Tensor, ignoreIndex: number): Tensor {
  const { crossEntropy, crossEntropyBackward } = logits.backend.kernels;
  const rows = logits.shape[0];
  return fused<Tensor>({
    name: "crossEntropy",
    inputs: [logits],
    definition: (x) => pick(logSoftmax(x, 1), ids, { ignoreIndex }).losses,
    kernel: () => {
      const output = empty([rows], "f32", logits.backend, "crossEntropy");
      const lse = empty([rows], "f32", logits.backend, "crossEntropy");
      crossEntropy?.(contiguousView(logits), ids, output, lse, ignoreIndex);
      return { output, keep: [lse, ids.detach()] };
    },
    gradient: (g, [x], [lse, ids]) => {
      const dx = empty(x.shape, "f32", x.backend, "crossEntropyBackward");
      crossEntropyBackward?.(contiguousView(x), ids, lse, contiguousView(g), dx, ignoreIndex);
      return [dx];
    },
  });
}
