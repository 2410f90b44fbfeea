/**
 * Long work in one thread, without deafness: a turn of the event loop now and then lets timers, interrupts and
 * streams be heard, where promises that resolve at once never would.
 *
 * @module
 */

import { turn } from "./turn.ts";

/** A function to call often in long work: it waits one turn of the event loop when the last was `longest` ms ago, or so many. */
export function breather(longest = 50): (milliseconds?: number) => Promise<void> {
  let last = performance.now();
  return async (milliseconds = longest) => {
    if (performance.now() - last < milliseconds) return;
    await turn();
    last = performance.now();
  };
}
