/**
 * Mistral (Jiang et al. 2023): LLaMA with a window in every layer.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import {
  commonFields,
  type CommonOptions,
  type ConfigFields,
  layersOf,
  rotaryOf,
  sizeOrNone,
} from "../decoder/fields.ts";

/** Fields that Mixtral has, too; `otherwise` says what it has where they say nothing. */
export function mistralFields(
  c: ConfigFields,
  otherwise: Partial<CommonOptions> & { readonly theta: number; readonly window: number | null },
): DecoderConfig {
  const common = commonFields(c, { positions: 131_072, biased: false, ...otherwise });
  const rotary = rotaryOf(c, common, otherwise.theta);
  const window = sizeOrNone(c, "sliding_window", otherwise.window);
  return { ...common, layers: layersOf(c, () => rotary, window, () => true) };
}

/** Reads the fields of a config.json. */
export function mistralConfig(c: ConfigFields): DecoderConfig {
  return mistralFields(c, { theta: 10_000, window: 4096 });
}
