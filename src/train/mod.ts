/**
 * Training: batches, the loop, checkpoints, evaluation.
 *
 * @module
 */
export {
  type BatchOptions,
  type DataSource,
  randomBatches,
  type RandomBatchOptions,
  sequentialBatches,
  type SequentialOptions,
  type TokenIds,
} from "./batches.ts";
export { epochBatches } from "./epoch_batches.ts";
export { type Checkpoint, disposeCheckpoint, type LoadedCheckpoint, type Tensors } from "./checkpoint.ts";
export { type CheckpointInfo, type CheckpointOptions, CheckpointStore } from "./checkpoint_store.ts";
export { evaluate, type EvaluateOptions, type Evaluation, type LogitsModel } from "./evaluate.ts";
export type { EncodedExample, ExampleBatch, LossModel } from "./examples/batch.ts";
export {
  type DpoOptions,
  type EncodedPreference,
  evaluatePreferences,
  type PreferenceBatch,
  preferenceBatches,
  type PreferenceBatchOptions,
  type PreferenceModel,
  type PreferenceSet,
} from "./examples/preferences.ts";
export type { NumberedSet } from "./examples/order.ts";
export type { ExampleMessage } from "./examples/record.ts";
export {
  evaluateExamples,
  exampleBatches,
  type ExampleBatchOptions,
  type ExampleSet,
} from "./examples/source.ts";
export { gptq, type GptqOptions } from "./gptq.ts";
export type { GradScalerOptions } from "./grad_scaler.ts";
export type { Precision } from "./precision.ts";
export type { Qat } from "./qat.ts";
export { Trainer } from "./trainer.ts";
export type { EvalReport, StepReport, TrainerOptions, TrainingResult } from "./trainer_options.ts";
export type { StepParts, StepPrecision, StepResult, TrainingStep } from "./step.ts";
