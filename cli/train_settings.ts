/**
 * What a training run is made with: read from the options, kept beside the model, and taken up again by `--resume`.
 *
 * @module
 */
import { either, type Kind, kind, number, oneOf, someText, whole } from "../src/core/kinds.ts";
import { FormatError } from "../mod.ts";
import { exists, readTextFile } from "../src/platform/platform.ts";
import type { Idle } from "../src/core/options.ts";
import { type Given, type Options, UsageError, type Values } from "./command.ts";

/** Sizes of a vocabulary: 0 for characters, or room for all 256 bytes and what ends a text. */
export const vocabularySize: Kind = either(whole(257), kind("0", (x) => x === 0));

function oneOfNumbers(...values: readonly number[]): Kind {
  return { ...oneOf(...values), read: (text) => /^\d+$/.test(text) ? Number(text) : text };
}

/** Options that say how ranks share the work, and not what comes of it: a run may go on with others. */
const sharing: readonly string[] = ["zero", "wire"];

/** The options that make a run what it is. */
export const runOptions: Options = {
  init: { value: "MODEL", help: "begin from this model's weights and tokenizer (fine-tuning)" },
  family: {
    value: "NAME",
    kind: someText,
    help: "kind of model: gpt2, llama, qwen3 and others that are read (default gpt2)",
  },
  "n-layer": { value: "N", kind: whole(1, 65_536), help: "blocks (default 4)" },
  "n-head": { value: "N", kind: whole(1), help: "attention heads (default 4)" },
  "n-embd": { value: "N", kind: whole(1), help: "width (default 128)" },
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
  lr: { value: "R", kind: number({ from: 0 }), help: "highest learning rate (default 0.001)" },
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
    kind: oneOf("cosine", "linear", "constant"),
    help: "how the rate falls: cosine, linear, constant (default cosine)",
  },
  "weight-decay": { value: "W", kind: number({ from: 0 }), help: "AdamW's decay of matrices (default 0.1)" },
  beta2: { value: "B", kind: number({ from: 0, to: 0.99999 }), help: "AdamW's second beta (default 0.99)" },
  clip: { value: "N", kind: number({ from: 0 }), help: "largest gradient norm; 0: no clipping (default 1)" },
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

const shape = ["family", "n-layer", "n-head", "n-embd", "vocab-size"] as const;

/** Options of a run that have no effect beside others. */
export const runIdle: readonly Idle<Given>[] = [
  { option: shape, when: ({ init }) => init !== undefined, because: "it is the model's own with --init" },
  {
    option: "min-lr",
    when: ({ schedule }) => schedule === "constant",
    because: "the rate of --schedule constant does not fall",
  },
  {
    option: "eval-every",
    when: (given) => given["val-fraction"] === 0,
    because: "--val-fraction 0 holds nothing out",
  },
  {
    option: "deterministic",
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
  /** The name of the text, without its folder. */
  text: string;
  init: string | null;
  family: string;
  "n-layer": number;
  "n-head": number;
  "n-embd": number;
  "block-size": number;
  dropout: number;
  "vocab-size": number;
  "batch-size": number;
  "grad-accum": number;
  steps: number;
  lr: number;
  "min-lr": number;
  warmup: number;
  schedule: string;
  "weight-decay": number;
  beta2: number;
  clip: number;
  seed: number;
  "val-fraction": number;
  "eval-every": number;
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
}

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
  const steps = number("steps", 2000), lr = number("lr", init === null ? 1e-3 : 1e-4);
  const warmup = number("warmup", Math.round(steps / 20));
  if (warmup > steps) {
    throw new UsageError(`train: --warmup is ${warmup}, expected at most the ${steps} of --steps`);
  }
  const width = number("n-embd", 128), heads = number("n-head", 4);
  if (init === null && width % heads !== 0) {
    throw new UsageError(`train: --n-head is ${heads}, expected a divisor of --n-embd ${width}`);
  }
  const evalEvery = number("eval-every", Math.max(1, Math.round(steps / 10)));
  return {
    text: baseName(path),
    init,
    family: values.text("family") ?? "gpt2",
    "n-layer": number("n-layer", 4),
    "n-head": heads,
    "n-embd": width,
    "block-size": number("block-size", Math.min(128, positions)),
    dropout: number("dropout", 0),
    "vocab-size": number("vocab-size", 0),
    "batch-size": number("batch-size", 16),
    "grad-accum": number("grad-accum", 1),
    steps,
    lr,
    "min-lr": number("min-lr", lr / 10),
    warmup,
    schedule: values.text("schedule") ?? "cosine",
    "weight-decay": number("weight-decay", 0.1),
    beta2: number("beta2", 0.99),
    clip: number("clip", 1),
    seed: number("seed", 1337),
    "val-fraction": number("val-fraction", 0.1),
    "eval-every": evalEvery,
    "save-every": number("save-every", evalEvery),
    deterministic: values.flag("deterministic"),
    dtype: values.text("dtype") ?? "f32",
    parts: values.flag("deterministic") ? partsOf(number("batch-size", 16), ranks) : null,
  };
}

/** Settings of the run in `file`. @throws {UsageError} for an option or a text that is not what it was begun with. */
export async function savedSettings(
  file: string,
  values: Values,
  path: string,
  text: string,
): Promise<SavedSettings> {
  if (!await exists(file)) {
    throw new UsageError(`--resume: ${file} is not there; no run was begun in this folder`);
  }
  let saved: SavedSettings;
  try {
    saved = JSON.parse(await readTextFile(file));
  } catch (cause) {
    throw new FormatError(`${file} is not JSON`, { cause });
  }
  // A run of before there was the option.
  saved.deterministic = saved.deterministic === true;
  saved.parts ??= null;
  if (values.flag("deterministic") && !saved.deterministic) {
    throw new UsageError(
      "--resume: the run was begun without --deterministic; it cannot go on with it, as its bits are what they are",
    );
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
  if (await digest(text) !== saved.text_sha256) {
    throw new UsageError(
      `--resume: ${path} is not the text that the run was begun on (${saved.text}), or it was changed`,
    );
  }
  return saved;
}
