/**
 * What a training run is made with: read from the options, kept beside the model, and taken up again by `--resume`.
 *
 * @module
 */
import { either, type Kind, kind, number, oneOf, someText, whole } from "../src/core/kinds.ts";
import { FormatError, type GenerateOptions } from "../mod.ts";
import { exists, readTextFile } from "../src/platform/platform.ts";
import { findLauncher } from "../src/platform/mpi_launcher.ts";
import type { Idle } from "../src/core/options.ts";
import { optimizers, optimizersWith } from "./train_optimizers.ts";
import { type Given, type Options, UsageError, type Values } from "./command.ts";

/** Sizes of a vocabulary: 0 for characters, or room for all 256 bytes and what ends a text. */
export const vocabularySize: Kind = either(whole(257), kind("0", (x) => x === 0));

function oneOfNumbers(...values: readonly number[]): Kind {
  return { ...oneOf(...values), read: (text) => /^\d+$/.test(text) ? Number(text) : text };
}

/** Options that say how ranks share the work, and not what comes of it: a run may go on with others. */
const sharing: readonly string[] = ["zero", "wire"];
/** Schedules: after the warm-up all end at min-lr but constant and noam, which falls with the root of the steps. */
const scheduleNames = ["cosine", "linear", "constant", "step", "exponential", "noam", "wsd"] as const;

