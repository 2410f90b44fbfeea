/**
 * OLMo 2 (Walsh et al. 2024): norms behind each branch, and of queries and keys over all heads together.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { commonFields, type ConfigFields, layersOf, rotaryOf } from "../decoder/fields.ts";

/** Reads the fields of a config.json. */
export function olmo2Config(c: ConfigFields): DecoderConfig {
  const common = commonFields(c, { positions: 2048, normEps: 1e-5 }), rotary = rotaryOf(c, common);
  return {
    ...common,
    normPlacement: "post",
    qkNorm: "width",
    layers: layersOf(c, () => rotary, null, () => false),
  };
}
