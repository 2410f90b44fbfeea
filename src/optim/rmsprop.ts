/**
 * RMSprop: steps divided by the root of a running mean of the squared gradient.
 *
 * Hinton: "Neural networks for machine learning", lecture 6e, 2012; centred as in Graves: "Generating sequences with
 * recurrent neural networks", 2013.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { add, div, max, mul, sqrt, sub } from "../expr/build.ts";
import type { Expr } from "../expr/nodes.ts";
import { flag, number } from "../core/kinds.ts";
import { byDefault } from "../core/options.ts";
import { Optimizer, type Params } from "./optimizer.ts";
import { commonOptions, operands, type OptimizerOptions, type Rule } from "./rule.ts";

/**
 * Options of {@link RMSprop}.
 *
 * @category Optimizers
 */
export interface RMSpropOptions extends OptimizerOptions {
  /** How much of the running mean stays. Default 0.99. */
  alpha: number;
  /** Added to the denominator. Default 1e-8. */
  eps: number;
  /** How much of the last step stays. Default 0. */
  momentum: number;
  /** Divide by the deviation instead: the mean gradient is subtracted first. Default false. */
  centered: boolean;
}

function stateNames({ momentum, centered }: RMSpropOptions): string[] {
  return ["squareAvg", ...(centered ? ["gradAvg"] : []), ...(momentum !== 0 ? ["momentumBuffer"] : [])];
}

const rule: Rule<RMSpropOptions> = {
  name: "RMSprop",
  options: {
    ...commonOptions(0.01, 0),
    alpha: byDefault(0.99, number({ from: 0, below: 1 })),
    eps: byDefault(1e-8, number({ from: 0 })),
    momentum: byDefault(0, number({ from: 0 })),
    centered: byDefault(false, flag),
  },
  state: stateNames,
  squares: ["squareAvg"],
  initial: () => 0,
  form: ({ momentum, centered, weightDecay }) => `${momentum !== 0} ${centered} ${weightDecay !== 0}`,
  update(options) {
    const { centered, momentum, weightDecay } = options;
    const { p, g, state, scalars } = operands(stateNames(options).length, 6);
    const [lr, keepOf, newOf, eps, momentumOf, decay] = scalars;
    const gradient = weightDecay !== 0 ? add(g, mul(decay, p)) : g;
    const square = add(mul(keepOf, state[0]), mul(newOf, mul(gradient, gradient)));
    const outputs: Expr[] = [square];
    let spread = square;
    if (centered) {
      const mean = add(mul(keepOf, state[1]), mul(newOf, gradient));
      outputs.push(mean);
      // Rounding may leave a variance just below 0 where the gradient hardly changes.
      spread = max(sub(square, mul(mean, mean)), 0);
    }
    let direction = div(gradient, add(sqrt(spread), eps));
    if (momentum !== 0) {
      direction = add(mul(momentumOf, state[centered ? 2 : 1]), direction);
      outputs.push(direction);
    }
    return [sub(p, mul(lr, direction)), ...outputs];
  },
  scalars: ({ lr, alpha, eps, momentum, weightDecay }) => [lr, alpha, 1 - alpha, eps, momentum, weightDecay],
};

/**
 * p − lr · gradient / (√mean square + eps).
 *
 * @category Optimizers
 */
export class RMSprop extends Optimizer<RMSpropOptions> {
  /**
   * lr 0.01 unless told.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  constructor(params: Params<RMSpropOptions>, options: Partial<RMSpropOptions> = {}) {
    demandNoMore(arguments, 2, "RMSprop");
    super(rule, params, options);
  }
}
