/**
 * What is to be predicted: the task, its classes, its numbers, and a line that explains the choice.
 *
 * @module
 */
import { FormatError, OptionError } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import { boundsOf, checkF32, checkSpread, originOf } from "./f32.ts";
import { evenQuantiles } from "./quantiles.ts";
import type { Table, TableColumn } from "./table.ts";
import type { Target, Task } from "./types.ts";

/**
 * How the target is chosen.
 *
 * @category Tables
 */
export interface TargetOptions {
  /** The column to predict. Default: the last. */
  target?: string;
  /** What to predict. Default: found out, see {@link readTarget}. */
  task?: Task;
  /**
   * Turns a number into classes: cuts in ascending order, each the largest value of its class. [5, 6] makes "≤ 5",
   * "6" and "≥ 7" of whole numbers.
   */
  bins?: readonly number[];
}

/** The rows of a table that can be learned from, and what they should give. */
export interface TargetValues {
  /** The column. */
  readonly column: TableColumn;
  /** The task. */
  readonly task: Task;
  /** Names of the classes, sorted; empty for regression. */
  readonly classes: readonly string[];
  /** Rows of the table with a known target. */
  readonly rows: Int32Array;
  /** For each row of the table its class or value; NaN where it is not known. */
  readonly values: Float64Array;
  /** One line: what was chosen, and by which rule. */
  readonly explanation: string;
}

/** Whole numbers with at most so many different values are classes. */
const mostNumericClasses = 10;

/**
 * Reads the target. Text and yes/no columns are classes; whole numbers with at most 10 different values, each in two
 * rows or more, are classes; other numbers are values.
 *
 * @throws {FormatError} when there is no known target, one class only, or a class that is in one row only.
 * @throws {OptionError} for options that do not fit the column.
 */
export function readTarget(table: Table, options: TargetOptions = {}): TargetValues {
  const candidate = candidateOf(table, options), { column, rows, where } = candidate, { bins } = options;
  if (bins !== undefined) {
    if (column.kind !== "numeric") {
      throw new OptionError(`${where} holds ${column.kind} cells; bins are for numbers`);
    }
    return classesOf(candidate, {
      ...cut(column.values, bins),
      why: `classes by the cuts ${bins.join(", ")}`,
    });
  }
  if (column.kind !== "numeric") {
    if (options.task !== "regression") return classesOf(candidate, textClasses(candidate));
    if (column.kind !== "boolean") {
      throw new OptionError(`${where} holds texts; regression needs numbers, so use classification`);
    }
    return numbersOf(candidate, table, "as asked");
  }
  const distinct = distinctValues(column.values, mostNumericClasses + 1),
    some = distinct.length <= mostNumericClasses;
  const few = some && distinct.every(Number.isInteger) && rows.length >= 2 * distinct.length;
  if ((options.task ?? (few ? "classification" : "regression")) === "regression") {
    const more = some ? "" : ` with more than ${mostNumericClasses} different values`;
    return numbersOf(candidate, table, options.task ? "as asked" : `numbers${more}`, distinct);
  }
  const all = few ? distinct : distinctValues(column.values, Infinity);
  if (all.length > 1000) {
    throw new OptionError(`${where} has ${counted(all.length, "different number")}; that is regression`);
  }
  const index = new Map(all.map((value, i) => [value, i]));
  return classesOf(candidate, {
    names: all.map(String),
    values: Float64Array.from(column.values, (value) => index.get(value) ?? NaN),
    why: options.task ? "as asked" : `${all.length} different whole numbers`,
  });
}

/** The column that is to be predicted, its rows with a value, and how messages call it. */
interface CandidateColumn {
  readonly column: TableColumn;
  readonly rows: Int32Array;
  readonly where: string;
  /** Who chose it. */
  readonly chosen: string;
}

/** @throws {FormatError} for a column that cannot be predicted, whatever the task. */
function candidateOf(table: Table, { target }: TargetOptions): CandidateColumn {
  const column = target === undefined ? table.columns[table.columns.length - 1] : table.column(target);
  const where = `${table.name}: the target, column "${column.name}",`;
  if (table.columns.length < 2) {
    throw new FormatError(
      `${where} is the only one: one column only, and at least two are needed, one of them to predict (is the delimiter ` +
        "another one?)",
    );
  }
  if (column.kind === "date") {
    throw new FormatError(
      `${where} holds dates, which are no classes and no plain numbers; choose another with --target`,
    );
  }
  const known: number[] = [];
  for (let row = 0; row < table.rows; row++) if (!Number.isNaN(column.values[row])) known.push(row);
  if (known.length === 0) throw new FormatError(`${where} has no value in any row`);
  const chosen = target === undefined ? "the last column" : "as asked";
  return { column, rows: Int32Array.from(known), where, chosen };
}

/** Regression. @throws {FormatError} where there is one value only, the first of a few `distinct` ones. */
function numbersOf(
  { column, rows, where, chosen }: CandidateColumn,
  table: Table,
  why: string,
  distinct?: readonly number[],
): TargetValues {
  checkF32(table, column);
  if (distinct?.length === 1) {
    throw new FormatError(`${where} is ${distinct[0]} in every row: there is nothing to learn`);
  }
  const explanation = `target "${column.name}" (${chosen}): regression (${why})`;
  return { column, task: "regression", classes: [], rows, values: column.values, explanation };
}

