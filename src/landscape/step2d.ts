/**
 * One optimizer step for a point on the plane, without a single allocation.
 *
 * The rules are those of `src/optim`, written out for two numbers in a `Float64Array` that holds the point and all
 * that the optimizer remembers, so that races can run a million steps a second in a page. Two more are here: Lion
 * (Chen et al.: "Symbolic discovery of optimization algorithms", NeurIPS 2023) and Muon (Jordan et al.: "Muon: an
 * optimizer for hidden layers in neural networks", 2024), which is defined for matrices and takes the point as one of
 * shape [1, 2], with the names and defaults of `torch.optim.Muon`.
 *
 * @module
 */
import { demand, demandNoMore } from "../core/demand.ts";
import { OptionError } from "../core/errors.ts";
import { number } from "../core/kinds.ts";
import { checkOptions, type OptionTable, required } from "../core/options.ts";
import type { Landscape } from "./landscapes.ts";

/**
 * The optimizers that step.
 *
 * @category Landscapes
 */
export type Optimizer2d = "sgd" | "momentum" | "rmsprop" | "adam" | "adamw" | "lion" | "muon";

/**
 * Their names, in the order in which they were invented.
 *
 * @category Landscapes
 */
export const optimizers2d: readonly Optimizer2d[] = [
  "sgd",
  "momentum",
  "rmsprop",
  "adam",
  "adamw",
  "lion",
  "muon",
];

/**
 * Numbers that steer a step; PyTorch's names and defaults.
 *
 * @category Landscapes
 */
export interface Step2dOptions {
  /** The learning rate. */
  lr: number;
  /** Of "momentum" (default 0.9) and "muon" (default 0.95). */
  momentum?: number;
  /** Of "rmsprop". Default 0.99. */
  alpha?: number;
  /** Of "adam", "adamw" and "lion". Default 0.9. */
  beta1?: number;
  /** Of "adam" and "adamw" (default 0.999) and "lion" (default 0.99). */
  beta2?: number;
  /** Added to the denominators; for "muon" the least norm that divides. Default 1e-8, for "muon" 1e-7. */
  eps?: number;
  /** Decoupled, of "adamw" (default 0.01), "lion" (default 0) and "muon" (default 0.1). */
  weightDecay?: number;
}

const share = number({ from: 0, below: 1 });

const stepOptions: OptionTable<Step2dOptions> = {
  lr: required(number({ from: 0 })),
  momentum: number({ from: 0 }),
  alpha: share,
  beta1: share,
  beta2: share,
  eps: number({ from: 0 }),
  weightDecay: number({ from: 0 }),
};

let lastChecked: unknown = stepOptions;

const gradient = new Float64Array(2);

/** What five steps of Muon's Newton-Schulz iteration make of a singular value. */
function iterate(s: number): number {
  for (let i = 0; i < 5; i++) s = 3.4445 * s - 4.775 * s ** 3 + 2.0315 * s ** 5;
  return s;
}

// A matrix of one row has one singular value, and it is 1 once the norm has been divided out.
const newtonSchulz = iterate(1);

/**
 * A point and an empty memory: [x, y, first moments, second moments, steps].
 *
 * @throws {OptionError} for a name of no optimizer, and numbers that are none.
 * @category Landscapes
 */
export function state2d(x: number, y: number): Float64Array {
  demandNoMore(arguments, 2, "state2d");
  demand("state2d", "x", x, typeof x === "number", "a number");
  demand("state2d", "y", y, typeof y === "number", "a number");
  const state = new Float64Array(7);
  state[0] = x;
  state[1] = y;
  return state;
}

/**
 * Moves the point in `state` (see {@link state2d}) one step down `landscape`.
 * @throws {OptionError} for an optimizer that does not exist.
 * @category Landscapes
 */
export function step2d(
  optimizer: Optimizer2d,
  landscape: Landscape,
  state: Float64Array,
  options: Step2dOptions,
): void {
  // A race gives the same options a million times.
  if (options !== lastChecked) lastChecked = checkOptions("step2d", options, stepOptions) && options;
  landscape.gradient(state[0], state[1], gradient);
  const { lr, eps = 1e-8 } = options;
  const step = ++state[6];
  switch (optimizer) {
    case "sgd":
      for (let i = 0; i < 2; i++) state[i] -= lr * gradient[i];
      return;
    case "momentum": {
      const { momentum = 0.9 } = options;
      for (let i = 0; i < 2; i++) {
        state[2 + i] = step === 1 ? gradient[i] : momentum * state[2 + i] + gradient[i];
        state[i] -= lr * state[2 + i];
      }
      return;
    }
    case "rmsprop": {
      const { alpha = 0.99 } = options;
      for (let i = 0; i < 2; i++) {
        state[4 + i] = alpha * state[4 + i] + (1 - alpha) * gradient[i] * gradient[i];
        state[i] -= lr * gradient[i] / (Math.sqrt(state[4 + i]) + eps);
      }
      return;
    }
    case "adam":
    case "adamw": {
      const { beta1 = 0.9, beta2 = 0.999, weightDecay = 0.01 } = options;
      const first = 1 - beta1 ** step, second = Math.sqrt(1 - beta2 ** step);
      for (let i = 0; i < 2; i++) {
        if (optimizer === "adamw") state[i] *= 1 - lr * weightDecay;
        state[2 + i] = beta1 * state[2 + i] + (1 - beta1) * gradient[i];
        state[4 + i] = beta2 * state[4 + i] + (1 - beta2) * gradient[i] * gradient[i];
        state[i] -= lr / first * state[2 + i] / (Math.sqrt(state[4 + i]) / second + eps);
      }
      return;
    }
    case "lion": {
      const { beta1 = 0.9, beta2 = 0.99, weightDecay = 0 } = options;
      for (let i = 0; i < 2; i++) {
        const direction = Math.sign(beta1 * state[2 + i] + (1 - beta1) * gradient[i]);
        state[i] = state[i] * (1 - lr * weightDecay) - lr * direction;
        state[2 + i] = beta2 * state[2 + i] + (1 - beta2) * gradient[i];
      }
      return;
    }
    case "muon": {
      const { momentum = 0.95, weightDecay = 0.1, eps = 1e-7 } = options;
      for (let i = 0; i < 2; i++) state[2 + i] = momentum * state[2 + i] + (1 - momentum) * gradient[i];
      const u = momentum * state[2] + (1 - momentum) * gradient[0];
      const v = momentum * state[3] + (1 - momentum) * gradient[1];
      const norm = Math.sqrt(u * u + v * v), keep = 1 - lr * weightDecay;
      // Below eps the norm is not 1 after the division, and the iteration has to be done.
      const scale = norm > eps ? newtonSchulz / norm : iterate(norm / eps) / (norm || 1);
      state[0] = state[0] * keep - lr * scale * u;
      state[1] = state[1] * keep - lr * scale * v;
      return;
    }
    default:
      throw new OptionError(`step2d: "${optimizer}" is none of ${optimizers2d.join(", ")}`);
  }
}
