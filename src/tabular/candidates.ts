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
  const { model = "auto", hidden } = options;
  const plain = normalizer.views.plain.length, piecewise = normalizer.views.piecewise.length;
  const small = rows <= mostSmallRows;
  const parts = small ? 4 : 10, used = small ? 4 : 2;
  const common = { every: 10, weightDecay: 0, dropout: 0, batch: rows > 1500 ? 256 : 1500 };
  const linear = { ...common, hidden: [], steps: 250, patience: 60 };
  const candidates: Candidate[] = [];
  if (small) {
    const plainWidth = clamp(plainBudget / used / (plain + outputs + 1), 8, 32);
    const width = clamp(piecewiseBudget / used / (piecewise + outputs + 1), 8, 32), steps = options.steps;
    if (model !== "mlp") {
      candidates.push(
        { name: "linear", view: "plain", l2: [0.0003, 0.003, 0.03], training: { ...linear, lr: 0.1 } },
        ...(plain <= mostDecorrelated
          ? [{
            name: "decorrelated",
            view: "plain" as const,
            decorrelated: true,
            l2: [0.001, 0.01],
            training: { ...linear, lr: 0.05 },
          }]
          : []),
        { name: "additive", view: "piecewise", l2: [0.01, 0.03], training: { ...linear, lr: 0.03 } },
      );
    }
    if (model !== "linear") {
      candidates.push(
        {
          name: "perceptron",
          view: "plain",
          l2: [0],
          training: {
            ...common,
            hidden: hidden ?? [plainWidth],
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
            ...common,
            hidden: hidden ?? [width],
            lr: 0.007,
            weightDecay: 0.3,
            dropout: 0.2,
            steps: steps ?? 200,
            patience: 60,
          },
        },
      );
    }
    return { parts, used, candidates };
  }
  const first = clamp(4500 / piecewise, 16, 64), batch = rows > 100_000 ? 512 : 256;
  const steps = options.steps ?? clamp(20 * rows / batch, 800, 4000);
  if (model !== "mlp") {
    const training = { ...linear, lr: 0.05, batch: 1024, every: 25, patience: 100 };
    candidates.push({ name: "linear", view: "plain", l2: [0.0003], training });
  }
  if (model !== "linear") {
    const training = {
      ...common,
      hidden: hidden ?? [first, first >> 1],
      lr: 0.005,
      weightDecay: 0.1,
      dropout: 0.05,
      steps,
      batch,
      every: Math.max(50, Math.floor(steps / 40)),
      patience: Math.ceil(steps * 0.4),
    };
    candidates.push({ name: "piecewise perceptron", view: "piecewise", l2: [0], training });
  }
  return { parts, used, candidates };
}
