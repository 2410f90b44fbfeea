/**
 * Whether a program for one number is one for another: a trace with the other itself shows it.
 *
 * @module
 */
import type { Storage } from "../storage.ts";
import { describeTrace } from "./describe.ts";
import type { Form } from "./form.ts";
import type { Trace } from "./trace.ts";
import type { Leaf } from "./tree.ts";

/** New numbers of which each is looked at, where the text of a function makes it likely that it hands them on. */
const firstLooks = 16;

function numberForm(form: Form, i: number): number | null {
  const own = form.leaves[i];
  return own.kind === "number" ? own.value : null;
}

/** Numbers that a program is not for alone, with their places: all, or those that JavaScript likely treats in a way of their own. */
export function numbersOf(leaves: readonly Leaf[], form: Form | null, all: boolean): string {
  const found: string[] = [];
  leaves.forEach((leaf, i) => {
    if (typeof leaf !== "number" || (form && numberForm(form, i) !== null)) return;
    if (all || isSpecial(leaf)) found.push(`${i}:${Object.is(leaf, -0) ? "-0" : leaf}`);
  });
  return found.join();
}

/** Numbers that JavaScript code is likely to treat in a way of their own. */
function isSpecial(x: unknown): boolean {
  return typeof x === "number" && (x === 0 || x === 1 || x === -1 || !Number.isFinite(x));
}

/** Whether a trace with the numbers of `leaves` as they are does what `bound` does with them. */
export function doSame(plain: Trace, bound: Trace, leaves: readonly Leaf[]): boolean {
  if (describe(plain, leaves, null) !== describe(bound, leaves, leaves)) return false;
  // Two tensors from outside are not the same because they are alike; state that each trace made for itself is.
  const outside = ({ captured, storagesBefore }: Trace): (Storage | null)[] =>
    captured.map(({ source }) => {
      const { storage } = source as { storage: Storage };
      return storage.number < storagesBefore ? storage : null;
    });
  const own = outside(plain), others = outside(bound);
  return own.every((storage, i) => !storage || !others[i] || storage === others[i]);
}

/** Whether the `count`-th number is looked at though it is likely only handed on: the first ones, then at every power of two. */
export function isLooked(count: number): boolean {
  return count <= firstLooks || (count & (count - 1)) === 0;
}

/** What a trace does, as text; numbers that are arguments show as what `leaves` holds. */
function describe(trace: Trace, leaves: readonly Leaf[], bound: readonly Leaf[] | null): string {
  const number = (x: unknown): string => {
    if (typeof x !== "object" || x === null) return Object.is(x, -0) ? "-0" : String(x);
    const { index } = x as { index: number };
    if (index < trace.numberArguments.length) return String((bound ?? leaves)[trace.numberArguments[index]]);
    return `host ${index}`;
  };
  return describeTrace(trace, number);
}
