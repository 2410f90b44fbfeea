/**
 * Records into the columns of a table.
 *
 * @module
 */
import { FormatError, OptionError } from "../../core/errors.ts";
import { hint } from "../../core/nearest.ts";
import { Generator } from "../../core/random.ts";
import { counted, listed, show } from "../../core/show.ts";
import { Table, type TableColumn } from "../table.ts";
import type { CellForm, Column, ColumnKind } from "../types.ts";
import { ColumnStore, isMissing } from "./column_store.ts";
import { decideColumn } from "./decide.ts";
import { type DecidedColumn, shown } from "./decision.ts";
import { delimiterName, type Judged } from "./dialect.ts";
import type { DecimalSign, NumberGrammar } from "./numbers.ts";
import { leavesOrder } from "./date_column.ts";
import { leavesSign, numbersOf, type Witness, type Witnesses, witnesses } from "./number_column.ts";
import { type CsvOptions, demandUse, forColumn, namedColumns } from "./options.ts";
import { missingTest, missingTexts } from "./words.ts";

/**
 * How the file that a model was fitted on was laid out.
 *
 * @category Tables
 */
export interface CsvShape {
  /** Between its cells. */
  readonly delimiter: string;
  /** Whether it had names. */
  readonly header: boolean;
  /** The sign before decimals, where all columns that tell have the same. */
  readonly decimal?: DecimalSign;
  /** All of its columns in order, the target and those left out included. */
  readonly names: readonly string[];
}

/**
 * What a model takes: then columns are looked for by name, and read as in the data that it was fitted on.
 *
 * @category Tables
 */
export interface Expected {
  /** Its input columns. */
  readonly columns: readonly Column[];
  /** What it predicts, which a file may have or not. */
  readonly target: string;
  /** The file it was fitted on; null when that is not known. */
  readonly csv: CsvShape | null;
  /** Names that a header may have. */
  readonly names: ReadonlySet<string>;
}

/** A column of the file that is kept. */
interface KeptColumn {
  readonly name: string;
  readonly at: number;
  readonly store: ColumnStore;
  readonly kind: ColumnKind | null;
  readonly demanded: Column | null;
}

function decimalOf(csv: CsvShape | null | undefined): NumberGrammar {
  return csv?.decimal === undefined ? {} : { decimal: csv.decimal };
}

function withoutPoint(column: TableColumn): TableColumn {
  if (column.form?.decimal !== ".") return column;
  const { form: { decimal: _, ...form }, ...rest } = column;
  return Object.keys(form).length === 0 ? rest : { ...rest, form };
}

/** Names that come twice get a number. */
function uniqueNames(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    let own = name;
    for (let times = 2; taken.has(own); times++) own = `${name} (${times})`;
    taken.add(own);
    return own;
  });
}

/** Takes records one after the other. */
export class TableBuilder {
  readonly #name: string;
  readonly #judged: Judged;
  readonly #options: CsvOptions;
  readonly #expected: Expected | null;
  /** Texts that were said to stand for missing values, and that no cell is so far. */
  readonly #unmet: Set<string>;
  readonly #names: readonly string[];
  readonly #columns: readonly KeptColumn[];
  /** The record where the table begins, from 1. */
  readonly #first: number;
  readonly #sep: boolean;
  readonly #maxRows: number;
  readonly #random: Generator;
  #rows = 0;
  /** How many rows were added. */
  rowsInFile = 0;

