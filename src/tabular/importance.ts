/**
 * Permutation importance (Breiman 2001; Fisher, Rudin and Dominici 2019): how much worse a metric gets on held-out rows
 * when one column is shuffled, so that each row has another row's cell there. Columns that carry the same information
 * stand in for each other, and each looks less important than the pair.
 *
 * @module
 */

import { OptionError } from "../core/errors.ts";
import { Generator } from "../core/random.ts";
import { type Cells, checkCells, checkCount, type Predict, predictAll, shuffle } from "./predict.ts";

/** Options of {@link permutationImportance}. */
export interface PermutationOptions {
  /** Columns a row. */
  readonly columns: number;
  /** Which columns to ask about. Default all. */
  readonly only?: readonly number[];
  /** How often each column is shuffled. Default 5. */
  readonly repeats?: number;
  /** The seed of the shuffles. Default 0. */
  readonly seed?: number;
  /** Called after each column with how many are done. */
  readonly onColumn?: (done: number, total: number) => void;
}

/** How much one column matters. */
export interface ColumnImportance {
  /** The column, an index. */
  readonly column: number;
  /** The mean loss of score when it is shuffled; 0 or a little below when it does not matter. */
  readonly mean: number;
  /** The standard deviation over the repeats (dividing by their number). */
  readonly std: number;
}

/** The score with all columns in place, and what each is worth. */
export interface PermutationImportance {
  /** The score of the rows as they are. */
  readonly score: number;
  /** In the order of the columns. */
  readonly columns: ColumnImportance[];
}

/**
 * How much the score of held-out rows falls when a column is shuffled, for each column.
 *
 * @param score of the predictions `[rows, outputs]`; larger is better (accuracy, R²; a loss with its sign turned)
 */
export async function permutationImportance(
  predict: Predict,
  cells: Cells,
  score: (predictions: Float64Array) => number,
  options: PermutationOptions,
): Promise<PermutationImportance> {
  const { columns, repeats = 5, seed = 0 } = options;
  const rows = checkCells(cells, columns, "permutation importance");
  checkCount(repeats, 1, "the number of repeats");
  const only = options.only ?? Array.from({ length: columns }, (_, column) => column);
  const whole = score(await predictAll(predict, cells, columns));
  const shuffled = cells.slice();
  const importances: ColumnImportance[] = [];
  for (const column of only) {
    if (!Number.isInteger(column) || column < 0 || column >= columns) {
      throw new OptionError(`there is no column ${column}; there are ${columns}`);
    }
    // A stream for each column: asking about fewer columns gives the same numbers for those.
    const generator = new Generator((seed + column * 0x9e3779b1) % 2 ** 53);
    const order = Uint32Array.from({ length: rows }, (_, row) => row);
    const losses: number[] = [];
    for (let repeat = 0; repeat < repeats; repeat++) {
      shuffle(order, generator);
      for (let row = 0; row < rows; row++) {
        shuffled[row * columns + column] = cells[order[row] * columns + column];
      }
      losses.push(whole - score(await predictAll(predict, shuffled, columns)));
    }
    for (let row = 0; row < rows; row++) shuffled[row * columns + column] = cells[row * columns + column];
    const mean = losses.reduce((sum, loss) => sum + loss, 0) / repeats;
    const variance = losses.reduce((sum, loss) => sum + (loss - mean) ** 2, 0) / repeats;
    importances.push({ column, mean, std: Math.sqrt(variance) });
    options.onColumn?.(importances.length, only.length);
  }
  return { score: whole, columns: importances };
}
