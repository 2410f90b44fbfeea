/**
 * A table in memory: one array of numbers a column, and what the column holds.
 *
 * @module
 */
import { demand, demandNoMore, demandRecord, demandText } from "../core/demand.ts";
import { FormatError } from "../core/errors.ts";
import { hint } from "../core/nearest.ts";
import type { CellForm, ColumnKind } from "./types.ts";

/**
 * One column of a {@link Table}.
 *
 * @category Tables
 */
export interface TableColumn {
  /** Its name. */
  readonly name: string;
  /** Where it stands in the file, the first being 1. */
  readonly position: number;
  /** What it holds. */
  readonly kind: ColumnKind;
  /**
   * One number a row: the value; 0 or 1; days since 1970-01-01; for a categorical column the index in `texts`, −1 for a
   * text that was not kept. NaN is a missing cell.
   */
  readonly values: Float64Array;
  /** Categorical: the different texts in order of appearance; boolean: those of false and true; else empty. */
  readonly texts: readonly string[];
  /** Whether the column has more different texts than are kept: free text or identifiers. */
  readonly overflowed: boolean;
  /** How its cells are written; absent when as in most files. */
  readonly form?: CellForm;
}

/**
 * How a file was understood.
 *
 * @category Tables
 */
export interface CsvReading {
  /** The encoding of the text. */
  readonly encoding: string;
  /** Between cells; "whitespace" is any number of spaces and tabulators. */
  readonly delimiter: string;
  /** Whether a row of the file names the columns. */
  readonly header: boolean;
  /** The names of all of its columns in order, those left out included. */
  readonly names: readonly string[];
  /** The sign before decimals, where all columns that tell have the same; else null. */
  readonly decimal: "." | "," | null;
  /** What each decision rests on, line by line: first the file, then its columns. */
  readonly evidence: readonly string[];
}

/**
 * A table, as `readCsv` gives it.
 *
 * @category Tables
 */
export class Table {
  /** What to call it: the file's name. */
  readonly name: string;
  /** The columns in the order of the file. */
  readonly columns: readonly TableColumn[];
  /** How many rows are in memory. */
  readonly rows: number;
  /** How many rows the file has; more than `rows` when they are a sample. */
  readonly rowsInFile: number;
  /** What a reader should know: how the file was understood. */
  readonly notes: readonly string[];

  /** How the file was understood, and why; null when the table was not read from one. */
  readonly reading: CsvReading | null;
  /** The SHA-256 of the file, in hexadecimal; null when it was not read from one. */
  readonly sha256: string | null;

  /**
   * Takes columns of equal length.
   * @throws {OptionError} for what is no list of columns.
   */
  constructor(parts: {
    readonly sha256?: string | null;
    readonly reading?: CsvReading | null;
    readonly name: string;
    readonly columns: readonly TableColumn[];
    readonly rows: number;
    readonly rowsInFile: number;
    readonly notes: readonly string[];
  }) {
    demandNoMore(arguments, 1, "Table");
    demandRecord("Table", parts, "what is given", "{ name, columns, rows, … }");
    demand("Table", "columns", parts.columns, Array.isArray(parts.columns), "a list of columns");
    this.name = parts.name;
    this.columns = parts.columns;
    this.rows = parts.rows;
    this.rowsInFile = parts.rowsInFile;
    this.notes = parts.notes;
    this.reading = parts.reading ?? null;
    this.sha256 = parts.sha256 ?? null;
  }

  /**
   * The column of that name.
   * @throws {FormatError} naming the closest when there is none.
   * @throws {OptionError} for a name that is no text.
   */
  column(name: string): TableColumn {
    demandNoMore(arguments, 1, "column");
    demandText("column", name, "the name");
    const found = this.columns.find((column) => column.name === name);
    if (found !== undefined) return found;
    const names = this.columns.map((column) => column.name);
    throw new FormatError(`${this.name} has no column "${name}"${hint(name, names)}`);
  }

  /**
   * How many cells of a column are missing.
   * @throws {OptionError} for what is no column.
   */
  missing(column: TableColumn): number {
    demandNoMore(arguments, 1, "missing");
    const isColumn = column?.values !== undefined;
    demand("missing", "the column", column, isColumn, "a column of this table");
    let count = 0;
    for (let row = 0; row < this.rows; row++) if (Number.isNaN(column.values[row])) count++;
    return count;
  }
}
