/**
 * What can be said about how a CSV file is to be read.
 *
 * @module
 */
import { OptionError } from "../../core/errors.ts";
import type { ColumnKind } from "../types.ts";
import type { DayOrder } from "./dates.ts";
import type { DecimalSign, ThousandsSign } from "./numbers.ts";
import type { LineEnd } from "./records.ts";
import { encodingName } from "./text_input.ts";

/** How far reading has come. */
export interface CsvProgress {
  /** Bytes read. */
  readonly bytes: number;
  /** Rows read. */
  readonly rows: number;
}

/** One value for all columns, or one for each that is named; the name "" stands for the others. */
export type ByColumn<T> = T | Readonly<Record<string, T>>;

/** Options of `readCsv`. All of them but the limits are found out when not given, and `Table.reading` says why. */
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

/** What each column holds, in words. */
export const columnKinds: readonly ColumnKind[] = ["numeric", "boolean", "date", "categorical"];

/** Signs before decimals. */
export const decimalSigns: readonly DecimalSign[] = [".", ","];

/** Signs between thousands. */
export const thousandsSigns: readonly ThousandsSign[] = [".", ",", " ", "'"];

/** Orders of day and month. */
export const dayOrders: readonly DayOrder[] = ["day first", "month first"];

/** Kinds of line ends. */
export const lineEndKinds: readonly LineEnd[] = ["lf", "cr", "crlf", "any"];

/** The values of an option by column: one for all is under no name. */
function valuesOf<T>(given: ByColumn<T> | undefined): T[] {
  if (given === undefined) return [];
  return typeof given === "object" && given !== null ? Object.values(given) : [given];
}

/** What is given for a column. */
export function forColumn<T>(given: ByColumn<T> | undefined, name: string): T | undefined {
  if (typeof given !== "object" || given === null) return given;
  const named = given as Readonly<Record<string, T>>;
  return Object.hasOwn(named, name) ? named[name] : Object.hasOwn(named, "") ? named[""] : undefined;
}

/** Names that options by column give. */
export function namedColumns({ kinds, decimal, thousands, dateOrder }: CsvOptions): Set<string> {
  return new Set(
    [kinds, decimal, thousands, dateOrder].flatMap((given) =>
      typeof given === "object" && given !== null ? Object.keys(given).filter((name) => name !== "") : []
    ),
  );
}

/** @throws {OptionError} for values that cannot be. */
export function checkCsvOptions(options: CsvOptions): void {
  const one = (name: string, value: string | null | undefined, words: readonly string[] = []): void => {
    if (value === undefined || value === null || words.includes(value)) return;
    if (typeof value !== "string" || [...value].length !== 1 || /[\r\n]/.test(value)) {
      const others = words.map((word) => ` or "${word}"`).join("");
      throw new OptionError(`${name}: one character${others}, not ${JSON.stringify(value)}`);
    }
  };
  const among = <T>(name: string, given: ByColumn<T> | undefined, allowed: readonly T[]): void => {
    for (const value of valuesOf(given)) {
      if (!allowed.includes(value)) {
        throw new OptionError(
          `${name}: one of ${allowed.map((v) => JSON.stringify(v)).join(", ")}, not ${JSON.stringify(value)}`,
        );
      }
    }
  };
  const { delimiter, quote, escape, decimal, thousands } = options;
  one("delimiter", delimiter, ["whitespace"]);
  one("quote", quote);
  one("escape", escape);
  if (delimiter !== undefined && (delimiter === quote || delimiter === escape)) {
    throw new OptionError(
      `delimiter: another character than the quote, not ${JSON.stringify(delimiter)} for both`,
    );
  }
  if (options.comment !== undefined && (options.comment === "" || /[\r\n]/.test(options.comment))) {
    throw new OptionError("comment: the characters that a comment begins with, at least one");
  }
  among("lineEnd", options.lineEnd, lineEndKinds);
  among("kinds", options.kinds, columnKinds);
  among("decimal", decimal, decimalSigns);
  among("thousands", thousands, [...thousandsSigns, null]);
  among("dateOrder", options.dateOrder, dayOrders);
  for (const name of new Set(["", ...namedColumns(options)])) {
    const sign = forColumn(decimal, name);
    if (sign !== undefined && sign === forColumn(thousands, name)) {
      throw new OptionError(
        `thousands: another sign than that before decimals, not ${JSON.stringify(sign)} for both`,
      );
    }
  }
  if (options.encoding !== undefined) encodingName(options.encoding);
  const least = (name: "skipLines" | "maxCells" | "seed", value: number): void => {
    const given = options[name];
    if (given !== undefined && (!Number.isSafeInteger(given) || given < value)) {
      throw new OptionError(`${name}: a whole number from ${value}, not ${given}`);
    }
  };
  least("skipLines", 0);
  least("maxCells", 1);
  least("seed", 0);
}
