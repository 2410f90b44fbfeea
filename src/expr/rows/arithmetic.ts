/**
 * Rows of the table: arithmetic, rounding, and choosing between numbers.
 *
 * @module
 */
import { abs, add, ceil, div, eq, floor, ge, gt, le, lt, max, min, mul, ne, neg } from "../build.ts";
import { rem, round, select, sign, sqrt, sub, trunc } from "../build.ts";
import { constant, type Expr } from "../nodes.ts";
import { named, type Rows } from "../row.ts";

const zero = constant(0), one = constant(1);

/** Whether the remainder r of a truncating division by y must be moved to the divisor's side. */
function otherSide(r: Expr, y: Expr): Expr {
  return mul(ne(r, 0), ne(lt(r, 0), lt(y, 0)));
}

/**
 * ⌊x / y⌋ from the exact remainder, as in Python, where rounding x / y first could land on the next whole number.
 * Holds for integers too, whose division cuts.
 */
function floorDivide(x: Expr, y: Expr): Expr {
  const r = rem(x, y);
  const quotient = sub(div(sub(x, r), y), otherSide(r, y));
  const whole = floor(quotient);
  const nearest = add(whole, gt(sub(quotient, whole), 0.5));
  return select(eq(y, 0), div(x, y), nearest);
}

function hypot(x: Expr, y: Expr): Expr {
  const a = abs(x), b = abs(y), large = max(a, b), ratio = div(min(a, b), large);
  const finite = mul(large, sqrt(add(1, mul(ratio, ratio))));
  const infinite = max(eq(a, Infinity), eq(b, Infinity));
  return select(infinite, Infinity, select(eq(large, 0), 0, finite));
}

/** Arithmetic. */
export const arithmetic: Rows = named({
  add: { arity: 2, formula: (x, y) => add(x, y), derivative: () => [one, one], saves: "none" },
  sub: { arity: 2, formula: (x, y) => sub(x, y), derivative: () => [one, constant(-1)], saves: "none" },
  mul: { arity: 2, formula: (x, y) => mul(x, y), derivative: ([x, y]) => [y, x], saves: "inputs" },
  div: {
    arity: 2,
    formula: (x, y) => div(x, y),
    derivative: ([x, y]) => [div(1, y), neg(div(div(x, y), y))],
    saves: "inputs",
    result: "float",
  },
  // The sign of the divisor, as Python's %.
  remainder: {
    arity: 2,
    formula: (x, y) => {
      const r = rem(x, y);
      return select(otherSide(r, y), add(r, y), r);
    },
    derivative: ([x, y]) => [one, neg(floorDivide(x, y))],
    saves: "inputs",
  },
  // The sign of the dividend, as C's fmod.
  fmod: {
    arity: 2,
    formula: (x, y) => rem(x, y),
    derivative: ([x, y]) => [one, neg(trunc(div(x, y)))],
    saves: "inputs",
  },
  floorDivide: { arity: 2, formula: floorDivide, derivative: () => [zero, zero], saves: "none" },
  hypot: {
    arity: 2,
    formula: hypot,
    derivative: ([x, y]) => [div(x, hypot(x, y)), div(y, hypot(x, y))],
    saves: "inputs",
    result: "float",
  },

  neg: { arity: 1, formula: (x) => neg(x), derivative: () => [constant(-1)], saves: "none" },
  abs: { arity: 1, formula: (x) => abs(x), derivative: ([x]) => [sign(x)], saves: "inputs" },
  sign: { arity: 1, formula: (x) => sign(x), derivative: () => [zero], saves: "none" },
  square: { arity: 1, formula: (x) => mul(x, x), derivative: ([x]) => [mul(2, x)], saves: "inputs" },
  reciprocal: {
    arity: 1,
    formula: (x) => div(1, x),
    derivative: (_, y) => [neg(mul(y, y))],
    saves: "output",
    result: "float",
  },
  floor: { arity: 1, formula: (x) => floor(x), derivative: () => [zero], saves: "none" },
  ceil: { arity: 1, formula: (x) => ceil(x), derivative: () => [zero], saves: "none" },
  round: { arity: 1, formula: (x) => round(x), derivative: () => [zero], saves: "none" },
  trunc: { arity: 1, formula: (x) => trunc(x), derivative: () => [zero], saves: "none" },

  // Ties share the gradient.
  maximum: {
    arity: 2,
    formula: (x, y) => max(x, y),
    derivative: ([x, y]) => [
      select(eq(x, y), 0.5, select(lt(x, y), 0, 1)),
      select(eq(x, y), 0.5, select(gt(x, y), 0, 1)),
    ],
    saves: "inputs",
  },
  minimum: {
    arity: 2,
    formula: (x, y) => min(x, y),
    derivative: ([x, y]) => [
      select(eq(x, y), 0.5, select(gt(x, y), 0, 1)),
      select(eq(x, y), 0.5, select(lt(x, y), 0, 1)),
    ],
    saves: "inputs",
  },
  // The bounds belong to the inside: there the gradient goes to x.
  clamp: {
    arity: 3,
    formula: (x, low, high) => min(max(x, low), high),
    derivative: ([x, low, high]) => [
      select(mul(ge(x, low), le(x, high)), 1, 0),
      select(mul(lt(x, low), lt(low, high)), 1, 0),
      select(max(gt(x, high), gt(low, high)), 1, 0),
    ],
    saves: "inputs",
  },
  clampMin: {
    arity: 2,
    formula: (x, low) => max(x, low),
    derivative: ([x, low]) => [select(ge(x, low), 1, 0), select(lt(x, low), 1, 0)],
    saves: "inputs",
  },
  clampMax: {
    arity: 2,
    formula: (x, high) => min(x, high),
    derivative: ([x, high]) => [select(le(x, high), 1, 0), select(gt(x, high), 1, 0)],
    saves: "inputs",
  },
  where: {
    arity: 3,
    formula: (condition, x, y) => select(condition, x, y),
    derivative: ([condition]) => [null, select(condition, 1, 0), select(condition, 0, 1)],
    saves: "inputs",
  },
  // From the nearer end, so that weight 1 gives `end` exactly.
  lerp: {
    arity: 3,
    formula: (start, end, weight) => {
      const way = sub(end, start);
      return select(lt(weight, 0.5), add(start, mul(weight, way)), sub(end, mul(way, sub(1, weight))));
    },
    derivative: ([start, end, weight]) => [sub(1, weight), weight, sub(end, start)],
    saves: "inputs",
    result: "float",
  },
});
