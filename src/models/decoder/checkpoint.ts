/**
 * The parameters of a decoder, told without making it: one line each, as `DecoderModel` has them.
 *
 * @module
 */
import { type ExpectedTensors, layeredTensors, type Shapes } from "../checkpoint.ts";
import { withoutOuter } from "../nested.ts";
import type { DecoderConfig } from "./config.ts";
import { expertShapes } from "./experts.ts";

/** The entries whose condition holds. */
const when = (is: boolean, shapes: Shapes): Shapes => is ? shapes : {};

/** A layer's parameters, by their names inside it. */
function layerShapes(config: DecoderConfig, sparse: boolean): Shapes {
  const { hiddenSize: width, intermediateSize: inner, heads, kvHeads, headDim, qkNorm, fused } = config;
  const { qkvBias, outputBias, mlpBias, normPlacement: placement } = config;
  const queries = heads * headDim, keys = kvHeads * headDim;
  const linear = (name: string, from: number, to: number, bias: boolean): Shapes => ({
    [`${name}.weight`]: [to, from],
    ...when(bias, { [`${name}.bias`]: [to] }),
  });
  return {
    ...when(placement !== "post", { "input_layernorm.weight": [width] }),
    ...fused ? linear("self_attn.qkv_proj", width, queries + 2 * keys, qkvBias) : {
      ...linear("self_attn.q_proj", width, queries, qkvBias),
      ...linear("self_attn.k_proj", width, keys, qkvBias),
      ...linear("self_attn.v_proj", width, keys, qkvBias),
    },
    ...linear("self_attn.o_proj", queries, width, outputBias),
    ...when(qkNorm !== null, {
      "self_attn.q_norm.weight": [qkNorm === "head" ? headDim : queries],
      "self_attn.k_norm.weight": [qkNorm === "head" ? headDim : keys],
    }),
    "post_attention_layernorm.weight": [width],
    ...when(placement === "both", { "pre_feedforward_layernorm.weight": [width] }),
    ...sparse ? expertShapes(config) : {
      ...fused ? linear("mlp.gate_up_proj", width, 2 * inner, mlpBias) : {
        ...linear("mlp.gate_proj", width, inner, mlpBias),
        ...linear("mlp.up_proj", width, inner, mlpBias),
      },
      ...linear("mlp.down_proj", inner, width, mlpBias),
    },
    ...when(placement !== "pre", { "post_feedforward_layernorm.weight": [width] }),
  };
}

/** The parameters of a decoder of this configuration. */
export function decoderTensors(config: DecoderConfig): ExpectedTensors {
  const { hiddenSize: width, vocabSize, layers, tied } = config;
  const dense = layerShapes(config, false), sparse = config.experts ? layerShapes(config, true) : dense;
  return layeredTensors(
    "model.layers.",
    layers.length,
    (layer) => layers[layer].sparse ? sparse : dense,
    { "model.embed_tokens.weight": [vocabSize, width] },
    { "model.norm.weight": [width], ...when(!tied, { "lm_head.weight": [vocabSize, width] }) },
  );
}

/** Tables of angles and masks that older programs wrote beside the weights. */
const buffer = /(^|\.)(rotary_emb\.(inv_freq|cos_cached|sin_cached)|(attention|attn)\.(bias|masked_bias))$/;

/**
 * The parameter that a checkpoint calls `name`: a file of the layers alone, without the output layer, leaves out the `body`
 * ("model.") before its names, and one of texts and images has another. Null for a buffer, and for an output layer (`head`) that is tied.
 */
export function decoderParameter(name: string, body: string, head: string, tied: boolean): string | null {
  const own = withoutOuter(name);
  if (buffer.test(own) || (tied && own === `${head}.weight`)) return null;
  return own.startsWith(body) || own.startsWith(`${head}.`) ? own : body + own;
}
