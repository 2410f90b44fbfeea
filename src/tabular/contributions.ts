/**
 * What each column adds to the prediction of one row: Shapley values over columns (Štrumbelj and Kononenko 2014;
 * Lundberg and Lee 2017, "A unified approach to interpreting model predictions").
 *
 * A column that is "not known" takes the cells of background rows, and the prediction is averaged over them. The values
 * are additive: base + contributions = prediction, for every output.
 *
 * @module
 */

import { OptionError, ShapeError } from "../core/errors.ts";
import { Generator } from "../core/random.ts";
import { counted } from "../core/show.ts";
import {
  batchRows,
  type Cells,
  checkCells,
  checkCount,
  type Predict,
  predictAll,
  shuffle,
} from "./predict.ts";

/** Options of {@link contributions}. */
export interface ContributionOptions {
  /** Columns a row. */
  readonly columns: number;
  /** Columns that take part; the others keep the row's cells and get 0: leave out what the model ignores. Default all. */
  readonly only?: readonly number[];
  /** Up to this many columns that differ are worked out exactly, over all 2^n subsets. Default 8. */
  readonly exactColumns?: number;
  /** Beyond, so many orders of the columns are sampled, each with its reverse. Default 32. */
  readonly orders?: number;
  /** The seed of the orders. Default 0. */
  readonly seed?: number;
}

/** A prediction taken apart: for every output o, prediction[o] = base[o] + Σ over columns of contributions[column][o]. */
export interface Contributions {
  /** The mean prediction of the background rows. `[outputs]` */
  readonly base: Float64Array;
  /** The prediction of the row. `[outputs]` */
  readonly prediction: Float64Array;
  /** What each column adds. `[columns][outputs]` */
  readonly contributions: Float64Array[];
  /** Whether every subset was evaluated, or orders were sampled. */
  readonly exact: boolean;
}

/** Mean predictions of the background rows in which the columns of a subset are replaced by the row's cells. */
class Coalitions {
  readonly #means = new Map<string, Float64Array>();
  readonly #waiting = new Map<string, Uint8Array>();
  readonly #predict: Predict;
  readonly #row: Cells;
  readonly #background: Cells;

  constructor(predict: Predict, row: Cells, background: Cells) {
    this.#predict = predict;
    this.#row = row;
    this.#background = background;
  }

