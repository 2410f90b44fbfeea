/**
 * Arithmetic, comparisons, rounding, and choosing between numbers: rows of the table as functions of tensors.
 *
 * Numbers may stand for tensors; at least one operand is a tensor.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { show } from "../core/show.ts";
import { type DType, isFloat } from "../core/dtype.ts";
import { DTypeError } from "../core/errors.ts";
import { fixed, isNumber } from "../core/number.ts";
import { demandFits, tidy } from "../tensor/mod.ts";
import { type AddOptions, divided, type DivOptions, rounded, type RoundOptions, scaled } from "./adjusted.ts";
import { demandTensor, type Operand, promoteOperands } from "./bridge.ts";
import { row, rowIn } from "./row.ts";
import type { Tensor } from "./tensor.ts";

/**
 * a + b.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * add(tensor([1, 2]), 10); // [11, 12]
 * ```
 * @category Elementwise operations
 */
export function add(a: Operand, b: Operand): Tensor;
/**
 * The same with b · `alpha` in place of b.
 *
 * @throws {OptionError} for an `alpha` that is no number.
 * @throws {DTypeError} for one with a fraction where the result is of integers.
 * @example
 * ```ts
 * add(tensor([1, 2]), tensor([10, 20]), { alpha: 2 }); // [21, 42]
 * ```
 * @category Elementwise operations
 */
export function add(a: Operand, b: Operand, options?: AddOptions): Tensor;
export function add(a: Operand, b: Operand, options?: AddOptions): Tensor {
  demandNoMore(arguments, 3, "add", 2);
  return row("add", a, options === undefined ? b : scaled("add", a, b, arguments));
}

/**
 * a - b.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * sub(tensor([5, 7]), tensor([1, 2])); // [4, 5]
 * ```
 * @category Elementwise operations
 */
export function sub(a: Operand, b: Operand): Tensor;
/**
 * The same with b · `alpha` in place of b.
 *
 * @throws {OptionError} for an `alpha` that is no number.
 * @throws {DTypeError} for one with a fraction where the result is of integers.
 * @example
 * ```ts
 * sub(tensor([1, 2]), tensor([10, 20]), { alpha: 2 }); // [-19, -38]
 * ```
 * @category Elementwise operations
 */
export function sub(a: Operand, b: Operand, options?: AddOptions): Tensor;
export function sub(a: Operand, b: Operand, options?: AddOptions): Tensor {
  demandNoMore(arguments, 3, "sub", 2);
  return row("sub", a, options === undefined ? b : scaled("sub", a, b, arguments));
}

/**
 * a · b.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * mul(tensor([[1], [2]]), tensor([3, 4])); // [[3, 4], [6, 8]]
 * ```
 * @category Elementwise operations
 */
export function mul(a: Operand, b: Operand): Tensor {
  demandNoMore(arguments, 2, "mul");
  return row("mul", a, b);
}

/**
 * a / b; integers give f32.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * div(tensor([1, 2], { dtype: "i32" }), 2); // [0.5, 1]
 * ```
 * @category Elementwise operations
 */
export function div(a: Operand, b: Operand): Tensor;
/**
 * The same, rounded where `roundingMode` says so.
 *
 * @throws {OptionError} for another `roundingMode`.
 * @throws {DTypeError} for integers that are divided by 0 with one.
 * @example
 * ```ts
 * div(tensor([-7, 7]), 2, { roundingMode: "floor" }); // [-4, 3]
 * ```
 * @category Elementwise operations
 */
export function div(a: Operand, b: Operand, options?: DivOptions): Tensor;
export function div(a: Operand, b: Operand, options?: DivOptions): Tensor {
  demandNoMore(arguments, 3, "div", 2);
  return options === undefined ? row("div", a, b) : divided(a, b, arguments);
}

/**
 * a to the power b.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * pow(tensor([2, 3]), 2); // [4, 9]
 * ```
 * @category Elementwise operations
 */
export function pow(a: Operand, b: Operand): Tensor {
  demandNoMore(arguments, 2, "pow");
  return row("pow", a, b);
}

/**
 * The larger of a and b; NaN is passed on. Where they tie, each gets half of the gradient.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * maximum(tensor([1, 5]), 3); // [3, 5]
 * ```
 * @category Elementwise operations
 */
export function maximum(a: Operand, b: Operand): Tensor {
  demandNoMore(arguments, 2, "maximum");
  return row("maximum", a, b);
}

/**
 * The smaller of a and b; NaN is passed on. Where they tie, each gets half of the gradient.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * minimum(tensor([1, 5]), 3); // [1, 3]
 * ```
 * @category Elementwise operations
 */
export function minimum(a: Operand, b: Operand): Tensor {
  demandNoMore(arguments, 2, "minimum");
  return row("minimum", a, b);
}

