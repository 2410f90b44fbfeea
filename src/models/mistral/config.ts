/**
 * Mistral (Jiang et al. 2023): LLaMA with a window in every layer.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { commonFields, type ConfigFields, layersOf, rotaryOf } from "../decoder/fields.ts";

/** Reads the fields of a config.json. */
export function mistralConfig(c: ConfigFields): DecoderConfig {
  const common = commonFields(c), rotary = rotaryOf(c, common);
  const window = c.raw("sliding_window") === undefined ? null : c.size("sliding_window");
  return { ...common, layers: layersOf(c, () => rotary, window, () => true) };
}
