/**
 * What a page says about one row and its prediction, as pure functions of numbers that the model file holds.
 *
 * Nothing here clips, rounds or words anything: a value outside of what training saw has a position below 0 or
 * above 1, and it is for the page to say so.
 *
 * @module
 */

import { demand, demandNoMore, demandNumbers, demandRecord, toldAs } from "../core/demand.ts";
import { OptionError, ShapeError } from "../core/errors.ts";
import { counted, show } from "../core/show.ts";
import { conformalRadius } from "./conformal.ts";
import { quartile, shareBelow } from "./quantiles.ts";

/**
 * (value − mean) / std. Of a constant column (std 0) it is 0 for its value, else infinite.
 *
 * @category Tables
 */
export function zScore(value: number, mean: number, std: number): number {
  return value === mean ? 0 : (value - mean) / std;
}

/**
 * Where `value` stands from min (0) to max (1). Of a constant column it is 0.5 for its value, else
 *   infinite.
 *
 * @category Tables
 */
export function rangePosition(value: number, min: number, max: number): number {
  return min === max && value === min ? 0.5 : (value - min) / (max - min);
}

/**
 * What is stored of a column, or of the target of a regression.
 *
 * @category Tables
 */
export interface Distribution {
  /** Mean over the training rows. */
  readonly mean: number;
  /** Standard deviation over the training rows. */
  readonly std: number;
  /** Least value. */
  readonly min: number;
  /** Largest value. */
  readonly max: number;
  /** Even quantiles from min to max, 4k + 1 of them. */
  readonly quantiles: ArrayLike<number>;
}

/**
 * Where one value stands among those seen in training.
 *
 * @category Tables
 */
export interface ValueStatistics {
  /** Standard deviations above the mean. */
  readonly z: number;
  /** From min (0) to max (1); outside of that when training saw nothing like it. */
  readonly position: number;
  /** Whether min <= value <= max. */
  readonly inRange: boolean;
  /** value − mean, in the column's unit. */
  readonly distance: number;
  /** The share of training rows at or below it, in [0, 1]. */
  readonly share: number;
  /** The quarter of the training rows it falls into, by their quantiles. */
  readonly quartile: 1 | 2 | 3 | 4;
}

/**
 * Where `value` stands; it is a number, not NaN.
 *
 * @throws {OptionError} for what are no numbers, or not those it takes.
 * @throws {ShapeError} for quantiles that are not 4k + 1 (5, 9, 101 …).
 * @category Tables
 */
export function valueStatistics(value: number, of: Distribution): ValueStatistics {
  demandNoMore(arguments, 2, "valueStatistics");
  demand("valueStatistics", "value", value, typeof value === "number", "a number");
  demandRecord("valueStatistics", of, "the distribution", "{ mean, std, min, max, quantiles }");
  demandNumbers("valueStatistics", of.quantiles, "quantiles");
  if (Number.isNaN(value)) {
    throw new OptionError("a missing value stands nowhere: leave it out before asking");
  }
  return {
    z: zScore(value, of.mean, of.std),
    position: rangePosition(value, of.min, of.max),
    inRange: value >= of.min && value <= of.max,
    distance: value - of.mean,
    share: shareBelow(of.quantiles, value),
    quartile: quartile(of.quantiles, value),
  };
}

/**
 * The entropy −Σ p·log2 p in bits: 0 when one class is sure, log2(classes) when all are equal.
 *
 * @throws {OptionError} for what are no numbers, or not those it takes.
 * @category Tables
 */
export function entropy(probabilities: ArrayLike<number>): number {
  demandNoMore(arguments, 1, "entropy");
  demandNumbers("entropy", probabilities, "probabilities");
  let sum = 0;
  for (let c = 0; c < probabilities.length; c++) {
    const p = probabilities[c];
    if (!(p >= 0)) throw new OptionError(`entropy: class ${c} has probability ${show(p)}`);
    if (p > 0) sum -= p * Math.log2(p);
  }
  // −1·log2(1) is −0, and a sum a rounding above 1 would make it negative.
  return Math.max(0, sum);
}

/**
 * How sure a prediction is, in a word.
 *
 * @category Tables
 */
export type Badge = "Certain" | "Confident" | "Uncertain" | "Toss-up";

/**
 * The word for an entropy as a part of the largest possible one: up to 0.25 Certain, up to 0.60 Confident, up to 0.90
 * Uncertain, beyond Toss-up. With two classes these are top probabilities of about 96, 85 and 68 %.
 *
 * @category Tables
 */
