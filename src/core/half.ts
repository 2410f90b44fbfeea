/**
 * The two 16-bit floating-point formats, one number at a time.
 *
 * f16 is IEEE 754 binary16 (5 exponent bits, 10 of fraction); bf16 is the upper half of a binary32. Rounding is to
 * nearest, ties to even, from an f32: a caller with a double rounds to f32 first, as every device here does.
 *
 * @module
 */

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/** The bits of `value` as bf16, rounded to nearest even; NaN stays NaN. */
export function toBf16(value: number): number {
  float[0] = value;
  const bits = word[0];
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** The number that the bf16 `bits` stand for. */
export function fromBf16(bits: number): number {
  word[0] = bits << 16;
  return float[0];
}

/** The bits of `value` as f16, rounded to nearest even; beyond 65,504 it becomes infinite, NaN stays NaN. */
export function toF16(value: number): number {
  float[0] = value;
  const bits = word[0];
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Below 2^-14 the result is subnormal: adding 0.5 lines the fraction up, and the FPU does the rounding.
    word[0] = magnitude;
    float[0] = float[0] + 0.5;
    return sign | (word[0] - 0x3f000000);
  }
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
}

/** The number that the f16 `bits` stand for. */
export function fromF16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 31, fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
