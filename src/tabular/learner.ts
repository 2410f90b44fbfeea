/**
 * Fitting: candidates are trained inside the training rows, judged on the rows each was not trained on, and averaged.
 *
 * Several training parts (the folds of a cross-validation, and all rows for the model that is kept) are fitted at the
 * same time when they are small, each with columns, features, candidates and shares of its own: nothing that is chosen
 * for a part has seen a row outside of it.
 *
 * @module
 */
import { OptionError } from "../core/errors.ts";
import { type Candidate, type Plan, planFit, type PlanOptions } from "./candidates.ts";
import { meanLoss, mixShares } from "./mix.ts";
import { TableNormalizer } from "./normalizer.ts";
import { decorrelatedSource, featureSource } from "./sources.ts";
import { everyNth, makeFolds, otherParts } from "./split.ts";
import { Stack } from "./stack.ts";
import type { Member, RowList } from "./stack_rows.ts";
import type { Table } from "./table.ts";
import { describeTarget, type TargetValues } from "./target.ts";
import type { Network, Target } from "./types.ts";

/**
 * How far fitting has come.
 *
 * @category Tables
 */
export interface FitProgress {
  /** Steps done. */
  readonly step: number;
  /** Steps in all, at most. */
  readonly steps: number;
  /** Rows passed through networks so far. */
  readonly rows: number;
  /** What is being trained. */
  readonly what: string;
}

/**
 * How to fit.
 *
 * @category Tables
 */
export interface LearnerOptions extends PlanOptions {
  /** Decides every random choice. Default 0. */
  seed?: number;
  /** "balanced": each class counts the same in all, however rare. Default: each row counts the same. */
  classWeights?: "balanced" | "none";
  /** Most ramps a number is given. Default 16. */
  mostRamps?: number;
  /** Columns that stay inputs though they look like identifiers, with up to 1000 different texts, by name. */
  keep?: readonly string[];
  /** Hears of progress. */
  onProgress?: (progress: FitProgress) => void;
  /** Stops fitting. */
  signal?: AbortSignal;
}

/** Rows to learn from, and rows to predict. */
export interface Part {
  /** Rows of the table. */
  readonly train: Int32Array;
  /** Rows of the table; may be none. */
  readonly test: Int32Array;
}

/** A fitted part. */
export interface FittedPart {
  /** Columns and features. */
  readonly normalizer: TableNormalizer;
  /** The target as the training rows show it. */
  readonly target: Target;
  /** The networks of the average. */
  readonly networks: Network[];
  /** Probabilities [rows, classes] or values [rows] of the test rows. */
  readonly test: Float64Array;
  /** The same of the linear model alone; null when none was tried. */
  readonly linear: Float64Array | null;
  /** Each candidate's share. */
  readonly shares: Readonly<Record<string, number>>;
}

/** At most so many features of training rows are trained on at the same time. */
const mostStacked = 1 << 23;

/** More rows than these tell no better when to stop. */
const mostValidation = 10_000;

/** One part on its way. */
class PartInProgress {
  readonly part: Part;
  readonly normalizer: TableNormalizer;
  readonly target: Target;
  readonly plan: Plan;
  readonly validation: readonly Int32Array[];
  readonly training: readonly Int32Array[];
  readonly outputs: number;
  readonly names: string[] = [];
  readonly held: Float32Array[] = [];
  readonly tests: Float32Array[] = [];
  readonly networks: Network[][] = [];

  constructor(table: Table, values: TargetValues, part: Part, index: number, options: LearnerOptions) {
    this.part = part;
    this.normalizer = new TableNormalizer(table, values.column, part.train, options.mostRamps, options.keep);
    if (this.normalizer.features.length === 0) {
      const reasons = this.normalizer.columns.map(({ name, ignored }) =>
        `"${name}": ${ignored ?? "the same in every row"}`
      );
      throw new OptionError(
        `${table.name} has no column to predict from (${
          reasons.join("; ")
        }); --keep COLUMN keeps one all the same`,
      );
    }
    this.target = describeTarget(values, part.train);
    this.outputs = Math.max(1, values.classes.length);
    this.plan = planFit(part.train.length, this.outputs, this.normalizer, options);
    const classes = values.task === "classification" ? values.values : null;
    const folds = Math.min(this.plan.parts, part.train.length);
    const parts = makeFolds(part.train, folds, 1000 + 100 * (options.seed ?? 0) + index, classes);
    const used = Math.min(this.plan.used, folds);
    this.validation = parts.slice(0, used).map((rows) => everyNth(rows, mostValidation));
    this.training = this.validation.map((_, i) => otherParts(parts, i));
  }

  /** The networks of a candidate: one a validation part, for each strength of the penalty. */
  members(candidate: Candidate, values: TargetValues, rows: number, options: LearnerOptions): Member[] {
    const plain = featureSource(this.normalizer, this.normalizer.views[candidate.view], rows);
    const source = candidate.decorrelated ? decorrelatedSource(plain, this.part.train, rows) : plain;
    const { target } = this, regression = target.task === "regression";
    const total = target.counts.reduce((a, b) => a + b, 0);
    const classWeights = !regression && options.classWeights === "balanced"
      ? target.counts.map((count) => count === 0 ? 0 : total / (target.counts.length * count))
      : null;
    return candidate.l2.flatMap((l2) =>
      this.validation.map((validation, i) => ({
        source,
        train: this.training[i],
        validation,
        targets: values.values,
        center: regression ? target.mean : 0,
        scale: regression ? target.std : 1,
        classWeights,
        l2,
      }))
    );
  }