/** The options that make a run what it is. */
export const runOptions: Options = {
  init: { value: "MODEL", help: "begin from this model's weights and tokenizer (fine-tuning)" },
  family: {
    value: "NAME",
    kind: someText,
    help: "kind of model: gpt2, llama, qwen3 and others that are read (default gpt2)",
  },
  lora: {
    value: "RANK",
    kind: whole(1, 65_536),
    help: "with --init: the model stays as it is, and an adapter of this rank learns beside it",
  },
  "lora-alpha": {
    value: "A",
    kind: number({ above: 0 }),
    help: "what the adapter counts, over its rank (default: twice the rank)",
  },
  "lora-targets": {
    value: "A,B",
    kind: someText,
    help:
      "layers that it stands beside, by the ends of their names, or all-linear (default: queries and values)",
  },
  "lora-dropout": {
    value: "P",
    kind: number({ from: 0, to: 0.99 }),
    help: "dropout of what goes into the adapter (default 0)",
  },
  rslora: { help: "the adapter counts alpha over the root of its rank" },
  dora: { help: "the adapter learns the lengths of rows apart" },
  "n-layer": { value: "N", kind: whole(1, 65_536), help: "blocks (default 4)" },
  "n-head": { value: "N", kind: whole(1), help: "attention heads (default 4)" },
  "n-kv-head": {
    value: "N",
    kind: whole(1),
    help: "heads of keys and values, in families that have fewer of them (default: n-head)",
  },
  "n-embd": { value: "N", kind: whole(1), help: "width (default 128)" },
  "n-inner": { value: "N", kind: whole(1), help: "inner width of the MLP (default: as the family has it)" },
  "block-size": {
    value: "N",
    kind: whole(2),
    help: "tokens the model looks back on (default 128, or all that --init MODEL takes where that is less)",
  },
  dropout: { value: "P", kind: number({ from: 0, to: 0.99 }), help: "dropout while training (default 0)" },
  "vocab-size": {
    value: "N",
    kind: vocabularySize,
    help: "tokens of a byte-level BPE; 0: characters (default 0)",
  },
  "batch-size": { value: "N", kind: whole(1), help: "sequences in a batch (default 16)" },
  "grad-accum": { value: "N", kind: whole(1, 65_536), help: "batches to a step (default 1)" },
  steps: { value: "N", kind: whole(1), help: "steps of the whole run (default 2000)" },
  optimizer: {
    value: "NAME",
    kind: oneOf(...Object.keys(optimizers)),
    help: `${Object.keys(optimizers).join(", ")} (default adamw)`,
  },
  momentum: {
    value: "M",
    kind: number({ from: 0, to: 0.99999 }),
    help: `momentum of ${optimizersWith("momentum").join(", ")} (default: ${
      optimizersWith("momentum").map((name) => optimizers[name].momentum).join(", ")
    })`,
  },
  lr: {
    value: "R",
    kind: number({ from: 0 }),
    help: `highest learning rate (default: ${
      Object.entries(optimizers).map(([name, { lr }]) => `${name} ${lr}`).join(", ")
    }; with --init a tenth, with --lora a fifth; a tenth of that for dpo)`,
  },
  "min-lr": {
    value: "R",
    kind: number({ from: 0 }),
    help: "learning rate at the end (default: a tenth of lr)",
  },
  warmup: {
    value: "N",
    kind: whole(0),
    help: "steps in which the rate rises (default: a twentieth of steps)",
  },
  schedule: {
    value: "NAME",
    kind: oneOf(...scheduleNames),
    help: `how the rate falls: ${scheduleNames.join(", ")} (default cosine)`,
  },
  "weight-decay": {
    value: "W",
    kind: number({ from: 0 }),
    help: "decay of matrices (default: adamw, muon 0.1, lion 1, others and --lora 0)",
  },
  beta2: {
    value: "B",
    kind: number({ from: 0, to: 0.99999 }),
    help: `second beta of ${optimizersWith("beta2").join(", ")} (default 0.99)`,
  },
  clip: { value: "N", kind: number({ from: 0 }), help: "largest gradient norm; 0: no clipping (default 1)" },
  "label-smoothing": {
    value: "P",
    kind: number({ from: 0, to: 1 }),
    help: "how much of each target is spread evenly over the vocabulary while training (default 0)",
  },
  "z-loss": {
    value: "C",
    kind: number({ from: 0 }),
    help: "adds C times the square of the logarithm of what softmax divides by to the loss (default 0)",
  },
  ema: {
    value: "D",
    kind: number({ from: 0, below: 1 }),
    help:
      "average the weights, D of it staying at a step (0.999); the average is what is judged and written (default: none)",
  },
  shuffle: {
    value: "HOW",
    kind: oneOf("random", "epoch"),
    help: "random: windows anywhere in the text; epoch: each once before any comes again (default random)",
  },
  objective: {
    value: "NAME",
    kind: oneOf("cross-entropy", "dpo"),
    help:
      'dpo: with --data of {"prompt", "chosen", "rejected"}, the chosen answer becomes likelier than the other (default cross-entropy)',
  },
  beta: {
    value: "B",
    kind: number({ above: 0 }),
    help: "with --objective dpo: more, the less the model may move from where it began (default 0.1)",
  },
  pack: { help: "with --data: as many examples in a row as fit, each of which sees itself alone" },
  "train-on-prompt": { help: "with --data: prompts and what users say are learned too" },
  seed: { value: "N", kind: whole(0), help: "of weights, batches and dropout (default 1337)" },
  "val-fraction": {
    value: "F",
    kind: number({ from: 0, to: 0.9 }),
    help: "the end of the text that is held out (default 0.1)",
  },
  "eval-every": {
    value: "N",
    kind: whole(1),
    help: "steps between evaluations (default: a tenth of steps)",
  },
  patience: {
    value: "N",
    kind: whole(1),
    help: "stop after N evaluations in a row of which none was better (default: all steps are done)",
  },
  "min-delta": {
    value: "D",
    kind: number({ from: 0 }),
    help: "by how much a held-out loss has to be lower to be better for --patience (default 0)",
  },
  "save-every": {
    value: "N",
    kind: whole(1),
    help: "steps between checkpoints (default: eval-every)",
  },
  deterministic: {
    help: "the same bits on every runtime and machine, without fused instructions and BLAS: slower",
  },
  zero: {
    value: "N",
    kind: oneOfNumbers(0, 1, 2),
    help:
      "under mpirun or srun: 1 divides the optimizer's states over ranks, 2 the gradients too (default 0)",
  },
  wire: {
    value: "TYPE",
    kind: oneOf("f32", "bf16"),
    help:
      "what gradients are sent as between ranks; bf16 is half the bytes, each rounded by up to 2^-8 (default f32)",
  },
  dtype: {
    value: "TYPE",
    kind: oneOf("f32", "f16", "bf16"),
    help: "how the model is stored (training is in f32; default f32)",
  },
};

