/**
 * What it takes to load a language model and have it speak, and no more: a program that starts for one text need not load
 * what trains, serves and tabulates. All of it is the library's (`mod.ts`) too.
 *
 * @module
 */
import "../ops/tensor.ts";

export type { DeviceName } from "../backends/contract.ts";
export type { DType } from "../core/dtype.ts";
export { setDefaultDevice } from "../tensor/mod.ts";
export { CausalLM } from "./causal_lm.ts";
export { devices, initWebGPU, setMaxMemory, setThreads } from "./devices.ts";
export { resolveOptions } from "../generate/mod.ts";
