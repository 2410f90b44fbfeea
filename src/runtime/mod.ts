/**
 * Floor 8: the one place that joins platform, devices, files and models.
 *
 * @module
 */
export * from "./checkpoints.ts";
export * from "./devices.ts";
export * from "./diagnose.ts";
export * from "./gpt2.ts";
export * from "./pull.ts";
export {
  copySafetensors,
  openSafetensors,
  type ReadTensorOptions,
  Safetensors,
  saveSafetensors,
  type SaveSafetensorsOptions,
} from "./safetensors.ts";
export { loadTokenizer } from "./tokenizer.ts";
