/**
 * What a {@link Trainer} is given and what it says, as types and as tables.
 *
 * @module
 */
import * as kinds from "../core/kinds.ts";
import { type Idle, type OptionTable, required } from "../core/options.ts";
import type { Distributed } from "../distributed/distributed.ts";
import type { Module } from "../nn/mod.ts";
import type { Tensor } from "../ops/mod.ts";
import type { Optimizer, Schedule } from "../optim/mod.ts";
import type { DataSource } from "./batches.ts";
import type { CheckpointStore } from "./checkpoint_store.ts";
import type { GradScalerOptions } from "./grad_scaler.ts";
import type { Precision } from "./precision.ts";
import type { Qat } from "./qat.ts";

/**
 * What is said of a step.
 *
 * @category Training
 */
export interface StepReport {
  /** Steps done, this one included. */
  step: number;
  /** This step's loss. */
  loss: number;
  /** Its learning rate. */
  lr: number;
  /** The norm of its gradients, before clipping. */
  gradNorm: number;
  /** Since the last report, evaluations and checkpoints not counted. */
  tokensPerSecond: number;
  /** What is left at this pace. */
  secondsLeft: number;
  /** With `precision: "f16"`: what the loss is multiplied by from now on. Where gradients overflowed `gradNorm` is infinite. */
  lossScale?: number;
}

/**
 * What is said of an evaluation.
 *
 * @category Training
 */
export interface EvalReport {
  /** Steps done. */
  step: number;
  /** The held-out loss. */
  loss: number;
  /** Whether it is the lowest so far. */
  isBest: boolean;
}

/**
 * Options of {@link Trainer}.
 *
 * @category Training
 */
export interface TrainerOptions<B = Tensor> {
  /** The model; its `loss(batch)` is used unless `loss` is given. */
  model: Module & { loss?(batch: never): Tensor };
  /** The mean loss of a batch, one number. */
  loss?: (batch: B) => Tensor;
  /** Where batches come from. */
  data: DataSource<B>;
  /** Made for the model's parameters. */
  optimizer: Optimizer;
  /** Steps of the whole run. */
  steps: number;
  /** The learning rate of each step. Default: the optimizer's own. */
  schedule?: Schedule;
  /** Batches to a step, at most 65,536; their losses are averaged. Default 1. */
  gradAccum?: number;
  /** The largest norm of the gradients; larger ones are scaled down. Default: no clipping. */
  clip?: number;
  /**
   * How many rows of a batch go forward and back at once: a divisor of its rows. Their gradients add up to those of the whole batch, but
   * for how sums are rounded, and memory is for as many rows. "auto": as many as the device's memory holds, by what one row and two
   * take. Default: all.
   */
  microBatch?: number | "auto";
  /**
   * What the model computes in while it trains. With "bf16" or "f16" its matrices have copies of 16 bits, which stand in their
   * place while a batch goes forward and back, activations are of 16 bits, and gradients gather in f32 at the f32 weights, which
   * are what is stepped, averaged, judged and saved. On the cpu this takes less memory for activations, and no less time; f16 reaches to
   * 65,504 only, so its loss is scaled, and a step whose gradients overflow is left out. Default "f32".
   */
  precision?: Precision;
  /** How the loss is scaled with `precision: "f16"`. */
  gradScaler?: GradScalerOptions;
  /**
   * Quantisation-aware training: matrices whose sums run over a multiple of 32 values are computed with as what they will be in blocks,
   * while gradients go straight through to the f32 weights. "q8" and "q4" are the blocks that saving the model with that dtype writes,
   * bit for bit; "ternary" is -1, 0 and 1 times one f16 scale for each output, which {@link Trainer.quantized} has in the
   * model as q4. The loss of a step and held-out losses are those of the blocks. On the cpu and the reference device. Default: none.
   */
  qat?: Qat;
  /** Steps from one report to the next. Default 10. */
  reportEvery?: number;
  /** Called with each report. */
  onStep?: (report: StepReport) => void | Promise<void>;
  /** Held-out batches of one size, whose mean loss is taken, or a function that gives the held-out loss. */
  evalData?: Iterable<B> | (() => number | Promise<number>);
  /** Steps from one evaluation to the next; there is one at the end too. Default: only at the end. */
  evalEvery?: number;
  /**
   * Ends the run after so many evaluations in a row of which none was better; the best checkpoint stays. Default: all steps are
   * done.
   */
  patience?: number;
  /** By how much a held-out loss has to be lower to be better, for `patience`. Default 0. */
  minDelta?: number;
  /**
   * How much of an average of the weights stays at a step, such as 0.999: `d · average + (1 − d) · weights` after step n, with
   * d = min(ema, (1 + n) / (10 + n)). Held-out data is judged by the average, which is in checkpoints as `ema`, and which
   * {@link Trainer.averaged} has in the model. Default: there is none.
   */
  ema?: number;
  /** Called after each evaluation. */
  onEval?: (report: EvalReport) => void | Promise<void>;
  /** Where to save. One is saved at the end, when stopped, and when an evaluation is the best so far. */
  checkpoints?: CheckpointStore;
  /** Steps from one checkpoint to the next. Default: no others. */
  saveEvery?: number;
  /** Ends the run after the step at work, saves, and returns with `interrupted`. */
  signal?: AbortSignal;
  /** Ends the run after so many steps of its own, and saves. */
  stopAfter?: number;
  /**
   * The ranks to train over, as `distributed.init()` gives them: each reads its part of every batch, whose rows they divide, and
   * rank 0 saves. Default: this process alone.
   */
  distributed?: Distributed;
  /**
   * Into how many parts a batch is cut, whatever the number of ranks: a power of two times them. In deterministic mode runs of
   * the same parts then give the same bits. Default: one a rank, in the order in which sums are fastest.
   */
  parts?: number;
  /** 1: every rank remembers the optimizer's state of a part of the parameters; 2: and has the gradients of that part alone. Default 0. */
  zero?: 0 | 1 | 2;
  /**
   * What gradients are sent as: "bf16" takes half the time; each rank's numbers are rounded, and their sums, by at most 2^-8 of each.
   * Default "f32".
   */
  wire?: "f32" | "bf16";
  /** Notes what is done when, for {@link Trainer.traceEvents}. Default false. */
  trace?: boolean;
  /** Hears when a run goes on where numbers are rounded otherwise than where it was begun. Default: `console.warn`. */
  onWarning?: (message: string) => void;
}