  /** The standardised targets, or classes, of the validation rows, part after part. */
  truths(values: TargetValues): Float64Array {
    const { target } = this, regression = target.task === "regression";
    const all = this.validation.flatMap((rows) => Array.from(rows, (row) => values.values[row]));
    return Float64Array.from(all, (v) => regression ? (v - target.mean) / target.std : v);
  }

  finish(values: TargetValues): FittedPart {
    const classes = values.classes.length, shares = mixShares(this.held, this.truths(values), classes);
    const { mean, std, task } = this.target;
    const own = (y: number): number => task === "regression" ? y * std + mean : y;
    const test = new Float64Array(this.part.test.length * this.outputs);
    this.tests.forEach((t, c) => t.forEach((y, i) => test[i] += shares[c] * y));
    const linear = this.names.indexOf("linear");
    return {
      normalizer: this.normalizer,
      target: this.target,
      test: test.map(own),
      linear: linear < 0 ? null : Float64Array.from(this.tests[linear], own),
      shares: Object.fromEntries(this.names.map((name, c) => [name, shares[c]])),
      networks: this.networks.flatMap((list, c) =>
        shares[c] === 0 ? [] : list.map((network) => ({ ...network, share: shares[c] / list.length }))
      ),
    };
  }
}

/** Fits every part. Parts of small tables are trained together. */
export async function fitParts(
  table: Table,
  values: TargetValues,
  parts: readonly Part[],
  options: LearnerOptions = {},
): Promise<FittedPart[]> {
  const fitted: FittedPart[] = [];
  const progress = { step: 0, steps: 0, rows: 0 };
  for (const group of groupParts(parts, table)) {
    const open = group.map((index) => new PartInProgress(table, values, parts[index], index, options));
    const { candidates } = open[0].plan;
    if (progress.steps === 0) {
      const each = candidates.reduce((sum, { training }) => sum + training.steps, 0);
      progress.steps = each * groupParts(parts, table).length;
    }
    for (let c = 0; c < candidates.length; c++) await runCandidate(c, open, table, values, progress, options);
    for (const part of open) fitted.push(part.finish(values));
  }
  return fitted;
}

/** Which parts are trained together. */
function groupParts(parts: readonly Part[], table: Table): number[][] {
  const most = Math.max(
    1,
    Math.floor(mostStacked / (4 * Math.max(1, parts[0].train.length) * 8 * table.columns.length)),
  );
  const groups: number[][] = [];
  for (let i = 0; i < parts.length; i += most) {
    groups.push(parts.slice(i, i + most).map((_, k) => i + k));
  }
  return groups;
}

/** Trains one candidate for all open parts, at every strength of its penalty, and keeps the best strength of each. */
async function runCandidate(
  index: number,
  open: readonly PartInProgress[],
  table: Table,
  values: TargetValues,
  progress: { step: number; steps: number; rows: number },
  options: LearnerOptions,
): Promise<void> {
  const classes = values.classes.length, { name, view, l2, training } = open[0].plan.candidates[index];
  const members = open.flatMap((part) =>
    part.members(part.plan.candidates[index], values, table.rows, options)
  );
  const before = progress.step;
  const stack = new Stack(members, {
    ...training,
    classes,
    seed: (options.seed ?? 0) * 100 + index,
    onStep: (step, rows) => {
      progress.rows += rows;
      options.onProgress?.({ step: before + step, steps: progress.steps, rows: progress.rows, what: name });
    },
    ...(options.signal ? { signal: options.signal } : {}),
  });
  try {
    await stack.train();
    progress.step = before + training.steps;
    const each = open.flatMap((part) => l2.flatMap(() => part.validation.map(() => part)));
    const held = await stack.predict(members.map(({ validation }) => validation));
    const tests = await stack.predict(each.map((part): RowList => part.part.test));
    const layers = await stack.layers();
    let at = 0;
    for (const part of open) {
      const count = part.validation.length, truths = part.truths(values);
      let best = 0, bestLoss = Infinity;
      const joined = l2.map((_, k) => concatenate(held.slice(at + k * count, at + (k + 1) * count)));
      joined.forEach((predictions, k) => {
        const loss = meanLoss(predictions, truths, classes);
        if (loss < bestLoss) [best, bestLoss] = [k, loss];
      });
      const from = at + best * count, own = part.normalizer.views[view];
      part.names.push(name);
      part.held.push(joined[best]);
      part.tests.push(average(tests.slice(from, from + count)));
      part.networks.push(
        layers.slice(from, from + count).map((list) => ({ share: 0, inputs: own, layers: list })),
      );
      at += count * l2.length;
    }
  } finally {
    stack.dispose();
  }
}

function concatenate(pieces: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(pieces.reduce((n, piece) => n + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

function average(pieces: readonly Float32Array[]): Float32Array {
  const mean = new Float32Array(pieces[0].length);
  for (const piece of pieces) piece.forEach((v, i) => mean[i] += v / pieces.length);
  return mean;
}
