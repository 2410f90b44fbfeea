/**
 * Whether "80 % sure" is right 80 % of the time: rows are put into bins by the probability of the class that was
 * said, and in each bin that probability is compared with the share of rows that were right.
 *
 * @module
 */

import { demandNoMore } from "../../core/demand.ts";
import { OptionError } from "../../core/errors.ts";
import { show } from "../../core/show.ts";
import { checkClassScores, type ClassScores, topClass } from "./scores.ts";

/**
 * One bin of a reliability diagram: the rows with `lower` < confidence <= `upper` (the first takes 0 too).
 *
 * @category Tables
 */
export interface ReliabilityBin {
  /** The lower edge, exclusive. */
  readonly lower: number;
  /** The upper edge, inclusive. */
  readonly upper: number;
  /** The number of rows in the bin. */
  readonly count: number;
  /** The mean probability of the class that was said; NaN for an empty bin. */
  readonly confidence: number;
  /** The share of rows that were right; NaN for an empty bin. */
  readonly accuracy: number;
}

function checkBins(what: string, scores: ClassScores, bins: number): void {
  checkClassScores(scores, what);
  if (Number.isInteger(bins) && bins >= 1) return;
  throw new OptionError(`${what}: bins is ${show(bins)}, expected a whole number from 1`);
}

/**
 * Bins of equal width, empty ones included. `bins` defaults to 15, as in Guo et al. 2017.
 *
 * @throws {OptionError} for what are no scores: a label or a probability out of its range, or bins below 1.
 * @throws {ShapeError} for no rows, or lengths that do not fit.
 * @category Tables
 */
export function reliability(scores: ClassScores, bins = 15): ReliabilityBin[] {
  demandNoMore(arguments, 2, "reliability");
  checkBins("reliability", scores, bins);
  const counts = new Float64Array(bins), sums = new Float64Array(bins), rights = new Float64Array(bins);
  for (let row = 0; row < scores.labels.length; row++) {
    const said = topClass(scores, row);
    const confidence = scores.probabilities[row * scores.classes + said];
    const bin = Math.min(bins - 1, Math.max(0, Math.ceil(confidence * bins) - 1));
    counts[bin]++;
    sums[bin] += confidence;
    if (said === scores.labels[row]) rights[bin]++;
  }
  return Array.from({ length: bins }, (_, bin) => ({
    lower: bin / bins,
    upper: (bin + 1) / bins,
    count: counts[bin],
    confidence: sums[bin] / counts[bin],
    accuracy: rights[bin] / counts[bin],
  }));
}

/**
 * Expected calibration error: the mean over rows of |accuracy − confidence| of the row's bin, in [0, 1] (Naeini et
 * al. 2015; Guo et al. 2017, "On calibration of modern neural networks"). With few rows it is biased upwards.
 *
 * @throws {OptionError} for what are no scores: a label or a probability out of its range, or bins below 1.
 * @throws {ShapeError} for no rows, or lengths that do not fit.
 * @category Tables
 */
export function expectedCalibrationError(scores: ClassScores, bins = 15): number {
  demandNoMore(arguments, 2, "expectedCalibrationError");
  checkBins("expectedCalibrationError", scores, bins);
  let sum = 0;
  for (const { count, confidence, accuracy } of reliability(scores, bins)) {
    if (count > 0) sum += count * Math.abs(accuracy - confidence);
  }
  return sum / scores.labels.length;
}
