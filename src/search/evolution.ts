/**
 * Regularised evolution: the best of a few that are chosen by chance has a child, and the oldest dies.
 *
 * Real, Aggarwal, Huang, Le, "Regularized evolution for image classifier architecture search", AAAI 2019. The living are those that
 * ended last, by the order in which they were begun; whoever is good stays only through its children, so that one lucky run does
 * not lead for ever. A child has one setting changed: to a near value where they have an order, else to any other. Half of the
 * children have two parents and take each setting from either.
 *
 * @module
 */
import type { Generator } from "../core/random.ts";
import {
  anyPoint,
  cellOf,
  type Dimension,
  levels,
  type Point,
  type Space,
  type Value,
  valueAt,
} from "./space.ts";
import { ended, type Proposal, type Trial } from "./trial.ts";

/** How many live. */
const population = 12;
/** How many are compared for a parent. */
const tournament = 4;
/** How far a value goes in the unit interval. */
const stride = 0.15;

/** The next point. */
export function evolution(space: Space, trials: readonly Trial[], random: Generator): Proposal {
  const living = ended(trials).slice(-population).filter(({ loss }) => loss < Infinity);
  // The first are random: so many begun ones make a population.
  if (living.length === 0 || trials.length < population) {
    return { parameters: anyPoint(space, random), parents: [] };
  }
  const pick = (): (typeof living)[number] => {
    const some = Array.from({ length: tournament }, () => living[random.integer(0, living.length)]);
    return some.reduce((best, one) => one.loss < best.loss ? one : best);
  };
  const one = pick(), other = random.uniform() < 0.5 ? pick() : one;
  // A setting that had no effect in the parent is inherited from chance.
  const filled = { ...anyPoint(space, random), ...one.parameters } as Record<string, Value>;
  const child = other === one ? filled : crossed(filled, other.parameters, random);
  const names = Object.keys(space).filter((name) => levels(space[name]) > 1);
  if (names.length > 0) {
    const name = names[random.integer(0, names.length)];
    child[name] = mutated(space[name], child[name], random);
  }
  return { parameters: child, parents: [...new Set([one.trial, other.trial])] };
}

/** Each setting from either. */
function crossed(one: Point, other: Point, random: Generator): Record<string, Value> {
  return Object.fromEntries(
    Object.entries(one).map(([name, value]) => [
      name,
      random.uniform() < 0.5 && name in other ? other[name] : value,
    ]),
  );
}

/** Steps to near values that are tried. */
const mostSteps = 100;

/** Another value of a setting that has more than one. */
export function mutated(dimension: Dimension, value: Value, random: Generator): Value {
  const cell = cellOf(dimension, value);
  if (dimension.kind === "choice") {
    const rest = dimension.values.filter((one) => one !== value);
    return rest[random.integer(0, rest.length)];
  }
  const middle = cell ? (cell[0] + cell[1]) / 2 : random.uniform(), room = cell ? (cell[1] - cell[0]) / 2 : 0;
  for (let i = 0; i < mostSteps; i++) {
    // Past the cell that it is in: a list of three must be able to leave its place.
    const step = stride * random.normal(), u = middle + step + Math.sign(step) * room;
    if (u < 0 || u >= 1) continue;
    const next = valueAt(dimension, u);
    if (next !== value) return next;
  }
  // A range that is narrow beside the digits of a value: near ones are the same.
  const first = valueAt(dimension, 0);
  return first === value ? valueAt(dimension, 1) : first;
}
