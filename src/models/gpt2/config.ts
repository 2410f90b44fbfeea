/**
 * The sizes and choices of a GPT-2, as `config.json` of Hugging Face says them.
 *
 * In code the names are in camelCase; `config.json` keeps its snake_case, and what this library does not know in a
 * file is kept and written back.
 *
 * @module
 */
import { type DType, isQuantized } from "../../core/dtype.ts";
import { FormatError, OptionError } from "../../core/errors.ts";

/** A GPT-2's configuration. */
export interface GPT2Config {
  /** Tokens. Default 50257. */
  vocabSize: number;
  /** The longest sequence. Default 1024. */
  nPositions: number;
  /** Width. Default 768. */
  nEmbd: number;
  /** Blocks. Default 12. */
  nLayer: number;
  /** Attention heads; they divide the width. Default 12. */
  nHead: number;
  /** Width inside the MLP; null is four times the width. */
  nInner: number | null;
  /** The MLP's activation. Default "gelu_new". */
  activationFunction: "gelu_new" | "gelu_pytorch_tanh" | "gelu" | "relu" | "silu" | "tanh";
  /** Dropout of each block's results. Default 0.1. */
  residPdrop: number;
  /** Dropout of the embeddings. Default 0.1. */
  embdPdrop: number;
  /** Dropout of the attention probabilities. Default 0.1. */
  attnPdrop: number;
  /** Added to the variance in layer norms. Default 1e-5. */
  layerNormEpsilon: number;
  /** Deviation of fresh weights. Default 0.02. */
  initializerRange: number;
  /** Whether the output layer is the embedding transposed. Default true. */
  tieWordEmbeddings: boolean;
  /** The token a text begins with. */
  bosTokenId: number | null;
  /** The token(s) that end a text. */
  eosTokenId: number | number[] | null;
  /** Entries of config.json that this library passes on unread. */
  other: Record<string, unknown>;
}

const defaults: GPT2Config = {
  vocabSize: 50257,
  nPositions: 1024,
  nEmbd: 768,
  nLayer: 12,
  nHead: 12,
  nInner: null,
  activationFunction: "gelu_new",
  residPdrop: 0.1,
  embdPdrop: 0.1,
  attnPdrop: 0.1,
  layerNormEpsilon: 1e-5,
  initializerRange: 0.02,
  tieWordEmbeddings: true,
  bosTokenId: null,
  eosTokenId: null,
  other: {},
};

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

const known = new Map(
  Object.keys(defaults).filter((k) => k !== "other").map((k) => [snake(k), k as keyof GPT2Config]),
);
const activations: readonly GPT2Config["activationFunction"][] = [
  "gelu_new",
  "gelu_pytorch_tanh",
  "gelu",
  "relu",
  "silu",
  "tanh",
];

/**
 * Options of transformers that change what the model computes, and the only value computed here. Its
 * `reorder_and_upcast_attn` (attention in f32) is what is always done here.
 */
const fixed: Record<string, unknown> = {
  scale_attn_weights: true,
  scale_attn_by_inverse_layer_idx: false,
  add_cross_attention: false,
};

const torchNames: Partial<Record<DType, string>> = { f16: "float16", bf16: "bfloat16", f64: "float64" };

/** The entry that says which kind of blocks the weights are; it describes the file beside it, not the model. */
export const quantizedNote = "ferrotype_dtype";

/** The entry that says which weights the configuration was saved with: what the writer noted of them. */
export const digestNote = "ferrotype_sha256";

function isNumber(value: unknown): boolean {
  return typeof value === "number" && Number.isFinite(value);
}

function isId(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0;
}

