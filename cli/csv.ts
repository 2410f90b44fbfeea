/**
 * How CSV files are read, as options of the tabular commands.
 *
 * @module
 */
import { oneOf, whole } from "../src/core/kinds.ts";
import type { ByColumn, ColumnKind, CsvOptions, Table } from "../mod.ts";
import type { Idle } from "../src/core/options.ts";
import { type Given, type Options, UsageError, type Values } from "./command.ts";
import { show } from "../src/core/show.ts";
import { counted, note } from "./output.ts";

/** How a CSV file is read; everything is found out when it is not given. */
export const csvOptions: Options = {
  delimiter: {
    value: "C",
    help: 'between cells; "tab", or "whitespace" for any number of spaces and tabulators',
  },
  quote: { value: "C", help: 'around cells; "none" when quotes are text like any other' },
  escape: { value: "C", help: 'before a quote inside of quotes; "none" when it is doubled' },
  "line-end": {
    value: "E",
    kind: oneOf("lf", "cr", "crlf", "any"),
    help: "what ends a row outside of quotes",
  },
  encoding: { value: "NAME", help: "utf-8, utf-16le, windows-1252 …" },
  "skip-lines": { value: "N", kind: whole(0), help: "lines before the table" },
  comment: { value: "TEXT", help: "what a line begins with that is no row" },
  header: { help: "the first row names the columns" },
  "no-header": { help: "the first row is data" },
  kind: {
    value: "COLUMN=K",
    multiple: true,
    help: "numeric, boolean, date or categorical (texts); again for more columns",
  },
  decimal: {
    value: "[COLUMN=]C",
    multiple: true,
    help: 'before decimals: "." or ","; of a column, or of all',
  },
  thousands: {
    value: "[COLUMN=]C",
    multiple: true,
    help: 'between thousands: "." or "," or space, apostrophe, none; of a column, or of all',
  },
  "date-order": {
    value: "[COLUMN=]O",
    multiple: true,
    help: "of dates like 03/04/2021: day-first or month-first; of a column, or of all",
  },
  missing: { value: "TEXT", multiple: true, help: "a text that stands for a missing value; again for more" },
  "no-default-missing": { help: "NA, NaN, null and what else pandas takes for missing are texts" },
  ignore: { value: "COLUMN", multiple: true, help: "leave a column out; again for more" },
  "max-cells": {
    value: "N",
    kind: whole(1000),
    help: "cells to hold in memory; of more, a sample of rows is used",
  },
  "explain-csv": { help: "also say what each of these decisions rests on" },
};

/** Options of a command that have no effect beside others; `unread` when no CSV file is read at all, and why. */
export function idleCsvOptions(unread: (given: Given) => boolean, because: string): Idle<Given>[] {
  return [
    { option: Object.keys(csvOptions), when: unread, because },
    {
      option: "escape",
      when: ({ quote }) => quote === "none",
      because: "--quote none leaves no quotes",
      unless: "none",
    },
  ];
}

/** A character by itself or by name. */
function character(
  values: Values,
  name: string,
  names: Readonly<Record<string, string | null>>,
): string | null | undefined {
  const text = values.text(name);
  if (text === undefined) return undefined;
  if (Object.hasOwn(names, text)) return names[text];
  if ([...text].length === 1) return text;
  throw new UsageError(
    `--${name} is one character or ${Object.keys(names).map((n) => `"${n}"`).join(" or ")}, not "${text}"`,
  );
}

/** Values of columns, or of all: `price=.`, `.`. */
function byColumn<T>(
  values: Values,
  name: string,
  names: Readonly<Record<string, T>>,
): ByColumn<T> | undefined {
  const found: Record<string, T> = {};
  for (const text of values.texts(name)) {
    const at = text.lastIndexOf("="), value = text.slice(at + 1), column = text.slice(0, Math.max(0, at));
    if (!Object.hasOwn(names, value)) {
      const list = Object.keys(names), known = list.map((one) => show(one)).join(" or ");
      throw new UsageError(
        name === "kind"
          ? `--kind is one of ${list.join(", ")}, as in "zip=categorical", not ${show(text)}`
          : `--${name} is ${known}, or COLUMN= and one of them, not ${show(text)}`,
      );
    }
    if (Object.hasOwn(found, column)) {
      const of = column === "" ? "all columns" : `column ${show(column)}`;
      throw new UsageError(`--${name} is given twice for ${of}; give it once`);
    }
    found[column] = names[value];
  }
  return Object.keys(found).length === 0 ? undefined : found;
}

const kinds: Readonly<Record<string, ColumnKind>> = {
  ...{ numeric: "numeric", boolean: "boolean", date: "date", categorical: "categorical" },
};

/** {@link csvOptions} as the library wants them. */
export function readCsvOptions(values: Values): CsvOptions {
  if (values.flag("header") && values.flag("no-header")) {
    throw new UsageError("--header and --no-header exclude each other");
  }
  const bare = values.texts("kind").find((text) => text.lastIndexOf("=") < 1);
  if (bare !== undefined) {
    throw new UsageError(
      `--kind is a column and what it holds, as in "zip=categorical", not ${show(bare)}`,
    );
  }
  const given: CsvOptions & Record<string, unknown> = {
    delimiter: character(values, "delimiter", { tab: "\t", whitespace: "whitespace" }) as string,
    quote: character(values, "quote", { none: null }) as string,
    escape: character(values, "escape", { none: null }) as string,
    lineEnd: values.text("line-end") as "lf",
    encoding: values.text("encoding") as string,
    skipLines: values.number("skip-lines") as number,
    comment: values.text("comment") as string,
    header: (values.flag("header") ? true : values.flag("no-header") ? false : undefined) as boolean,
    kinds: byColumn(values, "kind", kinds) as Record<string, ColumnKind>,
    decimal: byColumn(values, "decimal", { ".": ".", ",": "," } as const) as ".",
    thousands: byColumn(
      values,
      "thousands",
      { ".": ".", ",": ",", " ": " ", "'": "'", space: " ", apostrophe: "'", none: null } as const,
    ) as ".",
    dateOrder: byColumn(
      values,
      "date-order",
      { "day-first": "day first", "month-first": "month first" } as const,
    ) as "day first",
    missing: values.texts("missing"),
    defaultMissing: !values.flag("no-default-missing"),
    ignore: values.texts("ignore"),
    maxCells: values.number("max-cells") as number,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** Says in one line how a file was understood; with `--explain-csv`, also why. */
export async function sayReading(table: Table, values: Values, rate = ""): Promise<void> {
  const rows = counted(table.rowsInFile, "row");
  const [summary, ...notes] = table.notes;
  await note(`${table.name}: ${rows}, ${summary}${rate}`);
  for (const text of notes) await note(`${table.name}: ${text}`);
  if (values.flag("explain-csv")) {
    for (const line of table.reading?.evidence ?? []) {
      await note(`  ${line}`);
    }
  }
}
