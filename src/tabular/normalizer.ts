/**
 * From rows, as people write them, to the numbers that networks see.
 *
 * @module
 */
import { demand, demandNoMore } from "../core/demand.ts";
import { FormatError, OptionError } from "../core/errors.ts";
import { like, listOf, text, whole } from "../core/kinds.ts";
import { hint } from "../core/nearest.ts";
import { byDefault, checkOptions, type OptionTable } from "../core/options.ts";
import { counted, listed, show } from "../core/show.ts";
import { parseDate } from "./csv/dates.ts";
import { goesWith, parseNumber, unitOf, unitsSaid } from "./csv/numbers.ts";
import { isMissingMark, missingTexts, parseBoolean } from "./csv/words.ts";
import { describeColumns, type DescribedColumn } from "./columns.ts";
import { largestF32 } from "./f32.ts";
import { type FeatureViews, makeFeatures, rawFeature } from "./features.ts";
import { Table, type TableColumn } from "./table.ts";
import type { Column, Feature } from "./types.ts";

/**
 * What a cell may be given as. `null` and `undefined` are missing.
 *
 * @category Tables
 */
export type CellValue = string | number | boolean | Date | null | undefined;

/**
 * A row: cells by column name, or in the order of the columns.
 *
 * @category Tables
 */
export type Row = Readonly<Record<string, CellValue>> | readonly CellValue[];

const missing: ReadonlySet<string> = new Set(missingTexts);

function isMissing(text: string): boolean {
  const trimmed = text.trim();
  return missing.has(trimmed) || isMissingMark(trimmed);
}

/**
 * What a normalizer is fitted to.
 *
 * @category Tables
 */
export interface NormalizerOptions {
  /** The column that is no input. Default: the last. */
  readonly target?: string;
  /** The training rows. Default: all. */
  readonly rows?: ArrayLike<number>;
  /** Most ramps a number is given. Default 16. */
  readonly mostRamps?: number;
  /** Columns that stay inputs though they look like identifiers, with up to 1000 different texts, by name. */
  readonly keep?: readonly string[];
}

const normalizerOptions: OptionTable<NormalizerOptions> = {
  target: text,
  rows: like("a list of rows", "length"),
  mostRamps: byDefault(16, whole(1, 1000)),
  keep: listOf(text, "a list of columns by name"),
};

/** Features are measured on at most so many training rows, evenly spread. */
const mostMeasured = 100_000;

/**
 * Columns and features of a model: what turns rows into network inputs.
 *
 * @category Tables
 */
export class Normalizer {
  /** The input columns. */
  readonly columns: readonly Column[];
  /** What the networks see, made from them. */
  readonly features: readonly Feature[];

  /**
   * From what a file or {@link Normalizer.fit} says.
   * @throws {OptionError} for what is no list of columns and one of features.
   */
  constructor(columns: readonly Column[], features: readonly Feature[]) {
    demandNoMore(arguments, 2, "Normalizer");
    demand("Normalizer", "columns", columns, Array.isArray(columns), "a list of columns");
    demand("Normalizer", "features", features, Array.isArray(features), "a list of features");
    this.columns = columns;
    this.features = features;
  }

  /**
   * Learns ranges, categories and scales of all columns but `target` from the given rows (default: all).
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {FormatError} naming a column that the table does not have.
   * @throws {ShapeError} for a table without rows.
   */
  static fit(table: Table, given: NormalizerOptions = {}): Normalizer {
    demandNoMore(arguments, 2, "fit");
    const options = checkOptions("Normalizer.fit", given, normalizerOptions);
    demand("Normalizer.fit", "the table", table, table instanceof Table, "a Table, such as readCsv gives");
    const target = options.target === undefined
      ? table.columns[table.columns.length - 1]
      : table.column(options.target);
    return new TableNormalizer(
      table,
      target,
      options.rows ?? Int32Array.from({ length: table.rows }, (_, i) => i),
      options.mostRamps,
      options.keep,
    );
  }

