/**
 * Text into records: the door to `papaparse`, which knows the grammar of CSV, fed piece by piece.
 *
 * The package is loaded when the first CSV file is, never before. Its low-level parser is used, because the pieces
 * come from any runtime's files, pages and pipes: what is not a whole record yet waits for the next piece.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { importPackage, optionalPackages } from "../core/packages.ts";
import type { Position } from "./text_input.ts";

/** How a file is written. */
export interface Dialect {
  /** Between cells: one character. */
  readonly delimiter: string;
  /** Around cells that hold delimiters or line ends: one character. */
  readonly quote: string;
  /** Whether spaces stand between a delimiter and a quote that opens a cell: `1, "a,b"`. */
  readonly padded?: boolean;
}

const escape = (char: string): string => char.replace(/[\\^$.*+?()[\]{}|\-/]/g, "\\$&");

/** A text that begins outside of quotes, without the spaces between delimiters and quotes that open a cell. */
export function withoutPadding(text: string, { delimiter, quote }: Dialect): string {
  const q = escape(quote), d = escape(delimiter);
  // Quoted cells are passed over whole, one that is not closed yet to the end.
  return text.replace(
    new RegExp(`${q}(?:[^${q}]|${q}${q})*(?:${q}|$)|(${d}) +(?=${q})`, "g"),
    (all, kept) => kept ?? all,
  );
}

interface Parsed {
  readonly data: string[][];
  readonly errors: readonly { readonly code: string; readonly row?: number }[];
  readonly meta: { readonly cursor: number };
}

interface Package {
  readonly Parser: new (config: Record<string, unknown>) => {
    parse(text: string, base: number, ignoreLastRow: boolean): Parsed;
  };
}

/** Reads records of a given dialect out of a text. */
export type RecordParser = (text: string, dialect: Dialect, last: boolean) => Parsed;

/** The longest record that is waited for, in characters: beyond, a quote was opened and never closed. */
const longestRecord = 1 << 24;

/**
 * Loads the parser.
 * @throws {FerrotypeError} when the package is not installed, saying how to.
 */
export async function loadParser(): Promise<RecordParser> {
  const loaded: { readonly default?: Package } & Partial<Package> = await optionalPackages(
    "papaparse",
    "reading CSV",
    () => importPackage<typeof loaded>("papaparse"),
  );
  const { Parser } = (loaded.Parser === undefined ? loaded.default : loaded) as Package;
  return (text, { delimiter, quote }, last) => {
    const newline = /\r\n|\n|\r/.exec(text.length > 1 << 20 ? text.slice(0, 1 << 20) : text)?.[0] ?? "\n";
    return new Parser({ delimiter, quoteChar: quote, newline }).parse(text, 0, !last);
  };
}

/** Cuts text that comes in pieces into records. */
export class RecordReader {
  readonly #parse: RecordParser;
  readonly #name: string;
  readonly #dialect: Dialect;
  #rest = "";
  #rows = 0;

  /** `name` is what the messages call the file. */
  constructor(parse: RecordParser, name: string, dialect: Dialect) {
    this.#parse = parse;
    this.#name = name;
    this.#dialect = dialect;
  }

  /** How many records were given so far. */
  get rows(): number {
    return this.#rows;
  }

  /**
   * The records that are complete with this text; with `last`, all that are left.
   * @throws {FormatError} for a quoted cell that does not end.
   */
  read(text: string, last: boolean): string[][] {
    const raw = this.#rest + text;
    if (raw === "") return [];
    const all = this.#dialect.padded ? withoutPadding(raw, this.#dialect) : raw;
    // A lone "\r" at the end may be half of a line end.
    if (!last && all.endsWith("\r")) {
      this.#rest = all;
      return [];
    }
    const { data, errors, meta } = this.#parse(all, this.#dialect, last);
    this.#rest = last ? "" : all.slice(meta.cursor);
    const bad = errors.find(({ code }) => code === "InvalidQuotes");
    if (bad !== undefined && (bad.row ?? 0) < data.length) {
      const row = this.#rows + (bad.row ?? 0) + 1;
      throw new FormatError(
        `${this.#name}: row ${row} has text behind a closing quote (${this.#dialect.quote}); double a quote that is part of a cell`,
      );
    }
    const open = errors.find(({ code }) => code === "MissingQuotes");
    if ((open !== undefined && last) || this.#rest.length > longestRecord) {
      const row = this.#rows + (last ? open?.row ?? 0 : data.length) + 1;
      throw new FormatError(
        `${this.#name}: row ${row} opens a quote (${this.#dialect.quote}) that is never closed`,
      );
    }
    if (last && data.length > 0 && data[data.length - 1].length === 1 && data[data.length - 1][0] === "") {
      data.pop();
    }
    this.#rows += data.length;
    return data;
  }

  /** Where the text stops if `text` is the next piece and ends there. */
  position(text: string): Position {
    const { data } = this.#parse(this.#rest + text, this.#dialect, true);
    const last = data[data.length - 1] ?? [""];
    return { row: this.#rows + Math.max(1, data.length), column: last.length };
  }
}
