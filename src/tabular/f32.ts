/**
 * Numbers of a column as f32: what a model file and its networks hold.
 *
 * Cells are f64 until they are standardised. What is kept of a column is f32, and where its values are large beside their
 * differences (seconds since 1970, long numbers) that is counted from an origin, so that the differences stay.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import type { Table, TableColumn } from "./table.ts";

/** The largest finite f32. */
export const largestF32: number = 2 ** 127 * (2 - 2 ** -23);

/** Values that are so many times larger than their deviation are counted from the least of them. */
const largeBesideSpread = 1024;

/** What the f32 numbers of a column are counted from. */
export function originOf(min: number, max: number, std: number): number {
  return min < max && Math.max(Math.abs(min), Math.abs(max)) > largeBesideSpread * std ? min : 0;
}

/** The least and the largest known value; infinite when there is none. */
export function boundsOf(values: Float64Array): [min: number, max: number] {
  let min = Infinity, max = -Infinity;
  for (const value of values) {
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return [min, max];
}

/** @throws {FormatError} naming the first cell that f32 cannot hold. */
export function checkF32(table: Table, { name, values }: TableColumn): void {
  const [min, max] = boundsOf(values);
  if (-largestF32 <= Math.min(min, 0) && Math.max(max, 0) <= largestF32) return;
  const row = values.findIndex((value) => Math.abs(value) > largestF32);
  throw new FormatError(
    `${table.name}: column "${name}" holds ${values[row]} in data row ${
      row + 1
    }, and f32 ends at ±3.4e38; divide the ` +
      `column, or leave it out with --ignore "${name}"`,
  );
}

/** @throws {FormatError} when values differ, but by less than f32 has numbers. */
export function checkSpread(where: string, min: number, max: number, std: number): void {
  if (!(min < max) || Math.fround(std) > 0) return;
  throw new FormatError(
    `${where} has values that differ by ${
      std.toPrecision(3)
    } only, which f32 cannot tell from 0; multiply them`,
  );
}
