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
  const [bits, least] = format, exponent = Number.isFinite(x) ? exponentOf(x) : least;
  return 2 ** (Math.max(exponent, least) - bits);
}

const float = new Float64Array(1), words = new Uint32Array(float.buffer);

/** The exponent of a number's leading digit, from its bits; of what has none (0, and less than any dtype tells) the least. */
function exponentOf(x: number): number {
  float[0] = x;
  return ((words[1] >>> 20) & 0x7ff) - 1023;
}
