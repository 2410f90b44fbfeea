/**
 * Common subexpressions: what was computed already, from the same, is not computed again.
 *
 * @module
 */
import type { Epilogue, View } from "../../../backends/contract.ts";
import { type DynamicNumber, isDynamic } from "../../../core/number.ts";
import { mapViews, readsOf, type Step, type Value, valueOf, viewsOf, writesOf } from "../value.ts";
import { Steps } from "./rewrite.ts";

/** `steps` without those that repeat an earlier one. */
export function withoutRepeats(steps: readonly Step[], kept: ReadonlySet<Value>): Step[] {
  const all = new Steps(steps, kept), versions = new Map<Value, number>(), known = new Map<string, Step>();
  const instead = new Map<Value, Value>(), result: Step[] = [];
  for (const [at, given] of steps.entries()) {
    const step = mapViews(given, (view) => {
      const other = instead.get(valueOf(view));
      return other ? { ...view, buffer: other } : view;
    });
    const written = [...writesOf(step)];
    const isPure = step.operation.name !== "random" && written.every((value) =>
      all.onlyWriter(value) === at
    ) &&
      !written.some((value) => readsOf(step).has(value) || kept.has(value));
    if (isPure) {
      const key = keyOf(step, versions), before = key === null ? undefined : known.get(key);
      const sources = before && [...writesOf(before)];
      if (before && sources && sources.length === written.length) {
        written.forEach((value, i) => instead.set(value, sources[i]));
        continue;
      }
      if (key !== null) known.set(key, step);
    }
    for (const value of written) versions.set(value, (versions.get(value) ?? 0) + 1);
    result.push(step);
  }
  return result;
}

/** A step as text, all but where it writes; null for one whose arguments say nothing certain. */
function keyOf(step: Step, versions: ReadonlyMap<Value, number>): string | null {
  let isCertain = true;
  const one = (x: unknown): string => {
    if (x === null || x === undefined) return "";
    if (isDynamic(x)) return `n${(x as unknown as DynamicNumber).index}`;
    if (Array.isArray(x)) return `[${x.map(one).join()}]`;
    if (typeof x === "function" || x instanceof Uint8Array) {
      isCertain = false;
      return "";
    }
    if (typeof x !== "object") return Object.is(x, -0) ? "-0" : String(x);
    if ("buffer" in x) {
      const { dtype, shape, strides, offset } = x as View, value = valueOf(x as View);
      return `v${value.id}.${versions.get(value) ?? 0} ${dtype} ${shape} ${strides} ${offset}`;
    }
    if ("key" in x) return String(x.key);
    const { program, inputs, scalars } = x as Epilogue;
    return `${program.key} ${one(inputs)} ${one(scalars)}`;
  };
  const parts = step.operation.parameters.map(({ kind }, i) => {
    if (kind !== "writes") return one(step.args[i]);
    return [step.args[i]].flat().map((view) => view ? form(view as View) : "").join();
  });
  viewsOf(step, (_, role) => {
    if (role === "updates") isCertain = false;
  });
  return isCertain ? `${step.region} ${step.operation.name} ${step.backend.name} ${parts.join(" ")}` : null;
}

function form({ dtype, shape, strides, offset, buffer }: View): string {
  return `${dtype} ${shape} ${strides} ${offset} ${buffer.byteLength}`;
}
