/**
 * The training loop: forward, backward, clip, step; reports, evaluations, checkpoints; stopped and continued exactly.
 *
 * A step runs in one `tidy` and reads nothing back, so a device may work ahead; the loss is read only for the steps
 * that are reported. A run that continues from a checkpoint gives the same bits as one that never stopped.
 *
 * @module
 */
import { FerrotypeError, OptionError } from "../core/errors.ts";
import * as kinds from "../core/kinds.ts";
import { checkOptions, type Idle, type OptionTable, required } from "../core/options.ts";
import type { DataParallel } from "../distributed/data_parallel.ts";
import type { TraceEvent } from "../distributed/timeline.ts";
import type { Distributed } from "../distributed/distributed.ts";
import type { Module } from "../nn/mod.ts";
import { randomState, setRandomState, type Tensor } from "../ops/mod.ts";
import type { Optimizer, OptimizerState, Schedule } from "../optim/mod.ts";
import { noGrad, tidy } from "../tensor/mod.ts";
import type { DataSource } from "./batches.ts";
import { type Checkpoint, disposeCheckpoint } from "./checkpoint.ts";
import type { CheckpointStore } from "./checkpoint_store.ts";
import { evaluating } from "./evaluate.ts";
import { Pace } from "./pace.ts";
import { captureRun, restoreRun } from "./state.ts";
import { RankedStep } from "./ranked_step.ts";
import { TrainingStep } from "./step.ts";

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
  model: Module & { loss?(batch: B): Tensor };
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
  /** Steps from one report to the next. Default 10. */
  reportEvery?: number;
  /** Called with each report. */
  onStep?: (report: StepReport) => void | Promise<void>;
  /** Held-out batches of one size, whose mean loss is taken, or a function that gives the held-out loss. */
  evalData?: Iterable<B> | (() => number | Promise<number>);
  /** Steps from one evaluation to the next; there is one at the end too. Default: only at the end. */
  evalEvery?: number;
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
  /** What gradients are sent as: "bf16" takes half the time, and rounds each twice, by at most 2^-9 of it. Default "f32". */
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
const trainerOptions: OptionTable<TrainerOptions> = {
  model: required(kinds.like("a module", "parameters", "zeroGrad")),
  loss: kinds.callback,
  data: required(kinds.like("a source of batches, such as randomBatches gives", "next", "tokensPerBatch")),
  optimizer: required(kinds.like("an optimizer of the model's parameters", "step", "paramGroups")),
  steps: required(count),
  schedule: kinds.callback,
  gradAccum: kinds.whole(1, mostBatches),
  clip: kinds.number({ above: 0 }),
  reportEvery: count,
  onStep: kinds.callback,
  evalData: kinds.kind(
    "batches, or a function that gives the held-out loss",
    (x) => typeof x === "function" || (typeof x === "object" && x !== null && Symbol.iterator in x),
  ),
  evalEvery: count,
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

const idle: readonly Idle<TrainerOptions>[] = [
  { option: ["evalEvery", "onEval"], when: (o) => o.evalData === undefined, because: "it needs evalData" },
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
  /** Whether all steps are done. */
  finished: boolean;
  /** Whether the signal ended it. */
  interrupted: boolean;
}

/**
 * Trains a model. `await new Trainer({ model, data, optimizer, steps }).run()`.
 *
 * @category Training
 */
export class Trainer<B = Tensor> {
  readonly #options: TrainerOptions<B>;
  readonly #loss: (batch: B) => Tensor;
  readonly #stepping: TrainingStep<B>;
  #step = 0;
  #bestLoss: number | null = null;
  #lastLoss: Tensor | null = null;
  /** The loss of the last step of the last run. */
  #ended: number | null = null;
  #saved = -1;
  readonly #parallel: DataParallel<B> | null;

  /**
   * A run that has not begun.
   * @throws {OptionError} for an option that is unknown, missing, impossible or without effect, and a model without a loss.
   */
  constructor(options: TrainerOptions<B>) {
    const given = checkOptions<TrainerOptions<B>>("Trainer", options, trainerOptions as never, idle as never);
    const { model } = given;
    if (!options.loss && !model.loss) {
      throw new OptionError(
        `Trainer: ${model.constructor.name} has no loss(batch); pass { loss: (batch) => … }`,
      );
    }
    this.#options = given;
    this.#loss = given.loss ?? ((batch) => model.loss!(batch));
    const { distributed, parts, zero, wire, trace } = given;
    this.#parallel = distributed?.parallel<B>({ parts, zero, wire, trace }) ?? null;
    const { data, optimizer, gradAccum = 1, clip, signal } = given;
    const step = { loss: this.#loss, next: () => data.next(), optimizer, gradAccum, clip };
    this.#stepping = this.#parallel
      ? new RankedStep(step, this.#parallel, data, signal)
      : new TrainingStep(step);
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** The lowest held-out loss so far. */
  get bestLoss(): number | null {
    return this.#bestLoss;
  }

  /**
   * What was done when, with `trace`, on all ranks: spans that, as `traceEvents` of a JSON object, Chrome's tracing page and
   * Perfetto show. Every rank calls it.
   */
  traceEvents(): TraceEvent[] {
    return this.#parallel?.traceEvents() ?? [];
  }

  /** With `zero`, of how many elements this rank remembers the optimizer's state, and of how many there is one. */
  get ownedState(): { elements: number; of: number } | null {
    return this.#parallel?.owned ?? null;
  }

  /**
   * Continues from the newest checkpoint; false when there is none, and all is as it was made: with `manualSeed` before the model
   * and before its adapters, a run that ended before its first checkpoint begins again as it began.
   */
  async resume(): Promise<boolean> {
    const { checkpoints, model } = this.#options;
    if (!checkpoints) throw new OptionError("Trainer: resume needs checkpoints");
    const device = model.parameters()[0]?.device;
    const checkpoint = await checkpoints.loadLatest(device ? { device } : {});
    if (!checkpoint) return false;
    this.restore(checkpoint);
    disposeCheckpoint(checkpoint);
    this.#saved = this.#step;
    return true;
  }

  /** Sets everything as it was when `checkpoint` was captured; warns where that was in other arithmetic. */
  restore(checkpoint: Checkpoint): void {
    const { onWarning = console.warn } = this.#options, parallel = this.#parallel;
    const load = parallel
      ? (o: Optimizer, state: OptimizerState): void => parallel.load(o, state)
      : undefined;
    this.#bestLoss = restoreRun(this.#options, checkpoint, onWarning, load);
    this.#step = checkpoint.step;
  }

  /**
   * The state after the last step. Its tensors are views of the model's: save them before training goes on, then dispose them,
   * as they hold its memory.
   */
  capture(loss: number | null = null): Checkpoint {
    return captureRun(this.#options, this.#step, loss, this.#bestLoss);
  }

  /**
   * Trains until all steps are done, `stopAfter` is reached, or the signal says so.
   * @throws {FerrotypeError} when a loss that is reported or saved is not finite; older checkpoints stay as they are.
   */
  async run(): Promise<TrainingResult> {
    try {
      return await this.#run();
    } finally {
      this.#lastLoss?.dispose();
      this.#lastLoss = null;
    }
  }

  async #run(): Promise<TrainingResult> {
    const { model, steps, signal, stopAfter = Infinity, evalData, evalEvery, checkpoints, saveEvery } =
      this.#options;
    const { gradAccum = 1, reportEvery = 10, data } = this.#options;
    const until = Math.min(steps, this.#step + stopAfter), first = this.#step;
    const due = (every = Infinity): boolean => this.#step % every === 0;
    const pace = new Pace(gradAccum * data.tokensPerBatch);
    let held: number | null = null;
    model.train();
    model.zeroGrad();
    const parallel = this.#parallel;
    parallel?.begin(model, this.#options.optimizer, this.#facts());
    while (this.#step < until && !(parallel ? parallel.stops : signal?.aborted)) {
      const next = this.#step + 1;
      const norm = this.#advance(next % reportEvery === 0 || next === until);
      pace.step();
      if (norm) await this.#report(norm, pace);
      held = null;
      if (evalData && (due(evalEvery) || this.#step === steps)) {
        held = await pace.pause(() => this.#evaluate(evalData));
      }
      const isBest = held !== null && held === this.#bestLoss && (checkpoints?.keepBest ?? 0) > 0;
      if (due(saveEvery) || isBest) await pace.pause(() => this.#save(held));
      await pace.breathe();
    }
    if (this.#step > first) await this.#save(held);
    if (this.#lastLoss) this.#ended = await this.#lastLoss.item();
    const loss = this.#ended, finished = this.#step >= steps, interrupted = this.#step < until;
    return { step: this.#step, loss, bestLoss: this.#bestLoss, finished, interrupted };
  }

  /** One step. Gives the norm of the gradients when it is wanted. */
  #advance(wantsNorm: boolean): Tensor | null {
    const { model, optimizer, schedule } = this.#options;
    if (schedule) optimizer.lr = schedule(this.#step);
    const { loss, norm } = this.#stepping.run(wantsNorm);
    model.zeroGrad();
    this.#lastLoss?.dispose();
    this.#lastLoss = loss;
    this.#step++;
    return norm;
  }

  /** What all ranks must have alike. */
  #facts(): Record<string, string> {
    const { steps, gradAccum = 1, clip, schedule, data, evalEvery, saveEvery } = this.#options;
    const rates = schedule && [0, steps >> 1, steps - 1].map(schedule);
    return {
      "step to begin from": String(this.#step),
      "set of checkpoints, evaluations and steps after which to stop": JSON.stringify([
        this.#options.checkpoints !== undefined,
        this.#options.evalData !== undefined,
        this.#options.stopAfter ?? null,
      ]),
      "run": JSON.stringify({ steps, gradAccum, clip, rates, evalEvery, saveEvery }),
      "text or data": data.describe?.() ?? String(data.tokensPerBatch),
      "place in the data": JSON.stringify(data.getState()) ?? "",
      "random state": JSON.stringify(randomState()),
    };
  }

  async #report(norm: Tensor, pace: Pace): Promise<void> {
    const { steps, optimizer, onStep } = this.#options;
    const loss = await this.#finiteLoss(), gradNorm = await norm.item();
    norm.dispose();
    const speed = pace.report(steps - this.#step);
    const report: StepReport = { step: this.#step, loss, lr: optimizer.lr, gradNorm, ...speed };
    await pace.pause(() => onStep?.(report));
  }

  /** The last step's loss, read from the device. */
  async #finiteLoss(): Promise<number> {
    const loss = await this.#lastLoss!.item();
    if (Number.isFinite(loss)) return loss;
    throw new FerrotypeError(
      `the loss is ${loss} at step ${this.#step}; take a lower learning rate, or clip gradients`,
    );
  }

  /** The held-out loss. */
  async #evaluate(evalData: Iterable<B> | (() => number | Promise<number>)): Promise<number> {
    const { model, onEval } = this.#options, random = randomState();
    const own = await evaluating(
      model,
      typeof evalData === "function" ? evalData : () => this.#meanLoss(evalData),
    );
    // Ranks that round otherwise still agree on which was the best.
    const loss = this.#parallel?.agree(own) ?? own;
    // Evaluating leaves no trace: the run goes on as it would have without.
    setRandomState(random);
    const isBest = this.#bestLoss === null || loss < this.#bestLoss;
    if (isBest) this.#bestLoss = loss;
    await onEval?.({ step: this.#step, loss, isBest });
    return loss;
  }

  #meanLoss(batches: Iterable<B>): Promise<number> {
    return tidy(async () => {
      let sum = 0, count = 0;
      for (const batch of batches) {
        const loss = noGrad(() => tidy(() => this.#loss(batch)));
        sum += await loss.item();
        count++;
      }
      if (count === 0) throw new OptionError("Trainer: evalData gave no batch");
      return sum / count;
    });
  }

  /** Saves unless that was done after this step. Without held-out data, the step's loss says how good it is. */
  async #save(held: number | null): Promise<void> {
    const { checkpoints, evalData, distributed } = this.#options;
    if (!checkpoints || this.#saved === this.#step) return;
    const parallel = this.#parallel,
      loss = await this.#finiteLoss(),
      whole = parallel?.collect(this.#options.optimizer);
    const captured = captureRun(
      this.#options,
      this.#step,
      evalData ? held : loss,
      this.#bestLoss,
      whole ?? undefined,
    );
    try {
      const save = async (): Promise<void> => void await checkpoints.save(captured);
      await (distributed ? distributed.first(save) : save());
    } finally {
      // Views hold memory as the tensors do.
      disposeCheckpoint(captured);
    }
    this.#saved = this.#step;
  }
}
