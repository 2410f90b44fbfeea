/**
 * Points of two kinds on the plane from -1 to 1, drawn from a seed.
 *
 * @module
 */
import { Generator } from "../../src/core/random.ts";

/** The kinds of data sets; "none" begins empty, for points of one's own. */
export type DataName = "spiral" | "moons" | "circles" | "xor" | "none";

/** Points and their kinds. */
export interface Points {
  /** x and y in turn. */
  readonly places: Float32Array;
  /** 0 or 1. */
  readonly kinds: Float32Array;
}

/** `count` points of a data set; `noise` moves each by so much. */
export function makePoints(name: DataName, count: number, noise: number, seed: number): Points {
  if (name === "none") return { places: new Float32Array(0), kinds: new Float32Array(0) };
  const random = new Generator(seed), places = new Float32Array(2 * count), kinds = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const kind = i % 2, t = (i >> 1) / Math.max(1, (count >> 1) - 1);
    let x = 0, y = 0;
    if (name === "spiral") {
      const radius = 0.08 + 0.84 * t, angle = 1.75 * t * 2 * Math.PI + kind * Math.PI;
      x = radius * Math.sin(angle);
      y = radius * Math.cos(angle);
    } else if (name === "moons") {
      const angle = t * Math.PI;
      x = (kind ? 1 - Math.cos(angle) : Math.cos(angle)) * 0.55 - 0.28;
      y = (kind ? 0.5 - Math.sin(angle) : Math.sin(angle)) * 0.75 - 0.18;
    } else if (name === "circles") {
      const angle = random.uniform() * 2 * Math.PI, radius = kind ? 0.35 : 0.8;
      x = radius * Math.cos(angle);
      y = radius * Math.sin(angle);
    } else {
      x = (0.1 + 0.8 * random.uniform()) * (random.uniform() < 0.5 ? -1 : 1);
      y = (0.1 + 0.8 * random.uniform()) * (Math.sign(x) * (kind ? 1 : -1));
    }
    places[2 * i] = x + noise * random.normal();
    places[2 * i + 1] = y + noise * random.normal();
    kinds[i] = kind;
  }
  return { places, kinds };
}
