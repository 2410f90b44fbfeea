/**
 * Searching for settings: spaces, and how the next point of one is chosen. What a point is tried with is the caller's.
 *
 * @module
 */
export { promotion, type RungResult, rungSteps } from "./asha.ts";
export {
  allPoints,
  anyPoint,
  type Dimension,
  keyOf,
  levels,
  type Point,
  sizeOfSpace,
  type Space,
  type Value,
} from "./space.ts";
export { type Choice, choose, searchers, type Verdict } from "./choose.ts";
export type { Proposal, Searcher, Trial } from "./trial.ts";
