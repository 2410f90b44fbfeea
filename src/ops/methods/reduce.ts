/**
 * Methods that look along axes: reductions, softmax, norms, sorting.
 *
 * Each is the free function of the same name with the tensor as its first argument; what it means stands there.
 *
 * @module
 */
import { demandNoMore } from "../../core/demand.ts";
import { FunctionMethods } from "./functions.ts";
import * as reductions from "../reduce.ts";
import * as softmaxes from "../softmax.ts";
import * as norms from "../norm.ts";
import * as order from "../sort.ts";
import type { Dims, KeepDim, VarOptions } from "../reduce.ts";
import type { Sorted, SortOptions, TopKOptions } from "../sort.ts";
import type { Shape } from "../../core/shape.ts";
import type { Tensor } from "../tensor.ts";

/**
 * One layer of `Tensor`.
 *
 * @category Tensors
 */
export class ReduceMethods extends FunctionMethods {
  /**
   * The sum over dim.
   *
   * @throws {ShapeError} for an axis that x does not have.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  sum(this: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
    demandNoMore(arguments, 2, "sum");
    return reductions.sum(this, dim, keepdim);
  }

  /**
   * The mean over dim.
   *
   * @throws {ShapeError} for an axis that x does not have.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  mean(this: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
    demandNoMore(arguments, 2, "mean");
    return reductions.mean(this, dim, keepdim);
  }

  /**
   * The product over dim.
   *
   * @throws {ShapeError} for an axis that x does not have.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  prod(this: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
    demandNoMore(arguments, 2, "prod");
    return reductions.prod(this, dim, keepdim);
  }

  /**
   * The largest over dim.
   *
   * @throws {ShapeError} for an axis that x does not have, or one without elements.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for a dtype that it does not take.
   */
  max(this: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
    demandNoMore(arguments, 2, "max");
    return reductions.max(this, dim, keepdim);
  }

  /**
   * The smallest over dim.
   *
   * @throws {ShapeError} for an axis that x does not have, or one without elements.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for a dtype that it does not take.
   */
  min(this: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
    demandNoMore(arguments, 2, "min");
    return reductions.min(this, dim, keepdim);
  }

  /**
   * The largest over dim.
   *
   * @throws {ShapeError} for an axis that x does not have, or one without elements.
   * @throws {DTypeError} for a dtype that it does not take.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  amax(this: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
    demandNoMore(arguments, 2, "amax");
    return reductions.amax(this, dim, keepdim);
  }

  /**
   * The smallest over dim.
   *
   * @throws {ShapeError} for an axis that x does not have, or one without elements.
   * @throws {DTypeError} for a dtype that it does not take.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  amin(this: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
    demandNoMore(arguments, 2, "amin");
    return reductions.amin(this, dim, keepdim);
  }

  /**
   * ln Σ eˣ over dim.
   *
   * @throws {ShapeError} for an axis that x does not have.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for a dtype that it does not take.
   */
  logsumexp(this: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
    demandNoMore(arguments, 2, "logsumexp");
    return reductions.logsumexp(this, dim, keepdim);
  }

  /**
   * Whether any is not 0.
   *
   * @throws {ShapeError} for an axis that x does not have.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for a dtype that it does not take.
   */
  any(this: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
    demandNoMore(arguments, 2, "any");
    return reductions.any(this, dim, keepdim);
  }

  /**
   * Whether all are not 0.
   *
   * @throws {ShapeError} for an axis that x does not have.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for a dtype that it does not take.
   */
  all(this: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
    demandNoMore(arguments, 2, "all");
    return reductions.all(this, dim, keepdim);
  }