const shape = ["family", "n-layer", "n-head", "n-kv-head", "n-embd", "n-inner", "vocab-size"] as const;
/** Options with no value of their own: on from the beginning, or never. */
const flags = ["rslora", "dora", "pack", "train-on-prompt"] as const;
const ofLora = ["lora-alpha", "lora-targets", "lora-dropout", "rslora", "dora"] as const;
const hasNo = (setting: "momentum" | "beta2") => ({ optimizer = "adamw", resume }: Given): boolean =>
  !resume && !optimizersWith(setting).includes(optimizer as string);

/** Options of a run that have no effect beside others. */
export const runIdle: readonly Idle<Given>[] = [
  { option: shape, when: ({ init }) => init !== undefined, because: "it is the model's own with --init" },
  {
    option: ofLora,
    when: ({ lora, resume }) => !resume && lora === undefined,
    because: "there is no --lora RANK",
  },
  {
    option: "lora",
    when: ({ init, resume }) => !resume && init === undefined,
    because: "an adapter stands beside a trained model, which --init MODEL names",
  },
  {
    option: ["dropout", "dtype"],
    when: ({ lora }) => lora !== undefined,
    because: "the model stays as it is with --lora, whose own dropout is --lora-dropout",
  },
  ...(["momentum", "beta2"] as const).map((option): Idle<Given> => ({
    option,
    when: hasNo(option),
    because: ({ optimizer = "adamw" }) => `--optimizer ${optimizer} has none`,
  })),
  {
    option: "min-lr",
    when: ({ schedule }) => schedule === "constant" || schedule === "noam",
    because: ({ schedule }) =>
      schedule === "noam"
        ? "--schedule noam falls with the root of the steps"
        : "the rate of --schedule constant does not fall",
  },
  {
    option: ["eval-every", "patience"],
    when: (given) => given["val-fraction"] === 0,
    because: "--val-fraction 0 holds nothing out",
  },
  ...([["zero", 0], ["wire", "f32"]] as const).map(([option, unless]): Idle<Given> => ({
    option,
    when: () => findLauncher() === null,
    because: "one process trains alone; mpirun -n 2 or srun starts ranks",
    unless,
  })),
  {
    option: "objective",
    when: ({ data, resume }) => !resume && data === undefined,
    because: "there is no --data FILE",
    unless: "cross-entropy",
  },
  {
    option: "beta",
    when: ({ objective, resume }) => !resume && objective !== "dpo",
    because: "there is no --objective dpo",
  },
  {
    option: ["pack", "train-on-prompt", "label-smoothing", "z-loss"],
    when: ({ objective }) => objective === "dpo",
    because: "--objective dpo compares two answers, a row each",
  },
  {
    option: ["pack", "train-on-prompt"],
    when: ({ data, resume }) => !resume && data === undefined,
    because: "there is no --data FILE",
  },
  {
    option: "shuffle",
    when: ({ data }) => data !== undefined,
    because: "examples come once an epoch, in another order each",
  },
  {
    option: "min-delta",
    when: ({ patience, resume }) => !resume && patience === undefined,
    because: "there is no --patience N",
  },
  {
    option: ["deterministic", "mfu"],
    when: ({ device }) => device === "webgpu" || device === "reference",
    because: "it belongs to the cpu device",
  },
  {
    option: "stop-after",
    when: ({ resume, steps = 2000, "stop-after": after }) => !resume && (after as number) > (steps as number),
    because: "the run has fewer steps",
  },
];

