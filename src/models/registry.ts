/**
 * The one place that knows which families there are: `model_type` of a `config.json` to the family's reading of it.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import type { DecoderConfig } from "./decoder/config.ts";
import { ConfigFields } from "./decoder/fields.ts";
import { gemmaConfig } from "./gemma/config.ts";
import { gemma2Config } from "./gemma2/config.ts";
import { gemma3Config } from "./gemma3/config.ts";
import { graniteConfig } from "./granite/config.ts";
import { llamaConfig } from "./llama/config.ts";
import { mistralConfig } from "./mistral/config.ts";
import { olmo2Config } from "./olmo2/config.ts";
import { phi3Config } from "./phi3/config.ts";
import { qwen2Config } from "./qwen2/config.ts";
import { qwen3Config } from "./qwen3/config.ts";
import { smollm3Config } from "./smollm3/config.ts";

/** The families whose network is the common decoder, by `model_type`. */
export const decoderFamilies: Readonly<Record<string, (c: ConfigFields) => DecoderConfig>> = {
  llama: llamaConfig,
  mistral: mistralConfig,
  qwen2: qwen2Config,
  qwen3: qwen3Config,
  smollm3: smollm3Config,
  phi3: phi3Config,
  olmo2: olmo2Config,
  granite: graniteConfig,
  gemma: gemmaConfig,
  gemma2: gemma2Config,
  gemma3_text: gemma3Config,
};

/** Reads a config.json of a family that is known. @throws {FormatError} for another, and for a field that is not honoured. */
export function decoderConfig(json: Readonly<Record<string, unknown>>, where = "config.json"): DecoderConfig {
  const type = json.model_type, read = typeof type === "string" ? decoderFamilies[type] : undefined;
  if (typeof type !== "string" || !Object.hasOwn(decoderFamilies, type) || !read) {
    const known = Object.keys(decoderFamilies);
    const hint = typeof type === "string"
      ? `; the nearest of those there are is "${nearest(type, known)}"`
      : "";
    throw new FormatError(
      `${where}: model_type is ${JSON.stringify(type) ?? "missing"}, which is not read here${hint}`,
    );
  }
  return read(new ConfigFields(json, type, where));
}
