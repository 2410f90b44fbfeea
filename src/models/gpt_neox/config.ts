/**
 * The configuration of a GPT-NeoX, as `config.json` of Hugging Face says it.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { activationOf, type ConfigFields, layersOf, rotaryOf } from "../decoder/fields.ts";

/** A decoder whose branches may lie side by side. */
export interface GPTNeoXConfig extends DecoderConfig {
  /** Whether the MLP sees what came in, beside attention. */
  readonly parallelResidual: boolean;
}

/** Reads the fields of a config.json. */
export function gptNeoXConfig(c: ConfigFields): GPTNeoXConfig {
  const hiddenSize = c.size("hidden_size"), heads = c.size("num_attention_heads");
  if (hiddenSize % heads !== 0) c.fail("hidden_size", `a multiple of the ${heads} num_attention_heads`);
  c.only({ hidden_dropout: 0 });
  const headDim = hiddenSize / heads, maxPositions = c.size("max_position_embeddings", 2048);
  const share = c.positive("rotary_pct", 0.25), theta = c.positive("rotary_emb_base", 10_000);
  const rotary = rotaryOf(c, { headDim, maxPositions }, theta, undefined, share),
    bias = c.flag("attention_bias", true);
  return {
    family: c.family,
    json: c.all,
    bosTokenId: c.id("bos_token_id"),
    eosTokenId: c.ids("eos_token_id"),
    vocabSize: c.size("vocab_size"),
    maxPositions,
    hiddenSize,
    intermediateSize: c.size("intermediate_size"),
    heads,
    kvHeads: heads,
    headDim,
    layers: layersOf(c, () => rotary, null, () => false),
    normEps: c.positive("layer_norm_eps", 1e-5),
    normUnitOffset: false,
    normPlacement: "pre",
    qkNorm: null,
    qkvBias: bias,
    outputBias: bias,
    mlpBias: true,
    fused: true,
    attentionScale: headDim ** -0.5,
    attentionSoftcap: null,
    logitSoftcap: null,
    activation: activationOf(c, "hidden_act", "gelu"),
    embeddingScale: 1,
    residualScale: 1,
    logitScale: 1,
    tied: c.flag("tie_word_embeddings", false),
    attentionDropout: c.chance("attention_dropout"),
    initializerRange: c.positive("initializer_range", 0.02),
    parallelResidual: c.flag("use_parallel_residual", true),
  };
}
