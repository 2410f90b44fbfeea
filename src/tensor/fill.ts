/**
 * The plainest ways to fill new memory: one value everywhere, a copy, a conversion. Nothing here is recorded.
 *
 * @module
 */
import type { Backend } from "../backends/contract.ts";
import type { DType } from "../core/dtype.ts";
import { DeviceError, ShapeError } from "../core/errors.ts";
import { formatShape, sameShape, type Shape } from "../core/shape.ts";
import { binary, input, scalar } from "../expr/nodes.ts";
import { program } from "../expr/program.ts";
import { empty, type TensorBase } from "./base.ts";
import { computeType } from "./expression.ts";

// The same expression objects every time, so that the programs are made once.
const value = scalar(0), element = input(0), sum = binary("add", element, input(1));

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

/**
 * Writes the elements of `source`, converted, over those of `target` (which may be a view of a larger tensor), in
 * place and without a gradient. What the tape kept of target's memory counts as changed.
 * @throws {ShapeError} when the shapes differ. @throws {DeviceError} when the devices do.
 */
export function copyInto(source: TensorBase, target: TensorBase): void {
  if (!sameShape(source.shape, target.shape)) {
    throw new ShapeError(`copyInto: ${formatShape(source.shape)} does not fill ${formatShape(target.shape)}`);
  }
  if (source.backend !== target.backend) {
    throw new DeviceError(
      `copyInto: from "${source.device}" to "${target.device}"; move one with .to({ device })`,
    );
  }
  target.storage.version++;
  if (!source.size) return;
  const identity = program(computeType(source.dtype), [element], { inputs: 1, scalars: 0 });
  source.backend.elementwise(identity, [source], [], [target]);
}

/** Adds `source` to `target`, a view of the same shape, in place. */
export function addInto(source: TensorBase, target: TensorBase): void {
  target.storage.version++;
  if (!target.size) return;
  const add = program(computeType(target.dtype), [sum], { inputs: 2, scalars: 0 });
  target.backend.elementwise(add, [target, source], [], [target]);
}

/** A contiguous copy, in another dtype when one is given. */
export function copy(t: TensorBase, dtype: DType = t.dtype, madeBy = "copy"): TensorBase {
  const out = empty(t.shape, dtype, t.backend, madeBy);
  copyInto(t, out);
  return out;
}
