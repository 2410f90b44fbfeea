/**
 * Gemma (Gemma Team 2024): norms that store w of 1 + w, embeddings times √width, GELU in the gate.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { activationOf, commonFields, type ConfigFields, layersOf, rotaryOf } from "../decoder/fields.ts";

/** What all generations of Gemma do. */
export function gemmaFields(c: ConfigFields, positions = 8192): Omit<DecoderConfig, "layers"> {
  const common = commonFields(c, { positions });
  const activation = activationOf(c, "hidden_activation", "gelu_pytorch_tanh");
  return {
    ...common,
    normUnitOffset: true,
    activation,
    embeddingScale: Math.sqrt(common.hiddenSize),
    tied: c.flag("tie_word_embeddings", true),
  };
}

/** Reads the fields of a config.json. */
export function gemmaConfig(c: ConfigFields): DecoderConfig {
  const common = gemmaFields(c), rotary = rotaryOf(c, common);
  // The first files call it hidden_act, which later generations leave unread.
  const activation = c.raw("hidden_activation") === undefined
    ? activationOf(c, "hidden_act", "gelu_pytorch_tanh")
    : common.activation;
  return { ...common, activation, layers: layersOf(c, () => rotary, null, () => false) };
}
