/**
 * How good a fit is, on rows that took no part in it: folds, baselines, intervals, importance.
 *
 * @module
 */
import { crossConformal, sortedResiduals, splitConformal, thinResiduals } from "./conformal.ts";
import type { FittedPart } from "./learner.ts";
import {
  accuracy,
  auc,
  bootstrapInterval,
  type ClassScores,
  confusionMatrix,
  expectedCalibrationError,
  logLoss,
  macroF1,
  mae,
  r2,
  rmse,
  takeClassRows,
  takeValueRows,
} from "./metrics/mod.ts";
import { permutationImportance } from "./importance.ts";
import { Predictor } from "./predictor.ts";
import { everyNth } from "./split.ts";
import type { TargetValues } from "./target.ts";

/**
 * Metrics by name: accuracy, logLoss, macroF1, auc, ece; or rmse, mae, r2.
 *
 * @category Tables
 */
export type Metrics = Readonly<Record<string, number>>;

/**
 * What a cross-validation (or a held-out part) showed.
 *
 * @category Tables
 */
export interface TabularEvaluation {
  /** How rows were held out, in words. */
  readonly split: string;
  /** How many folds; 1 when a part of the rows was held out once. */
  readonly folds: number;
  /** How many rows were held out, over all folds. */
  readonly rows: number;
  /** Mean over the folds. */
  readonly heldOut: Metrics;
  /** Standard deviation over the folds / √folds; with one fold from the bootstrap. */
  readonly standardError: Metrics;
  /** 95 % intervals by the bootstrap over held-out rows. */
  readonly interval: Readonly<Record<string, readonly [number, number]>>;
  /** The same folds, predicted by the shares of the classes or the mean of the training part. */
  readonly baseline: Metrics;
  /** The same folds, predicted by the linear (logistic) model alone; null when none was fitted. */
  readonly linear: Metrics | null;
  /** Standard error of {@link linear}. */
  readonly linearError: Metrics | null;
  /** Counts [truth][said] over all held-out rows; null for regression. */
  readonly confusion: readonly (readonly number[])[] | null;
  /** Regression: the half width that holds 90 % of held-out rows, and the share it held in rows it was not made from. */
  readonly conformal: { readonly level: number; readonly radius: number; readonly coverage: number } | null;
  /** Regression: sorted |error| of held-out rows, thinned; else empty. */
  readonly residuals: Float32Array;
  /** By column: how much accuracy, or R², falls when its cells are shuffled among held-out rows. */
  readonly importance: readonly { readonly column: string; readonly mean: number; readonly std: number }[];
}

/** At most so many rows of a fold are asked about importance. */
const mostImportanceRows = 1000;

/** Shuffles of one column in one fold. */
const importanceRepeats = 3;

/** Names and functions of the metrics of predictions [rows, outputs]. */
export function metricsOf(truths: Float64Array, predictions: Float64Array, classes: number): Metrics {
  if (classes === 0) {
    const scores = { targets: truths, predictions };
    return { rmse: rmse(scores), mae: mae(scores), r2: r2(scores) };
  }
  const scores: ClassScores = { labels: truths, probabilities: predictions, classes };
  return {
    accuracy: accuracy(scores),
    logLoss: logLoss(scores),
    macroF1: macroF1(scores),
    auc: auc(scores),
    ece: expectedCalibrationError(scores),
  };
}

function truthsOf(values: TargetValues, rows: Int32Array): Float64Array {
  return Float64Array.from(rows, (row) => values.values[row]);
}

/** What one predicts knowing only the targets of the training rows. */
function baselineOf({ target }: FittedPart, rows: number): Float64Array {
  if (target.task === "regression") return new Float64Array(rows).fill(target.mean);
  const total = target.counts.reduce((a, b) => a + b, 0), classes = target.classes.length;
  return Float64Array.from({ length: rows * classes }, (_, i) => target.counts[i % classes] / total);
}

function mean(values: readonly number[]): number {
  const known = values.filter((v) => !Number.isNaN(v));
  return known.reduce((a, b) => a + b, 0) / known.length;
}

function meanMetrics(folds: readonly Metrics[]): Metrics {
  return Object.fromEntries(
    Object.keys(folds[0]).map((name) => [name, mean(folds.map((fold) => fold[name]))]),
  );
}

function errorOfMean(folds: readonly Metrics[]): Metrics {
  return Object.fromEntries(
    Object.keys(folds[0]).map((name) => {
      const all = folds.map((fold) => fold[name]).filter((v) => !Number.isNaN(v)), m = mean(all);
      return [
        name,
        Math.sqrt(all.reduce((s, v) => s + (v - m) ** 2, 0) / Math.max(1, all.length - 1) / all.length),
      ];
    }),
  );
}

