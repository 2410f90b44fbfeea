/**
 * Eight loss surfaces over the plane, on which optimizers show their characters.
 *
 * Values and gradients are plain double-precision functions that allocate nothing, so a page can take a million steps
 * a second. Nothing here needs tensors.
 *
 * @module
 */

/**
 * A function of two numbers with its gradient.
 *
 * @category Landscapes
 */
export interface Landscape {
  /** What people call it. */
  readonly title: string;
  /** One sentence about what makes it hard. */
  readonly about: string;
  /** The part of the plane worth looking at: [least x, largest x, least y, largest y]. */
  readonly domain: readonly [number, number, number, number];
  /** A good place to begin. */
  readonly start: readonly [number, number];
  /** Where it is lowest; empty where it falls for ever. */
  readonly minima: readonly (readonly [number, number])[];
  /** The loss at (x, y). */
  value(x: number, y: number): number;
  /** Writes ∂/∂x and ∂/∂y at (x, y) into the first two places of `out`. */
  gradient(x: number, y: number, out: Float64Array): void;
}

const bowl: Landscape = {
  title: "Quadratic bowl",
  about: "Ten times steeper in one direction than in the other.",
  domain: [-3, 3, -3, 3],
  start: [-2.5, 1.8],
  minima: [[0, 0]],
  value: (x, y) => 0.5 * (x * x + 10 * y * y),
  gradient(x, y, out) {
    out[0] = x;
    out[1] = 10 * y;
  },
};

const rosenbrock: Landscape = {
  title: "Rosenbrock",
  about: "A long bent valley, nearly flat along its floor (Rosenbrock 1960).",
  domain: [-2, 2, -1, 3],
  start: [-1.2, 1],
  minima: [[1, 1]],
  value(x, y) {
    const a = 1 - x, b = y - x * x;
    return a * a + 100 * b * b;
  },
  gradient(x, y, out) {
    const b = y - x * x;
    out[0] = -2 * (1 - x) - 400 * x * b;
    out[1] = 200 * b;
  },
};

const beale: Landscape = {
  title: "Beale",
  about: "Flat plains with steep walls at the corners (Beale 1958).",
  domain: [-4.5, 4.5, -4.5, 4.5],
  start: [1, 1.5],
  minima: [[3, 0.5]],
  value(x, y) {
    const a = 1.5 - x + x * y, b = 2.25 - x + x * y * y, c = 2.625 - x + x * y * y * y;
    return a * a + b * b + c * c;
  },
  gradient(x, y, out) {
    const yy = y * y, yyy = yy * y;
    const a = 1.5 - x + x * y, b = 2.25 - x + x * yy, c = 2.625 - x + x * yyy;
    out[0] = 2 * (a * (y - 1) + b * (yy - 1) + c * (yyy - 1));
    out[1] = 2 * (a * x + b * 2 * x * y + c * 3 * x * yy);
  },
};

const saddle: Landscape = {
  title: "Saddle",
  about: "Level at the middle, and downhill only to the sides.",
  domain: [-2, 2, -2, 2],
  start: [-1.5, 0.001],
  minima: [],
  value: (x, y) => x * x - y * y,
  gradient(x, y, out) {
    out[0] = 2 * x;
    out[1] = -2 * y;
  },
};

const turn = 2 * Math.PI;

const rastrigin: Landscape = {
  title: "Rastrigin",
  about: "A bowl full of dents: a hundred local minima around one deep one (Rastrigin 1974).",
  domain: [-5.12, 5.12, -5.12, 5.12],
  start: [-3.6, 2.7],
  minima: [[0, 0]],
  value: (x, y) => 20 + x * x - 10 * Math.cos(turn * x) + y * y - 10 * Math.cos(turn * y),
  gradient(x, y, out) {
    out[0] = 2 * x + 10 * turn * Math.sin(turn * x);
    out[1] = 2 * y + 10 * turn * Math.sin(turn * y);
  },
};

