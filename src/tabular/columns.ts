/**
 * What is known about each input column from the training rows: range, quantiles, categories, and whether it can be
 * an input at all.
 *
 * @module
 */
import { counted } from "../core/show.ts";
import { checkF32, checkSpread, originOf } from "./f32.ts";
import { evenQuantiles } from "./quantiles.ts";
import { orderTells, textsTell } from "./relevance.ts";
import type { Table, TableColumn } from "./table.ts";
import type { Column } from "./types.ts";

/** Categories beyond these many, the rarest, are treated as not seen; those of a column that is kept by name later. */
export const mostCategories = 32, mostKeptCategories = 1000;

/** Quantiles are taken from at most so many rows, evenly spread. */
const mostForQuantiles = 100_000;

/** A text column in which so large a part of the rows differs is identifiers or free text. */
const identifierShare = 0.5;

/** A column with its codes in the table mapped to the model's categories. */
export interface DescribedColumn {
  /** What the model keeps. */
  readonly column: Column;
  /** For each text of the table's column its index in `column.categories`, −1 for none; null when there are no texts. */
  readonly codes: Int32Array | null;
  /** What a reader should know of it; null for nothing. */
  readonly note: string | null;
}

/** What a column is looked at beside. */
interface Context {
  readonly table: Table;
  readonly target: TableColumn;
  /** How many classes the target has; 0 for values. */
  readonly classes: number;
  /** The training rows. */
  readonly rows: ArrayLike<number>;
  /** Columns that stay inputs whatever they tell. */
  readonly keep: ReadonlySet<string>;
}

/** Describes every column but the target. `rows` are the training rows; columns in `keep` stay inputs. */
export function describeColumns(
  table: Table,
  target: TableColumn,
  rows: ArrayLike<number>,
  keep: ReadonlySet<string> = new Set(),
): DescribedColumn[] {
  const classes = target.kind === "categorical" ? target.texts.length : target.kind === "boolean" ? 2 : 0;
  const context = { table, target, classes, rows, keep };
  const inputs = table.columns.filter((column) => column !== target);
  const describe = (alone: boolean): DescribedColumn[] =>
    inputs.map((column) =>
      column.kind === "categorical" ? describeTexts(column, context) : describeNumbers(column, context, alone)
    );
  const described = describe(false);
  // Where there is no other input, even the number of the row is one.
  return described.every(({ column }) => column.ignored !== null) ? describe(true) : described;
}

function describeTexts(column: TableColumn, { rows, target, classes, keep }: Context): DescribedColumn {
  const counts = new Int32Array(column.texts.length), { values } = column;
  let missing = 0, known = 0;
  for (let i = 0; i < rows.length; i++) {
    const code = values[rows[i]];
    if (Number.isNaN(code)) missing++;
    else if (code >= 0) counts[code]++;
    if (!Number.isNaN(code)) known++;
  }
  const order = [...counts.keys()].filter((code) => counts[code] > 0)
    .sort((a, b) => counts[b] - counts[a] || (column.texts[a] < column.texts[b] ? -1 : 1));
  const different = order.length;
  const many = column.overflowed || (different > 20 && different > identifierShare * known);
  const stays = many && (keep.has(column.name) || textsTell(values, counts, target.values, rows, classes));
  const texts = `${column.overflowed ? "more than " : ""}${counted(different, "different text")} in ${
    counted(known, "row")
  }`;
  const ignored = many && !stays
    ? `${texts}: identifiers or free text, which tells nothing of "${target.name}"`
    : different < 2 && missing === 0
    ? "the same in every row"
    : null;
  const most = keep.has(column.name) ? mostKeptCategories : mostCategories;
  const note = ignored === null && different > most
    ? `column "${column.name}" has ${texts}: the ${most} most frequent are told apart` +
      (most === mostCategories ? ` (--keep "${column.name}": ${mostKeptCategories})` : "")
    : null;
  const kept = ignored === null ? order.slice(0, most) : [];
  const codes = new Int32Array(column.texts.length).fill(-1);
  kept.forEach((code, index) => codes[code] = index);
  return {
    codes,
    note,
    column: {
      name: column.name,
      kind: "categorical",
      ignored,
      mean: 0,
      std: 0,
      min: 0,
      max: 0,
      quantiles: [],
      categories: kept.map((code) => column.texts[code]),
      counts: kept.map((code) => counts[code]),
      missing,
      fill: -1,
    },
  };
}

/** Whether a column is the number of the row in another guise: in the whole file it counts up by one. */
function countsRows({ kind, values }: TableColumn): boolean {
  return kind === "numeric" && values.length >= 10 && Number.isInteger(values[0]) &&
    values.every((value, row) => row === 0 || value === values[row - 1] + 1);
}

function describeNumbers(
  column: TableColumn,
  { table, target, rows, classes, keep }: Context,
  alone: boolean,
): DescribedColumn {
  const { values } = column, step = Math.max(1, Math.ceil(rows.length / mostForQuantiles));
  let known = 0, sum = 0, min = Infinity, max = -Infinity;
  for (let i = 0; i < rows.length; i++) {
    const value = values[rows[i]];
    if (Number.isNaN(value)) continue;
    known++;
    sum += value;
    min = Math.min(min, value);
    max = Math.max(max, value);
  }
  checkF32(table, column);
  const mean = known ? sum / known : 0;
  let squares = 0;
  const sampled: number[] = [];
  for (let i = 0; i < rows.length; i++) {
    const value = values[rows[i]];
    if (Number.isNaN(value)) continue;
    squares += (value - mean) ** 2;
    if (i % step === 0) sampled.push(value);
  }
  if (known && sampled.length === 0) sampled.push(mean);
  const std = known ? Math.sqrt(squares / known) : 0;
  checkSpread(`${table.name}: column "${column.name}"`, min, max, std);
  const origin = originOf(min, max, std);
  // What is kept is f32, counted from the origin.
  const round = (value: number): number => origin + Math.fround(value - origin);
  const quantiles = known ? Array.from(evenQuantiles(sampled, 20), round) : new Array<number>(21).fill(0);
  if (known) {
    quantiles[0] = round(min);
    quantiles[20] = round(max);
  }
  const counts = countsRows(column), stays = counts && (alone || keep.has(column.name));
  const tells = counts && !stays && orderTells(values, target.values, rows, classes);
  const ignored = known === 0
    ? "no value in the training rows"
    : min === max && known === rows.length
    ? "the same in every row"
    : counts && !stays && !tells
    ? `counts the rows up by one, and tells nothing of "${target.name}"`
    : null;
  const note = tells
    ? `column "${column.name}" counts the rows up by one, and tells of "${target.name}": it stays an input (--ignore "${column.name}" ` +
      "when it is the order of the file alone)"
    : null;
  return {
    codes: null,
    note,
    column: {
      name: column.name,
      kind: column.kind,
      ignored,
      mean: round(mean),
      std: Math.fround(std),
      min: quantiles[0],
      max: quantiles[20],
      quantiles,
      categories: column.kind === "boolean" ? column.texts : [],
      counts: column.kind === "boolean" ? [known - sum, sum].map(Math.round) : [],
      missing: rows.length - known,
      fill: quantiles[10],
      ...(origin === 0 ? {} : { origin }),
      ...(column.form === undefined ? {} : { form: column.form }),
    },
  };
}
