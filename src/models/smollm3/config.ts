/**
 * SmolLM 3 (Hugging Face 2025): LLaMA in which every fourth layer is told no positions.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { commonFields, type ConfigFields, layersOf, rotaryOf } from "../decoder/fields.ts";

/** Reads the fields of a config.json. */
export function smollm3Config(c: ConfigFields): DecoderConfig {
  const common = commonFields(c, { positions: 32_768, biasedMLP: true }),
    rotary = rotaryOf(c, common, 2_000_000),
    count = c.size("num_hidden_layers");
  const every = c.size("no_rope_layer_interval", 4), told = c.raw("no_rope_layers");
  const isToldList = Array.isArray(told) && told.length >= count &&
    told.every((entry) => entry === 0 || entry === 1);
  if (told !== undefined && !isToldList) c.fail("no_rope_layers", `at least ${count} times 0 or 1`);
  const isTold = (layer: number): boolean => isToldList ? told[layer] === 1 : (layer + 1) % every !== 0;
  const isUsed = c.flag("use_sliding_window", false) && c.raw("sliding_window") !== undefined;
  return {
    ...common,
    tied: c.flag("tie_word_embeddings", true),
    layers: layersOf(
      c,
      (_, layer) => isTold(layer) ? rotary : null,
      isUsed ? c.size("sliding_window") : null,
      // Those that are told no positions.
      (layer) => !isTold(layer),
    ),
  };
}
