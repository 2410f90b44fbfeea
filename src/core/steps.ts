/**
 * Long work that is counted as it is done, so that it can be bounded and cut into slices.
 *
 * Such work is a generator that yields how many units it has done since it yielded last; a unit is about as much as one
 * entry of a table costs. {@link finish} does it at once; a {@link Slicer} does what many ask for in turns, a slice in each
 * turn of the event loop, so that nobody else waits for more than one slice. A slice is so many units, or less where a slow
 * machine has worked on them for too long.
 *
 * @module
 */
import { throwIfAborted } from "./errors.ts";
import { turn } from "./turn.ts";

/**
 * Work in steps: yields units done, returns what came of it.
 *
 * @category Text
 */
export type Steps<T> = Generator<number, T, void>;

/** Units that may be spent yet; whoever works takes theirs off, and stops when none are left. */
export interface Allowance {
  units: number;
  /** Whether it is over by the clock, whatever units are left. Default: never. */
  readonly isLate?: () => boolean;
}

/** Milliseconds. */
export type Clock = () => number;

/** How many units of work make a slice, and how many milliseconds at most. */
export const slice = { units: 20_000, milliseconds: 4 } as const;

/** What may be spent on one slice from now on. */
export function sliceFrom(now: Clock = () => performance.now()): Allowance {
  const end = now() + slice.milliseconds;
  return { units: slice.units, isLate: () => now() >= end };
}

/** Does all of it now. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

interface Job {
  readonly steps: Steps<unknown>;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Does work for many, a slice in each turn of the event loop. */
export class Slicer {
  readonly #slice: number;
  readonly #longest: number;
  readonly #now: Clock;
  readonly #jobs: Job[] = [];
  #running = false;
  /** The most units that were done in one turn so far. */
  largest = 0;

  /** How many units make a turn, and how many milliseconds of `now`; the last step of a turn may go beyond. */
  constructor(
    { units = slice.units, milliseconds = slice.milliseconds, now = () => performance.now() }: {
      units?: number;
      milliseconds?: number;
      now?: Clock;
    } = {},
  ) {
    this.#slice = units;
    this.#longest = milliseconds;
    this.#now = now;
  }

  /** How many wait for their work. */
  get waiting(): number {
    return this.#jobs.length;
  }

  /**
   * Does the work beside that of others.
   * @throws what the work throws; {@link CancelledError} by `signal`.
   */
  run<T>(steps: Steps<T>, signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#jobs.push({ steps, signal, resolve: resolve as (value: unknown) => void, reject });
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    // What is asked for in one turn begins in the next, all of it in turns with what is there.
    for (await turn(); this.#jobs.length; await turn()) {
      const end = this.#now() + this.#longest;
      let units = 0;
      do units += this.#advance(this.#jobs.shift() as Job, units, end); while (
        units < this.#slice && this.#jobs.length && this.#now() < end
      );
      this.largest = Math.max(this.largest, units);
    }
    this.#running = false;
  }

  /** Units that a job did; it waits again at the end of the queue unless it is done. */
  #advance(job: Job, before: number, end: number): number {
    let units = 0;
    try {
      throwIfAborted(job.signal, "the work");
      for (let isOver = false; !isOver; isOver = before + units >= this.#slice || this.#now() >= end) {
        const step = job.steps.next();
        // What ends without a step counts too, so that many small ones make a slice.
        if (step.done) {
          job.resolve(step.value);
          return units + 1;
        }
        units += step.value;
      }
      this.#jobs.push(job);
    } catch (error) {
      job.reject(error);
      units++;
    }
    return units;
  }
}

/** What the process does in slices. */
export const slicer: Slicer = new Slicer();
