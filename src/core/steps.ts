/**
 * Long work that is counted as it is done, so that it can be bounded and cut into slices without looking at a clock.
 *
 * Such work is a generator that yields how many units it has done since it yielded last; a unit is about as much as one
 * entry of a table costs. {@link finish} does it at once; a {@link Slicer} does what many ask for in turns, a slice in each
 * turn of the event loop, so that nobody else waits for more than one slice.
 *
 * @module
 */
import { throwIfAborted } from "./errors.ts";

/**
 * Work in steps: yields units done, returns what came of it.
 *
 * @category Text
 */
export type Steps<T> = Generator<number, T, void>;

/** Units that may be spent yet; whoever works takes theirs off, and stops when none are left. */
export interface Allowance {
  units: number;
}

/** Does all of it now. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** One turn of the event loop: timers, interrupts and connections are heard. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
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
  readonly #jobs: Job[] = [];
  #running = false;
  /** The most units that were done in one turn so far. */
  largest = 0;

  /** `slice`: how many units make a turn; the last step of a turn may go beyond. About a millisecond by default. */
  constructor(slice = 20_000) {
    this.#slice = slice;
  }

  /** How many wait for their work. */
  get waiting(): number {
    return this.#jobs.length;
  }

  /** Does the work beside that of others. @throws what the work throws; {@link CancelledError} by `signal`. */
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
      let units = 0;
      while (units < this.#slice && this.#jobs.length) {
        units += this.#advance(this.#jobs.shift() as Job, units);
      }
      this.largest = Math.max(this.largest, units);
    }
    this.#running = false;
  }

  /** Units that a job did; it waits again at the end of the queue unless it is done. */
  #advance(job: Job, before: number): number {
    let units = 0;
    try {
      throwIfAborted(job.signal, "the work");
      while (before + units < this.#slice) {
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
