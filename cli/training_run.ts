/**
 * The loop behind `ferrotype train`: reports, evaluations, checkpoints, Ctrl-C and other signals to stop.
 *
 * What a run reports depends on its settings alone, not on where it was stopped and taken up again, so the log of an
 * interrupted run is the log of a run that went through, but for the speeds in it.
 *
 * @module
 */
import { exit } from "node:process";
import {
  type CausalLM,
  CheckpointManager,
  distributed,
  type DType,
  optim,
  peakFlops,
  SummaryWriter,
  Trainer,
  type TrainingResult,
} from "../mod.ts";
import { abandonAll, joinPath, onStop, stopStatus, writeFileAtomic } from "../src/platform/platform.ts";
import { counted, formatBytes, formatSeconds, LiveLine, note } from "./output.ts";
import { optimizerFor } from "./train_optimizers.ts";
import type { RunSettings } from "./train_settings.ts";
import type { Material } from "./training_material.ts";
import { type LogEntry, TrainingLog } from "./training_log.ts";
import { flopsPerToken } from "./utilisation.ts";

/** Steps between two reports. */
const reportEvery = 10;

/** Where the checkpoints of the run in `out` are. */
export function checkpointsIn(out: string): string {
  return String(joinPath(out, "checkpoints"));
}

function many(n: number): string {
  return n.toLocaleString("en");
}

/** Falls by the same factor this often in the course of `step`. */
const drops = 3;

function scheduleFor(settings: RunSettings): optim.Schedule {
  const { lr, steps, warmup, schedule } = settings,
    minLr = settings["min-lr"],
    options = { lr, steps, warmup, minLr };
  const { constant, cosine, exponential, linear, linearWarmup, noam, step, wsd } = optim.schedules;
  if (schedule === "constant") return linearWarmup({ lr, warmup });
  if (schedule === "linear") return linear(options);
  if (schedule === "wsd") {
    const decay = Math.min(steps - warmup, Math.max(1, Math.round(steps / 5)));
    return wsd(decay > 0 ? { ...options, decay } : { lr, steps, warmup, decay });
  }
  if (schedule === "noam") return noam({ lr, warmup: Math.max(1, warmup) });
  if (schedule === "cosine") return cosine(options);
  const left = Math.max(1, steps - warmup), rising = warmup > 0 ? linearWarmup({ lr, warmup }) : constant(lr);
  const factor = lr > 0 ? minLr / lr : 1;
  const falling = schedule === "exponential"
    ? exponential({ lr, gamma: factor ** (1 / left) })
    : step({ lr, stepSize: Math.ceil(left / (drops + 1)), gamma: factor ** (1 / drops) });
  return (at) => at < warmup ? rising(at) : falling(Math.min(at - warmup, left));
}

/** The optimizer of a run. */
export function optimizerOf(model: CausalLM, settings: RunSettings): optim.Optimizer {
  return optimizerFor(model, settings.optimizer, {
    ...settings,
    weightDecay: settings["weight-decay"],
    stateBits: settings["optimizer-bits"],
  });
}

/** How ranks share the work of a call. */
export interface Sharing {
  zero: 0 | 1 | 2 | undefined;
  wire: "f32" | "bf16" | undefined;
  /** Where the timeline goes. */
  trace: string | undefined;
}

/** What is noted of a call besides. */
export interface Logging {
  /** Where TensorBoard's files go. */
  tensorboard: string | undefined;
  /** Whether the machine's limit is measured. */
  mfu: boolean;
}

/** What of a report TensorBoard draws, by its names in the log. */
const drawn = [
  "loss",
  "eval_loss",
  "eval_accuracy",
  "lr",
  "grad_norm",
  "tokens_per_second",
  "mfu",
  "loss_scale",
] as const;

/** One call's part of a run. */
export class TrainingRun {
  /** Every report of the run. */
  readonly log: TrainingLog;
  /** Seconds that training took. */
  seconds = 0;
  readonly #model: CausalLM;
  readonly #settings: RunSettings;
  readonly #material: Material;
  readonly #out: string;
  readonly #quiet: boolean;
  readonly #sharing: Sharing;
  readonly #line = new LiveLine();
  readonly #logging: Logging;
  /** Tokens a second at which the machine's limit would be reached, where that is asked for. */
  #limit: number | null = null;
  #board: SummaryWriter | null = null;
  /** Of the last evaluation, where there are pairs. */
  #accuracy: number | undefined;

  /** Trains `model` on `material`, and is judged by what of it is held out, in the folder `out`. */
  constructor(
    model: CausalLM,
    settings: RunSettings,
    material: Material,
    out: string,
    quiet: boolean,
    sharing: Sharing,
    logging: Logging,
  ) {
    this.#logging = logging;
    this.#model = model;
    this.#settings = settings;
    this.#material = material;
    this.#out = out;
    this.#quiet = quiet;
    this.#sharing = sharing;
    this.log = new TrainingLog(String(joinPath(out, "log.jsonl")));
  }

