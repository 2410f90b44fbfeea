/**
 * The sizes and choices of a GPT-2, as `config.json` of Hugging Face says them.
 *
 * In code the names are in camelCase; `config.json` keeps its snake_case, and what this library does not know in a
 * file is kept and written back.
 *
 * @module
 */
import { demandNoMore } from "../../core/demand.ts";
import { type DType, isQuantized } from "../../core/dtype.ts";
import { FormatError, OptionError } from "../../core/errors.ts";
import * as kinds from "../../core/kinds.ts";
import { show } from "../../core/show.ts";
import { type ActivationName, activationNames } from "../activations.ts";
import { digestNote, quantizedNote, torchNames } from "../notes.ts";
import { unreadFields } from "../unread.ts";
import { byDefault, checkOptions, type Option, type OptionTable } from "../../core/options.ts";

/**
 * A GPT-2's configuration.
 *
 * @category Models
 */
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
  /** The MLP's activation, by the names of transformers (its `ACT2FN`). Default "gelu_new". */
  activationFunction: ActivationName;
  /** Whether scores are divided by the root of a head's width. Default true. */
  scaleAttnWeights: boolean;
  /** Whether scores of block i (the first is 0) are divided by i + 1 besides. Default false. */
  scaleAttnByInverseLayerIdx: boolean;
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

const count = kinds.whole(1), probability = kinds.number({ from: 0, below: 1 }), id = kinds.whole(0);

type ConfigTable = { readonly [K in keyof GPT2Config]: Option & { readonly default: GPT2Config[K] } };

/** {@link GPT2Config} as data, with GPT-2's own sizes as defaults. */
const table: ConfigTable = {
  vocabSize: byDefault(50257, count),
  nPositions: byDefault(1024, count),
  nEmbd: byDefault(768, count),
  // Beyond, a slip of the hand: blocks would be made until memory ends.
  nLayer: byDefault(12, kinds.whole(1, 65_536)),
  nHead: byDefault(12, count),
  nInner: byDefault<number | null>(null, kinds.orNull(count)),
  activationFunction: byDefault<ActivationName>(
    "gelu_new",
    kinds.oneOf(...Object.keys(activationNames) as ActivationName[]),
  ),
  scaleAttnWeights: byDefault(true, kinds.flag),
  scaleAttnByInverseLayerIdx: byDefault(false, kinds.flag),
  residPdrop: byDefault(0.1, probability),
  embdPdrop: byDefault(0.1, probability),
  attnPdrop: byDefault(0.1, probability),
  layerNormEpsilon: byDefault(1e-5, kinds.number({ above: 0 })),
  initializerRange: byDefault(0.02, kinds.number({ from: 0 })),
  tieWordEmbeddings: byDefault(true, kinds.flag),
  bosTokenId: byDefault<number | null>(null, kinds.called("a token id, or null", kinds.orNull(id))),
  eosTokenId: byDefault<number | number[] | null>(
    null,
    kinds.called(
      "a token id, a list of them, or null",
      kinds.orNull(kinds.either(id, kinds.listOf(id, "ids"))),
    ),
  ),
  other: byDefault<Record<string, unknown>>({}, kinds.object),
};

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

const known = new Map(
  Object.keys(table).filter((k) => k !== "other").map((k) => [snake(k), k as keyof GPT2Config]),
);
/** Other names by which transformers reads the same entries (its `attribute_map`). */
const alsoNamed: ReadonlyMap<string, keyof GPT2Config> = new Map([
  ["hidden_size", "nEmbd"],
  ["max_position_embeddings", "nPositions"],
  ["num_attention_heads", "nHead"],
  ["num_hidden_layers", "nLayer"],
]);

const isEmpty = (value: unknown): boolean =>
  value === null || (typeof value === "object" && Object.keys(value as object).length === 0);

/**
 * Entries of transformers that change what the model computes, and the values that are computed here. All others change no
 * number: its `reorder_and_upcast_attn` (attention in f32) is what is always done here.
 */
const fixed: Readonly<Record<string, { is: (value: unknown) => boolean; only: string }>> = {
  add_cross_attention: { is: (value) => value === false || value === null, only: "only false" },
  is_encoder_decoder: { is: (value) => value === false || value === null, only: "only false" },
  pruned_heads: { is: isEmpty, only: "only all heads of every block" },
  quantization_config: { is: isEmpty, only: "weights as they are, or this library's own q8 and q4" },
};

/**
 * A full configuration from some of its values; names in camelCase.
 *
 * @throws {OptionError} for an impossible one.
 * @category Models
 */
export function gpt2Config(values: Partial<GPT2Config> = {}): GPT2Config {
  demandNoMore(arguments, 1, "gpt2Config");
  const given = checkOptions("GPT2 configuration", values, table as OptionTable<Partial<GPT2Config>>);
  const defaults = Object.entries<Option>(table).map(([name, option]) => [name, option.default]);
  const config: GPT2Config = { ...Object.fromEntries(defaults), ...given };
  if (config.nEmbd % config.nHead !== 0) {
    throw new OptionError(
      `GPT2 configuration: nHead is ${config.nHead}, expected a divisor of nEmbd ${config.nEmbd}`,
    );
  }
  return config;
}

/**
 * Reads the value of a `config.json`; `warn` hears of fields that are nearly others.
 *
 * @throws {FormatError} when it is not a GPT-2's.
 * @category Models
 */
export function parseConfig(
  json: unknown,
  where: string,
  warn: (message: string) => void = console.warn,
): GPT2Config {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new FormatError(`${where}: expected an object with the model's configuration`);
  }
  const values: Record<string, unknown> = {},
    other: Record<string, unknown> = {},
    also: [string, unknown][] = [];
  for (const [name, value] of Object.entries(json)) {
    const own = known.get(name);
    if (own) values[own] = value;
    else if (alsoNamed.has(name) && value !== null) also.push([name, value]);
    else if (name !== quantizedNote && name !== digestNote) other[name] = value;
  }
  const type = other.model_type;
  if (type !== undefined && type !== "gpt2") {
    throw new FormatError(`${where}: model_type is ${show(type)}; this class reads "gpt2"`);
  }
  for (const [name, value] of also) {
    const own = alsoNamed.get(name) as keyof GPT2Config;
    if (values[own] !== undefined && values[own] !== value) {
      throw new FormatError(
        `${where}: ${name} is ${show(value)} and ${snake(own)}, which is the same, ${show(values[own])}`,
      );
    }
    values[own] = value;
  }
  if (values.nPositions === undefined && typeof other.n_ctx === "number") values.nPositions = other.n_ctx;
  for (const [name, { is, only }] of Object.entries(fixed)) {
    if (Object.hasOwn(other, name) && !is(other[name])) {
      throw new FormatError(`${where}: ${name} ${show(other[name])} is not computed here, ${only}`);
    }
  }
  const read = new Set([...known.keys(), ...alsoNamed.keys(), ...Object.keys(fixed)]);
  for (const warning of unreadFields(json as Record<string, unknown>, read, where, "gpt2")) {
    warn(warning);
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
 *
 * @category Models
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
