/**
 * Granite 3 and 4, dense (IBM 2024): LLaMA with four multipliers.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { commonFields, type ConfigFields, layersOf, rotaryOf } from "../decoder/fields.ts";

/** Reads the fields of a config.json. */
export function graniteConfig(c: ConfigFields): DecoderConfig {
  const common = commonFields(c, { positions: 2048, biasedMLP: true }), rotary = rotaryOf(c, common);
  return {
    ...common,
    attentionScale: c.positive("attention_multiplier", 1),
    embeddingScale: c.positive("embedding_multiplier", 1),
    residualScale: c.positive("residual_multiplier", 1),
    logitScale: 1 / c.positive("logits_scaling", 1),
    layers: layersOf(c, () => rotary, null, () => false),
  };
}
