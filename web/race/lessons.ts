/**
 * Where a race begins on each surface, and with which rates, so that what the surface teaches is seen.
 *
 * @module
 */
import type { LandscapeName, Optimizer2d } from "../../src/landscape/mod.ts";

/** What a surface teaches. */
export interface Lesson {
  /** Where everyone begins. */
  readonly start: readonly [number, number];
  /** A learning rate for each. */
  readonly rates: Readonly<Record<Optimizer2d, number>>;
  /** In a sentence. */
  readonly text: string;
}

/** The lessons by surface. */
export const lessons: Readonly<Record<LandscapeName, Lesson>> = {
  bowl: {
    start: [-2.5, 1.8],
    rates: { sgd: 0.18, momentum: 0.01, rmsprop: 0.02, adam: 0.05, adamw: 0.05, lion: 0.02, muon: 0.02 },
    text: "The steep direction bears a rate below 0.2, and just below it SGD jumps from wall to wall.",
  },
  rosenbrock: {
    start: [-1.2, 1],
    rates: { sgd: 0.001, momentum: 0.0005, rmsprop: 0.01, adam: 0.03, adamw: 0.02, lion: 0.005, muon: 0.01 },
    text: "The walls allow small steps only; who gathers speed along the floor gets through.",
  },
  beale: {
    start: [1, 1.5],
    rates: { sgd: 0.01, momentum: 0.002, rmsprop: 0.03, adam: 0.1, adamw: 0.1, lion: 0.01, muon: 0.02 },
    text: "First a wall, then a plain: a rate that the wall bears is slow on the plain.",
  },
  saddle: {
    start: [-1.5, 0.001],
    rates: { sgd: 0.01, momentum: 0.001, rmsprop: 0.005, adam: 0.01, adamw: 0.01, lion: 0.01, muon: 0.01 },
    text: "SGD lingers in the middle; who divides by the slope's usual size leaves at once.",
  },
  rastrigin: {
    start: [-3.4, -3.4],
    rates: { sgd: 0.002, momentum: 0.007, rmsprop: 0.02, adam: 0.05, adamw: 0.05, lion: 0.01, muon: 0.02 },
    text: "The first dent holds everyone whose steps fade in it. A heavy ball rolls through dents.",
  },
  himmelblau: {
    start: [-0.25, -1.1],
    rates: { sgd: 0.001, momentum: 0.0005, rmsprop: 0.02, adam: 0.05, adamw: 0.05, lion: 0.02, muon: 0.03 },
    text: "From near the top the way down depends on the optimizer: they end in different minima.",
  },
  ackley: {
    start: [-3.4, 2.6],
    rates: { sgd: 0.03, momentum: 0.03, rmsprop: 0.1, adam: 1, adamw: 1, lion: 0.05, muon: 0.05 },
    text:
      "Ripples hold whoever steps less far than a ripple is wide. Long steps cross them, and then cannot settle.",
  },
  goldsteinPrice: {
    start: [-1.2, 0.6],
    rates: { sgd: 1e-5, momentum: 2e-6, rmsprop: 0.02, adam: 0.3, adamw: 0.3, lion: 0.05, muon: 0.02 },
    text:
      "The cliff is ten thousand times as steep as the floor: SGD's rate has to be tiny. Who divides by the slope's size does not care.",
  },
};
