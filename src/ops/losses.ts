/**
 * Losses, as in PyTorch's `nn.functional`.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { crossEntropyKernels } from "../backends/kernels/cross_entropy.ts";
import { fitsRange } from "../core/dtype.ts";
import { DTypeError, OptionError, ShapeError } from "../core/errors.ts";
import { number, oneOf, whole } from "../core/kinds.ts";
import { checkOptions, type Idle, type OptionTable } from "../core/options.ts";
import { broadcastShapes, formatShape, sameShape, type Shape } from "../core/shape.ts";
import { aTensor, autocastDType, fused, isHalf, noGrad, tidy } from "../tensor/mod.ts";
import { logSigmoid } from "./activations.ts";
import { commonBackend, contiguousView, copy, copyInto, demandTensor, empty } from "./bridge.ts";
import { abs, add, clamp, div, eq, le, maskedFill, mul, ne, neg, sub, where } from "./elementwise.ts";
import { square } from "./functions.ts";
import { asPositions, byClass, gather } from "./index.ts";
import { logsumexp, mean, sum } from "./reduce.ts";
import { toDType } from "./row.ts";
import { logSoftmax } from "./softmax.ts";
import type { Tensor } from "./tensor.ts";
import { permute, reshape, slice, squeeze, unsqueeze } from "./views.ts";

/**
 * What becomes of the losses of single elements.
 *
 * @category Losses
 */
export type Reduction = "mean" | "sum" | "none";

/**
 * Options of the losses between two tensors of one shape.
 *
 * @category Losses
 */
export interface LossOptions {
  /** Default "mean". */
  reduction?: Reduction;
}

const lossOptions: OptionTable<LossOptions> = { reduction: oneOf("mean", "sum", "none") };

function reduceLoss(losses: Tensor, reduction: Reduction): Tensor {
  return reduction === "none" ? losses : reduction === "sum" ? sum(losses) : mean(losses);
}

/** `f` of x in f32 when x is f16 or bf16, converted back but where activations have fewer bits: losses are in f32 there. */
function lossInFloat32(x: Tensor, f: (x: Tensor) => Tensor): Tensor {
  if (!isHalf(x.dtype)) return f(x);
  const loss = f(toDType(x, "f32"));
  return autocastDType() === "f32" ? toDType(loss, x.dtype) : loss;
}

/** The loss of x against a target it broadcasts with; in f32 for f16 and bf16. */
function between(
  what: string,
  x: Tensor,
  target: Tensor,
  reduction: Reduction = "mean",
  losses: (x: Tensor) => Tensor,
): Tensor {
  demandTensor(what, x);
  demandTensor(what, target, "target");
  broadcastShapes(what, x.shape, target.shape);
  return tidy(() => lossInFloat32(x, (x) => reduceLoss(losses(x), reduction)));
}

/**
 * (x − y)².
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DeviceError} for tensors on different devices.
 * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @example
 * ```ts
 * mseLoss(tensor([1, 2]), tensor([1, 4])); // 2
 * ```
 * @category Losses
 */
export function mseLoss(x: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  demandNoMore(arguments, 3, "mseLoss");
  const { reduction } = checkOptions("mseLoss", options, lossOptions);
  return between("mseLoss", x, target, reduction, (x) => square(sub(x, target)));
}

/**
 * |x − y|.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * l1Loss(tensor([1, 2]), tensor([1, 4])); // 1
 * ```
 * @category Losses
 */
export function l1Loss(x: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  demandNoMore(arguments, 3, "l1Loss");
  const { reduction } = checkOptions("l1Loss", options, lossOptions);
  return between("l1Loss", x, target, reduction, (x) => abs(sub(x, target)));
}

const huberOptions: OptionTable<LossOptions & { delta?: number }> = {
  ...lossOptions,
  delta: number({ above: 0 }),
};

/**
 * Half the square up to `delta`, then delta · (|x − y| − delta / 2) (Huber 1964).
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * huberLoss(tensor([0]), tensor([3])); // 2.5
 * ```
 * @category Losses
 */
export function huberLoss(x: Tensor, target: Tensor, options: LossOptions & { delta?: number } = {}): Tensor {
  demandNoMore(arguments, 3, "huberLoss");
  const { delta = 1, reduction } = checkOptions("huberLoss", options, huberOptions);
  return between("huberLoss", x, target, reduction, (x) => {
    const d = sub(x, target), size = abs(d);
    return where(le(size, delta), mul(square(d), 0.5), mul(sub(size, delta / 2), delta));
  });
}

/**
 * Options of {@link bceWithLogits}.
 *
 * @category Losses
 */
