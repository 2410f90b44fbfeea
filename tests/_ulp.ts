/** The distance between neighbours of a dtype. */
import type { DType } from "../src/core/dtype.ts";

const fractionBits: Partial<Record<DType, [bits: number, least: number]>> = {
  f64: [52, -1022],
  f32: [23, -126],
  f16: [10, -14],
  bf16: [7, -126],
};

/** The distance between neighbours of `dtype` at x. */
export function ulp(dtype: DType, x: number): number {
  const format = fractionBits[dtype];
  if (format === undefined) return 1;
  const [bits, least] = format, size = Math.abs(x);
  let exponent = size > 0 && size < Infinity ? Math.floor(Math.log2(size)) : least;
  if (2 ** exponent > size) exponent--;
  return 2 ** (Math.max(exponent, least) - bits);
}
