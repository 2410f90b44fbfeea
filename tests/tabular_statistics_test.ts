/**
 * Statistics for the page, quantiles and conformal intervals: values worked out by hand, and the promise of coverage
 * measured.
 */
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { OptionError, ShapeError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import {
  conformalRadius,
  coverage,
  crossConformal,
  sortedResiduals,
  splitConformal,
  thinResiduals,
} from "../src/tabular/conformal.ts";
import { evenQuantiles, quantile, quartile, shareBelow } from "../src/tabular/quantiles.ts";
import {
  badge,
  classStatistics,
  entropy,
  probabilityTable,
  rangePosition,
  regressionStatistics,
  valueStatistics,
  zScore,
} from "../src/tabular/statistics.ts";

function near(actual: number, expected: number, tolerance = 1e-12): void {
  assert(Math.abs(actual - expected) <= tolerance, `${actual} is not within ${tolerance} of ${expected}`);
}

describe("where a value stands", () => {
  it("in standard deviations and in the range", () => {
    near(zScore(7, 5, 4), 0.5);
    near(zScore(3, 5, 4), -0.5);
    near(rangePosition(3, 1, 5), 0.5);
    near(rangePosition(0, 1, 5), -0.25);
    near(rangePosition(7, 1, 5), 1.5);
  });

  it("in a column that is constant", () => {
    assertStrictEquals(zScore(5, 5, 0), 0);
    assertStrictEquals(zScore(6, 5, 0), Infinity);
    assertStrictEquals(zScore(4, 5, 0), -Infinity);
    assertStrictEquals(rangePosition(5, 5, 5), 0.5);
    assertStrictEquals(rangePosition(6, 5, 5), Infinity);
    assertStrictEquals(rangePosition(4, 5, 5), -Infinity);
  });

  it("all together", () => {
    const of = { mean: 5, std: 2, min: 0, max: 20, quantiles: [0, 2, 4, 6, 20] };
    assertEquals(valueStatistics(6, of), {
      z: 0.5,
      position: 0.3,
      inRange: true,
      distance: 1,
      share: 0.75,
      quartile: 3,
    });
    const beyond = valueStatistics(25, of);
    assertEquals([beyond.inRange, beyond.position, beyond.share, beyond.quartile], [false, 1.25, 1, 4]);
    assertThrows(() => valueStatistics(NaN, of), OptionError);
  });
});

describe("quantiles", () => {
  it("are NumPy's", () => {
    near(quantile([1, 2, 3, 4], 0.25), 1.75);
    near(quantile([1, 2, 3, 4], 0.5), 2.5);
    near(quantile([7], 0.3), 7);
    assertEquals(Array.from(evenQuantiles([5, 1, NaN, 3, 2, 4], 4)), [1, 2, 3, 4, 5]);
    assertThrows(() => quantile([], 0.5), ShapeError);
    assertThrows(() => quantile([1], 1.1), OptionError);
    assertThrows(() => evenQuantiles([1], 0), OptionError);
  });

  it("tell the share below, in the middle of ties", () => {
    const quantiles = [0, 1, 1, 1, 4];
    const expected: [number, number][] = [[-1, 0], [0, 0], [0.5, 0.125], [1, 0.5], [2.5, 0.875], [4, 1], [
      9,
      1,
    ]];
    for (const [value, share] of expected) near(shareBelow(quantiles, value), share);
    assert(Number.isNaN(shareBelow(quantiles, NaN)));
    assertStrictEquals(shareBelow([3, 3], 3), 0.5);
    assertThrows(() => shareBelow([3], 3), ShapeError);
  });

  it("invert each other", () => {
    const generator = new Generator(4);
    const values = Float64Array.from({ length: 500 }, () => generator.normal());
    const quantiles = evenQuantiles(values, 20), sorted = values.slice().sort();
    for (let p = 0; p <= 1; p += 0.013) near(shareBelow(quantiles, quantile(sorted, p)), p, 0.02);
  });

  it("give a quarter of the rows to each quartile, however skewed", () => {
    const generator = new Generator(9);
    const values = Array.from({ length: 4000 }, () => Math.exp(2 * generator.normal()));
    const quantiles = evenQuantiles(values, 20);
    const counts = [0, 0, 0, 0];
    for (const value of values) counts[quartile(quantiles, value) - 1]++;
    assertEquals(counts, [1000, 1000, 1000, 1000]);
    // Quarters of the range would put nearly all of them into the first.
    const first = values.filter((value) => rangePosition(value, quantiles[0], quantiles[20]) < 0.25).length;
    assert(first > 3900);
  });

  it("have quartiles only where they are cut", () => {
    for (const quantiles of [[1, 2], [1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7]]) {
      assertThrows(() => quartile(quantiles, 1), Error, "4k + 1");
    }
    assertThrows(() => quartile([1, 2, 3, 4, 5], NaN), OptionError);
    assertStrictEquals(quartile([1, 2, 3, 4, 5], -10), 1);
    assertStrictEquals(quartile([1, 2, 3, 4, 5], 10), 4);
    // Ends belong to the quarter below.
    assertEquals([2, 3, 4].map((value) => quartile([1, 2, 3, 4, 5], value)), [1, 2, 3]);
  });
});

describe("class probabilities on the page", () => {
  it("have an entropy in bits", () => {
    near(entropy([0.5, 0.5]), 1);
    near(entropy([0.25, 0.25, 0.25, 0.25]), 2);
    near(entropy([0.5, 0.25, 0.25]), 1.5);
    assert(Object.is(entropy([1, 0, 0]), 0));
    assertThrows(() => entropy([0.5, NaN]), Error, "class 1 has probability NaN");
  });

  it("are given a word", () => {
    const word = (p: number) => classStatistics([p, 1 - p], ["a", "b"]).badge;
    assertEquals([1, 0.96, 0.95, 0.86, 0.85, 0.69, 0.68, 0.5].map(word), [
      "Certain",
      "Certain",
      "Confident",
      "Confident",
      "Uncertain",
      "Uncertain",
      "Toss-up",
      "Toss-up",
    ]);
    assertEquals([0.25, 0.6, 0.9].map(badge), ["Certain", "Confident", "Uncertain"]);
    // The word does not depend on how many classes share what is left equally.
    assertStrictEquals(
      classStatistics([0.2, 0.2, 0.2, 0.2, 0.2], ["a", "b", "c", "d", "e"]).badge,
      "Toss-up",
    );
  });

  it("stand in a table with ln p and odds", () => {
    const table = probabilityTable([0.2, 0.75, 0.05], ["a", "b", "c"]);
    assertEquals(table.map(({ name, index }) => [name, index]), [["b", 1], ["a", 0], ["c", 2]]);
    near(table[0].odds, 3);
    near(table[1].odds, 0.25);
    near(table[0].logProbability, Math.log(0.75));
    const [sure, never] = probabilityTable([0, 1], ["a", "b"]);
    assertEquals([sure.odds, sure.logProbability], [Infinity, 0]);
    assertEquals([never.odds, never.logProbability], [0, -Infinity]);
    assertEquals(probabilityTable([0.5, 0.5], ["a", "b"]).map(({ name }) => name), ["a", "b"]);
    assertThrows(() => probabilityTable([1], ["a", "b"]), ShapeError);
  });

  it("have a margin", () => {
    const statistics = classStatistics([0.5, 0.125, 0.375], ["a", "b", "c"]);
    near(statistics.margin, 0.125);
    near(statistics.normalizedEntropy, statistics.entropy / Math.log2(3));
    near(classStatistics([0.5, 0.5], ["a", "b"]).margin, 0);
    assertThrows(() => classStatistics([1], ["a"]), ShapeError);
  });

  it("obey what an entropy and odds must, whatever they are", () => {
    const generator = new Generator(8);
    for (let trial = 0; trial < 200; trial++) {
      const raw = Array.from({ length: 2 + trial % 5 }, () => generator.uniform() ** 3);
      const sum = raw.reduce((a, b) => a + b, 0);
      const probabilities = raw.map((value) => value / sum);
      const statistics = classStatistics(probabilities, raw.map((_, c) => `class ${c}`));
      assert(statistics.normalizedEntropy >= 0 && statistics.normalizedEntropy <= 1);
      assert(statistics.margin >= 0 && statistics.margin <= 1);
      near(statistics.table.reduce((total, row) => total + row.probability, 0), 1);
      for (const { probability, odds, logProbability, index } of statistics.table) {
        near(odds / (1 + odds), probability);
        near(Math.exp(logProbability), probabilities[index]);
      }
    }
  });
});

describe("conformal intervals", () => {
  it("take the rank of a finite sample", () => {
    const residuals = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    const radii: [number, number][] = [[0.9, 9], [0.89, 9], [0.8, 8], [0.5, 5], [0.05, 1], [0.91, Infinity]];
    for (const [level, radius] of radii) {
      assertStrictEquals(conformalRadius(residuals, level), radius, `level ${level}`);
    }
    // A rounding above a whole rank is not the next rank: 100·0.55 = 55.00000000000001.
    assertStrictEquals(conformalRadius(Array.from({ length: 99 }, (_, i) => i + 1), 0.55), 55);
    assertStrictEquals(conformalRadius(Array.from({ length: 19 }, (_, i) => i), 0.95), 18);
    assertStrictEquals(conformalRadius(Array.from({ length: 18 }, (_, i) => i), 0.95), Infinity);
    assertStrictEquals(conformalRadius([], 0.5), Infinity);
    for (const level of [0, 1, NaN]) assertThrows(() => conformalRadius([1], level), OptionError);
  });

  it("sort and thin residuals, never to the narrow side", () => {
    assertEquals(Array.from(sortedResiduals([-3, 1, 0.5, -2])), [0.5, 1, 2, 3]);
    assertThrows(() => sortedResiduals([1, NaN]), Error, "row 1 is NaN");
    const sorted = Float64Array.from({ length: 5000 }, (_, i) => (i / 5000) ** 2);
    const thin = thinResiduals(sorted);
    assertStrictEquals(thin.length, 401);
    assertEquals([thin[0], thin[400]], [0, Math.fround(sorted[4999])]);
    for (const level of [0.5, 0.8, 0.9, 0.95, 0.99]) {
      const exact = conformalRadius(sorted, level), kept = conformalRadius(thin, level);
      assert(kept >= Math.fround(exact) && kept <= exact + 0.01, `level ${level}: ${kept} for ${exact}`);
    }
    assertEquals(Array.from(thinResiduals([1, 2])), [1, 2]);
    assertThrows(() => thinResiduals([1, 2], 1), OptionError);
  });

  it("hold exactly their share on average, for errors of any distribution", () => {
    const generator = new Generator(21);
    const draws = [
      () => generator.normal(),
      () => generator.normal() / (generator.uniform() + 0.05),
      () => Math.exp(generator.normal()),
    ];
    for (const draw of draws) {
      let sum = 0;
      const trials = 400;
      for (let trial = 0; trial < trials; trial++) {
        const calibration = Array.from({ length: 19 }, draw), test = Array.from({ length: 30 }, draw);
        sum += splitConformal(calibration, test, 0.9).coverage;
      }
      // Rank 18 of 19 residuals: a new one is below it with probability 18/20.
      near(sum / trials, 0.9, 0.015);
    }
  });

  it("count coverage, ends included", () => {
    assertStrictEquals(coverage([1, 2, 3, 4], [1, 0, 3.5, 0], [2, 1, 4, 4]), 0.5);
    assertThrows(() => coverage([], [], []), ShapeError);
    assertThrows(() => coverage([1], [1, 2], [2]), Error, "1 target, 2 lower and 1 upper");
    assertEquals(splitConformal([1, -2, 3], [2, -2.5, 4], 0.5), {
      level: 0.5,
      radius: 2,
      coverage: 1 / 3,
      count: 3,
    });
    assertThrows(() => splitConformal([1], [], 0.5), ShapeError);
  });

  it("measure themselves on folds that they were not made from", () => {
    const errors = [1, -1, 2, -2, 10, -10], folds = [0, 0, 1, 1, 2, 2];
    // Level 0.5 takes rank 3 of the other folds' four residuals: 10, 10 and 2; the last fold's rows lie outside.
    assertEquals(crossConformal(errors, folds, 0.5), {
      level: 0.5,
      radius: 2,
      coverage: 4 / 6,
      count: 6,
    });
    const generator = new Generator(2);
    const many = Array.from({ length: 2000 }, () => generator.normal());
    const interval = crossConformal(many, many.map((_, row) => row % 5), 0.9);
    near(interval.coverage, 0.9, 0.01);
    near(interval.radius, 1.645, 0.1);
    assertThrows(() => crossConformal([1, 2], [0, 0], 0.5), Error, "at least 2 folds");
    assertThrows(() => crossConformal([1, 2], [0], 0.5), ShapeError);
    assertThrows(() => crossConformal([1, 2], [0, 1], 1.5), OptionError);
    assertThrows(() => crossConformal([1, NaN, 3], [0, 1, 1], 0.5), OptionError);
  });

  it("surround a value on the page", () => {
    const target = { mean: 5, std: 2, min: 0, max: 20, quantiles: [0, 2, 4, 6, 20] };
    const statistics = regressionStatistics(8, target, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assertEquals(statistics.interval, { lower: -1, upper: 17, level: 0.9 });
    assertEquals([statistics.z, statistics.distance, statistics.quartile], [1.5, 3, 4]);
    const open = regressionStatistics(8, target, [1], 0.95);
    assertEquals([open.interval.lower, open.interval.upper], [-Infinity, Infinity]);
  });
});
