/**
 * Methods that look at memory differently, and those that repeat and pad.
 *
 * Each is the free function of the same name with the tensor as its first argument; what it means stands there.
 *
 * @module
 */
import { demandNoMore, toldAs } from "../../core/demand.ts";
import { OptionError } from "../../core/errors.ts";
import { show } from "../../core/show.ts";
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

function listOf(what: string, sizes: Sizes): readonly number[] {
  if (!Array.isArray(sizes[0])) return sizes as readonly number[];
  if (sizes.length > 1) {
    throw new OptionError(`${what}: ${show(sizes[1])} has no effect behind a list of sizes; leave it out`);
  }
  return sizes[0];
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
    return views.reshape(this, listOf("reshape", shape));
  }

  /**
   * PyTorch's name for reshape (copies where a view is impossible).
   *
   * @throws {ShapeError} when the sizes do not multiply to the number of elements.
   */
  view(this: Tensor, ...shape: Sizes): Tensor {
    return toldAs("view", ["reshape"], () => views.reshape(this, listOf("view", shape)));
  }

  /**
   * Axes start to end made one.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  flatten(this: Tensor, start = 0, end = -1): Tensor {
    demandNoMore(arguments, 2, "flatten");
    return views.flatten(this, start, end);
  }

  /**
   * Axis dim split into sizes.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  unflatten(this: Tensor, dim: number, sizes: Shape): Tensor {
    demandNoMore(arguments, 2, "unflatten");
    return views.unflatten(this, dim, sizes);
  }

  /**
   * Axes in another order.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  permute(this: Tensor, ...dims: Sizes): Tensor {
    return views.permute(this, listOf("permute", dims));
  }

  /**
   * Two axes exchanged.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  transpose(this: Tensor, dim0: number, dim1: number): Tensor {
    demandNoMore(arguments, 2, "transpose");
    return views.transpose(this, dim0, dim1);
  }

  /**
   * A matrix's transpose.
   *
   * @throws {ShapeError} beyond two dims.
   */
  t(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "t");
    return views.t(this);
  }

  /**
   * Stretched without copying; -1 keeps a size.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  expand(this: Tensor, ...shape: Sizes): Tensor {
    return views.expand(this, listOf("expand", shape));
  }

  /**
   * Without axes of size 1.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  squeeze(this: Tensor, dim?: number | readonly number[]): Tensor {
    demandNoMore(arguments, 1, "squeeze");
    return views.squeeze(this, dim);
  }

  /**
   * With a new axis of size 1.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  unsqueeze(this: Tensor, dim: number): Tensor {
    demandNoMore(arguments, 1, "unsqueeze");
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
    demandNoMore(arguments, 3, "narrow");
    return views.narrow(this, dim, start, length);
  }

  /**
   * One position of dim, without the axis.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  select(this: Tensor, dim: number, at: number): Tensor {
    demandNoMore(arguments, 2, "select");
    return views.select(this, dim, at);
  }

  /**
   * The order along dims reversed.
   *
   * @throws {ShapeError} for an axis that x does not have.
   */
  flip(this: Tensor, dims: number | readonly number[]): Tensor {
    demandNoMore(arguments, 1, "flip");
    return views.flip(this, dims);
  }

  /**
   * Parts along dim.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  split(this: Tensor, size: number | readonly number[], dim = 0): Tensor[] {
    demandNoMore(arguments, 2, "split");
    return views.split(this, size, dim);
  }

  /**
   * Nearly equal parts along dim.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  chunk(this: Tensor, chunks: number, dim = 0): Tensor[] {
    demandNoMore(arguments, 2, "chunk");
    return views.chunk(this, chunks, dim);
  }

  /**
   * The diagonal of the last two axes.
   *
   * @throws {ShapeError} for axes, sizes or positions that x does not have.
   */
  diagonal(this: Tensor, offset = 0): Tensor {
    demandNoMore(arguments, 1, "diagonal");
    return views.diagonal(this, offset);
  }

  /**
   * The same shape, row-major without gaps; itself when it is so.
   *
   * @throws {DTypeError} for what is no tensor.
   */
  contiguous(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "contiguous");
    return views.contiguous(this);
  }

  /**
   * A contiguous copy of the same shape.
   *
   * @throws {DTypeError} for what is no tensor.
   */
  clone(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "clone");
    return views.clone(this);
  }

  /**
   * Repeated along each axis.
   *
   * @throws {ShapeError} for fewer entries than axes, or more than there can be.
   * @throws {DTypeError} for a dtype that it does not take.
   */
  repeat(this: Tensor, ...times: Sizes): Tensor {
    return join.repeat(this, listOf("repeat", times));
  }

  /**
   * With a border, the last axis first.
   *
   * @throws {ShapeError} for fewer entries than axes, or more than there can be.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DeviceError} where memory is not enough.
   * @throws {DTypeError} for a dtype that it does not take.
   */
  pad(this: Tensor, border: readonly number[], options: join.PadOptions = {}): Tensor {
    demandNoMore(arguments, 2, "pad");
    return join.pad(this, border, options);
  }
}
