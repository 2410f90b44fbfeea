/**
 * A tabular model: fitted from a table, asked row by row, taken apart, kept.
 *
 * @module
 */
import { demand, demandNoMore, demandRecord } from "../core/demand.ts";
import { FormatError, OptionError } from "../core/errors.ts";
import { seed as aSeed, whole } from "../core/kinds.ts";
import { byDefault, checkOptions, type OptionTable } from "../core/options.ts";
import { Generator } from "../core/random.ts";
import { counted, nounOf } from "../core/show.ts";
import { SafetensorsFile, type TensorToSave } from "../files/mod.ts";
import { conformalRadius } from "./conformal.ts";
import { type Contributions, contributions } from "./contributions.ts";
import { evaluateFolds, type Metrics, metricsOf, type TabularEvaluation } from "./evaluate.ts";
import type { CsvShape, Expected } from "./csv/table_builder.ts";
import { modelFromFile, type ModelInfo, modelToFile } from "./file/mod.ts";
import { idleTabularOptions, tabularOptions } from "./fit_options.ts";
import { fitParts, type LearnerOptions } from "./learner.ts";
import { Normalizer, type Row } from "./normalizer.ts";
import { type OnnxOptions, onnxOptions, toOnnx } from "./onnx.ts";
import { Predictor } from "./predictor.ts";
import { makeFolds, otherParts } from "./split.ts";
import { Table } from "./table.ts";
import { readTarget, type TargetOptions, type TargetValues } from "./target.ts";
import type { FittedModel, Schema } from "./types.ts";

/**
 * Options of `TabularModel.fit`.
 *
 * @category Tables
 */
export interface TabularOptions extends TargetOptions, LearnerOptions {
  /**
   * Folds of the cross-validation that says how good the model is; 1 holds a fifth of the rows out once, 0 leaves the
   * question open. Default 5, and 1 for more than 100,000 rows.
   */
  folds?: number;
  /** Also measure the model on all rows, training rows included. Default false. */
  reportFit?: boolean;
  /** Kept in the file: the version of the library. */
  version?: string;
}

/**
 * What a model keeps of its evaluation; the residuals are in `FittedModel`.
 *
 * @category Tables
 */
export type StoredEvaluation = Omit<TabularEvaluation, "residuals">;

/**
 * What a model says of a row.
 *
 * @category Tables
 */
export interface Prediction {
  /** The most probable class; null for regression. */
  readonly class: string | null;
  /** The probability of each class; null for regression. */
  readonly probabilities: Readonly<Record<string, number>> | null;
  /** The value; null for classification. */
  readonly value: number | null;
  /** Regression: an interval that holds the truth in `level` of rows like those held out; null when not known. */
  readonly interval: { readonly level: number; readonly lower: number; readonly upper: number } | null;
}

/**
 * Each column's part in one prediction; see {@link TabularModelBase.explain}.
 *
 * @category Tables
 */
export interface Explanation {
  /** The outputs: class names, or the target's name. */
  readonly outputs: readonly string[];
  /** The mean prediction of usual rows. */
  readonly base: readonly number[];
  /** The prediction of this row. */
  readonly prediction: readonly number[];
  /** By column, what it adds to each output. They sum, with the base, to the prediction. */
  readonly columns: readonly { readonly column: string; readonly contribution: readonly number[] }[];
}

/** Rows in which a fifth is held out once are at least this many. */
const manyRows = 100_000;

/** Fewer rows say nothing. */
const fewestRows = 8;

/** Usual rows that an explanation compares with. */
const backgroundRows = 40;

/**
 * How a prediction is taken apart.
 *
 * @category Tables
 */
export interface ExplainOptions {
  /** Of the usual rows, and of the orders. Default 0. */
  readonly seed?: number;
  /** Where columns are too many for every subset of them: so many orders of them are tried. Default 32. */
  readonly orders?: number;
}

const explainOptions: OptionTable<ExplainOptions> = {
  seed: byDefault(0, aSeed),
  orders: byDefault(32, whole(1, 10_000)),
};

/**
 * The model without its files; `TabularModel` adds them.
 *
 * @category Tables
 */
export class TabularModelBase {
  /** The numbers it consists of. */
  readonly fitted: FittedModel;
  /** Where it comes from and how good it is. */
  readonly info: ModelInfo;
  /** From rows to network inputs. */
  readonly normalizer: Normalizer;
  readonly #predictor: Predictor;

