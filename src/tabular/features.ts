/**
 * From columns to features: two views of the same row.
 *
 * The plain view has one feature a number (its logarithm where the column is skewed), one a category, one for "is
 * missing". The piecewise view replaces each number by ramps between quantiles (Gorishniy, Rubachev, Babenko: "On
 * embeddings for numerical features in tabular deep learning", NeurIPS 2022), which makes steps and plateaus easy to
 * learn. Both are in one list; a network says which it takes.
 *
 * @module
 */
import type { Column, Feature } from "./types.ts";

/** Features, and which of them make up each view. */
export interface FeatureViews {
  /** All features. */
  readonly features: readonly Feature[];
  /** Indices of the plain view. */
  readonly plain: readonly number[];
  /** Indices of the piecewise view. */
  readonly piecewise: readonly number[];
}

/** How many ramps all columns together get, about; and the fewest and most of one column. */
const rampBudget = 96, fewestRamps = 3;

/** The least scale: a feature that is nearly always the same is not blown up. */
const leastScale = 0.05;

/** The days of a year and of a week. */
const year = 365.2425, week = 7;

type RawFeature = Feature extends infer F ? F extends Feature ? Omit<F, "center" | "scale"> : never : never;

/** The raw feature of one cell of a column; see {@link Feature}. */
export function rawFeature(feature: RawFeature, cell: number, { fill, origin = 0 }: Column): number {
  if (feature.kind === "missing") return Number.isNaN(cell) ? 1 : 0;
  const whole = Number.isNaN(cell) ? fill : cell, v = whole - origin;
  switch (feature.kind) {
    case "value":
      return v;
    case "log":
      return Math.sign(v) * Math.log1p(Math.abs(v) / feature.unit);
    case "ramp":
      return Math.min(1, Math.max(0, (v - feature.from) / (feature.to - feature.from)));
    case "category":
      return v === feature.index ? 1 : 0;
    case "cycle":
      return Math.sin(2 * Math.PI * (whole / feature.period + feature.phase));
  }
}

/**
 * Makes the features of `columns` and measures their centres and scales. `cells` are (a sample of) the training rows,
 * [rows, columns].
 */
export function makeFeatures(
  columns: readonly Column[],
  cells: Float64Array,
  mostRamps: number,
): FeatureViews {
  const width = columns.length, rows = cells.length / width;
  const numbers =
    columns.filter((c) => c.ignored === null && (c.kind === "numeric" || c.kind === "date")).length;
  const ramps = Math.min(mostRamps, Math.max(fewestRamps, Math.floor(rampBudget / Math.max(1, numbers))));
  const features: Feature[] = [], plain: number[] = [], piecewise: number[] = [];
  const add = (raw: RawFeature, ...views: number[][]): void => {
    const column = columns[raw.column];
    let sum = 0, squares = 0;
    for (let row = 0; row < rows; row++) {
      const y = rawFeature(raw, cells[row * width + raw.column], column);
      sum += y;
      squares += y * y;
    }
    const center = Math.fround(sum / rows), variance = squares / rows - (sum / rows) ** 2;
    if (!(variance > 1e-12 * squares / rows)) return;
    const least = raw.kind === "value" || raw.kind === "log" ? 0 : leastScale;
    const scale = Math.fround(Math.max(least, Math.sqrt(variance)));
    if (!(scale > 0)) return;
    for (const view of views) view.push(features.length);
    features.push({ ...raw, center, scale } as Feature);
  };
  columns.forEach((column, index) => {
    if (column.ignored !== null) return;
    if (column.missing > 0) add({ kind: "missing", column: index }, plain, piecewise);
    if (column.kind === "categorical") {
      column.categories.forEach((_, k) =>
        add({ kind: "category", column: index, index: k }, plain, piecewise)
      );
      return;
    }
    if (column.kind === "boolean") {
      add({ kind: "value", column: index }, plain, piecewise);
      return;
    }
    const sorted = sortedCells(cells, width, index, column.origin);
    const unit = skewUnit(column, sorted);
    add(unit === null ? { kind: "value", column: index } : { kind: "log", column: index, unit }, plain);
    const edges = cuts(sorted, ramps);
    for (let i = 0; i + 1 < edges.length; i++) {
      add({ kind: "ramp", column: index, from: edges[i], to: edges[i + 1] }, piecewise);
    }
    if (column.kind === "date") addSeasons(column, index, (raw) => add(raw, plain, piecewise));
  });
  return { features, plain, piecewise };
}

/** Season, day of the week and hour, where the dates span enough to tell. */
function addSeasons(column: Column, index: number, add: (raw: RawFeature) => void): void {
  const span = column.max - column.min, periods = [];
  if (span > year) periods.push(year);
  if (span > 2 * week) periods.push(week);
  if (span > 2 && column.quantiles.some((day) => !Number.isInteger(day))) periods.push(1);
  for (const period of periods) {
    for (const phase of [0, 0.25]) add({ kind: "cycle", column: index, period: Math.fround(period), phase });
  }
}

/** The known cells of a column, counted from its origin. */
function sortedCells(cells: Float64Array, width: number, column: number, origin = 0): Float64Array {
  const rows = cells.length / width, step = Math.max(1, Math.ceil(rows / 100_000)), known: number[] = [];
  for (let row = 0; row < rows; row += step) {
    const cell = cells[row * width + column];
    if (!Number.isNaN(cell)) known.push(cell - origin);
  }
  return Float64Array.from(known).sort();
}

/** The unit of the logarithm for a column of numbers ≥ 0 with a long tail; null for others. */
function skewUnit(column: Column, sorted: Float64Array): number | null {
  const { origin = 0 } = column;
  if (column.kind !== "numeric" || !(column.min - origin >= 0) || !(column.std > 0)) return null;
  let cubes = 0;
  for (const v of sorted) cubes += ((v - (column.mean - origin)) / column.std) ** 3;
  const median = Math.fround(sorted[sorted.length >> 1]);
  return cubes / sorted.length > 1.5 ? (median > 0 ? median : column.std) : null;
}

/** Ascending, different edges of ramps: all values when they are few, else even quantiles. */
function cuts(sorted: Float64Array, ramps: number): number[] {
  const few = new Set<number>();
  for (const v of sorted) {
    few.add(Math.fround(v));
    if (few.size > ramps + 1) break;
  }
  if (few.size <= ramps + 1) return [...few];
  const edges = new Set<number>();
  for (let i = 0; i <= ramps; i++) {
    edges.add(Math.fround(sorted[Math.round(i * (sorted.length - 1) / ramps)]));
  }
  return [...edges];
}