/**
 * What is left of a after division by b, with the sign of b (Python's %).
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @throws {DTypeError} for integers divided by 0, where the divisor can be seen; a device that answers
 *   late (WebGPU) gives 0 there.
 * @example
 * ```ts
 * remainder(tensor([-7, 7]), 3); // [2, 1]
 * ```
 * @category Elementwise operations
 */
export function remainder(a: Operand, b: Operand): Tensor {
  demandNoMore(arguments, 2, "remainder");
  return row("remainder", a, b);
}

/**
 * What is left of a after division by b, with the sign of a (C's fmod).
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @throws {DTypeError} for integers divided by 0, where the divisor can be seen; a device that answers
 *   late (WebGPU) gives 0 there.
 * @example
 * ```ts
 * fmod(tensor([-7, 7]), 3); // [-1, 1]
 * ```
 * @category Elementwise operations
 */
export function fmod(a: Operand, b: Operand): Tensor {
  demandNoMore(arguments, 2, "fmod");
  return row("fmod", a, b);
}

/**
 * ⌊a / b⌋.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @throws {DTypeError} for integers divided by 0, where the divisor can be seen; a device that answers
 *   late (WebGPU) gives 0 there.
 * @example
 * ```ts
 * floorDivide(tensor([-7, 7]), 2); // [-4, 3]
 * ```
 * @category Elementwise operations
 */
export function floorDivide(a: Operand, b: Operand): Tensor {
  demandNoMore(arguments, 2, "floorDivide");
  return row("floorDivide", a, b);
}

/**
 * √(a² + b²), without overflow.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * hypot(tensor([3, 5]), tensor([4, 12])); // [5, 13]
 * ```
 * @category Elementwise operations
 */
export function hypot(a: Operand, b: Operand): Tensor {
  demandNoMore(arguments, 2, "hypot");
  return row("hypot", a, b);
}

/**
 * Where a = b, as bool.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @category Elementwise operations
 */
export function eq(a: Operand, b: Operand): Tensor {
  demandNoMore(arguments, 2, "eq");
  return row("eq", a, b);
}

/**
 * Where a ≠ b, as bool.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @category Elementwise operations
 */
export function ne(a: Operand, b: Operand): Tensor {
  demandNoMore(arguments, 2, "ne");
  return row("ne", a, b);
}

/**
 * Where a < b, as bool.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @category Elementwise operations
 */
export function lt(a: Operand, b: Operand): Tensor {
  demandNoMore(arguments, 2, "lt");
  return row("lt", a, b);
}

/**
 * Where a ≤ b, as bool.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @category Elementwise operations
 */
export function le(a: Operand, b: Operand): Tensor {
  demandNoMore(arguments, 2, "le");
  return row("le", a, b);
}

/**
 * Where a > b, as bool.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @category Elementwise operations
 */
export function gt(a: Operand, b: Operand): Tensor {
  demandNoMore(arguments, 2, "gt");
  return row("gt", a, b);
}

/**
 * Where a ≥ b, as bool.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @category Elementwise operations
 */
export function ge(a: Operand, b: Operand): Tensor {
  demandNoMore(arguments, 2, "ge");
  return row("ge", a, b);
}

/**
 * Where both are not 0, as bool.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @category Elementwise operations
 */
export function logicalAnd(a: Operand, b: Operand): Tensor {
  demandNoMore(arguments, 2, "logicalAnd");
  return row("logicalAnd", a, b);
}

/**
 * Where one is not 0, as bool.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @category Elementwise operations
 */
export function logicalOr(a: Operand, b: Operand): Tensor {
  demandNoMore(arguments, 2, "logicalOr");
  return row("logicalOr", a, b);
}

/**
 * Where exactly one is not 0, as bool.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @category Elementwise operations
 */
export function logicalXor(a: Operand, b: Operand): Tensor {
  demandNoMore(arguments, 2, "logicalXor");
  return row("logicalXor", a, b);
}

/**
 * −x.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function neg(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "neg");
  return row("neg", x);
}

/**
 * |x|; its gradient at 0 is 0.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function abs(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "abs");
  return row("abs", x);
}

/**
 * −1, 0 or 1.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function sign(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "sign");
  return row("sign", x);
}

/**
 * ⌊x⌋.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function floor(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "floor");
  return row("floor", x);
}

/**
 * ⌈x⌉.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function ceil(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "ceil");
  return row("ceil", x);
}

/**
 * The nearest whole number, halves to even.
 *
 * @throws {DTypeError} for quantised tensors.
 * @example
 * ```ts
 * round(tensor([0.5, 1.5, -2.5])); // [0, 2, -2]
 * ```
 * @category Elementwise operations
 */
export function round(x: Tensor): Tensor;
/**
 * The nearest number of so many `decimals`, halves to even.
 *
 * @throws {OptionError} for `decimals` that are no whole number.
 * @throws {DTypeError} for integers, which have none.
 * @example
 * ```ts
 * round(tensor([1.256, -2.5]), { decimals: 2 }); // [1.26, -2.5]
 * ```
 * @category Elementwise operations
 */
