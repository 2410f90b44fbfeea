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
  evaluate,
  optim,
  randomBatches,
  type Tensor,
  Trainer,
  type TrainingResult,
} from "../mod.ts";
import { abandonAll, joinPath, onStop, stopStatus, writeFileAtomic } from "../src/platform/platform.ts";
import { formatSeconds, LiveLine, note } from "./output.ts";
import { optimizerFor } from "./train_optimizers.ts";
import type { RunSettings } from "./train_settings.ts";
import { TrainingLog } from "./training_log.ts";

/** Steps between two reports. */
const reportEvery = 10;

/** A text as ids: what is learned from, and what is held out. */
export interface TextParts {
  /** What is learned from. */
  readonly ids: Int32Array;
  /** What the model is judged by. */
  readonly held: Int32Array;
}

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
  if (schedule === "wsd") return wsd({ ...options, decay: Math.min(steps - warmup, Math.round(steps / 5)) });
  if (schedule === "noam") return noam({ lr, warmup: Math.max(1, warmup) });
  if (schedule === "cosine") return cosine(options);
  const left = Math.max(1, steps - warmup), rising = warmup > 0 ? linearWarmup({ lr, warmup }) : constant(lr);
  const factor = lr > 0 ? minLr / lr : 1;
  const falling = schedule === "exponential"
    ? exponential({ lr, gamma: factor ** (1 / left) })
    : step({ lr, stepSize: Math.ceil(left / (drops + 1)), gamma: factor ** (1 / drops) });
  return (at) => at < warmup ? rising(at) : falling(Math.min(at - warmup, left));
}

/** How ranks share the work of a call. */
export interface Sharing {
  zero: 0 | 1 | 2 | undefined;
  wire: "f32" | "bf16" | undefined;
  /** Where the timeline goes. */
  trace: string | undefined;
}

/** One call's part of a run. */
export class TrainingRun {
  /** Every report of the run. */
  readonly log: TrainingLog;
  /** Seconds that training took. */
  seconds = 0;
  readonly #model: CausalLM;
  readonly #settings: RunSettings;
  readonly #ids: Int32Array;
  readonly #held: Int32Array;
  readonly #out: string;
  readonly #quiet: boolean;
  readonly #sharing: Sharing;
  readonly #line = new LiveLine();

  /** Trains `model` on `parts.ids`, judged by `parts.held`, in the folder `out`. */
  constructor(
    model: CausalLM,
    settings: RunSettings,
    parts: TextParts,
    out: string,
    quiet: boolean,
    sharing: Sharing,
  ) {
    this.#model = model;
    this.#settings = settings;
    this.#ids = parts.ids;
    this.#held = parts.held;
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
    await this.#noteRanks();
    await this.#note(
      `${many(this.#learning())} parameters${settings.lora === null ? "" : ` beside ${settings.init}`}; ${
        many(this.#ids.length)
      } tokens to learn from, ` +
        `${many(this.#held.length)} held out; ` +
        (resume ? `going on after step ${trainer.step} of ${settings.steps}` : `${settings.steps} steps`),
    );
    // A signal ends the run after the step at work; a second one does not want to wait.
    const onSignal = (): void => {
      if (controller.signal.aborted) {
        abandonAll();
        void checkpoints.abandon().finally(() => exit(stopStatus()));
      } else controller.abort();
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
        await this.#write(result, checkpoints);
        if (trace !== undefined) await writeFileAtomic(trace, JSON.stringify({ traceEvents: spans }));
      });
      await this.#note(this.#summary(result));
      return result;
    } finally {
      remove();
    }
  }

  /** Who trains: for whoever reads of a process later, its number is told with its host. */
  async #noteRanks(): Promise<void> {
    if (distributed.size === 1) return;
    const list = distributed.hosts.map((host, rank) => `rank ${rank} on ${host}`).join(", ");
    await this.#note(`${distributed.size} ranks by ${distributed.library}: ${list}`);
  }

  /** What memory the optimizer takes here, beside what it would take alone. */
  async #noteShares(trainer: Trainer): Promise<void> {
    const owned = trainer.ownedState;
    if (!owned) return;
    // AdamW remembers two numbers of four bytes for each.
    const mb = (elements: number): string => `${(elements * 8 / 1e6).toFixed(2)} MB`;
    await this.#note(
      `optimizer states: ${mb(owned.elements)} on rank 0, ${
        mb(owned.of)
      } in all; of ${distributed.size} ranks each has ` +
        `${mb(owned.of / distributed.size)} when divided evenly`,
    );
  }

  /** The model: the best of the run, or as it stands. */
  async #write(result: TrainingResult, checkpoints: CheckpointManager): Promise<void> {
    const settings = this.#settings, isAdapter = settings.lora !== null;
    const best = result.finished && this.#held.length > 1 ? await checkpoints.loadBest() : null;
    if (best) this.#model.loadStateDict(best.tensors.model, { strict: !isAdapter });
    this.#model.eval();
    if (isAdapter) await this.#model.saveAdapter(this.#out, { baseModel: settings.init as string });
    else {
      await this.#model.save(this.#out, {
        dtype: settings.dtype as DType,
        onWarning: (message) => void note(message),
      });
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

  #trainer(checkpoints: CheckpointManager, signal: AbortSignal, stopAfter: number | undefined): Trainer {
    const s = this.#settings, model = this.#model, blockSize = s["block-size"];
    const enough = this.#held.length > 1, { zero, wire, trace } = this.#sharing;
    const isFirst = distributed.rank === 0;
    return new Trainer<Tensor>({
      model,
      data: randomBatches(this.#ids, { batchSize: s["batch-size"], blockSize, seed: s.seed }),
      optimizer: optimizerFor(model, s.optimizer, { ...s, weightDecay: s["weight-decay"] }),
      schedule: scheduleFor(s),
      // What is held out is judged by the plain cross-entropy.
      loss: (ids) => model.loss(ids, undefined, { labelSmoothing: s["label-smoothing"], zLoss: s["z-loss"] }),
      steps: s.steps,
      reportEvery,
      gradAccum: s["grad-accum"],
      ...(s.clip > 0 ? { clip: s.clip } : {}),
      ...(enough
        ? {
          evalEvery: s["eval-every"],
          evalData: async () =>
            (await evaluate(model, this.#held, { blockSize, batchSize: s["batch-size"] })).loss,
          onEval: async (r) => {
            if (isFirst) await this.log.add({ step: r.step, eval_loss: r.loss });
            await this.#note(
              `step ${r.step}: held-out loss ${r.loss.toFixed(4)}${r.isBest ? ", the best so far" : ""}`,
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
          await this.log.add({
            step: r.step,
            loss: r.loss,
            lr: r.lr,
            grad_norm: r.gradNorm,
            tokens_per_second,
          });
        }
        if (this.#quiet) return;
        await this.#line.show(
          `step ${r.step}/${s.steps}  loss ${r.loss.toFixed(4)}  ${
            many(Math.round(r.tokensPerSecond))
          } tokens/s  ` +
            `${formatSeconds(r.secondsLeft)} left`,
        );
      },
    });
  }

  #summary(result: TrainingResult): string {
    const state = result.finished
      ? "done"
      : `${result.interrupted ? "interrupted" : "stopped"} after step ${result.step}; --resume goes on`;
    const best = result.bestLoss === null ? "" : `; best held-out loss ${result.bestLoss.toFixed(4)}`;
    return `${state} in ${formatSeconds(this.seconds)}${best}; wrote ${this.#out}`;
  }
}
