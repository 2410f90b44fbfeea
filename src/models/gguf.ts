/**
 * A GGUF's notes and names, as the families know them: what `config.json` would say, and which tensor a parameter is.
 *
 * llama.cpp's converter changes some weights, which is undone here: rows of queries and keys of `llama` lie in pairs where
 * Hugging Face has halves, GPT-NeoX's queries, keys and values lie apart, and norms of Gemma and of Qwen's delta networks are written
 * as 1 + w.
 *
 * @module
 */
import { show } from "../core/show.ts";
import { FormatError } from "../core/errors.ts";
import type { Shape } from "../core/shape.ts";
import type { GgufValue } from "../files/gguf/mod.ts";
import { yarnAttention } from "../nn/yarn.ts";
import { mostLayers } from "./decoder/fields.ts";
import type { Qwen3NextConfig } from "./qwen3_next/config.ts";
import { deltaJson, deltaWeight } from "./qwen3_next/gguf.ts";

type Notes = ReadonlyMap<string, GgufValue>;

/** How a parameter is made of a tensor of the file. */
export interface GgufWeight {
  /** The tensor's name. */
  readonly name: string;
  /** Row i of the parameter is row `rows(i)` of the tensor. Default: the same. */
  readonly rows?: (row: number) => number;
  /** What is added to every value. Default 0. */
  readonly plus?: number;
  /** Whether columns of the parameter are rows of the tensor. */
  readonly transposed?: boolean;
  /** The axis of the parameter, of 1, that the tensor leaves out. */
  readonly flat?: number;
  /** How many matrices the parameter has one below the other, which are an axis of the tensor. */
  readonly stacked?: number;
  /** Column i of the parameter is column `order(i)` of the tensor; `run` columns each stay side by side. */
  readonly columns?: { readonly order: (column: number) => number; readonly run: number };
  /** Another tensor, whose rows come behind the `from` of this one. */
  readonly rest?: { readonly name: string; readonly from: number };
  /** What values of the tensor are as those of the parameter, and back. */
  readonly map?: { readonly to: (x: number) => number; readonly back: (x: number) => number };
}

/** The tensors that a parameter of `shape` is, by name: one, or two whose rows it has. */
export function ggufShapes(
  shape: Shape,
  { name, flat, transposed, rest, stacked }: GgufWeight,
): [string, Shape][] {
  if (stacked !== undefined) return [[name, [stacked, shape[0] / stacked, shape[1]]]];
  const whole = flat !== undefined
    ? shape.filter((_, axis) => axis !== flat)
    : transposed
    ? [...shape].reverse()
    : shape;
  if (!rest) return [[name, whole]];
  const [rows, ...others] = whole;
  return [[name, [rest.from, ...others]], [rest.name, [rows - rest.from, ...others]]];
}

/** Architectures, and the family that each is. */
const architectures: Readonly<Record<string, string>> = {
  gpt2: "gpt2",
  llama: "llama",
  qwen2: "qwen2",
  qwen3: "qwen3",
  smollm3: "smollm3",
  phi3: "phi3",
  olmo2: "olmo2",
  granite: "granite",
  gemma: "gemma",
  gemma2: "gemma2",
  gemma3: "gemma3_text",
  gptneox: "gpt_neox",
  lfm2: "lfm2",
  qwen35: "qwen3_5_text",
  qwen3next: "qwen3_next",
  qwen2moe: "qwen2_moe",
  qwen3moe: "qwen3_moe",
  olmoe: "olmoe",
};

/**
 * Architectures with experts, and whether llama.cpp makes the probabilities of those that are chosen sum to 1. A llama with experts is a
 * Mixtral.
 */
export const expertArchitectures: Readonly<Record<string, boolean>> = {
  llama: true,
  qwen2moe: false,
  qwen3moe: true,
  qwen3next: true,
  olmoe: false,
};

/** Families of gated delta networks. */
const isDelta = (family: string): boolean => family === "qwen3_next" || family === "qwen3_5_text";

