/**
 * How the views of one call lie beside each other: their common axes, as few as possible, innermost first.
 *
 * Axes of size 1 are dropped, axes along which the first output runs backwards are turned round, the rest is ordered
 * so that the first output is walked through memory, and neighbours are merged where all operands allow it. It runs on
 * every call, so it works in typed arrays that are made once and filled anew.
 *
 * @module
 */
import { byteSize } from "../../../core/dtype.ts";
import { ShapeError } from "../../../core/errors.ts";
import type { View } from "../../contract.ts";
import type { CpuBuffer } from "../buffer.ts";

const mostAxes = 32;
const mostOperands = 64;

/** Common axes of some operands. */
export class Layout {
  /** How many axes there are; at least 1. */
  rank = 0;
  /** Elements in all. */
  count = 0;
  /** Operands described. */
  operands = 0;
  /** Sizes, innermost first. */
  readonly sizes: Int32Array = new Int32Array(mostAxes);
  /** Bytes from one element of an operand to the next, at `operand · axes + axis`. */
  readonly steps: Int32Array = new Int32Array(mostAxes * mostOperands);
  /** Addresses of the first elements. */
  readonly addresses: Float64Array = new Float64Array(mostOperands);

  /** The bytes from one element of `operand` to the next along `axis`. */
  step(operand: number, axis: number): number {
    return this.steps[operand * mostAxes + axis];
  }

  /** Sets the bytes from one element of `operand` to the next along `axis`. */
  setStep(operand: number, axis: number, step: number): void {
    this.steps[operand * mostAxes + axis] = step;
  }

  /**
   * Describes views of one shape; `first` is the one whose memory order counts. Axes along which the last operand has
   * a step of 0 keep their direction when `keepDirection` is set.
   */
  describe(
    inputs: readonly View[],
    outputs: readonly View[],
    first: number,
    keepDirection: boolean = false,
  ): void {
    const { sizes, steps } = this, operands = inputs.length + outputs.length;
    const shape = inputs.length > first ? inputs[first].shape : outputs[first - inputs.length].shape;
    if (shape.length > mostAxes || operands > mostOperands) {
      throw new ShapeError(
        `cpu: an operation takes at most ${mostOperands} operands of ${mostAxes} dimensions, not ${operands} of ${shape.length}`,
      );
    }
    this.operands = operands;
    let rank = 0, count = 1;
    for (let d = shape.length - 1; d >= 0; d--) {
      count *= shape[d];
      if (shape[d] !== 1) sizes[rank++] = shape[d];
    }
    this.count = count;
    for (let k = 0; k < operands; k++) {
      const view = k < inputs.length ? inputs[k] : outputs[k - inputs.length];
      const bytes = byteSize(view.dtype, 1);
      this.addresses[k] = (view.buffer as CpuBuffer).pointer + view.offset * bytes;
      let axis = k * mostAxes;
      for (let d = shape.length - 1; d >= 0; d--) {
        if (shape[d] !== 1) steps[axis++] = view.strides[d] * bytes;
      }
    }
    this.rank = rank;
    if (rank === 0) {
      this.rank = sizes[0] = 1;
      for (let k = 0; k < operands; k++) steps[k * mostAxes] = 0;
      return;
    }
    this.#order(first, keepDirection);
    this.#merge();
  }

  /** Makes the steps of operand `first` positive and ascending. */
  #order(first: number, keepDirection: boolean): void {
    const { steps, rank } = this, base = first * mostAxes;
    for (let axis = 0; axis < rank; axis++) {
      const keep = keepDirection && this.step(this.operands - 1, axis) === 0;
      if (steps[base + axis] < 0 && !keep) this.#turn(axis);
    }
    for (let i = 1; i < rank; i++) {
      for (let j = i; j > 0 && steps[base + j] < steps[base + j - 1]; j--) this.swap(j, j - 1);
    }
  }

  #turn(axis: number): void {
    for (let k = 0; k < this.operands; k++) {
      const at = k * mostAxes + axis;
      this.addresses[k] += (this.sizes[axis] - 1) * this.steps[at];
      this.steps[at] = -this.steps[at];
    }
  }

  /** Moves an axis to another place; those between move by one. */
  move(from: number, to: number): void {
    for (let axis = from; axis > to; axis--) this.swap(axis, axis - 1);
    for (let axis = from; axis < to; axis++) this.swap(axis, axis + 1);
  }

  /** Exchanges two axes. */
  swap(i: number, j: number): void {
    const { sizes, steps } = this, size = sizes[i];
    sizes[i] = sizes[j];
    sizes[j] = size;
    for (let k = 0; k < this.operands; k++) {
      const a = k * mostAxes + i, b = k * mostAxes + j, step = steps[a];
      steps[a] = steps[b];
      steps[b] = step;
    }
  }

  #merge(): void {
    const { sizes, steps, operands } = this;
    let last = 0;
    for (let axis = 1; axis < this.rank; axis++) {
      let joined = true;
      for (let k = 0; k < operands && joined; k++) {
        const base = k * mostAxes;
        joined = steps[base + axis] === steps[base + last] * sizes[last];
      }
      if (joined) {
        sizes[last] *= sizes[axis];
        continue;
      }
      last++;
      if (last === axis) continue;
      sizes[last] = sizes[axis];
      for (let k = 0; k < operands; k++) steps[k * mostAxes + last] = steps[k * mostAxes + axis];
    }
    this.rank = last + 1;
  }
}
