/**
 * Algebra of copies: a copy that only brings elements in order is read at its source instead.
 *
 * So a transpose goes into the product that reads it, and casts to the dtype that is there and reshapes that had to copy
 * are no work.
 *
 * @module
 */
import type { View } from "../../../backends/contract.ts";
import { isContiguous } from "../../../core/shape.ts";
import { elementwiseOf, mapViews, type Step, type Value, valueOf, viewsOf } from "../value.ts";
import { Steps } from "./rewrite.ts";

/** Operations that read any strides at no great cost. */
const anyStrides = new Set<string>(["elementwise", "reduce", "matmul"]);

/** Strides of `view`, which looks at `to` with its axes in any order, over `from`, which `to` is a copy of; null where there are none. */
function stridesAt(view: View, from: View, to: View): number[] | null {
  const strides: number[] = [];
  for (const [axis, size] of view.shape.entries()) {
    const step = view.strides[axis],
      same = to.shape.findIndex((n, k) => n === size && to.strides[k] === step);
    if (size === 1 || step === 0) strides.push(0);
    else if (same >= 0) strides.push(from.strides[same]);
    else return null;
  }
  return strides;
}

/** `steps` with copies read at their source. What is no longer read is left to the dead-code pass. */
export function throughCopies(steps: readonly Step[], kept: ReadonlySet<Value>): Step[] {
  const all = new Steps(steps, kept);
  for (let at = 0; at < all.list.length; at++) {
    const step = all.list[at], parts = step && elementwiseOf(step);
    if (!parts || parts.inputs.length !== 1 || parts.outputs.length !== 1) continue;
    const [from] = parts.inputs, [to] = parts.outputs, [expr] = parts.program.outputs;
    if (expr.kind !== "input" || from.dtype !== to.dtype) continue;
    const copied = valueOf(to), source = valueOf(from);
    if (source === copied || all.onlyWriter(copied) !== at || kept.has(copied)) continue;
    const readers = [...all.readers(copied)];
    const isPlain = isContiguous(from.shape, from.strides) && isContiguous(to.shape, to.strides);
    const moved = (view: View): View | null => {
      if (view.dtype !== to.dtype) return null;
      if (isPlain) return { ...view, buffer: from.buffer, offset: view.offset - to.offset + from.offset };
      if (readers.length !== 1 || view.offset !== to.offset) return null;
      const strides = stridesAt(view, from, to);
      return strides && { ...view, buffer: from.buffer, offset: from.offset, strides };
    };
    for (const reader of readers) {
      const reading = all.list[reader]!;
      if (reader <= at || (!isPlain && !anyStrides.has(reading.operation.name))) continue;
      // What is read there must still be what was copied.
      if (
        all.writers(source).size && [...all.writers(source)].some((place) => place > at && place <= reader)
      ) continue;
      let fits = true;
      viewsOf(reading, (view, role) => {
        if (view.buffer !== to.buffer) return;
        if (role !== "reads" || !moved(view)) fits = false;
      });
      if (!fits) continue;
      all.set(reader, mapViews(reading, (view) => view.buffer === to.buffer ? moved(view)! : view));
    }
  }
  return all.steps();
}
