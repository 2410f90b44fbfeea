/**
 * The next point of a search: one that was not tried, and that may be tried at all.
 *
 * @module
 */
import { Generator } from "../core/random.ts";
import { evolution } from "./evolution.ts";
import { allPoints, anyPoint, keyOf, type Point, sizeOfSpace, type Space } from "./space.ts";
import { tpe } from "./tpe.ts";
import type { Proposal, Searcher, Trial } from "./trial.ts";

/** Ways to search; asha draws at random, and saves where trials go on. */
export const searchers: Readonly<Record<string, Searcher>> = {
  random: (space, _, random) => ({ parameters: anyPoint(space, random), parents: [] }),
  asha: (space, _, random) => ({ parameters: anyPoint(space, random), parents: [] }),
  tpe,
  evolution,
};

/** What becomes of a point: the settings that count in it, or why it is not tried. */
export type Verdict = { readonly parameters: Point } | { readonly refused: string };

/** What was chosen. */
export interface Choice extends Proposal {
  /** Points that were not to be tried, and why, each once. */
  readonly refused: readonly { readonly parameters: Point; readonly why: string }[];
}

/** Points that are proposed before chance takes over, and those of chance before all are looked through. */
const mostProposals = 200, mostDraws = 2000;
/** Spaces of up to so many points are looked through. */
const mostListed = 20_000;

/**
 * The point for trial `number`, or null where all that may be tried was. The same for the same seed and trials.
 *
 * @param judge What counts of a point, or why it must not be tried.
 */
export function choose(
  method: string,
  space: Space,
  trials: readonly Trial[],
  number: number,
  seed: number,
  judge: (point: Point) => Verdict,
): Choice | { readonly parameters: null; readonly refused: Choice["refused"] } {
  // A stream of its own for every trial: 2^20 of them below each seed.
  const random = new Generator(seed * 2 ** 20 + number), search = searchers[method];
  const known = new Set(trials.map(({ parameters }) => keyOf(parameters)));
  const refused = new Map<string, { parameters: Point; why: string }>();
  const taken = (point: Point): Point | null => {
    const verdict = judge(point);
    if ("refused" in verdict) {
      refused.set(keyOf(point), { parameters: point, why: verdict.refused });
      return null;
    }
    return known.has(keyOf(verdict.parameters)) ? null : verdict.parameters;
  };
  for (let i = 0; i < mostProposals + mostDraws; i++) {
    const { parameters, parents } = i < mostProposals
      ? search(space, trials, random)
      : { parameters: anyPoint(space, random), parents: [] };
    const point = taken(parameters);
    if (point) return { parameters: point, parents, refused: [...refused.values()] };
    if (i === mostProposals && sizeOfSpace(space) <= mostListed) break;
  }
  if (sizeOfSpace(space) <= mostListed) {
    const left = [...allPoints(space)].map(taken).filter((point) => point !== null);
    if (left.length > 0) {
      const parameters = left[random.integer(0, left.length)];
      return { parameters, parents: [], refused: [...refused.values()] };
    }
  }
  return { parameters: null, refused: [...refused.values()] };
}