export function badge(normalizedEntropy: number): Badge {
  if (normalizedEntropy <= 0.25) return "Certain";
  if (normalizedEntropy <= 0.6) return "Confident";
  return normalizedEntropy <= 0.9 ? "Uncertain" : "Toss-up";
}

/**
 * One line of a probability table.
 *
 * @category Tables
 */
export interface ProbabilityRow {
  /** The class, an index. */
  readonly index: number;
  /** Its name. */
  readonly name: string;
  /** Its probability. */
  readonly probability: number;
  /** ln p; −Infinity for 0. */
  readonly logProbability: number;
  /** p / (1 − p): 3 means three to one; Infinity for 1. */
  readonly odds: number;
}

/**
 * Classes by falling probability; equals in the order of the model.
 *
 * @throws {OptionError} for what are no numbers, or not those it takes.
 * @throws {ShapeError} for another number of probabilities than of classes.
 * @category Tables
 */
export function probabilityTable(
  probabilities: ArrayLike<number>,
  names: readonly string[],
): ProbabilityRow[] {
  demandNoMore(arguments, 2, "probabilityTable");
  demandNumbers("probabilityTable", probabilities, "probabilities");
  demand("probabilityTable", "names", names, Array.isArray(names), "a list of names");
  if (probabilities.length !== names.length) {
    throw new ShapeError(
      `${counted(probabilities.length, "probability", "probabilities")} cannot stand for ${
        counted(names.length, "class", "classes")
      }`,
    );
  }
  return names.map((name, index) => {
    const probability = probabilities[index];
    return {
      index,
      name,
      probability,
      logProbability: Math.log(probability),
      odds: probability / Math.max(0, 1 - probability),
    };
  }).sort((a, b) => b.probability - a.probability || a.index - b.index);
}

/**
 * What a page says of one classified row.
 *
 * @category Tables
 */
export interface ClassStatistics {
  /** Classes by falling probability. */
  readonly table: ProbabilityRow[];
  /** In bits. */
  readonly entropy: number;
  /** The entropy divided by log2(classes): 0 sure, 1 all equal. */
  readonly normalizedEntropy: number;
  /** How sure, in a word. */
  readonly badge: Badge;
  /** How far the first class is ahead of the second: the difference of their probabilities. */
  readonly margin: number;
}

/**
 * The statistics of one row's class probabilities; at least two classes.
 *
 * @throws {OptionError} for what are no numbers, or not those it takes.
 * @throws {ShapeError} for another number of probabilities than of classes, and fewer than 2 classes.
 * @category Tables
 */
export function classStatistics(probabilities: ArrayLike<number>, names: readonly string[]): ClassStatistics {
  demandNoMore(arguments, 2, "classStatistics");
  demand("classStatistics", "names", names, Array.isArray(names), "a list of names");
  if (names.length < 2) throw new ShapeError(`a classification has at least 2 classes, not ${names.length}`);
  const table = probabilityTable(probabilities, names);
  const bits = entropy(probabilities);
  const normalizedEntropy = Math.min(1, bits / Math.log2(names.length));
  return {
    table,
    entropy: bits,
    normalizedEntropy,
    badge: badge(normalizedEntropy),
    margin: table[0].probability - table[1].probability,
  };
}

/**
 * What a page says of one predicted value.
 *
 * @category Tables
 */
export interface RegressionStatistics extends ValueStatistics {
  /** The interval that holds the truth with probability `level`: value ± radius, not clipped to the target's range. */
  readonly interval: { readonly lower: number; readonly upper: number; readonly level: number };
}

/**
 * The statistics of one predicted value.
 *
 * @param target what is stored of the target
 * @param residuals ascending |value − truth| of held-out rows, as a model file keeps them
 * @param level the share of truths the interval is to hold. Default 0.9
 * @throws {OptionError} for what are no numbers, or not those it takes.
 * @throws {ShapeError} for quantiles that are not 4k + 1 (5, 9, 101 …).
 * @category Tables
 */
export function regressionStatistics(
  value: number,
  target: Distribution,
  residuals: ArrayLike<number>,
  level = 0.9,
): RegressionStatistics {
  demandNoMore(arguments, 4, "regressionStatistics");
  const radius = toldAs("regressionStatistics", ["conformalRadius"], () => conformalRadius(residuals, level));
  return {
    ...valueStatistics(value, target),
    interval: { lower: value - radius, upper: value + radius, level },
  };
}
