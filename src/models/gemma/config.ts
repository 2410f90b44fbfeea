/**
 * Gemma (Gemma Team 2024): norms that store w of 1 + w, embeddings times √width, GELU in the gate.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { activationOf, commonFields, type ConfigFields, layersOf, rotaryOf } from "../decoder/fields.ts";

/** What all generations of Gemma do. */
export function gemmaFields(c: ConfigFields): Omit<DecoderConfig, "layers"> {
  const common = commonFields(c);
  // Older files say hidden_act "gelu" and mean the tanh form; hidden_activation counts where it is given.
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
  return { ...common, layers: layersOf(c, () => rotary, null, () => false) };
}
