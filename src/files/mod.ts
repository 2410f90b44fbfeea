/**
 * Files of named tensors: safetensors, whole or in shards, read lazily and written as a stream.
 *
 * @module
 */
export { checkConversion, convertBytes, isConvertible } from "./convert.ts";
export { checkTogether, digestKey, digestOf, type SetDigests } from "./digests.ts";
export {
  type DiskDType,
  diskDTypes,
  type FileDType,
  fromDisk,
  isDiskDType,
  isFileDType,
  toDisk,
} from "./disk_dtype.ts";
export { type Header, type HeaderEntry, headerLength, maxHeaderBytes } from "./header.ts";
export { parseHeader } from "./header_reader.ts";
export { dequantizeQ4, dequantizeQ8, quantizeQ4, quantizeQ8 } from "../core/quantize.ts";
export { quantizedKey } from "./quantized_names.ts";
export {
  planReads,
  ReadPlan,
  type ReadPlanOptions,
  type ReadRange,
  type ReadTensor,
  runReads,
  type RunReadsOptions,
} from "./read_plan.ts";
export { type OpenedFiles, openFiles, readSafetensors, SafetensorsFile } from "./reader.ts";
export { type OpenShard, readIndex, type ShardIndex } from "./sharded.ts";
export type { TensorTable } from "./tensor_table.ts";
export { transposeMatrix } from "./transpose.ts";
export { OpenFile, type TensorInfo, TensorView } from "./view.ts";
export {
  castTensor,
  collectBytes,
  type PlannedFile,
  planSafetensors,
  type SafetensorsPlan,
  type SaveOptions,
  type TensorToSave,
} from "./writer.ts";
