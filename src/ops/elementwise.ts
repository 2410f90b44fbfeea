/**
 * The rows of the table as functions of tensors.
 *
 * Each function is one row: shapes broadcast as in NumPy, dtypes promote as in PyTorch, the gradient is the row's
 * derivative. Numbers may stand for tensors; at least one operand is a tensor.
 *
 * @module
 */
import { type DType, isFloat } from "../core/dtype.ts";
import { DTypeError } from "../core/errors.ts";
import { input } from "../expr/nodes.ts";
import { table } from "../expr/table.ts";
import { type Applied, prepare, splitOperands } from "../tensor/mod.ts";
import { apply, computeType, converted, type Operand, promoteOperands, record } from "./bridge.ts";
import type { Tensor } from "./tensor.ts";

const prepared = new Map<string, Applied>();

/** Applies row `name` of the table. Operands follow the row's arguments. */
export function row(name: string, ...operands: Operand[]): Tensor {
  const { tensors, scalars, leaves, pattern } = splitOperands(operands);
  const key = `${name}/${pattern}`;
  const entry = table[name];
  let applied = prepared.get(key);
  if (!applied) {
    const result = input(tensors.length);
    applied = prepare(name, entry.formula(...leaves), tensors.length, scalars.length, (index) => {
      let k = -1;
      const position = operands.findIndex((x) => typeof x !== "number" && ++k === index);
      return entry.derivative(leaves, result)[position] ?? null;
    });
    prepared.set(key, applied);
  }
  let dtype = promoteOperands(name, operands);
  if (entry.result === "float" && !isFloat(dtype)) dtype = "f32";
  return apply(applied, tensors as Tensor[], scalars, computeType(dtype), entry.result === "bool" ? "bool" : dtype);
}

/** x in another dtype. Floats become integers by cutting the fraction; the gradient is converted back. */
export function toDType(x: Tensor, dtype: DType): Tensor {
  if (x.dtype === dtype) return x;
  if (!x.backend.supports(dtype)) {
    throw new DTypeError(`to: device "${x.device}" does not hold ${dtype}`);
  }
  const own = x.dtype;
  const out = converted(x, dtype);
  return isFloat(own) && isFloat(dtype) ? record("to", out, [x], [], (g) => [toDType(g, own)]) : out;
}

/** a + b. */
export function add(a: Operand, b: Operand): Tensor {
  return row("add", a, b);
}

/** a - b. */
export function sub(a: Operand, b: Operand): Tensor {
  return row("sub", a, b);
}

/** a · b. */
export function mul(a: Operand, b: Operand): Tensor {
  return row("mul", a, b);
}

/** a / b; integers give f32. */
export function div(a: Operand, b: Operand): Tensor {
  return row("div", a, b);
}

/** a to the power b. */
export function pow(a: Operand, b: Operand): Tensor {
  return row("pow", a, b);
}

/** The larger of a and b; NaN is passed on. Where they tie, each gets half of the gradient. */
export function maximum(a: Operand, b: Operand): Tensor {
  return row("maximum", a, b);
}

/** The smaller of a and b; NaN is passed on. Where they tie, each gets half of the gradient. */
export function minimum(a: Operand, b: Operand): Tensor {
  return row("minimum", a, b);
}

/** What is left of a after division by b, with the sign of b (Python's %). */
export function remainder(a: Operand, b: Operand): Tensor {
  return row("remainder", a, b);
}

/** What is left of a after division by b, with the sign of a (C's fmod). */
export function fmod(a: Operand, b: Operand): Tensor {
  return row("fmod", a, b);
}

/** ⌊a / b⌋. */
export function floorDivide(a: Operand, b: Operand): Tensor {
  return row("floorDivide", a, b);
}

/** Where a = b, as bool. */
export function eq(a: Operand, b: Operand): Tensor {
  return row("eq", a, b);
}

/** Where a ≠ b, as bool. */
export function ne(a: Operand, b: Operand): Tensor {
  return row("ne", a, b);
}

/** Where a < b, as bool. */
export function lt(a: Operand, b: Operand): Tensor {
  return row("lt", a, b);
}

/** Where a ≤ b, as bool. */
export function le(a: Operand, b: Operand): Tensor {
  return row("le", a, b);
}

/** Where a > b, as bool. */
export function gt(a: Operand, b: Operand): Tensor {
  return row("gt", a, b);
}

/** Where a ≥ b, as bool. */
export function ge(a: Operand, b: Operand): Tensor {
  return row("ge", a, b);
}

