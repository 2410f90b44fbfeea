/**
 * Asynchronous successive halving: many short trials, of which the best go on.
 *
 * Li, Jamieson, Rostamizadeh et al., "A system for massively parallel hyperparameter tuning", MLSys 2020. A trial is judged at
 * rungs, each `eta` times as far as the one below. Whoever is free takes up a trial that is among the best 1/eta of its rung and was
 * not taken up before, from the highest rung down, or else begins another: nobody waits for a rung to be full.
 *
 * @module
 */

/** How a trial did at a rung. */
export interface RungResult {
  /** Its number. */
  readonly trial: number;
  /** Which rung, from 0. */
  readonly rung: number;
  /** Infinity where it failed. */
  readonly loss: number;
}

/** The steps of each rung: `most` at the last, and each of those before an eta-th of the next, `least` or more. */
export function rungSteps(least: number, most: number, eta: number): number[] {
  const steps = [most];
  while (Math.round(steps[0] / eta) >= least && Math.round(steps[0] / eta) < steps[0]) {
    steps.unshift(Math.round(steps[0] / eta));
  }
  return steps;
}

/**
 * The trial that goes on, and to which rung; null where none has earned it. `begun` are the results and what runs now (its loss does
 * not count); of trials that fail `isMine` others take care.
 */
export function promotion(
  results: readonly RungResult[],
  begun: readonly { readonly trial: number; readonly rung: number }[],
  rungs: number,
  eta: number,
  isMine: (trial: number) => boolean = () => true,
): { readonly trial: number; readonly rung: number } | null {
  for (let rung = rungs - 2; rung >= 0; rung--) {
    const here = results.filter((r) => r.rung === rung).sort((a, b) => a.loss - b.loss || a.trial - b.trial);
    const best = here.slice(0, Math.floor(here.length / eta)).filter(({ loss }) => loss < Infinity);
    const next = best.find(({ trial }) =>
      isMine(trial) && !begun.some((b) => b.trial === trial && b.rung > rung)
    );
    if (next) return { trial: next.trial, rung: rung + 1 };
  }
  return null;
}
