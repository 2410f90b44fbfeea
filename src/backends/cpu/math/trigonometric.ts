/**
 * sin and cos. x is reduced by quarter turns in double precision: 2/π is held in two parts, of which the upper has
 * 29 bits, so that its product with a float is exact however large x is. Polynomials in single precision do the rest.
 *
 * Floats beyond 2^25 ask for more of 2/π: as many parts as a float has bits to the left of the point. Each product is
 * exact, and so is what is left of it when whole turns are taken away (Payne and Hanek, "Radian reduction for trigonometric
 * functions", 1983).
 *
 * @module
 */
import { type Vectors, VectorWriter } from "./writer.ts";

// 2/π = Σ parts[i] · 2^(-29 (i + 1))
const parts = [341782637, 423170132, 352195499, 488592205, 461485765, 90590992, 478285810];

// 2/π = high + low
const high = parts[0] * 2 ** -29;
const low = 1.4681663269012186e-9;

/** Beyond this, two parts of 2/π are not enough. */
const large = 2 ** 25;

const sine = [-0.16666655242443085, 0.008332187309861183, -0.00019517906184773892]; // (sin r - r) / r³ in r²
const cosine = [0.04166664555668831, -0.0013887309469282627, 2.4432327336398885e-05]; // (cos r - 1 + r²/2) / r⁴

/** The quarter turns in x, as i32 (right in its two low bits), and the angle that is left, in [-π/4, π/4]. */
function reduce(w: VectorWriter, x: Vectors): { turns: Vectors; r: Vectors } {
  const halves = w.promote(x).map((y) => {
    const whole = w.op("f64x2.mul", y, high);
    const n = w.op("f64x2.nearest", w.op("f64x2.mul", y, high + low));
    const f = w.madd(y, low, w.op("f64x2.sub", whole, n), "f64x2");
    return { n: w.op("i32x4.trunc_sat_f64x2_s_zero", n), r: w.op("f64x2.mul", f, Math.PI / 2) };
  });
  const turns = w.fresh(), r = w.fresh();
  w.assign(turns, w.joinLow(halves[0].n, halves[1].n));
  w.assign(r, w.demote(halves[0].r, halves[1].r));
  const isLarge = w.op("f32x4.gt", w.op("f32x4.abs", x), large);
  w.f.get(isLarge.reduce((a, b) => w.withWidth(1).or([a], [b])[0]));
  w.f.op("v128.any_true");
  w.f.if(() => {
    // Rarely done: its constants are written where they are used, and take no register from the loop.
    const own = new VectorWriter(w.f, w.context, w.width), exact = reduceLarge(own, x);
    w.assign(turns, w.select(isLarge, exact.turns, turns));
    w.assign(r, w.select(isLarge, exact.r, r));
  });
  return { turns, r };
}

/** The same for every finite x. */
function reduceLarge(w: VectorWriter, x: Vectors): { turns: Vectors; r: Vectors } {
  const halves = w.promote(x).map((y) => {
    let left = w.constant(0, "f64x2"), turns = left;
    const takeTurns = (value: Vectors): Vectors => {
      const n = w.op("f64x2.nearest", value);
      const wholes = w.op("f64x2.mul", w.op("f64x2.floor", w.op("f64x2.mul", n, 0.25)), 4);
      turns = w.op("f64x2.add", turns, w.op("f64x2.sub", n, wholes));
      return w.op("f64x2.sub", value, n);
    };
    parts.forEach((part, i) => {
      left = w.op("f64x2.add", left, takeTurns(w.op("f64x2.mul", y, part * 2 ** (-29 * (i + 1)))));
    });
    left = takeTurns(left);
    return { n: w.op("i32x4.trunc_sat_f64x2_s_zero", turns), r: w.op("f64x2.mul", left, Math.PI / 2) };
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
 * sin(x). Error below 2 ulp for every finite x. sin(-0) = -0; NaN for ±∞ and NaN.
 */
export function emitSin(w: VectorWriter, x: Vectors): Vectors {
  const { turns, r } = reduce(w, x);
  return w.select(w.op("f32x4.eq", x, 0), x, evaluate(w, r, turns));
}

/** cos(x). Error as {@link emitSin}. */
export function emitCos(w: VectorWriter, x: Vectors): Vectors {
  const { turns, r } = reduce(w, x);
  return evaluate(w, r, w.op("i32x4.add", turns, 1));
}
