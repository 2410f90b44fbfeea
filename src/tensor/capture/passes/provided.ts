/**
 * Passes that come with the devices which have a use for them.
 *
 * @module
 */
import type { Step, Value } from "../value.ts";

/** A pass: `kept` are values that the run gives back. */
export type Pass = (steps: readonly Step[], kept: ReadonlySet<Value>) => Step[];

const provided = new Map<string, Pass>();

/** From now on this pass is run behind those that fuse. */
export function providePass(name: string, pass: Pass): void {
  provided.set(name, pass);
}

/** Those that came so far, in their order. */
export function providedPasses(): readonly (readonly [name: string, pass: Pass])[] {
  return [...provided];
}