const himmelblau: Landscape = {
  title: "Himmelblau",
  about: "Four equally deep minima; the start decides which is found (Himmelblau 1972).",
  domain: [-5, 5, -5, 5],
  start: [-0.5, -1],
  minima: [[3, 2], [-2.805118086952745, 3.131312518250573], [-3.779310253377747, -3.283185991286170], [
    3.584428340330492,
    -1.848126526964404,
  ]],
  value(x, y) {
    const a = x * x + y - 11, b = x + y * y - 7;
    return a * a + b * b;
  },
  gradient(x, y, out) {
    const a = x * x + y - 11, b = x + y * y - 7;
    out[0] = 4 * x * a + 2 * b;
    out[1] = 2 * a + 4 * y * b;
  },
};

const ackley: Landscape = {
  title: "Ackley",
  about: "A nearly flat plain full of ripples, with one deep hole in the middle (Ackley 1987).",
  domain: [-5, 5, -5, 5],
  start: [-3.4, 2.6],
  minima: [[0, 0]],
  value(x, y) {
    const radius = Math.sqrt(0.5 * (x * x + y * y));
    return 20 - 20 * Math.exp(-0.2 * radius) + Math.E -
      Math.exp(0.5 * (Math.cos(turn * x) + Math.cos(turn * y)));
  },
  gradient(x, y, out) {
    const radius = Math.sqrt(0.5 * (x * x + y * y));
    // A cone's tip at the minimum: level there, by convention.
    const slope = radius === 0 ? 0 : 2 * Math.exp(-0.2 * radius) / radius;
    const ripple = Math.PI * Math.exp(0.5 * (Math.cos(turn * x) + Math.cos(turn * y)));
    out[0] = slope * x + ripple * Math.sin(turn * x);
    out[1] = slope * y + ripple * Math.sin(turn * y);
  },
};

const goldsteinPrice: Landscape = {
  title: "Goldstein-Price",
  about: "Values from 3 to a million within a few steps (Goldstein, Price 1971).",
  domain: [-2, 2, -2.5, 1.5],
  start: [-1.2, 0.6],
  minima: [[0, -1]],
  value(x, y) {
    const s = x + y + 1, t = 2 * x - 3 * y;
    const p = 19 - 14 * x + 3 * x * x - 14 * y + 6 * x * y + 3 * y * y;
    const q = 18 - 32 * x + 12 * x * x + 48 * y - 36 * x * y + 27 * y * y;
    return (1 + s * s * p) * (30 + t * t * q);
  },
  gradient(x, y, out) {
    const s = x + y + 1, t = 2 * x - 3 * y;
    const p = 19 - 14 * x + 3 * x * x - 14 * y + 6 * x * y + 3 * y * y;
    const q = 18 - 32 * x + 12 * x * x + 48 * y - 36 * x * y + 27 * y * y;
    const first = 1 + s * s * p, second = 30 + t * t * q;
    const slope = 2 * s * p + s * s * (-14 + 6 * x + 6 * y); // by x and by y alike
    out[0] = slope * second + first * (4 * t * q + t * t * (-32 + 24 * x - 36 * y));
    out[1] = slope * second + first * (-6 * t * q + t * t * (48 - 36 * x + 54 * y));
  },
};

/**
 * The names of the surfaces.
 *
 * @category Landscapes
 */
export type LandscapeName =
  | "bowl"
  | "rosenbrock"
  | "beale"
  | "saddle"
  | "rastrigin"
  | "himmelblau"
  | "ackley"
  | "goldsteinPrice";

/**
 * The surfaces by name.
 *
 * @category Landscapes
 */
export const landscapes: Readonly<Record<LandscapeName, Landscape>> = {
  bowl,
  rosenbrock,
  beale,
  saddle,
  rastrigin,
  himmelblau,
  ackley,
  goldsteinPrice,
};
