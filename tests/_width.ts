/**
 * How wide a campaign of seeded cases is on this runtime.
 *
 * What asks no runtime for anything computes the same on all of them, but for faults of their engines. So its campaigns have
 * their full width on Deno, and on the others a short form: the first of the same seeds, every kind of case among them. With
 * `FERROTYPE_WIDTH=full` they are full everywhere; `run.ts` says so to the first runtime where there is no Deno.
 *
 * @module
 */
import process from "node:process";
import { runtimeName } from "../src/platform/platform.ts";

/** Whether campaigns have their full width here. */
export const isFull: boolean = runtimeName() === "deno" || process.env.FERROTYPE_WIDTH === "full";

/** `full` where campaigns have their full width, else `short`. */
export function width<T>(full: T, short: T): T {
  return isFull ? full : short;
}

/** For the `skip` of a test that judges what is learned or lost, which no engine has a part in: it runs where campaigns are full. */
export const judgedOnce: string | false = isFull ? false : "what is learned and lost is judged once, on Deno";

/** For the `skip` of a test that asks its runtime for nothing, in a file whose others do (`_asks.ts` judges files). */
export const asksNothing: string | false = isFull
  ? false
  : "asks nothing of its runtime, in a file whose other tests do: done once, on Deno";
