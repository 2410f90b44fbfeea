/**
 * Floor 8: the one place that joins platform, devices, files and models.
 *
 * @module
 */
export { loadChatTemplate } from "./chat.ts";
export { type ChatMessage, type ChatTemplate, encodeChat } from "./chat_template.ts";
export type { ChatOptions, ChatTemplateOptions } from "./chat_options.ts";
export type { EmbedOptions, Pooling } from "./embed.ts";
export { benchmark, type BenchmarkOptions, type Figure } from "./benchmark.ts";
export * from "./checkpoints.ts";
export { chooseDevice, type DeviceChoice } from "./choose_device.ts";
export {
  areDeterministicAlgorithmsEnabled,
  devices,
  getMaxMemory,
  getThreads,
  initWebGPU,
  setMaxMemory,
  setThreads,
  useDeterministicAlgorithms,
  type WebGPUOptions,
} from "./devices.ts";
export * from "./diagnose.ts";
export { distributed } from "./distributed.ts";
export { type Examples, type ExamplesOptions, openExamples, openPreferences } from "./examples/open.ts";
export { Gguf, openGguf, saveGguf, type SaveGgufOptions } from "./gguf.ts";
export { convertToGguf, type ConvertToGgufOptions } from "./gguf_convert.ts";
export { CausalLM } from "./causal_lm.ts";
export { GPT2 } from "./gpt2.ts";
export { NetworkModel } from "./network_model.ts";
export { peakFlops } from "./peak_flops.ts";
export { SummaryWriter, type SummaryWriterOptions } from "./summary_writer.ts";
export { TextModel } from "./text_model.ts";
export type { Prepared } from "./model_generation.ts";
export type { LoadAdapterOptions, SaveAdapterOptions } from "./adapters.ts";
export type { LoadOptions, LoadProgress, SaveOptions } from "./load_options.ts";
export type { GivenFiles } from "./model_folder.ts";
export * from "./pull.ts";
export { initQuantized } from "./quantized.ts";
export { initReference } from "./reference.ts";
export {
  copySafetensors,
  type CopySafetensorsOptions,
  openSafetensors,
  type ReadTensorOptions,
  Safetensors,
  saveSafetensors,
  type SaveSafetensorsOptions,
} from "./safetensors.ts";
export type { WrittenWeights } from "./save_weights.ts";
export type { ModelFile } from "./model_files.ts";
export type { FolderOptions } from "./model_folder.ts";
export { type CsvSource, type FitOptions, readCsv, TabularModel } from "./tabular.ts";
export { loadTokenizer } from "./tokenizer.ts";
export { readNpy, readNpz, saveNpy, saveNpz } from "./npy.ts";
export { exportOnnx, inspectOnnx, Onnx, type OnnxLoadOptions } from "./onnx.ts";
export type { ExportOnnxOptions } from "./onnx_options.ts";