  /**
   * From what a fit or a file gives.
   * @throws {OptionError} for anything else.
   * @throws {ShapeError} for networks whose sizes are none.
   */
  constructor(fitted: FittedModel, info: ModelInfo) {
    demandNoMore(arguments, 2, "TabularModelBase");
    const isFitted = Array.isArray(fitted?.networks) && typeof fitted.schema === "object" &&
      fitted.schema !== null;
    demand(
      "TabularModel",
      "what is given",
      fitted,
      isFitted,
      "what a fit gives; call TabularModel.fit or .load",
    );
    demandRecord("TabularModel", info, "info", "where the model comes from");
    this.fitted = fitted;
    this.info = info;
    this.normalizer = new Normalizer(fitted.schema.columns, fitted.schema.features);
    this.#predictor = new Predictor(this.normalizer, fitted.networks, fitted.schema.target);
  }

  /** Columns, features and target. */
  get schema(): Schema {
    return this.fitted.schema;
  }

  /** How it did on rows it was not fitted on; null when that was not asked for. */
  get evaluation(): StoredEvaluation | null {
    return this.info.evaluation as StoredEvaluation | null;
  }

  /**
   * What it says of one row: cells by column name, or in the order of the columns. Columns left out are missing.
   * @throws {OptionError} for columns that it does not know, and cells that are not of their kind or too far from those of training.
   * @throws {FormatError} for a model whose weights are too large to predict with.
   */
  async predict(row: Row): Promise<Prediction> {
    demandNoMore(arguments, 1, "predict");
    return (await this.predictMany([row]))[0];
  }

  /**
   * What it says of rows.
   * @throws {OptionError} for columns that it does not know, and cells that are not of their kind or too far from those of training.
   * @throws {FormatError} for a model whose weights are too large to predict with.
   */
  async predictMany(rows: readonly Row[]): Promise<Prediction[]> {
    demandNoMore(arguments, 1, "predictMany");
    demand("predictMany", "rows", rows, Array.isArray(rows), "a list of rows");
    const width = this.normalizer.columns.length, cells = new Float64Array(rows.length * width);
    rows.forEach((row, i) => cells.set(this.normalizer.cells(row), i * width));
    const outputs = await this.predictCells(cells), { classes } = this.schema.target;
    const n = Math.max(1, classes.length);
    return rows.map((_, i) => this.#prediction(outputs.subarray(i * n, (i + 1) * n)));
  }

  /**
   * What it says of the rows of a table, whose columns are found by name. Columns that the table lacks are missing, the
   * target is not looked at. `TabularModel.readCsv` reads a file as the one that the model was fitted on.
   *
   * @throws {FormatError} when the table has none of the columns, or a cell that does not fit one.
   * @throws {OptionError} for what is no table, and cells too far from those of training.
   */
  async predictTable(table: Table): Promise<Prediction[]> {
    demandNoMore(arguments, 1, "predictTable");
    demand("predictTable", "the table", table, Array.isArray(table?.columns), "what readCsv reads");
    const outputs = await this.predictCells(this.normalizer.cellsOf(table));
    const n = Math.max(1, this.schema.target.classes.length);
    return Array.from(
      { length: table.rows },
      (_, i) => this.#prediction(outputs.subarray(i * n, (i + 1) * n)),
    );
  }

  /** What a file to predict may hold, for reading it. */
  get expected(): Expected {
    const { columns, target } = this.schema,
      names = new Set([...columns.map(({ name }) => name), target.name]);
    return { columns, target: target.name, csv: this.info.data.csv ?? null, names };
  }

  /**
   * Probabilities [rows, classes] or values [rows] for rows of cells [rows, columns]; see `Normalizer.cells`.
   * @throws {OptionError} for what is no Float64Array, and cells too far from those of training.
   * @throws {FormatError} for a model whose weights are too large to predict with.
   */
  predictCells(cells: Float64Array): Promise<Float64Array> {
    demandNoMore(arguments, 1, "predictCells");
    demand("predictCells", "cells", cells, cells instanceof Float64Array, "a Float64Array");
    return this.#predictor.predict(cells);
  }

  #prediction(outputs: Float64Array): Prediction {
    const { task, classes } = this.schema.target;
    if (task === "regression") {
      const value = outputs[0], level = 0.9, { residuals } = this.fitted;
      const radius = residuals.length ? conformalRadius(residuals, level) : Infinity;
      const interval = Number.isFinite(radius)
        ? { level, lower: value - radius, upper: value + radius }
        : null;
      return { class: null, probabilities: null, value, interval };
    }
    let best = 0;
    outputs.forEach((p, c) => best = p > outputs[best] ? c : best);
    const probabilities = Object.fromEntries(classes.map((name, c) => [name, outputs[c]]));
    return { class: classes[best], probabilities, value: null, interval: null };
  }

