/**
 * Changes to what outlives the run are made as soon as they can be: an optimizer's step on a parameter (and the look at its
 * gradient before) comes right behind its gradient, whose memory is then free, instead of all steps behind all gradients.
 *
 * @module
 */
import type { View } from "../../../backends/contract.ts";
import { blockValues, byteSize } from "../../../core/dtype.ts";
import { mayFail } from "../failing.ts";
import { isLasting, type Step, upload, type Value, valueOf, viewsOf, writesOf } from "../value.ts";

/** Bytes of a value, from the first to behind the last, that a step reads or writes. */
interface Use {
  readonly step: Step;
  readonly from: number;
  readonly to: number;
  readonly writes: boolean;
}

function useOf(step: Step, { dtype, shape, strides, offset }: View, writes: boolean): Use {
  let first = offset, last = offset;
  shape.forEach((size, axis) => {
    const reach = (size - 1) * strides[axis];
    if (reach < 0) first += reach;
    else last += reach;
  });
  const block = blockValues(dtype), end = block * Math.ceil((last + 1) / block);
  return { step, from: byteSize(dtype, block * Math.floor(first / block)), to: byteSize(dtype, end), writes };
}

/** What was done with each value so far. */
class Uses {
  readonly #uses = new Map<Value, Use[]>();

  /** The steps that `use` must come behind: what it reads was written there, or what it writes was read or written. */
  before(value: Value, use: Use): Step[] {
    const found: Step[] = [];
    for (const other of this.#uses.get(value) ?? []) {
      if ((use.writes || other.writes) && other.from < use.to && use.from < other.to) found.push(other.step);
    }
    return found;
  }

  add(value: Value, use: Use): void {
    const known = this.#uses.get(value) ?? [];
    // Who comes behind this one comes behind those as well.
    const open = use.writes ? known.filter(({ from, to }) => from < use.from || to > use.to) : known;
    this.#uses.set(value, [...open, use]);
  }
}

/**
 * Where a step goes: that of the step it comes behind, then its number among those that do. As in a book's chapters, what
 * begins alike but is longer comes later.
 */
type Place = readonly number[];

function isLater(a: Place, b: Place): boolean {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i] > b[i];
  return a.length > b.length;
}

/** `steps` with those that only write what outlives the run moved forward. */
export function asSoonAsPossible(steps: readonly Step[]): Step[] {
  const uses = new Uses(), places = new Map<Step, Place>(), behind = new Map<Step | null, number>();
  const failing = mayFail(steps);
  let mayHaveFailed: Step | null = null;
  const ordered = steps.map((step, i): { step: Step; place: Place } => {
    const own: [Value, Use][] = [];
    viewsOf(step, (view, role) => own.push([valueOf(view), useOf(step, view, role !== "reads")]));
    const moves = step.operation.name !== "random" && step.operation !== upload &&
      [...writesOf(step)].every(isLasting);
    let place: Place = [i];
    if (moves) {
      // What fails leaves everything behind it as it was.
      let anchor = mayHaveFailed, latest: Place = anchor ? places.get(anchor)! : [-1];
      for (const [value, use] of own) {
        for (const other of uses.before(value, use)) {
          const found = places.get(other)!;
          if (isLater(found, latest)) [anchor, latest] = [other, found];
        }
      }
      const count = behind.get(anchor) ?? 0;
      behind.set(anchor, count + 1);
      place = [...latest, count];
    }
    places.set(step, place);
    for (const [value, use] of own) uses.add(value, use);
    if (failing.has(step)) mayHaveFailed = step;
    return { step, place };
  });
  return ordered.sort((a, b) => isLater(a.place, b.place) ? 1 : -1).map(({ step }) => step);
}
