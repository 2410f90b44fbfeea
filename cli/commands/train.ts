/**
 * `ferrotype train`: a language model from a text.
 *
 * The folder it writes is a Hugging Face model's, with `training.json` (what the run was made with), `log.jsonl` and
 * `checkpoints/` beside the model, so that a run can be stopped at any time and taken up again bit for bit.
 *
 * @module
 */
import { whole } from "../../src/core/kinds.ts";
import {
  BpeTokenizer,
  CausalLM,
  CharTokenizer,
  CheckpointManager,
  distributed,
  FormatError,
  manualSeed,
  nn,
  optim,
  setThreads,
  type Tokenizer,
  Trainer,
  useDeterministicAlgorithms,
} from "../../mod.ts";
import {
  exists,
  hardwareConcurrency,
  joinPath,
  readDir,
  remove,
  rename,
  startHash,
  stopStatus,
  writeFileAtomic,
  writeFiles,
} from "../../src/platform/platform.ts";
import { type Command, UsageError, type Values } from "../command.ts";
import { applyDevice, deviceIdle, deviceOptions } from "../model.ts";
import { counted, note, printJson } from "../output.ts";
import { demandCalledAlike } from "../ranks.ts";
import { demandFolder, demandPlace, letters, strangersIn } from "../place.ts";
import { adapterFile, isOfRun, modelFile, runNotes } from "../run_files.ts";
import { loadPlotter } from "../plot.ts";
import { readText, splitText } from "../text.ts";
import { runOptions } from "../train_options.ts";
import { runIdle } from "../train_rules.ts";
import {
  demandSameText,
  digest,
  newSettings,
  type RunSettings,
  type SavedSettings,
  savedSettings,
  sizesOf,
} from "../train_settings.ts";
import { exampleMaterial, type Material, preferenceMaterial, textMaterial } from "../training_material.ts";
import { checkpointsIn, optimizerOf, TrainingRun } from "../training_run.ts";

/** The tokenizer of a run that begins afresh. */
function freshTokenizer(settings: RunSettings, whole: string): Tokenizer {
  // Characters are counted over the whole text, as every character must have an id; a BPE learns from its training part.
  if (settings["vocab-size"] === 0) return CharTokenizer.from(whole);
  const [train] = splitText(whole, settings["val-fraction"]);
  return BpeTokenizer.train(train, { vocabSize: settings["vocab-size"] });
}

/** What says which model a run begins from, and how it is loaded. */
interface Beginning {
  init: string | null;
  lora: number | null;
  dropout: number;
  "block-size": number;
}

/** The model that a run begins from, where it does not begin afresh. */
async function initialModel(
  { init, lora, dropout, "block-size": blockSize }: Beginning,
): Promise<CausalLM | null> {
  if (init === null) return null;
  const model = await CausalLM.load(init, {
    // What stays as it is may lie in blocks.
    ...(lora === null ? { dtype: "f32", dropout } : {}),
    onWarning: (message) => void note(message),
  });
  if (!model.tokenizer) {
    throw new FormatError(`--init ${init}: the model has no tokenizer to read texts with`);
  }
  if (blockSize <= model.contextLength) return model;
  throw new UsageError(
    `--block-size ${blockSize} is more than the ${counted(model.contextLength, "position")} of ${init}`,
  );
}

/** The model of a run that begins afresh. */
async function freshModel(settings: RunSettings, tokenizer: Tokenizer): Promise<CausalLM> {
  const end = tokenizer.eosTokenId,
    sizes = {
      ...sizesOf(settings, tokenizer.vocabSize),
      ...(end === undefined ? {} : { endTokenId: end }),
    };
  const model = await CausalLM.fromSizes(settings.family, sizes, { dropout: settings.dropout });
  model.tokenizer = tokenizer;
  return model;
}

/** The model of a run that goes on from a checkpoint, which holds its weights, or its adapter's. */
async function begunModel(settings: SavedSettings, out: string): Promise<CausalLM> {
  if (settings.lora !== null) return await sameModel(settings) as CausalLM;
  const model = await CausalLM.fromConfig(settings.config);
  await model.loadTokenizer(await tokenizerIn(out));
  model.generationConfig = settings.generation;
  return model;
}

/** The model that the run of `settings` was begun from, where it was not begun afresh. */
async function sameModel(settings: SavedSettings): Promise<CausalLM | null> {
  const model = await initialModel(settings);
  // Runs of before that was noted say it where there is an adapter.
  if (!model || settings.base_sha256 === null || await fingerprint(model) === settings.base_sha256) {
    return model;
  }
  throw new UsageError(
    `--resume: ${settings.init} holds other weights than those that the ${
      settings.lora === null ? "run was begun from" : "adapter was begun beside"
    }`,
  );
}

