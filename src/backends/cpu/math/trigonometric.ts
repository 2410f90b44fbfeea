/**
 * sin and cos. x is reduced by quarter turns in double precision: 2/π is held in two parts, of which the upper has
 * 29 bits, so that its product with a float is exact however large x is. Polynomials in single precision do the rest.
 *
 * @module
 */
import type { Vectors, VectorWriter } from "./writer.ts";

// 2/π = high + low
const high = 341782637 * 2 ** -29;
const low = 1.4681663269012186e-9;

const sine = [-0.16666655242443085, 0.008332187309861183, -0.00019517906184773892]; // (sin r - r) / r³ in r²
const cosine = [0.04166664555668831, -0.0013887309469282627, 2.4432327336398885e-05]; // (cos r - 1 + r²/2) / r⁴

/** The quarter turns in x, as i32 (right in its two low bits), and the angle that is left, in [-π/4, π/4]. */
function reduce(w: VectorWriter, x: Vectors): { turns: Vectors; r: Vectors } {
  const halves = w.promote(x).map((y) => {
    const whole = w.op("f64x2.mul", y, high);
    const n = w.op("f64x2.nearest", w.op("f64x2.mul", y, high + low));
    const f = w.madd(y, low, w.op("f64x2.sub", whole, n), "f64x2");
    // Only for |x| beyond 2^52 is f not within ±½ already.
    const bounded = w.atLeast(w.atMost(f, 0.5, "f64x2"), -0.5, "f64x2");
    return { n: w.op("i32x4.trunc_sat_f64x2_s_zero", n), r: w.op("f64x2.mul", bounded, Math.PI / 2) };
  });
  return { turns: w.joinLow(halves[0].n, halves[1].n), r: w.demote(halves[0].r, halves[1].r) };
}

/** sin(r + turns · π/2) */
function evaluate(w: VectorWriter, r: Vectors, turns: Vectors): Vectors {
  const z = w.mul(r, r);
  const s = w.madd(w.mul(z, r), w.polynomial(z, sine), r);
  const c = w.madd(w.mul(z, z), w.polynomial(z, cosine), w.madd(z, -0.5, 1));
  const odd = w.op("i32x4.ne", w.and(turns, 1), 0);
  return w.xor(w.select(odd, c, s), w.shift("i32x4.shl", w.and(turns, 2), 30));
}

/**
 * sin(x). Error below 2 ulp for |x| ≤ 2^25; beyond, below |x| · 2^-80 absolute and sane (within ±1) for all finite x
 * below 2^31, meaningless but within ±1 above. sin(-0) = -0; NaN for ±∞ and NaN.
 */
export function emitSin(w: VectorWriter, x: Vectors): Vectors {
  const { turns, r } = reduce(w, x);
  return w.select(w.op("f32x4.eq", x, 0), x, evaluate(w, r, turns));
}

/** cos(x). Error and range as {@link emitSin}. */
export function emitCos(w: VectorWriter, x: Vectors): Vectors {
  const { turns, r } = reduce(w, x);
  return evaluate(w, r, w.op("i32x4.add", turns, 1));
}
