/**
 * LLaMA (Touvron et al. 2023; Grattafiori et al. 2024): Llama 2 and 3, TinyLlama, SmolLM 2.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { commonFields, type ConfigFields, layersOf, rotaryOf } from "../decoder/fields.ts";

/** Reads the fields of a config.json. */
export function llamaConfig(c: ConfigFields): DecoderConfig {
  const common = commonFields(c, { positions: 2048, biasedMLP: true }), rotary = rotaryOf(c, common);
  return { ...common, layers: layersOf(c, () => rotary, null, () => false) };
}
