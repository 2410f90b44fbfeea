/**
 * What page and worker both know; the page must not import the engine.
 *
 * @module
 */

/** Points a side at which every neuron is looked at. */
export const side = 48;

/** What the visitor chooses. */
export interface NetworkOptions {
  /** Neurons of each hidden layer. */
  readonly hidden: readonly number[];
  /** Between layers. */
  readonly activation: "tanh" | "relu" | "gelu" | "sigmoid";
  /** Who changes the weights. */
  readonly optimizer: "adam" | "adamw" | "sgd";
  /** Learning rate. */
  readonly lr: number;
  /** Of the first weights. */
  readonly seed: number;
}

/** What one sees of the network after some steps. */
export interface NetworkView {
  /** Steps taken. */
  readonly step: number;
  /** Mean binary cross-entropy over the points; NaN without points. */
  readonly loss: number;
  /** The share of points on the right side. */
  readonly accuracy: number;
  /** One matrix a layer, [out, in] row by row. */
  readonly weights: readonly Float32Array[];
  /** One vector a layer. */
  readonly biases: readonly Float32Array[];
  /** One a layer: the neurons' outputs over the plane, [side · side, neurons]; the last is the chance of kind 1. */
  readonly maps: readonly Float32Array[];
}
