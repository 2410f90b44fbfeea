/**
 * Mixtral (Jiang et al. 2024): Mistral with experts in place of each MLP.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { expertsOf } from "../decoder/experts.ts";
import type { ConfigFields } from "../decoder/fields.ts";
import { mistralFields } from "../mistral/config.ts";

/** Reads the fields of a config.json. */
export function mixtralConfig(c: ConfigFields): DecoderConfig {
  c.only({ router_jitter_noise: 0 });
  const experts = expertsOf(c, {
    count: ["num_local_experts", 8],
    active: 2,
    inner: ["intermediate_size"],
    normalised: null,
  });
  const config = mistralFields(c, { theta: 1_000_000, normEps: 1e-5, window: null });
  return { ...config, experts, layers: config.layers.map((layer) => ({ ...layer, sparse: true })) };
}