/** The model that answers are measured against: what --init named when the run was begun. */
async function referenceOf(settings: RunSettings, saved: SavedSettings | null): Promise<CausalLM> {
  const init = settings.init as string;
  const reference = await CausalLM.load(init, { dtype: "f32", onWarning: (message) => void note(message) });
  if (saved && await fingerprint(reference) !== saved.base_sha256) {
    throw new UsageError(
      `--resume: ${init} holds other weights than those that answers were measured against when the run was begun`,
    );
  }
  return reference.eval();
}

/** Puts the adapter of a run beside its model. */
function adapt(model: CausalLM, settings: RunSettings): void {
  const { lora: rank, rslora, dora, "lora-targets": targets } = settings;
  if (rank === null) return;
  nn.lora(model, {
    rank,
    alpha: settings["lora-alpha"] as number,
    dropout: settings["lora-dropout"] as number,
    rslora,
    dora,
    ...(targets === null
      ? {}
      : { targets: targets === "all-linear" ? targets : targets.split(",").map((name) => name.trim()) }),
  });
}

/** SHA-256 of all weights of a model, in hexadecimal digits. */
async function fingerprint(model: CausalLM): Promise<string> {
  const hash = startHash("sha256");
  for (const p of model.parameters()) {
    // What lies in blocks is read as it lies.
    const data = await (p.shape.length === 2 && !p.isContiguous ? p.detach().t() : p.detach()).data();
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return await hash.digest();
}

/** The folder with the tokenizer of the run in `out`. */
async function tokenizerIn(out: string): Promise<string> {
  const own = checkpointsIn(out);
  return await exists(joinPath(own, "tokenizer.json")) ? own : out;
}

/**
 * A run that ended before its first checkpoint is begun anew without a question.
 * @throws {UsageError} where `out` holds what was not written by a run, a tokenizer for one.
 */
async function demandRoom(out: string, isAdapter: boolean, force: boolean): Promise<void> {
  const written = isAdapter ? adapterFile : modelFile, isRun = await exists(joinPath(out, "training.json"));
  // A run that was killed before its settings were written leaves a tokenizer there, and files that were on their way.
  const checkpoints = checkpointsIn(out),
    isBegun = await exists(checkpoints) &&
      (await readDir(checkpoints)).every(({ name }) => name.startsWith(".") || modelFile.test(name));
  await demandFolder("train", out, force, {
    replaces: (name) =>
      !isRun && !isBegun && name === "checkpoints" || written.test(name) || Object.hasOwn(runNotes, name),
    is: (name, head) => runNotes[name]?.test(letters(head, 16)) ?? false,
  });
}

/**
 * Removes the run in `out`, whose checkpoints would be taken for those of the one that takes its place.
 * @throws {UsageError} where something else is among them.
 */
async function forget(out: string): Promise<void> {
  const [stranger] = await strangersIn(
    checkpointsIn(out),
    (path, isFolder) => isOfRun(`checkpoints/${path}`, isFolder),
  );
  if (stranger !== undefined) {
    throw new UsageError(
      `train: ${stranger} is there, where checkpoints would be removed, and is no part of a run; move it away, or name another folder`,
    );
  }
  // A folder that is half removed must not look like a run.
  const aside = joinPath(out, ".checkpoints.old");
  await remove(aside);
  await rename(checkpointsIn(out), aside);
  await remove(aside);
  await note(`replacing the run in ${out}`);
}

/** The text of a run, or where its examples are. */
interface Given {
  readonly path: string;
  /** Null for examples. */
  readonly text: string | null;
}

/** What is given. @throws {UsageError} where that is nothing, or two things. */
async function given(values: Values, file: string | undefined): Promise<Given> {
  const data = values.text("data");
  if ((file === undefined) === (data === undefined)) {
    throw new UsageError(
      `train: give ${file === undefined ? "" : "either "}a TEXTFILE or examples with --data FILE${
        file === undefined ? "" : ", not both"
      }`,
    );
  }
  if (file === undefined) {
    if (values.has("init") || values.flag("resume")) return { path: data!, text: null };
    throw new UsageError("train: examples are for a model that is there; name it with --init MODEL");
  }
  const text = await readText(file);
  if (text === "") throw new UsageError(`train: ${file} is empty; there is nothing to learn from`);
  return { path: file, text };
}

/** Begins a run in `out`, or finds the one that is there: its settings, tokenizer, model and what it learns from. */
async function prepare(
  values: Values,
  { path, text }: Given,
  out: string,
): Promise<{ settings: RunSettings; model: CausalLM; material: Material }> {
  const settingsPath = String(joinPath(out, "training.json")), resume = values.flag("resume");
  // One rank looks and writes; the others do what it does.
  const isFirst = distributed.rank === 0;
  const hasCheckpoint = (isFirst || resume) && await exists(checkpointsIn(out)) &&
    (await new CheckpointManager(checkpointsIn(out)).list()).length > 0;
  if (!resume && hasCheckpoint && !values.flag("force")) {
    throw new UsageError(
      `${out} holds a run already; go on with --resume, give --force to begin another in its place, or name another folder`,
    );
  }
  const written = values.has("lora") ? "adapter_config.json" : "config.json";
  if (isFirst && !resume && !values.flag("force") && await exists(joinPath(out, written))) {
    throw new UsageError(
      `${out} holds a model already; give --force to train another in its place, or name another folder`,
    );
  }
  if (isFirst && !resume) await demandRoom(out, values.has("lora"), values.flag("force"));
  const sha256 = text === null ? "" : await digest(text);
  const saved = resume ? await savedSettings(settingsPath, values) : null;
  if (saved && text !== null) demandSameText(saved, path, sha256);
  // A run that ended before its first checkpoint goes on from its beginning, in the way in which it was begun.
  const begun = !saved
    ? await initialModel({
      init: values.text("init") ?? null,
      lora: values.number("lora") ?? null,
      dropout: values.number("dropout") ?? 0,
      "block-size": values.number("block-size") ?? 0,
    })
    : hasCheckpoint
    ? await begunModel(saved, out)
    : await sameModel(saved);
  const settings: RunSettings & Partial<SavedSettings> = saved ??
    newSettings(values, path, begun?.contextLength ?? Infinity, distributed.size);
  const base = saved ? saved.base_sha256 : begun && await fingerprint(begun);
  // Weights are drawn by kernels, too.
  useDeterministicAlgorithms(settings.deterministic);
  manualSeed(settings.seed);
  const model = begun ?? await freshModel(settings, freshTokenizer(settings, text!));
  const isDpo = settings.objective === "dpo";
  const reference = isDpo && settings.lora === null ? await referenceOf(settings, saved) : null;
  const material = isDpo
    ? await preferenceMaterial(model, settings, path, reference)
    : text === null
    ? await exampleMaterial(model, settings, path)
    : textMaterial(model, settings, { text, path, sha256 }) as Material;
  if (saved && text === null) demandSameText(saved, path, material.sha256);
  if (settings.patience !== null && !material.judge) {
    throw new UsageError(
      `train: --patience ${settings.patience} counts evaluations, and of ${path} nothing is held out; take a larger --val-fraction`,
    );
  }
  // What cannot be trained on, or with, is refused before anything is written.
  material.data();
  adapt(model, settings);
  optimizerOf(model, settings);
  if (settings.qat !== null) {
    new Trainer({
      ...{ model, data: material.data(), loss: (batch: unknown) => material.loss(batch), steps: 1 },
      optimizer: new optim.SGD(model.parameters(), { lr: settings.lr }),
      qat: settings.qat,
      onWarning: () => {},
    });
  }
  model.gradientCheckpointing = settings["gradient-checkpointing"];
  model.generationConfig = { doSample: true, temperature: 0.8, maxNewTokens: 200, ...model.generationConfig };
  if (!resume && isFirst) {
    if (hasCheckpoint) await forget(out);
    else if (await exists(settingsPath)) await note(`replacing the run in ${out}, which has no checkpoint`);
    // The model that `out` may hold stays whole, with its own tokenizer, until the new one is there.
    await writeFiles(checkpointsIn(out), model.tokenizerFiles());
    const all = {
      ...settings,
      text_sha256: material.sha256,
      base_sha256: base,
      config: model.toConfig(),
      generation: model.generationConfig,
    };
    await writeFileAtomic(settingsPath, `${JSON.stringify(all, null, 2)}\n`);
  }
  return { settings, model, material };
}

/** Of what was asked for: what does nothing in a run of so few steps, a line each. */
function* unreached(values: Values, { steps, "eval-every": evalEvery }: RunSettings): Generator<string> {
  const run = `the run has ${counted(steps, "step")}`;
  for (const [name, what] of [["save-every", "saved"], ["eval-every", "judged"]]) {
    const every = values.number(name);
    if (every !== undefined && every >= steps) {
      yield `--${name} ${every}: ${run}, so it is ${what} at its end alone`;
    }
  }
  const patience = values.number("patience"), evaluations = Math.ceil(steps / evalEvery);
  // The first evaluation is the best so far, and what the last one finds ends nothing early.
  if (patience !== undefined && patience + 1 >= evaluations) {
    yield `--patience ${patience}: ${run} and ${
      counted(evaluations, "evaluation")
    }, so it cannot end early; take a smaller --eval-every`;
  }
}

/** The command. */
export const train: Command = {
  name: "train",
  ranks: true,
  usage: "TEXTFILE|--data FILE -o DIR [options]",
  summary: "Trains a language model from a text or examples and writes a Hugging Face model folder.",
  details:
    'Examples are JSON lines: {"prompt", "completion"}, {"messages"} by the model\'s chat template, or {"text"}; ' +
    'with --objective dpo {"prompt", "chosen", "rejected"}. ' +
    "Started by mpirun or srun --mpi=…, its ranks train together: each reads its part of every batch. " +
    "Ctrl-C (or SIGTERM) saves and stops; the same command with --resume goes on, bit for bit on this machine and runtime " +
    "(with --deterministic on any).",
  positionals: [0, 1],
  calls: {
    family: "model_type",
    "n-kv-head": "kvHeads",
    "n-inner": "innerWidth",
    "block-size": "contextLength",
    "optimizer-bits": "stateBits",
    "lora-targets": "targets",
  },
  options: {
    out: { short: "o", value: "DIR", help: "where to write (required)" },
    data: {
      value: "FILE",
      help: "with --init: learn from examples, a line of JSON each, of a file of any size",
    },
    ...runOptions,
    ...deviceOptions,
    resume: { help: "go on with the run in DIR" },
    force: {
      help: "train over what DIR holds, be it a model, a run or a tokenizer; without it they are refused",
    },
    "stop-after": { value: "N", kind: whole(1), help: "save and stop after N steps of this call" },
    trace: {
      value: "FILE",
      help: "write what every rank does when, as JSON for Chrome's tracing page or Perfetto",
    },
    plot: { value: "FILE", help: "draw the loss curve as SVG" },
    tensorboard: { value: "DIR", help: "write what is reported into DIR for TensorBoard, too" },
    mfu: { help: "measure the machine's limit first, and note what part of it the model's operations use" },
    quiet: { help: "say nothing while training" },
  },
  idle: [
    ...deviceIdle,
    ...runIdle,
    {
      option: "force",
      when: ({ resume }) => resume === true,
      because: "--resume goes on with what is there",
    },
  ],
  async run(values, [path]) {
    const out = values.text("out");
    if (out === undefined) throw new UsageError("train: say where to write with -o DIR");
    await demandPlace("train", values, "plot", "no plot", "<svg");
    await demandPlace("train", values, "trace", "no trace", '{"traceEvents"');
    const plotPath = values.text("plot"), plot = plotPath === undefined ? null : await loadPlotter();
    await distributed.init();
    demandCalledAlike(distributed, train, values);
    await applyDevice(values);
    // Ranks of one host share its processors.
    if (!values.has("threads") && distributed.size > 1) {
      await setThreads(Math.max(1, Math.floor(hardwareConcurrency() / distributed.onThisHost)));
    }
    const { settings, model, material } = await prepare(values, await given(values, path), out);
    const isFirst = distributed.rank === 0;
    if (isFirst) { for (const line of unreached(values, settings)) await note(line); }
    const run = new TrainingRun(model, settings, material, out, values.flag("quiet") || !isFirst, {
      zero: values.number("zero") as 0 | 1 | 2 | undefined,
      wire: values.text("wire") as "f32" | "bf16" | undefined,
      trace: values.text("trace"),
    }, { tensorboard: values.text("tensorboard"), mfu: values.flag("mfu") });
    const result = await run.go(values.flag("resume"), values.number("stop-after"));
    await material.close();
    const parameters = model.numParameters();
    if (plotPath !== undefined && isFirst) {
      const title = `${settings.text}: ${counted(parameters, "parameter")}`;
      await plot?.(plotPath, await run.log.read(), title);
    }
    if (values.flag("json") && isFirst) {
      const { step, loss, bestLoss, finished, stoppedEarly, interrupted, peakBytes } = result,
        { seconds } = run;
      const { steps } = settings;
      await printJson({
        out,
        parameters,
        steps,
        step,
        loss,
        best_loss: bestLoss,
        finished,
        stopped_early: stoppedEarly,
        interrupted,
        seconds,
        peak_bytes: peakBytes,
      });
    }
    return result.interrupted ? stopStatus() : 0;
  },
};
