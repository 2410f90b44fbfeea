/**
 * Metrics against values worked out by hand, the examples of scikit-learn's documentation, and their definitions.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { describe, it } from "node:test";
import { OptionError, ShapeError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import {
  accuracy,
  auc,
  bootstrapInterval,
  brier,
  classReport,
  type ClassScores,
  confusionMatrix,
  expectedCalibrationError,
  logLoss,
  macroF1,
  mae,
  r2,
  rankAuc,
  reliability,
  rmse,
  takeClassRows,
  takeValueRows,
} from "../src/tabular/metrics/mod.ts";
import { normalCdf, normalQuantile } from "../src/tabular/normal.ts";

function near(actual: number, expected: number, tolerance = 1e-12): void {
  const good = Object.is(actual, expected) || Math.abs(actual - expected) <= tolerance;
  assert(good, `${actual} is not within ${tolerance} of ${expected}`);
}

/** Four rows of three classes; the last row is a tie of the classes 1 and 2. */
const four: ClassScores = {
  labels: [0, 1, 2, 1],
  probabilities: [0.7, 0.2, 0.1, 0.3, 0.6, 0.1, 0.5, 0.25, 0.25, 0.1, 0.45, 0.45],
  classes: 3,
};

/** Two classes, from the probability of the second. */
function binary(labels: number[], second: number[]): ClassScores {
  return { labels, probabilities: second.flatMap((p) => [1 - p, p]), classes: 2 };
}

/** Rows that say one class for sure. */
function said(labels: number[], predicted: number[], classes: number): ClassScores {
  const probabilities = predicted.flatMap((p) => Array.from({ length: classes }, (_, c) => c === p ? 1 : 0));
  return { labels, probabilities, classes };
}

function random(rows: number, classes: number, seed: number): ClassScores {
  const generator = new Generator(seed);
  const labels = Array.from({ length: rows }, () => generator.integer(0, classes));
  const probabilities = labels.flatMap((label) => {
    // Few distinct values, so that there are ties.
    const raw = Array.from({ length: classes }, (_, c) => generator.integer(1, 5) + (c === label ? 2 : 0));
    const sum = raw.reduce((a, b) => a + b, 0);
    return raw.map((value) => value / sum);
  });
  return { labels, probabilities, classes };
}