/** Where both are not 0, as bool. */
export function logicalAnd(a: Operand, b: Operand): Tensor {
  return row("logicalAnd", a, b);
}

/** Where one is not 0, as bool. */
export function logicalOr(a: Operand, b: Operand): Tensor {
  return row("logicalOr", a, b);
}

/** −x. */
export function neg(x: Tensor): Tensor {
  return row("neg", x);
}

/** |x|; its gradient at 0 is 0. */
export function abs(x: Tensor): Tensor {
  return row("abs", x);
}

/** −1, 0 or 1. */
export function sign(x: Tensor): Tensor {
  return row("sign", x);
}

/** eˣ. */
export function exp(x: Tensor): Tensor {
  return row("exp", x);
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

/** x · sigmoid(x) (Elfwing, Uchibe, Doya 2017; also called swish). */
export function silu(x: Tensor): Tensor {
  return row("silu", x);
}

/** x · tanh(softplus(x)) (Misra 2019). */
export function mish(x: Tensor): Tensor {
  return row("mish", x);
}

/** ⌊x⌋. */
export function floor(x: Tensor): Tensor {
  return row("floor", x);
}

/** ⌈x⌉. */
export function ceil(x: Tensor): Tensor {
  return row("ceil", x);
}

/** The nearest whole number, halves to even. */
export function round(x: Tensor): Tensor {
  return row("round", x);
}

/** x without its fraction. */
export function trunc(x: Tensor): Tensor {
  return row("trunc", x);
}

/** The error function. */
export function erf(x: Tensor): Tensor {
  return row("erf", x);
}

/** Where x is 0, as bool. */
export function logicalNot(x: Tensor): Tensor {
  return row("logicalNot", x);
}

/** Where x is NaN, as bool. */
export function isnan(x: Tensor): Tensor {
  return row("isnan", x);
}

/** Where x is infinite, as bool. */
export function isinf(x: Tensor): Tensor {
  return row("isinf", x);
}

/** Where x is neither infinite nor NaN, as bool. */
export function isfinite(x: Tensor): Tensor {
  return row("isfinite", x);
}

/**
 * The Gaussian error linear unit x · Φ(x) (Hendrycks, Gimpel 2016); with `"tanh"` the approximation that GPT-2 uses
 * (`gelu_new` in Hugging Face).
 */
export function gelu(x: Tensor, approximate: "none" | "tanh" | { approximate?: "none" | "tanh" } = "none"): Tensor {
  const form = typeof approximate === "string" ? approximate : approximate.approximate ?? "none";
  return row(form === "tanh" ? "geluTanh" : "gelu", x);
}

/** x where positive, else negativeSlope · x. */
export function leakyRelu(x: Tensor, negativeSlope = 0.01): Tensor {
  return row("leakyRelu", x, negativeSlope);
}

/** x where positive, else alpha · (eˣ − 1) (Clevert, Unterthiner, Hochreiter 2015). */
export function elu(x: Tensor, alpha = 1): Tensor {
  return row("elu", x, alpha);
}

/** ln(1 + e^(beta · x)) / beta; x itself where beta · x is above `threshold`, as in PyTorch. */
export function softplus(x: Tensor, beta = 1, threshold = 20): Tensor {
  return row("softplus", x, beta, threshold);
}

/** x, not below `min` and not above `max`; null leaves a side open. The gradient passes inside and on the bounds. */
export function clamp(x: Tensor, min: Operand | null = null, max: Operand | null = null): Tensor {
  if (min !== null && max !== null) return row("clamp", x, min, max);
  if (min !== null) return row("clampMin", x, min);
  if (max !== null) return row("clampMax", x, max);
  return x;
}

/** x where `condition` is not 0, else y. */
export function where(condition: Tensor, x: Operand, y: Operand): Tensor {
  const parts = [x, y].filter((v) => typeof v !== "number");
  const dtype = parts.length ? promoteOperands("where", [x, y]) : [x, y].every(Number.isInteger) ? "i32" : "f32";
  const out = row("where", condition, x, y);
  return out.dtype === dtype ? out : toDType(out, dtype);
}

/** x with `value` where `mask` is not 0. */
export function maskedFill(x: Tensor, mask: Tensor, value: number): Tensor {
  return toDType(where(mask, value, x), x.dtype);
}

/** start + weight · (end − start). */
export function lerp(start: Tensor, end: Tensor, weight: Operand): Tensor {
  return row("lerp", start, end, weight);
}