/** Every value filled in. */
export interface RunSettings {
  /** The name of the text or the examples, without its folder. */
  text: string;
  /** Whether it is examples. */
  data: boolean;
  init: string | null;
  lora: number | null;
  "lora-alpha": number | null;
  "lora-targets": string | null;
  "lora-dropout": number | null;
  rslora: boolean;
  dora: boolean;
  family: string;
  "n-layer": number;
  "n-head": number;
  "n-kv-head": number | null;
  "n-embd": number;
  "n-inner": number | null;
  "block-size": number;
  dropout: number;
  "vocab-size": number;
  "batch-size": number;
  "grad-accum": number;
  steps: number;
  optimizer: string;
  momentum: number;
  lr: number;
  "min-lr": number;
  warmup: number;
  schedule: string;
  "weight-decay": number;
  beta2: number;
  clip: number;
  "label-smoothing": number;
  "z-loss": number;
  ema: number | null;
  shuffle: string;
  objective: string;
  beta: number | null;
  pack: boolean;
  "train-on-prompt": boolean;
  seed: number;
  "val-fraction": number;
  "eval-every": number;
  patience: number | null;
  "min-delta": number;
  "save-every": number;
  deterministic: boolean;
  dtype: string;
  /** Into how many parts a batch is cut in deterministic mode, whatever the number of ranks. */
  parts: number | null;
}

/** What is kept of a run. */
export interface SavedSettings extends RunSettings {
  /** SHA-256 of the text. */
  text_sha256: string;
  /** The model's, as its config.json says it. */
  config: Record<string, unknown>;
  /** Its own options of generation. */
  generation: GenerateOptions;
  /** SHA-256 of the weights that the run began from, or that an adapter stands beside; null where it began afresh. */
  base_sha256: string | null;
}

/** What runs of before there were these options were made with. */
const before = {
  ...{
    lora: null,
    "lora-alpha": null,
    "lora-targets": null,
    "lora-dropout": null,
    rslora: false,
    dora: false,
  },
  ...{
    "n-kv-head": null,
    "n-inner": null,
    optimizer: "adamw",
    momentum: 0,
    base_sha256: null,
    generation: {},
    deterministic: false,
    "label-smoothing": 0,
    "z-loss": 0,
    ema: null,
    shuffle: "random",
    data: false,
    objective: "cross-entropy",
    beta: null,
    pack: false,
    "train-on-prompt": false,
    patience: null,
    "min-delta": 0,
  },
};

