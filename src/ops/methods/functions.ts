/**
 * Elementwise functions and activations as methods.
 *
 * Each is the free function of the same name with the tensor as its first argument; what it means stands there.
 *
 * @module
 */
import { demandNoMore } from "../../core/demand.ts";
import { ElementwiseMethods } from "./elementwise.ts";
import * as functions from "../functions.ts";
import * as activations from "../activations.ts";
import type { Tensor } from "../tensor.ts";

/**
 * One layer of `Tensor`.
 *
 * @category Tensors
 */
export class FunctionMethods extends ElementwiseMethods {
  /**
   * eˣ, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  exp(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "exp");
    return functions.exp(this);
  }

  /**
   * 2ˣ, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  exp2(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "exp2");
    return functions.exp2(this);
  }

  /**
   * eˣ − 1, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  expm1(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "expm1");
    return functions.expm1(this);
  }

  /**
   * The natural logarithm, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  log(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "log");
    return functions.log(this);
  }

  /**
   * ln(1 + x), element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  log1p(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "log1p");
    return functions.log1p(this);
  }

  /**
   * The logarithm to base 2, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  log2(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "log2");
    return functions.log2(this);
  }

  /**
   * The logarithm to base 10, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  log10(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "log10");
    return functions.log10(this);
  }

  /**
   * √x, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  sqrt(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "sqrt");
    return functions.sqrt(this);
  }

  /**
   * 1 / √x, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  rsqrt(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "rsqrt");
    return functions.rsqrt(this);
  }

  /**
   * 1 / x, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  reciprocal(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "reciprocal");
    return functions.reciprocal(this);
  }

  /**
   * x², element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  square(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "square");
    return functions.square(this);
  }

  /**
   * The sine, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  sin(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "sin");
    return functions.sin(this);
  }

  /**
   * The cosine, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  cos(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "cos");
    return functions.cos(this);
  }

  /**
   * The tangent, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  tan(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "tan");
    return functions.tan(this);
  }

  /**
   * The hyperbolic tangent, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  tanh(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "tanh");
    return functions.tanh(this);
  }

  /**
   * The hyperbolic sine, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  sinh(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "sinh");
    return functions.sinh(this);
  }

  /**
   * The hyperbolic cosine, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  cosh(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "cosh");
    return functions.cosh(this);
  }

  /**
   * The error function, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  erf(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "erf");
    return functions.erf(this);
  }

  /**
   * 1 / (1 + e⁻ˣ), element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  sigmoid(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "sigmoid");
    return activations.sigmoid(this);
  }

  /**
   * ln(sigmoid(x)), element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  logSigmoid(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "logSigmoid");
    return activations.logSigmoid(this);
  }

  /**
   * max(x, 0), element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  relu(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "relu");
    return activations.relu(this);
  }

  /**
   * Not below 0, not above 6, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  relu6(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "relu6");
    return activations.relu6(this);
  }

  /**
   * Not below min, not above max; flat on the bounds, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DeviceError} for tensors on different devices.
   */
  hardtanh(this: Tensor, min = -1, max = 1): Tensor {
    demandNoMore(arguments, 2, "hardtanh");
    return activations.hardtanh(this, min, max);
  }

  /**
   * x where above limit, else value, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   * @throws {ShapeError} when the shapes do not broadcast.
   */
  threshold(this: Tensor, limit: number, value: number): Tensor {
    demandNoMore(arguments, 2, "threshold");
    return activations.threshold(this, limit, value);
  }

  /**
   * x, or negativeSlope · x below 0, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DeviceError} for tensors on different devices.
   */
  leakyRelu(this: Tensor, negativeSlope = 0.01): Tensor {
    demandNoMore(arguments, 1, "leakyRelu");
    return activations.leakyRelu(this, negativeSlope);
  }

  /**
   * x, or alpha · (eˣ − 1) below 0, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   * @throws {ShapeError} when the shapes do not broadcast.
   */
  elu(this: Tensor, alpha = 1): Tensor {
    demandNoMore(arguments, 1, "elu");
    return activations.elu(this, alpha);
  }

  /**
   * x · Φ(x); `"tanh"` is GPT-2's form. Element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  gelu(this: Tensor, approximate: "none" | "tanh" | { approximate?: "none" | "tanh" } = "none"): Tensor {
    demandNoMore(arguments, 1, "gelu");
    return activations.gelu(this, approximate);
  }

  /**
   * x · sigmoid(x), element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  silu(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "silu");
    return activations.silu(this);
  }

  /**
   * x · tanh(softplus(x)), element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  mish(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "mish");
    return activations.mish(this);
  }

  /**
   * ln(1 + e^(beta·x)) / beta, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DeviceError} for tensors on different devices.
   */
  softplus(this: Tensor, beta = 1, threshold = 20): Tensor {
    demandNoMore(arguments, 2, "softplus");
    return activations.softplus(this, beta, threshold);
  }
}
