/**
 * Exponentials, logarithms, roots, trigonometric and hyperbolic functions: rows of the table as functions of tensors.
 *
 * Integers give f32.
 *
 * @module
 */
import { row } from "./row.ts";
import type { Tensor } from "./tensor.ts";

/** eˣ. */
export function exp(x: Tensor): Tensor {
  return row("exp", x);
}

/** 2ˣ. */
export function exp2(x: Tensor): Tensor {
  return row("exp2", x);
}

/** eˣ − 1, accurate near 0. */
export function expm1(x: Tensor): Tensor {
  return row("expm1", x);
}

/** The natural logarithm. */
export function log(x: Tensor): Tensor {
  return row("log", x);
}

/** ln(1 + x), accurate near 0. */
export function log1p(x: Tensor): Tensor {
  return row("log1p", x);
}

/** The logarithm to base 2. */
export function log2(x: Tensor): Tensor {
  return row("log2", x);
}

/** The logarithm to base 10. */
export function log10(x: Tensor): Tensor {
  return row("log10", x);
}

/** √x. */
export function sqrt(x: Tensor): Tensor {
  return row("sqrt", x);
}

/** 1 / √x. */
export function rsqrt(x: Tensor): Tensor {
  return row("rsqrt", x);
}

/** 1 / x. */
export function reciprocal(x: Tensor): Tensor {
  return row("reciprocal", x);
}

/** x². */
export function square(x: Tensor): Tensor {
  return row("square", x);
}

/** The sine of x in radians. */
export function sin(x: Tensor): Tensor {
  return row("sin", x);
}

/** The cosine of x in radians. */
export function cos(x: Tensor): Tensor {
  return row("cos", x);
}

/** The tangent of x in radians. */
export function tan(x: Tensor): Tensor {
  return row("tan", x);
}

/** The hyperbolic tangent. */
export function tanh(x: Tensor): Tensor {
  return row("tanh", x);
}

/** The hyperbolic sine. */
export function sinh(x: Tensor): Tensor {
  return row("sinh", x);
}

/** The hyperbolic cosine. */
export function cosh(x: Tensor): Tensor {
  return row("cosh", x);
}

/** The error function. */
export function erf(x: Tensor): Tensor {
  return row("erf", x);
}