/** SHA-256 of a text's UTF-8, in hexadecimal digits. */
export async function digest(text: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function baseName(path: string): string {
  return path.split(/[/\\]/).at(-1) as string;
}

/**
 * Parts of a batch for the same bits on 1, 2 and 4 ranks, where its rows allow; more ranks have a part each, and bits of their own.
 */
function partsOf(rows: number, ranks: number): number {
  const parts = [4, 2, 1].find((n) => rows % n === 0)!;
  return parts % ranks === 0 ? parts : ranks;
}

/**
 * Settings of a new run, with a model that takes so many `positions`.
 * @throws {UsageError} for options that exclude each other.
 */
export function newSettings(values: Values, path: string, positions: number, ranks: number): RunSettings {
  const init = values.text("init") ?? null;
  const number = (name: string, missing: number): number => values.number(name) ?? missing;
  const steps = number("steps", 2000), lora = values.number("lora") ?? null;
  const optimizer = values.text("optimizer") ?? "adamw", row = optimizers[optimizer];
  const objective = values.text("objective") ?? "cross-entropy", slower = objective === "dpo" ? 10 : 1;
  const lr = number("lr", (init === null ? row.lr : lora === null ? row.lr / 10 : row.lr / 5) / slower);
  const warmup = number("warmup", Math.round(steps / 20));
  if (warmup > steps) {
    throw new UsageError(`train: --warmup is ${warmup}, expected at most the ${steps} of --steps`);
  }
  const minLr = number("min-lr", lr / 10);
  if (minLr > lr) {
    throw new UsageError(
      `train: --min-lr is ${minLr}, expected at most the ${lr} of --lr, from which it falls`,
    );
  }
  const width = number("n-embd", 128), heads = number("n-head", 4);
  if (init === null && width % heads !== 0) {
    throw new UsageError(`train: --n-head is ${heads}, expected a divisor of --n-embd ${width}`);
  }
  const evalEvery = number("eval-every", Math.max(1, Math.round(steps / 10)));
  return {
    text: baseName(path),
    data: values.has("data"),
    init,
    lora,
    "lora-alpha": lora === null ? null : number("lora-alpha", 2 * lora),
    "lora-targets": values.text("lora-targets") ?? null,
    "lora-dropout": lora === null ? null : number("lora-dropout", 0),
    rslora: values.flag("rslora"),
    dora: values.flag("dora"),
    family: values.text("family") ?? "gpt2",
    "n-layer": number("n-layer", 4),
    "n-head": heads,
    "n-kv-head": values.number("n-kv-head") ?? null,
    "n-embd": width,
    "n-inner": values.number("n-inner") ?? null,
    "block-size": number("block-size", Math.min(128, positions)),
    dropout: number("dropout", 0),
    "vocab-size": number("vocab-size", 0),
    "batch-size": number("batch-size", 16),
    "grad-accum": number("grad-accum", 1),
    steps,
    optimizer,
    momentum: number("momentum", row.momentum ?? 0),
    lr,
    "min-lr": minLr,
    warmup,
    schedule: values.text("schedule") ?? "cosine",
    "weight-decay": number("weight-decay", lora === null ? row.weightDecay : 0),
    beta2: number("beta2", 0.99),
    clip: number("clip", 1),
    "label-smoothing": number("label-smoothing", 0),
    "z-loss": number("z-loss", 0),
    ema: values.number("ema") ?? null,
    shuffle: values.text("shuffle") ?? "random",
    objective,
    beta: objective === "dpo" ? number("beta", 0.1) : null,
    pack: values.flag("pack"),
    "train-on-prompt": values.flag("train-on-prompt"),
    seed: number("seed", 1337),
    "val-fraction": number("val-fraction", 0.1),
    "eval-every": evalEvery,
    patience: values.number("patience") ?? null,
    "min-delta": number("min-delta", 0),
    "save-every": number("save-every", evalEvery),
    deterministic: values.flag("deterministic"),
    dtype: values.text("dtype") ?? "f32",
    parts: values.flag("deterministic") ? partsOf(number("batch-size", 16), ranks) : null,
  };
}

/** @throws {UsageError} where the digest of `path` is not that of what the run was begun on. */
export function demandSameText(saved: SavedSettings, path: string, sha256: string): void {
  if (sha256 === saved.text_sha256) return;
  const what = saved.data ? "examples" : "text";
  throw new UsageError(
    `--resume: ${path} is not the ${what} that the run was begun on (${saved.text}), or it was changed`,
  );
}

/** Settings of the run in `file`. @throws {UsageError} for an option that is not what it was begun with. */
export async function savedSettings(file: string, values: Values): Promise<SavedSettings> {
  if (!await exists(file)) {
    throw new UsageError(`--resume: ${file} is not there; no run was begun in this folder`);
  }
  let saved: SavedSettings;
  try {
    saved = { ...before, ...JSON.parse(await readTextFile(file)) };
  } catch (cause) {
    throw new FormatError(`${file} is not JSON`, { cause });
  }
  saved.parts ??= null;
  if (values.flag("deterministic") && !saved.deterministic) {
    throw new UsageError(
      "--resume: the run was begun without --deterministic; it cannot go on with it, as its bits are what they are",
    );
  }
  for (const name of flags) {
    if (!values.flag(name) || saved[name]) continue;
    throw new UsageError(`--resume: the run was begun without --${name}; it cannot go on with it`);
  }
  for (const [name, option] of Object.entries(runOptions)) {
    if (option.value === undefined || sharing.includes(name)) continue;
    const given = values.text(name), before = (saved as unknown as Record<string, unknown>)[name];
    if (given !== undefined && given !== before) {
      throw new UsageError(
        `--resume: the run was begun with --${name} ${before}; it cannot go on with ${given}`,
      );
    }
  }
  if (saved.config?.model_type === undefined) {
    throw new FormatError(
      `${file}: config says no model_type, expected what config.json says; it is damaged, or of an earlier version`,
    );
  }
  if (saved.data !== values.has("data")) {
    throw new UsageError(
      `--resume: the run was begun with ${
        saved.data ? "examples; name them with --data" : "a text; leave out --data"
      }`,
    );
  }
  return saved;
}
