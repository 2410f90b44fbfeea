/**
 * Elementwise operations as methods: arithmetic, comparisons, rounding, choosing.
 *
 * Each is the free function of the same name with the tensor as its first argument; what it means stands there.
 *
 * @module
 */
import { demandNoMore } from "../../core/demand.ts";
import { TensorBase } from "../../tensor/mod.ts";
import type { AddOptions, DivOptions, RoundOptions } from "../adjusted.ts";
import type { Operand } from "../bridge.ts";
import * as elementwise from "../elementwise.ts";
import type { Tensor } from "../tensor.ts";

/**
 * One layer of `Tensor`.
 *
 * @category Tensors
 */
export class ElementwiseMethods extends TensorBase {
  /**
   * This + other, or this + `alpha` · other, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   * @throws {OptionError} for an `alpha` that is no number.
   */
  add(this: Tensor, other: Operand, options?: AddOptions): Tensor {
    demandNoMore(arguments, 2, "add");
    return elementwise.add(this, other, options);
  }

  /**
   * This − other, or this − `alpha` · other, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   * @throws {OptionError} for an `alpha` that is no number.
   */
  sub(this: Tensor, other: Operand, options?: AddOptions): Tensor {
    demandNoMore(arguments, 2, "sub");
    return elementwise.sub(this, other, options);
  }

  /**
   * This · other, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   */
  mul(this: Tensor, other: Operand): Tensor {
    demandNoMore(arguments, 1, "mul");
    return elementwise.mul(this, other);
  }

  /**
   * This / other; integers give f32, or with a `roundingMode` (`"floor"`, `"trunc"`) integers. Element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   * @throws {OptionError} for another `roundingMode`.
   */
  div(this: Tensor, other: Operand, options?: DivOptions): Tensor {
    demandNoMore(arguments, 2, "div");
    return elementwise.div(this, other, options);
  }

  /**
   * This to the power other, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   */
  pow(this: Tensor, other: Operand): Tensor {
    demandNoMore(arguments, 1, "pow");
    return elementwise.pow(this, other);
  }

  /**
   * The larger of each pair, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   */
  maximum(this: Tensor, other: Operand): Tensor {
    demandNoMore(arguments, 1, "maximum");
    return elementwise.maximum(this, other);
  }

  /**
   * The smaller of each pair, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   */
  minimum(this: Tensor, other: Operand): Tensor {
    demandNoMore(arguments, 1, "minimum");
    return elementwise.minimum(this, other);
  }

  /**
   * What division by other leaves, with its sign, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   * @throws {DTypeError} for integers divided by 0, where the divisor can be seen; a device that answers late (WebGPU)
   *   gives 0 there.
   */
  remainder(this: Tensor, other: Operand): Tensor {
    demandNoMore(arguments, 1, "remainder");
    return elementwise.remainder(this, other);
  }

  /**
   * What division by other leaves, with the sign of this, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   * @throws {DTypeError} for integers divided by 0, where the divisor can be seen; a device that answers late (WebGPU)
   *   gives 0 there.
   */
  fmod(this: Tensor, other: Operand): Tensor {
    demandNoMore(arguments, 1, "fmod");
    return elementwise.fmod(this, other);
  }

  /**
   * ⌊this / other⌋, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   * @throws {DTypeError} for integers divided by 0, where the divisor can be seen; a device that answers late (WebGPU)
   *   gives 0 there.
   */
  floorDivide(this: Tensor, other: Operand): Tensor {
    demandNoMore(arguments, 1, "floorDivide");
    return elementwise.floorDivide(this, other);
  }

  /**
   * √(this² + other²), element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   */
  hypot(this: Tensor, other: Operand): Tensor {
    demandNoMore(arguments, 1, "hypot");
    return elementwise.hypot(this, other);
  }

  /**
   * Where equal, as bool, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   */
  eq(this: Tensor, other: Operand): Tensor {
    demandNoMore(arguments, 1, "eq");
    return elementwise.eq(this, other);
  }

  /**
   * Where not equal, as bool, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   */
  ne(this: Tensor, other: Operand): Tensor {
    demandNoMore(arguments, 1, "ne");
    return elementwise.ne(this, other);
  }

  /**
   * Where less, as bool, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   */
  lt(this: Tensor, other: Operand): Tensor {
    demandNoMore(arguments, 1, "lt");
    return elementwise.lt(this, other);
  }

