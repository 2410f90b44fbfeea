/**
 * Stochastic gradient descent, with momentum as PyTorch defines it.
 *
 * Sutskever, Martens, Dahl, Hinton: "On the importance of initialization and momentum in deep learning", ICML 2013.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { OptionError } from "../core/errors.ts";
import { flag, number } from "../core/kinds.ts";
import { byDefault, checkIdle, type Idle } from "../core/options.ts";
import { add, mul, sub } from "../expr/build.ts";
import { Optimizer, type Params } from "./optimizer.ts";
import { commonOptions, operands, type OptimizerOptions, type Rule } from "./rule.ts";

/**
 * Options of {@link SGD}.
 *
 * @category Optimizers
 */
export interface SGDOptions extends OptimizerOptions {
  /** How much of the last step stays. Default 0. */
  momentum: number;
  /** How much less the gradient adds to the momentum. Default 0. */
  dampening: number;
  /** Look ahead by one step of momentum. Default false. */
  nesterov: boolean;
}

const idle: readonly Idle<SGDOptions>[] = [
  { option: "dampening", when: ({ momentum }) => momentum === 0, because: "momentum is 0", unless: 0 },
];

const rule: Rule<SGDOptions> = {
  name: "SGD",
  options: {
    ...commonOptions(1e-3, 0),
    momentum: byDefault(0, number({ from: 0 })),
    dampening: byDefault(0, number({ from: 0 })),
    nesterov: byDefault(false, flag),
  },
  check(options): void {
    const { momentum, dampening, nesterov } = options;
    checkIdle("SGD", options, idle);
    if (nesterov && (momentum === 0 || dampening !== 0)) {
      throw new OptionError(
        `SGD: nesterov needs a momentum above 0 and no dampening, not ${momentum} and ${dampening}`,
      );
    }
  },
  state: ({ momentum }) => momentum !== 0 ? ["momentumBuffer"] : [],
  initial: () => 0,
  form: ({ momentum, nesterov, weightDecay }) => `${momentum !== 0} ${nesterov} ${weightDecay !== 0}`,
  update({ momentum, nesterov, weightDecay }) {
    const { p, g, state: [buffer], scalars: [lr, keepOf, newOf, decay] } = operands(1, 4);
    const gradient = weightDecay !== 0 ? add(g, mul(decay, p)) : g;
    if (momentum === 0) return [sub(p, mul(lr, gradient))];
    const next = add(mul(keepOf, buffer), mul(newOf, gradient));
    const direction = nesterov ? add(gradient, mul(keepOf, next)) : next;
    return [sub(p, mul(lr, direction)), next];
  },
  scalars({ lr, momentum, dampening, weightDecay }, step) {
    // The first gradient enters the momentum whole.
    return [lr, momentum, step === 1 ? 1 : 1 - dampening, weightDecay];
  },
};

/**
 * p − lr · gradient, or with momentum p − lr · (momentum · last + gradient).
 *
 * @category Optimizers
 */
export class SGD extends Optimizer<SGDOptions> {
  /**
   * lr 1e-3 unless told.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  constructor(params: Params<SGDOptions>, options: Partial<SGDOptions> = {}) {
    demandNoMore(arguments, 2, "SGD");
    super(rule, params, options);
  }
}