export interface BceOptions extends LossOptions {
  /** Factor of each loss; broadcasts. */
  weight?: Tensor;
  /** Factor of the losses of positive targets; broadcasts. */
  posWeight?: Tensor;
}

const bceOptions: OptionTable<BceOptions> = { ...lossOptions, weight: aTensor, posWeight: aTensor };

/** @throws {ShapeError} for a factor that does not broadcast to the losses, of which it would make others, or more. */
function demandFactor(what: string, name: string, factor: Tensor, losses: Shape): void {
  const shape = factor.shape, behind = losses.slice(losses.length - shape.length);
  if (shape.length <= losses.length && shape.every((size, i) => size === 1 || size === behind[i])) return;
  throw new ShapeError(
    `${what}: ${name} is ${formatShape(shape)}, expected a shape that broadcasts to that of the losses, ${
      formatShape(losses)
    }`,
  );
}

/**
 * Binary cross-entropy of logits against targets in [0, 1], without overflow.
 *
 * @throws {ShapeError} when the shapes do not broadcast, or a factor's not to that of the losses.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * bceWithLogits(tensor([0]), tensor([1])); // 0.6931
 * ```
 * @category Losses
 */
export function bceWithLogits(x: Tensor, target: Tensor, options: BceOptions = {}): Tensor {
  demandNoMore(arguments, 3, "bceWithLogits");
  const { weight, posWeight, reduction } = checkOptions("bceWithLogits", options, bceOptions);
  demandTensor("bceWithLogits", x);
  demandTensor("bceWithLogits", target, "target");
  const losses = broadcastShapes("bceWithLogits", x.shape, target.shape);
  for (const [name, factor] of Object.entries({ weight, posWeight })) {
    if (factor !== undefined) demandFactor("bceWithLogits", name, factor, losses);
  }
  return between("bceWithLogits", x, target, reduction, (x) => {
    const scale = posWeight ? add(mul(sub(posWeight, 1), target), 1) : null;
    // −ln sigmoid(x) for the part that is true; the rest is x more.
    const hit = logSigmoid(x);
    const losses = sub(mul(sub(1, target), x), scale ? mul(scale, hit) : hit);
    return weight ? mul(losses, weight) : losses;
  });
}

/**
 * Options of the losses against class ids.
 *
 * @category Losses
 */
export interface ClassLossOptions extends LossOptions {
  /** Targets with this id do not count. Default −100. */
  ignoreIndex?: number;
  /** Factor per class, [classes]. */
  weight?: Tensor;
  /** How much of the target is spread evenly over the classes (cross-entropy only). Default 0. */
  labelSmoothing?: number;
  /** How much of ln(Σ exp(x))², which keeps logits from drifting (PaLM), is added to a row's loss (cross-entropy only). Default 0. */
  zLoss?: number;
}

const classLossOptions: OptionTable<ClassLossOptions> = {
  ...lossOptions,
  ignoreIndex: whole(),
  weight: aTensor,
  labelSmoothing: number({ from: 0, to: 1 }),
  zLoss: number({ from: 0 }),
};

/** `nllLoss` is given logarithms, which do not say what an even spread would lose, nor how large logits were. */
const notOfLogs: readonly Idle<ClassLossOptions>[] = [
  {
    option: "labelSmoothing",
    when: () => true,
    because: "label smoothing belongs to crossEntropy",
    unless: 0,
  },
  { option: "zLoss", when: () => true, because: "a z-loss belongs to crossEntropy", unless: 0 },
];

function demandClasses(
  what: string,
  x: Tensor,
  target: Tensor,
  { ignoreIndex = -100, weight }: ClassLossOptions,
): void {
  demandTensor(what, x);
  demandTensor(what, target, "target");
  if (target.dtype !== "i32" && target.dtype !== "i64") {
    throw new DTypeError(`${what}: targets are class ids in i32 or i64, not ${target.dtype}`);
  }
  const expected = x.shape.length === 1 ? [] : [x.shape[0], ...x.shape.slice(2)];
  if (x.shape.length < 1 || !sameShape(target.shape, expected)) {
    throw new ShapeError(
      `${what}: ${formatShape(x.shape)} is [rows, classes, …], so targets are ${formatShape(expected)}, not ${
        formatShape(target.shape)
      }`,
    );
  }
  const classes = x.shape.length === 1 ? x.shape[0] : x.shape[1];
  if (weight !== undefined && !sameShape(weight.shape, [classes])) {
    throw new ShapeError(
      `${what}: weight is ${formatShape(weight.shape)}, expected a factor for each class, ${
        formatShape([classes])
      }`,
    );
  }
  if (!fitsRange(ignoreIndex, target.dtype)) {
    throw new OptionError(`${what}: ignoreIndex ${ignoreIndex} is no number of the targets' ${target.dtype}`);
  }
}

