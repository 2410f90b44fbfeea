/**
 * Explanations from outside: permutation importance, and Shapley values against their definition and axioms.
 */
import { assert, assertEquals, assertNotEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { OptionError, ShapeError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import { contributions } from "../src/tabular/contributions.ts";
import { permutationImportance } from "../src/tabular/importance.ts";
import type { Predict } from "../src/tabular/predict.ts";

function near(actual: number, expected: number, tolerance = 1e-12): void {
  assert(Math.abs(actual - expected) <= tolerance, `${actual} is not within ${tolerance} of ${expected}`);
}

/** A model of one output, from a function of one row. */
function model(columns: number, of: (row: Float64Array) => number): Predict {
  return (cells, rows) =>
    Float64Array.from({ length: rows }, (_, row) => of(cells.subarray(row * columns, (row + 1) * columns)));
}

function randomCells(rows: number, columns: number, seed: number): Float64Array {
  const generator = new Generator(seed);
  return Float64Array.from({ length: rows * columns }, () => generator.normal());
}

describe("permutation importance", () => {
  const cells = randomCells(200, 3, 1);
  const target = Array.from({ length: 200 }, (_, row) => 3 * cells[row * 3] + cells[row * 3 + 1]);
  const predict = model(3, (row) => 3 * row[0] + row[1]);
  /** The mean squared error with its sign turned. */
  const score = (predictions: Float64Array) =>
    -predictions.reduce((sum, value, row) => sum + (value - target[row]) ** 2, 0) / predictions.length;

  it("is nothing for a column that is not used, and in proportion for those that are", async () => {
    const { score: whole, columns } = await permutationImportance(predict, cells, score, {
      columns: 3,
      repeats: 20,
    });
    near(whole, 0);
    assertEquals(columns[2], { column: 2, mean: 0, std: 0 });
    // Shuffling x costs E (w·(x − x'))² = 2·w²·var(x).
    near(columns[0].mean, 18, 4);
    near(columns[1].mean, 2, 0.5);
    assert(columns[0].std > 0 && columns[0].std < 3);
  });

  it("is the same for the same seed, also when fewer columns are asked for", async () => {
    const all = await permutationImportance(predict, cells, score, { columns: 3, seed: 5 });
    const one = await permutationImportance(predict, cells, score, { columns: 3, seed: 5, only: [1] });
    const other = await permutationImportance(predict, cells, score, { columns: 3, seed: 6 });
    assertEquals(one.columns, [all.columns[1]]);
    assertNotEquals(other.columns, all.columns);
    await permutationImportance(predict, cells, score, { columns: 3, seed: Number.MAX_SAFE_INTEGER });
  });

  it("leaves the cells as they were, tells how far it is, and waits for a model that is asynchronous", async () => {
    const before = cells.slice(), steps: string[] = [];
    const later: Predict = async (cells, rows) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      return predict(cells, rows);
    };
    const options = {
      columns: 3,
      repeats: 2,
      onColumn: (done: number, total: number) => steps.push(`${done}/${total}`),
    };
    const first = await permutationImportance(later, cells, score, options);
    assertEquals(first, await permutationImportance(predict, cells, score, { columns: 3, repeats: 2 }));
    assertEquals(cells, before);
    assertEquals(steps, ["1/3", "2/3", "3/3"]);
  });

  it("gives the model pieces, and puts them together in order", async () => {
    const many = randomCells(10_000, 2, 3);
    let largest = 0;
    const watched: Predict = (cells, rows) => {
      largest = Math.max(largest, rows);
      return Float64Array.from({ length: rows * 2 }, (_, i) => cells[i]);
    };
    let seen: Float64Array = new Float64Array(0);
    const options = { columns: 2, only: [], repeats: 1 };
    await permutationImportance(watched, many, (all) => (seen = all, 0), options);
    assertEquals(seen, many);
    assert(largest < 10_000);
  });

  it("refuses what is no table", async () => {
    const call = (options: object, of = cells, by = predict) =>
      permutationImportance(by, of, score, options as never);
    await assertRejects(() => call({ columns: 0 }), OptionError);
    await assertRejects(() => call({ columns: 7 }), Error, "600 cells, which is no rows of 7 columns");
    await assertRejects(() => call({ columns: 3 }, new Float64Array(0)), ShapeError);
    await assertRejects(() => call({ columns: 3, repeats: 0 }), OptionError);
    await assertRejects(() => call({ columns: 3, only: [3] }), Error, "no column 3");
    await assertRejects(
      () => call({ columns: 3 }, cells, () => new Float64Array(7)),
      Error,
      "predict gave 7 numbers for 200 rows",
    );
  });
});

describe("contributions", () => {
  const background = randomCells(12, 4, 7), row = Float64Array.from([1, -2, 0.5, 3]);
  const curved = (x: Float64Array) =>
    Math.tanh(x[0] * x[1]) + x[2] * x[2] * x[0] - Math.exp(-x[3] * x[3]) * x[1];

  it("of a linear model are weight · (cell − background mean), exact or sampled", async () => {
    const weights = [2, -1, 0, 0.5];
    const predict = model(4, (x) => x.reduce((sum, value, c) => sum + weights[c] * value, 3));
    for (const exactColumns of [8, 0]) {
      const result = await contributions(predict, row, background, { columns: 4, exactColumns, orders: 2 });
      assertStrictEquals(result.exact, exactColumns === 8);
      weights.forEach((weight, c) => {
        let mean = 0;
        for (let b = 0; b < 12; b++) mean += background[b * 4 + c] / 12;
        near(result.contributions[c][0], weight * (row[c] - mean));
      });
    }
  });

  it("are the mean over all orders of what a column adds, when exact", async () => {
    const value = (known: Set<number>) => {
      let sum = 0;
      for (let b = 0; b < 12; b++) {
        sum += curved(row.map((cell, c) => known.has(c) ? cell : background[b * 4 + c])) / 12;
      }
      return sum;
    };
    const expected = [0, 0, 0, 0];
    const walk = (known: Set<number>) => {
      if (known.size === 4) return;
      for (let c = 0; c < 4; c++) {
        if (known.has(c)) continue;
        const more = new Set(known).add(c);
        // Each of the 4! orders that begin this way counts once: those of the columns that follow.
        const orders = [6, 2, 1, 1][known.size] / 24;
        expected[c] += orders * (value(more) - value(known));
        walk(more);
      }
    };
    walk(new Set());
    const exact = await contributions(model(4, curved), row, background, { columns: 4 });
    expected.forEach((share, c) => near(exact.contributions[c][0], share));
    const sampled = await contributions(model(4, curved), row, background, {
      columns: 4,
      exactColumns: 0,
      orders: 400,
    });
    expected.forEach((share, c) => near(sampled.contributions[c][0], share, 0.08));
  });

  it("add up to the prediction, for every output, however many columns", async () => {
    const wide = 14, many = randomCells(20, wide, 9), one = randomCells(1, wide, 10);
    const predict: Predict = (cells, rows) => {
      const out = new Float32Array(rows * 3);
      for (let r = 0; r < rows; r++) {
        const logits = [0, 0, 0];
        for (let c = 0; c < wide; c++) {
          logits[c % 3] += Math.sin(cells[r * wide + c] * cells[r * wide + (c * 5 + 1) % wide]);
        }
        const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
        logits.forEach((logit, o) => out[r * 3 + o] = Math.exp(logit) / sum);
      }
      return out;
    };
    for (const options of [{ orders: 3, seed: 4 }, { exactColumns: 14 }]) {
      const result = await contributions(predict, one, many, { columns: wide, ...options });
      const base = await predict(many, 20), prediction = await predict(one, 1);
      for (let o = 0; o < 3; o++) {
        near(result.prediction[o], prediction[o], 1e-7);
        near(
          result.base[o],
          Array.from({ length: 20 }, (_, b) => base[b * 3 + o]).reduce((a, b) => a + b) / 20,
          1e-7,
        );
        const sum = result.contributions.reduce((total, share) => total + share[o], result.base[o]);
        near(sum, result.prediction[o], 1e-12);
      }
      // Probabilities sum to one, so what a column gives to one class it takes from the others.
      for (const share of result.contributions) near(share[0] + share[1] + share[2], 0, 1e-6);
    }
  });

  it("share an interaction equally, and give nothing to a column without effect", async () => {
    const zero = new Float64Array(3), ones = Float64Array.from([1, 1, 1]);
    const result = await contributions(model(3, (x) => x[0] * x[1]), ones, zero, { columns: 3 });
    assertEquals(result.contributions.map(([share]) => share), [0.5, 0.5, 0]);
    assertEquals([result.base[0], result.prediction[0]], [0, 1]);
  });

  it("cost nothing for columns in which the row is like the background, or that are left out", async () => {
    let asked = 0;
    const predict = model(4, (x) => (asked++, x[0] + x[1]));
    const like = Float64Array.from([0, 5, NaN, 7, 1, 5, NaN, 8]);
    const result = await contributions(predict, Float64Array.from([3, 5, NaN, 9]), like, {
      columns: 4,
      only: [0, 1, 2],
    });
    assertEquals(result.contributions.map(([share]) => share), [2.5, 0, 0, 0]);
    assertStrictEquals(asked, 4, "two subsets of two background rows");
    const same = await contributions(predict, row, row, { columns: 4 });
    assertEquals(same.contributions.map(([share]) => share), [0, 0, 0, 0]);
    assertEquals(same.base, same.prediction);
  });

  it("are the same for the same seed", async () => {
    const run = (seed: number) =>
      contributions(model(4, curved), row, background, { columns: 4, exactColumns: 0, orders: 3, seed });
    assertEquals(await run(1), await run(1));
    assertNotEquals(await run(1), await run(2));
  });

  it("refuse what does not fit", async () => {
    const call = (options: object, of = row) =>
      contributions(model(4, curved), of, background, options as never);
    await assertRejects(
      () => call({ columns: 4 }, new Float64Array(3)),
      Error,
      "4 cells was expected, not of 3",
    );
    await assertRejects(() => call({ columns: 5 }), ShapeError);
    await assertRejects(() => call({ columns: 4, exactColumns: 17 }), OptionError);
    await assertRejects(() => call({ columns: 4, orders: 0 }), OptionError);
  });
});
