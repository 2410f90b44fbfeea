/**
 * Phi-3 and Phi-4-mini (Abdin et al. 2024): LLaMA with fused projections, part of a head turned, LongRoPE.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { commonFields, type ConfigFields, layersOf, rotaryOf, sizeOrNone } from "../decoder/fields.ts";

/** Reads the fields of a config.json. */
export function phi3Config(c: ConfigFields): DecoderConfig {
  const common = commonFields(c, { positions: 4096, normEps: 1e-5, biased: false }),
    rotary = rotaryOf(c, common);
  c.only({ embd_pdrop: 0, resid_pdrop: 0 });
  const window = sizeOrNone(c, "sliding_window", null);
  return { ...common, fused: true, layers: layersOf(c, () => rotary, window, () => true) };
}