  /** `before` records stand before those that were judged; `sep` when one of them said the delimiter. */
  constructor(
    name: string,
    judged: Judged,
    before: number,
    sep: boolean,
    options: CsvOptions,
    expected: Expected | null,
  ) {
    this.#name = name;
    this.#judged = judged;
    this.#sep = sep;
    this.#options = options;
    this.#expected = expected;
    this.#first = before + judged.layout.start + 1;
    this.#names = this.#nameColumns();
    for (
      const [what, list] of [["to leave out", options.ignore ?? []], [
        "that options name",
        namedColumns(options),
      ]] as const
    ) {
      for (const unknown of list) {
        if (this.#names.includes(unknown) || expected?.names.has(unknown)) continue;
        throw new FormatError(
          `${name} has no column "${unknown}" ${what}${hint(unknown, this.#names)}`,
        );
      }
    }
    const ignored = new Set(options.ignore ?? []);
    const { missing = [], defaultMissing = true } = options;
    const isMissingText = missingTest([
      ...(defaultMissing ? missingTexts : []),
      ...missing.map((text) => text.trim()),
    ]);
    const unmet = this.#unmet = new Set(missing.map((text) => text.trim()).filter((text) => text !== ""));
    const missingText = (text: string): boolean => {
      const isMissing = isMissingText(text);
      if (isMissing && unmet.size > 0) unmet.delete(text);
      return isMissing;
    };
    this.#columns = this.#names.flatMap((column, at): KeptColumn[] => {
      const demanded = expected?.columns.find((own) => own.name === column && own.ignored === null) ?? null;
      if (ignored.has(column) || (expected !== null && demanded === null)) return [];
      const given = options.kinds !== undefined && Object.hasOwn(options.kinds, column)
        ? options.kinds[column]
        : null;
      if (demanded !== null && given !== null && given !== demanded.kind) {
        throw new OptionError(
          `kinds: the model takes ${demanded.kind} cells in column "${column}", so it cannot be ${given}`,
        );
      }
      const kind = demanded?.kind ?? given;
      return [{
        name: column,
        at,
        demanded,
        kind,
        store: new ColumnStore(missingText, kind === "categorical" || kind === "boolean"),
      }];
    });
    this.#maxRows = Math.max(
      1000,
      Math.floor((options.maxCells ?? 50_000_000) / Math.max(1, this.#columns.length)),
    );
    this.#random = new Generator(options.seed ?? 0);
  }

  /** The names of the columns, in the order of the file. */
  #nameColumns(): string[] {
    const { layout, first } = this.#judged, { width, header, index, hash } = layout;
    const byPosition = Array.from({ length: width }, (_, i) => `column ${i + 1}`);
    if (!header) {
      return this.#expected === null ? byPosition : this.#expectedNames(this.#expected, width) ?? byPosition;
    }
    const cells = index ? ["", ...first] : first.slice(0, width);
    return uniqueNames(cells.map((cell, i) => {
      const name = i === 0 && hash ? cell.replace(/^#\s*/, "") : cell;
      return name.trim() === "" ? byPosition[i] : name.trim();
    }));
  }