  /** Trains, then writes the model: the best of the run, or as it stands when there is nothing to judge by. */
  async go(resume: boolean, stopAfter: number | undefined): Promise<TrainingResult> {
    const settings = this.#settings, controller = new AbortController();
    const checkpoints = new CheckpointManager(checkpointsIn(this.#out));
    const trainer = this.#trainer(checkpoints, controller.signal, stopAfter);
    if (resume) await trainer.resume();
    await distributed.first(() => this.log.cut(trainer.step));
    const { tensorboard, mfu } = this.#logging;
    if (tensorboard !== undefined && distributed.rank === 0) {
      const purgeStep = resume ? { purgeStep: trainer.step + 1 } : {};
      this.#board = new SummaryWriter(tensorboard, purgeStep);
    }
    if (mfu) {
      const flops = flopsPerToken(this.#model, settings["block-size"]);
      this.#limit = distributed.size * await peakFlops() / flops;
    }
    await this.#noteRanks();
    await this.#note(
      `${counted(this.#learning(), "parameter")}${
        settings.lora === null ? "" : ` beside ${settings.init}`
      }; ${this.#material.amount}; ` +
        (resume
          ? `going on after step ${trainer.step} of ${settings.steps}`
          : counted(settings.steps, "step")),
    );
    // A signal ends the run after the step at work; a second one does not want to wait.
    let leaving: Promise<never> | null = null;
    const onSignal = (): void => {
      if (!controller.signal.aborted) return controller.abort();
      abandonAll();
      leaving ??= checkpoints.abandon().catch(() => {}).then(() => {
        // What was begun meanwhile.
        abandonAll();
        exit(stopStatus());
      });
    };
    const remove = onStop(onSignal);
    const started = performance.now();
    try {
      const result = await trainer.run();
      await this.#line.end();
      this.seconds = (performance.now() - started) / 1000;
      const { trace } = this.#sharing, spans = trace === undefined ? [] : trainer.traceEvents();
      await this.#noteShares(trainer);
      await distributed.first(async () => {
        await trainer.averaged(() => this.#write(trainer, result, checkpoints));
        if (trace !== undefined) await writeFileAtomic(trace, JSON.stringify({ traceEvents: spans }));
      });
      await this.#note(this.#summary(result));
      return result;
    } finally {
      // What fails as its files are taken away is no failure to tell of.
      await leaving;
      remove();
      await this.#board?.close();
    }
  }

  /** Notes what was reported, in the log and for TensorBoard. */
  async #log(entry: LogEntry): Promise<void> {
    await this.log.add(entry);
    for (const name of drawn) {
      if (entry[name] !== undefined) this.#board?.addScalar(name, entry[name], entry.step);
    }
    await this.#board?.flush();
  }

  /** Who trains: for whoever reads of a process later, its number is told with its host. */
  async #noteRanks(): Promise<void> {
    if (distributed.size === 1) return;
    const list = distributed.hosts.map((host, rank) => `rank ${rank} on ${host}`).join(", ");
    await this.#note(`${counted(distributed.size, "rank")} by ${distributed.library}: ${list}`);
  }

  /** What memory the optimizer takes here, beside what it would take alone. */
  async #noteShares(trainer: Trainer<unknown>): Promise<void> {
    const owned = trainer.ownedState;
    if (!owned) return;
    // AdamW remembers two numbers of four bytes for each.
    const mb = (elements: number): string => `${(elements * 8 / 1e6).toFixed(2)} MB`;
    await this.#note(
      `optimizer states: ${mb(owned.elements)} on rank 0, ${mb(owned.of)} in all; of ${
        counted(distributed.size, "rank")
      } each has ` +
        `${mb(owned.of / distributed.size)} when divided evenly`,
    );
  }

  /** The model: the best of the run, or as it stands; with --ema its average. */
  async #write(
    trainer: Trainer<unknown>,
    result: TrainingResult,
    checkpoints: CheckpointManager,
  ): Promise<void> {
    const settings = this.#settings, isAdapter = settings.lora !== null;
    const best = result.finished && this.#material.judge ? await checkpoints.loadBest() : null;
    // A checkpoint with an average was judged by it.
    if (best) this.#model.loadStateDict(best.tensors.ema ?? best.tensors.model, { strict: !isAdapter });
    this.#model.eval();
    const { qat } = settings;
    if (isAdapter) await this.#model.saveAdapter(this.#out, { baseModel: settings.init as string });
    else {
      const onWarning = (message: string): void => void note(message);
      // What learned to be ternary is so only in its blocks; what learned for q8 or q4 becomes that by rounding once, and may learn on.
      await (qat === "ternary"
        ? trainer.quantized(() => this.#model.save(this.#out, { onWarning }))
        : this.#model.save(this.#out, { dtype: settings.dtype as DType, onWarning }));
    }
  }

  /** Numbers that learn. */
  #learning(): number {
    return this.#model.parameters().reduce((n, p) => n + (p.requiresGrad ? p.size : 0), 0);
  }

  async #note(text: string): Promise<void> {
    if (this.#quiet) return;
    await this.#line.end();
    await note(text);
  }

  #trainer(
    checkpoints: CheckpointManager,
    signal: AbortSignal,
    stopAfter: number | undefined,
  ): Trainer<unknown> {
    const s = this.#settings, model = this.#model, material = this.#material, { judge } = material;
    const { zero, wire, trace } = this.#sharing;
    const isFirst = distributed.rank === 0;
    return new Trainer<unknown>({
      model,
      data: material.data(),
      optimizer: optimizerOf(model, s),
      schedule: scheduleFor(s),
      loss: (batch) => material.loss(batch),
      steps: s.steps,
      reportEvery,
      gradAccum: s["grad-accum"],
      ...(s["micro-batch"] === null ? {} : { microBatch: s["micro-batch"] }),
      ...(s.precision === "f32" ? {} : { precision: s.precision }),
      ...(s.qat === null ? {} : { qat: s.qat }),
      ...(s.clip > 0 ? { clip: s.clip } : {}),
      ...(s.ema === null ? {} : { ema: s.ema }),
      ...(judge
        ? {
          evalEvery: s["eval-every"],
          ...(s.patience === null ? {} : { patience: s.patience, minDelta: s["min-delta"] }),
          evalData: async () => {
            const { loss, accuracy } = await judge();
            this.#accuracy = accuracy;
            return loss;
          },
          onEval: async (r) => {
            const accuracy = this.#accuracy,
              more = {
                ...(accuracy === undefined ? {} : { eval_accuracy: accuracy }),
                ...(s.qat === null ? {} : { eval_weights: s.qat }),
              };
            if (isFirst) await this.#log({ step: r.step, eval_loss: r.loss, ...more });
            const said = accuracy === undefined
              ? ""
              : `, chosen answers preferred in ${(100 * accuracy).toFixed(1)} %`;
            await this.#note(
              `step ${r.step}: held-out loss${s.qat === null ? "" : ` in ${s.qat}`} ${r.loss.toFixed(4)}${
                r.isBest ? ", the best so far" : ""
              }${said}`,
            );
          },
        }
        : {}),
      checkpoints,
      saveEvery: s["save-every"],
      distributed,
      ...(s.parts === null ? {} : { parts: s.parts }),
      ...(zero === undefined ? {} : { zero }),
      ...(wire === undefined ? {} : { wire }),
      ...(trace === undefined ? {} : { trace: true }),
      signal,
      ...(stopAfter === undefined ? {} : { stopAfter }),
      onWarning: (message) => void note(`warning: ${message}`),
      onStep: async (r) => {
        // A run that was stopped reports its last step too, which one that goes through does not.
        if (isFirst && (r.step % reportEvery === 0 || r.step === s.steps)) {
          const tokens_per_second = Math.round(r.tokensPerSecond);
          await this.#log({
            step: r.step,
            loss: r.loss,
            lr: r.lr,
            // Where gradients overflowed there is no norm.
            ...(Number.isFinite(r.gradNorm) ? { grad_norm: r.gradNorm } : {}),
            ...(r.lossScale === undefined ? {} : { loss_scale: r.lossScale }),
            tokens_per_second,
            ...(this.#limit === null ? {} : { mfu: r.tokensPerSecond / this.#limit }),
          });
        }
        if (this.#quiet) return;
        await this.#line.show(
          `step ${r.step}/${s.steps}  loss ${r.loss.toFixed(4)}  ${
            many(Math.round(r.tokensPerSecond))
          } tokens/s  ${
            this.#limit === null
              ? ""
              : `${(100 * r.tokensPerSecond / this.#limit).toFixed(1)} % of the machine  `
          }` +
            `${formatSeconds(r.secondsLeft)} left`,
        );
      },
    });
  }

  #summary(result: TrainingResult): string {
    const state = result.stoppedEarly
      ? `stopped early after step ${result.step}, as ${this.#settings.patience} evaluations were no better,`
      : result.finished
      ? "done"
      : `${result.interrupted ? "interrupted" : "stopped"} after step ${result.step}; --resume goes on`;
    const { qat } = this.#settings, judged = qat === null ? "" : ` in ${qat}`;
    const best = result.bestLoss === null
      ? ""
      : `; best held-out loss${judged} ${result.bestLoss.toFixed(4)}`;
    const next = qat === null || qat === "ternary"
      ? ""
      : `; convert ${this.#out} OUT --dtype ${qat} writes what was judged`;
    const rows = this.#settings["micro-batch"] === null || !result.microBatch
      ? ""
      : `, with ${counted(result.microBatch, "row")} at once`;
    const peak = result.peakBytes ? `; tensors took at most ${formatBytes(result.peakBytes)}${rows}` : "";
    return `${state} in ${formatSeconds(this.seconds)}${best}; wrote ${this.#out}${next}${peak}`;
  }
}
