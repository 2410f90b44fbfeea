/**
 * Floor 6: tables. Any CSV to a model that says how good it is.
 *
 * @module
 */
export { type ByColumn, type CsvOptions, type CsvProgress } from "./csv/options.ts";
export { type DayOrder } from "./csv/dates.ts";
export { type DecimalSign, type ThousandsSign } from "./csv/numbers.ts";
export { readCsvStream } from "./csv/read.ts";
export { type LineEnd } from "./csv/records.ts";
export { type CsvShape, type Expected } from "./csv/table_builder.ts";
export * from "./conformal.ts";
export { type Metrics, type TabularEvaluation } from "./evaluate.ts";
export { type ModelInfo } from "./file/mod.ts";
export { type FitProgress, type LearnerOptions } from "./learner.ts";
export { type ModelChoice, type PlanOptions } from "./candidates.ts";
export * from "./metrics/mod.ts";
export {
  type ExplainOptions,
  type Explanation,
  fitTable,
  type Prediction,
  readModel,
  type StoredEvaluation,
  TabularModelBase,
  type TabularOptions,
} from "./model.ts";
export { type CellValue, Normalizer, type NormalizerOptions, type Row } from "./normalizer.ts";
export { type OnnxOptions, toOnnx } from "./onnx.ts";
export * from "./statistics.ts";
export { type CsvReading, Table, type TableColumn } from "./table.ts";
export { type TargetOptions } from "./target.ts";
export * from "./types.ts";
