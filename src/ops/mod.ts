/**
 * Floor 4: what can be computed with tensors. Each file holds meaning, shape rule and gradient of a family.
 *
 * @module
 */
export * from "./activations.ts";
export type { AddOptions, DivOptions, RoundOptions } from "./adjusted.ts";
export * from "./attention.ts";
export * from "./attention_step.ts";
export { copyInto, type Operand } from "./bridge.ts";
export * from "./channel_norm.ts";
export * from "./conv.ts";
export * from "./conv_transpose.ts";
export {
  arange,
  empty,
  eye,
  full,
  linspace,
  type NestedArray,
  ones,
  onesLike,
  tensor,
  type TensorOptions,
  zeros,
  zerosLike,
} from "./create.ts";
export * from "./dropout.ts";
export * from "./einsum.ts";
export * from "./elementwise.ts";
export * from "./functions.ts";
export * from "./index.ts";
export * from "./index_put.ts";
export * from "./inverse.ts";
export * from "./join.ts";
export * from "./losses.ts";
export * from "./matmul.ts";
export * from "./methods/elementwise.ts";
export * from "./methods/functions.ts";
export * from "./methods/products.ts";
export * from "./methods/reduce.ts";
export * from "./methods/views.ts";
export * from "./norm.ts";
export * from "./pool.ts";
export {
  defaultGenerator,
  manualSeed,
  rand,
  randint,
  randn,
  type RandomOptions,
  randomState,
  setRandomState,
  uniform,
} from "./random.ts";
export * from "./reduce.ts";
export { interpolate, type InterpolateOptions } from "./resample.ts";
export { toDType } from "./row.ts";
export { sampleLogits, type SampleLogitsOptions } from "./sample.ts";
export * from "./softmax.ts";
export * from "./sort.ts";
export * from "./tensor.ts";
export * from "./transforms/mod.ts";
export * from "./views.ts";
