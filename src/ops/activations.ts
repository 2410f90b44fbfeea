/**
 * Activation functions: rows of the table as functions of tensors.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { checkOption, checkOptions } from "../core/options.ts";
import { geluOptions } from "./options.ts";
import { row } from "./row.ts";
import type { Tensor } from "./tensor.ts";

/**
 * 1 / (1 + e⁻ˣ).
 *
 * @throws {DTypeError} for quantised tensors.
 * @example
 * ```ts
 * sigmoid(tensor([0])); // [0.5]
 * ```
 * @category Elementwise operations
 */
export function sigmoid(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "sigmoid");
  return row("sigmoid", x);
}

/**
 * ln(sigmoid(x)), without overflow.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function logSigmoid(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "logSigmoid");
  return row("logSigmoid", x);
}

/**
 * max(x, 0); its gradient at 0 is 0.
 *
 * @throws {DTypeError} for quantised tensors.
 * @example
 * ```ts
 * relu(tensor([-1, 2])); // [0, 2]
 * ```
 * @category Elementwise operations
 */
export function relu(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "relu");
  return row("relu", x);
}

/**
 * x, not below 0 and not above 6 (Howard et al. 2017).
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function relu6(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "relu6");
  return row("relu6", x);
}

/**
 * x, not below `min` and not above `max`; unlike {@link clamp} its gradient on the bounds is 0.
 *
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @throws {ShapeError} when the shapes do not broadcast.
 * @category Elementwise operations
 */
export function hardtanh(x: Tensor, min = -1, max = 1): Tensor {
  demandNoMore(arguments, 3, "hardtanh");
  return row("hardtanh", x, min, max);
}

/**
 * x where it is above `limit`, else `value`.
 *
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @throws {ShapeError} when the shapes do not broadcast.
 * @example
 * ```ts
 * threshold(tensor([0.5, 2]), 1, 0); // [0, 2]
 * ```
 * @category Elementwise operations
 */
export function threshold(x: Tensor, limit: number, value: number): Tensor {
  demandNoMore(arguments, 3, "threshold");
  return row("threshold", x, limit, value);
}

/**
 * x where positive, else negativeSlope · x.
 *
 * @throws {DTypeError} for quantised tensors.
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * leakyRelu(tensor([-1, 2]), 0.1); // [-0.1, 2]
 * ```
 * @category Elementwise operations
 */
export function leakyRelu(x: Tensor, negativeSlope = 0.01): Tensor {
  demandNoMore(arguments, 2, "leakyRelu");
  return row("leakyRelu", x, negativeSlope);
}

/**
 * x where positive, else alpha · (eˣ − 1) (Clevert, Unterthiner, Hochreiter 2015).
 *
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @throws {ShapeError} when the shapes do not broadcast.
 * @category Elementwise operations
 */
export function elu(x: Tensor, alpha = 1): Tensor {
  demandNoMore(arguments, 2, "elu");
  return row("elu", x, alpha);
}

/**
 * The Gaussian error linear unit x · Φ(x) (Hendrycks, Gimpel 2016); with `"tanh"` the approximation that GPT-2 uses
 * (`gelu_new` in Hugging Face).
 *
 * @throws {DTypeError} for quantised tensors.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @category Elementwise operations
 */
export function gelu(
  x: Tensor,
  approximate: "none" | "tanh" | { approximate?: "none" | "tanh" } = "none",
): Tensor {
  demandNoMore(arguments, 2, "gelu");
  const form = typeof approximate === "string"
    ? approximate
    : checkOptions("gelu", approximate, geluOptions).approximate ?? "none";
  checkOption("gelu", "approximate", form, geluOptions.approximate);
  return row(form === "tanh" ? "geluTanh" : "gelu", x);
}

/**
 * x · sigmoid(x) (Elfwing, Uchibe, Doya 2017; also called swish).
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function silu(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "silu");
  return row("silu", x);
}

/**
 * x · tanh(softplus(x)) (Misra 2019).
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function mish(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "mish");
  return row("mish", x);
}

/**
 * ln(1 + e^(beta · x)) / beta; x itself where beta · x is above `threshold`, as in PyTorch.
 *
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @throws {ShapeError} when the shapes do not broadcast.
 * @category Elementwise operations
 */
export function softplus(x: Tensor, beta = 1, threshold = 20): Tensor {
  demandNoMore(arguments, 3, "softplus");
  return row("softplus", x, beta, threshold);
}