  /** The names of a file without names, by the place of its columns. */
  #expectedNames({ csv, target, columns }: Expected, width: number): string[] | null {
    const given = this.#options.header === false;
    if (csv?.header === false || given) {
      const all = csv?.names ?? [...columns.map(({ name }) => name), target];
      for (const names of [all, all.filter((name) => name !== target)]) {
        if (names.length === width) return [...names];
      }
      throw new FormatError(
        `${this.#name} has ${
          counted(width, "column")
        } without names, and the model was fitted on ${all.length} (${listed(all)})`,
      );
    }
    if (csv === null) return null;
    throw new FormatError(
      `${this.#name}: row ${this.#first} has none of the columns that the model was fitted on: ${
        listed(columns.map(({ name }) => name))
      }; say --no-header when the columns are those, in that order`,
    );
  }

  /**
   * Takes a record; `row` is its number in the file, from 1.
   * @throws {FormatError} for one of another length.
   */
  add(record: readonly string[], row: number): void {
    const { header } = this.#judged.layout, { length } = record;
    if (row < this.#first || (row === this.#first && header) || length === 0) return;
    const width = this.#names.length;
    if (length !== width && !(length === width + 1 && record[width].trim() === "")) {
      throw new FormatError(
        `${this.#name}: row ${row} has ${counted(length, "column")}, and row ${this.#first} has ${width}; ` +
          `${
            length < width
              ? `column ${shown(this.#names[length])} and on are missing`
              : `column ${width + 1} holds ${shown(record[width])}`
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
    for (const { at, store } of this.#columns) store.set(index, record[at], row);
  }

  /**
   * Decides what the columns hold.
   * @throws {FormatError} for cells that do not fit, and a table without rows.
   */
  finish(encoding: string, encodingWhy: string, idleDialect: readonly string[] = []): Table {
    const rows = this.#rows, { layout, dialect, evidence } = this.#judged;
    if (rows === 0) {
      throw new FormatError(
        `${this.#name} has no rows${
          layout.header ? ` below the names of its columns in row ${this.#first}` : ""
        }`,
      );
    }
    // Columns of texts with some numbers say nothing of how the file writes numbers.
    const said = this.#columns.map((column) => {
      const counts = column.store.formCounts(rows), numbers = numbersOf(counts);
      const known = counts.reduce((sum, { form, count }) => sum + (isMissing(form) ? 0 : count), 0);
      const own = numbers.reduce((sum, { count }) => sum + count, 0);
      return 2 * own > known ? witnesses(column.name, numbers) : { ".": null, ",": null };
    });
    const all = { ".": said.flatMap((w) => w["."] ?? []), ",": said.flatMap((w) => w[","] ?? []) };
    const decided: DecidedColumn[] = [], kept: KeptColumn[] = [];
    this.#columns.forEach((column) => {
      const other = (sign: "." | ","): Witness | null =>
        all[sign].find((w) => w.column !== column.name) ?? null;
      const found = this.#decide(column, { ".": other("."), ",": other(",") });
      // A delimiter at the end of every line makes a column without name and content.
      const nameless = column.name === `column ${column.at + 1}` && this.#expected === null;
      if (nameless && found.column.values.every(Number.isNaN)) return;
      decided.push(found);
      kept.push(column);
    });
    const idle = demandUse(
      this.#name,
      this.#options,
      decided.map(({ column: { name, kind } }, i) => ({
        name,
        kind,
        leaves(choice) {
          const counts = kept[i].store.formCounts(rows);
          return choice === "dateOrder" ? leavesOrder(counts) : leavesSign(choice, numbersOf(counts));
        },
      })),
    );
    const signs = new Set(decided.flatMap(({ column }) => column.form?.decimal ?? []));
    const decimal = signs.size === 1 ? [...signs][0] : null;
    // A point is said once, unless other columns have a comma.
    const columns = decided.map(({ column }) => decimal === "." ? withoutPoint(column) : column);
    const reading = {
      encoding,
      delimiter: dialect.delimiter,
      header: layout.header,
      names: this.#names,
      decimal,
      evidence: [
        `encoding ${encoding}: ${encodingWhy}`,
        ...(this.#sep ? ["row 1 says the delimiter, and is no row of the table"] : []),
        ...evidence,
        ...decided.map(({ column, evidence }) =>
          `column ${column.position} ${shown(column.name)}, ${column.kind}: ${evidence}`
        ),
      ],
    };
    const notes = [
      this.#summary(encoding, columns.map(({ form }) => form ?? {})),
      ...(layout.index
        ? [`row ${this.#first} has one cell fewer than the rows: the first column is an index without a name`]
        : []),
      ...decided.flatMap(({ notes }) => notes),
      ...idle,
      ...idleDialect,
      ...(this.#expected === null && this.#unmet.size > 0
        ? [`--missing ${[...this.#unmet].map(show).join(", ")} has no effect because no cell is such a text`]
        : []),
    ];
    if (rows < this.rowsInFile) {
      notes.push(
        `${
          counted(this.rowsInFile, "row")
        } are more than fit in memory: a uniform sample of ${rows} of them is used`,
      );
    }
    return new Table({ name: this.#name, columns, rows, rowsInFile: this.rowsInFile, notes, reading });
  }

  #decide({ name, at, store, kind, demanded }: KeptColumn, others: Witnesses): DecidedColumn {
    const { decimal, thousands, dateOrder } = this.#options, form: CellForm | undefined = demanded?.form;
    return decideColumn({
      ...{ file: this.#name, name, position: at + 1, store, rows: this.#rows, kind },
      demanded: demanded !== null,
      pair: demanded?.kind === "boolean" && demanded.categories.length === 2 ? demanded.categories : null,
      dateOrder: forColumn(dateOrder, name) ?? form?.dateOrder ?? null,
    }, {
      given: { decimal: forColumn(decimal, name), thousands: forColumn(thousands, name) },
      expected: demanded === null ? null : { ...decimalOf(this.#expected?.csv), ...form },
      others,
      delimiter: this.#judged.dialect.delimiter,
    });
  }

  /** One line: how the file was understood. */
  #summary(encoding: string, forms: readonly CellForm[]): string {
    const { dialect, layout } = this.#judged, width = this.#names.length;
    const thousands = [...new Set(forms.flatMap((form) => form.thousands ?? []))];
    return [
      counted(width, "column"),
      ...(width === 1 ? [] : [`delimiter ${delimiterName(dialect.delimiter)}`]),
      ...(encoding === "utf-8" ? [] : [encoding]),
      ...(dialect.quote === '"' ? [] : [dialect.quote === null ? "no quotes" : `quotes ${dialect.quote}`]),
      !layout.header
        ? "no header: columns are named by position"
        : `names in ${this.#first === 1 ? "the first row" : `row ${this.#first}`}`,
      ...(forms.some(({ decimal }) => decimal === ",") ? ["decimal comma"] : []),
      ...(thousands.length === 0
        ? []
        : [`thousands parted by ${thousands.map((sign) => `"${sign}"`).join(" and ")}`]),
      ...(forms.some(({ dateOrder }) => dateOrder === "day first") ? ["dates with the day first"] : []),
    ].join(", ");
  }
}
