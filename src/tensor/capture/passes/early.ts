/**
 * Changes to what outlives the run are made as soon as they can be: an optimizer's step on a parameter comes right behind its
 * gradient, whose memory is then free, instead of all steps behind all gradients.
 *
 * @module
 */
import { isLasting, readsOf, type Step, type Value, writesOf } from "../value.ts";

/** `steps` with those that only write what outlives the run moved forward. */
export function asSoonAsPossible(steps: readonly Step[]): Step[] {
  const result: Step[] = [], lastWrite = new Map<Value, Step>(), lastUse = new Map<Value, Step>();
  const behind = new Map<Step, Step[]>(), first: Step[] = [], place = new Map<Step, number>();
  steps.forEach((step, i) => place.set(step, i));
  for (const step of steps) {
    const reads = readsOf(step), writes = writesOf(step);
    const before = [...reads].map((value) => lastWrite.get(value)).concat(
      [...writes].map((value) => lastUse.get(value)),
    );
    const anchor = before.reduce(
      (latest, one) => one && (!latest || place.get(one)! > place.get(latest)!) ? one : latest,
      undefined,
    );
    const moves = step.operation.name === "elementwise" && [...writes].every(isLasting);
    if (!moves) result.push(step);
    else if (anchor) {
      behind.set(anchor, [...behind.get(anchor) ?? [], step]);
      // Where it goes, for those that come after it.
      place.set(step, place.get(anchor)! + 0.5);
    } else first.push(step);
    for (const value of writes) {
      lastWrite.set(value, step);
      lastUse.set(value, step);
    }
    for (const value of reads) {
      const known = lastUse.get(value);
      if (!known || place.get(known)! <= place.get(step)!) lastUse.set(value, step);
    }
  }
  const out: Step[] = [];
  const put = (step: Step): void => {
    out.push(step);
    behind.get(step)?.forEach(put);
  };
  [...first, ...result].forEach(put);
  return out;
}
