/**
 * Operations that a device may do in one go.
 *
 * A fused operation is its definition in other operations plus, where the device has them, a kernel for the result
 * and one for the gradient. Without the first the definition runs and is recorded. Without the second, and always
 * when the gradient is to be differentiated again, the gradient comes from running the definition on what was kept.
 *
 * @module
 */
import type { TensorBase } from "./base.ts";
import { gradients, variable } from "./backward.ts";
import { tidy } from "./lifetime.ts";
import { isRecording, record, withRecording } from "./tape.ts";

/** One application of a fused operation. */
export interface Fused<T extends TensorBase> {
  /** For messages and memory reports. */
  readonly name: string;
  /** The tensors a gradient may go to. */
  readonly inputs: readonly T[];
  /** What the operation means, recorded as usual. */
  definition(...inputs: T[]): T;
  /** The device's kernel, when it takes these inputs: the result, and what its gradient kernel wants kept. */
  readonly kernel: (() => { output: T; keep: readonly T[] }) | null;
  /** The device's gradient kernel: gradients of the inputs from that of the result. */
  readonly gradient:
    | ((g: T, inputs: readonly T[], keep: readonly T[], needs: readonly boolean[]) => readonly (T | null)[])
    | null;
}

/** Computes and records it. */
export function fused<T extends TensorBase>(op: Fused<T>): T {
  if (!op.kernel) return tidy(() => op.definition(...op.inputs));
  const { output, keep } = tidy(op.kernel);
  const count = op.inputs.length;
  record(op.name, output, op.inputs, [...op.inputs, ...keep], {
    backward(g, saved, needs) {
      const inputs = saved.slice(0, count) as T[];
      if (op.gradient && !isRecording()) return op.gradient(g as T, inputs, saved.slice(count) as T[], needs);
      return gradientOfDefinition(op, g as T, inputs, needs);
    },
  });
  for (const t of keep) if (t !== output) t.dispose();
  return output;
}

function gradientOfDefinition<T extends TensorBase>(
  op: Fused<T>,
  g: T,
  inputs: readonly T[],
  needs: readonly boolean[],
): (T | null)[] {
  const createGraph = isRecording();
  return withRecording(true, () => {
    const own = inputs.map((t, i) => needs[i] ? variable(t, createGraph) as T : t);
    const wanted = own.filter((_, i) => needs[i]);
    const found = gradients(op.definition(...own), wanted, g, { createGraph });
    let k = 0;
    return needs.map((need) => need ? found[k++] as T | null : null);
  });
}
