/**
 * Arithmetic, comparisons, rounding, and choosing between numbers: rows of the table as functions of tensors.
 *
 * Numbers may stand for tensors; at least one operand is a tensor.
 *
 * @module
 */
import { type DType, isFloat } from "../core/dtype.ts";
import { DTypeError } from "../core/errors.ts";
import { fixed, isNumber } from "../core/number.ts";
import { tidy } from "../tensor/mod.ts";
import { type Operand, promoteOperands } from "./bridge.ts";
import { row, rowIn } from "./row.ts";
import type { Tensor } from "./tensor.ts";

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

/** √(a² + b²), without overflow. */
export function hypot(a: Operand, b: Operand): Tensor {
  return row("hypot", a, b);
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

/** Where exactly one is not 0, as bool. */
export function logicalXor(a: Operand, b: Operand): Tensor {
  return row("logicalXor", a, b);
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

/** x, not below `min` and not above `max`; null leaves a side open. The gradient passes inside and on the bounds. */
export function clamp(x: Tensor, min: Operand | null = null, max: Operand | null = null): Tensor {
  if (min !== null && max !== null) return row("clamp", x, min, max);
  if (min !== null) return row("clampMin", x, min);
  if (max !== null) return row("clampMax", x, max);
  return x;
}

/** x where `condition` is not 0, else y; all three broadcast. */
export function where(condition: Tensor, x: Operand, y: Operand): Tensor {
  const numbers = isNumber(x) && isNumber(y);
  const dtype = !numbers
    ? promoteOperands("where", [x, y])
    : Number.isInteger(fixed(x)) && Number.isInteger(fixed(y))
    ? "i32"
    : "f32";
  return choose(dtype, condition, x, y);
}

/** The choice in the compute type of `dtype`; the condition is made bool, so that its dtype has no say in that. */
function choose(dtype: DType, condition: Tensor, x: Operand, y: Operand): Tensor {
  if (condition.dtype === "bool") return rowIn(dtype, "where", condition, x, y);
  return tidy(() => rowIn(dtype, "where", ne(condition, 0), x, y));
}

/** x with `value` where `mask` is not 0; of x's dtype. @throws {DTypeError} when that cannot hold the value. */
export function maskedFill(x: Tensor, mask: Tensor, value: number): Tensor {
  if (!isFloat(x.dtype) && !Number.isInteger(fixed(value))) {
    throw new DTypeError(`maskedFill: a tensor of ${x.dtype} cannot hold ${value}`);
  }
  return choose(x.dtype, mask, value, x);
}

/** start + weight · (end − start). */
export function lerp(start: Tensor, end: Tensor, weight: Operand): Tensor {
  return row("lerp", start, end, weight);
}
