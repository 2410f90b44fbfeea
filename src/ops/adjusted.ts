/**
 * What PyTorch's options of arithmetic mean: `alpha` of a sum, the `roundingMode` of a quotient, `decimals` of a rounding.
 *
 * @module
 */
import { isFloat } from "../core/dtype.ts";
import { areCallback, toldAs } from "../core/demand.ts";
import { DTypeError } from "../core/errors.ts";
import { number, oneOf, orNull, whole } from "../core/kinds.ts";
import { fixed, isNumber } from "../core/number.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { type Operand, promoteOperands } from "./bridge.ts";
import { row, toDType } from "./row.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Options of `add` and `sub`.
 *
 * @category Elementwise operations
 */
export interface AddOptions {
  /** What b is multiplied by first; a whole number where the result is of integers. Default: 1. */
  alpha?: number;
}

/**
 * Options of `div`.
 *
 * @category Elementwise operations
 */
export interface DivOptions {
  /**
   * `"floor"` rounds down, `"trunc"` towards 0, and integers stay what they are then; null does not round. Default: null.
   */
  roundingMode?: "floor" | "trunc" | null;
}

/**
 * Options of `round`.
 *
 * @category Elementwise operations
 */
export interface RoundOptions {
  /** Digits behind the point that stay; before it, where below 0. Default: 0. */
  decimals?: number;
}

const addOptions: OptionTable<AddOptions> = { alpha: number() };
const divOptions: OptionTable<DivOptions> = { roundingMode: orNull(oneOf("floor", "trunc")) };
const roundOptions: OptionTable<RoundOptions> = { decimals: whole(-300, 300) };

/** b · alpha in the dtype of the sum. `args` are those of the call: what `reduce` gives besides is no option. */
export function scaled(what: string, a: Operand, b: Operand, args: IArguments): Operand {
  if (areCallback(args, 2)) return b;
  const { alpha = 1 } = checkOptions<AddOptions>(what, args[2], addOptions);
  const dtype = promoteOperands(what, [a, b]), factor = fixed(alpha);
  if (factor === 1) return b;
  if (!isFloat(dtype) && !Number.isInteger(factor)) {
    throw new DTypeError(`${what}: alpha is ${factor}, expected a whole number, as the result is ${dtype}`);
  }
  if (isNumber(b)) return fixed(b) * factor;
  return toldAs(what, ["mul", "to"], () => row("mul", toDType(b, dtype), factor));
}

/** a / b, rounded as the options say. */
export function divided(a: Operand, b: Operand, args: IArguments): Tensor {
  if (areCallback(args, 2)) return row("div", a, b);
  const { roundingMode = null } = checkOptions<DivOptions>("div", args[2], divOptions);
  if (roundingMode === null) return row("div", a, b);
  return toldAs("div", ["floorDivide", "fmod", "sub", "trunc", "to"], () => {
    if (roundingMode === "floor") return row("floorDivide", a, b);
    const dtype = promoteOperands("div", [a, b]);
    if (!isFloat(dtype)) return row("floorDivide", row("sub", a, row("fmod", a, b)), b);
    // In f32, where the quotient of two short floats is not rounded up to the next whole number before it is cut.
    const [x, y] = [a, b].map((t) => isNumber(t) ? t : toDType(t, "f32"));
    return toDType(row("trunc", row("div", x, y)), dtype);
  });
}

/** x with so many decimals. */
export function rounded(x: Tensor, args: IArguments): Tensor {
  if (areCallback(args, 1)) return row("round", x);
  const { decimals = 0 } = checkOptions<RoundOptions>("round", args[1], roundOptions), n = fixed(decimals);
  const dtype = promoteOperands("round", [x]);
  if (n === 0) return row("round", x);
  if (!isFloat(dtype)) {
    throw new DTypeError(
      `round: decimals is ${n}, and integers have none to round; convert ${dtype} with .to({ dtype: "f32" })`,
    );
  }
  // A power of ten below 1 would not be exact.
  const power = 10 ** Math.abs(n), [there, back] = n > 0 ? ["mul", "div"] : ["div", "mul"];
  return toldAs("round", ["mul", "div"], () => row(back, row("round", row(there, x, power)), power));
}
