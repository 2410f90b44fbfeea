/**
 * Qwen 2 and 2.5 (Yang et al. 2024): LLaMA with biases of queries, keys and values.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { commonFields, type ConfigFields, layersOf, rotaryOf, sizeOrNone } from "../decoder/fields.ts";

/** A window, where one is used at all, and the number of a layer that counts for which have it. */
export function qwenWindow(c: ConfigFields): { window: number | null; border: number } {
  const window = c.flag("use_sliding_window", false) ? sizeOrNone(c, "sliding_window", 4096) : null;
  return {
    window,
    border: window === null || c.raw("max_window_layers") === 0 ? 0 : c.size("max_window_layers", 28),
  };
}

/** Reads the fields of a config.json. */
export function qwen2Config(c: ConfigFields): DecoderConfig {
  const common = commonFields(c, { positions: 32_768 }), rotary = rotaryOf(c, common);
  const { window, border } = qwenWindow(c);
  return {
    ...common,
    qkvBias: true,
    outputBias: false,
    layers: layersOf(c, () => rotary, window, (layer) => layer >= border),
  };
}
