/**
 * The error function: an odd polynomial up to |x| = 475/512; beyond, 1 - exp(p(|x|)) with a polynomial p. Form and
 * coefficients after Norbert Juffa, who gave them to the public ("erff() with a maximum error below 1 ulp", 2018).
 *
 * @module
 */
import { emitExp } from "./exp.ts";
import type { Vectors, VectorWriter } from "./writer.ts";

// erf(x) / x - 1 in x²
const inner = [1.28379166e-1, -3.76125336e-1, 1.12819925e-1, -2.67681349e-2, 4.99119423e-3, -5.96761703e-4];

/** erf(x). Error below 2 ulp; erf(±∞) = ±1, erf(-0) = -0, NaN stays. */
export function emitErf(w: VectorWriter, x: Vectors): Vectors {
  const square = w.mul(x, x);
  const small = w.madd(w.polynomial(square, inner), x, x);
  // erf(3.92) rounds to 1.
  const t = w.atMost(w.op("f32x4.abs", x), 4);
  const s = w.mul(t, t);
  const upper = w.madd(t, -1.72853470e-5, 3.83197126e-4);
  const lower = w.madd(t, -3.88396438e-3, 2.42546219e-2);
  let p = w.madd(upper, s, lower);
  for (const c of [-1.06777877e-1, -6.34846687e-1, -1.28717512e-1]) p = w.madd(p, t, c);
  p = w.madd(p, t, w.op("f32x4.neg", t));
  const large = w.or(w.sub(1, emitExp(w, p, true)), w.signOf(x));
  return w.select(w.op("f32x4.gt", t, 475 / 512), large, small);
}
