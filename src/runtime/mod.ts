/**
 * Floor 8: the one place that joins platform, devices, files and models.
 *
 * @module
 */
export * from "./checkpoints.ts";
export * from "./devices.ts";
export * from "./diagnose.ts";
export * from "./gpt2.ts";
export * from "./safetensors.ts";
export * from "./tokenizer.ts";
