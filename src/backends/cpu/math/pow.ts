/**
 * x to the y, through 2^(y log2 |x|) in double precision: only there is the product exact enough, and subnormal and
 * overflowing results round right when the double becomes a float. Special cases as in C99 (annex F.10.4.4), so
 * pow(1, NaN) = 1 where JavaScript gives NaN.
 *
 * @module
 */
import type { Vectors, VectorWriter } from "./writer.ts";

// log2(m) / s in s², with s = (m - 1) / (m + 1)
const logarithm = [
  2.88539008177785,
  0.961796694113355,
  0.5770779423718414,
  0.412209251033281,
  0.3199057691252274,
  0.2828989587078404,
];

const exponential = [
  0.9999999999616821,
  0.6931471807284494,
  0.2402265119815697,
  0.05550410353441795,
  0.00961802725384808,
  0.0013333922574313135,
  0.00015469291031587618,
  1.5201916408184411e-5,
];

// Adding it leaves an integer in the low bits of a double.
const shifter = 1.5 * 2 ** 52;
const rootHalf = 0x3fe6a09e667f3bcdn; // bits of √½

/** 2^(y log2 x) of two doubles, x ≥ 0. */
function power(w: VectorWriter, x: Vectors, y: Vectors): Vectors {
  const i64 = (value: bigint): Vectors => w.constant(value, "i64x2");
  const shifted = w.op("i64x2.sub", x, i64(rootHalf));
  // The exponent field, sign extended: k + 1023 fits the 11 bits that the shift leaves, so it is or-ed into 1.5 · 2^52.
  const biased = w.shift("i64x2.shr_u", w.op("i64x2.add", shifted, i64(1023n << 52n)), 52);
  const k = w.op("f64x2.sub", w.or(biased, w.constant(shifter, "f64x2")), shifter + 1023);
  const m = w.op("i64x2.add", w.and(shifted, i64((1n << 52n) - 1n)), i64(rootHalf));
  const s = w.op("f64x2.div", w.op("f64x2.sub", m, 1), w.op("f64x2.add", m, 1));
  const series = w.polynomial(w.op("f64x2.mul", s, s), logarithm, "f64x2");
  const finite = w.op("f64x2.add", w.op("f64x2.mul", s, series), k);
  const zero = w.select(w.op("f64x2.eq", x, 0), -Infinity, finite, "f64x2");
  const log = w.select(w.op("f64x2.lt", x, Infinity), zero, x, "f64x2"); // x itself when infinite or NaN
  // Any double beyond 2^±200 becomes ∞ or 0 as a float.
  const t = w.atMost(w.atLeast(w.op("f64x2.mul", y, log), -200, "f64x2"), 200, "f64x2");
  const rounded = w.op("f64x2.add", t, shifter + 1023);
  const f = w.op("f64x2.sub", t, w.op("f64x2.sub", rounded, shifter + 1023));
  return w.op("f64x2.mul", w.polynomial(f, exponential, "f64x2"), w.shift("i64x2.shl", rounded, 52));
}

/** pow(x, y). Error below 0.6 ulp, special cases as in C99. */
export function emitPow(w: VectorWriter, x: Vectors, y: Vectors): Vectors {
  const size = w.op("f32x4.abs", x);
  const [x0, x1] = w.promote(size), [y0, y1] = w.promote(y);
  const plain = w.demote(power(w, x0, y0), power(w, x1, y1));
  // |x| = 1 gives 1 even where the logarithm, 0, met an infinite y.
  const unit = w.and(w.op("f32x4.eq", size, 1), w.op("f32x4.eq", y, y));
  const magnitude = w.select(unit, 1, plain);
  const whole = w.op("f32x4.eq", w.op("f32x4.trunc", y), y);
  const half = w.mul(y, 0.5);
  const odd = w.andNot(whole, w.op("f32x4.eq", w.op("f32x4.trunc", half), half));
  const signed = w.xor(magnitude, w.and(w.signOf(x), odd));
  const negative = w.and(w.op("f32x4.lt", x, 0), w.op("f32x4.gt", x, -Infinity));
  const real = w.select(w.andNot(negative, whole), NaN, signed);
  const one = w.or(w.op("f32x4.eq", x, 1), w.op("f32x4.eq", y, 0));
  return w.select(one, 1, real);
}
