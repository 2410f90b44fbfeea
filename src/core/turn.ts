/**
 * Turns of the event loop, one for each who waits: timers, interrupts and connections are heard between any two of them, so
 * that what several do in slices never adds up to one long slice.
 *
 * @module
 */

declare const setImmediate: ((f: () => void) => unknown) | undefined;

/**
 * Milliseconds after which a turn is a timer's. That takes a millisecond or more, which is long beside a slice, but between two
 * that take nothing not every runtime looks at its connections.
 */
const longest = 8;
let heard = 0;

/** Calls `f` in the next turn. */
function soon(f: () => void): void {
  if (typeof setImmediate === "function" && performance.now() - heard < longest) return void setImmediate(f);
  setTimeout(() => {
    heard = performance.now();
    f();
  }, 0);
}

const waiting: (() => void)[] = [];

function next(): void {
  const resume = waiting.shift();
  if (waiting.length > 0) soon(next);
  resume?.();
}

/** One turn of the event loop, which nobody else who waits for one has. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    if (waiting.push(resolve) === 1) soon(next);
  });
}
