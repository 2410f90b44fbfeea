/**
 * Optimizers, learning-rate schedules and gradient clipping, named as in PyTorch's `torch.optim`.
 *
 * @module
 */
export { Adafactor, type AdafactorOptions } from "./adafactor.ts";
export { Adagrad, type AdagradOptions } from "./adagrad.ts";
export { Adam, type AdamOptions, AdamW } from "./adam.ts";
export { clipGradNorm, clipGradValue, gradNorm } from "./clip.ts";
export { Lion, type LionOptions } from "./lion.ts";
export { Muon, type MuonOptions } from "./muon.ts";
export {
  Optimizer,
  type OptimizerState,
  type ParameterState,
  type ParamGroup,
  type Params,
} from "./optimizer.ts";
export { RMSprop, type RMSpropOptions } from "./rmsprop.ts";
export type { ByOperations, OptimizerOptions, Rule } from "./rule.ts";
export * as schedules from "./schedules.ts";
export type { Schedule } from "./schedules.ts";
export { SGD, type SGDOptions } from "./sgd.ts";