/** Architectures whose queries and keys are turned in pairs of neighbours: their rows lie otherwise than in Hugging Face's files. */
const inPairs: ReadonlySet<string> = new Set(["llama", "granite", "smollm3"]);

/**
 * What a GGUF calls a family.
 * @throws {FormatError} for one that llama.cpp does not have.
 */
export function ggufArchitecture(family: string): string {
  // A Mistral is a llama with a window, a Mixtral one with experts.
  const named = family === "mistral" || family === "mixtral" ? "llama" : family;
  const found = Object.keys(architectures).find((name) => architectures[name] === named);
  if (found === undefined) {
    throw new FormatError(`no GGUF of the family ${family} is read or written here; keep it as safetensors`);
  }
  return found;
}

/**
 * What a config.json would say.
 * @throws {FormatError} for an architecture that is not known.
 */
export function ggufConfig(notes: Notes, names: readonly string[], where: string): Record<string, unknown> {
  const architecture = notes.get("general.architecture");
  if (typeof architecture !== "string" || !Object.hasOwn(architectures, architecture)) {
    throw new FormatError(
      `${where}: general.architecture is ${architecture === undefined ? "missing" : show(architecture)}; ${
        Object.keys(architectures).join(", ")
      } are read`,
    );
  }
  const note = (name: string): unknown => notes.get(`${architecture}.${name}`);
  // llama.cpp ignores a window of its llama; files written here have one where the model is a Mistral.
  const isMistral = architecture === "llama" && Number(note("attention.sliding_window") ?? 0) > 0;
  const experts = Number(note("expert_count") ?? 0);
  const family = architecture === "llama" && experts > 0
    ? "mixtral"
    : isMistral
    ? "mistral"
    : architectures[architecture];
  const tokens = notes.get("tokenizer.ggml.tokens");
  const headDim = note("attention.key_length"), rotated = note("rope.dimension_count");
  const window = note("attention.sliding_window");
  const general = {
    model_type: family,
    bos_token_id: notes.get("tokenizer.ggml.bos_token_id"),
    eos_token_id: endsOf(notes),
  };
  const tied = !names.includes("output.weight");
  const known = (json: Record<string, unknown>): Record<string, unknown> =>
    Object.fromEntries(Object.entries(json).filter(([, value]) => value !== undefined));
  if (family === "gpt2") {
    return known({
      ...general,
      vocab_size: note("vocab_size") ?? (Array.isArray(tokens) ? tokens.length : undefined),
      n_positions: note("context_length"),
      n_embd: note("embedding_length"),
      n_inner: note("feed_forward_length"),
      n_layer: note("block_count"),
      n_head: note("attention.head_count"),
      layer_norm_epsilon: note("attention.layer_norm_epsilon"),
      tie_word_embeddings: tied,
    });
  }
  const json: Record<string, unknown> = {
    ...general,
    vocab_size: note("vocab_size") ?? (Array.isArray(tokens) ? tokens.length : undefined),
    max_position_embeddings: note("context_length"),
    hidden_size: note("embedding_length"),
    intermediate_size: note("feed_forward_length"),
    num_hidden_layers: layersOf(note),
    num_attention_heads: note("attention.head_count"),
    num_key_value_heads: note("attention.head_count_kv"),
    rms_norm_eps: note("attention.layer_norm_rms_epsilon"),
    layer_norm_eps: note("attention.layer_norm_epsilon"),
    rope_theta: note("rope.freq_base"),
    tie_word_embeddings: tied,
    attention_bias: names.includes("blk.0.attn_q.bias") || names.includes("blk.0.attn_qkv.bias"),
    mlp_bias: names.includes("blk.0.ffn_up.bias"),
    rope_local_base_freq: note("rope.freq_base_swa"),
    sliding_window: window === 0 ? undefined : window,
    attn_logit_softcapping: note("attn_logit_softcapping"),
    final_logit_softcapping: note("final_logit_softcapping"),
    use_parallel_residual: note("use_parallel_residual"),
    attention_multiplier: note("attention.scale"),
    embedding_multiplier: note("embedding_scale"),
    residual_multiplier: note("residual_scale"),
    logits_scaling: note("logit_scale"),
  };
  if (family === "gpt_neox") {
    json.rotary_emb_base = json.rope_theta;
    const whole = Number(json.hidden_size) / Number(json.num_attention_heads);
    if (rotated !== undefined) json.rotary_pct = Number(rotated) / whole;
  } else {
    if (headDim !== undefined) json.head_dim = headDim;
    const whole = Number(headDim ?? Number(json.hidden_size) / Number(json.num_attention_heads));
    if (rotated !== undefined && rotated !== whole) json.partial_rotary_factor = Number(rotated) / whole;
  }
  if (family === "lfm2") {
    // Layers without heads of keys and values are convolutions.
    const list = json.num_key_value_heads;
    if (typeof list === "object" && list !== null) {
      const groups = Array.from(list as ArrayLike<unknown>);
      json.num_key_value_heads = groups.find((n) => n !== 0);
      json.layer_types = groups.map((n) => n === 0 ? "conv" : "full_attention");
    }
    json.norm_eps = json.rms_norm_eps;
    json.conv_L_cache = note("shortconv.l_cache");
    json.block_auto_adjust_ff_dim = false;
  }
  if (experts > 0) {
    Object.assign(json, {
      [family === "mixtral" ? "num_local_experts" : "num_experts"]: experts,
      num_experts_per_tok: note("expert_used_count"),
      moe_intermediate_size: note("expert_feed_forward_length"),
      shared_expert_intermediate_size: note("expert_shared_feed_forward_length"),
      norm_topk_prob: expertArchitectures[architecture],
    });
    if (family === "qwen2_moe") json.qkv_bias = json.attention_bias;
    if (family === "mixtral") { for (const name of mixtralLeaves) delete json[name]; }
  }
  if (isDelta(family)) {
    const layers = Math.min(Number(json.num_hidden_layers) || 0, mostLayers + 1);
    Object.assign(json, deltaJson(note, Math.max(0, Math.floor(layers))));
    if (typeof json.num_key_value_heads === "object" && json.num_key_value_heads !== null) {
      json.num_key_value_heads = Array.from(json.num_key_value_heads as ArrayLike<unknown>).find((n) =>
        n !== 0
      );
    }
    json.partial_rotary_factor ??= 1;
    json.attention_bias = names.some((name) => name.endsWith("attn_q.bias"));
  }
  const pattern = note("attention.sliding_window_pattern");
  if (typeof pattern === "number") json.sliding_window_pattern = pattern;
  else if (Array.isArray(pattern)) {
    json.layer_types = pattern.map((isWindowed) => isWindowed ? "sliding_attention" : "full_attention");
  }
  if (family === "gemma2" || family === "gemma3_text") {
    // llama.cpp scales queries by the width of a head, whatever the original says; files written here say it.
    const scale = note("attention.scale");
    // A null says what a missing field would not: that there is none.
    for (const name of ["sliding_window", "attn_logit_softcapping", "final_logit_softcapping"] as const) {
      if (json[name] === undefined && family === "gemma2") json[name] = null;
    }
    json.query_pre_attn_scalar = typeof scale === "number" && scale > 0 ? scale ** -2 : json.head_dim;
    delete json.attention_multiplier;
  }
  const factor = note("rope.scaling.factor") ?? note("rope.scale_linear");
  // A factor of no kind is that of all positions.
  const scaling = note("rope.scaling.type") ?? (Number(factor ?? 0) > 0 ? "linear" : undefined);
  const original = note("rope.scaling.original_context_length");
  if (scaling === "linear" || scaling === "yarn") {
    json.rope_scaling = {
      rope_type: scaling,
      factor,
      original_max_position_embeddings: original,
      attention_factor: note("rope.scaling.yarn_attn_factor") ??
        relative(note("rope.scaling.attn_factor"), factor),
      beta_fast: note("rope.scaling.yarn_beta_fast"),
      beta_slow: note("rope.scaling.yarn_beta_slow"),
    };
  } else if (original !== undefined) json.original_max_position_embeddings = original;
  return known(json);
}

