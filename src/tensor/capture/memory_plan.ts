/**
 * One plan of memory: which temporaries lie in the same place, because they are never needed at the same time.
 *
 * Places are shared objects rather than parts of one block, so that a device sees each as memory of its own. The largest
 * values choose first, each the place that wastes least (Pisarchyk, Lee: "Efficient memory management for deep neural net
 * inference", 2020, "greedy by size for shared objects").
 *
 * @module
 */
import type { Backend, View } from "../../backends/contract.ts";
import { elementwiseOf, readsOf, sameLayout, type Step, type Value, valueOf, writesOf } from "./value.ts";

/** A piece of memory that several values take turns in. */
export interface Place {
  /** The device. */
  readonly backend: Backend;
  /** Its size. */
  byteLength: number;
}

/** Where every temporary lies, and how much that takes. */
export interface MemoryPlan {
  /** The place of each temporary. */
  readonly places: ReadonlyMap<Value, Place>;
  /** All places. */
  readonly all: readonly Place[];
  /** Bytes of all places together. */
  readonly peak: number;
  /** Most bytes of temporaries that are needed at once: no plan takes less. */
  readonly lowerBound: number;
}

interface Life {
  readonly value: Value;
  readonly first: number;
  last: number;
}

/** Lives of the temporaries of `steps`; what is in `lasting` lives to the end. */
function livesOf(steps: readonly Step[], lasting: ReadonlySet<Value>): Life[] {
  const lives = new Map<Value, Life>();
  steps.forEach((step, i) => {
    for (const value of [...readsOf(step), ...writesOf(step)]) {
      if (value.source.kind !== "temporary") continue;
      const life = lives.get(value);
      if (life) life.last = i;
      else lives.set(value, { value, first: i, last: i });
    }
  });
  for (const life of lives.values()) if (lasting.has(life.value)) life.last = steps.length;
  return [...lives.values()];
}

/** A step over rows reads all of a row before it writes it. */
function rowsOf({ operation, args }: Step): { inputs: readonly View[]; outputs: readonly View[] } | null {
  return operation.name === "rows" ? { inputs: args[1] as View[], outputs: args[3] as View[] } : null;
}

/** The value that an elementwise step may write its output over, because it is read there for the last time. */
function overwritten(step: Step, at: number, lives: ReadonlyMap<Value, Life>): [Value, Value][] {
  const parts = elementwiseOf(step) ?? rowsOf(step), pairs: [Value, Value][] = [];
  if (!parts) return pairs;
  // What the step itself changes in place has its place already.
  const taken = writesOf(step);
  for (const output of parts.outputs) {
    const to = valueOf(output), own = lives.get(to);
    if (!own || own.first !== at || readsOf(step).has(to)) continue;
    const from = parts.inputs.find((view) => {
      const value = valueOf(view), life = lives.get(value);
      const alone = parts.inputs.every((other) =>
        other === view || other.buffer !== view.buffer || same(other, view)
      );
      return life && life.last === at && !taken.has(value) && alone && value.byteLength === to.byteLength &&
        same(view, output);
    });
    if (!from) continue;
    taken.add(valueOf(from));
    pairs.push([to, valueOf(from)]);
  }
  return pairs;
}

function same(a: Parameters<typeof sameLayout>[0], b: Parameters<typeof sameLayout>[0]): boolean {
  return a.dtype === b.dtype && a.offset === b.offset && sameLayout(a, b);
}

/**
 * A plan for the temporaries of `steps` but those in `elsewhere`. Those in `lasting` are not overwritten before the run ends.
 */
export function planMemory(
  steps: readonly Step[],
  lasting: ReadonlySet<Value>,
  elsewhere: ReadonlySet<Value>,
): MemoryPlan {
  const lives = livesOf(steps, lasting).filter(({ value }) => !elsewhere.has(value)),
    byValue = new Map(lives.map((life) => [life.value, life]));
  // Values that take one another's place in turn count as one, with one long life.
  const leader = new Map<Value, Value>();
  const leaderOf = (value: Value): Value => {
    const up = leader.get(value);
    return up === undefined ? value : leaderOf(up);
  };
  steps.forEach((step, i) => {
    for (const [to, from] of overwritten(step, i, byValue)) leader.set(to, leaderOf(from));
  });
  const groups = new Map<Value, { value: Value; first: number; last: number }>();
  for (const { value, first, last } of lives) {
    const head = leaderOf(value), group = groups.get(head);
    if (!group) groups.set(head, { value: head, first, last });
    else {
      group.first = Math.min(group.first, first);
      group.last = Math.max(group.last, last);
    }
  }
  const ordered = [...groups.values()].sort((a, b) =>
    b.value.byteLength - a.value.byteLength || a.first - b.first
  );
  const all: (Place & { taken: { first: number; last: number }[] })[] = [], placeOf = new Map<Value, Place>();
  for (const { value, first, last } of ordered) {
    const { backend, byteLength } = value;
    let best: typeof all[number] | null = null;
    for (const place of all) {
      if (place.backend !== backend || place.taken.some((t) => t.first <= last && first <= t.last)) continue;
      if (!best || place.byteLength < best.byteLength) best = place;
    }
    if (!best) all.push(best = { backend, byteLength, taken: [] });
    best.taken.push({ first, last });
    placeOf.set(value, best);
  }
  const places = new Map(lives.map(({ value }) => [value, placeOf.get(leaderOf(value))!]));
  return {
    places,
    all,
    peak: all.reduce((sum, { byteLength }) => sum + byteLength, 0),
    lowerBound: lowerBoundOf(steps, [...groups.values()]),
  };
}

function lowerBoundOf(
  steps: readonly Step[],
  groups: readonly { value: Value; first: number; last: number }[],
): number {
  const change = new Float64Array(steps.length + 2);
  for (const { value, first, last } of groups) {
    change[first] += value.byteLength;
    change[last + 1] -= value.byteLength;
  }
  let now = 0, most = 0;
  for (const delta of change) most = Math.max(most, now += delta);
  return most;
}
