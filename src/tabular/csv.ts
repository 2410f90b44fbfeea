/**
 * CSV files as people have them, into a {@link Table}, in one pass and in bounded memory.
 *
 * Delimiter, quote, header and what each column holds are found out; a file with more cells than fit is read to its
 * end all the same, and the rows in memory are then a uniform sample of it (reservoir sampling: Vitter, "Random
 * sampling with a reservoir", 1985, algorithm R).
 *
 * @module
 */
import { breather } from "../core/breathe.ts";
import { FormatError, throwIfAborted } from "../core/errors.ts";
import { Generator } from "../core/random.ts";
import { ColumnStore } from "./column_store.ts";
import { guessDialect, guessHeader, sampleRecords } from "./dialect.ts";
import { type Dialect, loadParser, RecordReader } from "./records.ts";
import { finishColumn, Table } from "./table.ts";
import { type ByteStream, type Position, StrictDecoder } from "./text_input.ts";

/** How far reading has come. */
export interface CsvProgress {
  /** Bytes read. */
  readonly bytes: number;
  /** Rows read. */
  readonly rows: number;
}

/** Options of `readCsv`. All of them are found out when not given, except the limits. */
export interface CsvOptions {
  /** Between cells: one character. */
  delimiter?: string;
  /** Around cells: one character. */
  quote?: string;
  /** Whether the first record names the columns. */
  header?: boolean;
  /** Columns to leave out, by name. */
  ignore?: readonly string[];
  /** The most cells to hold in memory; of a larger file a uniform sample of rows is held. Default 50 million (400 MB). */
  maxCells?: number;
  /** The seed of that sample. Default 0. */
  seed?: number;
  /** Hears of progress. */
  onProgress?: (progress: CsvProgress) => void;
  /** Stops reading. */
  signal?: AbortSignal;
}

/** So many characters of the beginning are looked at to guess the dialect. */
const sampleSize = 1 << 16;

/**
 * Reads a table from bytes in pieces; `name` is what messages call the file.
 *
 * @throws {FormatError} naming row and column (records count from 1, the header is the first): ragged rows, no rows,
 * columns without values, texts among numbers, what is not UTF-8 text.
 * @throws {FerrotypeError} when the parser is not installed. @throws {CancelledError} when `signal` was aborted.
 */
export async function readCsvStream(
  name: string,
  bytes: ByteStream,
  options: CsvOptions = {},
): Promise<Table> {
  const parse = await loadParser(), decoder = new StrictDecoder(name), breathe = breather();
  let reader: RecordReader | null = null, builder: TableBuilder | null = null;
  let begun = "", read = 0;
  const take = (text: string, last: boolean): void => {
    if (reader === null) {
      begun += text;
      if (begun.length < sampleSize && !last) return;
      if (begun.trim() === "") throw new FormatError(`${name} has no rows: it is empty`);
      const sample = begun.slice(0, sampleSize), whole = last && sample.length === begun.length;
      const dialect = { ...guessDialect(parse, sample, whole), ...given(options) };
      const records = sampleRecords(parse, sample, dialect, whole);
      reader = new RecordReader(parse, name, dialect);
      builder = new TableBuilder(name, dialect, records, options);
      text = begun.replace(/^sep=.\r?\n/i, "");
    }
    const before = reader.rows;
    reader.read(text, last).forEach((record, i) => builder!.add(record, before + i + 1));
  };
  const where = (before: string): Position => {
    if (reader !== null) return reader.position(before);
    const dialect = { ...guessDialect(parse, begun + before, true), ...given(options) };
    return new RecordReader(parse, name, dialect).position(begun + before);
  };
  for await (const piece of bytes) {
    throwIfAborted(options.signal, `reading ${name}`);
    read += piece.length;
    take(decoder.decode(piece, where), false);
    options.onProgress?.({ bytes: read, rows: builder === null ? 0 : (builder as TableBuilder).rowsInFile });
    await breathe();
  }
  decoder.finish(where);
  take("", true);
  return builder!.finish();
}

function given({ delimiter, quote }: CsvOptions): Partial<Dialect> {
  return { ...(delimiter === undefined ? {} : { delimiter }), ...(quote === undefined ? {} : { quote }) };
}

