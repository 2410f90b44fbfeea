/**
 * What the last steps of a racer were like, in numbers: how long, how straight, how steep, over how bent a ground.
 *
 * @module
 */
import type { Landscape } from "../../src/landscape/mod.ts";
import { lossAt, type Racer } from "./race.ts";

/** Steps that are judged together. */
export const recentSteps = 60;

/** The numbers; NaN where there were no steps. */
export interface Measured {
  /** Steps that were looked at. */
  readonly steps: number;
  /** Mean length of a step. */
  readonly length: number;
  /** How far it came of what it walked: 1 is straight on, 0 is back at where it was. */
  readonly straight: number;
  /** Mean cosine between a step and the one before: -1 is straight back. */
  readonly turn: number;
  /** Mean angle between a step and the steepest way down, in degrees. */
  readonly off: number;
  /** Second derivative of the loss along its steps, their mean. */
  readonly curvature: number;
  /** By how much the loss fell. */
  readonly gain: number;
  /** The loss after the last of the steps. */
  readonly loss: number;
}

/** Measures the steps up to `at`. */
export function measure(racer: Racer, surface: Landscape, at: number): Measured {
  const { ring } = racer,
    last = Math.min(at, racer.steps),
    first = Math.max(racer.oldest, last - recentSteps);
  const before = new Float64Array(2), after = new Float64Array(2), steps = last - first;
  let length = 0, turn = 0, turns = 0, off = 0, downs = 0, bend = 0, bends = 0, px = 0, py = 0;
  for (let step = first + 1; step <= last; step++) {
    const from = racer.rowOf(step - 1), to = racer.rowOf(step);
    const dx = ring[to] - ring[from], dy = ring[to + 1] - ring[from + 1], size = Math.hypot(dx, dy);
    length += size;
    surface.gradient(ring[from], ring[from + 1], before);
    surface.gradient(ring[to], ring[to + 1], after);
    const slope = Math.hypot(before[0], before[1]), previous = Math.hypot(px, py);
    if (size > 0 && slope > 0) {
      const cosine = -(dx * before[0] + dy * before[1]) / (size * slope);
      off += Math.acos(Math.min(Math.max(cosine, -1), 1)) * 180 / Math.PI;
      downs++;
    }
    if (size > 0 && previous > 0) {
      turn += (dx * px + dy * py) / (size * previous);
      turns++;
    }
    if (size > 1e-12) {
      bend += ((after[0] - before[0]) * dx + (after[1] - before[1]) * dy) / (size * size);
      bends++;
    }
    [px, py] = [dx, dy];
  }
  const a = racer.rowOf(first), b = racer.rowOf(last);
  return {
    steps,
    length: length / steps,
    straight: Math.hypot(ring[b] - ring[a], ring[b + 1] - ring[a + 1]) / length,
    turn: turn / turns,
    off: off / downs,
    curvature: bend / bends,
    gain: ring[a + lossAt] - ring[b + lossAt],
    loss: ring[b + lossAt],
  };
}

/** The largest curvature at (x, y), in whichever direction: of the Hessian, from differences of gradients. */
export function sharpest({ gradient, domain: [x0, x1] }: Landscape, x: number, y: number): number {
  const h = 1e-5 * (x1 - x0), g = new Float64Array(2);
  const slope = (dx: number, dy: number): [number, number] => {
    gradient(x + dx, y + dy, g);
    return [g[0], g[1]];
  };
  const [ax, ay] = slope(h, 0), [bx, by] = slope(-h, 0), [cx, cy] = slope(0, h), [dx, dy] = slope(0, -h);
  const xx = (ax - bx) / (2 * h), yy = (cy - dy) / (2 * h), xy = (ay - by + cx - dx) / (4 * h);
  return (xx + yy) / 2 + Math.hypot((xx - yy) / 2, xy);
}
