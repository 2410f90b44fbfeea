/**
 * Elementwise operations as methods: arithmetic, comparisons, rounding, choosing.
 *
 * Each is the free function of the same name with the tensor as its first argument; what it means stands there.
 *
 * @module
 */
import { TensorBase } from "../../tensor/mod.ts";
import type { Operand } from "../bridge.ts";
import * as elementwise from "../elementwise.ts";
import type { Tensor } from "../tensor.ts";

/**
 * One layer of `Tensor`.
 *
 * @category Tensors
 */
export class ElementwiseMethods extends TensorBase {
  /** This + other. */
  add(this: Tensor, other: Operand): Tensor {
    return elementwise.add(this, other);
  }

  /** This − other. */
  sub(this: Tensor, other: Operand): Tensor {
    return elementwise.sub(this, other);
  }

  /** This · other, element by element. */
  mul(this: Tensor, other: Operand): Tensor {
    return elementwise.mul(this, other);
  }

  /** This / other; integers give f32. */
  div(this: Tensor, other: Operand): Tensor {
    return elementwise.div(this, other);
  }

  /** This to the power other. */
  pow(this: Tensor, other: Operand): Tensor {
    return elementwise.pow(this, other);
  }

  /** The larger of each pair. */
  maximum(this: Tensor, other: Operand): Tensor {
    return elementwise.maximum(this, other);
  }

  /** The smaller of each pair. */
  minimum(this: Tensor, other: Operand): Tensor {
    return elementwise.minimum(this, other);
  }

  /** What division by other leaves, with its sign. */
  remainder(this: Tensor, other: Operand): Tensor {
    return elementwise.remainder(this, other);
  }

  /** What division by other leaves, with the sign of this. */
  fmod(this: Tensor, other: Operand): Tensor {
    return elementwise.fmod(this, other);
  }

  /** ⌊this / other⌋. */
  floorDivide(this: Tensor, other: Operand): Tensor {
    return elementwise.floorDivide(this, other);
  }

  /** √(this² + other²). */
  hypot(this: Tensor, other: Operand): Tensor {
    return elementwise.hypot(this, other);
  }

  /** Where equal, as bool. */
  eq(this: Tensor, other: Operand): Tensor {
    return elementwise.eq(this, other);
  }

  /** Where not equal, as bool. */
  ne(this: Tensor, other: Operand): Tensor {
    return elementwise.ne(this, other);
  }

  /** Where less, as bool. */
  lt(this: Tensor, other: Operand): Tensor {
    return elementwise.lt(this, other);
  }

  /** Where less or equal, as bool. */
  le(this: Tensor, other: Operand): Tensor {
    return elementwise.le(this, other);
  }

  /** Where greater, as bool. */
  gt(this: Tensor, other: Operand): Tensor {
    return elementwise.gt(this, other);
  }

  /** Where greater or equal, as bool. */
  ge(this: Tensor, other: Operand): Tensor {
    return elementwise.ge(this, other);
  }

  /** Where both are not 0. */
  logicalAnd(this: Tensor, other: Operand): Tensor {
    return elementwise.logicalAnd(this, other);
  }

  /** Where one is not 0. */
  logicalOr(this: Tensor, other: Operand): Tensor {
    return elementwise.logicalOr(this, other);
  }

  /** Where exactly one is not 0. */
  logicalXor(this: Tensor, other: Operand): Tensor {
    return elementwise.logicalXor(this, other);
  }

  /** Where 0, as bool. */
  logicalNot(this: Tensor): Tensor {
    return elementwise.logicalNot(this);
  }

  /** −x. */
  neg(this: Tensor): Tensor {
    return elementwise.neg(this);
  }

  /** |x|. */
  abs(this: Tensor): Tensor {
    return elementwise.abs(this);
  }

  /** −1, 0 or 1. */
  sign(this: Tensor): Tensor {
    return elementwise.sign(this);
  }

  /** ⌊x⌋. */
  floor(this: Tensor): Tensor {
    return elementwise.floor(this);
  }

  /** ⌈x⌉. */
  ceil(this: Tensor): Tensor {
    return elementwise.ceil(this);
  }

  /** The nearest whole number, halves to even. */
  round(this: Tensor): Tensor {
    return elementwise.round(this);
  }

  /** x without its fraction. */
  trunc(this: Tensor): Tensor {
    return elementwise.trunc(this);
  }

  /** Where NaN, as bool. */
  isnan(this: Tensor): Tensor {
    return elementwise.isnan(this);
  }

  /** Where infinite, as bool. */
  isinf(this: Tensor): Tensor {
    return elementwise.isinf(this);
  }

  /** Where finite, as bool. */
  isfinite(this: Tensor): Tensor {
    return elementwise.isfinite(this);
  }

  /** Not below min, not above max; null leaves a side open. */
  clamp(this: Tensor, min: Operand | null = null, max: Operand | null = null): Tensor {
    return elementwise.clamp(this, min, max);
  }

  /** x where this is not 0, else y: this is the condition. */
  where(this: Tensor, x: Operand, y: Operand): Tensor {
    return elementwise.where(this, x, y);
  }

  /** `value` where mask is not 0. */
  maskedFill(this: Tensor, mask: Tensor, value: number): Tensor {
    return elementwise.maskedFill(this, mask, value);
  }

  /** This + weight · (end − this). */
  lerp(this: Tensor, end: Tensor, weight: Operand): Tensor {
    return elementwise.lerp(this, end, weight);
  }
}
