/**
 * Learning rates as plain functions of the step, counted from 0.
 *
 * A warm-up rises evenly from lr / warmup at step 0 to lr at step warmup − 1. Beyond its last step a schedule stays
 * where it ended.
 *
 * @module
 */
import { OptionError } from "../core/errors.ts";

/** The learning rate of each step, the first being 0. */
export type Schedule = (step: number) => number;

/** Options of the schedules that end at a given step. */
export interface DecayOptions {
  /** The highest learning rate. */
  lr: number;
  /** How many steps there are, warm-up included. */
  steps: number;
  /** Steps of warm-up. Default 0. */
  warmup?: number;
  /** Where it ends. Default 0. */
  minLr?: number;
}

function positive(schedule: string, values: Record<string, number>, least = 0): void {
  for (const [name, value] of Object.entries(values)) {
    if (!(Number.isFinite(value) && value >= least)) {
      throw new OptionError(`${schedule}: ${name} is a number of at least ${least}, not ${value}`);
    }
  }
}

function rising(lr: number, warmup: number, after: Schedule): Schedule {
  return (step) => step < warmup ? lr * (step + 1) / warmup : after(step);
}

/** How far `step` is from the end of the warm-up to `steps`, 0 to 1. */
function progress(step: number, warmup: number, steps: number): number {
  return steps <= warmup ? 1 : Math.min(1, Math.max(0, (step - warmup) / (steps - warmup)));
}

/** Always `lr`. */
export function constant(lr: number): Schedule {
  positive("constant", { lr });
  return () => lr;
}

/** Rises over `warmup` steps, then stays at lr. */
export function linearWarmup(options: { lr: number; warmup: number }): Schedule {
  const { lr, warmup } = options;
  positive("linearWarmup", { lr, warmup });
  return rising(lr, warmup, () => lr);
}

/** Falls along half a cosine from lr to minLr at step `steps` (Loshchilov, Hutter: "SGDR", ICLR 2017, one cycle). */
export function cosine(options: DecayOptions): Schedule {
  const { lr, steps, warmup = 0, minLr = 0 } = options;
  positive("cosine", { lr, steps, warmup, minLr });
  return rising(
    lr,
    warmup,
    (step) => minLr + (lr - minLr) * (1 + Math.cos(Math.PI * progress(step, warmup, steps))) / 2,
  );
}

/** Falls in a straight line from lr to minLr at step `steps`. */
export function linear(options: DecayOptions): Schedule {
  const { lr, steps, warmup = 0, minLr = 0 } = options;
  positive("linear", { lr, steps, warmup, minLr });
  return rising(lr, warmup, (step) => lr + (minLr - lr) * progress(step, warmup, steps));
}

/** Multiplied by `gamma` (default 0.1) every `stepSize` steps. */
export function step(options: { lr: number; stepSize: number; gamma?: number }): Schedule {
  const { lr, stepSize, gamma = 0.1 } = options;
  positive("step", { lr, gamma });
  positive("step", { stepSize }, 1);
  return (step) => lr * gamma ** Math.floor(step / stepSize);
}

/** Multiplied by `gamma` every step. */
export function exponential(options: { lr: number; gamma: number }): Schedule {
  const { lr, gamma } = options;
  positive("exponential", { lr, gamma });
  return (step) => lr * gamma ** step;
}

/** lr · √(warmup / (step + 1)) after the warm-up (Vaswani and others: "Attention is all you need", 2017). */
export function inverseSqrt(options: { lr: number; warmup: number }): Schedule {
  const { lr, warmup } = options;
  positive("inverseSqrt", { lr });
  positive("inverseSqrt", { warmup }, 1);
  return rising(lr, warmup, (step) => lr * Math.sqrt(warmup / (step + 1)));
}

/** Options of {@link oneCycle}, named as in PyTorch's OneCycleLR. */
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

/** Up along half a cosine, then down along another (Smith, Topin: "Super-convergence", 2018), as PyTorch does. */
export function oneCycle(options: OneCycleOptions): Schedule {
  const { maxLr, totalSteps, pctStart = 0.3, divFactor = 25, finalDivFactor = 1e4 } = options;
  positive("oneCycle", { maxLr });
  positive("oneCycle", { totalSteps, divFactor, finalDivFactor }, 1);
  if (!(pctStart >= 0 && pctStart <= 1)) {
    throw new OptionError(`oneCycle: pctStart is a part from 0 to 1, not ${pctStart}`);
  }
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