/** A full configuration from some of its values; names in camelCase. @throws {OptionError} for an impossible one. */
export function gpt2Config(values: Partial<GPT2Config> = {}): GPT2Config {
  for (const name of Object.keys(values)) {
    if (!Object.hasOwn(defaults, name)) {
      const camel = known.get(name);
      throw new OptionError(
        `GPT2 configuration: there is no "${name}"${camel ? `; it is called "${camel}" here` : ""}`,
      );
    }
  }
  const config = {
    ...defaults,
    ...Object.fromEntries(Object.entries(values).filter(([, v]) => v !== undefined)),
  };
  const demand = (ok: boolean, name: keyof GPT2Config, expected: string): void => {
    if (!ok) {
      throw new OptionError(
        `GPT2 configuration: ${name} is ${JSON.stringify(config[name])}, expected ${expected}`,
      );
    }
  };
  for (const name of ["vocabSize", "nPositions", "nEmbd", "nLayer", "nHead"] as const) {
    demand(Number.isInteger(config[name]) && config[name] > 0, name, "a whole number above 0");
  }
  demand(
    config.nInner === null || (Number.isInteger(config.nInner) && config.nInner > 0),
    "nInner",
    "a whole number or null",
  );
  demand(config.nEmbd % config.nHead === 0, "nHead", `a divisor of nEmbd ${config.nEmbd}`);
  for (const name of ["residPdrop", "embdPdrop", "attnPdrop"] as const) {
    demand(isNumber(config[name]) && config[name] >= 0 && config[name] < 1, name, "a probability below 1");
  }
  demand(
    isNumber(config.layerNormEpsilon) && config.layerNormEpsilon > 0,
    "layerNormEpsilon",
    "a number above 0",
  );
  demand(
    isNumber(config.initializerRange) && config.initializerRange >= 0,
    "initializerRange",
    "a number from 0",
  );
  demand(typeof config.tieWordEmbeddings === "boolean", "tieWordEmbeddings", "true or false");
  demand(config.bosTokenId === null || isId(config.bosTokenId), "bosTokenId", "a token id or null");
  const ends = Array.isArray(config.eosTokenId) ? config.eosTokenId : [config.eosTokenId ?? 0];
  demand(ends.every(isId), "eosTokenId", "a token id, a list of them, or null");
  demand(
    activations.includes(config.activationFunction),
    "activationFunction",
    `one of ${activations.join(", ")}`,
  );
  return config;
}

/** Reads the value of a `config.json`. @throws {FormatError} when it is not a GPT-2's. */
export function parseConfig(json: unknown, where: string): GPT2Config {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new FormatError(`${where}: expected an object with the model's configuration`);
  }
  const values: Record<string, unknown> = {}, other: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(json)) {
    const own = known.get(name);
    if (own) values[own] = value;
    else if (name !== quantizedNote && name !== digestNote) other[name] = value;
  }
  const type = other.model_type;
  if (type !== undefined && type !== "gpt2") {
    throw new FormatError(`${where}: model_type is "${type}"; this class reads "gpt2"`);
  }
  if (values.nPositions === undefined && typeof other.n_ctx === "number") values.nPositions = other.n_ctx;
  for (const [name, value] of Object.entries(fixed)) {
    if (Object.hasOwn(other, name) && other[name] !== value) {
      throw new FormatError(`${where}: ${name} ${other[name]} is not computed here, only ${value}`);
    }
  }
  try {
    return gpt2Config({ ...values, other } as Partial<GPT2Config>);
  } catch (error) {
    if (error instanceof OptionError) throw new FormatError(`${where}: ${error.message}`, { cause: error });
    throw error;
  }
}

/**
 * The value to write as `config.json`. Of q8 and q4, which transformers does not know, it says `torch_dtype` float32, and
 * their name in an entry of its own.
 */
export function configJson(config: GPT2Config, dtype: DType): Record<string, unknown> {
  const own: Record<string, unknown> = {};
  for (const [name, camel] of known) own[name] = config[camel];
  return {
    architectures: ["GPT2LMHeadModel"],
    model_type: "gpt2",
    n_ctx: config.nPositions,
    ...config.other,
    ...own,
    torch_dtype: torchNames[dtype] ?? "float32",
    ...(isQuantized(dtype) ? { [quantizedNote]: dtype } : {}),
  };
}
