/**
 * What can be said about how a CSV file is to be read.
 *
 * @module
 */
import { OptionError } from "../../core/errors.ts";
import {
  abortSignal,
  callback,
  either,
  flag,
  type Kind,
  kind,
  listOf,
  oneOf,
  orNull,
  seed,
  someText,
  text,
  whole,
} from "../../core/kinds.ts";
import { byDefault, checkOptions, type Idle, type OptionTable } from "../../core/options.ts";
import { show } from "../../core/show.ts";
import type { ColumnKind } from "../types.ts";
import type { DayOrder } from "./dates.ts";
import type { DecimalSign, ThousandsSign } from "./numbers.ts";
import type { LineEnd } from "./records.ts";
import { isEncoding } from "./text_input.ts";

/**
 * How far reading has come.
 *
 * @category Tables
 */
export interface CsvProgress {
  /** Bytes read. */
  readonly bytes: number;
  /** Rows read. */
  readonly rows: number;
}

/**
 * One value for all columns, or one for each that is named; the name "" stands for the others.
 *
 * @category Tables
 */
export type ByColumn<T> = T | Readonly<Record<string, T>>;

/**
 * Options of `readCsv`. All of them but the limits are found out when not given, and `Table.reading` says why.
 *
 * @category Tables
 */
export interface CsvOptions {
  /** Between cells: one character, or "whitespace" for any number of spaces and tabulators. */
  delimiter?: string;
  /** Around cells: one character; null when quotes are text like any other. */
  quote?: string | null;
  /** Before a quote inside of quotes: one character, often a backslash; null when such a quote is doubled. */
  escape?: string | null;
  /** What ends a record outside of quotes: "lf" (with or without CR before it), "cr", "crlf", or "any" of them. */
  lineEnd?: LineEnd;
  /** The encoding, by a name of the web's Encoding Standard: "utf-8", "utf-16le", "windows-1252" … */
  encoding?: string;
  /** What a line begins with that is no row. Default: lines with a # before the table. */
  comment?: string;
  /** How many records stand before the table, empty ones included. */
  skipLines?: number;
  /** Whether the first record of the table names the columns. */
  header?: boolean;
  /** What columns hold, by name. */
  kinds?: Readonly<Record<string, ColumnKind>>;
  /** The sign before decimals. */
  decimal?: ByColumn<DecimalSign>;
  /** The sign between thousands: " " for every kind of space, "'" for every apostrophe; null for none. */
  thousands?: ByColumn<ThousandsSign | null>;
  /** Which of the first two numbers of a date like 03/04/2021 is the day. */
  dateOrder?: ByColumn<DayOrder>;
  /** Texts that stand for a missing value, in any column, beside those that pandas knows (NA, NaN, null …). */
  missing?: readonly string[];
  /** Whether the texts that pandas knows are missing values. Default true; an empty cell always is one. */
  defaultMissing?: boolean;
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

const kinds: readonly ColumnKind[] = ["numeric", "boolean", "date", "categorical"];

/** One character, or one of these words. */
function character(...words: readonly string[]): Kind {
  const expected = ["one character", ...words.map((word) => `"${word}"`)].join(" or ");
  return kind(
    expected,
    (x) => typeof x === "string" && (words.includes(x) || ([...x].length === 1 && !/[\r\n]/.test(x))),
  );
}

function isPlain(x: unknown): x is Readonly<Record<string, unknown>> {
  return typeof x === "object" && x !== null && !Array.isArray(x);
}

/** An object with such values by the names of columns. */
function eachColumn(of: Kind): Kind {
  return kind(
    `an object with, by column, ${of.expected}`,
    (x) => isPlain(x) && Object.values(x).every(of.accepts),
  );
}

/** The kind, or an object of it by column. */
const byColumn = (of: Kind): Kind => either(of, eachColumn(of));

const encoding = kind(
  "an encoding that this runtime knows: utf-8, utf-16le, windows-1252 …",
  (x) => typeof x === "string" && isEncoding(x),
);

/** What each option may be. */
export const csvOptions: OptionTable<CsvOptions> = {
  delimiter: character("whitespace"),
  quote: orNull(character()),
  escape: orNull(character()),
  lineEnd: oneOf("lf", "cr", "crlf", "any"),
  encoding,
  comment: someText,
  skipLines: byDefault(0, whole(0)),
  header: flag,
  kinds: eachColumn(oneOf(...kinds)),
  decimal: byColumn(oneOf(".", ",")),
  thousands: byColumn(orNull(oneOf(".", ",", " ", "'"))),
  dateOrder: byColumn(oneOf("day first", "month first")),
  missing: listOf(text, "a list of texts"),
  defaultMissing: byDefault(true, flag),
  ignore: listOf(text, "a list of columns by name"),
  maxCells: byDefault(50_000_000, whole(1)),
  seed: byDefault(0, seed),
  onProgress: callback,
  signal: abortSignal,
};

/** Options that have no effect beside others. */
export const idleCsvOptions: readonly Idle<CsvOptions>[] = [
  { option: "escape", when: ({ quote }) => quote === null, because: "there are no quotes", unless: null },
];

/** What is given for a column. */
export function forColumn<T>(given: ByColumn<T> | undefined, name: string): T | undefined {
  if (!isPlain(given)) return given as T | undefined;
  const named = given as Readonly<Record<string, T>>;
  return Object.hasOwn(named, name) ? named[name] : Object.hasOwn(named, "") ? named[""] : undefined;
}

/** Names that options by column give. */
export function namedColumns({ kinds, decimal, thousands, dateOrder }: CsvOptions): Set<string> {
  return new Set(
    [kinds, decimal, thousands, dateOrder].flatMap((given) =>
      isPlain(given) ? Object.keys(given).filter((name) => name !== "") : []
    ),
  );
}

/** What an option by column is about. */
const about = {
  decimal: ["numeric", "numbers"],
  thousands: ["numeric", "numbers"],
  dateOrder: ["date", "dates"],
} as const satisfies Partial<Record<keyof CsvOptions, readonly [ColumnKind, string]>>;

/** What an option by column can decide of a column's cells. */
export type CellChoice = keyof typeof about;

/** The flag of each, and why it decides nothing. */
const idle: Readonly<Record<CellChoice, readonly [flag: string, because: string]>> = {
  decimal: ["--decimal", "no number there has a sign between its digits"],
  thousands: ["--thousands", "no number there has a sign that could part thousands"],
  dateOrder: ["--date-order", "every date there has the year first"],
};

/** A decided column, and whether an option decides, or confirms, anything of its cells. */
interface UsedColumn {
  readonly name: string;
  readonly kind: ColumnKind;
  readonly leaves: (choice: CellChoice) => boolean;
}

/**
 * What is said of ways to read numbers or dates that decide nothing here, as the next file of the kind may have such cells.
 *
 * @throws {OptionError} for one where no column of the file, or not the named one, holds numbers or dates at all.
 */
export function demandUse(file: string, options: CsvOptions, columns: readonly UsedColumn[]): string[] {
  const notes: string[] = [];
  for (const name of Object.keys(about) as CellChoice[]) {
    const given = options[name], [kind, what] = about[name], [flag, because] = idle[name];
    if (given === undefined) continue;
    const named = isPlain(given) ? Object.keys(given) : [""];
    for (const column of named) {
      const meant = columns.filter((own) => column === "" || own.name === column);
      // What a model that is given does not take is passed over with its column.
      if (column !== "" && meant.length === 0) continue;
      if (!meant.some((own) => own.kind === kind)) {
        throw new OptionError(
          column === ""
            ? `readCsv: ${name} has no effect because no column of ${file} holds ${what}; leave it out`
            : `readCsv: ${name} has no effect on column "${column}" because ${file} has no ${what} there; leave it out`,
        );
      }
      // What is said of all is said of those that nothing else is said of.
      const own = meant.filter((one) => one.kind === kind && (column !== "" || !named.includes(one.name)));
      if (own.some((one) => one.leaves(name))) continue;
      const on = column !== "" ? ` on column ${show(column)}` : named.length > 1 ? " on other columns" : "";
      notes.push(`${flag} has no effect${on} because ${because}`);
    }
  }
  return notes;
}

/**
 * The options given to `where`, checked.
 * @throws {OptionError} for what they cannot be.
 */
export function checkCsvOptions(where: string, given: CsvOptions | undefined): CsvOptions {
  const options = checkOptions(where, given, csvOptions, idleCsvOptions),
    { delimiter, decimal, thousands } = options;
  for (const name of ["quote", "escape"] as const) {
    if (delimiter !== undefined && delimiter === options[name]) {
      throw new OptionError(
        `${where}: ${name} is ${show(delimiter)}, expected another character than the delimiter`,
      );
    }
  }
  const left = [...namedColumns(options)].find((name) => options.ignore?.includes(name));
  if (left !== undefined) {
    throw new OptionError(
      `${where}: ignore names column "${left}", and another option says how it is read; leave one of them out`,
    );
  }
  for (const name of ["", ...namedColumns(options)]) {
    const sign = forColumn(decimal, name);
    if (sign === undefined || sign !== forColumn(thousands, name)) continue;
    throw new OptionError(
      `${where}: thousands is ${show(sign)}, expected another sign than that before decimals`,
    );
  }
  return options;
}
