/**
 * Every kernel that comes with an operation, for who wants a whole device without the operations: tests and benches.
 *
 * @module
 */
export * from "./attention.ts";
export * from "./attention_step.ts";
export * from "./conv.ts";
export * from "./cross_entropy.ts";
export * from "./experts.ts";
export * from "./quantized.ts";
export * from "./random.ts";
export * from "./rows.ts";
