/**
 * What a fitted tabular model is made of, as plain data: columns, features, networks, target.
 *
 * A row travels: texts → one number a column ("cells") → features → networks → probabilities or a value. Cells are
 * f64: the value itself, 0 or 1 for a boolean, days since 1970-01-01 (with fraction) for a date, the index in
 * `categories` for a category (−1 for one that was not seen in training), NaN for a missing one. Everything after the
 * cells is arithmetic that is written down in this file, so that any other runtime (ONNX) can repeat it.
 *
 * @module
 */

/**
 * What a column holds.
 *
 * @category Tables
 */
export type ColumnKind = "numeric" | "boolean" | "date" | "categorical";

/**
 * How a column's cells are written; what is missing is as in most files.
 *
 * @category Tables
 */
export interface CellForm {
  /** The sign before decimals. Default: a point. */
  readonly decimal?: "." | ",";
  /** The sign between thousands; " " is every kind of space, "'" every apostrophe. Default: none was seen. */
  readonly thousands?: "." | "," | " " | "'";
  /** Which of the first two numbers of a date like 03/04/2021 is the day. Default: the month comes first. */
  readonly dateOrder?: "day first" | "month first";
  /** The currencies, or "%", that its numbers were written with; "" where some had none beside others. Default: no number had any. */
  readonly units?: readonly string[];
}

/**
 * One input column, with what is known about it from the training rows.
 *
 * @category Tables
 */
export interface Column {
  /** Its name in the header. */
  readonly name: string;
  /** What it holds. */
  readonly kind: ColumnKind;
  /** Why it is no input (constant, all different texts …); null when it is one. Then no feature names it. */
  readonly ignored: string | null;
  /** Mean of the known cells; 0 for a categorical column. */
  readonly mean: number;
  /** Standard deviation of the known cells (dividing by their number); 0 for a categorical column. */
  readonly std: number;
  /** Least known cell. */
  readonly min: number;
  /** Largest known cell. */
  readonly max: number;
  /** Quantiles of the known cells at 0, 5, 10 … 100 % (21 numbers); empty for a categorical column. */
  readonly quantiles: readonly number[];
  /** Categories, most frequent first; for a boolean column the texts of false and true; else empty. */
  readonly categories: readonly string[];
  /** How many training rows hold each category; empty when there are none. */
  readonly counts: readonly number[];
  /** How many training rows lack it. */
  readonly missing: number;
  /** The cell that stands for a missing one: the median; −1 (no category) for a categorical column. */
  readonly fill: number;
  /**
   * What f32 numbers of this column are counted from, where its values are large beside their differences (times in
   * seconds since 1970, long numbers). Default 0.
   */
  readonly origin?: number;
  /** How the training data wrote its cells; absent where they are written as in most files. */
  readonly form?: CellForm;
}

/**
 * What every feature has: y = (raw − center) / scale.
 *
 * @category Tables
 */
export interface FeatureBase {
  /** Index in `Schema.columns`. */
  readonly column: number;
  /** Subtracted from the raw feature. */
  readonly center: number;
  /** Divides the difference; never 0. */
  readonly scale: number;
}

/**
 * One input of the networks, made from one cell v. A missing cell is first replaced by the column's `fill`, except for
 * the feature "missing"; then the column's `origin` is taken off, except for the feature "cycle".
 *
 * @category Tables
 */
export type Feature =
  /** raw = v. */
  | FeatureBase & { readonly kind: "value" }
  /** raw = sign(v) · ln(1 + |v| / unit): for skewed columns. */
  | FeatureBase & { readonly kind: "log"; readonly unit: number }
  /** raw = v limited to from … to, as a part of the way: min(1, max(0, (v − from) / (to − from))). */
  | FeatureBase & { readonly kind: "ramp"; readonly from: number; readonly to: number }
  /** raw = 1 when v is the category with this index, else 0. */
  | FeatureBase & { readonly kind: "category"; readonly index: number }
  /** raw = sin(2π · (v / period + phase)): the season of a date; a phase of 0.25 makes it the cosine. */
  | FeatureBase & { readonly kind: "cycle"; readonly period: number; readonly phase: number }
  /** raw = 1 when the cell is missing, else 0. */
  | FeatureBase & { readonly kind: "missing" };

/**
 * What is predicted.
 *
 * @category Tables
 */
export type Task = "classification" | "regression";

/**
 * The target column, with what is known about it from the training rows.
 *
 * @category Tables
 */
export interface Target {
  /** Its name in the header. */
  readonly name: string;
  /** What is predicted. */
  readonly task: Task;
  /** Names of the classes, sorted; empty for regression. */
  readonly classes: readonly string[];
  /** Training rows of each class; empty for regression. */
  readonly counts: readonly number[];
  /** Regression: mean; else 0. */
  readonly mean: number;
  /** Regression: standard deviation; else 0. */
  readonly std: number;
  /** Regression: least value; else 0. */
  readonly min: number;
  /** Regression: largest value; else 0. */
  readonly max: number;
  /** Regression: quantiles at 0, 5 … 100 % (21 numbers); else empty. */
  readonly quantiles: readonly number[];
  /** Regression: what f32 numbers of the target are counted from, as in {@link Column}. Default 0. */
  readonly origin?: number;
}

/**
 * How texts become the numbers that networks see.
 *
 * @category Tables
 */
export interface Schema {
  /** Input columns in the order of the file, without the target. */
  readonly columns: readonly Column[];
  /** Inputs of the networks, in order. */
  readonly features: readonly Feature[];
  /** The target. */
  readonly target: Target;
}

/**
 * y = activation(x · weightᵀ + bias).
 *
 * @category Tables
 */
export interface DenseLayer {
  /** Row-major [outputs, inputs]. */
  readonly weight: Float32Array;
  /** [outputs]. */
  readonly bias: Float32Array;
  /** Length of x. */
  readonly inputs: number;
  /** Length of y. */
  readonly outputs: number;
  /** Between layers relu; identity at the end. */
  readonly activation: "relu" | "identity";
}

/**
 * One member of the average. It sees the features at `inputs` (all of them when null), in that order, and ends in one
 * logit per class (also for two classes), or for regression in one standardised value.
 *
 * @category Tables
 */
export interface Network {
  /** Its share of the average; the shares of a model's networks sum to 1. */
  readonly share: number;
  /** Indices in `Schema.features`. */
  readonly inputs: readonly number[] | null;
  /** From features to outputs; one layer is a linear (logistic) model. */
  readonly layers: readonly DenseLayer[];
}

/**
 * A fitted model. Classification: probabilities = Σ share · softmax(logits). Regression:
 * value = target.mean + target.std · Σ share · output.
 *
 * @category Tables
 */
export interface FittedModel {
  /** How rows are read. */
  readonly schema: Schema;
  /** The members of the average. */
  readonly networks: readonly Network[];
  /**
   * Regression: |value − truth| of rows that the model which predicted them had not seen (from cross-validation),
   * sorted, thinned to at most 401 evenly spaced order statistics (first and last included); else empty.
   */
  readonly residuals: Float32Array;
}
