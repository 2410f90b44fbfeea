/**
 * Rows of the table: the functions that neural networks put between their layers.
 *
 * Each is written so that no intermediate value overflows before the result does, and so that it stays smooth under
 * symbolic differentiation wherever it is smooth on paper.
 *
 * @module
 */
import {
  add,
  div,
  erf,
  exp,
  expm1,
  ge,
  gt,
  le,
  log1p,
  lt,
  magnitude,
  max,
  mul,
  neg,
  select,
} from "../build.ts";
import { sigmoid, sub } from "../build.ts";
import { constant, type Expr } from "../nodes.ts";
import { named, type Rows } from "../row.ts";

/** The distribution function of the standard normal at x. */
function normalDistribution(x: Expr): Expr {
  return mul(0.5, add(1, erf(mul(x, Math.SQRT1_2))));
}

/** The density of the standard normal at x. */
function normalDensity(x: Expr): Expr {
  return mul(1 / Math.sqrt(2 * Math.PI), exp(mul(-0.5, mul(x, x))));
}

const tanhScale = Math.sqrt(8 / Math.PI), tanhCubic = 0.044715;

/** σ(2u) = (1 + tanh u) / 2 with u = √(2/π) (x + 0.044715 x³): the same number, but exact to the left tail. */
function tanhGate(x: Expr): Expr {
  return sigmoid(mul(mul(tanhScale, x), add(1, mul(tanhCubic, mul(x, x)))));
}

/** ln(1 + eˣ). */
function softplus(x: Expr): Expr {
  return add(select(lt(x, 0), 0, x), log1p(exp(neg(magnitude(x)))));
}

/** tanh(ln(1 + eˣ)), which is rational in e^-|x|. */
function mishGate(x: Expr): Expr {
  const e = exp(neg(magnitude(x))), negative = lt(x, 0);
  const top = select(negative, mul(e, add(e, 2)), add(1, mul(2, e)));
  return div(top, add(top, mul(2, select(negative, 1, mul(e, e)))));
}

/** The derivative of x · gate, given the gate and the derivative of the gate. */
function gated(x: Expr, gate: Expr, slope: Expr): Expr {
  return add(gate, mul(x, slope));
}

const six = constant(6), zero = constant(0);

function hardtanh(x: Expr, low: Expr, high: Expr): Expr {
  return select(le(x, low), low, select(ge(x, high), high, x));
}

/** 1 inside, 0 outside and on the bounds. */
function inside(x: Expr, low: Expr, high: Expr): Expr {
  return select(max(le(x, low), ge(x, high)), 0, 1);
}

/** Activation functions. */
export const activations: Rows = named({
  relu: {
    arity: 1,
    // Not max(x, 0), whose derivative at 0 would be one half.
    formula: (x) => select(le(x, 0), 0, x),
    derivative: (_, y) => [select(le(y, 0), 0, 1)],
    saves: "output",
  },
  relu6: {
    arity: 1,
    formula: (x) => hardtanh(x, zero, six),
    derivative: (_, y) => [inside(y, zero, six)],
    saves: "output",
  },
  hardtanh: {
    arity: 1,
    scalars: 2,
    formula: hardtanh,
    derivative: ([, low, high], y) => [inside(y, low, high)],
    saves: "output",
  },
  // Parameters: the threshold, and the value of what does not exceed it.
  threshold: {
    arity: 1,
    scalars: 2,
    formula: (x, limit, value) => select(le(x, limit), value, x),
    derivative: ([x, limit]) => [select(le(x, limit), 0, 1)],
    saves: "inputs",
  },
  leakyRelu: {
    arity: 1,
    scalars: 1,
    formula: (x, slope) => select(gt(x, 0), x, mul(x, slope)),
    derivative: ([x, slope]) => [select(gt(x, 0), 1, slope)],
    saves: "inputs",
    result: "float",
  },
  elu: {
    arity: 1,
    scalars: 1,
    formula: (x, alpha) => select(gt(x, 0), x, mul(alpha, expm1(x))),
    derivative: ([x, alpha]) => [select(gt(x, 0), 1, mul(alpha, exp(x)))],
    saves: "inputs",
    result: "float",
  },
  gelu: {
    arity: 1,
    formula: (x) => mul(x, normalDistribution(x)),
    derivative: ([x]) => [gated(x, normalDistribution(x), normalDensity(x))],
    saves: "inputs",
    result: "float",
  },
  geluTanh: {
    arity: 1,
    formula: (x) => mul(x, tanhGate(x)),
    derivative: ([x]) => {
      const gate = tanhGate(x);
      const inner = mul(tanhScale, add(1, mul(3 * tanhCubic, mul(x, x))));
      return [gated(x, gate, mul(mul(gate, sub(1, gate)), inner))];
    },
    saves: "inputs",
    result: "float",
  },
  silu: {
    arity: 1,
    formula: (x) => mul(x, sigmoid(x)),
    derivative: ([x]) => {
      const gate = sigmoid(x);
      return [gated(x, gate, mul(gate, sub(1, gate)))];
    },
    saves: "inputs",
    result: "float",
  },
  mish: {
    arity: 1,
    formula: (x) => mul(x, mishGate(x)),
    derivative: ([x]) => {
      const gate = mishGate(x);
      return [gated(x, gate, mul(sub(1, mul(gate, gate)), sigmoid(x)))];
    },
    saves: "inputs",
    result: "float",
  },
  // Parameters: beta, and the value of beta · x above which the result is x itself.
  softplus: {
    arity: 1,
    scalars: 2,
    formula: (x, beta, threshold) => {
      const scaled = mul(x, beta);
      return select(gt(scaled, threshold), x, div(softplus(scaled), beta));
    },
    derivative: ([x, beta, threshold]) => {
      const scaled = mul(x, beta);
      return [select(gt(scaled, threshold), 1, sigmoid(scaled))];
    },
    saves: "inputs",
    result: "float",
  },
  logSigmoid: {
    arity: 1,
    formula: (x) => neg(softplus(neg(x))),
    derivative: ([x]) => [sigmoid(neg(x))],
    saves: "inputs",
    result: "float",
  },
});
