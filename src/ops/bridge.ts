/**
 * The floor of tensors as this floor sees it: the same functions, typed for the class that carries the operations.
 *
 * Every tensor is made by the registered class, so the one cast that says so lives here and nowhere else.
 *
 * @module
 */
import type { Backend } from "../backends/contract.ts";
import type { DType } from "../core/dtype.ts";
import { DTypeError, ShapeError } from "../core/errors.ts";
import { demandList, type Shape } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import type { ComputeType } from "../expr/nodes.ts";
import * as floor from "../tensor/mod.ts";
import type { Tensor } from "./tensor.ts";

/**
 * A tensor or a plain number.
 *
 * @category Tensors
 */
export type Operand = Tensor | number;

/** See `tensor/base.ts`. */
export const empty: (shape: Shape, dtype: DType, backend: Backend, madeBy: string) => Tensor = floor
  .empty as never;

/** See `tensor/base.ts`: not recorded. */
export const alias: (of: Tensor, shape?: Shape, strides?: readonly number[], offset?: number) => Tensor =
  floor
    .alias as never;

/** See `tensor/expression.ts`. */
export const apply: (
  applied: floor.Applied,
  tensors: readonly Tensor[],
  scalars: readonly number[],
  type: ComputeType,
  dtype: DType,
) => Tensor = floor.apply as never;

/** See `tensor/fill.ts`: a contiguous copy (in another dtype when one is given), not recorded. */
export const copy: (t: Tensor, dtype?: DType, madeBy?: string) => Tensor = floor.copy as never;

/** See `tensor/fill.ts`: a new tensor full of one value. */
export const filled: (
  shape: Shape,
  value: number,
  dtype: DType,
  backend: Backend,
  madeBy?: string,
) => Tensor = floor.filled as never;

/** See `tensor/quantize.ts`: a matrix as blocks, each row by `rule`, not recorded. */
export const quantized: (t: Tensor, dtype: "q8" | "q4", rule?: floor.BlockRule) => Tensor = floor
  .quantized as never;

/** The gradient of an operation with one output; see `tensor/tape.ts`. */
export type BackwardFunction = (
  gradient: Tensor,
  saved: readonly Tensor[],
  needs: readonly boolean[],
) => readonly (Tensor | null)[];

/** Puts `output` on the tape when an input wants a gradient, and gives it back. For `addTo` see `tensor/tape.ts`. */
export function record(
  name: string,
  output: Tensor,
  inputs: readonly Tensor[],
  saved: readonly Tensor[],
  backward: BackwardFunction,
  addTo?: (gradient: Tensor, saved: readonly Tensor[], total: Tensor) => void,
): Tensor {
  const gradient = addTo ? { backward, addTo } : { backward };
  floor.record(name, output, inputs, saved, gradient as unknown as floor.Gradient);
  return output;
}

/**
 * Checks that i32 holds every position along an axis of `size`.
 * @throws {ShapeError} when it does not.
 */
export function demandPositions(what: string, size: number): void {
  if (size <= 2 ** 31) return;
  throw new ShapeError(
    `${what}: positions are i32, up to ${2 ** 31 - 1}, and the axis has ${
      counted(size, "element")
    }; take it in parts`,
  );
}

/** `t` itself when its elements lie row-major without gaps, else a copy that is not recorded. */
export function contiguousView(t: Tensor): Tensor {
  return t.isContiguous ? t : copy(t);
}

/**
 * @throws {DTypeError} when one entry of `list` is no tensor.
 * @throws {ShapeError} when it is no list.
 */
export function demandTensors(what: string, list: readonly Tensor[], name = "an entry of the list"): void {
  demandList(what, list, "a list of tensors");
  for (const x of list) floor.demandTensor(what, x, name);
}

export {
  addInto,
  commonBackend,
  computeType,
  copyInto,
  demandTensor,
  promoteOperands,
  wantsGradient,
} from "../tensor/mod.ts";

/** @throws {DTypeError} unless `index` is a tensor of positions. */
export function demandIndex(what: string, index: Tensor): void {
  floor.demandTensor(what, index, "the index");
  if (index.dtype !== "i32" && index.dtype !== "i64") {
    throw new DTypeError(
      `${what}: positions are i32 or i64, not ${index.dtype}; convert with .to({ dtype: "i32" })`,
    );
  }
}
