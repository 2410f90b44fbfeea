/**
 * Adagrad: steps divided by the root of the sum of all squared gradients.
 *
 * Duchi, Hazan, Singer: "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 2011.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { add, div, mul, sqrt, sub } from "../expr/build.ts";
import { number } from "../core/kinds.ts";
import { byDefault } from "../core/options.ts";
import { Optimizer, type Params } from "./optimizer.ts";
import { commonOptions, operands, type OptimizerOptions, type Rule } from "./rule.ts";

/**
 * Options of {@link Adagrad}.
 *
 * @category Optimizers
 */
export interface AdagradOptions extends OptimizerOptions {
  /** The learning rate falls as 1 / (1 + (step − 1) · lrDecay). Default 0. */
  lrDecay: number;
  /** What the sums begin with. Default 0. */
  initialAccumulatorValue: number;
  /** Added to the denominator. Default 1e-10. */
  eps: number;
}

const rule: Rule<AdagradOptions> = {
  name: "Adagrad",
  options: {
    ...commonOptions(0.01, 0),
    lrDecay: byDefault(0, number({ from: 0 })),
    initialAccumulatorValue: byDefault(0, number({ from: 0 })),
    eps: byDefault(1e-10, number({ from: 0 })),
  },
  state: () => ["sum"],
  squares: ["sum"],
  initial: ({ initialAccumulatorValue }) => initialAccumulatorValue,
  form: ({ weightDecay }) => String(weightDecay !== 0),
  update({ weightDecay }) {
    const { p, g, state: [sum], scalars: [lr, eps, decay] } = operands(1, 3);
    const gradient = weightDecay !== 0 ? add(g, mul(decay, p)) : g;
    const next = add(sum, mul(gradient, gradient));
    return [sub(p, mul(lr, div(gradient, add(sqrt(next), eps)))), next];
  },
  scalars: ({ lr, lrDecay, eps, weightDecay }, step) => [lr / (1 + (step - 1) * lrDecay), eps, weightDecay],
};

/**
 * p − lr · gradient / (√sum of squares + eps).
 *
 * @category Optimizers
 */
export class Adagrad extends Optimizer<AdagradOptions> {
  /**
   * lr 0.01 unless told.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  constructor(params: Params<AdagradOptions>, options: Partial<AdagradOptions> = {}) {
    demandNoMore(arguments, 2, "Adagrad");
    super(rule, params, options);
  }
}
