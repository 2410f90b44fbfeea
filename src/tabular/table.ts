/**
 * A table in memory: one array of numbers a column, and what the column holds.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { hint } from "../core/nearest.ts";
import { booleanPair, dayOrder, parseDate } from "./cell_text.ts";
import { type ColumnStore, noText, unkeptText } from "./column_store.ts";
import type { ColumnKind } from "./types.ts";

/** One column of a {@link Table}. */
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
}

/** A table, as `readCsv` gives it. */
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

  /** The SHA-256 of the file, in hexadecimal; null when it was not read from one. */
  readonly sha256: string | null;

  /** Takes columns of equal length. */
  constructor(parts: {
    readonly sha256?: string | null;
    readonly name: string;
    readonly columns: readonly TableColumn[];
    readonly rows: number;
    readonly rowsInFile: number;
    readonly notes: readonly string[];
  }) {
    this.name = parts.name;
    this.columns = parts.columns;
    this.rows = parts.rows;
    this.rowsInFile = parts.rowsInFile;
    this.notes = parts.notes;
    this.sha256 = parts.sha256 ?? null;
  }

  /** The column of that name. @throws {FormatError} naming the closest when there is none. */
  column(name: string): TableColumn {
    const found = this.columns.find((column) => column.name === name);
    if (found !== undefined) return found;
    const names = this.columns.map((column) => column.name);
    throw new FormatError(`${this.name} has no column "${name}"${hint(name, names)}`);
  }

  /** How many cells of a column are missing. */
  missing(column: TableColumn): number {
    let count = 0;
    for (let row = 0; row < this.rows; row++) if (Number.isNaN(column.values[row])) count++;
    return count;
  }
}

/** A column of numbers with at most this share of other texts has a mistake in it rather than being of texts. */
const mistakeShare = 0.05;

/**
 * Decides what a column holds.
 * @throws {FormatError} for a column of numbers with a few texts or infinite numbers in it, naming the first.
 */
export function finishColumn(
  file: string,
  name: string,
  position: number,
  store: ColumnStore,
  rows: number,
): TableColumn {
  store.finish(rows);
  const { numbers, codes, texts } = store;
  const at = (kind: ColumnKind, values: Float64Array, words: readonly string[] = []): TableColumn => ({
    name,
    position,
    kind,
    values,
    texts: words,
    overflowed: codes?.includes(unkeptText) ?? false,
  });
  if (codes === null) return at("numeric", numbers);
  let plain = 0, dates = 0, words = 0;
  for (let row = 0; row < rows; row++) {
    if (codes[row] === noText) plain += Number.isNaN(numbers[row]) ? 0 : 1;
    else if (Number.isNaN(numbers[row])) words++;
    else dates++;
  }
  if (words === 0 && plain === 0 && dates > 0) return at("date", numbers);
  const order = plain === 0 ? dayOrder(texts) : null;
  if (order !== null && !codes.includes(unkeptText)) {
    return at(
      "date",
      Float64Array.from(codes, (code) => code === noText ? NaN : parseDate(texts[code], order)),
    );
  }
  if (plain >= 20 && words + dates <= mistakeShare * (plain + words + dates)) {
    if (store.infinite !== null) {
      throw new FormatError(
        `${file}: row ${store.infinite.row}, column "${name}" holds "${store.infinite.text}", which is no finite number`,
      );
    }
    throw new FormatError(
      `${file}: row ${store.firstRows[0]}, column "${name}" holds "${
        texts[0]
      }", where ${plain} other rows hold numbers; ` +
        `correct it, leave the cell empty, or leave the column out with --ignore "${name}"`,
    );
  }
  const pair = plain === 0 ? booleanPair(texts) : null;
  if (pair !== null) {
    return at(
      "boolean",
      Float64Array.from(codes, (code) => code === noText ? NaN : texts[code] === pair[1] ? 1 : 0),
      pair,
    );
  }
  return at("categorical", ...categories(numbers, codes, texts, rows));
}

/** Numbers among texts are categories too, by their shortest form. */
function categories(
  numbers: Float64Array,
  codes: Int32Array,
  texts: readonly string[],
  rows: number,
): [Float64Array, string[]] {
  const all = [...texts], index = new Map(all.map((text, i) => [text, i]));
  const values = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const code = codes[row];
    if (code !== noText) values[row] = code === unkeptText ? -1 : code;
    else if (Number.isNaN(numbers[row])) values[row] = NaN;
    else {
      const text = String(numbers[row]);
      let found = index.get(text);
      if (found === undefined) {
        found = all.push(text) - 1;
        index.set(text, found);
      }
      values[row] = found;
    }
  }
  return [values, all];
}
