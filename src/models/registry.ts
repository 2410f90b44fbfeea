/**
 * The one place that knows which families there are: `model_type` of a `config.json` to what a family says of itself.
 *
 * @module
 */
import { demandRecord } from "../core/demand.ts";
import { FormatError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import type { LayerOptions } from "../nn/mod.ts";
import type { CausalDecoder } from "./decoder/causal.ts";
import type { DecoderConfig } from "./decoder/config.ts";
import { decoderFamily } from "./decoder/family.ts";
import type { ConfigFields } from "./decoder/fields.ts";
import type { Family } from "./family.ts";
import { gemmaConfig } from "./gemma/config.ts";
import { gemma2Config } from "./gemma2/config.ts";
import { gemma3Config } from "./gemma3/config.ts";
import { gpt2Family } from "./gpt2/family.ts";
import { gptNeoXTensors } from "./gpt_neox/checkpoint.ts";
import { type GPTNeoXConfig, gptNeoXConfig } from "./gpt_neox/config.ts";
import { GPTNeoXModel } from "./gpt_neox/model.ts";
import { graniteConfig } from "./granite/config.ts";
import { lfm2Sized, lfm2Tensors } from "./lfm2/checkpoint.ts";
import { type Lfm2Config, lfm2Config } from "./lfm2/config.ts";
import { fromMixtral, sizedExperts, toMixtral } from "./decoder/experts.ts";
import { Lfm2Model } from "./lfm2/model.ts";
import { llamaConfig } from "./llama/config.ts";
import { mistralConfig } from "./mistral/config.ts";
import { mixtralConfig } from "./mixtral/config.ts";
import { nestedText, outerNames } from "./nested.ts";
import { olmo2Config } from "./olmo2/config.ts";
import { olmoeConfig } from "./olmoe/config.ts";
import { phi3Config } from "./phi3/config.ts";
import { qwen2Config } from "./qwen2/config.ts";
import { qwen2MoeConfig } from "./qwen2_moe/config.ts";
import { qwen3MoeConfig } from "./qwen3_moe/config.ts";
import { qwen3Config } from "./qwen3/config.ts";
import { qwen3NextSized, qwen3NextTensors } from "./qwen3_next/checkpoint.ts";
import { qwen35Config, type Qwen3NextConfig, qwen3NextConfig } from "./qwen3_next/config.ts";
import { Qwen3NextModel } from "./qwen3_next/model.ts";
import { smollm3Config } from "./smollm3/config.ts";

/** A family whose network is the common decoder. */
const common = (type: string, title: string, config: (c: ConfigFields) => DecoderConfig) =>
  decoderFamily({ type, title, config });

const sharedExperts = sizedExperts("moe_intermediate_size", "shared_expert_intermediate_size");

/** The families. */
const all = [
  gpt2Family,
  common("llama", "LLaMA", llamaConfig),
  common("mistral", "Mistral", mistralConfig),
  common("qwen2", "Qwen 2", qwen2Config),
  common("qwen3", "Qwen 3", qwen3Config),
  common("smollm3", "SmolLM 3", smollm3Config),
  common("phi3", "Phi-3", phi3Config),
  common("olmo2", "OLMo 2", olmo2Config),
  common("granite", "Granite", graniteConfig),
  common("gemma", "Gemma", gemmaConfig),
  common("gemma2", "Gemma 2", gemma2Config),
  common("gemma3_text", "Gemma 3", gemma3Config),
  decoderFamily<GPTNeoXConfig>({
    type: "gpt_neox",
    title: "GPT-NeoX",
    config: gptNeoXConfig,
    network: GPTNeoXModel,
    tensors: gptNeoXTensors,
    body: "gpt_neox.",
    head: "embed_out",
  }),
  decoderFamily<Lfm2Config>({
    type: "lfm2",
    title: "LFM2",
    config: lfm2Config,
    network: Lfm2Model,
    tensors: lfm2Tensors,
    sized: lfm2Sized,
  }),
  decoderFamily<Qwen3NextConfig>({
    type: "qwen3_next",
    title: "Qwen3-Next",
    config: qwen3NextConfig,
    network: Qwen3NextModel,
    tensors: qwen3NextTensors,
    sized: (sizes) => ({ ...sharedExperts(sizes), ...qwen3NextSized(sizes) }),
  }),
  decoderFamily<Qwen3NextConfig>({
    type: "qwen3_5_text",
    title: "Qwen 3.5",
    config: qwen35Config,
    network: Qwen3NextModel,
    tensors: qwen3NextTensors,
    sized: qwen3NextSized,
  }),
  decoderFamily({
    type: "mixtral",
    title: "Mixtral",
    config: mixtralConfig,
    names: { to: fromMixtral, back: toMixtral },
    sized: () => ({ num_local_experts: 4 }),
  }),
  decoderFamily({ type: "qwen2_moe", title: "Qwen 2 MoE", config: qwen2MoeConfig, sized: sharedExperts }),
  decoderFamily({
    type: "qwen3_moe",
    title: "Qwen 3 MoE",
    config: qwen3MoeConfig,
    sized: (sizes) => ({ ...sizedExperts("moe_intermediate_size")(sizes), norm_topk_prob: true }),
  }),
  decoderFamily({ type: "olmoe", title: "OLMoE", config: olmoeConfig, sized: sizedExperts() }),
] as unknown as readonly Family[];

const families: ReadonlyMap<string, Family> = new Map(all.map((family) => [family.type, family]));

/** The family of configurations from before they named one. */
const oldest: Family = all[0];

/** The names of the families, as `model_type` has them. */
export const familyNames: readonly string[] = [...families.keys()];

/**
 * The family called `type`.
 * @throws {FormatError} for one that is not known.
 */
export function familyOf(type: unknown, where: string): Family {
  const found = typeof type === "string" ? families.get(type) : undefined;
  if (found) return found;
  const near = typeof type === "string" ? nearest(type, [...familyNames, ...outerNames]) : null;
  throw new FormatError(
    `${where}: model_type is ${JSON.stringify(type) ?? "missing"}, which is not read here; ${
      near ? `the nearest of those there are is "${near}"` : `these are: ${familyNames.join(", ")}`
    }`,
  );
}

/**
 * What says which family a config.json is of: `model_type`, or else the class that `architectures` names. One of a model of texts and
 * images is of the family of its language model, which reads that from it.
 */
export function familyOfConfig(json: Readonly<Record<string, unknown>>, where: string): Family {
  demandRecord("config.json", json, where, "an object");
  const text = nestedText(json, where);
  if (text) {
    const family = familyOf(text.json.model_type, text.where);
    return {
      ...family,
      outer: text.outer,
      parse: (_, _where, changes, warn) => family.parse(text.json, text.where, changes, warn),
    };
  }
  const { model_type: type, architectures } = json;
  if (type !== undefined || !Array.isArray(architectures)) return familyOf(type ?? oldest.type, where);
  const plain = (name: string): string => name.toLowerCase().replace(/_|text$/g, "");
  const named = String(architectures[0]).replace(/(?:LMHeadModel|ForCausalLM|Model)$/, "");
  return familyOf(familyNames.find((name) => plain(name) === plain(named)) ?? named, where);
}

/**
 * Reads a decoder's config.json.
 * @throws {FormatError} for an unknown family, and for a field that is not honoured.
 */
export function decoderConfig(json: Readonly<Record<string, unknown>>, where = "config.json"): DecoderConfig {
  demandRecord("config.json", json, where, "an object");
  return familyOf(json.model_type, where).parse(json, where) as DecoderConfig;
}

/** A network with fresh weights for a configuration that {@link decoderConfig} read. */
export function decoderNetwork(config: DecoderConfig, options: LayerOptions = {}): CausalDecoder {
  return familyOf(config.family, config.family).network(config, options) as CausalDecoder;
}
