/**
 * The training loop: forward, backward, clip, step; reports, evaluations, checkpoints; stopped and continued exactly.
 *
 * A step runs in one `tidy` and reads nothing back, so a device may work ahead; the loss is read only for the steps
 * that are reported. A run that continues from a checkpoint gives the same bits as one that never stopped.
 *
 * @module
 */
import { demandFunction, demandNoMore } from "../core/demand.ts";
import { FerrotypeError, OptionError } from "../core/errors.ts";
import { isOnAllRanks, onAllRanks } from "../core/on_all_ranks.ts";
import { checkOptions } from "../core/options.ts";
import { counted } from "../core/show.ts";
import type { DataParallel } from "../distributed/data_parallel.ts";
import type { TraceEvent } from "../distributed/timeline.ts";
import { randomState, setRandomState, type Tensor } from "../ops/mod.ts";
import { NotFiniteError } from "../optim/finite.ts";
import type { Optimizer, OptimizerState } from "../optim/mod.ts";
import { noGrad, tidy, watchPeak } from "../tensor/mod.ts";
import { type Checkpoint, disposeCheckpoint } from "./checkpoint.ts";
import type { DataSource } from "./batches.ts";
import { EarlyStopping } from "./early_stopping.ts";
import { WeightAverage } from "./ema.ts";
import { evaluating } from "./evaluate.ts";
import { Pace } from "./pace.ts";
import { MixedPrecision } from "./precision.ts";
import { WeightBlocks } from "./qat.ts";
import { captureRun, learning, restoreRun, type RunParts } from "./state.ts";
import { RankedStep } from "./ranked_step.ts";
import { TrainingStep } from "./step.ts";
import {
  type StepReport,
  trainerIdle,
  type TrainerOptions,
  trainerOptions,
  type TrainingResult,
} from "./trainer_options.ts";

/**
 * How many rows the next batch of `data` has.
 * @throws {OptionError} for batches that do not say it.
 */
function rowsOfNext(data: DataSource<unknown>, batches: number): number {
  const state = data.getState();
  const rows = tidy(() => {
    const batch = data.next(undefined, batches) as { shape?: number[]; ids?: Tensor; pairs?: number };
    return batch.shape?.[0] ?? batch.ids?.shape[0] ?? batch.pairs;
  });
  data.setState(state);
  if (rows) return rows;
  throw new OptionError(
    "Trainer: microBatch is for batches with rows: tensors, and what exampleBatches and preferenceBatches give",
  );
}

/** The loss of a step that was taken. */
class LossError extends NotFiniteError {}

