/**
 * What page and worker both know; the page must not import the engine.
 *
 * @module
 */
import type { FeatureName } from "./features.ts";

/** Points a side at which every neuron is looked at. */
export const side = 48;

/** The places of the maps: rows from the top, from -1.1 to 1.1. */
export function gridPlaces(): Float32Array {
  const places = new Float32Array(2 * side * side);
  for (let j = 0, k = 0; j < side; j++) {
    for (let i = 0; i < side; i++) {
      places[k++] = -1.1 + 2.2 * i / (side - 1);
      places[k++] = 1.1 - 2.2 * j / (side - 1);
    }
  }
  return places;
}

/** What may change while the network learns. */
export interface Tuning {
  /** Learning rate. */
  readonly lr: number;
  /** Points a step; 0 is all of them. */
  readonly batch: number;
  /** What keeps the weights small. */
  readonly penalty: "none" | "l1" | "l2";
  /** How much it counts: λ of λ Σ|w|, or of λ/2 Σw². */
  readonly strength: number;
}

/** What the visitor chooses. */
export interface NetworkOptions extends Tuning {
  /** What enters the network. */
  readonly features: readonly FeatureName[];
  /** Neurons of each hidden layer. */
  readonly hidden: readonly number[];
  /** Between layers. */
  readonly activation: "tanh" | "relu" | "gelu" | "sigmoid";
  /** Who changes the weights. */
  readonly optimizer: "adam" | "adamw" | "sgd";
  /** Of the first weights, and of the order of the points in batches. */
  readonly seed: number;
}

/** How the weights moved in the last step, measured; every number is NaN before there was one. */
export interface Motion {
  /** Length of the gradient, penalty included, one a layer. */
  readonly gradients: readonly number[];
  /** Length of the step, one a layer. */
  readonly moves: readonly number[];
  /** Cosine between the last step and the one before: 1 straight on, -1 straight back. */
  readonly turn: number;
  /** Second derivative of the loss along the last step, from the gradients at its two ends. */
  readonly curvature: number;
}

/** What one sees of the network after some steps. */
export interface NetworkView {
  /** Steps taken. */
  readonly step: number;
  /** Mean binary cross-entropy over the points to learn from; NaN without points. */
  readonly loss: number;
  /** The share of them on the right side. */
  readonly accuracy: number;
  /** Of the points held out; NaN without. */
  readonly heldLoss: number;
  /** Of the points held out; NaN without. */
  readonly heldAccuracy: number;
  /** One matrix a layer, [out, in] row by row. */
  readonly weights: readonly Float32Array[];
  /** One vector a layer. */
  readonly biases: readonly Float32Array[];
  /** One a layer: the neurons' outputs over the plane, [side · side, neurons]; the last is the chance of kind 1. */
  readonly maps: readonly Float32Array[];
  /** How it came here. */
  readonly motion: Motion;
}

/** One step, written down: one point on its way through the network and back, then what the step changed. */
export interface Walk {
  /** The point, its kind, and how many points the step learnt from. */
  readonly place: readonly [number, number];
  readonly kind: number;
  readonly points: number;
  /** What entered: a number a feature. */
  readonly inputs: Float32Array;
  /** Every layer's outputs for the point; the last is the chance of kind 1. */
  readonly outputs: readonly Float32Array[];
  /** The point's own loss. */
  readonly loss: number;
  /** Gradient of that loss with respect to each layer's outputs, the last with respect to the sum before the sigmoid. */
  readonly errors: readonly Float32Array[];
  /** Gradients of the step's loss, a matrix and a vector a layer. */
  readonly gradients: readonly { readonly weight: Float32Array; readonly bias: Float32Array }[];
  /** The weights before the step. */
  readonly before: readonly Float32Array[];
  /** What the step added to them. */
  readonly changes: readonly Float32Array[];
  /** The mean loss over the step's points, before and after the step. */
  readonly mean: readonly [number, number];
}