  /**
   * The cells of one row: see `types.ts`. Columns that the row does not name are missing.
   * @throws {OptionError} for a name that no column has, a row of another length, or a text where a number belongs.
   */
  cells(row: Row): Float64Array {
    demandNoMore(arguments, 1, "cells");
    const isRow = typeof row === "object" && row !== null;
    demand("cells", "a row", row, isRow, "cells by column name, or in the order of the columns");
    const cells = new Float64Array(this.columns.length).fill(NaN);
    if (Array.isArray(row)) {
      if (row.length !== this.columns.length) {
        throw new OptionError(
          `a row of ${
            counted(this.columns.length, "cell")
          } is expected (${this.names()}), not of ${row.length}`,
        );
      }
      this.columns.forEach((column, i) => cells[i] = cellOf(column, row[i]));
      return cells;
    }
    for (const [name, value] of Object.entries(row)) {
      const at = this.columns.findIndex((column) => column.name === name);
      if (at < 0) {
        const names = this.columns.map((column) => column.name);
        throw new OptionError(`there is no column "${name}"${hint(name, names)}`);
      }
      cells[at] = cellOf(this.columns[at], value);
    }
    return cells;
  }

  /**
   * The cells of a table's rows, [rows, columns]. Columns that the table lacks are missing; others that it has are not
   * looked at.
   *
   * @throws {FormatError} when the table has none of the columns, or a cell that does not fit one.
   * @throws {OptionError} for what is no table.
   */
  cellsOf(table: Table): Float64Array {
    demandNoMore(arguments, 1, "cellsOf");
    demand("cellsOf", "the table", table, Array.isArray(table?.columns), "what readCsv reads");
    const width = this.columns.length, cells = new Float64Array(table.rows * width).fill(NaN);
    let found = 0;
    this.columns.forEach((column, c) => {
      const own = table.columns.find(({ name }) => name === column.name);
      if (own === undefined) return;
      found++;
      if (column.ignored !== null) return;
      const known = new Map<number, number>();
      for (let row = 0; row < table.rows; row++) {
        const value = own.values[row];
        if (Number.isNaN(value)) continue;
        let cell = known.get(value);
        if (cell === undefined) {
          cell = tableCell(table, own, column, row);
          if (own.kind !== "numeric" && own.kind !== "date") known.set(value, cell);
        }
        cells[row * width + c] = cell;
      }
    });
    if (found > 0) return cells;
    throw new FormatError(
      `${table.name} has none of the columns that the model was fitted on: ${this.names()}`,
    );
  }

  /** The columns' names, for messages. */
  names(): string {
    demandNoMore(arguments, 0, "names");
    return listed(this.columns.map((column) => column.name));
  }

  /** Features of rows of cells [rows, columns] → [rows, inputs]; `inputs` chooses features, all when null. */
  transform(cells: Float64Array, inputs: readonly number[] | null = null): Float32Array<ArrayBuffer> {
    demandNoMore(arguments, 2, "transform");
    const width = this.columns.length, rows = cells.length / width;
    const chosen = inputs === null ? this.features : inputs.map((i) => this.features[i]), n = chosen.length;
    const out = new Float32Array(rows * n);
    chosen.forEach((feature, f) => {
      const { column, center, scale } = feature, own = this.columns[column];
      for (let row = 0; row < rows; row++) {
        const value = (rawFeature(feature, cells[row * width + column], own) - center) / scale;
        if (Math.abs(value) > largestF32) throw tooFar(own, cells[row * width + column]);
        out[row * n + f] = value;
      }
    });
    return out;
  }
}

/** What is said of a cell of which no number can be made. */
export function tooFar({ name, min, max }: Column, cell: number): OptionError {
  return new OptionError(
    `column "${name}" holds ${cell}, which is too far from the ${min} to ${max} of the training rows for f32`,
  );
}

/** A normalizer that can read rows straight from the table it was fitted on. */
export class TableNormalizer extends Normalizer {
  /** Indices in `features` of the plain and the piecewise view. */
  readonly views: FeatureViews;
  /** What a reader should know of the columns. */
  readonly notes: readonly string[];
  readonly #sources: readonly { readonly values: Float64Array; readonly codes: Int32Array | null }[];

