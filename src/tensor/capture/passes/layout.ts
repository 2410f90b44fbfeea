/**
 * Layout: a weight that products bring in an order of their own is brought there once, not in every run.
 *
 * What is packed is a copy, kept beside the weight and counted with the program's memory. It is of the weight as it was: so
 * only matrices that the program itself never writes are packed, and where somebody else wrote to one since (an optimizer's
 * step, `copyInto`), it is packed again before the next run (`replay.ts`).
 *
 * @module
 */
import { packedKernels } from "../../../backends/kernels/packed.ts";
import type { Epilogue, View } from "../../../backends/contract.ts";
import { operations } from "../../../backends/operations.ts";
import { readsOf, type Step, Value, valueOf, writesOf } from "../value.ts";
import { Steps } from "./rewrite.ts";

/** `steps` whose products with captured matrices read them packed; the steps that pack stand before all others. */
export function packWeights(steps: readonly Step[], kept: ReadonlySet<Value>): Step[] {
  const all = new Steps(steps, kept), packs: Step[] = [], known = new Map<string, View>();
  let id = steps.reduce((most, step) => {
    for (const value of [...readsOf(step), ...writesOf(step)]) most = Math.max(most, value.id);
    return most;
  }, 0);
  const changed = steps.map((step): Step => {
    if (step.operation.name !== "matmul") return step;
    const [a, b, out, epilogue] = step.args as [View, View, View, Epilogue | undefined];
    const weight = valueOf(b), { backend } = step, { packedBytes } = packedKernels(backend);
    if (weight.source.kind !== "captured" || all.writers(weight).size || !packedBytes) return step;
    const byteLength = packedBytes(a, b, out, epilogue);
    if (byteLength === 0) return step;
    const key = `${weight.id} ${b.dtype} ${b.shape.slice(-2)} ${b.strides.slice(-2)} ${b.offset}`;
    let packed = known.get(key);
    if (!packed) {
      const buffer = new Value(++id, backend, byteLength, { kind: "constant", bytes: null });
      packed = { buffer, dtype: "f32", shape: [byteLength / 4], strides: [1], offset: 0 };
      known.set(key, packed);
      packs.push({
        backend,
        operation: operations.get("pack")!,
        args: [b, packed],
        region: step.region,
        at: step.at,
      });
    }
    return { ...step, operation: operations.get("matmulPacked")!, args: [a, b, packed, out, epilogue] };
  });
  return [...packs, ...changed];
}

/** Whether a step packs a weight. */
export function isPack({ operation }: Step): boolean {
  return operation.name === "pack";
}
