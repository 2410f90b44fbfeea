/**
 * Training: batches, the loop, checkpoints, evaluation.
 *
 * @module
 */
export {
  type BatchOptions,
  type DataSource,
  randomBatches,
  sequentialBatches,
  type SequentialOptions,
  type TokenIds,
} from "./batches.ts";
export { type Checkpoint, disposeCheckpoint, type LoadedCheckpoint, type Tensors } from "./checkpoint.ts";
export { type CheckpointInfo, type CheckpointOptions, CheckpointStore } from "./checkpoint_store.ts";
export { evaluate, type EvaluateOptions, type Evaluation, type LogitsModel } from "./evaluate.ts";
export {
  type EvalReport,
  type StepReport,
  Trainer,
  type TrainerOptions,
  type TrainingResult,
} from "./trainer.ts";
export type { StepParts, StepResult, TrainingStep } from "./step.ts";
