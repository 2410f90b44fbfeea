/**
 * exp, expm1, and tanh, which is exp in disguise.
 *
 * x = n ln 2 + r with |r| ≤ ln 2 / 2; a polynomial of degree 6 gives exp(r), and 2^n is put together from exponent
 * bits. n is rounded by adding 1.5 · 2^23, which leaves it in the low bits of the sum, ready for shifting. 2^n is
 * applied as two factors, so that results below 2^-126 are rounded right and those beyond 2^128 become infinite.
 * Polynomials are minimax fits with coefficients rounded to f32 one after the other.
 *
 * @module
 */
import type { Vectors, VectorWriter } from "./writer.ts";

const log2e = Math.LOG2E;
// ln 2 in two parts; the upper one has 9 bits, so that its product with n is exact.
const ln2High = 0.693359375;
const ln2Low = Math.LN2 - ln2High;
const shifter = 1.5 * 2 ** 23;

const exponential = [
  1,
  1,
  0.4999999403953552,
  0.1666652113199234,
  0.04166829213500023,
  0.0083687212318182,
  0.001381874200887978,
];

// (exp(r) - 1 - r) / r²
const exponentialTail = [
  0.4999999701976776,
  0.1666654497385025,
  0.04166743904352188,
  0.00836645346134901,
  0.001387056545354426,
];

// (tanh(x) - x) / x³ in x², to 0.6
const hyperbolic = [
  -0.33333298563957214,
  0.13331936299800873,
  -0.05378471687436104,
  0.02079862542450428,
  -0.005897966679185629,
];

/** n and r of x = n ln 2 + r; `rounded` holds n in its low bits, `bias` added. */
function reduce(w: VectorWriter, x: Vectors, bias: number): { rounded: Vectors; n: Vectors; r: Vectors } {
  const rounded = w.madd(x, log2e, shifter + bias);
  const n = w.sub(rounded, shifter + bias);
  const r = w.madd(n, -ln2Low, w.madd(n, -ln2High, x));
  return { rounded, n, r };
}

/** y · 2^n by two factors; `rounded` is that of {@link reduce} with a bias of 254. */
function scale(w: VectorWriter, y: Vectors, rounded: Vectors): Vectors {
  const first = w.shift("i32x4.shr_u", rounded, 1);
  const second = w.op("i32x4.sub", rounded, first);
  return w.mul(w.mul(y, w.shift("i32x4.shl", first, 23)), w.shift("i32x4.shl", second, 23));
}

/**
 * exp(x). Error below 1 ulp with fused multiply-add, 1.3 ulp without, subnormal results included; exp(-∞) = 0,
 * exp(∞) = ∞, NaN stays. The common case, all lanes within ±87, has a path of its own with the same bits.
 * `negative` promises that no x is above 0.
 */
export function emitExp(w: VectorWriter, x: Vectors, negative: boolean = false): Vectors {
  const result = w.fresh();
  w.allSet(negative ? w.op("f32x4.ge", x, -87) : w.op("f32x4.le", w.op("f32x4.abs", x), 87));
  w.f.if(() => w.assign(result, emitBoundedExp(w, x)), () => {
    // Below -103.98 the result is 0. Those lanes compute exp(0): multiplying into the subnormal range is slow.
    const vanishing = w.op("f32x4.lt", x, -103.98);
    const { rounded, r } = reduce(w, w.atMost(w.andNot(x, vanishing), 89), 254);
    w.assign(result, w.andNot(scale(w, w.polynomial(r, exponential), rounded), vanishing));
  });
  return result;
}

/** exp(x) for x in [-87, 88.7] alone: what is left of {@link emitExp} when a caller knows the range. */
export function emitBoundedExp(w: VectorWriter, x: Vectors): Vectors {
  const { rounded, r } = reduce(w, x, 0);
  return w.op("i32x4.add", w.polynomial(r, exponential), w.shift("i32x4.shl", rounded, 23));
}

/** exp(x) - 1, right where x is small. Error below 2 ulp; expm1(-∞) = -1, expm1(∞) = ∞, expm1(-0) = -0, NaN stays. */
export function emitExpm1(w: VectorWriter, x: Vectors): Vectors {
  const bounded = w.atMost(w.atLeast(x, -18), 89);
  const { rounded, n, r } = reduce(w, bounded, 254);
  const q = w.madd(w.mul(r, r), w.polynomial(r, exponentialTail), r);
  // 2^n (q + (1 - 2^-n)); 2^-n stops mattering at n = 30, before its exponent runs out.
  const inverse = w.shift("i32x4.shl", w.sub(shifter + 127, w.atMost(n, 30)), 23);
  const y = scale(w, w.add(q, w.sub(1, inverse)), rounded);
  return w.or(y, w.signOf(x));
}

/**
 * tanh(x): an odd polynomial up to 0.6, beyond it 1 - 2 / (exp(2|x|) + 1). Error below 2 ulp; ±1 at infinity,
 * tanh(-0) = -0, NaN stays.
 */
export function emitTanh(w: VectorWriter, x: Vectors): Vectors {
  const size = w.op("f32x4.abs", x);
  const square = w.mul(x, x);
  const small = w.madd(w.mul(square, size), w.polynomial(square, hyperbolic), size);
  // tanh(9.02) rounds to 1.
  const { rounded, r } = reduce(w, w.atMost(w.add(size, size), 18.04), 127);
  const e = w.mul(w.polynomial(r, exponential), w.shift("i32x4.shl", rounded, 23));
  const large = w.sub(1, w.div(2, w.add(e, 1)));
  return w.or(w.select(w.op("f32x4.gt", size, 0.6), large, small), w.signOf(x));
}
