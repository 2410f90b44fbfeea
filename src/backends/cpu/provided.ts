/**
 * Kernels that come with the operation that uses them.
 *
 * The cpu device brings what every tensor can be asked for. The rest is large and not for everyone: `backends/kernels/`
 * names it, the operation imports it from there, and so a bundle that has no attention has no kernels for it either.
 *
 * @module
 */
import type { Backend, Kernels } from "../contract.ts";
import type { Engine } from "./engine.ts";

/** What comes later: optional kernels, and the primitive that few programs call. */
export type Provided = Partial<Kernels & Pick<Backend, "random">>;

/** Makes kernels for an engine. */
export type Provide = (engine: Engine) => Provided;

const provided: Provide[] = [];

/** From now on every cpu device, also one that is at work, has these. */
export function provideKernels(kernels: Provide): void {
  provided.push(kernels);
}

/** What was provided after the first `known`. */
export function providedSince(known: number): readonly Provide[] {
  return known === provided.length ? none : provided.slice(known);
}

const none: readonly Provide[] = [];
