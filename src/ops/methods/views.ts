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
  /** The same elements under another shape; one size may be -1. */
  reshape(this: Tensor, ...shape: Sizes): Tensor {
    return views.reshape(this, listOf(shape));
  }

  /** PyTorch's name for reshape (copies where a view is impossible). */
  view(this: Tensor, ...shape: Sizes): Tensor {
    return views.reshape(this, listOf(shape));
  }

  /** Axes start to end made one. */
  flatten(this: Tensor, start = 0, end = -1): Tensor {
    return views.flatten(this, start, end);
  }

  /** Axis dim split into sizes. */
  unflatten(this: Tensor, dim: number, sizes: Shape): Tensor {
    return views.unflatten(this, dim, sizes);
  }

  /** Axes in another order. */
  permute(this: Tensor, ...dims: Sizes): Tensor {
    return views.permute(this, listOf(dims));
  }

  /** Two axes exchanged. */
  transpose(this: Tensor, dim0: number, dim1: number): Tensor {
    return views.transpose(this, dim0, dim1);
  }

  /** A matrix's transpose. */
  t(this: Tensor): Tensor {
    return views.t(this);
  }

  /** Stretched without copying; -1 keeps a size. */
  expand(this: Tensor, ...shape: Sizes): Tensor {
    return views.expand(this, listOf(shape));
  }

  /** Without axes of size 1. */
  squeeze(this: Tensor, dim?: number | readonly number[]): Tensor {
    return views.squeeze(this, dim);
  }

  /** With a new axis of size 1. */
  unsqueeze(this: Tensor, dim: number): Tensor {
    return views.unsqueeze(this, dim);
  }

  /** A part: `[start, end, step]`, a position, or null per axis. */
  slice(this: Tensor, ...ranges: Range[]): Tensor {
    return views.slice(this, ...ranges);
  }

  /** `length` positions of dim from start. */
  narrow(this: Tensor, dim: number, start: number, length: number): Tensor {
    return views.narrow(this, dim, start, length);
  }

  /** One position of dim, without the axis. */
  select(this: Tensor, dim: number, at: number): Tensor {
    return views.select(this, dim, at);
  }

  /** The order along dims reversed. */
  flip(this: Tensor, dims: number | readonly number[]): Tensor {
    return views.flip(this, dims);
  }

  /** Parts along dim. */
  split(this: Tensor, size: number | readonly number[], dim = 0): Tensor[] {
    return views.split(this, size, dim);
  }

  /** Nearly equal parts along dim. */
  chunk(this: Tensor, chunks: number, dim = 0): Tensor[] {
    return views.chunk(this, chunks, dim);
  }

  /** The diagonal of the last two axes. */
  diagonal(this: Tensor, offset = 0): Tensor {
    return views.diagonal(this, offset);
  }

  /** Row-major without gaps; itself when it is so. */
  contiguous(this: Tensor): Tensor {
    return views.contiguous(this);
  }

  /** A copy. */
  clone(this: Tensor): Tensor {
    return views.clone(this);
  }

  /** Repeated along each axis. */
  repeat(this: Tensor, ...times: Sizes): Tensor {
    return join.repeat(this, listOf(times));
  }

  /** With a border, the last axis first. */
  pad(this: Tensor, border: readonly number[], options: join.PadOptions = {}): Tensor {
    return join.pad(this, border, options);
  }
}