  /**
   * √Σx² over dim.
   *
   * @throws {ShapeError} for an axis that x does not have.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  norm(this: Tensor, dim: Dims = null, keepdim: KeepDim = false): Tensor {
    demandNoMore(arguments, 2, "norm");
    return reductions.norm(this, dim, keepdim);
  }

  /**
   * The position of the largest; i32.
   *
   * @throws {ShapeError} for an axis that x does not have, or one without elements.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  argmax(this: Tensor, dim: number | null = null, keepdim: KeepDim = false): Tensor {
    demandNoMore(arguments, 2, "argmax");
    return reductions.argmax(this, dim, keepdim);
  }

  /**
   * The position of the smallest; i32.
   *
   * @throws {ShapeError} for an axis that x does not have, or one without elements.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  argmin(this: Tensor, dim: number | null = null, keepdim: KeepDim = false): Tensor {
    demandNoMore(arguments, 2, "argmin");
    return reductions.argmin(this, dim, keepdim);
  }

  /**
   * The variance over dim, correction 1 unless told.
   *
   * @throws {ShapeError} for an axis that x does not have.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for a dtype that it does not take.
   */
  var(this: Tensor, dim: Dims = null, options: VarOptions = {}): Tensor {
    demandNoMore(arguments, 2, "var");
    return reductions.variance(this, dim, options);
  }

  /**
   * The standard deviation over dim, correction 1 unless told.
   *
   * @throws {ShapeError} for an axis that x does not have.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for a dtype that it does not take.
   */
  std(this: Tensor, dim: Dims = null, options: VarOptions = {}): Tensor {
    demandNoMore(arguments, 2, "std");
    return reductions.std(this, dim, options);
  }

  /**
   * Running sums along dim.
   *
   * @throws {ShapeError} for an axis that x does not have.
   */
  cumsum(this: Tensor, dim: number): Tensor {
    demandNoMore(arguments, 1, "cumsum");
    return reductions.cumsum(this, dim);
  }

  /**
   * eˣ / Σeˣ along dim.
   *
   * @throws {ShapeError} for an axis that x does not have.
   */
  softmax(this: Tensor, dim = -1): Tensor {
    demandNoMore(arguments, 1, "softmax");
    return softmaxes.softmax(this, dim);
  }

  /**
   * ln softmax along dim.
   *
   * @throws {ShapeError} for an axis that x does not have.
   */
  logSoftmax(this: Tensor, dim = -1): Tensor {
    demandNoMore(arguments, 1, "logSoftmax");
    return softmaxes.logSoftmax(this, dim);
  }

  /**
   * Layer norm over the last axes.
   *
   * @throws {ShapeError} when shapes do not fit together; the message has both.
   * @throws {DTypeError} for what is no tensor.
   * @throws {DeviceError} for tensors on different devices.
   */
  layerNorm(
    this: Tensor,
    normalizedShape: number | Shape,
    weight: Tensor | null = null,
    bias: Tensor | null = null,
    eps = 1e-5,
  ): Tensor {
    demandNoMore(arguments, 4, "layerNorm");
    return norms.layerNorm(this, normalizedShape, weight, bias, eps);
  }

  /**
   * RMS norm over the last axes.
   *
   * @throws {ShapeError} when shapes do not fit together; the message has both.
   * @throws {DTypeError} for what is no tensor.
   * @throws {DeviceError} for tensors on different devices.
   */
  rmsNorm(
    this: Tensor,
    normalizedShape: number | Shape,
    weight: Tensor | null = null,
    eps: number | null = null,
  ): Tensor {
    demandNoMore(arguments, 3, "rmsNorm");
    return norms.rmsNorm(this, normalizedShape, weight, eps);
  }

  /**
   * Sorted along dim, with positions.
   *
   * @throws {ShapeError} for an axis that x does not have.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for a dtype that it does not take.
   */
  sort(this: Tensor, dim = -1, options: SortOptions = {}): Sorted {
    demandNoMore(arguments, 2, "sort");
    return order.sort(this, dim, options);
  }

  /**
   * Positions that sort dim.
   *
   * @throws {ShapeError} for an axis that x does not have.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for a dtype that it does not take.
   */
  argsort(this: Tensor, dim = -1, options: SortOptions = {}): Tensor {
    demandNoMore(arguments, 2, "argsort");
    return order.argsort(this, dim, options);
  }

  /**
   * The k largest along dim, with positions.
   *
   * @throws {ShapeError} for an axis that x does not have, or a k larger than it.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for a dtype that it does not take.
   */
  topk(this: Tensor, k: number, dim = -1, options: TopKOptions = {}): Sorted {
    demandNoMore(arguments, 3, "topk");
    return order.topk(this, k, dim, options);
  }
}