  /**
   * Takes the prediction of a row apart: what each column adds, against usual rows (Shapley values). Usual rows are
   * drawn column by column from the quantiles and counts that the model keeps, so no data are needed.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {FormatError} for a model whose weights are too large to predict with.
   */
  async explain(row: Row, options: ExplainOptions = {}): Promise<Explanation> {
    demandNoMore(arguments, 2, "explain");
    const { seed = 0, orders } = checkOptions("explain", options, explainOptions),
      { columns, target } = this.schema;
    const result: Contributions = await contributions(
      (cells) => this.predictCells(cells),
      this.normalizer.cells(row),
      this.#usualRows(seed),
      {
        columns: columns.length,
        only: columns.flatMap(({ ignored }, c) => ignored === null ? [c] : []),
        seed,
        ...(orders === undefined ? {} : { orders }),
      },
    );
    return {
      outputs: target.task === "regression" ? [target.name] : target.classes,
      base: Array.from(result.base),
      prediction: Array.from(result.prediction),
      columns: columns.flatMap(({ name, ignored }, c) =>
        ignored === null ? [{ column: name, contribution: Array.from(result.contributions[c]) }] : []
      ),
    };
  }

  #usualRows(seed: number): Float64Array {
    const { columns } = this.schema, random = new Generator(seed);
    const cells = new Float64Array(backgroundRows * columns.length);
    for (let i = 0; i < cells.length; i++) {
      const { quantiles, counts } = columns[i % columns.length];
      if (quantiles.length) {
        const at = random.uniform() * 20, left = Math.floor(at);
        cells[i] = columns[i % columns.length].kind === "boolean"
          ? quantiles[Math.round(at)]
          : quantiles[left] + (quantiles[left + 1] - quantiles[left]) * (at - left);
        continue;
      }
      let left = random.uniform() * counts.reduce((a, b) => a + b, 0);
      cells[i] = counts.findIndex((count) => (left -= count) < 0);
    }
    return cells;
  }

  /**
   * The bytes of an ONNX file that predicts the same.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  toOnnx(options: OnnxOptions = {}): Uint8Array<ArrayBuffer> {
    demandNoMore(arguments, 1, "toOnnx");
    const given = checkOptions("toOnnx", options, onnxOptions);
    return toOnnx(this.fitted, { version: this.info.version, ...given });
  }

  /** What a safetensors file of the model holds. */
  toFile(): { tensors: TensorToSave[]; metadata: Record<string, string> } {
    demandNoMore(arguments, 0, "toFile");
    return modelToFile(this.fitted, this.info);
  }

  /** Gives the memory back. */
  dispose(): void {
    demandNoMore(arguments, 0, "dispose");
    this.#predictor.dispose();
  }

  /** Same as {@link TabularModelBase.dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * What a file holds, as the parts of a model.
 *
 * @throws {OptionError} for what is no open file.
 * @throws {FormatError} for a file that holds no such model.
 * @category Tables
 */
export async function readModel(
  file: SafetensorsFile,
  name: string,
): Promise<{ fitted: FittedModel; info: ModelInfo }> {
  demandNoMore(arguments, 2, "readModel");
  demand("readModel", "the file", file, file instanceof SafetensorsFile, "an open safetensors file");
  const { model, info } = await modelFromFile(file, name);
  return { fitted: model, info };
}

/**
 * Fits a model to a table, with a cross-validation that says how good it is on rows it has not seen.
 *
 * @throws {FormatError} for a table or target that nothing can be learned from.
 * @throws {OptionError} for options that
 * do not fit.
 * @throws {CancelledError} when `signal` was aborted.
 * @category Tables
 */
