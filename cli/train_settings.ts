/**
 * What a training run is made with: read from the options, kept beside the model, and taken up again by `--resume`.
 *
 * @module
 */
import { FormatError, type GenerateOptions, type ModelSizes, type Qat } from "../mod.ts";
import { exists, readTextFile } from "../src/platform/platform.ts";
import { UsageError, type Values } from "./command.ts";
import { optimizers } from "./train_optimizers.ts";
import { runOptions } from "./train_options.ts";

/** Options that say how ranks share the work, and not what comes of it: a run may go on with others. */
const sharing: readonly string[] = ["zero", "wire"];
/** Options with no value of their own: on from the beginning, or never. */
const flags = ["rslora", "dora", "pack", "train-on-prompt", "gradient-checkpointing"] as const;

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
  "micro-batch": number | "auto" | null;
  "gradient-checkpointing": boolean;
  "grad-accum": number;
  steps: number;
  optimizer: string;
  "optimizer-bits": 8 | 32;
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
  precision: "f32" | "bf16" | "f16";
  qat: Qat | null;
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
    precision: "f32" as const,
    qat: null,
    "micro-batch": null,
    "optimizer-bits": 32 as const,
    "gradient-checkpointing": false,
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
  const kvHeads = values.number("n-kv-head");
  if (init === null && kvHeads !== undefined && heads % kvHeads !== 0) {
    throw new UsageError(`train: --n-kv-head is ${kvHeads}, expected a divisor of --n-head ${heads}`);
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
    "n-kv-head": kvHeads ?? null,
    "n-embd": width,
    "n-inner": values.number("n-inner") ?? null,
    "block-size": number("block-size", Math.min(128, positions)),
    dropout: number("dropout", 0),
    "vocab-size": number("vocab-size", 0),
    "batch-size": number("batch-size", 16),
    "micro-batch": (values.value("micro-batch") ?? null) as RunSettings["micro-batch"],
    "gradient-checkpointing": values.flag("gradient-checkpointing"),
    "grad-accum": number("grad-accum", 1),
    steps,
    optimizer,
    "optimizer-bits": number("optimizer-bits", 32) as 8 | 32,
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
    precision: (values.text("precision") ?? "f32") as RunSettings["precision"],
    qat: (values.text("qat") ?? null) as Qat | null,
    dtype: values.text("dtype") ?? "f32",
    parts: values.flag("deterministic") ? partsOf(number("batch-size", 16), ranks) : null,
  };
}

/** @throws {UsageError} where the digest of `path` is not that of what the run was begun on. */
export function demandSameText(saved: SavedSettings, path: string, sha256: string): void {
  if (sha256 === saved.text_sha256) return;
  const what = saved.data ? "examples" : "text";
  throw new UsageError(
    `--resume: ${path} is not the ${what} that the run was begun on (${saved.text}), or it was changed; put that back, or begin another run`,
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
        before === null
          ? `--resume: the run was begun without --${name}; it cannot go on with ${given}`
          : `--resume: the run was begun with --${name} ${before}; it cannot go on with ${given}`,
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

/** The sizes of a model that begins afresh, with a vocabulary of so many tokens. */
export function sizesOf(settings: RunSettings, vocabSize: number): ModelSizes {
  return {
    vocabSize,
    contextLength: settings["block-size"],
    width: settings["n-embd"],
    layers: settings["n-layer"],
    heads: settings["n-head"],
    ...(settings["n-kv-head"] === null ? {} : { kvHeads: settings["n-kv-head"] }),
    ...(settings["n-inner"] === null ? {} : { innerWidth: settings["n-inner"] }),
  };
}
