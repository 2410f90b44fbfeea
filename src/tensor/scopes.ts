/**
 * The scopes that are open: each remembers the tensors and tape entries made in it. `lifetime.ts` opens and closes them.
 *
 * @module
 */
import type { TensorBase } from "./base.ts";
import type { TapeNode } from "./tape.ts";

/** What is made while a `tidy` is open. */
export interface Scope {
  tensors: TensorBase[];
  nodes: TapeNode[];
  /** How many tape entries there had been when it was opened. */
  start: number;
}

/** Those that are open, the innermost last. */
export const scopes: Scope[] = [];
let nodesMade = 0;

/** Puts a new tensor under the care of the innermost scope; false where there is none. */
export function track(tensor: TensorBase): boolean {
  if (!scopes.length) return false;
  scopes[scopes.length - 1].tensors.push(tensor);
  return true;
}

/** Whether there is a scope now. */
export function isScopeOpen(): boolean {
  return scopes.length > 0;
}

/** The number of a new tape entry: entries count up, so none leads to one with a higher number. */
export function numberNode(): number {
  return ++nodesMade;
}

/** How many tape entries there have been. */
export function nodesSoFar(): number {
  return nodesMade;
}

/** Puts a new tape entry under the care of the innermost scope. */
export function trackNode(node: TapeNode): void {
  if (scopes.length) scopes[scopes.length - 1].nodes.push(node);
}
