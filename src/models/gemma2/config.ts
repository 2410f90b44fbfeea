/**
 * Gemma 2 (Gemma Team 2024): Gemma with norms on both sides of each branch, soft caps, a window in every second layer.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { type ConfigFields, layersOf, rotaryOf, sizeOrNone } from "../decoder/fields.ts";
import { gemmaFields } from "../gemma/config.ts";

/** A soft cap: `fallback` where nothing is said; null turns it off. */
export function capOf(c: ConfigFields, name: string, fallback: number | null): number | null {
  if (!c.has(name)) return fallback;
  return c.raw(name) === undefined ? null : c.positive(name);
}

/** Reads the fields of a config.json. */
export function gemma2Config(c: ConfigFields): DecoderConfig {
  const common = gemmaFields(c), rotary = rotaryOf(c, common);
  const window = sizeOrNone(c, "sliding_window", 4096);
  return {
    ...common,
    normPlacement: "both",
    attentionScale: c.positive("query_pre_attn_scalar", 256) ** -0.5,
    attentionSoftcap: capOf(c, "attn_logit_softcapping", 50),
    logitSoftcap: capOf(c, "final_logit_softcapping", 30),
    layers: layersOf(c, () => rotary, window, (layer) => layer % 2 === 0),
  };
}
