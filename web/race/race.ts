/**
 * The race itself: every optimizer's point, and where it has been. Nothing is allocated while it runs.
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

/** Moments that are remembered. */
export const remembered = 2048;

/** One optimizer on its way. */
export interface Racer {
  readonly name: Optimizer2d;
  readonly title: string;
  readonly color: string;
  readonly about: string;
  on: boolean;
  readonly options: Step2dOptions;
  readonly state: Float64Array;
  /** x, y and loss of the last moments, in a ring. */
  readonly trail: Float32Array;
}

const racer = (name: Optimizer2d, title: string, color: string, factor: number, about: string): Racer => ({
  name,
  title,
  color,
  about,
  on: true,
  options: { lr: factor },
  state: state2d(0, 0),
  trail: new Float32Array(3 * remembered),
});

/** How much larger than the race's learning rate each takes its steps: signs and directions need smaller ones than slopes. */
const factors: Readonly<Partial<Record<Optimizer2d, number>>> = {
  sgd: 0.1,
  momentum: 0.05,
  muon: 0.5,
  lion: 0.5,
};

/** A race down one surface. */
export class Race {
  readonly racers: readonly Racer[] = [
    racer("sgd", "SGD", "#e4572e", 1, "Straight down the slope"),
    racer("momentum", "Momentum", "#f3a712", 1, "Keeps rolling the way it came"),
    racer("rmsprop", "RMSprop", "#38b26c", 1, "Divides by how steep it has been"),
    racer("adam", "Adam", "#3fa7f0", 1, "Rolls, and divides by steepness"),
    racer("adamw", "AdamW", "#9b6bff", 1, "Adam that also decays towards 0"),
    racer("lion", "Lion", "#f06eb4", 1, "Knows only the sign of its momentum"),
    racer("muon", "Muon", "#d8d8d8", 1, "Steps of one length along its momentum"),
  ];
  surface: Landscape;
  /** Steps taken since the start. */
  steps = 0;
  /** Moments in the ring. */
  moments = 0;

  /** At the surface's own start. */
  constructor(surface: Landscape) {
    this.surface = surface;
    this.restart(...surface.start);
  }

  /** All go to (x, y) and forget. */
  restart(x: number, y: number): void {
    this.steps = this.moments = 0;
    for (const { state } of this.racers) {
      state.fill(0);
      state[0] = x;
      state[1] = y;
    }
    this.#remember();
  }

  /** The learning rate; each optimizer has its own part of it. */
  set lr(value: number) {
    for (const { name, options } of this.racers) options.lr = value * (factors[name] ?? 1);
  }

  /** So many steps of each that takes part. */
  run(steps: number): void {
    const { racers, surface } = this;
    for (const { on, name, state, options } of racers) {
      if (!on) continue;
      for (let i = 0; i < steps; i++) step2d(name, surface, state, options);
    }
    this.steps += steps;
    this.#remember();
  }

  #remember(): void {
    const at = 3 * (this.moments % remembered);
    for (const { state, trail } of this.racers) {
      trail[at] = state[0];
      trail[at + 1] = state[1];
      trail[at + 2] = this.surface.value(state[0], state[1]);
    }
    this.moments++;
  }
}
