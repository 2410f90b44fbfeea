/**
 * Metrics of a regression, in the target's own unit.
 *
 * @module
 */

import { demandNoMore } from "../../core/demand.ts";
import { checkValueScores, type ValueScores } from "./scores.ts";

function sumOfSquares(scores: ValueScores): number {
  let sum = 0;
  for (let row = 0; row < scores.targets.length; row++) {
    const error = scores.predictions[row] - scores.targets[row];
    sum += error * error;
  }
  return sum;
}

/**
 * The root of the mean squared error, in the target's unit.
 *
 * @throws {OptionError} for what are no scores, or a number that is not finite.
 * @throws {ShapeError} for no rows, or lengths that differ.
 * @category Tables
 */
export function rmse(scores: ValueScores): number {
  demandNoMore(arguments, 1, "rmse");
  checkValueScores(scores, "rmse");
  return Math.sqrt(sumOfSquares(scores) / scores.targets.length);
}

/**
 * The mean absolute error, in the target's unit.
 *
 * @throws {OptionError} for what are no scores, or a number that is not finite.
 * @throws {ShapeError} for no rows, or lengths that differ.
 * @category Tables
 */
export function mae(scores: ValueScores): number {
  demandNoMore(arguments, 1, "mae");
  checkValueScores(scores, "mae");
  let sum = 0;
  for (let row = 0; row < scores.targets.length; row++) {
    sum += Math.abs(scores.predictions[row] - scores.targets[row]);
  }
  return sum / scores.targets.length;
}

/**
 * The share of the targets' variance that is explained: 1 − Σ(error²) / Σ((target − mean)²), where the mean is that
 * of these rows; at most 1, and 0 for predicting that mean. Of equal targets it is 1 when every prediction is exact,
 * else 0; of a single row it is NaN.
 *
 * @throws {OptionError} for what are no scores, or a number that is not finite.
 * @throws {ShapeError} for no rows, or lengths that differ.
 * @category Tables
 */
export function r2(scores: ValueScores): number {
  demandNoMore(arguments, 1, "r2");
  checkValueScores(scores, "r2");
  const { targets } = scores;
  if (targets.length < 2) return NaN;
  let mean = 0, total = 0;
  for (let row = 0; row < targets.length; row++) mean += (targets[row] - mean) / (row + 1);
  for (let row = 0; row < targets.length; row++) total += (targets[row] - mean) ** 2;
  const residual = sumOfSquares(scores);
  if (total === 0) return residual === 0 ? 1 : 0;
  return 1 - residual / total;
}
