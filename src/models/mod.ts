/**
 * Model families, one folder each.
 *
 * @module
 */
export * from "./gpt2/cache.ts";
export * from "./gpt2/checkpoint.ts";
export * from "./gpt2/config.ts";
export * from "./gpt2/layout.ts";
export * from "./gpt2/model.ts";
