/**
 * What was tried, and how it ended.
 *
 * @module
 */
import type { Generator } from "../core/random.ts";
import type { Point, Space } from "./space.ts";

/** A trial. */
export interface Trial {
  /** Its place among all that were begun, from 0. */
  readonly trial: number;
  /** What was tried; settings that have no effect beside the others are left out. */
  readonly parameters: Point;
  /** What is to be small; null while it runs, and Infinity where it failed. */
  readonly loss: number | null;
}

/** What is to be tried next, and of which trials that was made. */
export interface Proposal {
  readonly parameters: Point;
  /** The numbers of the trials that it descends from. */
  readonly parents: readonly number[];
}

/** Chooses the next point by what is known of others; the same for the same trials and random numbers. */
export type Searcher = (space: Space, trials: readonly Trial[], random: Generator) => Proposal;

/** Trials that ended, by their numbers; a trial that failed is the worst there is. */
export function ended(trials: readonly Trial[]): (Trial & { readonly loss: number })[] {
  return trials.filter((t): t is Trial & { readonly loss: number } => t.loss !== null)
    .sort((a, b) => a.trial - b.trial);
}