  /**
   * Where less or equal, as bool, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   */
  le(this: Tensor, other: Operand): Tensor {
    demandNoMore(arguments, 1, "le");
    return elementwise.le(this, other);
  }

  /**
   * Where greater, as bool, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   */
  gt(this: Tensor, other: Operand): Tensor {
    demandNoMore(arguments, 1, "gt");
    return elementwise.gt(this, other);
  }

  /**
   * Where greater or equal, as bool, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   */
  ge(this: Tensor, other: Operand): Tensor {
    demandNoMore(arguments, 1, "ge");
    return elementwise.ge(this, other);
  }

  /**
   * Where both are not 0, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   */
  logicalAnd(this: Tensor, other: Operand): Tensor {
    demandNoMore(arguments, 1, "logicalAnd");
    return elementwise.logicalAnd(this, other);
  }

  /**
   * Where one is not 0, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   */
  logicalOr(this: Tensor, other: Operand): Tensor {
    demandNoMore(arguments, 1, "logicalOr");
    return elementwise.logicalOr(this, other);
  }

  /**
   * Where exactly one is not 0, element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   */
  logicalXor(this: Tensor, other: Operand): Tensor {
    demandNoMore(arguments, 1, "logicalXor");
    return elementwise.logicalXor(this, other);
  }

  /**
   * Where 0, as bool, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  logicalNot(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "logicalNot");
    return elementwise.logicalNot(this);
  }

  /**
   * −x, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  neg(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "neg");
    return elementwise.neg(this);
  }

  /**
   * |x|, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  abs(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "abs");
    return elementwise.abs(this);
  }

  /**
   * −1, 0 or 1, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  sign(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "sign");
    return elementwise.sign(this);
  }

  /**
   * ⌊x⌋, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  floor(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "floor");
    return elementwise.floor(this);
  }

  /**
   * ⌈x⌉, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  ceil(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "ceil");
    return elementwise.ceil(this);
  }

  /**
   * The nearest whole number, or that of so many `decimals`, halves to even, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  round(this: Tensor, options?: RoundOptions): Tensor {
    demandNoMore(arguments, 1, "round");
    return elementwise.round(this, options);
  }

  /**
   * x without its fraction, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  trunc(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "trunc");
    return elementwise.trunc(this);
  }

  /**
   * Where NaN, as bool, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  isnan(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "isnan");
    return elementwise.isnan(this);
  }

  /**
   * Where infinite, as bool, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  isinf(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "isinf");
    return elementwise.isinf(this);
  }

  /**
   * Where finite, as bool, element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   */
  isfinite(this: Tensor): Tensor {
    demandNoMore(arguments, 0, "isfinite");
    return elementwise.isfinite(this);
  }

  /**
   * Not below min, not above max; null leaves a side open. Element by element.
   *
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   * @throws {ShapeError} when the shapes do not broadcast.
   */
  clamp(this: Tensor, min: Operand | null = null, max: Operand | null = null): Tensor {
    demandNoMore(arguments, 2, "clamp");
    return elementwise.clamp(this, min, max);
  }

  /**
   * x where this is not 0, else y: this is the condition. Element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors, and for a number that the result's dtype does not hold.
   * @throws {DeviceError} for tensors on different devices.
   */
  where(this: Tensor, x: Operand, y: Operand): Tensor {
    demandNoMore(arguments, 2, "where");
    return elementwise.where(this, x, y);
  }

  /**
   * `value` where mask is not 0, element by element.
   *
   * @throws {DTypeError} when that cannot hold the value.
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DeviceError} for tensors on different devices.
   */
  maskedFill(this: Tensor, mask: Tensor, value: number): Tensor {
    demandNoMore(arguments, 2, "maskedFill");
    return elementwise.maskedFill(this, mask, value);
  }

  /**
   * This + weight · (end − this), element by element.
   *
   * @throws {ShapeError} when the shapes do not broadcast.
   * @throws {DTypeError} for quantised tensors.
   * @throws {DeviceError} for tensors on different devices.
   */
  lerp(this: Tensor, end: Tensor, weight: Operand): Tensor {
    demandNoMore(arguments, 2, "lerp");
    return elementwise.lerp(this, end, weight);
  }
}
