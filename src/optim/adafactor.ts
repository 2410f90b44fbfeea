/**
 * Adafactor: Adam's second moment of a matrix kept as the means of its rows and of its columns alone, in steps that are
 * relative to the size of the parameter.
 *
 * Shazeer, Stern: "Adafactor: adaptive learning rates with sublinear memory cost", ICML 2018, in PyTorch's form: no first
 * moment.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { OptionError } from "../core/errors.ts";
import { number, orNull } from "../core/kinds.ts";
import { byDefault } from "../core/options.ts";
import { add, div, maximum, mul, sub } from "../ops/elementwise.ts";
import { rsqrt, sqrt, square } from "../ops/functions.ts";
import { mean } from "../ops/reduce.ts";
import type { Tensor } from "../ops/tensor.ts";
import { Optimizer, type Params } from "./optimizer.ts";
import { commonOptions, type OptimizerOptions, type Rule } from "./rule.ts";

/**
 * Options of {@link Adafactor}.
 *
 * @category Optimizers
 */
export interface AdafactorOptions extends OptimizerOptions {
  /** What is new of the second moment at step t is t^beta2Decay. Default −0.8. */
  beta2Decay: number;
  /** The least of the second moment's root. Default: f32's smallest step above 1. */
  eps1: number | null;
  /** The least size that a parameter counts as. Default 1e-3. */
  eps2: number;
  /** The largest root mean square of a step before it is scaled. Default 1. */
  d: number;
}

/** √mean(x²), a tensor of no axes. */
const size = (x: Tensor): Tensor => sqrt(mean(square(x)));

const rule: Rule<AdafactorOptions> = {
  name: "Adafactor",
  options: {
    ...commonOptions(0.01, 0),
    beta2Decay: byDefault(-0.8, number({ to: 0 })),
    eps1: byDefault(null, orNull(number({ from: 0 }))),
    eps2: byDefault(1e-3, number({ from: 0 })),
    d: byDefault(1, number({ from: 1 })),
  },
  check({ stateBits }) {
    if (stateBits === 32) return;
    throw new OptionError(
      "Adafactor: stateBits 8 has no effect because of a matrix only a number a row and a column is remembered; leave it out",
    );
  },
  state: () => [],
  initial: () => 0,
  form: () => "",
  update: () => [],
  scalars: () => [],
  byOperations: {
    takes: () => true,
    state({ shape }): Record<string, readonly number[]> {
      if (shape.length < 2) return { variance: shape };
      return {
        rowVar: [...shape.slice(0, -1), 1],
        colVar: [...shape.slice(0, -2), 1, shape[shape.length - 1]],
      };
    },
    scalars({ lr, weightDecay, beta2Decay }, step) {
      const fresh = step ** beta2Decay;
      return [1 - fresh, fresh, Math.min(lr, 1 / Math.sqrt(step)), 1 - lr * weightDecay];
    },
    update(p, g, state, [old, fresh, rate, keep], { eps1, eps2, d }) {
      const least = eps1 ?? 2 ** -23;
      const blend = (from: Tensor, to: Tensor): Tensor => add(mul(from, old), mul(to, fresh));
      const lengthOf = mul(maximum(size(p), eps2), rate),
        squares = square(g),
        next: Record<string, Tensor> = {};
      let estimate: Tensor;
      if (g.shape.length < 2) estimate = next.variance = blend(state.variance, squares);
      else {
        next.rowVar = blend(state.rowVar, mean(squares, -1, true));
        next.colVar = blend(state.colVar, mean(squares, -2, true));
        const average = maximum(mean(next.rowVar, -2, true), least);
        estimate = div(mul(next.rowVar, next.colVar), average);
      }
      const step = mul(rsqrt(maximum(estimate, least * least)), g);
      const scaled = div(lengthOf, maximum(div(size(step), d), 1));
      return [sub(mul(p, keep), mul(step, scaled)), next];
    },
  },
};

/**
 * p · (1 − lr · weightDecay) − rate · max(eps2, size of p) · step / max(1, size of step / d).
 *
 * @category Optimizers
 */
export class Adafactor extends Optimizer<AdafactorOptions> {
  /**
   * lr 0.01 unless told: at step t at most 1/√t, times the size of the parameter.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  constructor(params: Params<AdafactorOptions>, options: Partial<AdafactorOptions> = {}) {
    demandNoMore(arguments, 2, "Adafactor");
    super(rule, params, options);
  }
}
