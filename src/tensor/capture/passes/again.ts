/**
 * Memory for a little time: a result that lies about while memory is scarcest, waiting for the way back, is computed again
 * when it is wanted, where what it is computed from is there anyway. That is done with what costs little beside the products
 * that read it: what is computed element by element, and norms.
 *
 * @module
 */
import type { View } from "../../../backends/contract.ts";
import { elementwiseOf, isWhole, mapViews, readsOf, type Step, Value, valueOf, writesOf } from "../value.ts";
import { Steps } from "./rewrite.ts";

/** Smaller ones are not worth it. */
const leastBytes = 1 << 16;

/** The result of a step that may be done twice; null for one that costs too much, or has several. */
function resultOf(step: Step): View | null {
  const parts = elementwiseOf(step), { operation: { name, parameters }, args } = step;
  if (parts) return parts.outputs.length === 1 ? parts.outputs[0] : null;
  if (name !== "layerNorm" && name !== "rmsNorm") return null;
  return args[parameters.findIndex((parameter) => parameter.name === "out")] as View;
}

/** First and last use of every temporary. */
function livesOf(
  steps: readonly Step[],
  kept: ReadonlySet<Value>,
): Map<Value, { first: number; last: number }> {
  const lives = new Map<Value, { first: number; last: number }>();
  steps.forEach((step, i) => {
    for (const value of [...readsOf(step), ...writesOf(step)]) {
      if (value.source.kind !== "temporary") continue;
      const life = lives.get(value);
      if (life) life.last = kept.has(value) ? steps.length : i;
      else lives.set(value, { first: i, last: kept.has(value) ? steps.length : i });
    }
  });
  return lives;
}

/** The step at which most memory is needed. */
function scarcest(
  steps: readonly Step[],
  lives: ReadonlyMap<Value, { first: number; last: number }>,
): number {
  const change = new Float64Array(steps.length + 2);
  for (const [value, { first, last }] of lives) {
    change[first] += value.byteLength;
    change[last + 1] -= value.byteLength;
  }
  let now = 0, most = -1, at = 0;
  for (let i = 0; i < steps.length; i++) {
    now += change[i];
    if (now > most) [most, at] = [now, i];
  }
  return at;
}

/** `steps` with large elementwise results computed again behind the place where memory is scarcest. */
export function computeAgain(steps: readonly Step[], kept: ReadonlySet<Value>): Step[] {
  let now = [...steps], id = 0;
  for (const step of steps) for (const value of writesOf(step)) id = Math.max(id, value.id);
  const done = new Set<Value>();
  // The scarcest place moves as memory is saved.
  for (let round = 0; round < 8; round++) {
    const all = new Steps(now, kept), lives = livesOf(now, kept), peak = scarcest(now, lives);
    const before = new Map<number, Step[]>(), moved = new Map<Value, { from: number; to: Value }>();
    now.forEach((step, at) => {
      const view = resultOf(step);
      if (!view || at >= peak) return;
      const value = valueOf(view), life = lives.get(value);
      if (
        !life || done.has(value) || value.byteLength < leastBytes || !isWhole(view) ||
        all.onlyWriter(value) !== at
      ) return;
      const readers = [...all.readers(value)].sort((a, b) => a - b),
        next = readers.find((reader) => reader > peak);
      if (
        next === undefined || readers.includes(peak) || kept.has(value) ||
        readers.some((reader) => reader <= at)
      ) return;
      // What it is computed from is there still, as it was, and for its own sake.
      const isThere = [...readsOf(step)].every((from) => {
        const own = lives.get(from);
        return !moved.has(from) && !all.isWrittenBetween(from, at, next) && (!own || own.last >= next);
      });
      if (!isThere) return;
      const copy = (of: Value): Value => {
        const made = new Value(++id, of.backend, of.byteLength, { kind: "temporary" });
        done.add(of).add(made);
        return made;
      };
      const to = copy(value);
      moved.set(value, { from: next, to });
      // What else a norm gives is there from the first time.
      const again = mapViews(step, (v, role) => {
        if (role !== "writes") return v;
        return { ...v, buffer: valueOf(v) === value ? to : copy(valueOf(v)) };
      });
      before.set(next, [...before.get(next) ?? [], again]);
    });
    if (!moved.size) break;
    now = now.flatMap((step, i) => [
      ...before.get(i) ?? [],
      mapViews(step, (view) => {
        const other = moved.get(valueOf(view));
        return other && i >= other.from ? { ...view, buffer: other.to } : view;
      }),
    ]);
  }
  return now;
}