  /** Asks for a subset: 1 for each column that the row decides. `[columns]` */
  ask(subset: Uint8Array): string {
    const key = subset.join("");
    if (!this.#means.has(key) && !this.#waiting.has(key)) this.#waiting.set(key, subset.slice());
    return key;
  }

  /** Works out what was asked. */
  async run(): Promise<void> {
    const columns = this.#row.length, rows = this.#background.length / columns;
    const each = Math.max(1, Math.floor(batchRows / rows));
    const asked = [...this.#waiting];
    this.#waiting.clear();
    for (let start = 0; start < asked.length; start += each) {
      const group = asked.slice(start, start + each);
      const cells = new Float64Array(group.length * this.#background.length);
      group.forEach(([, subset], g) => {
        const at = g * this.#background.length;
        for (let i = 0; i < this.#background.length; i++) {
          const column = i % columns;
          cells[at + i] = subset[column] === 1 ? this.#row[column] : this.#background[i];
        }
      });
      const predictions = await predictAll(this.#predict, cells, columns);
      const outputs = predictions.length / (group.length * rows);
      group.forEach(([key], g) => {
        const mean = new Float64Array(outputs);
        for (let i = 0; i < rows * outputs; i++) {
          mean[i % outputs] += predictions[g * rows * outputs + i] / rows;
        }
        this.#means.set(key, mean);
      });
    }
  }

  /** The mean for a subset that was asked for and run. */
  mean(key: string): Float64Array {
    return this.#means.get(key)!;
  }
}

function addDifference(to: Float64Array, more: Float64Array, less: Float64Array, weight: number): void {
  for (let o = 0; o < to.length; o++) to[o] += weight * (more[o] - less[o]);
}

/** Every subset, each weighted by |S|! (n − |S| − 1)! / n!. */
async function exactShares(
  coalitions: Coalitions,
  unknown: Uint8Array,
  players: readonly number[],
): Promise<Map<number, Float64Array>> {
  const n = players.length;
  const keys: string[] = [], sizes: number[] = [];
  for (let bits = 0; bits < 2 ** n; bits++) {
    const subset = unknown.slice();
    let size = 0;
    players.forEach((column, p) => {
      if ((bits >> p & 1) === 1) subset[column] = 1, size++;
    });
    keys.push(coalitions.ask(subset));
    sizes.push(size);
  }
  await coalitions.run();
  // weight[s] = s! (n − s − 1)! / n!, from 1/n by the ratio of neighbours.
  const weights = [1 / n];
  for (let s = 1; s < n; s++) weights.push(weights[s - 1] * s / (n - s));
  const outputs = coalitions.mean(keys[0]).length;
  return new Map(players.map((column, p) => {
    const sum = new Float64Array(outputs);
    for (let bits = 0; bits < 2 ** n; bits++) {
      if ((bits >> p & 1) === 1) continue;
      addDifference(
        sum,
        coalitions.mean(keys[bits | 1 << p]),
        coalitions.mean(keys[bits]),
        weights[sizes[bits]],
      );
    }
    return [column, sum];
  }));
}

/** Random orders in which columns become known, each also backwards (Mitchell et al. 2022), which steadies the mean. */
async function sampledShares(
  coalitions: Coalitions,
  unknown: Uint8Array,
  players: readonly number[],
  orders: number,
  generator: Generator,
): Promise<Map<number, Float64Array>> {
  const walks: { order: Uint32Array; keys: string[] }[] = [];
  const order = Uint32Array.from(players);
  for (let k = 0; k < orders; k++) {
    shuffle(order, generator);
    for (const walk of [order.slice(), order.slice().reverse()]) {
      const subset = unknown.slice();
      const keys = [coalitions.ask(subset)];
      for (const column of walk) {
        subset[column] = 1;
        keys.push(coalitions.ask(subset));
      }
      walks.push({ order: walk, keys });
    }
  }
  await coalitions.run();
  const outputs = coalitions.mean(walks[0].keys[0]).length;
  const shares = new Map(players.map((column) => [column, new Float64Array(outputs)]));
  for (const { order, keys } of walks) {
    order.forEach((column, step) => {
      addDifference(
        shares.get(column)!,
        coalitions.mean(keys[step + 1]),
        coalitions.mean(keys[step]),
        1 / walks.length,
      );
    });
  }
  return shares;
}

/**
 * What each column of one row adds to its prediction, against background rows.
 *
 * @param row the cells of the row. `[columns]`
 * @param background rows that stand for what is usual, say 20 to 100 training rows. `[rows, columns]`
 */
export async function contributions(
  predict: Predict,
  row: Cells,
  background: Cells,
  options: ContributionOptions,
): Promise<Contributions> {
  const { columns, exactColumns = 8, orders = 32, seed = 0 } = options;
  const rows = checkCells(background, columns, "the background of contributions");
  if (row.length !== columns) {
    throw new ShapeError(`a row of ${counted(columns, "cell")} was expected, not of ${row.length}`);
  }
  if (!Number.isInteger(exactColumns) || exactColumns < 0 || exactColumns > 16) {
    throw new OptionError(
      `exactColumns is from 0 to 16, not ${exactColumns}: the work doubles with each column`,
    );
  }
  checkCount(orders, 1, "the number of orders");
  // A column in which no background row differs cannot change anything: it is out of the game, at no cost.
  const players = (options.only ?? Array.from({ length: columns }, (_, column) => column)).filter(
    (column) => {
      for (let r = 0; r < rows; r++) {
        if (!Object.is(background[r * columns + column], row[column])) return true;
      }
      return false;
    },
  );
  const coalitions = new Coalitions(predict, row, background);
  const known = new Uint8Array(columns).fill(1), unknown = known.slice();
  for (const column of players) unknown[column] = 0;
  const none = coalitions.ask(unknown), all = coalitions.ask(known);
  await coalitions.run();
  const exact = players.length <= exactColumns;
  const base = coalitions.mean(none), prediction = coalitions.mean(all);
  const shares = players.length === 0
    ? new Map<number, Float64Array>()
    : exact
    ? await exactShares(coalitions, unknown, players)
    : await sampledShares(coalitions, unknown, players, orders, new Generator(seed));
  return {
    base,
    prediction,
    contributions: Array.from({ length: columns }, (_, c) => shares.get(c) ?? new Float64Array(base.length)),
    exact,
  };
}
