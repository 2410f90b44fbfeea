/**
 * Which operations may raise an error because of the numbers they are given: those by index, where an index is outside.
 *
 * What a function changes only after such an operation must not be changed before it, nor in one go with it.
 *
 * @module
 */
import type { View } from "../../backends/contract.ts";
import { isLasting, lookAtDivisor, type Step, type Value, valueOf, writesOf } from "./value.ts";

/** The elements that a view reads, in any order and however often, as text. */
function elementsOf({ dtype, shape, strides, offset }: View): string {
  const axes: [size: number, stride: number][] = [];
  shape.forEach((size, i) => {
    if (size === 1 || strides[i] === 0) return;
    const last = axes.at(-1);
    if (last && last[1] === size * strides[i]) axes[axes.length - 1] = [last[0] * size, strides[i]];
    else axes.push([size, strides[i]]);
  });
  return `${dtype} ${offset} ${axes}`;
}

/** The steps that may fail for what they read, of devices that say so at once. */
export function mayFail(steps: readonly Step[]): Set<Step> {
  const found = new Set<Step>();
  // The least size that an index was compared with, by what it reads.
  const known = new Map<Value, Map<string, number>>();
  for (const step of steps) {
    const { operation: { name }, args, backend } = step;
    if (step.operation === lookAtDivisor) found.add(step);
    else if ((name === "gather" || name === "scatter") && backend.mapped) {
      const [view, axis, index] = name === "gather"
        ? [args[0], args[1], args[2]] as [View, number, View]
        : [args[1], args[2], args[3]] as [View, number, View];
      const value = valueOf(index), key = elementsOf(index), size = view.shape[axis];
      const least = known.get(value)?.get(key) ?? Infinity;
      if (size < least && value.source.kind !== "constant") {
        found.add(step);
        if (!known.has(value)) known.set(value, new Map());
        known.get(value)!.set(key, size);
      }
    }
    for (const value of writesOf(step)) known.delete(value);
  }
  return found;
}

/** The steps of {@link mayFail} behind which something is changed that outlives the run. */
export function mayFailBeforeChanges(steps: readonly Step[]): Set<Step> {
  const found = mayFail(steps);
  let changes = false;
  for (const step of [...steps].reverse()) {
    if (!changes) found.delete(step);
    changes ||= [...writesOf(step)].some(isLasting);
  }
  return found;
}
