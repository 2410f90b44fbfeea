/**
 * Lion: steps of one size, in the direction of the sign of a running mean.
 *
 * Chen and others: "Symbolic discovery of optimization algorithms", NeurIPS 2023. A step is as large for each number, so the
 * learning rate is a third to a tenth of AdamW's, and the decay as much larger.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { add, mul, sign, sub } from "../expr/build.ts";
import { byDefault } from "../core/options.ts";
import { betas } from "./adam.ts";
import { Optimizer, type Params } from "./optimizer.ts";
import { commonOptions, operands, type OptimizerOptions, type Rule } from "./rule.ts";

/**
 * Options of {@link Lion}.
 *
 * @category Optimizers
 */
export interface LionOptions extends OptimizerOptions {
  /** How much of the running mean is in a step's direction, and how much of it stays. Default [0.9, 0.99]. */
  betas: readonly [number, number];
}

const rule: Rule<LionOptions> = {
  name: "Lion",
  options: { ...commonOptions(1e-4, 0), betas: byDefault([0.9, 0.99] as const, betas) },
  state: () => ["expAvg"],
  initial: () => 0,
  form: ({ weightDecay }) => String(weightDecay !== 0),
  update({ weightDecay }) {
    const { p, g, state: [m], scalars: [lr, keep, start1, part1, start2, part2] } = operands(1, 6);
    const direction = sign(add(mul(m, start1), mul(g, part1)));
    const start = weightDecay !== 0 ? mul(p, keep) : p;
    return [sub(start, mul(lr, direction)), add(mul(m, start2), mul(g, part2))];
  },
  scalars: ({ lr, weightDecay, betas: [a, b] }) => [lr, 1 - lr * weightDecay, a, 1 - a, b, 1 - b],
};

/**
 * p · (1 − lr · weightDecay) − lr · sign(β₁ · mean + (1 − β₁) · gradient).
 *
 * @category Optimizers
 */
export class Lion extends Optimizer<LionOptions> {
  /**
   * lr 1e-4 unless told.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  constructor(params: Params<LionOptions>, options: Partial<LionOptions> = {}) {
    demandNoMore(arguments, 2, "Lion");
    super(rule, params, options);
  }
}
