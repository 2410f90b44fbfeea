/** Whether a device's numbers are near enough to those of the reference device. */
import { type DType, isFloat } from "../../src/core/dtype.ts";
import { ulp } from "../_ulp.ts";

/** Numbers as they were read: i64 as bigints. */
export type Numbers = ArrayLike<number | bigint>;

/** How far off result `i` may be, where it is not to be the same to the bit. */
export type Allowance = (i: number, expected: number) => number;

/** The first difference in words, or null. `allowance` counts for floats; -0 is 0. */
export function difference(
  dtype: DType,
  actual: Numbers,
  expected: Numbers,
  allowance: Allowance,
): string | null {
  if (actual.length !== expected.length) return `${actual.length} elements instead of ${expected.length}`;
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i], e = expected[i];
    if (a === e || (a !== a && e !== e)) continue;
    const limit = isFloat(dtype) ? allowance(i, Number(e)) : 0;
    if (limit === Infinity || Math.abs(Number(a) - Number(e)) <= limit) continue;
    return `element ${i} is ${a} instead of ${e}`;
  }
  return null;
}

/** A relative error of f32 arithmetic, and the rounding to `dtype` on top. */
export function rounding(dtype: DType, expected: number, relative: number): number {
  return Math.abs(expected) * relative + (dtype === "f32" ? 2 ** -140 : ulp(dtype, expected));
}
