/**
 * Epilogues: what is done to the elements of a product, a convolution or a reduction is done as they are stored.
 *
 * @module
 */
import type { Epilogue, View } from "../../../backends/contract.ts";
import { isContiguous, sameShape, sizeOf, viewStrides } from "../../../core/shape.ts";
import type { Expr } from "../../../expr/nodes.ts";
import { elementwiseOf, readsOf, type Step, type Value, valueOf } from "../value.ts";
import { mayMove } from "./fuse.ts";
import { Fusion, isExact, Steps } from "./rewrite.ts";

const result: Expr = { kind: "input", index: 0 };

/** `view` with another shape of as many elements; null where it cannot be seen so. */
function reshaped(view: View, shape: readonly number[]): View | null {
  if (sameShape(view.shape, shape)) return view;
  const strides = viewStrides(view.shape, view.strides, shape);
  return strides && { ...view, shape, strides };
}

function mergeAsEpilogue(all: Steps, from: number, to: number): boolean {
  const first = all.list[from]!, second = all.list[to]!, parts = elementwiseOf(second);
  const last = first.operation.parameters.length - 1;
  if (!parts || parts.outputs.length !== 1 || first.backend !== second.backend) return false;
  const out = first.args[last - 1] as View, value = valueOf(out), { type } = parts.program;
  if (!isExact(out.dtype, type) || out.dtype === "bool" || sizeOf(out.shape) === 0) return false;
  if (sizeOf(parts.outputs[0].shape) !== sizeOf(out.shape)) return false;
  if (!all.isOnlyFor(value, to) || all.onlyWriter(value) !== from || !mayMove(all, from, to, [out])) {
    return false;
  }
  const target = reshaped(parts.outputs[0], out.shape);
  if (!target) return false;
  // A reduction keeps its results, and parts of them, where the epilogue finds them: in the output, as what that can hold.
  if (
    first.operation.name === "reduce" &&
    (target.dtype !== out.dtype || !isContiguous(target.shape, target.strides))
  ) return false;
  const operands: View[] = [];
  for (const view of parts.inputs) {
    const own = reshaped(view, out.shape);
    if (!own) return false;
    if (view.buffer !== out.buffer) operands.push(own);
    else if (
      own.offset !== out.offset || own.dtype !== out.dtype || String(own.strides) !== String(out.strides)
    ) {
      return false;
    } else operands.push(out);
  }
  // Parts of sums may lie where the result will be.
  const written = valueOf(target);
  if (readsOf(first).has(written) || operands.some((view) => view.buffer === target.buffer)) return false;
  const before = first.args[last] as Epilogue | undefined, fusion = new Fusion();
  if (before && before.program.type !== type) return false;
  fusion.input(out); // number 0 is what was computed
  const [early] = before
    ? fusion.take(before.program, [out, ...before.inputs], before.scalars, (_, i) => i === 0 ? result : null)
    : [result];
  const exprs = fusion.take(parts.program, operands, parts.scalars, (view) => view === out ? early : null);
  const made = fusion.program(type, exprs, [target]);
  if (!made) return false;
  const args = [...first.args];
  args[last - 1] = target;
  args[last] = { program: made, inputs: fusion.inputs.slice(1), scalars: fusion.scalars };
  all.set(from, null);
  all.set(to, { ...first, args });
  return true;
}

/** `steps` with elementwise ones taken into the products, convolutions and reductions whose result they read. */
export function fuseAsEpilogues(steps: readonly Step[], kept: ReadonlySet<Value>): Step[] {
  const all = new Steps(steps, kept);
  for (let at = 0; at < all.list.length; at++) {
    for (let changed = true; changed;) {
      const step = all.list[at], parts = step && elementwiseOf(step);
      changed = parts !== null && parts !== undefined && parts.inputs.some((view) => {
        const from = all.onlyWriter(valueOf(view));
        if (from === null || from >= at) return false;
        const { name } = all.list[from]!.operation;
        const takes = name === "matmul" || name === "conv" ||
          (name === "reduce" && !String(all.list[from]!.args[0]).startsWith("arg"));
        return takes && mergeAsEpilogue(all, from, at);
      });
    }
  }
  return all.steps();
}
