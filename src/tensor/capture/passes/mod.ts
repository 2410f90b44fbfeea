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
import { type Pass, providedPasses } from "./provided.ts";
import { repeatCheap } from "./repeat.ts";
import { fuseRows } from "./rows.ts";

/** What a pass did. */
export interface PassReport {
  /** Its name. */
  readonly name: string;
  /** Steps before. */
  readonly before: number;
  /** What it left. */
  readonly steps: readonly Step[];
}

const fusing: readonly (readonly [name: string, pass: Pass])[] = [
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
];

const placing: typeof fusing = [
  ["as soon as possible", asSoonAsPossible],
  ["computed again", computeAgain],
  ["weights in order", packWeights],
];

/** Runs all passes; none where `plain`. */
export function runPasses(
  steps: readonly Step[],
  kept: ReadonlySet<Value>,
  plain: boolean,
): { steps: Step[]; reports: PassReport[] } {
  let now = [...steps];
  const reports: PassReport[] = [];
  if (plain) return { steps: now, reports };
  for (const [name, pass] of [...fusing, ...providedPasses(), ...placing]) {
    const before = now.length;
    now = pass(now, kept);
    reports.push({ name, before, steps: now });
  }
  return { steps: now, reports };
}
