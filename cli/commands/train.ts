/**
 * `ferrotype train`: a GPT-2 from a text.
 *
 * The folder it writes is a Hugging Face model's, with `training.json` (what the run was made with), `log.jsonl` and
 * `checkpoints/` beside the model, so that a run can be stopped at any time and taken up again bit for bit.
 *
 * @module
 */
import {
  BpeTokenizer,
  CharTokenizer,
  CheckpointManager,
  type DType,
  evaluate,
  GPT2,
  loadTokenizer,
  manualSeed,
  optim,
  randomBatches,
  type Tensor,
  type Tokenizer,
  Trainer,
  type TrainingResult,
} from "../../mod.ts";
import { joinPath, makeDir, onInterrupt, writeFileAtomic } from "../../src/platform/platform.ts";
import { type Command, UsageError } from "../command.ts";
import { applyDevice, deviceOptions } from "../model.ts";
import { formatSeconds, LiveLine, note, printJson } from "../output.ts";
import { plotLosses } from "../plot.ts";
import { readText } from "../text.ts";
import { newSettings, runOptions, type RunSettings, savedSettings } from "../train_settings.ts";
import { TrainingLog } from "../training_log.ts";

/** The tokenizer of a run: the initial model's, a fresh one, or the one the run began with. */
async function tokenizerFor(
  settings: RunSettings,
  train: string,
  whole: string,
  out: string,
  resume: boolean,
): Promise<Tokenizer> {
  if (resume) return await loadTokenizer(out);
  if (settings.init !== null) return await loadTokenizer(settings.init);
  // Characters are counted over the whole text, as every character must have an id; a BPE learns from its training part.
  if (settings["vocab-size"] === 0) return CharTokenizer.from(whole);
  return BpeTokenizer.train(train, { vocabSize: settings["vocab-size"] });
}

async function modelFor(settings: RunSettings, tokenizer: Tokenizer): Promise<GPT2> {
  const dropout = { residPdrop: settings.dropout, embdPdrop: settings.dropout, attnPdrop: settings.dropout };
  if (settings.init !== null) {
    const model = await GPT2.load(settings.init, { dtype: "f32" });
    if (settings["block-size"] > model.contextLength) {
      throw new UsageError(
        `--block-size ${
          settings["block-size"]
        } is more than the ${model.contextLength} positions of ${settings.init}`,
      );
    }
    return model;
  }
  const ends = tokenizer.eosTokenId === undefined
    ? {}
    : { eosTokenId: tokenizer.eosTokenId, bosTokenId: tokenizer.eosTokenId };
  return new GPT2({
    vocabSize: tokenizer.vocabSize,
    nPositions: settings["block-size"],
    nEmbd: settings["n-embd"],
    nLayer: settings["n-layer"],
    nHead: settings["n-head"],
    ...dropout,
    ...ends,
  });
}

function scheduleFor(settings: RunSettings): optim.Schedule {
  const { lr, steps, warmup, schedule } = settings,
    options = { lr, steps, warmup, minLr: settings["min-lr"] };
  if (schedule === "constant") return optim.schedules.linearWarmup({ lr, warmup });
  return schedule === "linear" ? optim.schedules.linear(options) : optim.schedules.cosine(options);
}

/** AdamW that decays matrices only: biases and norms are left alone, as in GPT-2's own training. */
function optimizerFor(model: GPT2, settings: RunSettings): optim.AdamW {
  const parameters = model.parameters(), decay = settings["weight-decay"];
  return new optim.AdamW([
    { params: parameters.filter((p) => p.shape.length >= 2), weightDecay: decay },
    { params: parameters.filter((p) => p.shape.length < 2), weightDecay: 0 },
  ], { lr: settings.lr, betas: [0.9, settings.beta2] });
}

/** The command. */
export const train: Command = {
  name: "train",
  usage: "TEXTFILE -o DIR [options]",
  summary: "Trains a GPT-2 from a text and writes a Hugging Face model folder.",
  details: "Ctrl-C saves and stops; the same command with --resume goes on, bit for bit.",
  positionals: [1, 1],
  options: {
    out: { short: "o", value: "DIR", help: "where to write (required)" },
    ...runOptions,
    ...deviceOptions,
    resume: { help: "go on with the run in DIR" },
    "stop-after": { value: "N", type: "integer", min: 1, help: "save and stop after N steps of this call" },
    plot: { value: "FILE", help: "draw the loss curve as SVG" },
    quiet: { help: "say nothing while training" },
  },
  async run(values, [path]) {
    const out = values.text("out");
    if (out === undefined) throw new UsageError("train: say where to write with -o DIR");
    const resume = values.flag("resume"), settingsPath = String(joinPath(out, "training.json"));
    await applyDevice(values);
    const text = await readText(path);
    const settings = resume ? await savedSettings(settingsPath, values, path) : newSettings(values, path);
    const cut = Math.floor(text.length * (1 - settings["val-fraction"]));
    const tokenizer = await tokenizerFor(settings, text.slice(0, cut), text, out, resume);
    const ids = Int32Array.from(tokenizer.encode(text.slice(0, cut))),
      held = Int32Array.from(tokenizer.encode(text.slice(cut)));
    manualSeed(settings.seed);
    const model = await modelFor(settings, tokenizer);
    model.tokenizer = tokenizer;
    model.generationConfig = {
      doSample: true,
      temperature: 0.8,
      maxNewTokens: 200,
      ...model.generationConfig,
    };
    const run = new Run(model, settings, ids, held, out, values.flag("quiet"));
    await makeDir(out);
    if (!resume) {
      await writeFileAtomic(settingsPath, `${JSON.stringify(settings, null, 2)}\n`);
      await writeFileAtomic(joinPath(out, "tokenizer.json"), JSON.stringify(tokenizer.toJSON()));
    }
    const result = await run.go(resume, values.number("stop-after"));
    const plot = values.text("plot");
    if (plot !== undefined) {
      await plotLosses(
        plot,
        await run.log.read(),
        `${path}: ${model.numParameters().toLocaleString("en")} parameters`,
      );
    }
    if (values.flag("json")) {
      await printJson({
        out,
        parameters: model.numParameters(),
        steps: settings.steps,
        ...result,
        seconds: run.seconds,
      });
    }
    return result.interrupted ? 130 : 0;
  },
};

