/**
 * The fields of a `config.json`, read one by one: each is of its kind, or a FormatError names it.
 *
 * Both spellings of Hugging Face are read: `rope_theta` with `rope_scaling`, and transformers 5's `rope_parameters`.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import { type Kind, number, oneOf, whole } from "../../core/kinds.ts";
import { counted, show } from "../../core/show.ts";
import type { RopeScaling, RotaryOptions } from "../../nn/rotary.ts";
import { type ActivationName, activationNames, type DecoderActivation } from "../activations.ts";
import type { DecoderConfig, DecoderLayerConfig } from "./config.ts";

type Json = Readonly<Record<string, unknown>>;

const flag: Kind = { expected: "true or false", accepts: (x) => typeof x === "boolean" };

const isId = (x: unknown): boolean => whole(0).accepts(x);

/** The fields of one configuration. */
export class ConfigFields {
  /** The family that reads them. */
  readonly family: string;
  /** The names of the fields that were asked for. */
  readonly asked: Set<string> = new Set();
  readonly #json: Json;
  readonly #where: string;

  /** `where` names the file, for messages. */
  constructor(json: Json, family: string, where: string) {
    this.#json = json;
    this.family = family;
    this.#where = where;
  }

  /** @throws {FormatError} that says what is wrong with a field. */
  fail(name: string, expected: string, value: unknown = this.#json[name]): never {
    const what = value === undefined ? "is missing" : `is ${show(value)}`;
    throw new FormatError(`${this.#where}: ${name} ${what}, expected ${expected}`);
  }

  /** The value of a field, whatever it is; null counts as not given. */
  raw(name: string): unknown {
    this.asked.add(name);
    return this.#json[name] ?? undefined;
  }

  /** Whether a field is there, be it null. */
  has(name: string): boolean {
    return this.#json[name] !== undefined;
  }

  #read<T>(name: string, kind: Kind, fallback: T | undefined): T {
    const value = this.raw(name);
    if (value === undefined) return fallback === undefined ? this.fail(name, kind.expected) : fallback;
    if (!kind.accepts(value)) this.fail(name, kind.expected);
    return value as T;
  }

  /** A whole number above 0. */
  size(name: string, fallback?: number): number {
    return this.#read(name, whole(1, 2 ** 31 - 1), fallback);
  }

  /** The whole configuration. */
  get all(): Json {
    return this.#json;
  }

  /** A token's id; null where there is none. */
  id(name: string): number | null {
    const value = this.raw(name);
    if (value !== undefined && !isId(value)) this.fail(name, "a token id, or null");
    return (value as number | undefined) ?? null;
  }

  /** A token's id, or several. */
  ids(name: string): number | readonly number[] | null {
    const value = this.raw(name);
    if (value === undefined) return null;
    if (!isId(value) && !(Array.isArray(value) && value.every(isId))) {
      this.fail(name, "a token id, a list of them, or null");
    }
    return value as number | readonly number[];
  }

  /** A number above 0. */
  positive(name: string, fallback?: number): number {
    return this.#read(name, number({ above: 0 }), fallback);
  }

  /** A probability. */
  chance(name: string): number {
    return this.#read(name, number({ from: 0, to: 1 }), 0);
  }

  /** true or false. */
  flag(name: string, fallback: boolean): boolean {
    return this.#read(name, flag, fallback);
  }

  /** One of some values. */
  oneOf<T>(name: string, values: readonly T[], fallback?: T): T {
    return this.#read(name, oneOf(...values), fallback);
  }

  /** Fields that change what is computed, and the only value of each that is computed here. */
  only(values: Json): void {
    for (const [name, value] of Object.entries(values)) {
      const given = this.raw(name);
      if (given !== undefined && given !== value) {
        this.fail(name, `${show(value)}: nothing else is computed for ${this.family} here`);
      }
    }
  }

  /** The fields of an entry. */
  inside(name: string): ConfigFields | null {
    const value = this.raw(name);
    if (value === undefined) return null;
    if (typeof value !== "object" || Array.isArray(value)) this.fail(name, "an object");
    return new ConfigFields(value as Json, this.family, `${this.#where}: ${name}`);
  }

  /** A list of numbers above 0. */
  factors(name: string): readonly number[] {
    const isFactor = (x: unknown): boolean => typeof x === "number" && x > 0 && Number.isFinite(x);
    return this.#read<readonly number[]>(name, {
      expected: "a list of numbers above 0",
      accepts: (x) => Array.isArray(x) && x.length > 0 && x.every(isFactor),
    }, undefined);
  }
}

