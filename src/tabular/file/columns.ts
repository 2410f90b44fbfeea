/**
 * The columns of a model in its file: what they count in JSON, what they measure as numbers.
 *
 * @module
 */
import type { Column } from "../types.ts";

/** Numbers of a column in the file: mean, std, fill and quantiles; minimum and maximum are the outer quantiles. */
export const columnNumbers = 24;

/** A column in JSON: what it has beside its numbers. */
export type ColumnJson = Partial<Column> & Pick<Column, "name" | "kind">;

/** Less the origin, for f32 has few digits. */
export function numbersOfColumn({ mean, std, fill, quantiles, origin = 0 }: Column): number[] {
  const own = quantiles.length ? quantiles.map((value) => value - origin) : new Array<number>(21).fill(0);
  return [mean - origin, std, fill - origin, ...own];
}

/** What is as in most columns is left out. */
export function columnToJson(column: Column): ColumnJson {
  const { name, kind, ignored, categories, counts, missing, origin, form } = column;
  return {
    name,
    kind,
    ...(ignored === null ? {} : { ignored }),
    ...(categories.length ? { categories, counts } : {}),
    ...(missing ? { missing } : {}),
    ...(origin === undefined ? {} : { origin }),
    ...(form === undefined ? {} : { form }),
  };
}

/** The column of what {@link columnToJson} and {@link numbersOfColumn} made. */
export function readColumn(json: ColumnJson, [mean, std, fill, ...rest]: readonly number[]): Column {
  const { origin = 0 } = json;
  const quantiles = json.kind === "categorical" ? [] : rest.map((value) => origin + value);
  return {
    ignored: null,
    categories: [],
    counts: [],
    missing: 0,
    ...json,
    mean: origin + mean,
    std,
    fill: origin + fill,
    quantiles,
    min: quantiles[0] ?? 0,
    max: quantiles[20] ?? 0,
  };
}
