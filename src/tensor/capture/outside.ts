/**
 * Gradients that are taken outside of a compiled function: which results they go through, and what computing it again needs to be
 * as it was.
 *
 * @module
 */
import { CaptureError } from "../../core/errors.ts";
import type { Storage } from "../storage.ts";
import type { TapeNode } from "../tape.ts";
import type { HostState } from "./gate.ts";
import { ResultTensor, type Trace } from "./trace.ts";
import { mapTree } from "./tree.ts";
import type { Value } from "./value.ts";

/** A result that gradients go through: its place among the results, to which arguments, and what on the tape outside. */
export interface Lead {
  /** The place. */
  readonly at: number;
  /** Places of arguments. */
  readonly to: readonly number[];
  /** What is on the tape outside. */
  readonly outside: readonly TapeNode[];
}

/** The results of a trace that gradients go through. */
export function leadsOf(trace: Trace): Lead[] {
  const found: Lead[] = [];
  let at = 0;
  mapTree(trace.result, (leaf) => {
    if (!(leaf instanceof ResultTensor)) return leaf;
    const { gradientTo: to, gradientToOutside: outside } = leaf;
    if (to.length || outside.length) found.push({ at, to, outside });
    at++;
    return leaf;
  });
  return found;
}

/** What a run changes in JavaScript. */
export function statesOf({ host }: Trace): HostState[] {
  return [...new Set(host.flatMap(({ state }) => state ?? []))];
}

/** Runs `f` with `states` as they were. */
export function withStates<T>(states: readonly HostState[], were: readonly unknown[], f: () => T): T {
  const now = states.map((state) => state.get());
  states.forEach((state, i) => state.set(were[i]));
  try {
    return f();
  } finally {
    states.forEach((state, i) => state.set(now[i]));
  }
}

/** How often a tensor that is closed over was changed. */
export function versionOf({ source }: Value): number {
  return (source as { storage: Storage }).storage.version;
}

/** @throws {CaptureError} where a function computed again would not compute the same. */
export function demandUnchanged({ captured, guards }: Trace, versions: readonly number[]): void {
  const changed = captured.find((value, i) => versionOf(value) !== versions[i]);
  if (!changed && guards.every(({ read, was }) => Object.is(read(), was))) return;
  const what = changed
    ? `a tensor that ${(changed.source as { storage: Storage }).storage.madeBy} made`
    : "the form of something (a module's mode, an exchanged parameter)";
  throw new CaptureError(
    `the gradient of a compiled function computes it again, and ${what}, which it closes over, was changed since: take the ` +
      "gradient before, or inside of the function",
  );
}
