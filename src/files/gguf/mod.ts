/**
 * Files of named tensors and notes in llama.cpp's format.
 *
 * @module
 */
export { dequantize, isBlockType } from "./dequantize.ts";
export {
  type GgufArray,
  type GgufEntry,
  type GgufHeader,
  type GgufValue,
  maxGgufHeaderBytes,
  parseGgufHeader,
} from "./header.ts";
export { quantize, typeForRows, writableTypes } from "./quantize.ts";
export { GgufFile, GgufPart, type GgufTensorInfo, GgufView, looksLikeGguf, openGgufFile } from "./reader.ts";
export { type GgufType, ggufTypeOf, ggufTypes } from "./types.ts";
export {
  asBlocks,
  type GgufNotes,
  type GgufPlan,
  type GgufTensorToSave,
  isWritable,
  planGguf,
  type TypedNote,
} from "./writer.ts";
