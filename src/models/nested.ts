/**
 * Models of texts and of images or sounds besides: the settings of their language model are an entry of config.json, and its
 * weights stand beside those of other parts. They are read as the language model alone.
 *
 * What an entry leaves out is what transformers' class of it has, for transformers wrote only what differs there.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { show } from "../core/show.ts";

type Json = Readonly<Record<string, unknown>>;

/** Models by their `model_type`, and the one of the language model in each where its entry does not say it. */
const outerTypes: Readonly<Record<string, string>> = {
  gemma3: "gemma3_text",
  idefics2: "mistral",
  idefics3: "llama",
  internvl: "qwen2",
  lfm2_vl: "lfm2",
  llava: "llama",
  llava_next: "llama",
  llava_next_video: "llama",
  llava_onevision: "qwen2",
  mistral3: "mistral",
  qwen2_5_vl: "qwen2",
  qwen2_audio: "qwen2",
  qwen2_vl: "qwen2",
  qwen3_5: "qwen3_5_text",
  qwen3_vl: "qwen3",
  smolvlm: "llama",
  video_llava: "llama",
  vipllava: "llama",
  voxtral: "llama",
};

/** Names of such models, for messages. */
export const outerNames: readonly string[] = Object.keys(outerTypes);

/** Language models that differ from a family in what they do with images alone. */
const sameAs: Readonly<Record<string, string>> = {
  qwen2_vl_text: "qwen2",
  qwen2_5_vl_text: "qwen2",
  qwen3_vl_text: "qwen3",
};

const sizes = (
  vocab_size: number,
  hidden_size: number,
  intermediate_size: number,
  num_hidden_layers: number,
  num_attention_heads: number,
  max_position_embeddings: number,
): Json => ({
  vocab_size,
  hidden_size,
  intermediate_size,
  num_hidden_layers,
  num_attention_heads,
  max_position_embeddings,
});

/** What transformers' classes have where nothing is said; what they all have, families know. */
const defaults: Readonly<Record<string, Json>> = {
  llama: { ...sizes(32_000, 4096, 11_008, 32, 32, 2048), bos_token_id: 1, eos_token_id: 2 },
  mistral: {
    ...sizes(32_000, 4096, 14_336, 32, 32, 131_072),
    num_key_value_heads: 8,
    sliding_window: 4096,
    bos_token_id: 1,
    eos_token_id: 2,
  },
  qwen2: sizes(151_936, 4096, 22_016, 32, 32, 32_768),
  qwen3: { ...sizes(151_936, 4096, 22_016, 32, 32, 32_768), head_dim: 128 },
  gemma3_text: {
    ...sizes(262_208, 2304, 9216, 26, 8, 131_072),
    num_key_value_heads: 4,
    head_dim: 256,
    bos_token_id: 2,
    eos_token_id: 1,
  },
  lfm2: {
    ...sizes(65_536, 2560, 12_288, 32, 32, 128_000),
    num_key_value_heads: 8,
    bos_token_id: 1,
    eos_token_id: 2,
  },
  qwen3_5_text: { ...sizes(248_320, 4096, 12_288, 32, 16, 32_768), num_key_value_heads: 4 },
};

/** The language model in a config.json. */
export interface NestedText {
  /** Its own config.json. */
  readonly json: Json;
  /** Where that stands, for messages. */
  readonly where: string;
  /** The `model_type` of the whole. */
  readonly outer: string;
}

/** Fields of the whole that count where the entry does not have them. */
const outside = ["vocab_size", "tie_word_embeddings", "quantization_config", "compression_config"];
/** Fields of the whole that count before those of the entry. */
const before = ["bos_token_id", "eos_token_id"];

/** The fields of `json` among `names` that are set. */
const some = (json: Json, names: readonly string[]): Json =>
  Object.fromEntries(
    names.filter((name) => json[name] !== undefined && json[name] !== null).map((name) => [name, json[name]]),
  );

/**
 * The language model of a model of more than texts; null for another config.json.
 * @throws {FormatError} where its entry is no object.
 */
export function nestedText(json: Json, where: string): NestedText | null {
  const outer = json.model_type;
  if (typeof outer !== "string" || !Object.hasOwn(outerTypes, outer)) return null;
  const { text_config: entry, vision_config: _v, audio_config: _a, architectures: _c, ...flat } = json;
  // The first Qwen-VLs have no entry: all that is not of images is of texts.
  const isFlat = (entry === undefined || entry === null) && json.hidden_size !== undefined;
  if (!isFlat && entry !== undefined && (typeof entry !== "object" || Array.isArray(entry))) {
    throw new FormatError(
      `${where}: text_config is ${show(entry)}, expected an object with the language model's configuration`,
    );
  }
  const { architectures: _, ...inner } = isFlat ? flat : (entry ?? {}) as Json;
  const said = isFlat ? outerTypes[outer] : inner.model_type ?? outerTypes[outer];
  const type = typeof said === "string" && Object.hasOwn(sameAs, said) ? sameAs[said] : said;
  const own = typeof type === "string" && Object.hasOwn(defaults, type) ? defaults[type] : {};
  return {
    json: { ...own, ...some(json, outside), ...inner, ...some(json, before), model_type: type },
    where: isFlat ? where : `${where}: text_config`,
    outer,
  };
}

/** What names of a language model's weights begin with where others stand beside them. */
const inside = /^(?:model\.)?(?:language_model|text_model)\.(?:model\.)?/;

/** What a weight is called where there is a language model alone: `language_model.model.norm.weight` is `norm.weight`. */
export function withoutOuter(name: string): string {
  return name.replace(inside, "");
}
