/**
 * The tree-structured Parzen estimator: where good trials are dense and others are not.
 *
 * Bergstra, Bardenet, Bengio, Kégl, "Algorithms for hyper-parameter optimization", NIPS 2011. Trials are split into the best fifth
 * and the rest; each part is a mixture of one bump a trial and a wide one, the same trial's in all settings at once, so that what
 * goes well together is found together (Falkner, Klein, Hutter, "BOHB", ICML 2018, and Optuna's `multivariate`). Of points drawn
 * from the good mixture the one is taken whose density there is largest beside that of the rest. What runs counts among the rest:
 * trials at the same time spread out.
 *
 * @module
 */
import type { Generator } from "../core/random.ts";
import { anyPoint, cellOf, type Dimension, keyOf, type Point, type Space, valueAt } from "./space.ts";
import { ended, type Proposal, type Trial } from "./trial.ts";

/** Trials before the first that is not random. */
const startup = 8;
/** Points that are drawn, of which the best is taken. */
const candidates = 32;
/** Most trials that count as good. */
const mostGood = 25;

/** The next point. */
export function tpe(space: Space, trials: readonly Trial[], random: Generator): Proposal {
  const done = ended(trials), chance = { parameters: anyPoint(space, random), parents: [] };
  if (done.length < startup) return chance;
  const order = done.toSorted((a, b) => a.loss - b.loss);
  const count = Math.min(mostGood, Math.ceil(order.length / 5));
  const good = order.slice(0, count).filter(({ loss }) => loss < Infinity);
  if (good.length === 0) return chance;
  const running = trials.filter(({ loss }) => loss === null);
  const near = new Mixture(space, good.map(({ parameters }) => parameters));
  const far = new Mixture(space, [...order.slice(count), ...running].map(({ parameters }) => parameters));
  const known = new Set(trials.map(({ parameters }) => keyOf(parameters)));
  let best: Point = chance.parameters, most = -Infinity;
  for (let i = 0; i < candidates; i++) {
    const point = near.draw(random);
    if (known.has(keyOf(point))) continue;
    const score = near.logDensity(point) - far.logDensity(point);
    if (score > most) [best, most] = [point, score];
  }
  return { parameters: best, parents: [] };
}

/** One bump a point, and a wide one over all. */
class Mixture {
  readonly #space: Space;
  /** Null is the wide one. */
  readonly #centers: readonly (Point | null)[];
  readonly #width: number;

  constructor(space: Space, points: readonly Point[]) {
    this.#space = space;
    this.#centers = [...points, null];
    // Scott's rule, and never narrower than what the trials can tell apart.
    const n = points.length, dims = Object.keys(space).length;
    this.#width = Math.max(0.2 * Math.max(1, n) ** (-1 / (dims + 4)), 1 / Math.min(100, n + 2));
  }

  draw(random: Generator): Point {
    const center = this.#centers[random.integer(0, this.#centers.length)];
    return Object.fromEntries(
      Object.entries(this.#space).map(([name, dimension]) => {
        const cell = center && name in center ? cellOf(dimension, center[name]) : null;
        if (!cell) return [name, valueAt(dimension, random.uniform())];
        if (dimension.kind === "choice") {
          const keep = random.uniform() < this.#loyalty(dimension.values.length);
          return [name, keep ? center![name] : valueAt(dimension, random.uniform())];
        }
        const middle = (cell[0] + cell[1]) / 2;
        let u: number;
        do u = middle + this.#width * random.normal(); while (u < 0 || u >= 1);
        return [name, valueAt(dimension, u)];
      }),
    );
  }

  logDensity(point: Point): number {
    const sum = this.#centers.reduce((sum, center) => {
      let density = 1;
      for (const [name, dimension] of Object.entries(this.#space)) {
        if (name in point) density *= this.#along(dimension, point[name], center?.[name]);
      }
      return sum + density;
    }, 0);
    return Math.log(Math.max(sum / this.#centers.length, Number.MIN_VALUE));
  }

  /** The density of a value, or its probability where there are finitely many. */
  #along(dimension: Dimension, value: number | string | boolean, center: Point[string] | undefined): number {
    const cell = cellOf(dimension, value), home = center === undefined ? null : cellOf(dimension, center);
    if (!cell) return 1e-12;
    const [low, high] = cell;
    if (!home) return high > low ? high - low : 1;
    if (dimension.kind === "choice") {
      const keep = this.#loyalty(dimension.values.length);
      return (value === center ? keep : 0) + (1 - keep) / dimension.values.length;
    }
    const middle = (home[0] + home[1]) / 2, width = this.#width;
    const below = (u: number): number => normalBelow((u - middle) / width);
    const inside = below(1) - below(0);
    const mass = high > low
      ? below(high) - below(low)
      : Math.exp(-(((low - middle) / width) ** 2) / 2) / (width * Math.sqrt(2 * Math.PI));
    return Math.max(mass / inside, 1e-12);
  }

  /** How often a choice stays that of its center. */
  #loyalty(values: number): number {
    const n = this.#centers.length;
    return n / (n + values);
  }
}

/** The part of the normal distribution below `x`, to 1.2e-7 (Press et al., "Numerical Recipes", `erfcc`). */
function normalBelow(x: number): number {
  const z = Math.abs(x) / Math.SQRT2, t = 1 / (1 + 0.5 * z);
  const terms = [
    ...[-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806],
    ...[0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277],
  ];
  const tail = t * Math.exp(-z * z + terms.reduceRight((sum, c) => sum * t + c, 0)) / 2;
  return x < 0 ? tail : 1 - tail;
}