/** Classes: their names, the class of each row of the table (NaN where it is not known), and by which rule. */
interface Classes {
  readonly names: readonly string[];
  readonly values: Float64Array;
  readonly why: string;
}

/** Each text is a class, or yes and no are. @throws {FormatError} for too many texts. */
function textClasses({ column, rows, where }: CandidateColumn): Classes {
  const isBoolean = column.kind === "boolean",
    names = isBoolean ? [...column.texts] : column.texts.toSorted();
  const index = isBoolean ? [0, 1] : column.texts.map((text) => names.indexOf(text));
  if (column.overflowed || names.length > Math.max(1000, 0.5 * rows.length)) {
    throw new FormatError(
      `${where} has ${names.length} or more different texts: too many to be classes; choose another with --target`,
    );
  }
  const values = Float64Array.from(column.values, (code) => Number.isNaN(code) ? NaN : index[code] ?? NaN);
  return { names, values, why: isBoolean ? "yes or no" : "texts" };
}

/** Classification. @throws {FormatError} for one class only, or a class of one row only. */
function classesOf(
  { column, rows, where, chosen }: CandidateColumn,
  { names, values, why }: Classes,
): TargetValues {
  const counts = new Array<number>(names.length).fill(0), first = new Array<number>(names.length).fill(-1);
  for (const row of rows) {
    if (counts[values[row]]++ === 0) first[values[row]] = row;
  }
  if (names.length < 2) {
    throw new FormatError(
      `${where} has one class only ("${names[0]}", in all ${
        counted(rows.length, "row")
      }): there is nothing to learn`,
    );
  }
  const lonely = counts.findIndex((count) => count < 2);
  if (lonely >= 0) {
    const where2 = counts[lonely] === 0 ? "in no row" : `in one row only (data row ${first[lonely] + 1})`;
    throw new FormatError(
      `${where} has the class "${
        names[lonely]
      }" ${where2}; at least 2 rows a class are needed to learn and to test`,
    );
  }
  const kind = names.length === 2
    ? "binary classification"
    : `classification into ${counted(names.length, "class", "classes")}`;
  const explanation = `target "${column.name}" (${chosen}): ${kind} (${why})`;
  return { column, task: "classification", classes: names, rows, values, explanation };
}

/** The different known values in ascending order; stops looking beyond `most` of them. */
function distinctValues(values: Float64Array, most: number): number[] {
  const found = new Set<number>();
  for (const value of values) {
    if (!Number.isNaN(value)) found.add(value);
    if (found.size > most) break;
  }
  return [...found].sort((a, b) => a - b);
}

/** Classes by cuts, and their names. */
function cut(numbers: Float64Array, cuts: readonly number[]): { values: Float64Array; names: string[] } {
  if (cuts.length === 0 || cuts.some((c, i) => !Number.isFinite(c) || (i > 0 && c <= cuts[i - 1]))) {
    throw new OptionError(`bins: cuts are numbers in ascending order, not ${cuts.join(", ")}`);
  }
  const whole = cuts.every(Number.isInteger) && numbers.every((n) => Number.isNaN(n) || Number.isInteger(n));
  const names = [...cuts, Infinity].map((high, i) => {
    if (i === 0) return `≤ ${high}`;
    const low = cuts[i - 1];
    if (high === Infinity) return whole ? `≥ ${low + 1}` : `> ${low}`;
    if (!whole) return `${low} – ${high}`;
    return low + 1 === high ? `${high}` : `${low + 1} – ${high}`;
  });
  const values = Float64Array.from(numbers, (n) => {
    if (Number.isNaN(n)) return NaN;
    const i = cuts.findIndex((c) => n <= c);
    return i < 0 ? cuts.length : i;
  });
  return { values, names };
}

/** What a model keeps of its target, from the training rows. */
export function describeTarget(
  { column, task, classes, values }: TargetValues,
  rows: ArrayLike<number>,
): Target {
  const none = { mean: 0, std: 0, min: 0, max: 0, quantiles: [] };
  if (task === "classification") {
    const counts = new Array<number>(classes.length).fill(0);
    for (let i = 0; i < rows.length; i++) counts[values[rows[i]]]++;
    return { name: column.name, task, classes, counts, ...none };
  }
  const known = Float64Array.from({ length: rows.length }, (_, i) => values[rows[i]]);
  const mean = known.reduce((sum, v) => sum + v, 0) / known.length;
  const std = Math.sqrt(known.reduce((sum, v) => sum + (v - mean) ** 2, 0) / known.length) || 1;
  const [min, max] = boundsOf(known), origin = originOf(min, max, std);
  checkSpread(`the target, column "${column.name}",`, min, max, std);
  const round = (value: number): number => origin + Math.fround(value - origin);
  const quantiles = Array.from(evenQuantiles(known, 20), round);
  const rounded = {
    mean: round(mean),
    std: Math.fround(std),
    min: quantiles[0],
    max: quantiles[20],
    quantiles,
    ...(origin === 0 ? {} : { origin }),
  };
  return { name: column.name, task, classes: [], counts: [], ...rounded };
}
