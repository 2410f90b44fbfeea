/**
 * OLMoE (Muennighoff et al. 2024): LLaMA with norms of all queries and of all keys together, and experts.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { expertsOf } from "../decoder/experts.ts";
import { commonFields, type ConfigFields, layersOf, rotaryOf } from "../decoder/fields.ts";

/** Reads the fields of a config.json. */
export function olmoeConfig(c: ConfigFields): DecoderConfig {
  const experts = expertsOf(c, {
    count: ["num_experts", 64],
    active: 8,
    inner: ["intermediate_size"],
    normalised: false,
  });
  const common = commonFields(c, { positions: 4096, normEps: 1e-5 }), rotary = rotaryOf(c, common);
  const layers = layersOf(c, () => rotary, null, () => false).map((layer) => ({ ...layer, sparse: true }));
  return { ...common, qkNorm: "width", experts, layers };
}
