/**
 * Metrics of a classification. Where a convention is open, scikit-learn's is taken, so that figures can be laid
 * side by side.
 *
 * @module
 */

import { demandNoMore } from "../../core/demand.ts";
import { checkClassScores, type ClassScores, topClass } from "./scores.ts";

/**
 * The share of rows whose most probable class is the true one, in [0, 1]; among equals the first class counts.
 *
 * @throws {OptionError} for what are no scores: a label or a probability out of its range.
 * @throws {ShapeError} for no rows, or lengths that do not fit.
 * @category Tables
 */
export function accuracy(scores: ClassScores): number {
  demandNoMore(arguments, 1, "accuracy");
  checkClassScores(scores, "accuracy");
  let right = 0;
  for (let row = 0; row < scores.labels.length; row++) {
    if (topClass(scores, row) === scores.labels[row]) right++;
  }
  return right / scores.labels.length;
}

/**
 * The mean of −ln p(true class), in nats; 0 is perfect, ln(classes) is what equal probabilities get.
 * Each row is divided by its sum first, and a probability below 2^-52 counts as 2^-52, so one sure mistake costs 36 nats and not infinity.
 *
 * @throws {OptionError} for what are no scores: a label or a probability out of its range.
 * @throws {ShapeError} for no rows, or lengths that do not fit.
 * @category Tables
 */
export function logLoss(scores: ClassScores): number {
  demandNoMore(arguments, 1, "logLoss");
  checkClassScores(scores, "logLoss");
  const { labels, probabilities, classes } = scores;
  let sum = 0;
  for (let row = 0; row < labels.length; row++) {
    let total = 0;
    for (let c = 0; c < classes; c++) total += probabilities[row * classes + c];
    const p = probabilities[row * classes + labels[row]] / total;
    sum -= Math.log(Math.max(Number.EPSILON, p));
  }
  return sum / labels.length;
}

/**
 * Counts of rows by true class (row) and most probable class (column). `[classes, classes]`
 *
 * @throws {OptionError} for what are no scores: a label or a probability out of its range.
 * @throws {ShapeError} for no rows, or lengths that do not fit.
 * @category Tables
 */
export function confusionMatrix(scores: ClassScores): number[][] {
  demandNoMore(arguments, 1, "confusionMatrix");
  checkClassScores(scores, "confusionMatrix");
  const { labels, classes } = scores;
  const counts = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  for (let row = 0; row < labels.length; row++) counts[labels[row]][topClass(scores, row)]++;
  return counts;
}

/**
 * How one class fares in {@link confusionMatrix}.
 *
 * @category Tables
 */
export interface ClassReport {
  /** Of the rows said to be of this class, the share that are; NaN when none was said to be. */
  readonly precision: number;
  /** Of the rows of this class, the share found; NaN when there is none. */
  readonly recall: number;
  /** The harmonic mean of both, 2·hits / (2·hits + misses + false alarms); NaN when the class occurs nowhere. */
  readonly f1: number;
  /** The number of rows of this class. */
  readonly support: number;
}

/**
 * Precision, recall and F1 of each class. `[classes]`
 *
 * @throws {OptionError} for what are no scores: a label or a probability out of its range.
 * @throws {ShapeError} for no rows, or lengths that do not fit.
 * @category Tables
 */
export function classReport(scores: ClassScores): ClassReport[] {
  demandNoMore(arguments, 1, "classReport");
  checkClassScores(scores, "classReport");
  return confusionMatrix(scores).map((counts, c, matrix) => {
    const hits = counts[c];
    const support = counts.reduce((sum, count) => sum + count, 0);
    const said = matrix.reduce((sum, row) => sum + row[c], 0);
    return { precision: hits / said, recall: hits / support, f1: 2 * hits / (said + support), support };
  });
}

/**
 * The mean over classes of F1 = 2·hits / (2·hits + misses + false alarms), in [0, 1]. A class that is neither true
 * of a row nor said of one is left out; one that is true but never said counts 0.
 *
 * @throws {OptionError} for what are no scores: a label or a probability out of its range.
 * @throws {ShapeError} for no rows, or lengths that do not fit.
 * @category Tables
 */
export function macroF1(scores: ClassScores): number {
  demandNoMore(arguments, 1, "macroF1");
  checkClassScores(scores, "macroF1");
  const present = classReport(scores).map(({ f1 }) => f1).filter((f1) => !Number.isNaN(f1));
  return present.reduce((sum, f1) => sum + f1, 0) / present.length;
}

/**
 * The mean squared error of the probabilities (Brier 1950). For two classes it is taken of the second one's
 * probability, in [0, 1]; for more it is the sum over classes, in [0, 2].
 *
 * @throws {OptionError} for what are no scores: a label or a probability out of its range.
 * @throws {ShapeError} for no rows, or lengths that do not fit.
 * @category Tables
 */
export function brier(scores: ClassScores): number {
  demandNoMore(arguments, 1, "brier");
  checkClassScores(scores, "brier");
  const { labels, probabilities, classes } = scores;
  let sum = 0;
  for (let row = 0; row < labels.length; row++) {
    for (let c = classes === 2 ? 1 : 0; c < classes; c++) {
      const error = probabilities[row * classes + c] - (labels[row] === c ? 1 : 0);
      sum += error * error;
    }
  }
  return sum / labels.length;
}