/** The activation that a field names. */
export function activationOf(
  c: ConfigFields,
  name = "hidden_act",
  fallback: ActivationName = "silu",
): DecoderActivation {
  return activationNames[c.oneOf(name, Object.keys(activationNames) as ActivationName[], fallback)];
}

/** A size that null turns off, and that is `fallback` where nothing is said. */
export function sizeOrNone(c: ConfigFields, name: string, fallback: number | null): number | null {
  if (!c.has(name)) return fallback;
  return c.raw(name) === undefined ? null : c.size(name);
}

/** What a family has where a file says nothing, as transformers' class of it, and names of fields that are not the same in all. */
export interface CommonOptions {
  /** The longest text. */
  readonly positions: number;
  /** Added to the mean square. Default 1e-6. */
  readonly normEps?: number;
  /** Whether `attention_bias` counts. Default true. */
  readonly biased?: boolean;
  /** Whether `mlp_bias` counts. Default false. */
  readonly biasedMLP?: boolean;
  /** What is called `rms_norm_eps` in most. */
  readonly eps?: string;
  /** What is called `intermediate_size` in most. */
  readonly inner?: string;
}

/** Sizes that every family of the LLaMA kind has, and choices that most make alike; a family says what it does otherwise. */
export function commonFields(
  c: ConfigFields,
  {
    positions,
    normEps = 1e-6,
    biased = true,
    biasedMLP = false,
    eps = "rms_norm_eps",
    inner = "intermediate_size",
  }: CommonOptions,
): Omit<DecoderConfig, "layers"> {
  const hiddenSize = c.size("hidden_size"), heads = c.size("num_attention_heads");
  const kvHeads = c.size("num_key_value_heads", heads);
  if (heads % kvHeads !== 0) c.fail("num_key_value_heads", `a divisor of the ${heads} num_attention_heads`);
  if (c.raw("head_dim") === undefined && hiddenSize % heads !== 0) {
    c.fail("hidden_size", `a multiple of the ${heads} num_attention_heads`);
  }
  const headDim = c.size("head_dim", hiddenSize / heads);
  if (headDim % 2 !== 0) c.fail("head_dim", "an even number");
  return {
    family: c.family,
    json: c.all,
    bosTokenId: c.id("bos_token_id"),
    eosTokenId: c.ids("eos_token_id"),
    vocabSize: c.size("vocab_size"),
    maxPositions: c.size("max_position_embeddings", positions),
    hiddenSize,
    intermediateSize: c.size(inner),
    heads,
    kvHeads,
    headDim,
    normEps: c.positive(eps, normEps),
    normUnitOffset: false,
    normPlacement: "pre",
    qkNorm: null,
    qkvBias: c.flag("attention_bias", false) && biased,
    outputBias: c.flag("attention_bias", false) && biased,
    mlpBias: c.flag("mlp_bias", false) && biasedMLP,
    fused: false,
    attentionScale: headDim ** -0.5,
    attentionSoftcap: null,
    logitSoftcap: null,
    activation: activationOf(c),
    embeddingScale: 1,
    residualScale: 1,
    logitScale: 1,
    tied: c.flag("tie_word_embeddings", false),
    attentionDropout: c.chance("attention_dropout"),
    initializerRange: c.positive("initializer_range", 0.02),
  };
}

/** The scaling that an entry describes. */
function scalingOf(c: ConfigFields, where: ConfigFields | null, maxPositions: number): RopeScaling {
  if (where === null) return { ropeType: "default" };
  const key = where.raw("rope_type") === undefined && where.raw("type") !== undefined ? "type" : "rope_type";
  const kinds = ["default", "linear", "dynamic", "llama3", "yarn", "longrope", "su", "mrope"] as const;
  const said = where.oneOf<typeof kinds[number]>(key, kinds, "default");
  // The first Phi-3 called it by another's name.
  const kind = said === "yarn" && where.raw("short_factor") !== undefined ? "longrope" : said;
  const original = (): number =>
    where.size("original_max_position_embeddings", c.size("original_max_position_embeddings", maxPositions));
  const optional = (name: string, as: string): Record<string, number> =>
    where.raw(name) === undefined ? {} : { [as]: where.positive(name) };
  switch (kind) {
    case "default":
    // Positions of images have three numbers; those of texts have the same one three times.
    case "mrope":
      return { ropeType: "default" };
    case "linear":
    case "dynamic":
      return { ropeType: kind, factor: where.positive("factor") };
    case "llama3":
      return {
        ropeType: "llama3",
        factor: where.positive("factor"),
        lowFreqFactor: where.positive("low_freq_factor"),
        highFreqFactor: where.positive("high_freq_factor"),
        originalMaxPositionEmbeddings: original(),
      };
    case "yarn":
      return {
        ropeType: "yarn",
        factor: where.positive("factor", maxPositions / original()),
        originalMaxPositionEmbeddings: original(),
        truncate: where.flag("truncate", true),
        ...optional("attention_factor", "attentionFactor"),
        ...optional("beta_fast", "betaFast"),
        ...optional("beta_slow", "betaSlow"),
        ...optional("mscale", "mscale"),
        ...optional("mscale_all_dim", "mscaleAllDim"),
      };
    default:
      return {
        ropeType: "longrope",
        shortFactor: where.factors("short_factor"),
        longFactor: where.factors("long_factor"),
        originalMaxPositionEmbeddings: original(),
        ...optional("factor", "factor"),
        ...optional("attention_factor", "attentionFactor"),
      };
  }
}

