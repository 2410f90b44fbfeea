/**
 * Folds of rows and what is computed of them as one kernel over rows: a softmax or a norm that is written in primitives reads a
 * row once and keeps it in the first cache.
 *
 * A fold along the last axis is taken into the elementwise step (or the next fold) of the same rows that reads its result, and
 * so is what comes before it element by element. What others read too is stored besides.
 *
 * @module
 */
import { mostRowBuffers, rowKernels } from "../../../backends/kernels/rows.ts";
import type { Epilogue, View } from "../../../backends/contract.ts";
import { operations } from "../../../backends/operations.ts";
import { type Step, type Value, valueOf } from "../value.ts";
import { mayMove } from "./fuse.ts";
import { Steps } from "./rewrite.ts";
import { extentOf, isWide, joined, rowProgramOf, rowStepOf } from "./row_step.ts";

function merge(all: Steps, from: number, to: number): boolean {
  const first = all.list[from]!, second = all.list[to]!, extent = extentOf(second) ?? extentOf(first);
  if (!extent || first.backend !== second.backend) return false;
  const a = rowStepOf(first, extent), b = a && rowStepOf(second, extent);
  if (!a || !b || a.folds.length + b.folds.length === 0) return false;
  if (!mayMove(all, from, to, a.outputs.map(({ view }) => view))) return false;
  const both = joined(a, b, (view) => all.isWantedBeside(valueOf(view), from, to));
  if (!both) return false;
  const { inputs, scalars, outputs } = both, views = outputs.map(({ view }) => view);
  const buffers = new Set([...inputs, ...views].map(valueOf));
  if (buffers.size > mostRowBuffers(second.backend)) return false;
  if (![...inputs, ...views].some(isWide)) return false;
  // What is stored here is not what a narrow output's expression may see of the row.
  const program = rowProgramOf(both);
  all.set(from, null);
  all.set(to, { ...second, operation: operations.get("rows")!, args: [program, inputs, scalars, views] });
  return true;
}

/** `steps` with folds of rows and what belongs to them in one. */
export function fuseRows(steps: readonly Step[], kept: ReadonlySet<Value>): Step[] {
  const all = new Steps(steps, kept);
  for (let at = 0; at < all.list.length; at++) {
    for (let changed = true; changed;) {
      const step = all.list[at];
      changed = false;
      if (!step || !rowKernels(step.backend).rows) break;
      const { name } = step.operation;
      if (name !== "elementwise" && name !== "reduce" && name !== "rows") break;
      const read = new Set<number>();
      for (const view of [...step.args[name === "reduce" ? 2 : 1] as View[], ...epilogueInputs(step)]) {
        let latest = -1;
        for (const writer of all.writers(valueOf(view))) if (writer < at) latest = Math.max(latest, writer);
        if (latest >= 0) read.add(latest);
      }
      changed = [...read].sort((x, y) => y - x).some((from) => merge(all, from, at));
    }
  }
  return all.steps();
}

function epilogueInputs({ operation, args }: Step): readonly View[] {
  return operation.name === "reduce" ? (args[6] as Epilogue | undefined)?.inputs ?? [] : [];
}
