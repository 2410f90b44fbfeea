/**
 * The parameters of a Qwen3-Next or Qwen 3.5, told without making it.
 *
 * @module
 */
import { type ExpectedTensors, layeredTensors, type Shapes } from "../checkpoint.ts";
import { expertShapes } from "../decoder/experts.ts";
import type { ModelSizes } from "../family.ts";
import type { Qwen3NextConfig } from "./config.ts";

/** The parameters of a network of this configuration. */
export function qwen3NextTensors(config: Qwen3NextConfig): ExpectedTensors {
  const { hiddenSize: width, intermediateSize: inner, heads, kvHeads, headDim, vocabSize, layers, tied } =
    config;
  const { keyHeads, keyWidth, valueHeads, valueWidth, kernel, grouped, qkvBias, outputBias } = config;
  const keys = keyHeads * keyWidth, values = valueHeads * valueWidth, groups = kvHeads * headDim;
  const linear = (name: string, from: number, to: number, bias = false): Shapes => ({
    [`${name}.weight`]: [to, from],
    ...bias ? { [`${name}.bias`]: [to] } : {},
  });
  const every: Shapes = {
    "input_layernorm.weight": [width],
    "post_attention_layernorm.weight": [width],
  };
  const dense: Shapes = {
    ...linear("mlp.gate_proj", width, inner),
    ...linear("mlp.up_proj", width, inner),
    ...linear("mlp.down_proj", inner, width),
  };
  const sparse = config.experts ? expertShapes(config) : dense;
  const delta: Shapes = {
    ...every,
    ...grouped
      ? {
        ...linear("linear_attn.in_proj_qkvz", width, 2 * keys + 2 * values),
        ...linear("linear_attn.in_proj_ba", width, 2 * valueHeads),
      }
      : {
        ...linear("linear_attn.in_proj_qkv", width, 2 * keys + values),
        ...linear("linear_attn.in_proj_z", width, values),
        ...linear("linear_attn.in_proj_b", width, valueHeads),
        ...linear("linear_attn.in_proj_a", width, valueHeads),
      },
    "linear_attn.conv1d.weight": [2 * keys + values, 1, kernel],
    "linear_attn.dt_bias": [valueHeads],
    "linear_attn.A_log": [valueHeads],
    "linear_attn.norm.weight": [valueWidth],
    ...linear("linear_attn.out_proj", values, width),
  };
  const attention: Shapes = {
    ...every,
    ...linear("self_attn.q_proj", width, 2 * heads * headDim, qkvBias),
    ...linear("self_attn.k_proj", width, groups, qkvBias),
    ...linear("self_attn.v_proj", width, groups, qkvBias),
    ...linear("self_attn.o_proj", heads * headDim, width, outputBias),
    "self_attn.q_norm.weight": [headDim],
    "self_attn.k_norm.weight": [headDim],
  };
  return layeredTensors(
    "model.layers.",
    layers.length,
    (layer) => ({
      ...layers[layer].states ? delta : attention,
      ...layers[layer].sparse ? sparse : dense,
    }),
    { "model.embed_tokens.weight": [vocabSize, width] },
    { "model.norm.weight": [width], ...tied ? {} : { "lm_head.weight": [vocabSize, width] } },
  );
}

/** What a config.json for fresh weights says besides: every fourth layer attends, and the last one. */
export function qwen3NextSized({ layers, width, heads }: ModelSizes): Record<string, unknown> {
  const each = width / heads;
  return {
    head_dim: each,
    partial_rotary_factor: each % 8 === 0 ? 0.25 : 1,
    linear_num_key_heads: heads,
    linear_num_value_heads: 2 * heads,
    linear_key_head_dim: each,
    linear_value_head_dim: each,
    layer_types: Array.from(
      { length: layers },
      (_, i) => i % 4 === 3 || i === layers - 1 ? "full_attention" : "linear_attention",
    ),
  };
}
