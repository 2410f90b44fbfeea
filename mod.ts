/**
 * ferrotype: tensors with gradients on WebAssembly, and GPT-2 that trains and talks. One TypeScript source for Deno,
 * Bun, Node and browsers; nothing to install, nothing to build.
 *
 * ```ts
 * import { GPT2 } from "@ferrotype/ferrotype";
 *
 * const model = await GPT2.load("web/models/shakespeare");
 * for await (const piece of model.generate("ROMEO:", { maxNewTokens: 100, temperature: 0.8, seed: 1 })) {
 *   console.log(piece);
 * }
 * ```
 *
 * @module
 */
// What no name leads to: the class that carries the operations, and the devices.
import "./src/ops/tensor.ts";
import "./src/runtime/devices.ts";
import "./src/runtime/formats.ts";

export * from "./src/core/errors.ts";
export type { ByteSource } from "./src/core/byte_source.ts";
export type { Steps } from "./src/core/steps.ts";
export type { FileSystem } from "./src/core/file_system.ts";
export type {
  DiskDType,
  FileDType,
  ReadPlan,
  ReadPlanOptions,
  ReadRange,
  ReadTensor,
  RunReadsOptions,
  SafetensorsFile,
  TensorInfo,
  TensorToSave,
  TensorView,
} from "./src/files/mod.ts";
export {
  type GgufArray,
  type GgufEntry,
  GgufFile,
  type GgufHeader,
  type GgufNotes,
  type GgufPart,
  type GgufTensorInfo,
  type GgufType,
  type GgufValue,
  type GgufView,
  type TypedNote,
} from "./src/files/gguf/mod.ts";
export type { Openable } from "./src/platform/platform.ts";
export { type DataArray, type DType, dtypes, type KDType } from "./src/core/dtype.ts";
export { Generator, type GeneratorState } from "./src/core/random.ts";
export type { Shape } from "./src/core/shape.ts";
export type { DeviceName, MemoryUse } from "./src/backends/contract.ts";

export * from "./src/ops/mod.ts";
export {
  type BackwardOptions,
  checkGradients,
  type CheckGradientsOptions,
  compile,
  type Compiled,
  type CompileOptions,
  defaultDevice,
  detectAnomaly,
  type DeviceMemory,
  grad,
  type GradOptions,
  keep,
  memory,
  type MemoryOptions,
  noGrad,
  setDefaultDevice,
  type TensorBase,
  tidy,
  valueAndGrad,
} from "./src/tensor/mod.ts";

export * as nn from "./src/nn/mod.ts";
export type {
  Adaptable,
  AdapterSet,
  Attend,
  AttendOptions,
  Beside,
  CausalSelfAttention,
  Conv1D,
  Embedding,
  KVCache,
  Layer,
  LayerNorm,
  LayerOptions,
  Linear,
  LoadResult,
  Lora,
  LoraLayer,
  LoraLayerOptions,
  LoraOptions,
  Module,
  Recurrence,
  RopeScaling,
  RotaryOptions,
  StateCache,
} from "./src/nn/mod.ts";
export * as optim from "./src/optim/mod.ts";
export type {
  Optimizer,
  OptimizerOptions,
  OptimizerState,
  ParameterState,
  ParamGroup,
  Schedule,
} from "./src/optim/mod.ts";

export * from "./src/text/mod.ts";
export * from "./src/generate/mod.ts";
export * from "./src/landscape/mod.ts";
export * from "./src/models/mod.ts";
export {
  type BatchOptions,
  type Checkpoint,
  type CheckpointInfo,
  type CheckpointOptions,
  type CheckpointStore,
  type DataSource,
  type DpoOptions,
  type EncodedExample,
  type EncodedPreference,
  epochBatches,
  type EvalReport,
  evaluate,
  evaluateExamples,
  type EvaluateOptions,
  evaluatePreferences,
  type Evaluation,
  type ExampleBatch,
  exampleBatches,
  type ExampleBatchOptions,
  type ExampleSet,
  gptq,
  type GptqOptions,
  type GradScalerOptions,
  type LoadedCheckpoint,
  type LogitsModel,
  type LossModel,
  type NumberedSet,
  type Precision,
  type PreferenceBatch,
  preferenceBatches,
  type PreferenceBatchOptions,
  type PreferenceModel,
  type PreferenceSet,
  type Qat,
  randomBatches,
  type RandomBatchOptions,
  sequentialBatches,
  type SequentialOptions,
  type StepParts,
  type StepPrecision,
  type StepReport,
  type StepResult,
  type Tensors,
  type TokenIds,
  Trainer,
  type TrainerOptions,
  type TrainingResult,
  type TrainingStep,
} from "./src/train/mod.ts";
export {
  type BatchPart,
  type BroadcastOptions,
  type Distributed,
  type InitOptions,
  type ReduceOp,
  type ReduceOptions,
  type TraceEvent,
} from "./src/distributed/mod.ts";
export * as tabular from "./src/tabular/mod.ts";
export {
  type ByColumn,
  type CellForm,
  type CellValue,
  type Column,
  type ColumnKind,
  type CsvOptions,
  type CsvProgress,
  type CsvReading,
  type CsvShape,
  type DayOrder,
  type DecimalSign,
  type DenseLayer,
  type Expected,
  type ExplainOptions,
  type Explanation,
  type Feature,
  type FeatureBase,
  type FitProgress,
  type FittedModel,
  type LearnerOptions,
  type LineEnd,
  type Metrics,
  type ModelChoice,
  type ModelInfo,
  type Network,
  Normalizer,
  type NormalizerOptions,
  type OnnxOptions,
  type PlanOptions,
  type Prediction,
  type Row,
  type Schema,
  type StoredEvaluation,
  Table,
  type TableColumn,
  type TabularEvaluation,
  TabularModelBase,
  type TabularOptions,
  type Target,
  type TargetOptions,
  type Task,
  type ThousandsSign,
} from "./src/tabular/mod.ts";
export {
  type OnnxEdge,
  OnnxModel,
  type OnnxRunOptions,
  type OnnxStrings,
  type OnnxSummary,
  type OnnxTensorInfo,
  type OnnxValue,
} from "./src/onnx/mod.ts";
export * from "./src/runtime/mod.ts";
