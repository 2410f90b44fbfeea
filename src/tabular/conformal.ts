/**
 * Prediction intervals that keep their promise without assuming how errors are distributed: split conformal
 * prediction (Papadopoulos et al. 2002; Lei et al. 2018, "Distribution-free predictive inference for regression").
 *
 * The half width is an order statistic of |value − truth| of rows that the model had not seen. If new rows come from
 * where those came from, a share of at least `level` of them falls inside: rank ⌈(n + 1)·level⌉ of n residuals. Residuals
 * from every fold of a cross-validation are pooled (cross-conformal, Vovk 2015), which holds closely rather than
 * exactly; so coverage is also measured, each fold against the other folds' residuals.
 *
 * @module
 */

import { demandNoMore, demandNumbers } from "../core/demand.ts";
import { OptionError, ShapeError } from "../core/errors.ts";
import { counted, show } from "../core/show.ts";

function checkLevel(what: string, level: number): void {
  if (!(level > 0 && level < 1)) {
    throw new OptionError(`${what}: the level of an interval is between 0 and 1, not ${show(level)}`);
  }
}

/** The rank, from 1, of the residual that is the half width; above `count` there are too few for this level. */
function rankOf(count: number, level: number): number {
  // 100·0.55 comes out as 55.00000000000001, which must not become rank 56.
  return Math.ceil((count + 1) * level - 1e-9);
}

/**
 * The half width of the interval at `level`, in the target's unit: a share of at least `level` of new rows lies
 * within it. Infinite when there are fewer than level / (1 − level) residuals (19 for 0.95), which cannot promise that.
 *
 * @param sorted |value − truth| of rows not seen in training, ascending; evenly thinned ones do as well
 * @throws {OptionError} for what are no numbers, or not those it takes.
 * @category Tables
 */
export function conformalRadius(sorted: ArrayLike<number>, level: number): number {
  demandNoMore(arguments, 2, "conformalRadius");
  checkLevel("conformalRadius", level);
  demandNumbers("conformalRadius", sorted, "sorted");
  const rank = rankOf(sorted.length, level);
  return rank > sorted.length ? Infinity : sorted[rank - 1];
}

/**
 * Ascending absolute values of `errors`, each finite.
 *
 * @throws {OptionError} for what are no numbers, or not those it takes.
 * @category Tables
 */
export function sortedResiduals(errors: ArrayLike<number>): Float64Array<ArrayBuffer> {
  demandNoMore(arguments, 1, "sortedResiduals");
  demandNumbers("sortedResiduals", errors, "errors");
  const residuals = Float64Array.from(errors, Math.abs);
  const bad = residuals.findIndex((residual) => !Number.isFinite(residual));
  if (bad >= 0) throw new OptionError(`sortedResiduals: the residual of row ${bad} is ${show(errors[bad])}`);
  return residuals.sort();
}

/**
 * At most `limit` evenly spaced order statistics of ascending residuals, first and last included: what a model file
 * keeps. Each position is rounded up, so that a half width read from them errs to the wide side.
 *
 * @throws {OptionError} for what are no numbers, or not those it takes.
 * @category Tables
 */
export function thinResiduals(sorted: ArrayLike<number>, limit = 401): Float32Array<ArrayBuffer> {
  demandNoMore(arguments, 2, "thinResiduals");
  demandNumbers("thinResiduals", sorted, "sorted");
  if (!Number.isInteger(limit) || limit < 2) {
    throw new OptionError(`thinResiduals: at least 2 are kept, not ${show(limit)}`);
  }
  if (sorted.length <= limit) return Float32Array.from(sorted);
  return Float32Array.from(
    { length: limit },
    (_, i) => sorted[Math.ceil(i * (sorted.length - 1) / (limit - 1))],
  );
}

/**
 * The share of rows whose target lies in its interval, ends included, in [0, 1].
 *
 * @throws {OptionError} for what are no numbers, or not those it takes.
 * @throws {ShapeError} for no rows, and lists of different lengths.
 * @category Tables
 */