/** What YaRN multiplies by where llama.cpp multiplies by `attention` besides. */
const relative = (attention: unknown, factor: unknown): unknown =>
  typeof attention === "number" && typeof factor === "number" ? attention * yarnAttention(factor) : attention;

/** What Mixtral's configuration does not say. */
const mixtralLeaves = ["moe_intermediate_size", "shared_expert_intermediate_size", "norm_topk_prob"];

/** Layers, but for those behind them that guess further tokens. */
function layersOf(note: (name: string) => unknown): unknown {
  const all = note("block_count"), guessing = note("nextn_predict_layers");
  return typeof all === "number" && typeof guessing === "number" ? all - guessing : all;
}

/** Every token that ends a text, or a turn of it. */
function endsOf(notes: Notes): unknown {
  const ids = ["eos", "eot", "eom"].map((name) => notes.get(`tokenizer.ggml.${name}_token_id`))
    .filter((id) => id !== undefined);
  return ids.length > 1 ? [...new Set(ids)] : ids[0];
}

/** The names of both sides, layer by layer; what stands in braces is there in some families only. */
const layerNames: readonly [ours: string, theirs: string][] = [
  ["input_layernorm", "attn_norm"],
  ["self_attn.q_proj", "attn_q"],
  ["self_attn.k_proj", "attn_k"],
  ["self_attn.v_proj", "attn_v"],
  ["self_attn.qkv_proj", "attn_qkv"],
  ["self_attn.o_proj", "attn_output"],
  ["self_attn.q_norm", "attn_q_norm"],
  ["self_attn.k_norm", "attn_k_norm"],
  ["pre_feedforward_layernorm", "ffn_norm"],
  ["post_feedforward_layernorm", "post_ffw_norm"],
  ["mlp.gate_proj", "ffn_gate"],
  ["mlp.up_proj", "ffn_up"],
  ["mlp.gate_up_proj", "ffn_up"],
  ["mlp.down_proj", "ffn_down"],
  ["attention.query_key_value", "attn_qkv"],
  ["attention.dense", "attn_output"],
  ["mlp.dense_h_to_4h", "ffn_up"],
  ["mlp.dense_4h_to_h", "ffn_down"],
  ["operator_norm", "attn_norm"],
  ["ffn_norm", "ffn_norm"],
  ["self_attn.out_proj", "attn_output"],
  ["self_attn.q_layernorm", "attn_q_norm"],
  ["self_attn.k_layernorm", "attn_k_norm"],
  ["conv.in_proj", "shortconv.in_proj"],
  ["conv.conv", "shortconv.conv"],
  ["conv.out_proj", "shortconv.out_proj"],
  ["feed_forward.w1", "ffn_gate"],
  ["feed_forward.w2", "ffn_down"],
  ["feed_forward.w3", "ffn_up"],
  ["mlp.gate", "ffn_gate_inp"],
  ["mlp.shared_expert.gate_proj", "ffn_gate_shexp"],
  ["mlp.shared_expert.up_proj", "ffn_up_shexp"],
  ["mlp.shared_expert.down_proj", "ffn_down_shexp"],
  ["mlp.shared_expert_gate", "ffn_gate_inp_shexp"],
];

