/**
 * The recorded PyTorch results for operations, forward and backward: the cases, and how each is run here.
 *
 * The values were computed in double precision from f32 inputs, so a case passes within about 1e-5 relative and 1e-6
 * absolute; the few whose inputs are extreme name a wider tolerance here.
 *
 * @module
 */
import type { DeviceName } from "../src/backends/contract.ts";
import type { DType } from "../src/core/dtype.ts";
import * as F from "../src/ops/mod.ts";
import { type Range, type Tensor, tensor } from "../src/ops/mod.ts";
import { readDataJson } from "./_data.ts";
import type { Tolerance } from "./_devices.ts";

/** Recorded elements. */
export interface Recorded {
  dtype: string;
  shape: number[];
  data: (number | string)[];
}

// deno-lint-ignore no-explicit-any -- options differ from operation to operation
type Attributes = Record<string, any>;

/** One case. */
export interface Case {
  name: string;
  op: string;
  attrs: Attributes;
  inputs: Record<string, Recorded>;
  outputs: Recorded[];
  grad_outputs?: Recorded[];
  grads?: Record<string, Recorded>;
}

/** Tensors by name. */
export type Inputs = Record<string, Tensor>;
type Run = (inputs: Inputs, attrs: Attributes) => Tensor | Tensor[];

const one = (f: (x: Tensor) => Tensor): Run => ({ x }) => f(x);
const two = (f: (a: Tensor, b: Tensor) => Tensor): Run => ({ a, b }) => f(a, b);
const along =
  (f: (x: Tensor, dim: number | number[] | null, keepdim: boolean) => Tensor): Run =>
  ({ x }, { dim, keepdim }) => f(x, dim, keepdim);
const sorted = (inputs: Inputs): Tensor[] => Object.keys(inputs).sort().map((name) => inputs[name]);

