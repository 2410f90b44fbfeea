/**
 * One column about to be decided: its cells counted by what they are, and the sentence for those that do not fit.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import { nounOf } from "../../core/show.ts";
import type { TableColumn } from "../table.ts";
import type { ColumnKind } from "../types.ts";
import { type ColumnStore, type FormCount, forms, isMissing, type TextCount } from "./column_store.ts";
import type { DayOrder } from "./dates.ts";
import { isMissingMark } from "./words.ts";

/** A column that was read, and what is known of it beforehand. */
export interface ColumnToDecide {
  /** The file. */
  readonly file: string;
  /** Its name. */
  readonly name: string;
  /** Where it stands, the first being 1. */
  readonly position: number;
  /** Its cells. */
  readonly store: ColumnStore;
  /** How many rows it has. */
  readonly rows: number;
  /** What it holds, when that was given or a model demands it. */
  readonly kind: ColumnKind | null;
  /** Whether a model demands it. */
  readonly demanded: boolean;
  /** The texts of false and true that a model knows. */
  readonly pair: readonly string[] | null;
  /** The order of day and month, when it was given or a model has it. */
  readonly dateOrder: DayOrder | null;
}

/** A decided column. */
export interface DecidedColumn {
  /** The column. */
  readonly column: TableColumn;
  /** Why it is what it is, in words. */
  readonly evidence: string;
  /** What a reader should hear without asking. */
  readonly notes: readonly string[];
}

const inEnglish = new Intl.NumberFormat("en");

/** A number of cells: 12,345. */
export function counted(count: number): string {
  return inEnglish.format(count);
}

/** "1 cell", "2 cells". */
export function plural(count: number, what: string): string {
  return `${counted(count)} ${nounOf(count, what)}`;
}

/** At most so many cells are named, and so many characters of one. */
const mostNamed = 5, mostShown = 60;

/** A text without line ends, for messages, which are one line. */
export function oneLine(text: string): string {
  return text.replace(/[\r\n\t]+/g, " ");
}

/** A cell or a name in messages. */
export function shown(text: string): string {
  return `"${oneLine(text.length > mostShown ? `${text.slice(0, mostShown)}…` : text)}"`;
}

/** Whether the form is that of a date. */
export function isDate(form: number): boolean {
  return form >= forms.dates && form < forms.numbers;
}

/** Whether the form is that of a number, infinite ones included. */
export function isNumber(form: number): boolean {
  return form >= forms.numbers || form === forms.infinite;
}

/** A column with its cells counted. */
export class Decision {
  /** The column. */
  readonly of: ColumnToDecide;
  /** Its cells by form. */
  readonly counts: readonly FormCount[];
  /** Its texts that are neither number nor date, and stand for no missing value among such. */
  readonly texts: readonly TextCount[];
  /** Its texts that stand for a missing value among numbers, dates, yes and no. */
  readonly marks: readonly TextCount[];
  /** How many cells are not missing. */
  readonly known: number;

  /** Counts the cells. */
  constructor(of: ColumnToDecide) {
    this.of = of;
    this.counts = of.store.formCounts(of.rows);
    const texts = of.store.textCounts(of.rows);
    this.texts = texts.filter(({ text }) => !isMissingMark(text));
    this.marks = texts.filter(({ text }) => isMissingMark(text));
    this.known = this.countOf((form) => !isMissing(form));
  }

  /** How many cells have such a form. */
  countOf(is: (form: number) => boolean): number {
    return this.counts.reduce((sum, { form, count }) => sum + (is(form) ? count : 0), 0);
  }

  /** The column as it is in a table. */
  column(kind: ColumnKind, values: Float64Array, more: Partial<TableColumn> = {}): TableColumn {
    const { name, position } = this.of;
    return { name, position, kind, values, texts: [], overflowed: false, ...more };
  }

  /** Texts, and cells of such forms with the first of each, in the order of rows. */
  among(is: (form: number) => boolean): (TextCount | FormCount)[] {
    return [...this.texts, ...this.counts.filter(({ form }) => form !== forms.text && is(form))]
      .sort((a, b) => a.row - b.row);
  }

  /** What is said of texts that are taken as missing. */
  markNotes(): string[] {
    return this.marks.map(({ text, count, row }) =>
      `column ${shown(this.of.name)}: ${plural(count, "cell")} ${shown(text)} (row ${row}${
        count === 1 ? "" : " and on"
      }) ` +
      `${count === 1 ? "is" : "are"} taken as missing`
    );
  }

  /** How many cells are missing, and how the first of each way is written. */
  missing(): string[] {
    const found = this.counts.filter(({ form }) => isMissing(form));
    if (found.length === 0) return [];
    const cells = found.reduce((sum, { count }) => sum + count, 0);
    const ways = found.map(({ text, row }) => `row ${row}: ${text === "" ? "empty" : shown(text)}`);
    return [`${plural(cells, "cell")} missing (${ways.join(", ")})`];
  }

  /** @throws {FormatError} that names cells which are not what the others are. */
  refuse(failures: readonly (TextCount | FormCount)[], fitting: number, what: string): never {
    const { file, name, demanded } = this.of, [first] = failures, { text, row } = first;
    const infinite = "form" in first && first.form === forms.infinite;
    const where = fitting > 0
      ? `where ${counted(fitting)} other row${fitting === 1 ? " holds" : "s hold"} ${what}`
      : `where ${what} are ${demanded ? "what the model takes" : "asked for"}`;
    const escape = demanded
      ? ""
      : `, take the column as texts with --kind "${
        oneLine(name)
      }=categorical", or leave it out with --ignore ${shown(name)}`;
    throw new FormatError(
      `${file}: row ${row}, column ${shown(name)} holds ${shown(text)}, ${
        infinite ? "which is no finite number" : where
      }${others(failures)}; correct it, leave the cell empty, name it as missing with --missing ${
        shown(text)
      }${escape}`,
    );
  }
}

/** The cells behind the first that are also in the way. */
export function others(failures: readonly (TextCount | FormCount)[]): string {
  const cells = failures.reduce((sum, { count }) => sum + count, 0);
  if (cells === 1) return "";
  const named = failures.slice(1, mostNamed).map(({ text, row }) => `row ${row} ${shown(text)}`);
  return ` (${named.length > 0 ? `also ${named.join(", ")}; ` : ""}${plural(cells, "such cell")})`;
}