export function coverage(
  targets: ArrayLike<number>,
  lower: ArrayLike<number>,
  upper: ArrayLike<number>,
): number {
  demandNoMore(arguments, 3, "coverage");
  demandNumbers("coverage", targets, "targets");
  demandNumbers("coverage", lower, "lower");
  demandNumbers("coverage", upper, "upper");
  if (targets.length === 0) throw new ShapeError("coverage of no rows: at least one is needed");
  if (lower.length !== targets.length || upper.length !== targets.length) {
    throw new ShapeError(
      `coverage was given ${
        counted(targets.length, "target")
      }, ${lower.length} lower and ${upper.length} upper ends`,
    );
  }
  let inside = 0;
  for (let row = 0; row < targets.length; row++) {
    if (targets[row] >= lower[row] && targets[row] <= upper[row]) inside++;
  }
  return inside / targets.length;
}

/**
 * A half width, and how it did on rows that it was not made from.
 *
 * @category Tables
 */
export interface ConformalInterval {
  /** The share of rows it is meant to hold. */
  readonly level: number;
  /** The half width: an interval is value ± radius, in the target's unit; infinite when there are too few rows. */
  readonly radius: number;
  /** The share of held-out rows that intervals made without them did hold. */
  readonly coverage: number;
  /** The number of residuals the half width was made from. */
  readonly count: number;
}

/**
 * Split conformal: the half width from `calibration` errors, its coverage measured on `test` errors of
 *   other rows.
 *
 * @throws {OptionError} for what are no numbers, or not those it takes.
 * @throws {ShapeError} for no rows, and lists of different lengths.
 * @category Tables
 */
export function splitConformal(
  calibration: ArrayLike<number>,
  test: ArrayLike<number>,
  level = 0.9,
): ConformalInterval {
  demandNoMore(arguments, 3, "splitConformal");
  demandNumbers("splitConformal", calibration, "calibration");
  demandNumbers("splitConformal", test, "test");
  if (test.length === 0) throw new ShapeError("coverage of no rows: at least one is needed");
  const radius = conformalRadius(sortedResiduals(calibration), level);
  let inside = 0;
  for (let row = 0; row < test.length; row++) if (Math.abs(test[row]) <= radius) inside++;
  return { level, radius, coverage: inside / test.length, count: calibration.length };
}

/**
 * Cross-conformal: the half width from the out-of-fold errors of all rows; its coverage is that of each fold's rows in
 * the intervals that the other folds' errors give, over all folds.
 *
 * @param errors value − truth of each row, predicted by the model that had not seen its fold. `[rows]`
 * @param folds the fold of each row; at least two differ. `[rows]`
 * @throws {OptionError} for what are no numbers, or not those it takes.
 * @throws {ShapeError} for lists of different lengths.
 * @category Tables
 */
export function crossConformal(
  errors: ArrayLike<number>,
  folds: ArrayLike<number>,
  level = 0.9,
): ConformalInterval {
  demandNoMore(arguments, 3, "crossConformal");
  checkLevel("crossConformal", level);
  demandNumbers("crossConformal", errors, "errors");
  demandNumbers("crossConformal", folds, "folds");
  if (folds.length !== errors.length) {
    throw new ShapeError(
      `cross-conformal was given ${counted(errors.length, "error")} and ${counted(folds.length, "fold")}`,
    );
  }
  const names = [...new Set(Array.from(folds))];
  if (names.length < 2) {
    throw new ShapeError(`cross-conformal needs rows of at least 2 folds, not of ${names.length}`);
  }
  const all = Array.from(errors);
  let inside = 0;
  for (const name of names) {
    const radius = conformalRadius(sortedResiduals(all.filter((_, row) => folds[row] !== name)), level);
    for (let row = 0; row < all.length; row++) {
      if (folds[row] === name && Math.abs(all[row]) <= radius) inside++;
    }
  }
  return {
    level,
    radius: conformalRadius(sortedResiduals(all), level),
    coverage: inside / all.length,
    count: all.length,
  };
}
