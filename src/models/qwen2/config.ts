/**
 * Qwen 2 and 2.5 (Yang et al. 2024): LLaMA with biases of queries, keys and values.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { commonFields, type ConfigFields, layersOf, rotaryOf } from "../decoder/fields.ts";

/** The window of layers from `max_window_layers` on, where it is used at all. */
export function qwenWindow(c: ConfigFields): { window: number | null; from: number } {
  const isUsed = c.flag("use_sliding_window", false) && c.raw("sliding_window") !== undefined;
  return {
    window: isUsed ? c.size("sliding_window") : null,
    from: isUsed ? c.size("max_window_layers", 28) : 0,
  };
}

/** Reads the fields of a config.json. */
export function qwen2Config(c: ConfigFields): DecoderConfig {
  const common = commonFields(c), rotary = rotaryOf(c, common), { window, from } = qwenWindow(c);
  return {
    ...common,
    qkvBias: true,
    outputBias: false,
    layers: layersOf(c, () => rotary, window, (layer) => layer >= from),
  };
}
