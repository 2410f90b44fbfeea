/**
 * How fast a run goes, measured from report to report, without the time for evaluations and checkpoints.
 *
 * @module
 */
import { breather } from "../core/breathe.ts";

/** A stopwatch for a training loop. */
export class Pace {
  #tokens = 0;
  #steps = 0;
  #start = performance.now();
  #away = 0;
  /** Smoothed over reports; 0 before the first. */
  #secondsPerStep = 0;
  /** Lets other tasks (signals, timers) run, when they have waited long enough. */
  readonly breathe: () => Promise<void> = breather();

  /** One more step was issued, of so many tokens. */
  step(tokens: number): void {
    this.#steps++;
    this.#tokens += tokens;
  }

  /** The speed since the last report, and what `stepsLeft` steps will take. Call it when the device is done. */
  report(stepsLeft: number): { tokensPerSecond: number; secondsLeft: number } {
    const now = performance.now(), seconds = Math.max(1e-9, (now - this.#start - this.#away) / 1000);
    const each = seconds / this.#steps;
    this.#secondsPerStep = this.#secondsPerStep === 0 ? each : 0.8 * this.#secondsPerStep + 0.2 * each;
    const tokensPerSecond = this.#tokens / seconds;
    this.#tokens = 0;
    this.#steps = 0;
    this.#away = 0;
    this.#start = now;
    return { tokensPerSecond, secondsLeft: stepsLeft * this.#secondsPerStep };
  }

  /** Runs `f` with the watch stopped. */
  async pause<T>(f: () => T | Promise<T>): Promise<T> {
    const start = performance.now();
    try {
      return await f();
    } finally {
      this.#away += performance.now() - start;
    }
  }
}
