/**
 * The tensor people use: the handle of the floor below with every operation as a method.
 *
 * A method is the free function of the same name with the tensor as its first argument; what it means stands there.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { counted, show } from "../core/show.ts";
import type { DeviceName } from "../backends/contract.ts";
import { type DataArray, type DType, isFloat } from "../core/dtype.ts";
import { DTypeError, FerrotypeError, OptionError, ShapeError } from "../core/errors.ts";
import { checkOptions, demandObject } from "../core/options.ts";
import { formatShape } from "../core/shape.ts";
import {
  asLeaf,
  backendOf,
  backward,
  type BackwardOptions,
  demandExact,
  isTurned,
  moveTo,
  readData,
} from "../tensor/mod.ts";
import { registerTensorClass, tidy, toNumbers } from "../tensor/mod.ts";
import { record } from "./bridge.ts";
import { ProductMethods } from "./methods/products.ts";
import { placeOptions } from "./options.ts";
import { toDType } from "./row.ts";
import { detach, transpose } from "./views.ts";

/** Lists that {@link Tensor.toArray} makes at most where they hold no value, and values that it gives at most. */
const mostLists = 2 ** 20, mostValues = 2 ** 26;

/**
 * Nested lists of numbers, as deep as the tensor has axes; a number for none.
 *
 * @category Tensors
 */
export type Nested = number | Nested[];

/**
 * An array of numbers on a device, with its place on the tape.
 *
 * Computing is synchronous; reading values (`data`, `item`, `toArray`) is not, because a device may answer late.
 * Make one with `tensor`, `zeros`, `randn` … rather than with the constructor. Operations as methods stand in
 * {@link ElementwiseMethods}, {@link FunctionMethods}, {@link ReduceMethods}, {@link ViewMethods} and {@link ProductMethods}.
 *
 * @category Tensors
 */
export class Tensor extends ProductMethods {
  /** How many axes it has. */
  get ndim(): number {
    return this.shape.length;
  }

  /**
   * Its elements, row-major, as a copy in the dtype's array: raw bits for f16 and bf16, BigInt64Array for i64, raw blocks
   * for q8 and q4 (of a matrix as it was stored: transpose a transposed one back first).
   */
  data(): Promise<DataArray> {
    demandNoMore(arguments, 0, "data");
    return readData(this);
  }

  /**
   * Its one element as a number.
   * @throws {ShapeError} when it has more or none.
   * @throws {DTypeError} for an i64 that a number does not hold: `data` does.
   */
  async item(): Promise<number> {
    demandNoMore(arguments, 0, "item");
    if (this.size !== 1) {
      throw new ShapeError(`item: a tensor of shape ${formatShape(this.shape)} is not one number`);
    }
    const data = await readData(this);
    demandExact(data, this.dtype, "item");
    return toNumbers(data, this.dtype)[0];
  }

  /**
   * Its elements as nested lists of numbers (bool as 0 and 1), of 67,108,864 (2^26) elements at most.
   * @throws {ShapeError} for more elements, before anything is read: `data` gives them.
   * @throws {DTypeError} for an i64 that a number does not hold: `data` does.
   */
  async toArray(): Promise<Nested> {
    demandNoMore(arguments, 0, "toArray");
    if (this.size > mostValues) {
      throw new ShapeError(
        `toArray: a tensor of shape ${formatShape(this.shape)} has ${
          counted(this.size, "element")
        }, and lists hold ${mostValues} at most; ` +
          "read it with data(), which gives one typed array, or a part of it with slice",
      );
    }
    // Where there is no value, lists could still be without end.
    const lists = this.size > 0
      ? 0
      : this.shape.slice(0, this.shape.indexOf(0)).reduce((n, dim) => n * dim, 1);
    if (lists > mostLists) {
      throw new ShapeError(
        `toArray: a tensor of shape ${
          formatShape(this.shape)
        } has no value, and would be ${lists} empty lists`,
      );
    }
    const data = await readData(this);
    demandExact(data, this.dtype, "toArray");
    const numbers = toNumbers(data, this.dtype);
    let at = 0;
    const level = (depth: number): Nested => {
      if (depth === this.shape.length) return numbers[at++];
      return Array.from({ length: this.shape[depth] }, () => level(depth + 1));
    };
    return level(0);
  }

