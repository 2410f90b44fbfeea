/**
 * Exponentials, logarithms, roots, trigonometric and hyperbolic functions: rows of the table as functions of tensors.
 *
 * Integers give f32.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { row } from "./row.ts";
import type { Tensor } from "./tensor.ts";

/**
 * eˣ.
 *
 * @throws {DTypeError} for quantised tensors.
 * @example
 * ```ts
 * exp(tensor([0, 1])); // [1, 2.7183]
 * ```
 * @category Elementwise operations
 */
export function exp(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "exp");
  return row("exp", x);
}

/**
 * 2ˣ.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function exp2(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "exp2");
  return row("exp2", x);
}

/**
 * eˣ − 1, accurate near 0.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function expm1(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "expm1");
  return row("expm1", x);
}

/**
 * The natural logarithm.
 *
 * @throws {DTypeError} for quantised tensors.
 * @example
 * ```ts
 * log(tensor([1, Math.E])); // [0, 1]
 * ```
 * @category Elementwise operations
 */
export function log(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "log");
  return row("log", x);
}

/**
 * ln(1 + x), accurate near 0.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function log1p(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "log1p");
  return row("log1p", x);
}

/**
 * The logarithm to base 2.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function log2(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "log2");
  return row("log2", x);
}

/**
 * The logarithm to base 10.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function log10(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "log10");
  return row("log10", x);
}

/**
 * √x.
 *
 * @throws {DTypeError} for quantised tensors.
 * @example
 * ```ts
 * sqrt(tensor([4, 9])); // [2, 3]
 * ```
 * @category Elementwise operations
 */
export function sqrt(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "sqrt");
  return row("sqrt", x);
}

/**
 * 1 / √x.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function rsqrt(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "rsqrt");
  return row("rsqrt", x);
}

/**
 * 1 / x.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function reciprocal(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "reciprocal");
  return row("reciprocal", x);
}

/**
 * x².
 *
 * @throws {DTypeError} for quantised tensors.
 * @example
 * ```ts
 * square(tensor([-3, 2])); // [9, 4]
 * ```
 * @category Elementwise operations
 */
export function square(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "square");
  return row("square", x);
}

/**
 * The sine of x in radians.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function sin(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "sin");
  return row("sin", x);
}

/**
 * The cosine of x in radians.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function cos(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "cos");
  return row("cos", x);
}

/**
 * The tangent of x in radians.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function tan(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "tan");
  return row("tan", x);
}

/**
 * The hyperbolic tangent.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function tanh(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "tanh");
  return row("tanh", x);
}

/**
 * The hyperbolic sine.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function sinh(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "sinh");
  return row("sinh", x);
}

/**
 * The hyperbolic cosine.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function cosh(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "cosh");
  return row("cosh", x);
}

/**
 * The error function.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function erf(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "erf");
  return row("erf", x);
}
