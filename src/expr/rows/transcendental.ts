/**
 * Rows of the table: powers, exponentials, logarithms, and the functions made of them.
 *
 * @module
 */
import { abs, add, cos, div, eq, erf, exp, expm1, ge, gt, log, log1p, lt, magnitude, mul } from "../build.ts";
import { neg, pow, select, sigmoid, sin, sqrt, sub, tanh } from "../build.ts";
import type { Expr } from "../nodes.ts";
import { named, type Rows } from "../row.ts";

/** Built from e^(|x| / 2), so that it overflows only where the result does. */
function cosh(x: Expr): Expr {
  const half = exp(mul(abs(x), 0.5));
  return add(mul(mul(0.5, half), half), div(div(0.5, half), half));
}

/** Without cancellation near 0: (t + t / (t + 1)) / 2 with t = e^|x| - 1. */
function sinh(x: Expr): Expr {
  const size = magnitude(x), t = expm1(size), half = exp(mul(size, 0.5));
  const value = select(gt(size, 20), mul(mul(0.5, half), half), mul(0.5, add(t, div(t, add(t, 1)))));
  return select(lt(x, 0), neg(value), value);
}

/** Powers, exponentials, logarithms, trigonometric and hyperbolic functions. */
export const transcendental: Rows = named({
  // Where the factor is 0 the power is not asked, which might be infinite: 0^0 is flat, and so is 0^y in y.
  pow: {
    arity: 2,
    formula: (x, y) => pow(x, y),
    derivative: ([x, y]) => [
      select(eq(y, 0), 0, mul(y, pow(x, sub(y, 1)))),
      select(mul(eq(x, 0), ge(y, 0)), 0, mul(pow(x, y), log(x))),
    ],
    saves: "inputs",
  },
  sqrt: {
    arity: 1,
    formula: (x) => sqrt(x),
    derivative: (_, y) => [div(0.5, y)],
    saves: "output",
    result: "float",
  },
  rsqrt: {
    arity: 1,
    formula: (x) => div(1, sqrt(x)),
    derivative: (_, y) => [mul(-0.5, mul(y, mul(y, y)))],
    saves: "output",
    result: "float",
  },
  exp: { arity: 1, formula: (x) => exp(x), derivative: (_, y) => [y], saves: "output", result: "float" },
  exp2: {
    arity: 1,
    formula: (x) => pow(2, x),
    derivative: (_, y) => [mul(y, Math.LN2)],
    saves: "output",
    result: "float",
  },
  expm1: {
    arity: 1,
    formula: (x) => expm1(x),
    derivative: (_, y) => [add(y, 1)],
    saves: "output",
    result: "float",
  },
  log: {
    arity: 1,
    formula: (x) => log(x),
    derivative: ([x]) => [div(1, x)],
    saves: "inputs",
    result: "float",
  },
  log1p: {
    arity: 1,
    formula: (x) => log1p(x),
    derivative: ([x]) => [div(1, add(x, 1))],
    saves: "inputs",
    result: "float",
  },
  log2: {
    arity: 1,
    formula: (x) => mul(log(x), Math.LOG2E),
    derivative: ([x]) => [div(Math.LOG2E, x)],
    saves: "inputs",
    result: "float",
  },
  log10: {
    arity: 1,
    formula: (x) => mul(log(x), Math.LOG10E),
    derivative: ([x]) => [div(Math.LOG10E, x)],
    saves: "inputs",
    result: "float",
  },
  sin: { arity: 1, formula: (x) => sin(x), derivative: ([x]) => [cos(x)], saves: "inputs", result: "float" },
  cos: {
    arity: 1,
    formula: (x) => cos(x),
    derivative: ([x]) => [neg(sin(x))],
    saves: "inputs",
    result: "float",
  },
  tan: {
    arity: 1,
    formula: (x) => div(sin(x), cos(x)),
    derivative: (_, y) => [add(1, mul(y, y))],
    saves: "output",
    result: "float",
  },
  sinh: { arity: 1, formula: sinh, derivative: ([x]) => [cosh(x)], saves: "inputs", result: "float" },
  cosh: { arity: 1, formula: cosh, derivative: ([x]) => [sinh(x)], saves: "inputs", result: "float" },
  tanh: {
    arity: 1,
    formula: (x) => tanh(x),
    derivative: (_, y) => [sub(1, mul(y, y))],
    saves: "output",
    result: "float",
  },
  erf: {
    arity: 1,
    formula: (x) => erf(x),
    derivative: ([x]) => [mul(2 / Math.sqrt(Math.PI), exp(neg(mul(x, x))))],
    saves: "inputs",
    result: "float",
  },
  sigmoid: {
    arity: 1,
    formula: sigmoid,
    derivative: (_, y) => [mul(y, sub(1, y))],
    saves: "output",
    result: "float",
  },
});