/** What computes each operation. */
export const runs: Record<string, Run> = {
  matmul: two(F.matmul),
  linear: ({ x, weight, bias }) => F.linear(x, weight, bias),
  add: two(F.add),
  sub: two(F.sub),
  mul: two(F.mul),
  div: two(F.div),
  maximum: two(F.maximum),
  minimum: two(F.minimum),
  neg: one(F.neg),
  exp: one(F.exp),
  log: one(F.log),
  sqrt: one(F.sqrt),
  rsqrt: one(F.rsqrt),
  tanh: one(F.tanh),
  sigmoid: one(F.sigmoid),
  relu: one(F.relu),
  abs: one(F.abs),
  sin: one(F.sin),
  cos: one(F.cos),
  erf: one(F.erf),
  silu: one(F.silu),
  softplus: one(F.softplus),
  square: one(F.square),
  reciprocal: one(F.reciprocal),
  gelu: ({ x }, { approximate }) => F.gelu(x, { approximate }),
  leaky_relu: ({ x }, { negative_slope }) => F.leakyRelu(x, negative_slope),
  elu: ({ x }, { alpha }) => F.elu(x, alpha),
  pow: ({ x }, { exponent }) => F.pow(x, exponent),
  clamp: ({ x }, { min, max }) => F.clamp(x, min, max),
  softmax: ({ x }, { dim }) => F.softmax(x, dim),
  log_softmax: ({ x }, { dim }) => F.logSoftmax(x, dim),
  logsumexp: along(F.logsumexp),
  layer_norm: ({ x, weight, bias }, { eps }) =>
    F.layerNorm(x, x.shape[x.ndim - 1], weight ?? null, bias ?? null, eps),
  rms_norm: ({ x, weight }, { eps }) => F.rmsNorm(x, x.shape[x.ndim - 1], weight, eps),
  embedding: ({ weight, ids }) => F.embedding(ids, weight),
  gather: ({ x, index }, { dim }) => F.gather(x, dim, index),
  index_select: ({ x, index }, { dim }) => F.indexSelect(x, dim, index),
  where: ({ cond, a, b }) => F.where(cond, a, b),
  masked_fill: ({ x, mask }, { value }) => F.maskedFill(x, mask, value),
  tril: ({ x }, { diagonal }) => F.tril(x, diagonal),
  triu: ({ x }, { diagonal }) => F.triu(x, diagonal),
  cumsum: ({ x }, { dim }) => F.cumsum(x, dim),
  sum: along(F.sum),
  mean: along(F.mean),
  amax: along(F.amax),
  amin: along(F.amin),
  argmax: ({ x }, { dim }) => F.argmax(x, dim),
  argmin: ({ x }, { dim }) => F.argmin(x, dim),
  var: ({ x }, { dim, correction, keepdim }) => F.var(x, dim, { correction, keepdim }),
  std: ({ x }, { dim, correction, keepdim }) => F.std(x, dim, { correction, keepdim }),
  prod: along(F.prod),
  transpose: ({ x }, { dim0, dim1 }) => F.transpose(x, dim0, dim1),
  permute: ({ x }, { dims }) => F.permute(x, dims),
  reshape: ({ x }, { shape, before }) =>
    F.reshape(before === "transpose(0,1)" ? F.transpose(x, 0, 1) : x, shape),
  slice: ({ x }, { ranges }) => F.slice(x, ...ranges as Range[]),
  concat: (inputs, { dim }) => F.concat(sorted(inputs), dim),
  stack: (inputs, { dim }) => F.stack(sorted(inputs), dim),
  split: ({ x }, { sizes, dim }) => F.split(x, sizes, dim),
  expand: ({ x }, { shape }) => F.expand(x, shape),
  squeeze: ({ x }, { dim }) => F.squeeze(x, dim),
  unsqueeze: ({ x }, { dim }) => F.unsqueeze(x, dim),
  flip: ({ x }, { dims }) => F.flip(x, dims),
  repeat: ({ x }, { repeats }) => F.repeat(x, repeats),
  pad: ({ x }, { last_dim, value }) => F.pad(x, last_dim, { value }),
  conv1d: ({ x, weight, bias }, options) => F.conv1d(x, weight, bias, options),
  conv2d: ({ x, weight, bias }, options) => F.conv2d(x, weight, bias, options),
  max_pool2d: ({ x }, { kernel, stride }) => F.maxPool2d(x, kernel, { stride }),
  avg_pool2d: ({ x }, { kernel, stride }) => F.avgPool2d(x, kernel, { stride }),
  cross_entropy: ({ logits, target }, { reduction, ignore_index = -100, label_smoothing = 0 }) =>
    F.crossEntropy(logits, target, { reduction, ignoreIndex: ignore_index, labelSmoothing: label_smoothing }),
  mse_loss: ({ x, target }, options) => F.mseLoss(x, target, options),
  l1_loss: ({ x, target }, options) => F.l1Loss(x, target, options),
  huber_loss: ({ x, target }, options) => F.huberLoss(x, target, options),
  bce_with_logits: ({ x, target }, options) => F.bceWithLogits(x, target, options),
  nll_loss: ({ x, target }, { reduction }) => F.nllLoss(F.logSoftmax(x, 1), target, { reduction }),
  graph_reuse: ({ x, w }) => x.matmul(w).tanh().mul(x).add(x.sum(1, true)).softmax(-1),
  causal_attention: ({ q, k, v }) => F.scaledDotProductAttention(q, k, v, { isCausal: true }),
};

/** Where f32 itself limits what can be had: large means, small variances. */
export const tolerances: Record<string, Tolerance> = {
  // Means near 1000 and a spread near 35: x itself is stored with an error of 3e-5.
  "layer_norm#1": { atol: 2e-5, rtol: 1e-4 },
  // Values near 0.01 against an epsilon of 0.001; gradients near 37.
  "layer_norm#2": { atol: 1e-5, rtol: 2e-5 },
  // Gradients near 434 beside others near 0.5.
  "rms_norm#1": { atol: 5e-5 },
  "var#4": { atol: 1e-5, rtol: 1e-4 },
};

/** The dtypes as recorded. */
export const dtypes: Record<string, DType> = { float32: "f32", int32: "i32", int64: "i64", bool: "bool" };

/** The elements as numbers. */
export function numbers(recorded: Recorded): number[] {
  return recorded.data.map((v) => v === "-inf" ? -Infinity : v === "inf" ? Infinity : Number(v));
}

/** The elements as a tensor. */
export function place(recorded: Recorded, device: DeviceName, requiresGrad = false): Tensor {
  const dtype = dtypes[recorded.dtype];
  return tensor(numbers(recorded), { dtype, shape: recorded.shape, device, requiresGrad });
}

/** All cases. */
export const cases: Case[] = readDataJson<{ cases: Case[] }>("ops", "golden.json").cases;
