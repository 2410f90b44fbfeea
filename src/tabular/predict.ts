/**
 * A model seen from outside: a function from cells to numbers, which is all that explanations ask of one.
 *
 * @module
 */

import { OptionError, ShapeError } from "../core/errors.ts";
import type { Generator } from "../core/random.ts";
import { counted, show } from "../core/show.ts";

/** Cells of rows, row after row. `[rows, columns]` */
export type Cells = Float64Array;

/**
 * What a model says of rows of cells: `[rows, outputs]`, row after row; the number of outputs is the same in every
 * call. May be asynchronous, since reading a tensor is.
 */
export type Predict = (cells: Cells, rows: number) => ArrayLike<number> | Promise<ArrayLike<number>>;

/** Rows are given to `predict` in pieces of at most this many, so that memory stays small. */
export const batchRows: number = 4096;

/** The predictions of all rows, asked for in pieces. `[rows, outputs]` */
export async function predictAll(
  predict: Predict,
  cells: Cells,
  columns: number,
): Promise<Float64Array<ArrayBuffer>> {
  const rows = cells.length / columns;
  let all = new Float64Array(0), outputs = 0;
  for (let start = 0; start < rows; start += batchRows) {
    const count = Math.min(batchRows, rows - start);
    const piece = await predict(cells.subarray(start * columns, (start + count) * columns), count);
    if (start === 0) {
      outputs = piece.length / count;
      all = new Float64Array(rows * outputs);
    }
    if (piece.length !== count * outputs || !Number.isInteger(outputs) || outputs < 1) {
      throw new ShapeError(
        `predict gave ${counted(piece.length, "number")} for ${
          counted(count, "row")
        }; the same number each is expected`,
      );
    }
    all.set(piece, start * outputs);
  }
  return all;
}

/** The number of rows in `cells`; throws when there is none, or a part of one. */
export function checkCells(cells: Cells, columns: number, what: string): number {
  if (!Number.isInteger(columns) || columns < 1) {
    throw new OptionError(`${what} needs at least 1 column, not ${columns}`);
  }
  if (cells.length === 0 || cells.length % columns !== 0) {
    throw new ShapeError(
      `${what} was given ${counted(cells.length, "cell")}, which is no rows of ${counted(columns, "column")}`,
    );
  }
  return cells.length / columns;
}

/** Throws unless `count` is an integer of at least `least`. */
export function checkCount(count: number, least: number, what: string): void {
  if (!Number.isInteger(count) || count < least) {
    throw new OptionError(`${what} is ${show(count)}, expected a whole number from ${least}`);
  }
}

/** Shuffles in place (Fisher and Yates). */
export function shuffle(order: Uint32Array, generator: Generator): void {
  for (let i = order.length - 1; i > 0; i--) {
    const j = generator.integer(0, i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
}
