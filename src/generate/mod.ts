/**
 * Generation: logit processors, samplers, stopping, streaming.
 *
 * @module
 */
export * from "./beam.ts";
export * from "./model.ts";
export * from "./options.ts";
export * from "./processors.ts";
export * from "./sampler.ts";
export * from "./stop.ts";
export * from "./text.ts";
export * from "./tokens.ts";