export async function fitTable(
  table: Table,
  given: TabularOptions = {},
): Promise<{ fitted: FittedModel; info: ModelInfo }> {
  demandNoMore(arguments, 2, "fitTable");
  const options = checkOptions("fitTable", given, tabularOptions, idleTabularOptions);
  demand("fitTable", "the table", table, table instanceof Table, "a Table, such as readCsv gives");
  const values = readTarget(table, options), { rows } = values, seed = options.seed ?? 0;
  if (values.task === "regression" && options.classWeights === "balanced") {
    throw new OptionError(
      `fitTable: classWeights has no effect because "${values.column.name}" is a regression, which has no classes; leave it out`,
    );
  }
  checkColumns(table, values.column.name, options.keep ?? []);
  if (rows.length < fewestRows) {
    throw new FormatError(
      `${table.name} has ${counted(rows.length, "row")} with a target; at least ${fewestRows} are needed`,
    );
  }
  const asked = options.folds ?? (rows.length > manyRows ? 1 : 5);
  if (asked > rows.length) {
    throw new OptionError(
      `folds: ${counted(rows.length, "row")} cannot be cut into ${counted(asked, "fold")}`,
    );
  }
  const classes = values.task === "classification" ? values.values : null;
  const cut = makeFolds(rows, Math.max(2, asked === 1 ? 5 : asked), seed, classes);
  const tests = asked === 0 ? [] : asked === 1 ? cut.slice(0, 1) : cut;
  const parts = tests.map((test, i) => ({ train: otherParts(cut, i), test }));
  const fitted = await fitParts(table, values, [...parts, { train: rows, test: new Int32Array(0) }], options);
  const whole = fitted[fitted.length - 1];
  const split = asked === 1
    ? `a fifth of the rows held out, shuffled, seed ${seed}`
    : `${asked}-fold cross-validation, shuffled${classes ? " within classes" : ""}, seed ${seed}`;
  const evaluation = asked === 0
    ? null
    : await evaluateFolds(values, fitted.slice(0, -1), tests, split, seed);
  const model: FittedModel = {
    schema: { columns: whole.normalizer.columns, features: whole.normalizer.features, target: whole.target },
    networks: whole.networks,
    residuals: evaluation?.residuals ?? new Float32Array(0),
  };
  let fit: Metrics | null = null;
  if (options.reportFit) {
    const predictor = new Predictor(whole.normalizer, model.networks, whole.target);
    const said = await predictor.predict(whole.normalizer.tableCells(rows));
    fit = metricsOf(Float64Array.from(rows, (row) => values.values[row]), said, values.classes.length);
    predictor.dispose();
  }
  const { residuals: _, ...kept } = evaluation ?? {};
  const info: ModelInfo = {
    version: options.version ?? "",
    data: { name: table.name, sha256: table.sha256, rows: rows.length, ...csvOf(table) },
    explanation: values.explanation,
    ...notesOf(table, values, whole.normalizer.notes),
    evaluation: evaluation && shortened(kept),
    fit: fit && shortened(fit),
    shares: shortened(whole.shares) as Record<string, number>,
    seed,
  };
  return { fitted: model, info };
}

/**
 * @throws {FormatError} for a column without values.
 * @throws {OptionError} for one that cannot be kept.
 */
function checkColumns(table: Table, target: string, keep: readonly string[]): void {
  for (const { name, position, values } of table.columns) {
    if (!values.every(Number.isNaN)) continue;
    throw new FormatError(
      `${table.name}: column ${position} ("${name}") has no value in any of ${
        counted(table.rows, "row")
      }; leave it out with ` +
        `--ignore "${name}"`,
    );
  }
  for (const name of keep) {
    const { values, kind } = table.column(name), first = values.find((value) => !Number.isNaN(value));
    if (name === target) throw new OptionError(`keep: "${name}" is the target, and no input`);
    if (kind === "date" || !values.every((value) => value === first)) continue;
    throw new OptionError(`keep: column "${name}" is the same in every row, so nothing can be told from it`);
  }
}

function csvOf({ reading }: Table): { csv?: CsvShape } {
  if (reading === null) return {};
  const { delimiter, header, names, decimal } = reading;
  return { csv: { delimiter, header, names, ...(decimal === null ? {} : { decimal }) } };
}

function notesOf(
  table: Table,
  { rows, column }: TargetValues,
  columns: readonly string[],
): { notes?: readonly string[] } {
  const left = table.rows - rows.length;
  const lacking = left === 0 ? [] : [
    `${left} of ${counted(table.rows, "row")} ${nounOf(left, "has", "have")} no "${column.name}": ${
      nounOf(left, "it is", "they are")
    } left out`,
  ];
  const notes = [...lacking, ...columns];
  return notes.length === 0 ? {} : { notes };
}

/** The same with numbers of 6 digits: more would only fill the file. */
function shortened(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (_, v) => typeof v === "number" ? Number(v.toPrecision(6)) : v));
}