/** A loss per row, and what each row counts in the mean. */
interface Picked {
  losses: Tensor;
  weights: Tensor;
}

/** −weight[target] · logProbability[target] per row. logProbabilities is [rows, classes]. */
function pick(what: string, logs: Tensor, target: Tensor, options: ClassLossOptions): Picked {
  const { ignoreIndex = -100, weight } = options, classes = logs.shape[1];
  const counted = ne(target, ignoreIndex), factor = toDType(counted, logs.dtype);
  const [picked, weights] = byClass(what, target, classes, ignoreIndex, () => {
    const safe = where(counted, asPositions(target, classes), 0);
    const picked = squeeze(gather(logs, 1, unsqueeze(safe, 1)), 1);
    return [picked, weight ? mul(factor, gather(weight, 0, safe)) : factor];
  });
  return { losses: maskedFill(neg(mul(picked, weights)), eq(counted, 0), 0), weights };
}

/** Classes moved to the last axis and everything else made rows. */
function asRows(x: Tensor): Tensor {
  if (x.shape.length <= 2) return x.shape.length === 1 ? unsqueeze(x, 0) : x;
  const moved = permute(x, [0, ...x.shape.slice(2).map((_, i) => i + 2), 1]);
  return reshape(moved, [x.size / Math.max(1, x.shape[1]), x.shape[1]]);
}

/**
 * −logProbabilities[target]: x is [rows, classes] or [rows, classes, …].
 *
 * @throws {ShapeError} for a `weight` that is not [classes], and for a target that is neither a class nor `ignoreIndex`: at
 *   once where values can be seen; a device that answers late (WebGPU) throws it from the next read.
 * @throws {DTypeError} for what is no tensor, and targets that are not i32 or i64.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DeviceError} for tensors on different devices.
 * @category Losses
 */
export function nllLoss(x: Tensor, target: Tensor, options: ClassLossOptions = {}): Tensor {
  demandNoMore(arguments, 3, "nllLoss");
  checkOptions("nllLoss", options, classLossOptions, notOfLogs);
  demandClasses("nllLoss", x, target, options);
  return tidy(() =>
    lossInFloat32(x, (x) => {
      const { losses, weights } = pick("nllLoss", asRows(x), reshape(target, [-1]), options);
      if (options.reduction === "none") return reshape(losses, target.shape);
      return options.reduction === "sum" ? sum(losses) : div(sum(losses), sum(weights));
    })
  );
}

/**
 * Cross-entropy of logits [rows, classes] (or [rows, classes, …]) against class ids: −ln softmax(x)[target]. The mean
 * is over the targets that count, weighted when weights are given. f16 and bf16 logits are worked on in f32. With
 * `labelSmoothing` ε the target is (1 − ε) the class and ε/classes each of them; `zLoss` adds its multiple of ln(Σ exp(x))².
 *
 * @throws {ShapeError} for a `weight` that is not [classes], and for a target that is neither a class nor `ignoreIndex`: at
 *   once where values can be seen; a device that answers late (WebGPU) throws it from the next read.
 * @throws {DTypeError} for what is no tensor, and targets that are not i32 or i64.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {DeviceError} for tensors on different devices.
 *
 * @example
 * ```ts
 * const loss = crossEntropy(model.forward(ids).reshape(-1, vocabSize), next.reshape(-1));
 * loss.backward();
 * ```
 * @category Losses
 */
export function crossEntropy(x: Tensor, target: Tensor, options: ClassLossOptions = {}): Tensor {
  demandNoMore(arguments, 3, "crossEntropy");
  const { labelSmoothing = 0, zLoss = 0, weight, reduction = "mean" } = checkOptions(
    "crossEntropy",
    options,
    classLossOptions,
  );
  demandClasses("crossEntropy", x, target, options);
  const { ignoreIndex = -100 } = options;
  const isCounted = !labelSmoothing && !weight && Math.abs(ignoreIndex) < 2 ** 31 - 1;
  const { crossEntropy: kernel, crossEntropyBackward } = crossEntropyKernels(x.backend);
  // Logits of 16 bits are kept so, and seen in f32 some rows at a time.
  const isNarrow = isHalf(x.dtype) && isCounted && !zLoss && kernel && crossEntropyBackward &&
    autocastDType() !== "f32";
  return tidy(() =>
    (isNarrow ? (x: Tensor, f: (x: Tensor) => Tensor): Tensor => f(x) : lossInFloat32)(x, (x) => {
      const rows = asRows(x), ids = reshape(target, [-1]);
      const plain = isCounted && (isNarrow || rows.dtype === "f32");
      const { losses: own, weights } = plain
        ? byClass(
          "crossEntropy",
          ids,
          rows.shape[1],
          ignoreIndex,
          () => fusedCrossEntropy(rows, toI32(ids), ignoreIndex),
        )
        : smoothed(rows, ids, options);
      const losses = zLoss ? add(own, zLosses(rows, ids, zLoss, weights, ignoreIndex)) : own;
      if (reduction === "none") return reshape(losses, target.shape);
      return reduction === "sum" ? sum(losses) : div(sum(losses), sum(weights));
    })
  );
}