/** Evaluates fitted folds: `tests[i]` are the rows that `parts[i]` was not fitted on. */
export async function evaluateFolds(
  values: TargetValues,
  parts: readonly FittedPart[],
  tests: readonly Int32Array[],
  split: string,
  seed: number,
): Promise<TabularEvaluation> {
  const classes = values.classes.length;
  const truths = tests.map((rows) => truthsOf(values, rows));
  const own = parts.map((part, i) => metricsOf(truths[i], part.test, classes));
  const base = parts.map((part, i) => metricsOf(truths[i], baselineOf(part, tests[i].length), classes));
  const linear = parts.every((part) => part.linear !== null)
    ? parts.map((part, i) => metricsOf(truths[i], part.linear!, classes))
    : null;
  const pooled = Float64Array.from(truths.flatMap((t) => [...t]));
  const predictions = Float64Array.from(parts.flatMap((part) => [...part.test]));
  const bootstrap = intervals(pooled, predictions, classes, seed);
  const errors = classes ? new Float64Array(0) : pooled.map((truth, i) => truth - predictions[i]);
  const single = parts.length === 1;
  return {
    split,
    folds: parts.length,
    rows: pooled.length,
    heldOut: meanMetrics(own),
    standardError: single ? bootstrap.errors : errorOfMean(own),
    interval: bootstrap.intervals,
    baseline: meanMetrics(base),
    linear: linear && meanMetrics(linear),
    linearError: linear && (single ? null : errorOfMean(linear)),
    confusion: classes ? confusionMatrix({ labels: pooled, probabilities: predictions, classes }) : null,
    conformal: classes || errors.length < 20 ? null : conformalOf(errors, tests),
    residuals: classes ? new Float32Array(0) : thinResiduals(sortedResiduals(errors)),
    importance: await importanceOf(values, parts, tests, seed),
  };
}

function conformalOf(errors: Float64Array, tests: readonly Int32Array[]): TabularEvaluation["conformal"] {
  const half = errors.length >> 1;
  const { level, radius, coverage } = tests.length > 1
    ? crossConformal(errors, tests.flatMap((rows, fold) => Array.from(rows, () => fold)), 0.9)
    : splitConformal(errors.subarray(0, half), errors.subarray(half), 0.9);
  return { level, radius, coverage };
}

/** Intervals of all metrics over resampled held-out rows. */
function intervals(
  truths: Float64Array,
  predictions: Float64Array,
  classes: number,
  seed: number,
): { intervals: Record<string, readonly [number, number]>; errors: Record<string, number> } {
  const out: Record<string, readonly [number, number]> = {}, errors: Record<string, number> = {};
  // Sorting for AUC costs most; with many rows fewer resamples say as much.
  const resamples = Math.max(50, Math.min(400, Math.floor(400_000 / truths.length)));
  const names = classes ? ["accuracy", "logLoss", "macroF1", "auc"] : ["rmse", "mae", "r2"];
  const byName: Record<string, (rows: ArrayLike<number>) => number> = classes
    ? {
      accuracy: (rows) => accuracy(takeClassRows(scores, rows)),
      logLoss: (rows) => logLoss(takeClassRows(scores, rows)),
      macroF1: (rows) => macroF1(takeClassRows(scores, rows)),
      auc: (rows) => auc(takeClassRows(scores, rows)),
    }
    : {
      rmse: (rows) => rmse(takeValueRows(values, rows)),
      mae: (rows) => mae(takeValueRows(values, rows)),
      r2: (rows) => r2(takeValueRows(values, rows)),
    };
  const scores: ClassScores = { labels: truths, probabilities: predictions, classes };
  const values = { targets: truths, predictions };
  for (const name of names) {
    const { lower, upper, standardError } = bootstrapInterval(byName[name], truths.length, {
      resamples,
      seed,
    });
    out[name] = [lower, upper];
    errors[name] = standardError;
  }
  return { intervals: out, errors };
}

/** The fall of accuracy or R² in each column, a mean over the folds weighted by nothing: folds are of equal size. */
async function importanceOf(
  values: TargetValues,
  parts: readonly FittedPart[],
  tests: readonly Int32Array[],
  seed: number,
): Promise<TabularEvaluation["importance"]> {
  const classes = values.classes.length, { columns } = parts[0].normalizer;
  const found = new Map<string, number[]>(columns.map(({ name }) => [name, []]));
  for (const [i, part] of parts.entries()) {
    // Folds come class after class, so rows are picked evenly.
    const rows = everyNth(tests[i], mostImportanceRows), truths = truthsOf(values, rows);
    const predictor = new Predictor(part.normalizer, part.networks, part.target);
    try {
      const { columns: measured } = await permutationImportance(
        (cells) => predictor.predict(cells),
        part.normalizer.tableCells(rows),
        (predictions) => {
          const metrics = classes
            ? accuracy({ labels: truths, probabilities: predictions, classes })
            : r2({ targets: truths, predictions });
          return Number.isNaN(metrics) ? 0 : metrics;
        },
        {
          columns: columns.length,
          only: part.normalizer.columns.flatMap(({ ignored }, c) => ignored === null ? [c] : []),
          repeats: importanceRepeats,
          seed,
        },
      );
      for (const { column, mean: fall } of measured) found.get(columns[column].name)!.push(fall);
    } finally {
      predictor.dispose();
    }
  }
  return [...found].filter(([, falls]) => falls.length > 0).map(([column, falls]) => {
    const m = mean(falls), std = Math.sqrt(falls.reduce((s, v) => s + (v - m) ** 2, 0) / falls.length);
    return { column, mean: Number(m.toPrecision(3)), std: Number(std.toPrecision(3)) };
  }).sort((a, b) => b.mean - a.mean);
}