describe("metrics of a classification", () => {
  it("agree with values worked out by hand", () => {
    near(accuracy(four), 0.75);
    near(logLoss(four), -(Math.log(0.7) + Math.log(0.6) + Math.log(0.25) + Math.log(0.45)) / 4);
    assertEquals(confusionMatrix(four), [[1, 0, 0], [0, 2, 0], [1, 0, 0]]);
    near(macroF1(four), (2 / 3 + 1 + 0) / 3);
    near(brier(four), (0.14 + 0.26 + 0.875 + 0.515) / 4);
    near(auc(four), (1 + 1 + 2 / 3) / 3);
    const [first, , third] = classReport(four);
    assertEquals(first, { precision: 0.5, recall: 1, f1: 2 / 3, support: 1 });
    assert(Number.isNaN(third.precision));
    assertEquals([third.recall, third.f1, third.support], [0, 0, 1]);
  });

  it("agree with scikit-learn's examples", () => {
    near(logLoss(binary([1, 0, 0, 1], [0.9, 0.1, 0.2, 0.65])), 0.21616, 1e-5);
    near(auc(binary([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])), 0.75);
    near(brier(binary([0, 1, 1, 0], [0.1, 0.9, 0.8, 0.3])), 0.0375);
    near(macroF1(said([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], 3)), 0.26666666666666666);
    assertEquals(confusionMatrix(said([2, 0, 2, 2, 0, 1], [0, 0, 2, 2, 0, 2], 3)), [
      [2, 0, 0],
      [0, 0, 1],
      [1, 0, 2],
    ]);
  });

  it("take a sure mistake for 36 nats, and rows that do not sum to one for what they mean", () => {
    near(logLoss(said([0], [1], 2)), -Math.log(2 ** -52));
    near(logLoss({ labels: [1], probabilities: [0.2, 0.2], classes: 2 }), Math.LN2);
  });

  it("leave out a class that is absent", () => {
    const absent = said([0, 1, 1], [0, 1, 0], 3);
    near(macroF1(absent), (2 / 3 + 2 / 3) / 2);
    near(auc(absent), (0.75 + 0.75) / 2);
    near(logLoss(said([0, 0], [0, 0], 3)), 0);
    // Said of a row but true of none, it counts as 0.
    near(macroF1(said([0, 0], [0, 2], 3)), (2 / 3 + 0) / 2);
  });

  it("have no AUC where only one class is", () => {
    assert(Number.isNaN(auc(binary([1, 1], [0.2, 0.8]))));
    assert(Number.isNaN(auc(binary([0, 0], [0.2, 0.8]))));
    assert(Number.isNaN(auc(said([2, 2], [0, 1], 3))));
  });

  it("give a constant prediction what chance gets", () => {
    const constant = binary([0, 1, 1, 0, 1], [0.6, 0.6, 0.6, 0.6, 0.6]);
    near(auc(constant), 0.5);
    near(accuracy(constant), 0.6);
    near(brier(constant), 0.24);
    near(expectedCalibrationError(constant), 0);
  });

  it("hold to their definitions on random rows with ties", () => {
    for (const [rows, classes, seed] of [[60, 2, 1], [80, 3, 2], [50, 6, 3]]) {
      const scores = random(rows, classes, seed);
      const { labels, probabilities } = scores;
      const p = (row: number, c: number) => probabilities[row * classes + c];
      let areas = 0;
      for (let c = 0; c < classes; c++) {
        let won = 0, pairs = 0;
        for (let i = 0; i < rows; i++) {
          for (let j = 0; j < rows; j++) {
            if (labels[i] !== c || labels[j] === c) continue;
            pairs++;
            won += p(i, c) > p(j, c) ? 1 : p(i, c) === p(j, c) ? 0.5 : 0;
          }
        }
        areas += won / pairs;
      }
      near(auc(scores), areas / classes);
      const matrix = confusionMatrix(scores);
      near(matrix.reduce((sum, row, c) => sum + row[c], 0) / rows, accuracy(scores));
      assertEquals(
        matrix.map((row) => row.reduce((a, b) => a + b, 0)),
        Array.from({ length: classes }, (_, c) => Array.from(labels).filter((label) => label === c).length),
      );
      // The order of rows does not matter.
      const reversed = takeClassRows(scores, Array.from({ length: rows }, (_, row) => rows - 1 - row));
      for (const metric of [accuracy, logLoss, auc, macroF1, brier, expectedCalibrationError]) {
        near(metric(reversed), metric(scores));
      }
    }
  });

  it("see only the order of scores in the area", () => {
    const generator = new Generator(5);
    const scores = Array.from({ length: 100 }, () => generator.integer(-20, 20));
    const positive = scores.map((score) => generator.normal() * 20 < score);
    const area = rankAuc(scores, positive);
    assert(area > 0.6 && area < 0.95, `${area}`);
    near(rankAuc(scores.map((score) => Math.exp(score / 7)), positive), area);
    near(rankAuc(scores.map((score) => -score), positive), 1 - area);
    near(rankAuc(scores, positive.map((is) => !is)), 1 - area);
  });

  it("refuse what is not a classification", () => {
    const cases: [ClassScores, new (message: string) => Error, RegExp][] = [
      [{ labels: [], probabilities: [], classes: 2 }, ShapeError, /no rows/],
      [
        { labels: [0], probabilities: [1], classes: 2 },
        ShapeError,
        /1 probability for 1 row of 2 classes; 2/,
      ],
      [{ labels: [2], probabilities: [0.5, 0.5], classes: 2 }, OptionError, /label of row 0 is 2/],
      [{ labels: [0.5], probabilities: [0.5, 0.5], classes: 2 }, OptionError, /label of row 0 is 0.5/],
      [{ labels: [0], probabilities: [1], classes: 1 }, OptionError, /at least 2 classes/],
      [
        { labels: [0, 1], probabilities: [0.5, 0.5, NaN, 1], classes: 2 },
        OptionError,
        /class 0 of row 1.*NaN/,
      ],
      [{ labels: [0], probabilities: [-0.5, 1], classes: 2 }, OptionError, /probability -0.5/],
      [{ labels: [0], probabilities: [3, -2], classes: 2 }, OptionError, /probability 3/],
    ];
    for (
      const metric of [accuracy, logLoss, auc, macroF1, confusionMatrix, brier, expectedCalibrationError]
    ) {
      for (const [scores, type, message] of cases) {
        assertMatch(assertThrows(() => metric(scores), type).message, message);
      }
    }
  });
});