  /** See {@link Normalizer.fit}. */
  constructor(
    table: Table,
    target: TableColumn,
    rows: ArrayLike<number>,
    mostRamps = 16,
    keep: readonly string[] = [],
  ) {
    const described = describeColumns(table, target, rows, new Set(keep));
    const columns = described.map(({ column }) => column);
    const inputs = table.columns.filter((column) => column !== target);
    const sources = inputs.map(({ values }, i) => ({ values, codes: described[i].codes }));
    const step = Math.max(1, Math.ceil(rows.length / mostMeasured));
    const measured = Int32Array.from({ length: Math.ceil(rows.length / step) }, (_, i) => rows[i * step]);
    const views = makeFeatures(columns, readCells(sources, measured), mostRamps);
    super(columns, views.features);
    this.views = views;
    this.notes = described.flatMap(({ note }) => note ?? []);
    this.#sources = sources;
  }

  /** The cells of rows of the table, [rows, columns]. */
  tableCells(rows: ArrayLike<number>): Float64Array {
    return readCells(this.#sources, rows);
  }
}

function readCells(
  sources: readonly { readonly values: Float64Array; readonly codes: DescribedColumn["codes"] }[],
  rows: ArrayLike<number>,
): Float64Array {
  const width = sources.length, cells = new Float64Array(rows.length * width);
  sources.forEach(({ values, codes }, column) => {
    for (let i = 0; i < rows.length; i++) {
      const value = values[rows[i]];
      cells[i * width + column] = codes === null || Number.isNaN(value) ? value : codes[value] ?? -1;
    }
  });
  return cells;
}

/** The cell that a table's cell means in a model's column. */
function tableCell(table: Table, own: TableColumn, column: Column, row: number): number {
  const value = own.values[row];
  try {
    if (own.kind === "date") {
      return column.kind === "date" ? value : cellOf(column, new Date(value * 86_400_000));
    }
    return cellOf(column, own.kind === "numeric" ? value : own.texts[value] ?? unseen);
  } catch (error) {
    throw new FormatError(`${table.name}: data row ${row + 1}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** A text that no column has as a category: the table did not keep which one it was. */
const unseen = "\u0000";

/** The cell that a value means in a column. */
function cellOf(column: Column, value: CellValue): number {
  if (value === null || value === undefined) return NaN;
  if (column.ignored !== null) return NaN;
  const wrong = (wanted: string): OptionError =>
    new OptionError(
      `column "${column.name}" holds ${wanted}, not ${show(value)}`,
    );
  if (value instanceof Date) {
    if (column.kind !== "date") throw wrong(`${column.kind} cells`);
    return value.getTime() / 86_400_000;
  }
  if (typeof value === "number" && Number.isNaN(value)) return NaN;
  if (column.kind === "categorical") {
    const text = String(value).trim(), at = column.categories.indexOf(text);
    return at < 0 && isMissing(text) ? NaN : at;
  }
  if (typeof value === "string" && isMissing(value)) return NaN;
  switch (column.kind) {
    case "boolean": {
      const text = String(value).trim(), at = column.categories.indexOf(text);
      const cell = at >= 0 ? at : parseBoolean(text);
      if (Number.isNaN(cell)) throw wrong(`${column.categories[0]} or ${column.categories[1]}`);
      return cell;
    }
    case "date": {
      const cell = typeof value === "number" ? value : parseDate(String(value), column.form?.dateOrder);
      if (!Number.isFinite(cell)) throw wrong("dates, best written 2024-12-31");
      return cell;
    }
    case "numeric": {
      const cell = typeof value === "number" ? value : parseNumber(String(value).trim(), column.form);
      if (typeof value === "string" && !goesWith(unitOf(value.trim()), column.form?.units)) {
        throw wrong(`numbers with ${unitsSaid(column.form?.units)}`);
      }
      if (!Number.isFinite(cell)) throw wrong("numbers");
      if (Math.abs(cell) > largestF32) throw wrong("numbers up to ±3.4e38, where f32 ends");
      return cell;
    }
  }
}
