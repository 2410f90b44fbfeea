/**
 * Matrix products and picking by position as methods.
 *
 * Each is the free function of the same name with the tensor as its first argument; what it means stands there.
 *
 * @module
 */
import { demandNoMore } from "../../core/demand.ts";
import { ViewMethods } from "./views.ts";
import * as products from "../matmul.ts";
import * as index from "../index.ts";
import type { Tensor } from "../tensor.ts";

/**
 * One layer of `Tensor`.
 *
 * @category Tensors
 */
export class ProductMethods extends ViewMethods {
  /**
   * The matrix product: […, n, k] and […, k, m] → […, n, m]; a vector counts as a matrix of one row or one column.
   *
   * @throws {ShapeError} when the inner sizes differ.
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {DeviceError} for tensors on different devices.
   */
  matmul(this: Tensor, other: Tensor): Tensor {
    demandNoMore(arguments, 1, "matmul");
    return products.matmul(this, other);
  }

  /**
   * The product of two matrices: [n, k] and [k, m] → [n, m].
   *
   * @throws {ShapeError} for anything else.
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {DeviceError} for tensors on different devices.
   */
  mm(this: Tensor, other: Tensor): Tensor {
    demandNoMore(arguments, 1, "mm");
    return products.mm(this, other);
  }

  /**
   * Σ of the products of two vectors.
   *
   * @throws {ShapeError} when shapes do not fit together; the message has both.
   * @throws {DTypeError} for what is no tensor.
   * @throws {DeviceError} for tensors on different devices.
   */
  dot(this: Tensor, other: Tensor): Tensor {
    demandNoMore(arguments, 1, "dot");
    return products.dot(this, other);
  }

  /**
   * this · weightᵀ + bias.
   *
   * @throws {ShapeError} when shapes do not fit together; the message has both.
   * @throws {DTypeError} for what is no tensor.
   * @throws {DeviceError} for tensors on different devices.
   */
  linear(this: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
    demandNoMore(arguments, 2, "linear");
    return products.linear(this, weight, bias);
  }

  /**
   * Picked by position along dim.
   *
   * @throws {ShapeError} for shapes that do not fit and for an index out of range; a device that answers
   *   late (WebGPU) says so when values are read.
   * @throws {DTypeError} for what is no tensor, and positions that are not i32 or i64.
   * @throws {DeviceError} for tensors on different devices.
   */
  gather(this: Tensor, dim: number, at: Tensor): Tensor {
    demandNoMore(arguments, 2, "gather");
    return index.gather(this, dim, at);
  }

  /**
   * With source written at positions along dim.
   *
   * @throws {ShapeError} for shapes that do not fit and for an index out of range; a device that answers
   *   late (WebGPU) says so when values are read.
   * @throws {DTypeError} for what is no tensor.
   * @throws {DeviceError} for tensors on different devices.
   */
  scatter(this: Tensor, dim: number, at: Tensor, source: Tensor | number): Tensor {
    demandNoMore(arguments, 3, "scatter");
    return index.scatter(this, dim, at, source);
  }

  /**
   * With source added at positions along dim.
   *
   * @throws {ShapeError} for shapes that do not fit and for an index out of range; a device that answers
   *   late (WebGPU) says so when values are read.
   * @throws {DTypeError} for what is no tensor, and positions that are not i32 or i64.
   * @throws {DeviceError} for tensors on different devices.
   */
  scatterAdd(this: Tensor, dim: number, at: Tensor, source: Tensor): Tensor {
    demandNoMore(arguments, 3, "scatterAdd");
    return index.scatterAdd(this, dim, at, source);
  }

  /**
   * The listed positions of dim.
   *
   * @throws {ShapeError} for shapes that do not fit and for an index out of range; a device that answers
   *   late (WebGPU) says so when values are read.
   * @throws {DTypeError} for what is no tensor, and positions that are not i32 or i64.
   * @throws {DeviceError} for tensors on different devices.
   */
  indexSelect(this: Tensor, dim: number, at: Tensor): Tensor {
    demandNoMore(arguments, 2, "indexSelect");
    return index.indexSelect(this, dim, at);
  }

  /**
   * 1 at each position's place on a new last axis of `classes`, 0 elsewhere; i32.
   *
   * @throws {ShapeError} for an id outside 0 … classes − 1, and a count of classes that is none.
   * @throws {DTypeError} for what is no tensor, and positions that are not i32 or i64.
   */
  oneHot(this: Tensor, classes: number): Tensor {
    demandNoMore(arguments, 1, "oneHot");
    return index.oneHot(this, classes);
  }

  /**
   * The lower triangle.
   *
   * @throws {ShapeError} for fewer than two axes.
   * @throws {DTypeError} for a dtype that it does not take.
   */
  tril(this: Tensor, diagonal = 0): Tensor {
    demandNoMore(arguments, 1, "tril");
    return index.tril(this, diagonal);
  }

  /**
   * The upper triangle.
   *
   * @throws {ShapeError} for fewer than two axes.
   * @throws {DTypeError} for a dtype that it does not take.
   */
  triu(this: Tensor, diagonal = 0): Tensor {
    demandNoMore(arguments, 1, "triu");
    return index.triu(this, diagonal);
  }

  /**
   * The products of each element with each of other.
   *
   * @throws {ShapeError} when shapes do not fit together; the message has both.
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {DeviceError} for tensors on different devices.
   */
  outer(this: Tensor, other: Tensor): Tensor {
    demandNoMore(arguments, 1, "outer");
    return products.outer(this, other);
  }

  /**
   * beta · this + alpha · (a · b).
   *
   * @throws {ShapeError} when shapes do not fit together; the message has both.
   * @throws {DTypeError} for what is no tensor, or not of a dtype it takes.
   * @throws {DeviceError} for tensors on different devices.
   */
  addmm(this: Tensor, a: Tensor, b: Tensor, beta = 1, alpha = 1): Tensor {
    demandNoMore(arguments, 4, "addmm");
    return products.addmm(this, a, b, beta, alpha);
  }
}
