/**
 * Programs: expressions made ready for a device, under a name that says what they compute.
 *
 * Outputs are simplified for their compute type and share every equal part, so a device may remember what it has
 * computed by object identity. The key spells the graph out, node by node: equal keys are equal programs, on every
 * runtime, with no hash that could collide.
 *
 * @module
 */
import { OptionError } from "../core/errors.ts";
import { describe, nodesOf } from "./graph.ts";
import type { ComputeType, Expr, Program } from "./nodes.ts";
import { Simplifier } from "./simplify.ts";

export { chain, differentiate } from "./differentiate.ts";
export { substitute, usedInputs } from "./graph.ts";
export { simplify } from "./simplify.ts";

/** What was made from an expression (as the first output), and from which outputs. */
const made = new WeakMap<Expr, { readonly from: readonly Expr[]; readonly program: Program }[]>();

/**
 * `outputs` as a program that computes in `type`. `inputs` and `scalars` say how many of each a caller will give
 * (default: just enough for the leaves that occur). The same expression objects give the same program object.
 *
 * @throws {OptionError} when there is no output, or one names an input or scalar beyond those counts.
 */
export function program(
  type: ComputeType,
  outputs: readonly Expr[],
  counts: { readonly inputs?: number; readonly scalars?: number } = {},
): Program {
  if (outputs.length === 0) {
    throw new OptionError("a program needs at least one output expression, and none was given");
  }
  const before = made.get(outputs[0]) ?? [];
  const nodes = before.length === 0 || counts.inputs === undefined || counts.scalars === undefined
    ? nodesOf(outputs)
    : null;
  const inputs = countOf("input", nodes, counts.inputs), scalars = countOf("scalar", nodes, counts.scalars);
  for (const { from, program } of before) {
    if (program.type !== type || program.inputs !== inputs || program.scalars !== scalars) continue;
    if (from.length === outputs.length && from.every((x, i) => x === outputs[i])) return program;
  }
  const simplifier = new Simplifier(type);
  const simplified = outputs.map((expr) => simplifier.simplify(expr));
  const result: Program = {
    key: keyOf(type, inputs, scalars, simplified),
    type,
    inputs,
    scalars,
    outputs: simplified,
  };
  made.set(outputs[0], [...before, { from: [...outputs], program: result }]);
  return result;
}

/** How many leaves of a kind a program takes: as given, else as many as `nodes` name. */
function countOf(kind: "input" | "scalar", nodes: readonly Expr[] | null, given: number | undefined): number {
  let needed = 0;
  for (const node of nodes ?? []) if (node.kind === kind) needed = Math.max(needed, node.index + 1);
  if (given !== undefined && given < needed) {
    throw new OptionError(
      `a program with ${given} ${kind}s names ${kind} ${needed - 1}; count from 0 and give enough`,
    );
  }
  return given ?? needed;
}

function keyOf(type: ComputeType, inputs: number, scalars: number, outputs: readonly Expr[]): string {
  const numbers = new Map<Expr, number>();
  const parts = nodesOf(outputs).map((node) => {
    const text = describe(node, (x) => numbers.get(x) as number);
    numbers.set(node, numbers.size);
    return text;
  });
  return `${type}/${inputs}/${scalars}/${parts.join(";")}/${outputs.map((x) => numbers.get(x)).join(",")}`;
}
