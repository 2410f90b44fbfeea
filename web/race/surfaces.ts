/**
 * The surfaces of the race: the library's six, two more, and one that the visitor writes.
 *
 * @module
 */
import { type Landscape, landscapes } from "../../src/landscape/mod.ts";

const { PI, cos, exp, sin, sqrt } = Math;

const ackley: Landscape = {
  title: "Ackley",
  about: "A hole in a nearly flat plain full of dents (Ackley 1987).",
  domain: [-5, 5, -5, 5],
  start: [-3.4, 2.6],
  minima: [[0, 0]],
  value(x, y) {
    const r = sqrt(0.5 * (x * x + y * y));
    return -20 * exp(-0.2 * r) - exp(0.5 * (cos(2 * PI * x) + cos(2 * PI * y))) + Math.E + 20;
  },
  gradient(x, y, out) {
    const r = sqrt(0.5 * (x * x + y * y)), far = r > 0 ? 2 * exp(-0.2 * r) / r : 0;
    const dents = PI * exp(0.5 * (cos(2 * PI * x) + cos(2 * PI * y)));
    out[0] = far * x + dents * sin(2 * PI * x);
    out[1] = far * y + dents * sin(2 * PI * y);
  },
};

const goldsteinPrice: Landscape = {
  title: "Goldstein-Price",
  about: "Values from 3 to a million in a small square (Goldstein and Price 1971).",
  domain: [-2, 2, -2.6, 1.4],
  start: [1.5, 0.9],
  minima: [[0, -1]],
  value(x, y) {
    const s = x + y + 1, t = 2 * x - 3 * y;
    const a = 1 + s * s * (19 - 14 * x + 3 * x * x - 14 * y + 6 * x * y + 3 * y * y);
    const b = 30 + t * t * (18 - 32 * x + 12 * x * x + 48 * y - 36 * x * y + 27 * y * y);
    return a * b;
  },
  gradient(x, y, out) {
    const s = x + y + 1, p = 19 - 14 * x + 3 * x * x - 14 * y + 6 * x * y + 3 * y * y;
    const t = 2 * x - 3 * y, q = 18 - 32 * x + 12 * x * x + 48 * y - 36 * x * y + 27 * y * y;
    const a = 1 + s * s * p, b = 30 + t * t * q, slope = -14 + 6 * x + 6 * y;
    const ax = 2 * s * p + s * s * slope, ay = ax;
    const bx = 4 * t * q + t * t * (-32 + 24 * x - 36 * y), by = -6 * t * q + t * t * (48 - 36 * x + 54 * y);
    out[0] = ax * b + a * bx;
    out[1] = ay * b + a * by;
  },
};

/** By name, in the order of the menu. */
export const surfaces: Readonly<Record<string, Landscape>> = { ...landscapes, ackley, goldsteinPrice };
