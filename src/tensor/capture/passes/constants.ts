/**
 * Constants: memory full of one number becomes that number where it is read element by element.
 *
 * (What else follows from constants alone is done once, when the program is made.)
 *
 * @module
 */
import type { Epilogue, View } from "../../../backends/contract.ts";
import { isDynamic } from "../../../core/number.ts";
import { nodesOf } from "../../../expr/graph.ts";
import { constant, type Expr, type Program, scalar } from "../../../expr/nodes.ts";
import { program as makeProgram, substitute } from "../../../expr/program.ts";
import { elementwiseOf, isWhole, type Step, type Value, valueOf } from "../value.ts";
import { Fusion, isExact, Steps } from "./rewrite.ts";

/** The number that a step fills all of its one output with, as it is stored; null for another step. */
function filling(step: Step): { to: View; number: number } | null {
  const parts = elementwiseOf(step);
  if (!parts || parts.inputs.length || parts.outputs.length !== 1 || parts.scalars.some(isDynamic)) {
    return null;
  }
  const [to] = parts.outputs, [expr] = parts.program.outputs;
  const given = expr.kind === "const"
    ? expr.value
    : expr.kind === "scalar"
    ? parts.scalars[expr.index]
    : null;
  if (given === null || !isWhole(to)) return null;
  switch (to.dtype) {
    case "f32":
      return { to, number: Math.fround(given) };
    case "f64":
      return { to, number: given };
    case "bool":
      return { to, number: given ? 1 : 0 };
    case "i32":
      return Number.isInteger(given) && Math.abs(given) < 2 ** 31 ? { to, number: given } : null;
    default:
      return null;
  }
}

/** `steps` with constants inside their expressions. */
export function foldConstants(steps: readonly Step[], kept: ReadonlySet<Value>): Step[] {
  const all = new Steps(steps, kept), constants = new Map<Value, { to: View; number: number }>();
  return steps.map((step, at) => {
    const filled = filling(step);
    if (filled && all.onlyWriter(valueOf(filled.to)) === at) constants.set(valueOf(filled.to), filled);
    const args = [...step.args], { name, parameters } = step.operation;
    const fold = (program: Program, inputs: readonly View[], scalars: readonly number[], first: number) => {
      const fusion = new Fusion();
      const known = inputs.map((view): Expr | null => {
        const found = constants.get(valueOf(view));
        if (!found || found.to.dtype !== view.dtype || !isExact(view.dtype, program.type)) return null;
        // What is one number here and another there is no other kernel: of layers that are alike there is one.
        const { number } = found, isPlain = Number.isInteger(number) || !Number.isFinite(number);
        return isPlain ? constant(number) : scalar(fusion.scalars.push(number) - 1);
      });
      if (!known.some((x) => x)) return null;
      // An epilogue's input 0 is the result itself, which is no view.
      const own = first ? [itself, ...inputs] : inputs;
      if (first) fusion.input(itself);
      const outputs = fusion.take(program, own, scalars, (_, i) => known[i - first] ?? null);
      const made = fusion.program(program.type, outputs, []);
      return made && { program: made, inputs: fusion.inputs.slice(first), scalars: fusion.scalars };
    };
    if (name === "elementwise") {
      const known = withExponents(args[0] as Program, args[2] as number[]);
      if (known) [args[0], args[2]] = known;
      const found = fold(args[0] as Program, args[1] as View[], args[2] as number[], 0);
      if (found) {
        [args[0], args[1], args[2]] = [found.program, found.inputs, found.scalars];
        [args[0], args[2]] = withExponents(found.program, found.scalars) ?? [args[0], args[2]];
      }
    }
    const last = parameters.length - 1;
    if (parameters[last].kind === "epilogue" && args[last]) {
      const { program, inputs, scalars } = args[last] as Epilogue, found = fold(program, inputs, scalars, 1);
      if (found) args[last] = found;
    }
    return { ...step, args };
  });
}

/** A program whose exponents are numbers that never change has them as constants: then x³ is two products. */
function withExponents(program: Program, scalars: readonly number[]): [Program, number[]] | null {
  const exponents = new Set<number>();
  for (const node of nodesOf(program.outputs)) {
    if (
      node.kind === "binary" && node.op === "pow" && node.y.kind === "scalar" &&
      !isDynamic(scalars[node.y.index])
    ) {
      exponents.add(node.y.index);
    }
  }
  if (!exponents.size) return null;
  let rest = 0;
  const leaves = scalars.map((x, i) => exponents.has(i) ? constant(x) : scalar(rest++));
  const outputs = program.outputs.map((expr) => substitute(expr, [], leaves));
  return [
    makeProgram(program.type, outputs, { inputs: program.inputs, scalars: rest }),
    scalars.filter((_, i) => !exponents.has(i)),
  ];
}

const itself: View = { buffer: { byteLength: 0 }, dtype: "f32", shape: [], strides: [], offset: 0 };
