/**
 * Activation functions: rows of the table as functions of tensors.
 *
 * @module
 */
import { checkOption, checkOptions } from "../core/options.ts";
import { geluOptions } from "./options.ts";
import { row } from "./row.ts";
import type { Tensor } from "./tensor.ts";

/** 1 / (1 + e⁻ˣ). */
export function sigmoid(x: Tensor): Tensor {
  return row("sigmoid", x);
}

/** ln(sigmoid(x)), without overflow. */
export function logSigmoid(x: Tensor): Tensor {
  return row("logSigmoid", x);
}

/** max(x, 0); its gradient at 0 is 0. */
export function relu(x: Tensor): Tensor {
  return row("relu", x);
}

/** x, not below 0 and not above 6 (Howard et al. 2017). */
export function relu6(x: Tensor): Tensor {
  return row("relu6", x);
}

/** x, not below `min` and not above `max`; unlike {@link clamp} its gradient on the bounds is 0. */
export function hardtanh(x: Tensor, min = -1, max = 1): Tensor {
  return row("hardtanh", x, min, max);
}

/** x where it is above `limit`, else `value`. */
export function threshold(x: Tensor, limit: number, value: number): Tensor {
  return row("threshold", x, limit, value);
}

/** x where positive, else negativeSlope · x. */
export function leakyRelu(x: Tensor, negativeSlope = 0.01): Tensor {
  return row("leakyRelu", x, negativeSlope);
}

/** x where positive, else alpha · (eˣ − 1) (Clevert, Unterthiner, Hochreiter 2015). */
export function elu(x: Tensor, alpha = 1): Tensor {
  return row("elu", x, alpha);
}

/**
 * The Gaussian error linear unit x · Φ(x) (Hendrycks, Gimpel 2016); with `"tanh"` the approximation that GPT-2 uses
 * (`gelu_new` in Hugging Face).
 */
export function gelu(
  x: Tensor,
  approximate: "none" | "tanh" | { approximate?: "none" | "tanh" } = "none",
): Tensor {
  const form = typeof approximate === "string"
    ? approximate
    : checkOptions("gelu", approximate, geluOptions).approximate ?? "none";
  checkOption("gelu", "approximate", form, geluOptions.approximate);
  return row(form === "tanh" ? "geluTanh" : "gelu", x);
}

/** x · sigmoid(x) (Elfwing, Uchibe, Doya 2017; also called swish). */
export function silu(x: Tensor): Tensor {
  return row("silu", x);
}

/** x · tanh(softplus(x)) (Misra 2019). */
export function mish(x: Tensor): Tensor {
  return row("mish", x);
}

/** ln(1 + e^(beta · x)) / beta; x itself where beta · x is above `threshold`, as in PyTorch. */
export function softplus(x: Tensor, beta = 1, threshold = 20): Tensor {
  return row("softplus", x, beta, threshold);
}
