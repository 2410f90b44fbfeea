/**
 * What is tried on the training rows: linear models, additive models (linear on ramps), and perceptrons on either view.
 *
 * Widths follow from a budget of weights, so that a model file stays small: about 20 kB in half precision.
 *
 * @module
 */
import type { TableNormalizer } from "./normalizer.ts";
import type { StackOptions } from "./stack.ts";

/**
 * Which models are tried: linear ones, perceptrons, or all.
 *
 * @category Tables
 */
export type ModelChoice = "auto" | "linear" | "mlp";

/** A kind of model that is tried. */
export interface Candidate {
  /** For people. */
  readonly name: string;
  /** What it sees. */
  readonly view: "plain" | "piecewise";
  /** Whether it learns on decorrelated features; it is kept for the plain ones all the same. */
  readonly decorrelated?: boolean;
  /** Strengths of the L2 penalty that are tried. */
  readonly l2: readonly number[];
  /** How it is trained. */
  readonly training: Omit<StackOptions, "classes" | "seed">;
}

/** Rows up to which candidates are cross-validated inside the training part; beyond, parts of the rows are held out. */
export const mostSmallRows = 5000;

/** How a table of so many training rows is fitted. */
export interface Plan {
  /** The training rows are cut into so many parts … */
  readonly parts: number;
  /** … and a network is trained for each of the first so many, which is its validation part. */
  readonly used: number;
  /** What is tried. */
  readonly candidates: readonly Candidate[];
}

/**
 * What a caller may set.
 *
 * @category Tables
 */
export interface PlanOptions {
  /** Default "auto". */
  model?: ModelChoice;
  /** Widths of the hidden layers of perceptrons. Default: from the number of rows and features. */
  hidden?: readonly number[];
  /** Most training steps of a perceptron. Default: from the number of rows. */
  steps?: number;
}

/** Decorrelating takes time with the square of the features. */
const mostDecorrelated = 200;

/** Weights that all networks of a small set's perceptrons may have together. */
const plainBudget = 3600, piecewiseBudget = 5000;

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, Math.floor(value)));
}

/** Chooses what to try for `rows` training rows, `outputs` outputs and the features of `normalizer`. */
export function planFit(
  rows: number,
  outputs: number,
  normalizer: TableNormalizer,
  options: PlanOptions = {},
): Plan {
  const { model = "auto" } = options, small = rows <= mostSmallRows;
  const { linear, perceptrons } = small
    ? ofFewRows(rows, outputs, normalizer, options)
    : ofManyRows(rows, normalizer, options);
  const candidates = [...model === "mlp" ? [] : linear, ...model === "linear" ? [] : perceptrons];
  return small ? { parts: 4, used: smallParts, candidates } : { parts: 10, used: 2, candidates };
}

/** Networks that are trained of each candidate where rows are few: one for each part. */
const smallParts = 4;

/** Candidates, by what a caller may leave out. */
interface Candidates {
  readonly linear: readonly Candidate[];
  readonly perceptrons: readonly Candidate[];
}

const common = { every: 10, weightDecay: 0, dropout: 0 };

/** Everything is tried, with a few strengths of each penalty. */
function ofFewRows(
  rows: number,
  outputs: number,
  { views }: TableNormalizer,
  { hidden, steps }: PlanOptions,
): Candidates {
  const shared = { ...common, batch: rows > 1500 ? 256 : 1500 };
  const line = { ...shared, hidden: [], steps: 250, patience: 60 };
  const decorrelated: Candidate = {
    name: "decorrelated",
    view: "plain",
    decorrelated: true,
    l2: [0.001, 0.01],
    training: { ...line, lr: 0.05 },
  };
  const width = (budget: number, features: number): number =>
    clamp(budget / smallParts / (features + outputs + 1), 8, 32);
  return {
    linear: [
      { name: "linear", view: "plain", l2: [0.0003, 0.003, 0.03], training: { ...line, lr: 0.1 } },
      ...views.plain.length <= mostDecorrelated ? [decorrelated] : [],
      { name: "additive", view: "piecewise", l2: [0.01, 0.03], training: { ...line, lr: 0.03 } },
    ],
    perceptrons: [
      {
        name: "perceptron",
        view: "plain",
        l2: [0],
        training: {
          ...shared,
          hidden: hidden ?? [width(plainBudget, views.plain.length)],
          lr: 0.01,
          weightDecay: 0.1,
          dropout: 0.1,
          steps: steps ?? 250,
          patience: 80,
        },
      },
      {
        name: "piecewise perceptron",
        view: "piecewise",
        l2: [0],
        training: {
          ...shared,
          hidden: hidden ?? [width(piecewiseBudget, views.piecewise.length)],
          lr: 0.007,
          weightDecay: 0.3,
          dropout: 0.2,
          steps: steps ?? 200,
          patience: 60,
        },
      },
    ],
  };
}

/** One of each, with larger batches. */
function ofManyRows(
  rows: number,
  { views }: TableNormalizer,
  { hidden, steps: asked }: PlanOptions,
): Candidates {
  const first = clamp(4500 / views.piecewise.length, 16, 64), batch = rows > 100_000 ? 512 : 256;
  const steps = asked ?? clamp(20 * rows / batch, 800, 4000);
  return {
    linear: [{
      name: "linear",
      view: "plain",
      l2: [0.0003],
      training: { ...common, hidden: [], steps: 250, lr: 0.05, batch: 1024, every: 25, patience: 100 },
    }],
    perceptrons: [{
      name: "piecewise perceptron",
      view: "piecewise",
      l2: [0],
      training: {
        ...common,
        hidden: hidden ?? [first, first >> 1],
        lr: 0.005,
        weightDecay: 0.1,
        dropout: 0.05,
        steps,
        batch,
        every: Math.max(50, Math.floor(steps / 40)),
        patience: Math.ceil(steps * 0.4),
      },
    }],
  };
}
