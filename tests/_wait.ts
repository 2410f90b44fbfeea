/**
 * Waiting for what must come, and a clock and timers that a test moves.
 *
 * No test measures time: it would pass on a quiet machine and fail on a busy one. What is waited for has a deadline only
 * because a hang should end some day; speed is measured by `bench`, and by `tests/web_report.ts` for the pages.
 *
 * @module
 */
import { fail } from "@std/assert";

/** How long a test waits for what must come, in milliseconds: far longer than it takes on any machine. */
export const patience = 300_000;

/** Waits until `isTrue`, which is asked every so many milliseconds; `what` says what should have come. */
export async function until(
  isTrue: () => boolean | Promise<boolean>,
  what: string,
  every = 5,
): Promise<void> {
  const end = Date.now() + patience;
  while (!await isTrue()) {
    if (Date.now() > end) fail(`did not come within ${patience / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

/** Stops `performance.now` until it is disposed; what it tells then changes by `advance` alone. */
export function stopClock(): { advance(milliseconds: number): void; [Symbol.dispose](): void } {
  const running = performance.now;
  let now = running.call(performance);
  performance.now = () => now;
  return {
    advance(milliseconds) {
      now += milliseconds;
    },
    [Symbol.dispose]() {
      performance.now = running;
    },
  };
}

/** Timers of one length that wait to be fired. */
export interface HeldTimers {
  /** How many are set now. */
  readonly waiting: number;
  /** Fires those that are set now. */
  fire(): void;
  /** Has timers of this length run by themselves again. */
  [Symbol.dispose](): void;
}

/** Holds every timer of exactly `milliseconds` until it is fired; others run as ever. */
export function holdTimers(milliseconds: number): HeldTimers {
  const { setTimeout: set, clearTimeout: clear } = globalThis;
  const held = new Map<object, () => void>();
  globalThis.setTimeout = ((f: () => void, delay?: number, ...rest: unknown[]) => {
    if (delay !== milliseconds) return set(f, delay, ...rest);
    const id = {};
    held.set(id, f);
    return id;
  }) as unknown as typeof set;
  globalThis.clearTimeout = ((id: object) => {
    if (!held.delete(id)) clear(id as unknown as number);
  }) as unknown as typeof clear;
  return {
    get waiting() {
      return held.size;
    },
    fire() {
      const due = [...held.values()];
      held.clear();
      for (const f of due) f();
    },
    [Symbol.dispose]() {
      Object.assign(globalThis, { setTimeout: set, clearTimeout: clear });
    },
  };
}
