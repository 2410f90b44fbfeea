/**
 * log and log1p: x = 2^k m with m between √½ and √2, log x = k ln 2 + log m, log m by a polynomial in f = m - 1.
 *
 * @module
 */
import type { Vectors, VectorWriter } from "./writer.ts";

const ln2High = 0.693359375;
const ln2Low = Math.LN2 - ln2High;
const rootHalf = 0x3f3504f3; // bits of √½

// (log(1 + f) - f + f² / 2) / f³
const series = [
  0.3333331346511841,
  -0.25000008940696716,
  0.2000207155942917,
  -0.16667988896369934,
  0.14220359921455383,
  -0.12406239658594131,
  0.11883537471294403,
  -0.11670024693012238,
  0.06749189645051956,
];

/** k (as float) and m of a positive normal x. */
function split(w: VectorWriter, x: Vectors): { k: Vectors; m: Vectors } {
  const shifted = w.op("i32x4.sub", x, rootHalf);
  const k = w.op("f32x4.convert_i32x4_s", w.shift("i32x4.shr_s", shifted, 23));
  const m = w.op("i32x4.add", w.and(shifted, 0x7fffff), rootHalf);
  return { k, m };
}

/** f - f²/2 + f³ P(f) + rest + k ln 2 */
function sum(w: VectorWriter, f: Vectors, k: Vectors, rest: Vectors | null): Vectors {
  const square = w.mul(f, f);
  let y = w.mul(w.mul(square, f), w.polynomial(f, series));
  if (rest !== null) y = w.add(y, rest);
  y = w.madd(k, ln2Low, y);
  y = w.madd(square, -0.5, y);
  return w.madd(k, ln2High, w.add(f, y));
}

/** log(x). Error below 1.5 ulp, subnormal x included; log(±0) = -∞, log(∞) = ∞, NaN below 0, NaN stays. */
export function emitLog(w: VectorWriter, x: Vectors): Vectors {
  const tiny = w.op("f32x4.lt", x, 2 ** -126);
  const { k, m } = split(w, w.select(tiny, w.mul(x, 2 ** 23), x));
  const y = sum(w, w.sub(m, 1), w.sub(k, w.and(tiny, 0x41b80000)), null); // 23 as a float
  return special(w, x, x, y);
}

/**
 * log(1 + x), right where x is small. Error below 2 ulp; log1p(-0) = -0, log1p(-1) = -∞, log1p(∞) = ∞, NaN below -1,
 * NaN stays.
 */
export function emitLog1p(w: VectorWriter, x: Vectors): Vectors {
  const u = w.add(x, 1);
  const { k, m } = split(w, u);
  // Near 0, f = x itself; elsewhere the part of x that the sum u lost is put right to first order.
  const near = w.op("f32x4.eq", k, 0);
  const f = w.select(near, x, w.sub(m, 1));
  const large = w.op("f32x4.gt", x, 1);
  const lost = w.select(large, w.sub(1, w.sub(u, x)), w.sub(x, w.sub(u, 1)));
  const correction = w.andNot(w.div(lost, u), near);
  const y = w.or(sum(w, f, k, correction), w.signOf(x));
  return special(w, x, u, y);
}

/** Replaces y where u ≤ 0, u is infinite or x is NaN. */
function special(w: VectorWriter, x: Vectors, u: Vectors, y: Vectors): Vectors {
  const infinite = w.select(w.op("f32x4.eq", u, Infinity), Infinity, y);
  const zero = w.select(w.op("f32x4.eq", u, 0), -Infinity, infinite);
  const negative = w.select(w.op("f32x4.lt", u, 0), NaN, zero);
  return w.select(w.op("f32x4.eq", x, x), negative, x);
}
