/**
 * The plainest ways to fill new memory: one value everywhere, a copy, a conversion. Nothing here is recorded.
 *
 * @module
 */
import type { Backend } from "../backends/contract.ts";
import type { DType } from "../core/dtype.ts";
import type { Shape } from "../core/shape.ts";
import { input, scalar } from "../expr/nodes.ts";
import { program } from "../expr/program.ts";
import { empty, type TensorBase } from "./base.ts";
import { computeType } from "./expression.ts";

// The same expression objects every time, so that the programs are made once.
const value = scalar(0), element = input(0);

/** A new tensor full of `number`. */
export function filled(
  shape: Shape,
  number: number,
  dtype: DType,
  backend: Backend,
  madeBy = "full",
): TensorBase {
  const out = empty(shape, dtype, backend, madeBy);
  const fill = program(computeType(dtype), [value], { inputs: 0, scalars: 1 });
  if (out.size) backend.elementwise(fill, [], [number], [out]);
  return out;
}

/** Writes the elements of `source`, converted, over those of `target`, a view of the same shape. */
export function copyInto(source: TensorBase, target: TensorBase): void {
  target.storage.version++;
  if (!source.size) return;
  const identity = program(computeType(source.dtype), [element], { inputs: 1, scalars: 0 });
  source.backend.elementwise(identity, [source], [], [target]);
}

/** A contiguous copy, in another dtype when one is given. */
export function copy(t: TensorBase, dtype: DType = t.dtype, madeBy = "copy"): TensorBase {
  const out = empty(t.shape, dtype, t.backend, madeBy);
  copyInto(t, out);
  return out;
}
