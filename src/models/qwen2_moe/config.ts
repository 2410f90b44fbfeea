/**
 * Qwen 1.5 and 2 with experts (Qwen Team 2024), one of which all positions go through.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { expertsOf, sparseLayers } from "../decoder/experts.ts";
import { type ConfigFields, layersOf } from "../decoder/fields.ts";
import { qwen2Config, qwenWindow } from "../qwen2/config.ts";

/** Reads the fields of a config.json. */
export function qwen2MoeConfig(c: ConfigFields): DecoderConfig {
  const experts = expertsOf(c, {
    count: ["num_experts", 60],
    active: 4,
    inner: ["moe_intermediate_size", 1408],
    normalised: false,
    shared: ["shared_expert_intermediate_size", 5632],
  });
  const isSparse = sparseLayers(c), qkvBias = c.flag("qkv_bias", true), config = qwen2Config(c);
  const { window, border } = qwenWindow(c), [{ rotary }] = config.layers;
  // Every second layer before the border has the window, where Qwen 2 has those from it on.
  const layers = layersOf(c, () => rotary, window, (layer) => layer % 2 === 0 && layer < border);
  return {
    ...config,
    qkvBias,
    experts,
    layers: layers.map((layer, i) => ({ ...layer, sparse: isSparse(i) })),
  };
}
