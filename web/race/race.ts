/**
 * The race itself: several optimizers on one surface, each with the last part of its way in a ring that never grows.
 *
 * A row of the ring is the whole state after a step, so one can go back to any of them and race on from there. Nothing
 * here touches a page, and a step allocates nothing.
 *
 * @module
 */
import {
  type Landscape,
  type Optimizer2d,
  state2d,
  step2d,
  type Step2dOptions,
} from "../../src/landscape/mod.ts";

/** Numbers in a row: x, y, two first moments, two second moments, steps, loss. */
export const rowLength = 8;
/** Where a row holds the loss. */
export const lossAt = 7;
/** Rows in a ring. A power of two. */
export const capacity = 8192;
const tooFar = 1e6;

/** One optimizer on its way. */
export class Racer {
  /** Which one. */
  readonly name: Optimizer2d;
  /** Its numbers; the next step reads them. */
  readonly options: Step2dOptions;
  /** Where it is and what it remembers. */
  readonly state: Float64Array = state2d(0, 0);
  /** The last rows: step `s` is row `s % capacity`. */
  readonly ring: Float64Array = new Float64Array(capacity * rowLength);
  /** Steps taken. */
  steps = 0;
  /** The loss now. */
  loss = 0;
  /** Whether it left the plane for good. */
  lost = false;
  /** Whether it stopped at the border, below which there is nothing on the part that is shown. */
  arrived = false;

  /** An optimizer that has not started. */
  constructor(name: Optimizer2d, options: Step2dOptions) {
    this.name = name;
    this.options = options;
  }

  /** Puts it at (x, y) with an empty memory. */
  place(surface: Landscape, x: number, y: number): void {
    this.state.fill(0);
    this.state[0] = x;
    this.state[1] = y;
    this.steps = 0;
    this.lost = this.arrived = false;
    this.loss = surface.value(x, y);
    this.#record();
  }

  /**
   * Takes `count` steps, or fewer when it leaves the plane, or stops at the border: where it is outside of what is shown
   * and lower than `floor`, the least value there, the surface falls for ever.
   */
  run(surface: Landscape, count: number, floor: number = -Infinity): void {
    const { name, state, options } = this, [x0, x1, y0, y1] = surface.domain;
    for (let i = 0; i < count; i++) {
      if (this.lost || this.arrived) return;
      step2d(name, surface, state, options);
      let x = state[0], y = state[1];
      this.steps++;
      this.loss = surface.value(x, y);
      if (this.loss < floor && (x < x0 || x > x1 || y < y0 || y > y1)) {
        state[0] = x = Math.min(Math.max(x, x0), x1);
        state[1] = y = Math.min(Math.max(y, y0), y1);
        this.loss = surface.value(x, y);
        this.arrived = true;
      }
      // A NaN fails both comparisons too.
      this.lost = !(x > -tooFar && x < tooFar && y > -tooFar && y < tooFar && this.loss === this.loss);
      this.#record();
    }
  }

  /** The oldest step that the ring still holds. */
  get oldest(): number {
    return Math.max(0, this.steps - capacity + 1);
  }

  /** Where in the ring the row of `step` begins; the nearest one that is held. */
  rowOf(step: number): number {
    return (Math.min(Math.max(step, this.oldest), this.steps) % capacity) * rowLength;
  }

  /** Goes back to what it was after `step`. */
  restore(step: number): void {
    const row = this.rowOf(step), { ring, state } = this;
    if (step >= this.steps) return;
    for (let i = 0; i < 7; i++) state[i] = ring[row + i];
    this.steps = Math.max(step, this.oldest);
    this.loss = ring[row + lossAt];
    this.lost = this.arrived = false;
  }

  #record(): void {
    const row = (this.steps % capacity) * rowLength, { ring, state } = this;
    for (let i = 0; i < 7; i++) ring[row + i] = state[i];
    ring[row + lossAt] = this.loss;
  }
}

/** All of them. */
export class Race {
  /** In the order of the table. */
  readonly racers: readonly Racer[];
  /** What they walk on. */
  surface: Landscape;
  /** The least value on the part that is shown; who is lower outside of it stops at its border. */
  floor = -Infinity;
  /** Where they began. */
  readonly start: Float64Array = new Float64Array(2);
  /** Steps since the start. */
  steps = 0;

  /** A race at its start. */
  constructor(racers: readonly Racer[], surface: Landscape) {
    this.racers = racers;
    this.surface = surface;
    this.restart(...surface.start);
  }

  /** Everyone to (x, y). */
  restart(x: number, y: number): void {
    this.start[0] = x;
    this.start[1] = y;
    this.steps = 0;
    for (let i = 0; i < this.racers.length; i++) this.racers[i].place(this.surface, x, y);
  }

  /** Everyone takes `count` steps. */
  run(count: number): void {
    this.steps += count;
    for (let i = 0; i < this.racers.length; i++) this.racers[i].run(this.surface, count, this.floor);
  }

  /** The oldest step one can go back to. */
  get oldest(): number {
    return Math.max(0, this.steps - capacity + 1);
  }

  /** Everyone back to `step`. */
  restore(step: number): void {
    const to = Math.min(Math.max(step, this.oldest), this.steps);
    for (let i = 0; i < this.racers.length; i++) this.racers[i].restore(to);
    this.steps = to;
  }
}
