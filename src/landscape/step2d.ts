/**
 * One optimizer step for a point on the plane, without a single allocation.
 *
 * The rules are those of `src/optim`, written out for two numbers in a `Float64Array` that holds the point and all
 * that the optimizer remembers, so that races can run a million steps a second in a page.
 *
 * @module
 */
import { OptionError } from "../core/errors.ts";
import type { Landscape } from "./landscapes.ts";

/** The optimizers that step. */
export type Optimizer2d = "sgd" | "momentum" | "rmsprop" | "adam" | "adamw" | "lion" | "muon";

/** Numbers that steer a step; PyTorch's names and defaults. */
export interface Step2dOptions {
  /** The learning rate. */
  lr: number;
  /** Of "momentum", default 0.9, and of "muon", default 0.95. */
  momentum?: number;
  /** Of "rmsprop". Default 0.99. */
  alpha?: number;
  /** Of "adam", "adamw" and "lion". Default 0.9. */
  beta1?: number;
  /** Of "adam" and "adamw", default 0.999, and of "lion", default 0.99. */
  beta2?: number;
  /** Added to the denominators. Default 1e-8. */
  eps?: number;
  /** Of "adamw" and "lion", decoupled. Default 0.01, and 0 for "lion". */
  weightDecay?: number;
}

const gradient = new Float64Array(2);

/** A point and an empty memory: [x, y, first moments, second moments, steps]. */
export function state2d(x: number, y: number): Float64Array {
  const state = new Float64Array(7);
  state[0] = x;
  state[1] = y;
  return state;
}

/**
 * Moves the point in `state` (see {@link state2d}) one step down `landscape`.
 * @throws {OptionError} for an optimizer that does not exist.
 */
export function step2d(
  optimizer: Optimizer2d,
  landscape: Landscape,
  state: Float64Array,
  options: Step2dOptions,
): void {
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
      // Chen et al. 2023, "Symbolic discovery of optimization algorithms", algorithm 2.
      const { beta1 = 0.9, beta2 = 0.99, weightDecay = 0 } = options;
      for (let i = 0; i < 2; i++) {
        const direction = Math.sign(beta1 * state[2 + i] + (1 - beta1) * gradient[i]);
        state[i] -= lr * (direction + weightDecay * state[i]);
        state[2 + i] = beta2 * state[2 + i] + (1 - beta2) * gradient[i];
      }
      return;
    }
    case "muon": {
      // Jordan et al. 2024: momentum (Nesterov's) made orthogonal. A point is a matrix of one column, and the
      // orthogonal matrix nearest to that is its direction.
      const { momentum = 0.95 } = options;
      for (let i = 0; i < 2; i++) {
        state[2 + i] = momentum * state[2 + i] + gradient[i];
        state[4 + i] = gradient[i] + momentum * state[2 + i];
      }
      const length = Math.hypot(state[4], state[5]) + eps;
      for (let i = 0; i < 2; i++) state[i] -= lr * state[4 + i] / length;
      return;
    }
    default:
      throw new OptionError(
        `step2d: "${optimizer}" is none of sgd, momentum, rmsprop, adam, adamw, lion, muon`,
      );
  }
}
