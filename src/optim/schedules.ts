/**
 * Learning rates as plain functions of the step, counted from 0.
 *
 * A warm-up rises evenly from lr / warmup at step 0 to lr at step warmup − 1. Beyond its last step a schedule stays
 * where it ended.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { OptionError } from "../core/errors.ts";
import { number, whole } from "../core/kinds.ts";
import { checkOption, checkOptions, type OptionTable, required } from "../core/options.ts";
import { counted } from "../core/show.ts";

/**
 * The learning rate of each step, the first being 0.
 *
 * @category Optimizers
 */
export type Schedule = (step: number) => number;

/**
 * Options of the schedules that end at a given step.
 *
 * @category Optimizers
 */
export interface DecayOptions {
  /** The highest learning rate. */
  lr: number;
  /** How many steps there are, warm-up included. */
  steps: number;
  /** Steps of warm-up. Default 0. */
  warmup?: number;
  /** Where it ends, at most `lr`. Default 0. */
  minLr?: number;
}

const rate = number({ from: 0 }), lr = required(rate), count = whole(0);
const decayOptions: OptionTable<DecayOptions> = {
  lr,
  steps: required(whole(1)),
  warmup: count,
  minLr: rate,
};

/** @throws {OptionError} when the warm-up is longer than the run, or what a rate falls to is above it. */
function checkedDecay(what: string, options: DecayOptions): Required<DecayOptions> {
  const { lr, steps, warmup = 0, minLr = 0 } = checkOptions(what, options, decayOptions);
  if (warmup > steps) {
    throw new OptionError(
      `${what}: warmup is ${warmup}, expected at most the ${counted(steps, "step")} there are`,
    );
  }
  if (minLr > lr) {
    throw new OptionError(`${what}: minLr is ${minLr}, expected at most lr ${lr}, from which it falls`);
  }
  return { lr, steps, warmup, minLr };
}

function rising(lr: number, warmup: number, after: Schedule): Schedule {
  return (step) => step < warmup ? lr * (step + 1) / warmup : after(step);
}

/** How far `step` is from the end of the warm-up to `steps`, 0 to 1. */
function progress(step: number, warmup: number, steps: number): number {
  return steps <= warmup ? 1 : Math.min(1, Math.max(0, (step - warmup) / (steps - warmup)));
}

/**
 * Always `lr`.
 *
 * @throws {OptionError} for a rate that is no number from 0.
 * @category Optimizers
 */
export function constant(lr: number): Schedule {
  demandNoMore(arguments, 1, "constant");
  checkOption("constant", "lr", lr, rate);
  return () => lr;
}

const linearWarmupOptions: OptionTable<{ lr: number; warmup: number }> = { lr, warmup: required(count) };

/**
 * Rises over `warmup` steps, then stays at lr.
 *
 * @throws {OptionError} for an option that does not exist, is missing, or is no such number.
 * @category Optimizers
 */
export function linearWarmup(options: { lr: number; warmup: number }): Schedule {
  demandNoMore(arguments, 1, "linearWarmup");
  const { lr, warmup } = checkOptions("linearWarmup", options, linearWarmupOptions);
  return rising(lr, warmup, () => lr);
}

/**
 * Falls along half a cosine from lr to minLr at step `steps` (Loshchilov, Hutter: "SGDR", ICLR 2017, one cycle).
 * @throws {OptionError} for an impossible value, or a warm-up longer than `steps`.
 * @category Optimizers
 */
export function cosine(options: DecayOptions): Schedule {
  demandNoMore(arguments, 1, "cosine");
  const { lr, steps, warmup, minLr } = checkedDecay("cosine", options);
  return rising(
    lr,
    warmup,
    (step) => minLr + (lr - minLr) * (1 + Math.cos(Math.PI * progress(step, warmup, steps))) / 2,
  );
}

/**
 * Falls in a straight line from lr to minLr at step `steps`.
 * @throws {OptionError} for an impossible value, or a warm-up longer than `steps`.
 * @category Optimizers
 */
export function linear(options: DecayOptions): Schedule {
  demandNoMore(arguments, 1, "linear");
  const { lr, steps, warmup, minLr } = checkedDecay("linear", options);
  return rising(lr, warmup, (step) => lr + (minLr - lr) * progress(step, warmup, steps));
}

const stepOptions: OptionTable<{ lr: number; stepSize: number; gamma?: number }> = {
  lr,
  stepSize: required(whole(1)),
  gamma: rate,
};

/**
 * Multiplied by `gamma` (default 0.1) every `stepSize` steps.
 *
 * @throws {OptionError} for an option that does not exist, is missing, or is no such number.
 * @category Optimizers
 */
export function step(options: { lr: number; stepSize: number; gamma?: number }): Schedule {
  demandNoMore(arguments, 1, "step");
  const { lr, stepSize, gamma = 0.1 } = checkOptions("step", options, stepOptions);
  return (step) => lr * gamma ** Math.floor(step / stepSize);
}

const exponentialOptions: OptionTable<{ lr: number; gamma: number }> = { lr, gamma: required(rate) };

