/**
 * What is known about each input column from the training rows: range, quantiles, categories, and whether it can be
 * an input at all.
 *
 * @module
 */
import { evenQuantiles } from "./quantiles.ts";
import type { Table, TableColumn } from "./table.ts";
import type { Column } from "./types.ts";

/** Categories beyond these many, the rarest, are treated as not seen. */
export const mostCategories = 32;

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
}

/** Describes every column but the target. `rows` are the training rows. */
export function describeColumns(
  table: Table,
  target: TableColumn,
  rows: ArrayLike<number>,
): DescribedColumn[] {
  return table.columns.filter((column) => column !== target).map((column) =>
    column.kind === "categorical" ? describeTexts(column, rows) : describeNumbers(column, rows)
  );
}

function describeTexts(column: TableColumn, rows: ArrayLike<number>): DescribedColumn {
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
  const ignored = column.overflowed || (different > 20 && different > identifierShare * known)
    ? `${
      column.overflowed ? "more than " : ""
    }${different} different texts in ${known} rows: identifiers or free text`
    : different < 2 && missing === 0
    ? "the same in every row"
    : null;
  const kept = ignored === null ? order.slice(0, mostCategories) : [];
  const codes = new Int32Array(column.texts.length).fill(-1);
  kept.forEach((code, index) => codes[code] = index);
  return {
    codes,
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

function describeNumbers(column: TableColumn, rows: ArrayLike<number>): DescribedColumn {
  const { values } = column, step = Math.max(1, Math.ceil(rows.length / mostForQuantiles));
  let known = 0, sum = 0, min = Infinity, max = -Infinity, rising = true, last = NaN;
  for (let i = 0; i < rows.length; i++) {
    const value = values[rows[i]];
    if (Number.isNaN(value)) continue;
    known++;
    sum += value;
    min = Math.min(min, value);
    max = Math.max(max, value);
  }
  // The number of the row in another guise: in the whole file it counts up by one, whatever the training rows are.
  for (let row = 0; row < values.length && rising; row++) {
    rising = row === 0 ? Number.isInteger(values[0]) : values[row] === last + 1;
    last = values[row];
  }
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
  const quantiles = known
    ? Array.from(evenQuantiles(sampled, 20), Math.fround)
    : new Array<number>(21).fill(0);
  if (known) {
    quantiles[0] = Math.fround(min);
    quantiles[20] = Math.fround(max);
  }
  const ignored = known === 0
    ? "no value in the training rows"
    : min === max && known === rows.length
    ? "the same in every row"
    : rising && column.kind === "numeric" && values.length >= 10
    ? "counts the rows up by one"
    : null;
  return {
    codes: null,
    column: {
      name: column.name,
      kind: column.kind,
      ignored,
      mean: Math.fround(mean),
      std: Math.fround(known ? Math.sqrt(squares / known) : 0),
      min: quantiles[0],
      max: quantiles[20],
      quantiles,
      categories: column.kind === "boolean" ? column.texts : [],
      counts: column.kind === "boolean" ? [known - sum, sum].map(Math.round) : [],
      missing: rows.length - known,
      fill: quantiles[10],
    },
  };
}
