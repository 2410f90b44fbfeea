/**
 * Elementwise chains as one kernel, and into the reductions that read them.
 *
 * A step that computes element by element is taken into a later one of the same shape which reads its result, at the
 * place of the later one. What others read too is written by the fused kernel as one more output. Nothing moves past a step
 * that changes what it reads, and a result that storing would round is not taken in.
 *
 * @module
 */
import type { View } from "../../../backends/contract.ts";
import { sameShape, sizeOf, viewStrides } from "../../../core/shape.ts";
import type { Expr, Program } from "../../../expr/nodes.ts";
import { program as makeProgram } from "../../../expr/program.ts";
import {
  type ElementwiseArguments,
  elementwiseOf,
  readsOf,
  sameView,
  type Step,
  type Value,
  valueOf,
} from "../value.ts";
import { Fusion, isExact, isTangled, Steps, stored } from "./rewrite.ts";

/** The elementwise steps of the same shape that feed the step at `at`, the latest first. */
function producers(all: Steps, at: number, inputs: readonly View[]): number[] {
  const found = new Set<number>();
  for (const view of inputs) {
    let latest = -1;
    for (const writer of all.writers(valueOf(view))) if (writer < at) latest = Math.max(latest, writer);
    if (latest >= 0) found.add(latest);
  }
  return [...found].sort((a, b) => b - a);
}

/** Whether step `from` may be done at the place of `to`: nobody in between changes what it reads, or sees what it writes. */
export function mayMove(all: Steps, from: number, to: number, written: readonly View[]): boolean {
  for (const value of readsOf(all.list[from]!)) if (all.isWrittenBetween(value, from, to)) return false;
  return written.every((view) => !all.isUsedBetween(valueOf(view), from, to));
}

/** The same elements, seen in another shape; null where strides do not allow it. */
function reshapedTo(parts: ElementwiseArguments, shape: readonly number[]): ElementwiseArguments | null {
  if (sameShape(parts.outputs[0].shape, shape)) return parts;
  if (sizeOf(parts.outputs[0].shape) !== sizeOf(shape)) return null;
  const seen = [...parts.inputs, ...parts.outputs].map((view): View | null => {
    const strides = viewStrides(view.shape, view.strides, shape);
    return strides && { ...view, shape, strides };
  });
  if (seen.some((view) => view === null)) return null;
  const count = parts.inputs.length;
  return { ...parts, inputs: seen.slice(0, count) as View[], outputs: seen.slice(count) as View[] };
}

function mergeInto(all: Steps, from: number, to: number): boolean {
  const first = all.list[from]!, second = all.list[to]!;
  const given = elementwiseOf(first), b = elementwiseOf(second);
  if (!given || !b || first.backend !== second.backend || given.program.type !== b.program.type) return false;
  const a = reshapedTo(given, b.outputs[0].shape);
  if (!a) return false;
  if (!mayMove(all, from, to, a.outputs)) return false;
  // Each place where the second reads what the first writes must be the same element.
  for (const view of b.inputs) {
    const output = a.outputs.find((out) => out.buffer === view.buffer);
    if (output && (!sameView(output, view) || !isExact(view.dtype, a.program.type))) return false;
  }
  // A value that the first reads and writes is another one afterwards.
  if (b.outputs.some((out) => a.outputs.some((own) => own.buffer === out.buffer))) return false;
  const fusion = new Fusion(), early = fusion.take(a.program, a.inputs, a.scalars, () => null);
  const late = fusion.take(b.program, b.inputs, b.scalars, (view) => {
    const k = a.outputs.findIndex((out) => out.buffer === view.buffer);
    return k < 0 ? null : stored(early[k], view.dtype);
  });
  const outputs: View[] = [], exprs: Expr[] = [];
  a.outputs.forEach((view, k) => {
    if (!all.isWantedBeside(valueOf(view), from, to)) return;
    outputs.push(view);
    exprs.push(early[k]);
  });
  outputs.push(...b.outputs);
  exprs.push(...late);
  if (isTangled(fusion.inputs, outputs)) return false;
  const made = fusion.program(a.program.type, exprs, outputs);
  if (!made) return false;
  all.set(from, null);
  all.set(to, { ...second, args: [made, fusion.inputs, fusion.scalars, outputs] });
  return true;
}

/** `steps` with chains of elementwise ones fused. */
export function fuseElementwise(steps: readonly Step[], kept: ReadonlySet<Value>): Step[] {
  const all = new Steps(steps, kept);
  for (let at = 0; at < all.list.length; at++) {
    for (let changed = true; changed;) {
      const step = all.list[at], parts = step && elementwiseOf(step);
      changed = parts !== null && parts !== undefined &&
        producers(all, at, parts.inputs).some((from) => mergeInto(all, from, at));
    }
  }
  return all.steps();
}

function mergeIntoReduction(all: Steps, from: number, to: number): boolean {
  const first = all.list[from]!, second = all.list[to]!, a = elementwiseOf(first);
  const [kind, program, inputs, scalars, axes, output, epilogue] = second.args as [
    string,
    Program | null,
    readonly View[],
    readonly number[],
    readonly number[],
    View,
    unknown,
  ];
  if (!a || first.backend !== second.backend || a.outputs.length !== 1) return false;
  const [written] = a.outputs, value = valueOf(written), { type } = a.program;
  if (!sameShape(written.shape, inputs[0].shape) || !isExact(written.dtype, type)) return false;
  if (!all.isOnlyFor(value, to) || !mayMove(all, from, to, a.outputs)) return false;
  if (inputs.some((view) => view.buffer === written.buffer && !sameView(view, written))) return false;
  const own = program ?? makeProgram(type, [identity], { inputs: 1, scalars: 0 });
  if (own.type !== type || (program === null && written.dtype === "bool")) return false;
  const fusion = new Fusion(), [early] = fusion.take(a.program, a.inputs, a.scalars, () => null);
  const late = fusion.take(
    own,
    inputs,
    scalars,
    (view) => view.buffer === written.buffer ? stored(early, view.dtype) : null,
  );
  // A reduction of nothing read has no shape.
  if (!fusion.inputs.length || isTangled(fusion.inputs, [output])) return false;
  const made = fusion.program(type, late, [output]);
  if (!made) return false;
  all.set(from, null);
  all.set(to, { ...second, args: [kind, made, fusion.inputs, fusion.scalars, axes, output, epilogue] });
  return true;
}

const identity: Expr = { kind: "input", index: 0 };

/** `steps` with elementwise ones taken into the reductions that read them. */
export function fuseIntoReductions(steps: readonly Step[], kept: ReadonlySet<Value>): Step[] {
  const all = new Steps(steps, kept);
  for (let at = 0; at < all.list.length; at++) {
    for (let changed = true; changed;) {
      const step = all.list[at];
      changed = step?.operation.name === "reduce" && !String(step.args[0]).startsWith("arg") &&
        producers(all, at, step.args[2] as View[]).some((from) => mergeIntoReduction(all, from, at));
    }
  }
  return all.steps();
}
