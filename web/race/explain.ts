/**
 * What a visitor reads about each optimizer and setting.
 *
 * @module
 */
import type { Optimizer2d } from "../../src/landscape/mod.ts";

/** Name and idea of each optimizer. */
export const optimizerTexts: Readonly<
  Record<Optimizer2d, { readonly title: string; readonly about: string }>
> = {
  sgd: {
    title: "SGD",
    about: "Steps straight downhill, as far as the slope is steep: fast on walls, slow on plains.",
  },
  momentum: {
    title: "Momentum",
    about:
      "A heavy ball: it keeps most of its last step (β), so it shoots through narrow valleys and overshoots.",
  },
  rmsprop: {
    title: "RMSprop",
    about:
      "Divides each direction by its usual steepness (α sets for how long it remembers), so steps are about equally long everywhere.",
  },
  adam: {
    title: "Adam",
    about:
      "Momentum (β₁) and RMSprop's scaling (β₂) together, corrected for the first steps, which would be too short.",
  },
  adamw: {
    title: "AdamW",
    about:
      "Adam whose weight decay pulls towards 0 apart from the gradient. What most language models are trained with.",
  },
  lion: {
    title: "Lion",
    about:
      "Only the signs of a momentum count: each coordinate moves by exactly the learning rate. Found by a search over programs.",
  },
  muon: {
    title: "Muon",
    about:
      "Makes the momentum of a weight matrix orthogonal. Here the point is a matrix of one row, so every step is about as long as the learning rate.",
  },
};

/** What the sliders do. */
export const sliderTexts: Readonly<Record<string, string>> = {
  momentum: "How much of the last step stays, for Momentum and Muon.",
  beta1: "How much of the mean gradient stays, for Adam, AdamW and Lion.",
  beta2: "How much of the mean squared gradient stays, for Adam and AdamW.",
  alpha: "How much of the mean squared gradient stays, for RMSprop.",
  weightDecay: "Pulls AdamW, Lion and Muon towards (0, 0) by this times the learning rate in each step.",
};
