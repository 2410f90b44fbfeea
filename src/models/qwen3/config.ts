/**
 * Qwen 3 (Yang et al. 2025): LLaMA with norms of queries and keys, head by head.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { commonFields, type ConfigFields, layersOf, rotaryOf } from "../decoder/fields.ts";
import { qwenWindow } from "../qwen2/config.ts";

/** Reads the fields of a config.json. */
export function qwen3Config(c: ConfigFields): DecoderConfig {
  const common = commonFields(c, { positions: 32_768 }), rotary = rotaryOf(c, common);
  const { window, border } = qwenWindow(c);
  return { ...common, qkNorm: "head", layers: layersOf(c, () => rotary, window, (layer) => layer >= border) };
}
