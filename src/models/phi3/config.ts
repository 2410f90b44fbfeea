/**
 * Phi-3 and Phi-4-mini (Abdin et al. 2024): LLaMA with fused projections, part of a head turned, LongRoPE.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { commonFields, type ConfigFields, layersOf, rotaryOf } from "../decoder/fields.ts";

/** Reads the fields of a config.json. */
export function phi3Config(c: ConfigFields): DecoderConfig {
  const common = commonFields(c), rotary = rotaryOf(c, common);
  c.only({ embd_pdrop: 0, resid_pdrop: 0 });
  const window = c.raw("sliding_window") === undefined ? null : c.size("sliding_window");
  return { ...common, fused: true, layers: layersOf(c, () => rotary, window, () => true) };
}