/** What stands outside of the layers. */
const otherNames: Readonly<Record<string, string>> = {
  "model.embed_tokens": "token_embd",
  "model.norm": "output_norm",
  "lm_head": "output",
  "gpt_neox.embed_in": "token_embd",
  "gpt_neox.final_layer_norm": "output_norm",
  "embed_out": "output",
  // llama.cpp's name for what is behind the layers.
  "model.embedding_norm": "token_embd_norm",
};

/** What the configuration of a decoder says of a layout. */
interface Layout {
  readonly family: string;
  readonly normPlacement: "pre" | "post" | "both";
  readonly headDim: number;
  readonly heads: number;
  readonly experts?: { readonly count: number } | null;
}

/**
 * The tensor that a parameter is, and how it is made of it.
 * @throws {FormatError} for a parameter that no GGUF has.
 */
export function ggufWeight(parameter: string, config: unknown, architecture: string): GgufWeight {
  return architecture === "gpt2"
    ? gpt2Weight(parameter)
    : decoderWeight(parameter, config as Layout, architecture);
}

function decoderWeight(parameter: string, config: Layout, architecture: string): GgufWeight {
  const { family, normPlacement, headDim, heads } = config;
  const delta = /^model\.layers\.(\d+)\.linear_attn\.(.*)$/.exec(parameter);
  if (delta) {
    const found = deltaWeight(delta[2], config as Layout & Qwen3NextConfig, delta[1]);
    if (found) return found;
  }
  const dot = parameter.lastIndexOf("."), path = parameter.slice(0, dot), kind = parameter.slice(dot + 1);
  const inLayer = /^(?:model|gpt_neox)\.layers\.(\d+)\.(.*)$/.exec(path);
  const expert = /^model\.layers\.(\d+)\.mlp\.experts\.(gate|up|down)_proj$/.exec(parameter);
  if (expert && config.experts) {
    return { name: `blk.${expert[1]}.ffn_${expert[2]}_exps.weight`, stacked: config.experts.count };
  }
  // Families with norms behind a branch call the one behind attention what others call the one before the MLP.
  const isBehind = inLayer?.[2] === "post_attention_layernorm" &&
    (normPlacement !== "pre" || isDelta(family));
  const theirs = !inLayer
    ? otherNames[path]
    : isBehind
    ? "post_attention_norm"
    : inLayer[2] === "post_attention_layernorm"
    ? "ffn_norm"
    : layerNames.find(([ours]) => ours === inLayer[2])?.[1];
  if (theirs === undefined) throw new FormatError(`no GGUF has a tensor for the parameter ${parameter}`);
  const name = `${inLayer ? `blk.${inLayer[1]}.` : ""}${theirs}.${kind}`;
  if (inPairs.has(architecture) && (theirs === "attn_q" || theirs === "attn_k")) {
    const half = headDim / 2;
    return {
      name,
      rows: (row) => {
        const within = row % headDim;
        return row - within + (within < half ? 2 * within : 2 * (within - half) + 1);
      },
    };
  }
  if (family === "gpt_neox" && theirs === "attn_qkv") {
    return {
      name,
      rows: (row) => {
        const head = Math.floor(row / (3 * headDim)), within = row % (3 * headDim);
        return Math.floor(within / headDim) * heads * headDim + head * headDim + within % headDim;
      },
    };
  }
  if (theirs === "ffn_gate_inp_shexp") return { name, flat: 0 };
  if (theirs === "shortconv.conv" && kind === "weight") return { name, flat: 1 };
  return (/^gemma/.test(family) || isDelta(family)) && theirs.endsWith("norm")
    ? { name, plus: -1 }
    : { name };
}

const gpt2Names: Readonly<Record<string, string>> = {
  "wte": "token_embd",
  "wpe": "position_embd",
  "ln_f": "output_norm",
  "lm_head": "output",
  "ln_1": "attn_norm",
  "attn.c_attn": "attn_qkv",
  "attn.c_proj": "attn_output",
  "ln_2": "ffn_norm",
  "mlp.c_fc": "ffn_up",
  "mlp.c_proj": "ffn_down",
};

/** The tensor that a parameter of GPT-2 is; its matrices inside of blocks lie transposed, as all of a GGUF's do. */
function gpt2Weight(parameter: string): GgufWeight {
  const [, layer, path, kind] = /^(?:h\.(\d+)\.)?(.*)\.(weight|bias)$/.exec(parameter) ?? [];
  const theirs = gpt2Names[path];
  if (theirs === undefined) throw new FormatError(`no GGUF has a tensor for the parameter ${parameter}`);
  const isInside = layer !== undefined;
  return {
    name: `${isInside ? `blk.${layer}.` : ""}${theirs}.${kind}`,
    transposed: isInside && kind === "weight" && /^(attn|mlp)\./.test(path),
  };
}
