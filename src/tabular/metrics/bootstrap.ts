/**
 * How far a metric might have come out otherwise, had other rows been held out: the bootstrap (Efron 1979).
 *
 * Rows are drawn with replacement and the metric is computed again, many times. The percentile interval is cut
 * from those results; BCa (Efron 1987, "Better bootstrap confidence intervals") moves the cuts for a metric whose
 * results are biased or skewed.
 *
 * @module
 */

import { demandFunction, demandNoMore } from "../../core/demand.ts";
import { OptionError } from "../../core/errors.ts";
import { number, oneOf, seed as aSeed, whole } from "../../core/kinds.ts";
import { checkOptions, type OptionTable } from "../../core/options.ts";
import { Generator, philox } from "../../core/random.ts";
import { normalCdf, normalQuantile } from "../normal.ts";
import { quantile } from "../quantiles.ts";

/**
 * Options of {@link bootstrapInterval}.
 *
 * @category Tables
 */
export interface BootstrapOptions {
  /** The share of intervals that would hold the true value, in (0, 1). Default 0.95. */
  readonly level?: number;
  /** How often rows are drawn. Default 1000. */
  readonly resamples?: number;
  /** The seed of the draws. Default 0. */
  readonly seed?: number;
  /** Where the interval is cut. Default "percentile". */
  readonly method?: "percentile" | "bca";
}

const bootstrapOptions: OptionTable<BootstrapOptions> = {
  level: number({ above: 0, below: 1 }),
  resamples: whole(2, 1_000_000),
  seed: aSeed,
  method: oneOf("percentile", "bca"),
};

/**
 * A metric with its uncertainty.
 *
 * @category Tables
 */
export interface BootstrapInterval {
  /** The metric of the rows as they are. */
  readonly value: number;
  /** The lower end of the interval. */
  readonly lower: number;
  /** The upper end of the interval. */
  readonly upper: number;
  /** The standard deviation of the metric over the resamples. */
  readonly standardError: number;
  /** The share that the interval is meant to hold. */
  readonly level: number;
  /** The resamples that count: those on which the metric exists (AUC does not where a class is missing). */
  readonly resamples: number;
}

/** Leaving out one row at a time costs as many metrics as rows; beyond this many, rows are left out in groups. */
const jackknifeGroups = 200;

/**
 * As many rows as there are, with replacement. The words are taken four at a time, since a thousand resamples of
 * many rows are millions; 32 bits a row favour no row by more than rows / 2^32.
 */
function drawRows(generator: Generator, sample: Uint32Array): void {
  const { seed, offset } = generator.reserve(sample.length);
  const words = new Uint32Array(4);
  for (let i = 0; i < sample.length; i++) {
    if (i % 4 === 0) philox(seed, (offset + i) / 4, words);
    sample[i] = Math.floor(words[i % 4] * 2 ** -32 * sample.length);
  }
}

/** The skewness term of BCa, from the metric with a group of rows left out, each group in turn. */
function acceleration(metric: (rows: Uint32Array) => number, rows: number): number {
  const groups = Math.min(rows, jackknifeGroups);
  const values: number[] = [];
  for (let group = 0; group < groups; group++) {
    const kept = new Uint32Array(rows - Math.ceil((rows - group) / groups));
    for (let row = 0, k = 0; row < rows; row++) if (row % groups !== group) kept[k++] = row;
    const value = kept.length === 0 ? NaN : metric(kept);
    if (Number.isFinite(value)) values.push(value);
  }
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  let squares = 0, cubes = 0;
  for (const value of values) {
    squares += (mean - value) ** 2;
    cubes += (mean - value) ** 3;
  }
  return squares === 0 ? 0 : cubes / (6 * squares ** 1.5);
}

/**
 * A metric with an interval that holds its true value with probability `level`.
 *
 * @param metric the metric of the rows whose indices it is given (the same array each time, overwritten between
 *   calls); NaN when it does not exist for them
 * @param rows how many rows there are
 *
 * ```ts
 * const { value, lower, upper } = bootstrapInterval((rows) => auc(takeClassRows(scores, rows)), scores.labels.length);
 * ```
 * @throws {OptionError} for no rows, a metric that is no function, or an option that is none.
 * @category Tables
 */
export function bootstrapInterval(
  metric: (rows: Uint32Array) => number,
  rows: number,
  options: BootstrapOptions = {},
): BootstrapInterval {
  demandNoMore(arguments, 3, "bootstrapInterval");
  const { level = 0.95, resamples = 1000, seed = 0, method = "percentile" } = checkOptions(
    "bootstrapInterval",
    options,
    bootstrapOptions,
  );
  demandFunction("bootstrapInterval", metric, "metric");
  if (!Number.isInteger(rows) || rows < 1) {
    throw new OptionError(`bootstrapInterval: it needs at least 1 row, not ${rows}`);
  }
  const value = metric(Uint32Array.from({ length: rows }, (_, row) => row));
  const generator = new Generator(seed);
  const sample = new Uint32Array(rows);
  const found: number[] = [];
  for (let k = 0; k < resamples; k++) {
    drawRows(generator, sample);
    const result = metric(sample);
    if (!Number.isNaN(result)) found.push(result);
  }
  if (found.length < 2) {
    return { value, lower: NaN, upper: NaN, standardError: NaN, level, resamples: found.length };
  }
  const sorted = Float64Array.from(found).sort();
  const mean = sorted.reduce((sum, result) => sum + result, 0) / sorted.length;
  const squares = sorted.reduce((sum, result) => sum + (result - mean) ** 2, 0);
  let cuts = [(1 - level) / 2, (1 + level) / 2];
  if (method === "bca") {
    let below = 0;
    for (const result of sorted) below += result < value ? 1 : result === value ? 0.5 : 0;
    // All results on one side would move a cut to infinity; half a result keeps it in reach.
    const share = Math.min(sorted.length - 0.5, Math.max(0.5, below)) / sorted.length;
    const bias = normalQuantile(share), skew = acceleration(metric, rows);
    cuts = cuts.map((cut) => {
      const z = bias + normalQuantile(cut);
      return normalCdf(bias + z / (1 - skew * z));
    });
  }
  return {
    value,
    lower: quantile(sorted, cuts[0]),
    upper: quantile(sorted, cuts[1]),
    standardError: Math.sqrt(squares / (sorted.length - 1)),
    level,
    resamples: found.length,
  };
}