describe("calibration", () => {
  it("compares confidence and accuracy bin by bin", () => {
    const scores = binary([1, 0, 1], [0.95, 0.95, 0.65]);
    near(expectedCalibrationError(scores, 10), (2 * 0.45 + 0.35) / 3);
    near(expectedCalibrationError(scores, 1), Math.abs(2 / 3 - 0.85));
    const bins = reliability(scores, 10);
    assertEquals(bins.map(({ count }) => count), [0, 0, 0, 0, 0, 0, 1, 0, 0, 2]);
    near(bins[9].confidence, 0.95);
    near(bins[9].accuracy, 0.5);
    assertEquals([bins[6].lower, bins[6].upper], [0.6, 0.7]);
  });

  it("puts an edge into the bin below it, and 1 into the last", () => {
    const bins = reliability(binary([1, 1, 1], [0.5, 0.75, 1]), 4);
    assertEquals(bins.map(({ count }) => count), [0, 1, 1, 1]);
  });

  it("is small for honest probabilities and large for boasting ones", () => {
    const generator = new Generator(11);
    const honest = Array.from({ length: 20_000 }, () => generator.uniform());
    const labels = honest.map((p) => generator.uniform() < p ? 1 : 0);
    assert(expectedCalibrationError(binary(labels, honest)) < 0.02);
    const boasting = honest.map((p) => p < 0.5 ? 0.01 : 0.99);
    near(expectedCalibrationError(binary(labels, boasting)), 0.24, 0.02);
  });

  it("refuses bins that are none", () => {
    for (const bins of [0, 1.5, -1, NaN]) assertThrows(() => reliability(four, bins), OptionError);
  });
});

describe("metrics of a regression", () => {
  it("agree with scikit-learn's examples", () => {
    const scores = { targets: [3, -0.5, 2, 7], predictions: [2.5, 0, 2, 8] };
    near(rmse(scores), Math.sqrt(0.375));
    near(mae(scores), 0.5);
    near(r2(scores), 0.9486081370449679);
  });

  it("know the constant cases", () => {
    near(r2({ targets: [1, 2, 3], predictions: [2, 2, 2] }), 0);
    near(r2({ targets: [1, 2, 3], predictions: [3, 2, 1] }), -3);
    near(r2({ targets: [2, 2], predictions: [2, 2] }), 1);
    near(r2({ targets: [2, 2], predictions: [2, 3] }), 0);
    assert(Number.isNaN(r2({ targets: [2], predictions: [2] })));
    near(rmse({ targets: [2], predictions: [5] }), 3);
  });

  it("keep what a large mean would drown", () => {
    near(r2({ targets: [1e9 + 1, 1e9 + 2, 1e9 + 3], predictions: [1e9 + 1, 1e9 + 2, 1e9 + 4] }), 0.5);
  });

  it("refuse what is not a regression", () => {
    for (const metric of [rmse, mae, r2]) {
      assertThrows(() => metric({ targets: [], predictions: [] }), ShapeError);
      assertThrows(() => metric({ targets: [1, 2], predictions: [1] }), Error, "2 targets and 1 prediction");
      assertThrows(() => metric({ targets: [1, NaN], predictions: [1, 1] }), Error, "target of row 1 is NaN");
      assertThrows(
        () => metric({ targets: [1], predictions: [Infinity] }),
        Error,
        "prediction of row 0 is Infinity",
      );
    }
  });
});

describe("the normal distribution", () => {
  it("is that of the tables", () => {
    near(normalQuantile(0.975), 1.959963984540054, 1e-14);
    near(normalQuantile(0.5), 0);
    near(normalQuantile(1e-10), -6.361340902404056, 1e-11);
    near(normalCdf(1), 0.8413447460685429, 1e-15);
    assertEquals([normalQuantile(0), normalQuantile(1)], [-Infinity, Infinity]);
    for (let p = 0.001; p < 1; p += 0.007) near(normalCdf(normalQuantile(p)), p, 1e-14);
  });
});