/** Steps whose memory is watched: the optimizer's state is made in the first, and is there from then on. */
const watchedSteps = 3;

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
  #peakBytes = 0;
  /** Parts of a batch that go forward and back one after the other. */
  #pieces = 1;
  /** How many rows those have, where that was said or found out. */
  readonly #microBatch: { rows: number | null } = { rows: null };
  readonly #parallel: DataParallel<B> | null;
  readonly #stopping: EarlyStopping | null;
  readonly #precision: MixedPrecision | null;
  readonly #blocks: WeightBlocks | null;
  /** Made when a run begins, of what all ranks have then. */
  #average: WeightAverage | null = null;

  /**
   * A run that has not begun.
   * @throws {OptionError} for an option that is unknown, missing, impossible or without effect, and a model without a loss.
   */
  constructor(options: TrainerOptions<B>) {
    demandNoMore(arguments, 1, "Trainer");
    const given = checkOptions<TrainerOptions<B>>(
      "Trainer",
      options,
      trainerOptions as never,
      trainerIdle as never,
    );
    const { model } = given;
    if (!options.loss && !model.loss) {
      throw new OptionError(
        `Trainer: ${model.constructor.name} has no loss(batch); pass { loss: (batch) => … }`,
      );
    }
    this.#options = given;
    this.#loss = given.loss ?? ((batch) => model.loss!(batch as never));
    const { distributed, parts, zero, wire, trace } = given;
    if (zero && given.optimizer.paramGroups.some(({ stateBits }) => stateBits === 8)) {
      throw new OptionError(
        `Trainer: zero ${zero} divides what an optimizer remembers in 32 bits, and this one has stateBits 8; take one of the two`,
      );
    }
    this.#parallel = distributed?.parallel<B>({ parts, zero, wire, trace }) ?? null;
    const { data, optimizer, gradAccum = 1, clip, signal, patience, minDelta = 0 } = given;
    this.#stopping = patience === undefined ? null : new EarlyStopping(patience, minDelta);
    const { precision = "f32", gradScaler, qat, onWarning = console.warn } = given;
    this.#blocks = qat === undefined ? null : new WeightBlocks(model, qat, onWarning);
    this.#precision = precision === "f32" && !this.#blocks
      ? null
      : new MixedPrecision(model, precision, gradScaler, this.#blocks);
    const step = {
      precision: this.#precision,
      loss: this.#loss,
      data,
      pieces: () => this.#pieces,
      step: () => this.#step + 1,
      optimizer,
      gradAccum,
      clip,
    };
    this.#stepping = this.#parallel ? new RankedStep(step, this.#parallel, signal) : new TrainingStep(step);
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
    demandNoMore(arguments, 0, "traceEvents");
    return this.#parallel?.traceEvents() ?? [];
  }

  /** With `zero`, of how many elements this rank remembers the optimizer's state, and of how many there is one. */
  get ownedState(): { elements: number; of: number } | null {
    return this.#parallel?.owned ?? null;
  }

  /**
   * Continues from the newest checkpoint; false when there is none, and all is as it was made: with `manualSeed` before the model
   * and before its adapters, a run that ended before its first checkpoint begins again as it began.
   * @throws {OptionError} for a trainer without `checkpoints`.
   */
  async resume(): Promise<boolean> {
    demandNoMore(arguments, 0, "resume");
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

  /**
   * Sets everything as it was when `checkpoint` was captured; warns where that was in other arithmetic.
   * @throws {FormatError} for a state that no trainer of such a model saved.
   */
  restore(checkpoint: Checkpoint): void {
    demandNoMore(arguments, 1, "restore");
    const { onWarning = console.warn } = this.#options, parallel = this.#parallel;
    const load = parallel
      ? (o: Optimizer, state: OptimizerState): void => parallel.load(o, state)
      : undefined;
    this.#begin();
    this.#bestLoss = restoreRun(this.#parts, checkpoint, onWarning, load);
    this.#step = checkpoint.step;
  }

  /**
   * The state after the last step. Its tensors are views of the model's: save them before training goes on, then dispose them,
   * as they hold its memory.
   */
  capture(loss: number | null = null): Checkpoint {
    demandNoMore(arguments, 1, "capture");
    return captureRun(this.#parts, this.#step, loss, this.#bestLoss);
  }

  /**
   * Runs `f` with the average of the weights in the model, with option `ema`: to write it, or to try it. Afterwards the weights are
   * back, bit for bit. Without the option, and before the first step, the weights are what they are.
   *
   * @example
   * ```ts
   * await trainer.averaged(() => model.save(folder));
   * ```
   * @throws {OptionError} for an `f` that is no function.
   */
  async averaged<T>(f: () => T | Promise<T>): Promise<T> {
    demandNoMore(arguments, 1, "averaged");
    demandFunction("averaged", f);
    return await (this.#average ? this.#average.inPlace(f) : f());
  }

  /**
   * Runs `f` with the blocks of option `qat` in the model, as held-out data is judged: to write them, or to try them. Afterwards the
   * weights are back. Without the option the weights are what they are.
   *
   * @example
   * ```ts
   * await trainer.averaged(() => trainer.quantized(() => model.save(folder)));
   * ```
   * @throws {OptionError} for an `f` that is no function.
   */
  async quantized<T>(f: () => T | Promise<T>): Promise<T> {
    demandNoMore(arguments, 1, "quantized");
    demandFunction("quantized", f);
    return await (this.#blocks ? this.#blocks.inPlace(f) : f());
  }

  /** What changes while it trains. */
  get #parts(): RunParts {
    const { model, optimizer, data } = this.#options;
    return {
      ...{ model, optimizer, data },
      ...{ average: this.#average, stopping: this.#stopping, precision: this.#precision },
      qat: this.#blocks?.kind ?? null,
      microBatch: this.#microBatch,
    };
  }

  #begin(): void {
    const { model, ema } = this.#options;
    if (ema !== undefined) this.#average ??= new WeightAverage(learning(model), ema);
  }

  /**
   * Trains until all steps are done, `stopAfter` is reached, or the signal says so.
   * @throws {FerrotypeError} when a loss that is reported or saved is not finite; older checkpoints stay as they are.
   */
  async run(): Promise<TrainingResult> {
    demandNoMore(arguments, 0, "run");
    const first = this.#step;
    try {
      return await this.#run();
    } catch (error) {
      throw await this.#explained(error, first);
    } finally {
      this.#lastLoss?.dispose();
      this.#lastLoss = null;
      this.#precision?.dispose();
    }
  }

  /**
   * `error`, and where the numbers of the first step after step `first` are none, the weight behind them. Later the run may have
   * made it what it is, as it has on a device that answers late.
   */
  async #explained(error: unknown, first: number): Promise<unknown> {
    const { model } = this.#options, answers = model.parameters()[0]?.backend.mapped !== undefined;
    // A loss is looked at after its step, which then changed nothing, or it would have failed.
    const isFirst = this.#step - first <= (error instanceof LossError ? 1 : 0);
    if (!(error instanceof NotFiniteError) || !answers || !isFirst) return error;
    const { flawIn } = await import("../nn/flaw.ts"), flaw = await flawIn(model.namedParameters());
    if (flaw === null) return error;
    const more = new FerrotypeError(`${error.found}: ${flaw}; begin from weights that are finite`, {
      cause: error,
    });
    return isOnAllRanks(error) ? onAllRanks(more) : more;
  }

  async #run(): Promise<TrainingResult> {
    const { model, steps, signal, stopAfter = Infinity, evalData, evalEvery, checkpoints, saveEvery } =
      this.#options;
    const stopping = this.#stopping;
    const { gradAccum = 1, reportEvery = 10, data } = this.#options;
    const until = Math.min(steps, this.#step + stopAfter), first = this.#step;
    const due = (every = Infinity): boolean => this.#step % every === 0;
    const pace = new Pace();
    let held: number | null = null;
    model.train();
    model.zeroGrad();
    const parallel = this.#parallel;
    parallel?.begin(model, this.#options.optimizer, this.#facts());
    this.#begin();
    this.#cut();
    while (
      this.#step < until && !stopping?.isOver && !(parallel ? parallel.stops : signal?.aborted)
    ) {
      const next = this.#step + 1, peak = this.#step - first < watchedSteps ? this.#watchPeak() : null;
      const norm = this.#advance(next % reportEvery === 0 || next === until);
      if (peak) this.#peakBytes = Math.max(this.#peakBytes, peak());
      pace.step(gradAccum * data.tokensPerBatch);
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
    const loss = this.#ended, stoppedEarly = this.#step < steps && (stopping?.isOver ?? false);
    const finished = stoppedEarly || this.#step >= steps, interrupted = !stoppedEarly && this.#step < until;
    const peakBytes = this.#peakBytes;
    return {
      step: this.#step,
      loss,
      bestLoss: this.#bestLoss,
      finished,
      stoppedEarly,
      interrupted,
      peakBytes,
      ...(this.#microBatch.rows === null ? {} : { microBatch: this.#microBatch.rows }),
    };
  }

  /** Finds out how many rows go at once. */
  #cut(): void {
    const { microBatch, data, gradAccum = 1 } = this.#options;
    if (microBatch === undefined) return;
    const rows = rowsOfNext(data, gradAccum), own = this.#microBatch;
    // A run that goes on does so in the parts in which it was begun, wherever it goes on.
    const each = own.rows ??= microBatch === "auto" ? this.#rowsThatFit(rows) : microBatch;
    if (rows % each !== 0) {
      throw new OptionError(
        `Trainer: microBatch is ${each}, expected a divisor of the ${counted(rows, "row")} of a batch`,
      );
    }
    this.#pieces = rows / each;
  }

  /** How many of `rows` rows the device's memory holds at once, by what one and some more of them take. */
  #rowsThatFit(rows: number): number {
    const sizes = Array.from({ length: rows }, (_, i) => i + 1).filter((n) => rows % n === 0);
    if (sizes.length === 1) return 1;
    const { model } = this.#options, { capacity = Infinity, maxMemory } = model.parameters()[0].backend;
    const [one, more] = sizes.slice(0, 2).map((n) => this.#bytesOf(rows / n));
    const each = (more - one) / (sizes[1] - 1);
    // The optimizer's state may not be there yet: mostly two numbers for each that learns. A fifth is left for what lies between.
    const later = this.#step > 0 ? 0 : 8 * learning(model).reduce((n, [, p]) => n + p.size, 0);
    const room = 0.8 * Math.min(capacity, maxMemory) - later - one;
    return sizes.filter((n) => n === 1 || (n - 1) * each <= room).at(-1)!;
  }

  /** What memory it takes to go forward and back with one of so many pieces of a batch; nothing is learned from it. */
  #bytesOf(pieces: number): number {
    const { data, model } = this.#options, state = data.getState(), random = randomState();
    const peak = this.#watchPeak()!;
    try {
      this.#pieces = pieces;
      this.#stepping.probe();
    } finally {
      model.zeroGrad();
      data.setState(state);
      setRandomState(random);
    }
    return peak();
  }

  #watchPeak(): (() => number) | null {
    const [p] = this.#options.model.parameters();
    return p ? watchPeak(p.backend) : null;
  }

  /** One step. Gives the norm of the gradients when it is wanted. */
  #advance(wantsNorm: boolean): Tensor | null {
    const { model, optimizer, schedule } = this.#options;
    if (schedule) optimizer.lr = schedule(this.#step);
    const { loss, norm, isSkipped } = this.#stepping.run(wantsNorm);
    if (!isSkipped) this.#average?.update();
    model.zeroGrad();
    this.#lastLoss?.dispose();
    this.#lastLoss = loss;
    this.#step++;
    return norm;
  }

  /** What all ranks must have alike. */
  #facts(): Record<string, string> {
    const { steps, gradAccum = 1, clip, schedule, data, evalEvery, saveEvery, ema, patience, minDelta } =
        this.#options,
      { precision, qat } = this.#options;
    const rates = schedule && [0, steps >> 1, steps - 1].map(schedule);
    return {
      "step to begin from": String(this.#step),
      "set of checkpoints, evaluations and steps after which to stop": JSON.stringify([
        this.#options.checkpoints !== undefined,
        this.#options.evalData !== undefined,
        this.#options.stopAfter ?? null,
      ]),
      "run": JSON.stringify({
        ...{ steps, gradAccum, clip, rates, evalEvery, saveEvery, ema, patience, minDelta, precision, qat },
      }),
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
    const lossScale = this.#precision?.scale ?? null;
    const report: StepReport = {
      ...{ step: this.#step, loss, lr: optimizer.lr, gradNorm, ...speed },
      ...(lossScale === null ? {} : { lossScale }),
    };
    await pace.pause(() => onStep?.(report));
  }

  /** The last step's loss, read from the device. */
  async #finiteLoss(): Promise<number> {
    const loss = await this.#lastLoss!.item();
    if (Number.isFinite(loss)) return loss;
    throw new LossError(
      `the loss is ${loss} at step ${this.#step}`,
      `take a lower learning rate, or clip gradients${
        this.#precision?.scale == null ? "" : ', or take precision "bf16", which reaches further than f16'
      }`,
    );
  }

  /** The held-out loss. */
  async #evaluate(evalData: Iterable<B> | (() => number | Promise<number>)): Promise<number> {
    const { model, onEval } = this.#options, random = randomState();
    const judge = typeof evalData === "function" ? evalData : () => this.#meanLoss(evalData);
    const own = await this.averaged(() => this.quantized(() => evaluating(model, judge)));
    // Ranks that round otherwise still agree on which was the best.
    const loss = this.#parallel?.agree(own) ?? own;
    // Evaluating leaves no trace: the run goes on as it would have without.
    setRandomState(random);
    const isBest = Number.isFinite(loss) && (this.#bestLoss === null || loss < this.#bestLoss);
    if (isBest) this.#bestLoss = loss;
    this.#stopping?.note(loss);
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
      this.#parts,
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
