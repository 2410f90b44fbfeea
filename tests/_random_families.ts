/**
 * Models of all families with configurations at random, of what transformers allows, and with the weights that the truth in float64
 * (`_decoder_truth.ts`) asked for.
 *
 * @module
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { saveSafetensors, tensor } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { functions, type Weights } from "./_decoder_truth.ts";

/** A config.json. */
export type Config = Record<string, unknown>;

/** Tokens that each knows. */
export const vocab = 37;

/** The families. */
export const randomFamilies: readonly string[] = [
  "gpt2",
  "llama",
  "mistral",
  "qwen2",
  "qwen3",
  "smollm3",
  "phi3",
  "olmo2",
  "granite",
  "gemma",
  "gemma2",
  "gemma3_text",
  "gpt_neox",
  "lfm2",
  "qwen3_next",
  "qwen3_5_text",
  "mixtral",
  "qwen2_moe",
  "qwen3_moe",
  "olmoe",
];

/** Writes a folder of a model with weights that the truth asked for. */
export async function writeFamily(folder: string, config: Config, weights: Weights): Promise<void> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  const tensors = [...weights.made].map(([name, { shape, values }]) =>
    [name, tensor(values, { shape })] as const
  );
  await saveSafetensors(join(folder, "model.safetensors"), new Map(tensors));
  for (const [, t] of tensors) t.dispose();
}

