/**
 * Modules, layers and losses, named as in PyTorch's `torch.nn`.
 *
 * @module
 */
export * from "./activations.ts";
export * from "./attention.ts";
export * as init from "./init.ts";
export * from "./kv_cache.ts";
export * from "./layers.ts";
export { lora } from "./lora.ts";
export type { Adaptable, AdapterSet, Lora, LoraLayer, LoraLayerOptions, LoraOptions } from "./lora.ts";
export * from "./module.ts";
export { GRU, LSTM, type RecurrentOptions, RNN, type RNNOptions } from "./recurrent.ts";
export * from "./rotary.ts";
export type { Recurrence, StateCache } from "./state_cache.ts";
export {
  type BceOptions,
  bceWithLogits,
  type ClassLossOptions,
  crossEntropy,
  huberLoss,
  l1Loss,
  type LossOptions,
  mseLoss,
  nllLoss,
} from "../ops/mod.ts";
