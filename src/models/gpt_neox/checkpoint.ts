/**
 * The parameters of a GPT-NeoX, told without making it.
 *
 * @module
 */
import { type ExpectedTensors, layeredTensors, type Shapes } from "../checkpoint.ts";
import type { GPTNeoXConfig } from "./config.ts";

/** The parameters of a GPT-NeoX of this configuration. */
export function gptNeoXTensors(config: GPTNeoXConfig): ExpectedTensors {
  const { hiddenSize: width, intermediateSize: inner, vocabSize, layers, qkvBias, tied } = config;
  const norm = (name: string): Shapes => ({ [`${name}.weight`]: [width], [`${name}.bias`]: [width] });
  const linear = (name: string, from: number, to: number, bias: boolean): Shapes => ({
    [`${name}.weight`]: [to, from],
    ...bias ? { [`${name}.bias`]: [to] } : {},
  });
  return layeredTensors(
    "gpt_neox.layers.",
    layers.length,
    {
      ...norm("input_layernorm"),
      ...norm("post_attention_layernorm"),
      ...linear("attention.query_key_value", width, 3 * width, qkvBias),
      ...linear("attention.dense", width, width, qkvBias),
      ...linear("mlp.dense_h_to_4h", width, inner, true),
      ...linear("mlp.dense_4h_to_h", inner, width, true),
    },
    { "gpt_neox.embed_in.weight": [vocabSize, width] },
    { ...norm("gpt_neox.final_layer_norm"), ...tied ? {} : { "embed_out.weight": [vocabSize, width] } },
  );
}