describe("a bootstrap interval", () => {
  const generator = new Generator(3);
  const values = Array.from({ length: 300 }, () => 10 + 2 * generator.normal());
  const meanOf = (data: number[]) => (rows: Uint32Array) => {
    let sum = 0;
    for (const row of rows) sum += data[row];
    return sum / rows.length;
  };

  it("of a mean is that of the textbook", () => {
    const mean = meanOf(values)(Uint32Array.from(values.keys()));
    const deviation = Math.sqrt(
      values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1),
    );
    const error = deviation / Math.sqrt(values.length);
    for (const method of ["percentile", "bca"] as const) {
      const interval = bootstrapInterval(meanOf(values), values.length, { method, resamples: 4000 });
      near(interval.value, mean);
      near(interval.standardError, error, 0.05 * error);
      near(interval.lower, mean - 1.96 * error, 0.12 * error);
      near(interval.upper, mean + 1.96 * error, 0.12 * error);
    }
  });

  it("is the same for the same seed, and narrower for a lower level", () => {
    const interval = (seed: number, level = 0.95) =>
      bootstrapInterval(meanOf(values), values.length, { seed, level, resamples: 200 });
    assertEquals(interval(1), interval(1));
    assertNotEquals(interval(1), interval(2));
    const wide = interval(1), narrow = interval(1, 0.5);
    assert(narrow.lower > wide.lower && narrow.upper < wide.upper);
  });

  it("holds the truth as often as it says", () => {
    let held = 0;
    const trials = 150;
    for (let trial = 0; trial < trials; trial++) {
      const data = Array.from({ length: 60 }, () => generator.normal());
      const { lower, upper } = bootstrapInterval(meanOf(data), 60, {
        seed: trial,
        resamples: 200,
        level: 0.9,
      });
      if (lower <= 0 && upper >= 0) held++;
    }
    assert(held / trials > 0.8 && held / trials < 0.97, `${held} of ${trials}`);
  });

  it("leans to the side of the long tail with BCa", () => {
    const skewed = Array.from({ length: 80 }, () => Math.exp(1.2 * generator.normal()));
    const percentile = bootstrapInterval(meanOf(skewed), 80, { resamples: 3000 });
    const bca = bootstrapInterval(meanOf(skewed), 80, { resamples: 3000, method: "bca" });
    assert(bca.lower > percentile.lower && bca.upper > percentile.upper);
  });

  it("cuts where Efron's formula says with BCa", () => {
    const data = values.slice(0, 25), resamples = 500, level = 0.8;
    const seen: number[] = [];
    const variance = (rows: Uint32Array) => {
      const mean = meanOf(data)(rows);
      let sum = 0;
      for (const row of rows) sum += (data[row] - mean) ** 2;
      seen.push(sum / rows.length);
      return sum / rows.length;
    };
    const { lower, upper } = bootstrapInterval(variance, 25, { resamples, level, method: "bca" });
    const value = seen[0],
      drawn = seen.slice(1, resamples + 1).sort((a, b) => a - b),
      left = seen.slice(resamples + 1);
    assertStrictEquals(left.length, 25);
    const z0 = normalQuantile(drawn.filter((result) => result < value).length / resamples);
    const deviations = left.map((one) => left.reduce((a, b) => a + b) / 25 - one);
    const a = deviations.reduce((sum, d) => sum + d ** 3, 0) / 6 /
      deviations.reduce((sum, d) => sum + d * d, 0) ** 1.5;
    const cut = (z: number) => {
      const at = normalCdf(z0 + (z0 + z) / (1 - a * (z0 + z))) * (resamples - 1), i = Math.floor(at);
      return drawn[i] + (at - i) * (drawn[i + 1] - drawn[i]);
    };
    assert(z0 > 0.05 && Math.abs(a) > 0.01, "the variance of a sample is biased, and skewed");
    near(lower, cut(normalQuantile(0.1)), 1e-9);
    near(upper, cut(normalQuantile(0.9)), 1e-9);
  });

  it("leaves out resamples that have no metric", () => {
    const scores = binary([0, 0, 0, 1], [0.1, 0.2, 0.3, 0.4]);
    const interval = bootstrapInterval((rows) => auc(takeClassRows(scores, rows)), 4);
    // Without the one positive row, which happens to (3/4)^4 of the resamples, or with it alone, there is no AUC.
    near(interval.resamples / 1000, 1 - 0.75 ** 4 - 0.25 ** 4, 0.05);
    assertEquals([interval.value, interval.lower, interval.upper], [1, 1, 1]);
    const none = bootstrapInterval(() => NaN, 4);
    assertEquals([none.lower, none.upper, none.resamples], [NaN, NaN, 0]);
  });

  it("is a point where nothing varies", () => {
    for (const method of ["percentile", "bca"] as const) {
      const { lower, upper, standardError } = bootstrapInterval(() => 0.5, 10, { method });
      assertEquals([lower, upper, standardError], [0.5, 0.5, 0]);
    }
    const one = { targets: [1], predictions: [3] };
    const { lower, upper } = bootstrapInterval((rows) => rmse(takeValueRows(one, rows)), 1, {
      method: "bca",
    });
    assertEquals([lower, upper], [2, 2]);
  });

  it("draws every row equally often", () => {
    const counts = new Float64Array(7);
    bootstrapInterval(
      (rows) => {
        assertStrictEquals(rows.length, 7);
        for (const row of rows) counts[row]++;
        return 0;
      },
      7,
      { resamples: 5000 },
    );
    const chiSquare = counts.reduce((sum, count) => sum + (count - 5001) ** 2 / 5001, 0);
    assert(chiSquare < 22.5, `chi-square ${chiSquare} of 6 degrees of freedom`);
  });

  it("refuses options that make none", () => {
    const call = (options: object, rows = 3) => () => bootstrapInterval(() => 0, rows, options);
    for (const options of [{ level: 0 }, { level: 1 }, { level: NaN }, { resamples: 1 }, { seed: -1 }]) {
      assertThrows(call(options), OptionError);
    }
    assertThrows(call({ method: "basic" }), OptionError);
    assertThrows(call({}, 0), Error, "at least 1 row");
  });
});
