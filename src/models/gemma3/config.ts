/**
 * Gemma 3, text (Gemma Team 2025): Gemma 2 without caps in attention, with norms of queries and keys; five layers with a
 * window and quick angles to one that sees everything.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { type ConfigFields, layersOf, rotaryOf } from "../decoder/fields.ts";
import { gemmaFields } from "../gemma/config.ts";
import { capOf } from "../gemma2/config.ts";
import type { RotaryOptions } from "../../nn/rotary.ts";

/** Reads the fields of a config.json. */
export function gemma3Config(c: ConfigFields): DecoderConfig {
  const common = gemmaFields(c, 131_072), { headDim, maxPositions } = common;
  c.only({ use_bidirectional_attention: false });
  // Written by all, and heeded by none: scores have no cap here.
  c.raw("attn_logit_softcapping");
  const global = rotaryOf(c, common, 1_000_000, "full_attention");
  const near = c.inside("rope_parameters")?.inside("sliding_attention"),
    quick = c.positive("rope_local_base_freq", 10_000);
  const local: RotaryOptions = near
    ? { ...rotaryOf(c, common, quick, "sliding_attention"), theta: near.positive("rope_theta", quick) }
    : { width: headDim, theta: quick, maxPositions };
  const window = c.size("sliding_window", 4096), every = c.size("sliding_window_pattern", 6);
  return {
    ...common,
    normPlacement: "both",
    qkNorm: "head",
    attentionScale: c.positive("query_pre_attn_scalar", 256) ** -0.5,
    logitSoftcap: capOf(c, "final_logit_softcapping", null),
    layers: layersOf(
      c,
      (isWindowed) => isWindowed ? local : global,
      window,
      (layer) => (layer + 1) % every !== 0,
    ),
  };
}