export function round(x: Tensor, options?: RoundOptions): Tensor;
export function round(x: Tensor, options?: RoundOptions): Tensor {
  demandNoMore(arguments, 2, "round", 1);
  return options === undefined ? row("round", x) : rounded(x, arguments);
}

/**
 * x without its fraction.
 *
 * @throws {DTypeError} for quantised tensors.
 * @example
 * ```ts
 * trunc(tensor([-1.7, 1.7])); // [-1, 1]
 * ```
 * @category Elementwise operations
 */
export function trunc(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "trunc");
  return row("trunc", x);
}

/**
 * Where x is 0, as bool.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function logicalNot(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "logicalNot");
  return row("logicalNot", x);
}

/**
 * Where x is NaN, as bool.
 *
 * @throws {DTypeError} for quantised tensors.
 * @example
 * ```ts
 * isnan(tensor([NaN, 1])); // [1, 0]
 * ```
 * @category Elementwise operations
 */
export function isnan(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "isnan");
  return row("isnan", x);
}

/**
 * Where x is infinite, as bool.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function isinf(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "isinf");
  return row("isinf", x);
}

/**
 * Where x is neither infinite nor NaN, as bool.
 *
 * @throws {DTypeError} for quantised tensors.
 * @category Elementwise operations
 */
export function isfinite(x: Tensor): Tensor {
  demandNoMore(arguments, 1, "isfinite");
  return row("isfinite", x);
}

/**
 * x, not below `min` and not above `max`; null leaves a side open. The gradient passes inside and on the bounds.
 *
 * @throws {DTypeError} for quantised tensors.
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * clamp(tensor([-2, 0.5, 9]), 0, 1); // [0, 0.5, 1]
 * ```
 * @category Elementwise operations
 */
export function clamp(x: Tensor, min: Operand | null = null, max: Operand | null = null): Tensor {
  demandNoMore(arguments, 3, "clamp");
  demandTensor("clamp", x);
  for (const [name, bound] of [["min", min], ["max", max]] as const) {
    if (bound !== null && !isNumber(bound)) demandTensor("clamp", bound, name);
  }
  if (min !== null && max !== null) return row("clamp", x, min, max);
  if (min !== null) return row("clampMin", x, min);
  if (max !== null) return row("clampMax", x, max);
  return x;
}

/**
 * x where `condition` is not 0, else y; all three broadcast.
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors, and for a number that the result's dtype does not hold.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * where(tensor([true, false]), tensor([1, 2]), 0); // [1, 0]
 * ```
 * @category Elementwise operations
 */
export function where(condition: Tensor, x: Operand, y: Operand): Tensor {
  demandNoMore(arguments, 3, "where");
  const numbers = isNumber(x) && isNumber(y);
  const dtype = !numbers
    ? promoteOperands("where", [x, y])
    : Number.isInteger(fixed(x)) && Number.isInteger(fixed(y))
    ? "i32"
    : "f32";
  for (const value of [x, y]) if (isNumber(value)) demandFits(value, dtype, "where");
  return choose(dtype, condition, x, y);
}

/** The choice in the compute type of `dtype`; the condition is made bool, so that its dtype has no say in that. */
function choose(dtype: DType, condition: Tensor, x: Operand, y: Operand): Tensor {
  demandTensor("where", condition, "condition");
  if (condition.dtype === "bool") return rowIn(dtype, "where", condition, x, y);
  return tidy(() => rowIn(dtype, "where", ne(condition, 0), x, y));
}

/**
 * x with `value` where `mask` is not 0; of x's dtype.
 *
 * @throws {DTypeError} when that cannot hold the value.
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * maskedFill(tensor([1, 2]), tensor([false, true]), -1); // [1, -1]
 * ```
 * @category Elementwise operations
 */
export function maskedFill(x: Tensor, mask: Tensor, value: number): Tensor {
  demandNoMore(arguments, 3, "maskedFill");
  demandTensor("maskedFill", x);
  if (!isNumber(value)) throw new DTypeError(`maskedFill: value is ${show(value)}, expected a number`);
  if (!isFloat(x.dtype) && !Number.isInteger(fixed(value))) {
    throw new DTypeError(`maskedFill: a tensor of ${x.dtype} cannot hold ${value}`);
  }
  demandFits(value, x.dtype, "maskedFill");
  return choose(x.dtype, mask, value, x);
}

/**
 * start + weight · (end − start).
 *
 * @throws {ShapeError} when the shapes do not broadcast.
 * @throws {DTypeError} for quantised tensors.
 * @throws {DeviceError} for tensors on different devices.
 * @example
 * ```ts
 * lerp(tensor([0, 10]), tensor([10, 20]), 0.5); // [5, 15]
 * ```
 * @category Elementwise operations
 */
export function lerp(start: Tensor, end: Tensor, weight: Operand): Tensor {
  demandNoMore(arguments, 3, "lerp");
  return row("lerp", start, end, weight);
}
