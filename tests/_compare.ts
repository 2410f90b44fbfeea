/** Comparing numbers in units of the last place of a dtype. */
import { assertStrictEquals, fail } from "@std/assert";
import { type DType, isFloat } from "../src/core/dtype.ts";
import { fromBf16, fromF16, toBf16, toF16 } from "../src/core/half.ts";
import { toI32 } from "../src/expr/arithmetic.ts";
import { ulp } from "./_ulp.ts";

export { ulp } from "./_ulp.ts";

/** A number as `dtype` stores it, coming from a float. */
export function rounded(dtype: DType, x: number): number {
  switch (dtype) {
    case "f32":
      return Math.fround(x);
    case "f16":
      return fromF16(toF16(x));
    case "bf16":
      return fromBf16(toBf16(x));
    case "i32":
      return toI32(x);
    case "u8":
      return Number.isNaN(x) ? 0 : Math.trunc(Math.max(0, Math.min(255, x)));
    case "bool":
      return x !== 0 ? 1 : 0;
    default:
      return x;
  }
}

/** How far off a number may be. */
export interface Allowance {
  /** In units of the last place of the dtype, at the expected value. */
  readonly ulps?: number;
  /** Further, absolute, as a function of the position. */
  readonly also?: (i: number) => number;
  /** Whether -0 and 0 are told apart. */
  readonly signedZero?: boolean;
  /** What to call element i in a message. */
  readonly name?: (i: number) => string;
}

/** Fails unless every element is what was expected, as `dtype` holds it, give or take what is allowed. */
export function assertClose(
  dtype: DType,
  actual: readonly number[],
  expected: readonly number[],
  allowance: Allowance = {},
): void {
  assertStrictEquals(actual.length, expected.length);
  const { ulps = 0, also = () => 0, signedZero = false, name = (i: number) => `element ${i}` } = allowance;
  actual.forEach((a, i) => {
    const e = rounded(dtype, expected[i]);
    if (Object.is(a, e) || (a === e && !(signedZero && a === 0))) return;
    // What overflows when rounded may, within what is allowed, stop just short of it, and the other way round.
    const finite = Math.abs(e) === Infinity ? expected[i] : e;
    const limit = (isFloat(dtype) ? ulps * ulp(dtype, e) : 0) + also(i);
    const off = Math.abs((Math.abs(a) === Infinity ? Math.sign(a) * largest(dtype) : a) - finite);
    if (off <= limit && !Object.is(a, -e)) return;
    fail(`${name(i)}: ${a} instead of ${e}, off by ${off / ulp(dtype, e)} ulp of ${dtype}`);
  });
}

function largest(dtype: DType): number {
  return dtype === "f16" ? 65504 : dtype === "f64" ? Number.MAX_VALUE : 3.4028234663852886e38;
}