const count = kinds.whole(1);

/** Batches to a step: more than any run needs, and few enough for a step to end. */
const mostBatches = 65_536;

/** {@link TrainerOptions} as data. */
export const trainerOptions: OptionTable<TrainerOptions> = {
  model: required(kinds.like("a module", "parameters", "zeroGrad")),
  loss: kinds.callback,
  data: required(kinds.like("a source of batches, such as randomBatches gives", "next", "tokensPerBatch")),
  optimizer: required(kinds.like("an optimizer of the model's parameters", "step", "paramGroups")),
  steps: required(count),
  schedule: kinds.callback,
  gradAccum: kinds.whole(1, mostBatches),
  clip: kinds.number({ above: 0 }),
  microBatch: kinds.either(count, kinds.oneOf("auto")),
  precision: kinds.oneOf("f32", "bf16", "f16"),
  gradScaler: kinds.object,
  qat: kinds.oneOf("q8", "q4", "ternary"),
  reportEvery: count,
  onStep: kinds.callback,
  evalData: kinds.kind(
    "batches, or a function that gives the held-out loss",
    (x) => typeof x === "function" || (typeof x === "object" && x !== null && Symbol.iterator in x),
  ),
  evalEvery: count,
  patience: count,
  minDelta: kinds.number({ from: 0 }),
  ema: kinds.number({ from: 0, below: 1 }),
  onEval: kinds.callback,
  checkpoints: kinds.like("a CheckpointManager", "save", "loadLatest"),
  saveEvery: count,
  signal: kinds.abortSignal,
  stopAfter: count,
  onWarning: kinds.callback,
  distributed: kinds.like("the ranks: distributed, after await distributed.init()", "allReduce", "parallel"),
  parts: kinds.whole(1, 65_536),
  zero: kinds.oneOf(0, 1, 2),
  wire: kinds.oneOf("f32", "bf16"),
  trace: kinds.flag,
};

/** Options that have no effect beside others. */
export const trainerIdle: readonly Idle<TrainerOptions>[] = [
  { option: ["evalEvery", "onEval"], when: (o) => o.evalData === undefined, because: "it needs evalData" },
  {
    option: "microBatch",
    when: (o) => (o.distributed?.size ?? 1) > 1 || o.parts !== undefined,
    because: "ranks divide the rows of a batch already; take more gradAccum, and smaller batches",
  },
  { option: "gradScaler", when: (o) => o.precision !== "f16", because: 'it needs precision "f16"' },
  {
    option: "zero",
    when: (o) => o.precision === "f16" && o.zero === 2,
    because: 'with precision "f16" every rank looks at all gradients; take zero 1, or precision "bf16"',
  },
  { option: "patience", when: (o) => o.evalEvery === undefined, because: "it needs evalEvery" },
  { option: "minDelta", when: (o) => o.patience === undefined, because: "it needs patience" },
  { option: "saveEvery", when: (o) => o.checkpoints === undefined, because: "it needs checkpoints" },
  {
    option: ["parts", "zero", "wire", "trace"],
    when: (o) => o.distributed === undefined,
    because: "it needs distributed",
  },
];

/**
 * How a run ended.
 *
 * @category Training
 */
export interface TrainingResult {
  /** Steps done in all. */
  step: number;
  /** The loss of the last step. Null when no step was run. */
  loss: number | null;
  /** The lowest held-out loss. Null when there was no evaluation. */
  bestLoss: number | null;
  /** Whether the run is over: all steps are done, or `patience` ended it. */
  finished: boolean;
  /** Whether `patience` ended it. */
  stoppedEarly: boolean;
  /** Whether the signal ended it. */
  interrupted: boolean;
  /**
   * The most bytes that tensors took on the model's device in its first steps, all that is on the device counted: weights, their
   * gradients, the optimizer's state, activations. 0 when no step was run.
   */
  peakBytes: number;
  /** With `microBatch`: how many rows went forward and back at once. */
  microBatch?: number;
}