/**
 * Multiplied by `gamma` every step.
 *
 * @throws {OptionError} for an option that does not exist, is missing, or is no such number.
 * @category Optimizers
 */
export function exponential(options: { lr: number; gamma: number }): Schedule {
  demandNoMore(arguments, 1, "exponential");
  const { lr, gamma } = checkOptions("exponential", options, exponentialOptions);
  return (step) => lr * gamma ** step;
}

const inverseSqrtOptions: OptionTable<{ lr: number; warmup: number }> = { lr, warmup: required(whole(1)) };

/**
 * lr · √(warmup / (step + 1)) after the warm-up (Vaswani and others: "Attention is all you need", 2017).
 *
 * @throws {OptionError} for an option that does not exist, is missing, or is no such number.
 * @category Optimizers
 */
export function inverseSqrt(options: { lr: number; warmup: number }): Schedule {
  demandNoMore(arguments, 1, "inverseSqrt");
  return inverseSqrtOf("inverseSqrt", options);
}

function inverseSqrtOf(what: string, options: { lr: number; warmup: number }): Schedule {
  const { lr, warmup } = checkOptions(what, options, inverseSqrtOptions);
  return rising(lr, warmup, (step) => lr * Math.sqrt(warmup / (step + 1)));
}

/**
 * Options of {@link wsd}.
 * @category Optimizers
 */
export interface WsdOptions extends DecayOptions {
  /** Steps of the fall at the end. Default: a fifth of `steps`. */
  decay?: number;
}

const wsdOptions: OptionTable<WsdOptions> = { ...decayOptions, decay: count };

/**
 * Warm-up, then lr, then a straight fall to minLr over the last `decay` steps (Hu and others: "MiniCPM", 2024).
 * @throws {OptionError} for an impossible value, or a warm-up and a fall that are longer than `steps` together.
 * @category Optimizers
 */
export function wsd(options: WsdOptions): Schedule {
  demandNoMore(arguments, 1, "wsd");
  const given = checkOptions("wsd", options, wsdOptions), { decay, ...rest } = given;
  const { lr, steps, warmup, minLr } = checkedDecay("wsd", rest),
    fall = decay ?? Math.min(steps - warmup, Math.round(steps / 5));
  if (warmup + fall > steps) {
    throw new OptionError(
      `wsd: warmup ${warmup} and decay ${fall} are together more than the ${
        counted(steps, "step")
      } there are`,
    );
  }
  if (fall === 0 && options.minLr !== undefined && minLr < lr) {
    throw new OptionError("wsd: minLr has no effect because decay is 0; leave it out");
  }
  return rising(lr, warmup, (step) => lr + (minLr - lr) * progress(step, steps - fall, steps));
}

/**
 * The schedule of "Attention is all you need" (2017): lr · min(step^−½, step · warmup^−1½) · √warmup, so that lr is its highest.
 * The same as {@link inverseSqrt}, by the name that fairseq and others give it.
 *
 * @throws {OptionError} for an option that does not exist, is missing, or is no such number.
 * @category Optimizers
 */
export function noam(options: { lr: number; warmup: number }): Schedule {
  demandNoMore(arguments, 1, "noam");
  return inverseSqrtOf("noam", options);
}

/**
 * Options of {@link oneCycle}, named as in PyTorch's OneCycleLR.
 * @category Optimizers
 */
export interface OneCycleOptions {
  /** The highest learning rate. */
  maxLr: number;
  /** How many steps there are. */
  totalSteps: number;
  /** The part of them that rises. Default 0.3. */
  pctStart?: number;
  /** It begins at maxLr / divFactor. Default 25. */
  divFactor?: number;
  /** It ends at the beginning's value / finalDivFactor. Default 1e4. */
  finalDivFactor?: number;
}

const oneCycleOptions: OptionTable<OneCycleOptions> = {
  maxLr: lr,
  totalSteps: required(whole(1)),
  pctStart: number({ from: 0, to: 1 }),
  divFactor: number({ from: 1 }),
  finalDivFactor: number({ from: 1 }),
};

/**
 * Up along half a cosine, then down along another (Smith, Topin: "Super-convergence", 2018), as PyTorch
 *   does.
 *
 * @throws {OptionError} for an option that does not exist, is missing, or is no such number.
 * @category Optimizers
 */
export function oneCycle(options: OneCycleOptions): Schedule {
  demandNoMore(arguments, 1, "oneCycle");
  const { maxLr, totalSteps, pctStart = 0.3, divFactor = 25, finalDivFactor = 1e4 } = checkOptions(
    "oneCycle",
    options,
    oneCycleOptions,
  );
  const first = maxLr / divFactor, last = first / finalDivFactor;
  const top = pctStart * totalSteps - 1, end = totalSteps - 1;
  const between = (from: number, to: number, part: number): number =>
    to + (from - to) * (1 + Math.cos(Math.PI * part)) / 2;
  return (step) => {
    if (step <= top) return between(first, maxLr, top > 0 ? step / top : 1);
    const part = end > top ? (step - top) / (end - top) : 1;
    return between(maxLr, last, Math.min(1, part));
  };
}
