/**
 * ONNX models: graphs of operators, read, run, trained and written.
 *
 * @module
 */
export { type OnnxEdge, OnnxModel, type OnnxRunOptions, type OnnxValue } from "./model.ts";
export type { OnnxSummary, OnnxTensorInfo } from "./summary.ts";
export type { OnnxStrings } from "./values.ts";