/** Rows into columns. */
class TableBuilder {
  readonly #name: string;
  readonly #columns: { readonly name: string; readonly at: number; readonly store: ColumnStore | null }[];
  readonly #header: boolean;
  readonly #notes: string[] = [];
  readonly #maxRows: number;
  readonly #random: Generator;
  #rows = 0;
  /** How many rows were added. */
  rowsInFile = 0;

  constructor(name: string, dialect: Dialect, sample: string[][], options: CsvOptions) {
    this.#name = name;
    const comma = dialect.delimiter !== ",";
    this.#header = options.header ?? guessHeader(sample, comma);
    const width = sample[0].length;
    if (width < 2) {
      throw new FormatError(
        `${name}: row 1 has one column only; at least two are needed, one of them to predict (is the delimiter another one?)`,
      );
    }
    const names = uniqueNames(
      sample[0].map((cell, i) => this.#header && cell.trim() !== "" ? cell.trim() : `column ${i + 1}`),
    );
    const ignored = new Set(options.ignore ?? []);
    for (const unknown of ignored) {
      if (!names.includes(unknown)) {
        throw new FormatError(`${name} has no column "${unknown}" to ignore; it has ${names.join(", ")}`);
      }
    }
    this.#columns = names.map((column, at) => ({
      name: column,
      at,
      store: ignored.has(column) ? null : new ColumnStore(comma),
    }));
    const kept = Math.max(1, this.#columns.filter(({ store }) => store !== null).length);
    this.#maxRows = Math.max(1000, Math.floor((options.maxCells ?? 50_000_000) / kept));
    this.#random = new Generator(options.seed ?? 0);
    const shown = dialect.delimiter === "\t" ? "tab" : `"${dialect.delimiter}"`;
    this.#notes.push(
      `${width} columns, delimiter ${shown}, ${
        this.#header ? "names in the first row" : "no header: columns are named by position"
      }`,
    );
  }

  add(record: readonly string[], row: number): void {
    if (row === 1 && this.#header) return;
    if (record.length === 1 && record[0] === "") return; // an empty line
    const width = this.#columns.length;
    if (record.length !== width && !(record.length === width + 1 && record[width].trim() === "")) {
      throw new FormatError(
        `${this.#name}: row ${row} has ${record.length} columns, and row 1 has ${width}; ` +
          `${
            record.length < width
              ? `column "${this.#columns[record.length].name}" and on are missing`
              : `column ${width + 1} holds "${record[width].slice(0, 40)}"`
          } ` +
          "(a cell that holds the delimiter needs quotes around it)",
      );
    }
    let index = this.#rows;
    if (index >= this.#maxRows) {
      index = this.#random.integer(0, this.rowsInFile + 1);
    } else this.#rows++;
    this.rowsInFile++;
    if (index >= this.#maxRows) return;
    for (const { at, store } of this.#columns) store?.set(index, record[at], row);
  }

  finish(): Table {
    const rows = this.#rows, name = this.#name;
    if (rows === 0) {
      throw new FormatError(
        `${name} has no rows${this.#header ? " below the names of its columns in row 1" : ""}`,
      );
    }
    const columns = [];
    for (const { name: column, at, store } of this.#columns) {
      if (store === null) continue;
      const finished = finishColumn(name, column, at + 1, store, rows);
      if (finished.values.every(Number.isNaN)) {
        // A delimiter at the end of every line makes a column without name and content.
        if (column === `column ${at + 1}`) continue;
        throw new FormatError(
          `${name}: column ${
            at + 1
          } ("${column}") has no value in any of ${rows} rows; leave it out with --ignore "${column}"`,
        );
      }
      columns.push(finished);
    }
    if (rows < this.rowsInFile) {
      this.#notes.push(
        `${this.rowsInFile} rows are more than fit in memory: a uniform sample of ${rows} of them is used`,
      );
    }
    return new Table({ name, columns, rows, rowsInFile: this.rowsInFile, notes: this.#notes });
  }
}

/** Names that come twice get a number. */
function uniqueNames(names: readonly string[]): string[] {
  const seen = new Map<string, number>();
  return names.map((name) => {
    const times = (seen.get(name) ?? 0) + 1;
    seen.set(name, times);
    return times === 1 ? name : `${name} (${times})`;
  });
}
