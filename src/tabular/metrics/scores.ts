/**
 * What metrics are computed from: held-out rows, what is true of each, and what a model said of it.
 *
 * The checks are here, once, so that each metric reads like its definition. A sample of rows (a bootstrap's, a
 * fold's) is made with {@link takeClassRows} or {@link takeValueRows} and is again what every metric takes.
 *
 * @module
 */

import { demandNoMore, demandNumbers, demandRecord } from "../../core/demand.ts";
import { OptionError, ShapeError } from "../../core/errors.ts";
import { counted } from "../../core/show.ts";

/**
 * Rows of a classification, judged by class probabilities.
 *
 * @category Tables
 */
export interface ClassScores {
  /** The true class of each row, an index below `classes`. `[rows]` */
  readonly labels: ArrayLike<number>;
  /** The probability of each class for each row, row after row. `[rows, classes]` */
  readonly probabilities: ArrayLike<number>;
  /** How many classes the model knows; a class may be absent from these rows. At least 2. */
  readonly classes: number;
}

/**
 * Rows of a regression.
 *
 * @category Tables
 */
export interface ValueScores {
  /** The true values, in the target's own unit. `[rows]` */
  readonly targets: ArrayLike<number>;
  /** The predicted values, in the same unit. `[rows]` */
  readonly predictions: ArrayLike<number>;
}

/** Throws unless `scores` has at least one row, labels in range and as many finite probabilities as it must. */
export function checkClassScores(scores: ClassScores, metric: string): void {
  demandRecord(metric, scores, "what is given", "{ labels, probabilities, classes }");
  const { labels, probabilities, classes } = scores;
  demandNumbers(metric, labels, "labels");
  demandNumbers(metric, probabilities, "probabilities");
  if (!Number.isInteger(classes) || classes < 2) {
    throw new OptionError(`${metric} needs at least 2 classes, not ${classes}`);
  }
  if (labels.length === 0) throw new ShapeError(`${metric} of no rows: at least one is needed`);
  if (probabilities.length !== labels.length * classes) {
    throw new ShapeError(
      `${metric} was given ${counted(probabilities.length, "probability", "probabilities")} for ${
        counted(labels.length, "row")
      } of ${counted(classes, "class", "classes")}; ` +
        `${labels.length * classes} were expected`,
    );
  }
  for (let row = 0; row < labels.length; row++) {
    const label = labels[row];
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      throw new OptionError(
        `${metric}: the label of row ${row} is ${label}, not a class from 0 to ${classes - 1}`,
      );
    }
  }
  for (let i = 0; i < probabilities.length; i++) {
    // One comparison that NaN fails too; a softmax in f32 may pass 1 by a rounding.
    if (!(probabilities[i] >= 0 && probabilities[i] <= 1.000001)) {
      throw new OptionError(
        `${metric}: class ${i % classes} of row ${Math.floor(i / classes)} has probability ${
          probabilities[i]
        }`,
      );
    }
  }
}

/** Throws unless `scores` has at least one row and a finite target and prediction for each. */
export function checkValueScores(scores: ValueScores, metric: string): void {
  demandRecord(metric, scores, "what is given", "{ targets, predictions }");
  const { targets, predictions } = scores;
  demandNumbers(metric, targets, "targets");
  demandNumbers(metric, predictions, "predictions");
  if (targets.length === 0) throw new ShapeError(`${metric} of no rows: at least one is needed`);
  if (predictions.length !== targets.length) {
    throw new ShapeError(
      `${metric} was given ${counted(targets.length, "target")} and ${
        counted(predictions.length, "prediction")
      }`,
    );
  }
  for (let row = 0; row < targets.length; row++) {
    if (!Number.isFinite(targets[row])) {
      throw new OptionError(`${metric}: the target of row ${row} is ${targets[row]}`);
    }
    if (!Number.isFinite(predictions[row])) {
      throw new OptionError(`${metric}: the prediction of row ${row} is ${predictions[row]}`);
    }
  }
}

/** The most probable class of `row`; among equals the first, as NumPy's `argmax`. */
export function topClass(scores: ClassScores, row: number): number {
  const { probabilities, classes } = scores;
  const start = row * classes;
  let best = 0;
  for (let c = 1; c < classes; c++) if (probabilities[start + c] > probabilities[start + best]) best = c;
  return best;
}

/**
 * The scores of the given rows only; a row may come more than once.
 *
 * @throws {OptionError} for what are no scores: a label or a probability out of its range.
 * @throws {ShapeError} for no rows, or lengths that do not fit.
 * @category Tables
 */
export function takeClassRows(scores: ClassScores, rows: ArrayLike<number>): ClassScores {
  demandNoMore(arguments, 2, "takeClassRows");
  checkClassScores(scores, "takeClassRows");
  demandNumbers("takeClassRows", rows, "rows");
  const { classes } = scores;
  const labels = new Int32Array(rows.length), probabilities = new Float64Array(rows.length * classes);
  for (let i = 0; i < rows.length; i++) {
    const from = rows[i] * classes, to = i * classes;
    labels[i] = scores.labels[rows[i]];
    for (let c = 0; c < classes; c++) probabilities[to + c] = scores.probabilities[from + c];
  }
  return { labels, probabilities, classes };
}

/**
 * The scores of the given rows only; a row may come more than once.
 *
 * @throws {OptionError} for what are no scores, or a number that is not finite.
 * @throws {ShapeError} for no rows, or lengths that differ.
 * @category Tables
 */
export function takeValueRows(scores: ValueScores, rows: ArrayLike<number>): ValueScores {
  demandNoMore(arguments, 2, "takeValueRows");
  checkValueScores(scores, "takeValueRows");
  demandNumbers("takeValueRows", rows, "rows");
  const targets = new Float64Array(rows.length), predictions = new Float64Array(rows.length);
  for (let i = 0; i < rows.length; i++) {
    targets[i] = scores.targets[rows[i]];
    predictions[i] = scores.predictions[rows[i]];
  }
  return { targets, predictions };
}
