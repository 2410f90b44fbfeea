/**
 * Every row of the table as a formula on doubles, written down apart from the table: naive, from the definition, and
 * so an independent witness. Arguments are the operands, then the parameters.
 */
import { erf } from "../src/expr/special.ts";

const floorMod = (x: number, y: number): number => x - y * Math.floor(x / y);
const bool = (x: boolean): number => x ? 1 : 0;
const clamp = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high);
const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
const halfEven = (x: number): number => {
  const low = Math.floor(x), rest = x - low;
  if (!Number.isFinite(x)) return x;
  const whole = rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
  return whole === 0 && (x < 0 || Object.is(x, -0)) ? -0 : whole;
};

/** The row's meaning on numbers. */
export const truth: Readonly<Record<string, (...x: number[]) => number>> = {
  add: (x, y) => x + y,
  sub: (x, y) => x - y,
  mul: (x, y) => x * y,
  div: (x, y) => x / y,
  remainder: floorMod,
  fmod: (x, y) => x - y * Math.trunc(x / y),
  floorDivide: (x, y) => Math.floor(x / y),
  hypot: Math.hypot,
  neg: (x) => -x,
  abs: Math.abs,
  sign: Math.sign,
  square: (x) => x * x,
  reciprocal: (x) => 1 / x,
  floor: Math.floor,
  ceil: Math.ceil,
  round: halfEven,
  trunc: Math.trunc,
  maximum: Math.max,
  minimum: Math.min,
  clamp,
  clampMin: Math.max,
  clampMax: Math.min,
  where: (c, x, y) => c !== 0 ? x : y,
  lerp: (a, b, w) => a + w * (b - a),
  pow: Math.pow,
  sqrt: Math.sqrt,
  rsqrt: (x) => 1 / Math.sqrt(x),
  exp: Math.exp,
  exp2: (x) => 2 ** x,
  expm1: Math.expm1,
  log: Math.log,
  log1p: Math.log1p,
  log2: Math.log2,
  log10: Math.log10,
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
  sinh: Math.sinh,
  cosh: Math.cosh,
  tanh: Math.tanh,
  erf,
  sigmoid: logistic,
  relu: (x) => x > 0 || x !== x ? x : 0,
  relu6: (x) => clamp(x, 0, 6),
  hardtanh: clamp,
  threshold: (x, limit, value) => x <= limit ? value : x,
  leakyRelu: (x, slope) => x > 0 ? x : x * slope,
  elu: (x, alpha) => x > 0 ? x : alpha * Math.expm1(x),
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  // (1 + tanh u) / 2 is the logistic function of 2u; with tanh nothing would be left of it at -8.
  geluTanh: (x) => x * logistic(2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)),
  silu: (x) => x * logistic(x),
  mish: (x) => x * Math.tanh(Math.log1p(Math.exp(x))),
  softplus: (x, beta, threshold) => x * beta > threshold ? x : Math.log1p(Math.exp(x * beta)) / beta,
  logSigmoid: (x) => x < -30 ? x : -Math.log1p(Math.exp(-x)),
  eq: (x, y) => bool(x === y),
  ne: (x, y) => bool(x !== y),
  lt: (x, y) => bool(x < y),
  le: (x, y) => bool(x <= y),
  gt: (x, y) => bool(x > y),
  ge: (x, y) => bool(x >= y),
  logicalAnd: (x, y) => bool(x !== 0 && y !== 0),
  logicalOr: (x, y) => bool(x !== 0 || y !== 0),
  logicalXor: (x, y) => bool((x !== 0) !== (y !== 0)),
  logicalNot: (x) => bool(x === 0),
  isnan: (x) => bool(Number.isNaN(x)),
  isinf: (x) => bool(Math.abs(x) === Infinity),
  isfinite: (x) => bool(Number.isFinite(x)),
};

/** Parameters with which rows that have some are tried. */
export const parameters: Readonly<Record<string, readonly number[]>> = {
  hardtanh: [-1.125, 1.5],
  threshold: [0.375, -2],
  leakyRelu: [0.01],
  elu: [1.25],
  softplus: [1.5, 20],
};

/** Rows whose first operand must be positive to give a number. */
export const positiveOnly: ReadonlySet<string> = new Set([
  "pow",
  "sqrt",
  "rsqrt",
  "log",
  "log1p",
  "log2",
  "log10",
]);
