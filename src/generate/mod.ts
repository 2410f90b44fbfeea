/**
 * Generation: logit processors, samplers, stopping, streaming.
 *
 * What a caller needs to generate with a model of their own; `GPT2` wraps it.
 *
 * @module
 */
export { Batcher, type BatcherLoad, type BatcherOptions, type BatchLanguageModel } from "./batcher.ts";
export { formatLimits } from "./constraint/limits.ts";
export type { Constraint, Follower, ResponseFormat } from "./constraint/format.ts";
export type { AssistantModel, LanguageModel, LanguageModelCache } from "./model.ts";
export {
  type GenerateOptions,
  type LogitsProcessor,
  type ResolvedOptions,
  resolveOptions,
  type StoppingCriterion,
  type TokenDetails,
} from "./options.ts";
export { type Prefix, PrefixStore, type Versioned } from "./prefix.ts";
export {
  generateMany,
  generatePieces,
  generateText,
  generateWhole,
  type GenerationResult,
  runToEnd,
  textOfTokens,
  type TokenPiece,
} from "./text.ts";
export type { FinishReason, TokensResult, TokenStep } from "./sequence.ts";
export { generateTokens } from "./tokens.ts";
