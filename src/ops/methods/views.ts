/**
 * Methods that look at memory differently, and those that repeat and pad.
 *
 * Each is the free function of the same name with the tensor as its first argument; what it means stands there.
 *
 * @module
 */
import { ReduceMethods } from "./reduce.ts";
import * as views from "../views.ts";
import * as join from "../join.ts";
import type { Range } from "../views.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../tensor.ts";

/**
 * Sizes given one by one or as a list.
 *
 * @category Tensors
 */
export type Sizes = readonly number[] | readonly [readonly number[]];

function listOf(sizes: Sizes): readonly number[] {
  return Array.isArray(sizes[0]) ? sizes[0] as readonly number[] : sizes as readonly number[];
}

/**
 * One layer of `Tensor`.
 *
 * @category Tensors
 */
export class ViewMethods extends ReduceMethods {
  /**
   * The same elements under another shape; one size may be -1.
   *
   * @throws {ShapeError} when the sizes do not multiply to the number of elements.
   */
  reshape(this: Tensor, ...shape: Sizes): Tensor {
    return views.reshape(this, listOf(shape));
  }

  /**
   * PyTorch's name for reshape (copies where a view is impossible).
   *
   * @throws {ShapeError} when the sizes do not multiply to the number of elements.
   */
  view(this: Tensor, ...shape: Sizes): Tensor {
    return views.reshape(this, listOf(shape));
  }

  /**
   * Axes start to end made one.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  flatten(this: Tensor, start = 0, end = -1): Tensor {
    return views.flatten(this, start, end);
  }

  /**
   * Axis dim split into sizes.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  unflatten(this: Tensor, dim: number, sizes: Shape): Tensor {
    return views.unflatten(this, dim, sizes);
  }

  /**
   * Axes in another order.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  permute(this: Tensor, ...dims: Sizes): Tensor {
    return views.permute(this, listOf(dims));
  }

  /**
   * Two axes exchanged.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  transpose(this: Tensor, dim0: number, dim1: number): Tensor {
    return views.transpose(this, dim0, dim1);
  }

  /**
   * A matrix's transpose.
   *
   * @throws {ShapeError} beyond two dims.
   */
  t(this: Tensor): Tensor {
    return views.t(this);
  }

  /**
   * Stretched without copying; -1 keeps a size.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  expand(this: Tensor, ...shape: Sizes): Tensor {
    return views.expand(this, listOf(shape));
  }

  /**
   * Without axes of size 1.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  squeeze(this: Tensor, dim?: number | readonly number[]): Tensor {
    return views.squeeze(this, dim);
  }

  /**
   * With a new axis of size 1.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  unsqueeze(this: Tensor, dim: number): Tensor {
    return views.unsqueeze(this, dim);
  }

  /**
   * A part: `[start, end, step]`, a position, or null per axis.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  slice(this: Tensor, ...ranges: Range[]): Tensor {
    return views.slice(this, ...ranges);
  }

  /**
   * `length` positions of dim from start.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  narrow(this: Tensor, dim: number, start: number, length: number): Tensor {
    return views.narrow(this, dim, start, length);
  }

  /**
   * One position of dim, without the axis.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  select(this: Tensor, dim: number, at: number): Tensor {
    return views.select(this, dim, at);
  }

  /**
   * The order along dims reversed.
   *
   * @throws {ShapeError} for an axis that x does not have.
   */
  flip(this: Tensor, dims: number | readonly number[]): Tensor {
    return views.flip(this, dims);
  }

  /**
   * Parts along dim.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  split(this: Tensor, size: number | readonly number[], dim = 0): Tensor[] {
    return views.split(this, size, dim);
  }

  /**
   * Nearly equal parts along dim.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  chunk(this: Tensor, chunks: number, dim = 0): Tensor[] {
    return views.chunk(this, chunks, dim);
  }

  /**
   * The diagonal of the last two axes.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  diagonal(this: Tensor, offset = 0): Tensor {
    return views.diagonal(this, offset);
  }

  /**
   * Row-major without gaps; itself when it is so.
   *
   * @throws {DTypeError} for what is no tensor.
   */
  contiguous(this: Tensor): Tensor {
    return views.contiguous(this);
  }

  /**
   * A copy.
   *
   * @throws {DTypeError} for what is no tensor.
   */
  clone(this: Tensor): Tensor {
    return views.clone(this);
  }

  /**
   * Repeated along each axis.
   *
   * @throws {ShapeError} for fewer entries than axes, or more than there can be.
   */
  repeat(this: Tensor, ...times: Sizes): Tensor {
    return join.repeat(this, listOf(times));
  }

  /**
   * With a border, the last axis first.
   *
   * @throws {ShapeError} for fewer entries than axes, or more than there can be.
   */
  pad(this: Tensor, border: readonly number[], options: join.PadOptions = {}): Tensor {
    return join.pad(this, border, options);
  }
}