/** A configuration of a family at random, of what transformers allows. */
export function randomConfig(family: string, seed: number): Config {
  const random = new Generator(seed);
  const pick = <T>(...list: T[]): T => list[random.integer(0, list.length)];
  const layers = 3, heads = pick(1, 2, 3, 4), groups = pick(...[1, 2, 3, 4].filter((n) => heads % n === 0));
  const headDim = pick(4, 8, 16), hidden = pick(heads * headDim, 24, 20), window = pick(1, 3, 5);
  const act = pick(...Object.keys(functions));
  if (family === "gpt2") {
    return {
      model_type: family,
      vocab_size: vocab,
      n_positions: 16,
      n_embd: heads * headDim,
      n_head: heads,
      n_layer: layers,
      ...pick({}, { n_inner: 20 }),
      activation_function: act,
      ...pick({}, { scale_attn_by_inverse_layer_idx: true }, { scale_attn_weights: false }),
      ...pick({}, { reorder_and_upcast_attn: true }),
      ...pick({}, { tie_word_embeddings: false }),
      layer_norm_epsilon: pick(1e-5, 1e-3),
    };
  }
  const share = family === "gpt_neox" || family === "phi3" ? pick(1, 0.5, 0.5) : 1;
  const dims = family === "gpt_neox" ? headDim : headDim, pairs = dims * share / 2;
  const factors = (least: number): number[] => Array.from({ length: pairs }, (_, i) => least + 0.25 * i);
  const scalings: Config[] = [
    {},
    { rope_type: "default" },
    { rope_type: "linear", factor: 2.5 },
    {
      rope_type: "yarn",
      factor: 4,
      original_max_position_embeddings: 8,
      ...pick({}, { beta_fast: 8, beta_slow: 2 }, { mscale: 0.7, mscale_all_dim: 0.4 }, {
        attention_factor: 1.3,
      }),
    },
    {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 16,
    },
  ];
  const isPhi = family === "phi3";
  const scaling = isPhi
    ? pick<Config>({}, {
      rope_type: "longrope",
      short_factor: factors(1),
      long_factor: factors(2),
      ...pick({}, { factor: 3 }, { attention_factor: 0.8 }),
    })
    : pick(...scalings);
  const theta = pick(100, 10_000), isGemma3 = family === "gemma3_text";
  const typed = pick(false, true),
    rope: Config = isGemma3
      ? typed
        ? {
          rope_parameters: {
            full_attention: { rope_theta: theta, ...scaling },
            sliding_attention: pick<Config>({ rope_theta: 50, rope_type: "default" }, {}, {
              rope_theta: 50,
              rope_type: "linear",
              factor: 2,
            }),
          },
        }
        : {
          rope_theta: theta,
          rope_local_base_freq: 50,
          ...Object.keys(scaling).length ? { rope_scaling: scaling } : {},
        }
      : typed
      ? {
        rope_parameters: {
          rope_theta: theta,
          ...scaling,
          ...share < 1 ? { partial_rotary_factor: share } : {},
        },
      }
      : {
        [family === "gpt_neox" ? "rotary_emb_base" : "rope_theta"]: theta,
        ...Object.keys(scaling).length ? { rope_scaling: scaling } : {},
        ...family === "gpt_neox" ? { rotary_pct: share } : share < 1 ? { partial_rotary_factor: share } : {},
      };
  if (family === "gpt_neox" && typed && share === 1) {
    (rope.rope_parameters as Config).partial_rotary_factor = 1;
  }
  const types = pick(undefined, ["sliding_attention", "full_attention", "sliding_attention"]);
  const common: Config = {
    model_type: family,
    ...pick({ torch_dtype: "float32" }, { dtype: "float32" }),
    vocab_size: vocab,
    // What may be left out is what transformers' class has.
    ...scaling.rope_type === undefined || scaling.rope_type === "linear"
      ? pick({ max_position_embeddings: 32 }, {})
      : { max_position_embeddings: 32 },
    hidden_size: family === "gpt_neox" ? heads * headDim : hidden,
    intermediate_size: pick(20, 32),
    num_hidden_layers: layers,
    num_attention_heads: heads,
    ...pick({}, { tie_word_embeddings: true }, { tie_word_embeddings: false }),
    ...rope,
  };
  if (family === "gpt_neox") {
    return {
      ...common,
      hidden_act: act,
      layer_norm_eps: 1e-5,
      ...pick({}, { use_parallel_residual: false }, { attention_bias: false }),
    };
  }
  if (family === "lfm2") {
    const { hidden_size: _, intermediate_size: inner, ...rest } = common;
    return {
      ...rest,
      hidden_size: heads * headDim,
      num_key_value_heads: groups,
      ...pick({ norm_eps: 1e-3 }, { block_norm_eps: 1e-4 }, {}),
      ...pick<Config>({ intermediate_size: inner }, { intermediate_size: 7, block_ff_dim: inner }, {
        block_ff_dim: inner,
      }),
      ...pick<Config>({ block_auto_adjust_ff_dim: false }, {
        block_multiple_of: 8,
        block_ffn_dim_multiplier: 1.3,
      }, {
        block_multiple_of: 16,
      }),
      ...pick({}, { conv_bias: true }),
      ...pick({}, { conv_L_cache: 1 }, { conv_L_cache: 2 }, { conv_L_cache: 5 }),
      ...pick<Config>({ layer_types: ["conv", "full_attention", "conv"] }, { full_attn_idxs: [2] }, {
        layer_types: ["full_attention", "conv", "conv"],
      }, {}),
    };
  }
  /** Experts, as the families call them. */
  const experts = (): Config => {
    const count = pick(2, 3, 5, 8), active = pick(...[1, 2, 3].filter((n) => n <= count));
    const all = { num_experts_per_tok: active, ...pick({}, { output_router_logits: false }) };
    if (family === "mixtral") return { ...all, num_local_experts: count, router_aux_loss_coef: 0.02 };
    const has = {
      ...all,
      num_experts: count,
      ...pick({}, { norm_topk_prob: true }, { norm_topk_prob: false }),
    };
    if (family === "olmoe") return has;
    return {
      ...has,
      moe_intermediate_size: pick(8, 12),
      ...family === "qwen3_moe" ? {} : { shared_expert_intermediate_size: pick(8, 12) },
      ...pick<Config>({}, {}, { mlp_only_layers: [1] }, { decoder_sparse_step: 2 }, { mlp_only_layers: [] }),
    };
  };
  if (family === "qwen3_next" || family === "qwen3_5_text") {
    const nk = pick(1, 2, 3),
      wide = pick(4, 5, 8),
      whole = { partial_rotary_factor: headDim === 4 ? 0.5 : pick(0.25, 0.5, 1) };
    const parameters = rope.rope_parameters as Config | undefined;
    return {
      ...common,
      ...parameters ? { rope_parameters: { ...parameters, ...whole, mrope_section: [1, 1, 0] } } : whole,
      num_key_value_heads: groups,
      head_dim: headDim,
      hidden_act: pick(act, "silu"),
      ...pick({}, {}, { attention_bias: true }),
      rms_norm_eps: pick(1e-6, 1e-3),
      linear_num_key_heads: nk,
      linear_num_value_heads: nk * pick(1, 2, 3),
      linear_key_head_dim: wide,
      linear_value_head_dim: pick(3, wide, wide),
      ...pick({}, { linear_conv_kernel_dim: 1 }, { linear_conv_kernel_dim: 2 }),
      ...pick<Config>({ full_attention_interval: 2 }, {
        layer_types: ["linear_attention", "linear_attention", "full_attention"],
      }, { layer_types: ["full_attention", "linear_attention", "linear_attention"] }),
      ...family === "qwen3_next"
        ? pick<Config>({ num_experts: 0 }, experts(), experts(), {
          num_experts: 8,
          moe_intermediate_size: 4,
          mlp_only_layers: [0, 1, 2],
        })
        : pick({}, { attn_output_gate: true }),
    };
  }
  const isQwen = /^qwen[23]/.test(family), isSmol = family === "smollm3";
  return {
    ...common,
    num_key_value_heads: groups,
    ...isPhi ? { original_max_position_embeddings: pick(8, 16), pad_token_id: 0 } : {},
    ...hidden === heads * headDim && !family.startsWith("gemma")
      ? pick({}, { head_dim: headDim })
      : { head_dim: headDim },
    ...pick<Config>({ rms_norm_eps: pick(1e-6, 1e-5, 1e-3) }, {}),
    ...family === "gemma"
      ? pick<Config>({ hidden_activation: act }, { hidden_act: act }, {
        hidden_activation: act,
        hidden_act: "relu",
      })
      : family.startsWith("gemma")
      ? { hidden_activation: act }
      : { hidden_act: act },
    ...[
        "llama",
        "qwen3",
        "qwen3_moe",
        "olmoe",
        "smollm3",
        "olmo2",
        "granite",
        "gemma",
        "gemma2",
        "gemma3_text",
      ].includes(family)
      ? pick({}, { attention_bias: true })
      : {},
    ...["llama", "granite", "smollm3"].includes(family) ? pick({}, { mlp_bias: true }) : {},
    ...["mixtral", "qwen2_moe", "qwen3_moe", "olmoe"].includes(family) ? experts() : {},
    ...family === "qwen2_moe" ? pick({}, { qkv_bias: false }) : {},
    ...family === "mistral" || family === "mixtral" || isPhi
      ? pick<Config>({ sliding_window: pick(null, window) }, {})
      : {},
    ...isQwen
      ? pick<Config>({}, {
        use_sliding_window: true,
        sliding_window: window,
        max_window_layers: pick(0, 1, 2),
      }, {
        use_sliding_window: true,
        sliding_window: window,
        layer_types: types ?? ["full_attention", "full_attention", "sliding_attention"],
      })
      : {},
    ...isSmol ? pick<Config>({}, { no_rope_layers: [1, 0, 1, 1] }, { no_rope_layer_interval: 2 }) : {},
    ...isSmol ? pick<Config>({}, { use_sliding_window: true, sliding_window: window }) : {},
    ...family === "granite"
      ? { attention_multiplier: 0.3, embedding_multiplier: 2.5, residual_multiplier: 0.7, logits_scaling: 3 }
      : {},
    ...family === "gemma2" || isGemma3
      ? {
        sliding_window: window,
        query_pre_attn_scalar: pick(12, 20),
        ...types ? { layer_types: types } : {},
      }
      : {},
    ...family === "gemma2"
      ? {
        ...pick({ attn_logit_softcapping: pick(null, 2) }, {}),
        ...pick({ final_logit_softcapping: pick(null, 3) }, {}),
      }
      : isGemma3
      ? pick({}, { attn_logit_softcapping: 2 }, { final_logit_softcapping: 3 })
      : {},
    ...isGemma3 && !types ? { sliding_window_pattern: 2 } : {},
  };
}
