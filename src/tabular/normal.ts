/**
 * The normal distribution, for intervals and percentiles.
 *
 * @module
 */

import { normalCoefficients } from "../core/random.ts";
import { erf } from "../expr/special.ts";

function ratio(r: number, [p, q]: readonly [readonly number[], readonly number[]]): number {
  let above = 0, below = 0;
  for (let i = p.length - 1; i >= 0; i--) {
    above = above * r + p[i];
    below = below * r + q[i];
  }
  return above / below;
}

/** The probability that a standard normal number is at most `x`. */
export function normalCdf(x: number): number {
  return (1 + erf(x / Math.SQRT2)) / 2;
}

/** The number that a standard normal one is at most with probability `p`, in [0, 1] (Wichura, AS 241, 1988). */
export function normalQuantile(p: number): number {
  if (p === 0) return -Infinity;
  if (p === 1) return Infinity;
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) return q * ratio(0.180625 - q * q, normalCoefficients.central);
  const r = Math.sqrt(-Math.log(q < 0 ? p : 1 - p));
  const value = r <= 5 ? ratio(r - 1.6, normalCoefficients.middle) : ratio(r - 5, normalCoefficients.tail);
  return q < 0 ? -value : value;
}
