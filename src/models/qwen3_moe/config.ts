/**
 * Qwen 3 with experts (Yang et al. 2025).
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { expertsOf, sparseLayers } from "../decoder/experts.ts";
import type { ConfigFields } from "../decoder/fields.ts";
import { qwenWindow } from "../qwen2/config.ts";
import { qwen3Config } from "../qwen3/config.ts";

/** Reads the fields of a config.json. */
export function qwen3MoeConfig(c: ConfigFields): DecoderConfig {
  const experts = expertsOf(c, {
    count: ["num_experts", 128],
    active: 8,
    inner: ["moe_intermediate_size", 768],
    normalised: false,
  });
  const isSparse = sparseLayers(c), config = qwen3Config(c), { window } = qwenWindow(c);
  // A window is that of all layers, whatever `layer_types` says.
  return {
    ...config,
    experts,
    layers: config.layers.map((layer, i) => ({ ...layer, window, sparse: isSparse(i) })),
  };
}
