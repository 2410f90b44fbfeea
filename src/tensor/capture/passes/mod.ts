/**
 * The passes, in their order. Each takes a list of steps and gives one that does the same.
 *
 * @module
 */
import type { Step, Value } from "../value.ts";
import { computeAgain } from "./again.ts";
import { withoutRepeats } from "./common.ts";
import { foldConstants } from "./constants.ts";
import { throughCopies } from "./copies.ts";
import { withoutDead } from "./dead.ts";
import { asSoonAsPossible } from "./early.ts";
import { fuseAsEpilogues } from "./epilogues.ts";
import { fuseElementwise, fuseIntoReductions } from "./fuse.ts";
import { packWeights } from "./layout.ts";
import { repeatCheap } from "./repeat.ts";
import { fuseRows } from "./rows.ts";

/** A pass: `kept` are values that the run gives back. */
export type Pass = (steps: readonly Step[], kept: ReadonlySet<Value>) => Step[];

/** What a pass did. */
export interface PassReport {
  /** Its name. */
  readonly name: string;
  /** Steps before. */
  readonly before: number;
  /** What it left. */
  readonly steps: readonly Step[];
}

const passes: [name: string, pass: Pass][] = [
  ["dead code", withoutDead],
  ["constants", foldConstants],
  ["common subexpressions", withoutRepeats],
  ["copies read at their source", throughCopies],
  ["dead code again", withoutDead],
  ["cheap ones repeated", repeatCheap],
  ["elementwise chains", fuseElementwise],
  ["into reductions", fuseIntoReductions],
  ["as epilogues", fuseAsEpilogues],
  ["over rows", fuseRows],
  ["as soon as possible", asSoonAsPossible],
  ["computed again", computeAgain],
  ["weights in order", packWeights],
];

/** Puts a pass behind the one named `after`; those that few devices have a use for come with these. */
export function providePass(name: string, pass: Pass, after: string): void {
  if (passes.some(([known]) => known === name)) return;
  passes.splice(passes.findIndex(([known]) => known === after) + 1, 0, [name, pass]);
}

/** Runs all passes; none where `plain`. */
export function runPasses(
  steps: readonly Step[],
  kept: ReadonlySet<Value>,
  plain: boolean,
): { steps: Step[]; reports: PassReport[] } {
  let now = [...steps];
  const reports: PassReport[] = [];
  if (plain) return { steps: now, reports };
  for (const [name, pass] of passes) {
    const before = now.length;
    now = pass(now, kept);
    reports.push({ name, before, steps: now });
  }
  return { steps: now, reports };
}