  /**
   * The same values in another dtype or on another device; itself when nothing changes. The gradient goes back the
   * same way. A matrix whose last dim is a multiple of 32 becomes q8 or q4: blocks for products and embeddings, with no
   * gradient.
   * @throws {DTypeError} for a dtype that the device does not hold, and tensors that q8 and q4 do not.
   * @throws {DeviceError} from a device that answers late; read `await t.data()` there.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  to(target: { dtype?: DType; device?: DeviceName }): Tensor {
    demandNoMore(arguments, 1, "to");
    checkOptions("to", demandObject("to", target, placeOptions), placeOptions);
    const backend = target.device === undefined ? this.backend : backendOf(target.device);
    const dtype = target.dtype ?? this.dtype;
    if (backend === this.backend) return toDType(this, dtype);
    if (isTurned(this)) return tidy(() => transpose(transpose(this as Tensor, 0, 1).to(target), 0, 1));
    return tidy(() => {
      // Converted on the side that holds both dtypes; f64 lives on one device only.
      const from = this.backend.supports(dtype) ? toDType(this, dtype) : this, device = this.device;
      const moved = moveTo(from, backend) as Tensor;
      return toDType(record("to", moved, [from], [], (g) => [g.to({ device })]), dtype);
    });
  }

  /** The same memory in the same shape without a tape: gradients stop here. */
  detach(): Tensor {
    demandNoMore(arguments, 0, "detach");
    return detach(this);
  }

  /**
   * Whether gradients flow to or through it. Setting it is {@link requiresGrad_}.
   * @throws {OptionError} for what is neither true nor false.
   * @throws {DTypeError} for gradients of what is no floating-point tensor.
   * @throws {FerrotypeError} for a result of an operation that is set to false: `detach()` stops gradients.
   */
  override get requiresGrad(): boolean {
    return super.requiresGrad;
  }

  override set requiresGrad(on: boolean) {
    this.requiresGrad_(on);
  }

  /**
   * Makes this tensor a leaf, which gathers gradients, or no leaf any more, in place.
   * @throws {DTypeError} for integers.
   * @throws {FerrotypeError} when switched off for a result: use `detach`.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  requiresGrad_(on = true): this {
    demandNoMore(arguments, 1, "requiresGrad_");
    if (typeof on !== "boolean") {
      throw new OptionError(`requiresGrad_: ${show(on)} is given, expected true or false`);
    }
    if (on && !isFloat(this.dtype)) {
      throw new DTypeError(
        `requiresGrad: only floating-point tensors have gradients, this one is ${this.dtype}`,
      );
    }
    if (!on && this.node && !this.node.leaf) {
      throw new FerrotypeError(
        `requiresGrad: this is a result of ${this.node.name}, not a leaf; use detach()`,
      );
    }
    if (on !== this.requiresGrad) asLeaf(this, on);
    return this;
  }

  /**
   * Adds to `grad` of every leaf this depends on the derivative of this; a tensor of many elements needs `gradient`.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {FerrotypeError} where no tensor with `requiresGrad` led here, and where the tape is used up: `retainGraph`
   *   keeps it.
   * @throws {ShapeError} for a gradient of another shape than this, and none where this has more than one element.
   */
  backward(gradient?: Tensor, options: BackwardOptions = {}): void {
    demandNoMore(arguments, 2, "backward");
    backward(this, gradient, options);
  }

  /** `Tensor [2, 3] f32 on cpu`. */
  override toString(): string {
    demandNoMore(arguments, 0, "toString");
    return `Tensor ${formatShape(this.shape)} ${this.dtype} on ${
      this.isDisposed ? "nothing (disposed)" : this.device
    }`;
  }
}

registerTensorClass(Tensor);
