/**
 * Quantiles: cutting sorted values, and finding where a value stands among stored cuts.
 *
 * A model file keeps the quantiles of its columns and of its target at even steps (the first is the minimum, the
 * last the maximum), so that a page can say "third quartile" and mean it, which minimum and maximum alone cannot.
 *
 * @module
 */

import { OptionError, ShapeError } from "../core/errors.ts";

/** The value below which a share `p` of `sorted` lies; between two values linearly (NumPy's default, type 7). */
export function quantile(sorted: ArrayLike<number>, p: number): number {
  if (sorted.length === 0) throw new ShapeError("a quantile of no values");
  if (!(p >= 0 && p <= 1)) throw new OptionError(`a quantile is taken at 0 to 1, not at ${p}`);
  const at = p * (sorted.length - 1), left = Math.floor(at), share = at - left;
  if (share === 0) return sorted[left];
  return sorted[left] + (sorted[left + 1] - sorted[left]) * share;
}

/** Quantiles at 0, 1/steps, … 1 of values in any order, NaN left out. `[steps + 1]` */
export function evenQuantiles(values: ArrayLike<number>, steps: number): Float64Array<ArrayBuffer> {
  if (!Number.isInteger(steps) || steps < 1) {
    throw new OptionError(`quantiles need at least 1 step, not ${steps}`);
  }
  const sorted = Float64Array.from(values).filter((value) => !Number.isNaN(value)).sort();
  return Float64Array.from({ length: steps + 1 }, (_, step) => quantile(sorted, step / steps));
}

/**
 * The share of values at or below `value`, in [0, 1], read from even quantiles, between two of them linearly. A
 * value that several quantiles share stands in the middle of them.
 */
export function shareBelow(quantiles: ArrayLike<number>, value: number): number {
  const steps = quantiles.length - 1;
  if (steps < 1) throw new ShapeError(`a share needs at least 2 quantiles, not ${quantiles.length}`);
  if (Number.isNaN(value)) return NaN;
  if (value < quantiles[0]) return 0;
  if (value > quantiles[steps]) return 1;
  let first = 0;
  while (quantiles[first] < value) first++;
  let last = first;
  while (last < steps && quantiles[last + 1] === value) last++;
  if (quantiles[first] === value) return (first + last) / 2 / steps;
  const low = quantiles[first - 1], high = quantiles[first];
  return (first - 1 + (value - low) / (high - low)) / steps;
}

/**
 * Which quarter of the values `value` falls into: 1 up to the lower quartile, 2 up to the median, 3 up to the
 * upper quartile, 4 beyond. The number of steps of `quantiles` is a multiple of four.
 */
export function quartile(quantiles: ArrayLike<number>, value: number): 1 | 2 | 3 | 4 {
  const steps = quantiles.length - 1;
  if (steps < 4 || steps % 4 !== 0) {
    throw new ShapeError(`quartiles need 4k + 1 even quantiles (5, 9, 101 …), not ${quantiles.length}`);
  }
  if (Number.isNaN(value)) throw new OptionError("NaN is in no quartile");
  if (value <= quantiles[steps / 4]) return 1;
  if (value <= quantiles[steps / 2]) return 2;
  return value <= quantiles[steps / 4 * 3] ? 3 : 4;
}