/** What angles depend on, by either spelling; `kind` is transformers 5's entry for one kind of layer. */
export function rotaryOf(
  c: ConfigFields,
  { headDim, maxPositions }: { headDim: number; maxPositions: number },
  theta = 10000,
  kind?: string,
  part = 1,
): RotaryOptions {
  const all = c.inside("rope_parameters"),
    entry = (kind && all?.inside(kind)) || all || c.inside("rope_scaling");
  const share = entry?.raw("partial_rotary_factor") === undefined
    ? c.positive("partial_rotary_factor", part)
    : entry.positive("partial_rotary_factor");
  const width = Math.floor(headDim * share);
  if (share > 1 || width < 2 || width % 2 !== 0) {
    c.fail("partial_rotary_factor", `a share of head_dim ${headDim} that is even`, share);
  }
  const scaling = scalingOf(c, entry, maxPositions);
  if (scaling.ropeType === "longrope") {
    for (
      const [name, list] of [["short_factor", scaling.shortFactor], [
        "long_factor",
        scaling.longFactor,
      ]] as const
    ) {
      if (list.length !== width / 2) {
        c.fail(name, `${counted(width / 2, "number")}, one for each pair of a head`, list.length);
      }
    }
  }
  return {
    width,
    theta: entry?.positive("rope_theta", c.positive("rope_theta", theta)) ?? c.positive("rope_theta", theta),
    maxPositions,
    scaling,
  };
}

/** Layers that a model may have. Beyond, a slip of the hand: they would be made until memory ends. */
export const mostLayers = 65_536;

/**
 * The kind of each layer, where some have states in place of keys and values: by `layer_types`, or else by `kind`.
 * @throws {FormatError} where none attends.
 */
export function layerKinds<K extends string>(
  c: ConfigFields,
  other: K,
  attends: (layer: number) => boolean,
): (K | "full_attention")[] {
  const count = c.size("num_hidden_layers"), types = c.raw("layer_types");
  if (count > mostLayers) c.fail("num_hidden_layers", `at most ${mostLayers}`);
  const isKind = (type: unknown): type is K | "full_attention" => type === other || type === "full_attention";
  if (types !== undefined && !(Array.isArray(types) && types.length === count && types.every(isKind))) {
    c.fail("layer_types", `${count} times one of ${other}, full_attention`);
  }
  const kinds = Array.from(
    { length: count },
    (_, i) => types ? (types as (K | "full_attention")[])[i] : attends(i) ? "full_attention" : other,
  );
  if (!kinds.includes("full_attention")) {
    c.fail("layer_types", "at least one full_attention: positions are counted by it", kinds);
  }
  return kinds;
}

/** Layers of one kind, or of those that `layer_types` names; `windowed` says which look back `window` where it is missing. */
export function layersOf(
  c: ConfigFields,
  rotary: (isWindowed: boolean, layer: number) => RotaryOptions | null,
  window: number | null,
  windowed: (layer: number) => boolean,
): DecoderLayerConfig[] {
  const count = c.size("num_hidden_layers"), types = c.raw("layer_types");
  if (count > mostLayers) c.fail("num_hidden_layers", `at most ${mostLayers}`);
  if (types !== undefined) {
    const known = ["full_attention", "sliding_attention"];
    if (!Array.isArray(types) || types.length !== count || !types.every((type) => known.includes(type))) {
      c.fail("layer_types", `${count} times one of ${known.join(", ")}`);
    }
  }
  return Array.from({ length: count }, (_, i) => {
    const isWindowed = window !== null &&
      (types ? (types as string[])[i] === "sliding_attention" : windowed(i));
    return { window: isWindowed ? window : null, rotary: rotary(isWindowed, i) };
  });
}