/** Class ids as kernels take them; what i32 does not hold stays no class. */
function toI32(ids: Tensor): Tensor {
  return ids.dtype === "i32" ? ids : toDType(clamp(ids, -(2 ** 31), 2 ** 31 - 1), "i32");
}

/** A z-loss per row that counts: c · ln(Σ exp(x))². */
function zLosses(rows: Tensor, ids: Tensor, c: number, weights: Tensor, ignoreIndex: number): Tensor {
  return maskedFill(mul(mul(square(logsumexp(rows, 1)), c), weights), eq(ids, ignoreIndex), 0);
}

/** Losses per row with class weights and label smoothing (Szegedy et al. 2016), and what each row counts. */
function smoothed(rows: Tensor, ids: Tensor, options: ClassLossOptions): Picked {
  const { labelSmoothing = 0, ignoreIndex = -100, weight } = options;
  const logs = logSoftmax(rows, 1), picked = pick("crossEntropy", logs, ids, options);
  if (!labelSmoothing) return picked;
  const weighted = weight ? mul(logs, weight) : logs;
  const even = maskedFill(neg(sum(weighted, 1)), eq(ids, ignoreIndex), 0);
  const losses = add(mul(picked.losses, 1 - labelSmoothing), mul(even, labelSmoothing / logs.shape[1]));
  return { losses, weights: picked.weights };
}

/** Logits of 16 bits that are in f32 at once. */
const mostWide = 1 << 16;

const wide = (x: Tensor): Tensor => isHalf(x.dtype) ? copy(x, "f32") : x;

/** Calls `f` with what gives a part of the rows of a tensor, for all rows at once where `logits` need no copy in f32. */
function eachPart(logits: Tensor, f: (part: (t: Tensor) => Tensor) => void): void {
  if (!isHalf(logits.dtype)) return f((t) => t);
  const [rows, classes] = logits.shape, each = Math.max(1, Math.floor(mostWide / classes));
  for (let from = 0; from < rows; from += each) {
    noGrad(() => tidy(() => f((t) => slice(t, [from, Math.min(rows, from + each)]))));
  }
}

/** Losses per row, where the device can in one pass, so that probabilities are never stored. */
function fusedCrossEntropy(logits: Tensor, ids: Tensor, ignoreIndex: number): Picked {
  const { crossEntropy, crossEntropyBackward } = crossEntropyKernels(logits.backend);
  const rows = logits.shape[0], backend = commonBackend("crossEntropy", [logits, ids]);
  const losses = fused<Tensor>({
    name: "crossEntropy",
    inputs: [logits, ids],
    definition: (x, ids) =>
      pick("crossEntropy", logSoftmax(toDType(x, isHalf(x.dtype) ? "f32" : x.dtype), 1), ids, { ignoreIndex })
        .losses,
    kernel: crossEntropy && logits.size
      ? () => {
        const output = empty([rows], "f32", backend, "crossEntropy"),
          lse = empty([rows], "f32", backend, "crossEntropy");
        eachPart(logits, (part) => {
          const x = contiguousView(wide(part(logits)));
          crossEntropy(x, contiguousView(part(ids)), part(output), part(lse), ignoreIndex);
        });
        return { output, keep: [lse] };
      }
      : null,
    gradient: crossEntropyBackward
      ? (g, [x, ids], [lse]) => {
        const dx = empty(x.shape, x.dtype, x.backend, "crossEntropyBackward"), scales = contiguousView(g);
        eachPart(x, (part) => {
          const logits = contiguousView(wide(part(x))), own = part(dx);
          const out = own.dtype === "f32" ? own : empty(own.shape, "f32", x.backend, "crossEntropyBackward");
          crossEntropyBackward(
            logits,
            contiguousView(part(ids)),
            part(lse),
            part(scales),
            out,
            ignoreIndex,
          );
          if (out !== own) copyInto(out, own);
        });
        return [dx, null];
      }
      : null,
  });
  return { losses, weights: toDType(ne(ids, ignoreIndex), losses.dtype) };
}
