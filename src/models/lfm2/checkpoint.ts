/**
 * The parameters of an LFM2, told without making it.
 *
 * @module
 */
import type { ModelSizes } from "../family.ts";
import { type ExpectedTensors, layeredTensors, type Shapes } from "../checkpoint.ts";
import type { Lfm2Config } from "./config.ts";

/** The parameters of a network of this configuration. */
export function lfm2Tensors(config: Lfm2Config): ExpectedTensors {
  const { hiddenSize: width, intermediateSize: inner, heads, kvHeads, headDim } = config;
  const { vocabSize, layers, tied, kernel, convBias } = config,
    queries = heads * headDim,
    keys = kvHeads * headDim;
  const bias = (name: string, size: number): Shapes => convBias ? { [`${name}.bias`]: [size] } : {};
  const every: Shapes = {
    "operator_norm.weight": [width],
    "ffn_norm.weight": [width],
    "feed_forward.w1.weight": [inner, width],
    "feed_forward.w2.weight": [width, inner],
    "feed_forward.w3.weight": [inner, width],
  };
  const conv: Shapes = {
    ...every,
    "conv.in_proj.weight": [3 * width, width],
    ...bias("conv.in_proj", 3 * width),
    "conv.conv.weight": [width, 1, kernel],
    ...bias("conv.conv", width),
    "conv.out_proj.weight": [width, width],
    ...bias("conv.out_proj", width),
  };
  const attention: Shapes = {
    ...every,
    "self_attn.q_proj.weight": [queries, width],
    "self_attn.k_proj.weight": [keys, width],
    "self_attn.v_proj.weight": [keys, width],
    "self_attn.out_proj.weight": [width, queries],
    "self_attn.q_layernorm.weight": [headDim],
    "self_attn.k_layernorm.weight": [headDim],
  };
  return layeredTensors(
    "model.layers.",
    layers.length,
    (layer) => layers[layer].states ? conv : attention,
    { "model.embed_tokens.weight": [vocabSize, width] },
    { "model.embedding_norm.weight": [width], ...tied ? {} : { "lm_head.weight": [vocabSize, width] } },
  );
}

/** What a config.json for fresh weights says besides: every third layer attends, and the last one. */
export function lfm2Sized({ layers }: ModelSizes): Record<string, unknown> {
  return {
    block_auto_adjust_ff_dim: false,
    layer_types: Array.from(
      { length: layers },
      (_, i) => i % 3 === 2 || i === layers - 1 ? "full_attention" : "conv",
    ),
  };
}
