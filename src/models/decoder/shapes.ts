/**
 * The parameters of a decoder, told without making it: names as in its checkpoints, and shapes.
 *
 * @module
 */
import type { Shape } from "../../core/shape.ts";
import type { DecoderConfig } from "./config.ts";

/** A layer's parameters by their names inside it, of families that share the common decoder. */
function layerShapes(config: DecoderConfig): Record<string, Shape> {
  const { hiddenSize: width, intermediateSize: inner, heads, kvHeads, headDim, normPlacement } = config;
  const queries = heads * headDim, keys = kvHeads * headDim, out: Record<string, Shape> = {};
  const linear = (name: string, rows: number, columns: number, bias: boolean): void => {
    out[`${name}.weight`] = [rows, columns];
    if (bias) out[`${name}.bias`] = [rows];
  };
  if (normPlacement !== "post") out["input_layernorm.weight"] = [width];
  if (config.fused) linear("self_attn.qkv_proj", queries + 2 * keys, width, config.qkvBias);
  else {
    linear("self_attn.q_proj", queries, width, config.qkvBias);
    linear("self_attn.k_proj", keys, width, config.qkvBias);
    linear("self_attn.v_proj", keys, width, config.qkvBias);
  }
  linear("self_attn.o_proj", width, queries, config.outputBias);
  if (config.qkNorm !== null) {
    const whole = config.qkNorm === "width";
    out["self_attn.q_norm.weight"] = [whole ? queries : headDim];
    out["self_attn.k_norm.weight"] = [whole ? keys : headDim];
  }
  out["post_attention_layernorm.weight"] = [width];
  if (normPlacement === "both") out["pre_feedforward_layernorm.weight"] = [width];
  if (config.fused) linear("mlp.gate_up_proj", 2 * inner, width, config.mlpBias);
  else {
    linear("mlp.gate_proj", inner, width, config.mlpBias);
    linear("mlp.up_proj", inner, width, config.mlpBias);
  }
  linear("mlp.down_proj", width, inner, config.mlpBias);
  if (normPlacement !== "pre") out["post_feedforward_layernorm.weight"] = [width];
  return out;
}

/** A layer's parameters of a GPT-NeoX. */
function neoxShapes(
  { hiddenSize: width, intermediateSize: inner, qkvBias }: DecoderConfig,
): Record<string, Shape> {
  return {
    "input_layernorm.weight": [width],
    "input_layernorm.bias": [width],
    "post_attention_layernorm.weight": [width],
    "post_attention_layernorm.bias": [width],
    "attention.query_key_value.weight": [3 * width, width],
    ...(qkvBias ? { "attention.query_key_value.bias": [3 * width] } : {}),
    "attention.dense.weight": [width, width],
    ...(qkvBias ? { "attention.dense.bias": [width] } : {}),
    "mlp.dense_h_to_4h.weight": [inner, width],
    "mlp.dense_h_to_4h.bias": [inner],
    "mlp.dense_4h_to_h.weight": [width, inner],
    "mlp.dense_4h_to_h.bias": [width],
  };
}

/** Names and shapes of a decoder's parameters, in the order of its checkpoints. */
export function decoderShapes(config: DecoderConfig): Map<string, Shape> {
  const { vocabSize, hiddenSize, layers, tied, family } = config, isNeox = family === "gpt_neox";
  const out = new Map<string, Shape>([
    [isNeox ? "gpt_neox.embed_in.weight" : "model.embed_tokens.weight", [vocabSize, hiddenSize]],
  ]);
  const inLayer = Object.entries(isNeox ? neoxShapes(config) : layerShapes(config));
  const prefix = isNeox ? "gpt_neox.layers" : "model.layers";
  layers.forEach((_, i) => {
    for (const [name, shape] of inLayer) out.set(`${prefix}.${i}.${name}`, shape);
  });
  out.set(isNeox ? "gpt_neox.final_layer_norm.weight" : "model.norm.weight", [hiddenSize]);
  if (isNeox) out.set("gpt_neox.final_layer_norm.bias", [hiddenSize]);
  if (!tied) out.set(isNeox ? "embed_out.weight" : "lm_head.weight", [vocabSize, hiddenSize]);
  return out;
}
