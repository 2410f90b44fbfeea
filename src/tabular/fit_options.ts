/**
 * What the options of fitting a model to a table may be.
 *
 * @module
 */
import { abortSignal, callback, flag, listOf, number, oneOf, seed, text, whole } from "../core/kinds.ts";
import { byDefault, type Idle, type OptionTable } from "../core/options.ts";
import type { TabularOptions } from "./model.ts";

/** Most folds, and most widths of hidden layers: beyond, a slip of the hand. */
const mostFolds = 1000, widest = 1 << 16;

/** What each option may be. */
export const tabularOptions: OptionTable<TabularOptions> = {
  target: text,
  task: oneOf("classification", "regression"),
  bins: listOf(number(), "a list of numbers", 1),
  model: byDefault("auto", oneOf("auto", "linear", "mlp")),
  hidden: listOf(whole(1, widest), `a list of whole numbers from 1 to ${widest}`, 1),
  steps: whole(1),
  seed: byDefault(0, seed),
  classWeights: byDefault("none", oneOf("none", "balanced")),
  mostRamps: byDefault(16, whole(1, 1000)),
  keep: listOf(text, "a list of columns by name"),
  onProgress: callback,
  signal: abortSignal,
  folds: whole(0, mostFolds),
  reportFit: byDefault(false, flag),
  version: text,
};

/** Options that have no effect beside others. */
export const idleTabularOptions: readonly Idle<TabularOptions>[] = [
  {
    option: ["hidden", "steps"],
    when: ({ model }) => model === "linear",
    because: "model linear has no perceptrons",
  },
  { option: "bins", when: ({ task }) => task === "regression", because: "a regression has no classes" },
  {
    option: "classWeights",
    when: ({ task }) => task === "regression",
    because: "a regression has no classes",
    unless: "none",
  },
];
