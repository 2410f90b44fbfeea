/**
 * The one place that knows which families there are: `model_type` of a `config.json` to the family's reading of it.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import type { LayerOptions } from "../nn/mod.ts";
import type { CausalDecoder } from "./decoder/causal.ts";
import type { DecoderConfig } from "./decoder/config.ts";
import { ConfigFields } from "./decoder/fields.ts";
import { DecoderModel } from "./decoder/model.ts";
import { gemmaConfig } from "./gemma/config.ts";
import { gemma2Config } from "./gemma2/config.ts";
import { gemma3Config } from "./gemma3/config.ts";
import { gptNeoXConfig } from "./gpt_neox/config.ts";
import { GPTNeoXModel } from "./gpt_neox/model.ts";
import { graniteConfig } from "./granite/config.ts";
import { llamaConfig } from "./llama/config.ts";
import { mistralConfig } from "./mistral/config.ts";
import { olmo2Config } from "./olmo2/config.ts";
import { phi3Config } from "./phi3/config.ts";
import { qwen2Config } from "./qwen2/config.ts";
import { qwen3Config } from "./qwen3/config.ts";
import { smollm3Config } from "./smollm3/config.ts";

/** A family: how it reads its configuration, and its network. */
interface Family {
  readonly config: (c: ConfigFields) => DecoderConfig;
  readonly network: new (config: DecoderConfig, options?: LayerOptions) => CausalDecoder;
}

/** A family whose network is the common decoder. */
const common = (config: (c: ConfigFields) => DecoderConfig): Family => ({ config, network: DecoderModel });

/** The families by `model_type`. */
const families: Readonly<Record<string, Family>> = {
  llama: common(llamaConfig),
  mistral: common(mistralConfig),
  qwen2: common(qwen2Config),
  qwen3: common(qwen3Config),
  smollm3: common(smollm3Config),
  phi3: common(phi3Config),
  olmo2: common(olmo2Config),
  granite: common(graniteConfig),
  gemma: common(gemmaConfig),
  gemma2: common(gemma2Config),
  gemma3_text: common(gemma3Config),
  gpt_neox: { config: gptNeoXConfig, network: GPTNeoXModel } as unknown as Family,
};

/** The names of the families, as `model_type` has them. */
export const decoderFamilies: readonly string[] = Object.keys(families);

/** The family of a config.json. @throws {FormatError} for one that is not known. */
function familyOf(json: Readonly<Record<string, unknown>>, where: string): Family {
  const type = json.model_type;
  if (typeof type === "string" && Object.hasOwn(families, type)) return families[type];
  const hint = typeof type === "string"
    ? `; the nearest of those there are is "${nearest(type, decoderFamilies)}"`
    : "";
  throw new FormatError(
    `${where}: model_type is ${JSON.stringify(type) ?? "missing"}, which is not read here${hint}`,
  );
}

/** Reads a config.json. @throws {FormatError} for an unknown family, and for a field that is not honoured. */
export function decoderConfig(json: Readonly<Record<string, unknown>>, where = "config.json"): DecoderConfig {
  return familyOf(json, where).config(new ConfigFields(json, json.model_type as string, where));
}

/** A network with fresh weights for a configuration that {@link decoderConfig} read. */
export function decoderNetwork(config: DecoderConfig, options: LayerOptions = {}): CausalDecoder {
  return new families[config.family].network(config, options);
}
