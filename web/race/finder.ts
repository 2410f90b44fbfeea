/**
 * The learning-rate finder: each optimizer tries forty rates from the same start; the one with the lowest loss wins.
 *
 * @module
 */
import type { Landscape } from "../../src/landscape/mod.ts";
import { Racer } from "./race.ts";

/** How many rates are tried, and for how many steps each. */
export const tries = 40, stepsEach = 200;

/** The loss after `stepsEach` steps for each rate; NaN where the racer left the plane. */
export interface Finding {
  /** Rates, from 1e-5 to 3. */
  readonly rates: Float64Array;
  /** Losses. */
  readonly losses: Float64Array;
  /** The best rate. */
  readonly best: number;
}

/** Tries the rates for `racer` from (x, y); the racer itself stays where it is. */
export function findRate({ name, options }: Racer, surface: Landscape, x: number, y: number): Finding {
  const rates = new Float64Array(tries), losses = new Float64Array(tries);
  const trial = new Racer(name, { ...options });
  let best = 0;
  for (let i = 0; i < tries; i++) {
    trial.options.lr = rates[i] = 1e-5 * (3e5) ** (i / (tries - 1));
    trial.place(surface, x, y);
    trial.run(surface, stepsEach);
    losses[i] = trial.lost ? NaN : trial.loss;
    if (losses[i] < losses[best] || Number.isNaN(losses[best])) best = i;
  }
  return { rates, losses, best: rates[best] };
}
