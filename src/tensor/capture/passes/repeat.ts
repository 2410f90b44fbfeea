/**
 * What is cheap is computed again by each that reads it, instead of being stored and read by all.
 *
 * The difference to a mean, a mask, a scaled copy: with one operand of full size they cost no more to compute than to read.
 *
 * @module
 */
import type { View } from "../../../backends/contract.ts";
import { sameShape } from "../../../core/shape.ts";
import { nodesOf } from "../../../expr/graph.ts";
import type { Expr, Program } from "../../../expr/nodes.ts";
import { program as makeProgram } from "../../../expr/program.ts";
import { elementwiseOf, readsOf, sameView, type Step, type Value, valueOf } from "../value.ts";
import { Fusion, isExact, isTangled, Steps, stored } from "./rewrite.ts";

/** Most arithmetic of what counts as cheap. */
const mostNodes = 4;

const dear = new Set<string>([
  "sqrt",
  "exp",
  "expm1",
  "log",
  "log1p",
  "sin",
  "cos",
  "tanh",
  "erf",
  "div",
  "rem",
  "pow",
]);

function isCheap(expr: Expr): boolean {
  const work = nodesOf([expr]).filter(({ kind }) =>
    kind !== "input" && kind !== "const" && kind !== "scalar"
  );
  return work.length <= mostNodes && work.every((node) => !("op" in node) || !dear.has(node.op));
}

/** How many operands are not the same along some axis. */
function fullInputs(inputs: readonly View[], shape: readonly number[]): number {
  return inputs.filter((view) => view.strides.every((step, i) => step !== 0 || shape[i] === 1)).length;
}

const identity: Expr = { kind: "input", index: 0 };

/** `steps` with cheap ones inside all that read them. */
export function repeatCheap(steps: readonly Step[], kept: ReadonlySet<Value>): Step[] {
  const all = new Steps(steps, kept);
  for (let at = 0; at < all.list.length; at++) {
    const step = all.list[at], parts = step && elementwiseOf(step);
    if (!parts || parts.outputs.length !== 1) continue;
    const [to] = parts.outputs, value = valueOf(to), { type } = parts.program, [expr] = parts.program.outputs;
    const readers = [...all.readers(value)];
    // With one reader there is nothing to repeat, and fusing sees to it.
    if (readers.length < 2 || kept.has(value) || all.onlyWriter(value) !== at || !isExact(to.dtype, type)) {
      continue;
    }
    if (!isCheap(expr) || fullInputs(parts.inputs, to.shape) > 1 || parts.inputs.length === 0) continue;
    const rewritten = readers.map((reader) => taken(all, step, reader, to));
    if (rewritten.includes(null)) continue;
    readers.forEach((reader, i) => all.set(reader, rewritten[i]));
    all.set(at, null);
  }
  return all.steps();
}

/** Step `reader` with what `step` computes inside; null where that cannot be. */
function taken(all: Steps, step: Step, reader: number, to: View): Step | null {
  const reading = all.list[reader]!, { name } = reading.operation, a = elementwiseOf(step)!;
  if (reading.backend !== step.backend || (name !== "elementwise" && name !== "reduce")) return null;
  const at = name === "elementwise" ? 0 : 1, inputs = reading.args[at + 1] as readonly View[];
  if (name === "reduce" && String(reading.args[0]).startsWith("arg")) return null;
  const scalars = reading.args[at + 2] as readonly number[];
  const outputs = name === "elementwise" ? reading.args[3] as readonly View[] : [reading.args[5] as View];
  const program = (reading.args[at] as Program | null) ??
    makeProgram(a.program.type, [identity], { inputs: 1, scalars: 0 });
  if (
    program.type !== a.program.type || (name === "reduce" && reading.args[at] === null && to.dtype === "bool")
  ) return null;
  if (!inputs.every((view) => view.buffer !== to.buffer || sameView(view, to))) return null;
  // An epilogue may read it too.
  if (inputs.every((view) => view.buffer !== to.buffer) || epilogueReads(reading, to)) return null;
  if (!sameShape(inputs[0].shape, to.shape)) return null;
  const from = all.list.indexOf(step);
  for (const read of readsOf(step)) {
    if (all.isWrittenBetween(read, from, reader)) return null;
  }
  const fusion = new Fusion(), [early] = fusion.take(a.program, a.inputs, a.scalars, () => null);
  const late = fusion.take(
    program,
    inputs,
    scalars,
    (view) => view.buffer === to.buffer ? stored(early, view.dtype) : null,
  );
  if (isTangled(fusion.inputs, outputs)) return null;
  const made = fusion.program(program.type, late, outputs);
  if (!made) return null;
  const args = [...reading.args];
  [args[at], args[at + 1], args[at + 2]] = [made, fusion.inputs, fusion.scalars];
  return { ...reading, args };
}

function epilogueReads({ operation, args }: Step, to: View): boolean {
  const last = operation.parameters.length - 1;
  if (operation.parameters[last].kind !== "epilogue" || !args[last]) return false;
  return (args[last] as { inputs: readonly View[] }).inputs.some((view) => view.buffer === to.buffer);
}