/** One call's part of a run. */
class Run {
  readonly log: TrainingLog;
  seconds = 0;
  readonly #model: GPT2;
  readonly #settings: RunSettings;
  readonly #ids: Int32Array;
  readonly #held: Int32Array;
  readonly #out: string;
  readonly #quiet: boolean;
  readonly #line = new LiveLine();

  constructor(
    model: GPT2,
    settings: RunSettings,
    ids: Int32Array,
    held: Int32Array,
    out: string,
    quiet: boolean,
  ) {
    this.#model = model;
    this.#settings = settings;
    this.#ids = ids;
    this.#held = held;
    this.#out = out;
    this.#quiet = quiet;
    this.log = new TrainingLog(String(joinPath(out, "log.jsonl")));
  }

  /** Trains, then writes the model: the best of the run, or as it stands when there is nothing to judge by. */
  async go(resume: boolean, stopAfter: number | undefined): Promise<TrainingResult> {
    const settings = this.#settings, controller = new AbortController();
    const checkpoints = new CheckpointManager(String(joinPath(this.#out, "checkpoints")));
    if (!resume) await this.#refuseOld(checkpoints);
    const trainer = this.#trainer(checkpoints, controller.signal, stopAfter);
    if (resume) await trainer.resume();
    await this.log.cut(trainer.step);
    if (!this.#quiet) {
      await note(
        `${this.#model.numParameters().toLocaleString("en")} parameters; ${
          this.#ids.length.toLocaleString("en")
        } tokens to learn from, ` +
          `${this.#held.length.toLocaleString("en")} held out; ${
            resume ? `going on after step ${trainer.step}` : `${settings.steps} steps`
          }`,
      );
    }
    let presses = 0;
    const remove = onInterrupt(() => {
      if (++presses > 1) throw new Error("interrupted twice");
      controller.abort();
    });
    const started = performance.now();
    try {
      const result = await trainer.run();
      await this.#line.end();
      this.seconds = (performance.now() - started) / 1000;
      const best = result.finished && this.#held.length > 1 ? await checkpoints.loadBest() : null;
      if (best) this.#model.loadStateDict(best.tensors.model);
      await this.#model.eval().save(this.#out, { dtype: settings.dtype as DType });
      if (!this.#quiet) await note(this.#summary(result));
      return result;
    } finally {
      remove();
    }
  }

  async #refuseOld(checkpoints: CheckpointManager): Promise<void> {
    if ((await checkpoints.list()).length) {
      throw new UsageError(`${this.#out} holds a run already; go on with --resume, or name another folder`);
    }
  }

  #trainer(checkpoints: CheckpointManager, signal: AbortSignal, stopAfter: number | undefined): Trainer {
    const s = this.#settings, model = this.#model, blockSize = s["block-size"];
    const enough = this.#held.length > 1;
    return new Trainer<Tensor>({
      model,
      data: randomBatches(this.#ids, { batchSize: s["batch-size"], blockSize, seed: s.seed }),
      optimizer: optimizerFor(model, s),
      schedule: scheduleFor(s),
      steps: s.steps,
      gradAccum: s["grad-accum"],
      ...(s.clip > 0 ? { clip: s.clip } : {}),
      ...(enough
        ? {
          evalEvery: s["eval-every"],
          evalData: async () =>
            (await evaluate(model, this.#held, { blockSize, batchSize: s["batch-size"] })).loss,
        }
        : {}),
      checkpoints,
      saveEvery: s["save-every"],
      signal,
      ...(stopAfter === undefined ? {} : { stopAfter }),
      onStep: async (r) => {
        await this.log.add({
          step: r.step,
          loss: r.loss,
          lr: r.lr,
          grad_norm: r.gradNorm,
          tokens_per_second: Math.round(r.tokensPerSecond),
        });
        if (this.#quiet) return;
        await this.#line.show(
          `step ${r.step}/${s.steps}  loss ${r.loss.toFixed(4)}  ${
            Math.round(r.tokensPerSecond).toLocaleString("en")
          } tokens/s  ` +
            `${formatSeconds(r.secondsLeft)} left`,
        );
      },
      onEval: async (r) => {
        await this.log.add({ step: r.step, eval_loss: r.loss });
        if (this.#quiet) return;
        await this.#line.end();
        await note(
          `step ${r.step}: held-out loss ${r.loss.toFixed(4)}${r.isBest ? ", the best so far" : ""}`,
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
