/**
 * The floor of tensors as this floor sees it: the same functions, typed for the class that carries the operations.
 *
 * Every tensor is made by the registered class, so the one cast that says so lives here and nowhere else.
 *
 * @module
 */
import type { Backend } from "../backends/contract.ts";
import type { DType } from "../core/dtype.ts";
import type { Shape } from "../core/shape.ts";
import { type ComputeType, input, type Program, scalar } from "../expr/nodes.ts";
import { program } from "../expr/program.ts";
import * as floor from "../tensor/mod.ts";
import type { Tensor } from "./tensor.ts";

/** A tensor or a plain number. */
export type Operand = Tensor | number;

/** See `tensor/base.ts`. */
export const empty: (shape: Shape, dtype: DType, backend: Backend, madeBy: string) => Tensor = floor
  .empty as never;

/** See `tensor/base.ts`: not recorded. */
export const alias: (of: Tensor, shape?: Shape, strides?: readonly number[], offset?: number) => Tensor = floor
  .alias as never;

/** See `tensor/expression.ts`. */
export const apply: (
  applied: floor.Applied,
  tensors: readonly Tensor[],
  scalars: readonly number[],
  type: ComputeType,
  dtype: DType,
) => Tensor = floor.apply as never;

/** See `tensor/backward.ts`: a contiguous copy, not recorded. */
export const copy: (t: Tensor) => Tensor = floor.copy as never;

/** The gradient of an operation with one output; see `tensor/tape.ts`. */
export type BackwardFunction = (
  gradient: Tensor,
  saved: readonly Tensor[],
  needs: readonly boolean[],
) => readonly (Tensor | null)[];

/** Puts `output` on the tape when an input wants a gradient, and gives it back. */
export function record(
  name: string,
  output: Tensor,
  inputs: readonly Tensor[],
  saved: readonly Tensor[],
  backward: BackwardFunction,
): Tensor {
  floor.record(name, output, inputs, saved, { backward: backward as floor.Gradient["backward"] });
  return output;
}

/** A new tensor full of `value`. */
export function filled(shape: Shape, value: number, dtype: DType, backend: Backend, madeBy = "full"): Tensor {
  const out = empty(shape, dtype, backend, madeBy);
  if (out.size) backend.elementwise(fill(floor.computeType(dtype)), [], [value], [out]);
  return out;
}

const fill = (type: ComputeType): Program => program(type, [scalar(0)], { inputs: 0, scalars: 1 });
const identity = (type: ComputeType): Program => program(type, [input(0)], { inputs: 1, scalars: 0 });

/** Writes the elements of `source` (converted) over those of `target`, a view of the same shape. Not recorded. */
export function copyInto(source: Tensor, target: Tensor): void {
  target.storage.version++;
  if (source.size) {
    source.backend.elementwise(identity(floor.computeType(source.dtype)), [source], [], [target]);
  }
}

/** A converted copy in another dtype, not recorded. */
export function converted(x: Tensor, dtype: DType): Tensor {
  const out = empty(x.shape, dtype, x.backend, "to");
  copyInto(x, out);
  return out;
}

/** `t` itself when its elements lie row-major without gaps, else a copy that is not recorded. */
export function contiguousView(t: Tensor): Tensor {
  return t.isContiguous ? t : copy(t);
}

export { commonBackend, computeType, promoteOperands, wantsGradient } from "../tensor/mod.ts";
