/**
 * Adam and AdamW: steps scaled by running means of the gradient and of its square.
 *
 * Kingma, Ba: "Adam: a method for stochastic optimization", ICLR 2015; Loshchilov, Hutter: "Decoupled weight decay
 * regularization", ICLR 2019; Reddi, Kale, Kumar: "On the convergence of Adam and beyond", ICLR 2018 (AMSGrad).
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { add, div, max, mul, sqrt, sub } from "../expr/build.ts";
import { flag, type Kind, kind, number } from "../core/kinds.ts";
import { byDefault } from "../core/options.ts";
import { Optimizer, type Params } from "./optimizer.ts";
import { commonOptions, operands, type OptimizerOptions, type Rule } from "./rule.ts";

/**
 * Options of {@link Adam} and {@link AdamW}.
 *
 * @category Optimizers
 */
export interface AdamOptions extends OptimizerOptions {
  /** How much of the running means of gradient and square stays. Default [0.9, 0.999]. */
  betas: readonly [number, number];
  /** Added to the denominator. Default 1e-8. */
  eps: number;
  /** Divide by the largest running mean of the square so far. Default false. */
  amsgrad: boolean;
}

const share = number({ from: 0, below: 1 });
/** Shares of two running means that stay. */
export const betas: Kind = kind(
  "betas[0] and betas[1] to be numbers from 0 and below 1",
  (x) => Array.isArray(x) && x.length === 2 && x.every(share.accepts),
);

function adamRule(name: string, decoupled: boolean): Rule<AdamOptions> {
  return {
    name,
    options: {
      ...commonOptions(1e-3, decoupled ? 0.01 : 0),
      betas: byDefault([0.9, 0.999] as const, betas),
      eps: byDefault(1e-8, number({ from: 0 })),
      amsgrad: byDefault(false, flag),
    },
    state: ({ amsgrad }) => amsgrad ? ["expAvg", "expAvgSq", "maxExpAvgSq"] : ["expAvg", "expAvgSq"],
    squares: ["expAvgSq", "maxExpAvgSq"],
    initial: () => 0,
    form: ({ amsgrad, weightDecay }) => `${amsgrad} ${weightDecay !== 0}`,
    update({ amsgrad, weightDecay }) {
      const { p, g, state: [m, v, largest], scalars } = operands(amsgrad ? 3 : 2, 8);
      const [stepSize, rootCorrection, eps, keepM, newM, keepV, newV, decay] = scalars;
      const decays = weightDecay !== 0;
      const gradient = decays && !decoupled ? add(g, mul(decay, p)) : g;
      const start = decays && decoupled ? mul(p, decay) : p;
      const m1 = add(mul(m, keepM), mul(gradient, newM));
      const v1 = add(mul(v, keepV), mul(mul(gradient, gradient), newV));
      const v2 = amsgrad ? max(largest, v1) : v1;
      const moved = sub(start, mul(stepSize, div(m1, add(div(sqrt(v2), rootCorrection), eps))));
      return amsgrad ? [moved, m1, v1, v2] : [moved, m1, v1];
    },
    scalars({ lr, betas: [beta1, beta2], eps, weightDecay }, step) {
      const stepSize = lr / (1 - beta1 ** step), rootCorrection = Math.sqrt(1 - beta2 ** step);
      const decay = decoupled ? 1 - lr * weightDecay : weightDecay;
      return [stepSize, rootCorrection, eps, beta1, 1 - beta1, beta2, 1 - beta2, decay];
    },
  };
}

const adam = adamRule("Adam", false);
/** AdamW's rule: others take its steps for some parameters. */
export const adamW: Rule<AdamOptions> = adamRule("AdamW", true);

/**
 * Adam; `weightDecay` (default 0) is added to the gradient, as L2 regularisation.
 *
 * @category Optimizers
 */
export class Adam extends Optimizer<AdamOptions> {
  /**
   * lr 1e-3 unless told.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  constructor(params: Params<AdamOptions>, options: Partial<AdamOptions> = {}) {
    demandNoMore(arguments, 2, "Adam");
    super(adam, params, options);
  }
}

/**
 * Adam with weight decay apart from the gradient: weights shrink by lr · weightDecay (default 0.01) each step.
 *
 * @category Optimizers
 */
export class AdamW extends Optimizer<AdamOptions> {
  /**
   * lr 1e-3 unless told.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  constructor(params: Params<AdamOptions>, options: Partial<AdamOptions> = {}) {
    demandNoMore(arguments, 2, "AdamW");
    super(adamW, params, options);
  }
}
