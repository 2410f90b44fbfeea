/**
 * Model families, one folder each.
 *
 * @module
 */
export { type CacheDType, CausalCache } from "./cache.ts";
export type { CausalModel, StepForm } from "./causal.ts";
export type { ActivationName, DecoderActivation } from "./activations.ts";
export type { DecoderConfig, DecoderLayerConfig, ExpertsConfig } from "./decoder/config.ts";
export type { ModelSizes } from "./family.ts";
export type { CausalNetwork, Ids, ModelLossOptions, ObjectiveOptions, SeenOptions } from "./network.ts";
export type { Place } from "./place.ts";
export { GPT2Cache } from "./gpt2/cache.ts";
export { type GPT2Config, gpt2Config } from "./gpt2/config.ts";
export { GPT2Block, GPT2MLP, GPT2Model } from "./gpt2/model.ts";
