/**
 * What bends values inside an MLP, by the names of transformers (its `ACT2FN`), of which several stand for one function.
 *
 * @module
 */
import {
  add,
  clamp,
  div,
  erf,
  gelu,
  leakyRelu,
  mish,
  mul,
  relu,
  sigmoid,
  silu,
  square,
  sub,
  tanh,
  type Tensor,
} from "../ops/mod.ts";
import { tidy } from "../tensor/mod.ts";

/**
 * How values inside an MLP are bent.
 *
 * @category Models
 */
export type DecoderActivation =
  | "silu"
  | "gelu"
  | "geluTanh"
  | "relu"
  | "reluSquared"
  | "relu6"
  | "leakyRelu"
  | "tanh"
  | "sigmoid"
  | "quickGelu"
  | "clippedGelu"
  | "mish"
  | "laplace"
  | "linear";

/** The functions. */
export const activations: Readonly<Record<DecoderActivation, (x: Tensor) => Tensor>> = {
  silu,
  gelu: (x) => gelu(x),
  geluTanh: (x) => gelu(x, "tanh"),
  relu,
  reluSquared: (x) => tidy(() => square(relu(x))),
  relu6: (x) => clamp(x, 0, 6),
  leakyRelu: (x) => leakyRelu(x, 0.01),
  tanh,
  sigmoid,
  quickGelu: (x) => tidy(() => mul(x, sigmoid(mul(x, 1.702)))),
  clippedGelu: (x) => tidy(() => clamp(gelu(x), -10, 10)),
  mish,
  // The distribution function of a normal with mean √½ and variance 1 / 4π (Ma et al. 2022).
  laplace: (x) => tidy(() => mul(add(erf(div(sub(x, 0.707107), 0.282095 * Math.SQRT2)), 1), 0.5)),
  linear: (x) => x,
};

/**
 * The names of activations in transformers (the keys of its `ACT2FN`, but for those with parameters).
 *
 * @category Models
 */
export type ActivationName =
  | "silu"
  | "swish"
  | "gelu"
  | "gelu_python"
  | "gelu_new"
  | "gelu_fast"
  | "gelu_accurate"
  | "gelu_pytorch_tanh"
  | "gelu_python_tanh"
  | "gelu_10"
  | "quick_gelu"
  | "relu"
  | "relu2"
  | "relu6"
  | "leaky_relu"
  | "tanh"
  | "sigmoid"
  | "mish"
  | "laplace"
  | "linear";

/** What each name stands for. */
export const activationNames: Readonly<Record<ActivationName, DecoderActivation>> = {
  silu: "silu",
  swish: "silu",
  gelu: "gelu",
  gelu_python: "gelu",
  gelu_new: "geluTanh",
  gelu_fast: "geluTanh",
  gelu_accurate: "geluTanh",
  gelu_pytorch_tanh: "geluTanh",
  gelu_python_tanh: "geluTanh",
  gelu_10: "clippedGelu",
  quick_gelu: "quickGelu",
  relu: "relu",
  relu2: "reluSquared",
  relu6: "relu6",
  leaky_relu: "leakyRelu",
  tanh: "tanh",
  sigmoid: "sigmoid",
  mish: "mish",
  laplace: "laplace",
  linear: "linear",
};
