/**
 * Tensors from nothing: given values, constants and ranges. (Random numbers are in `random.ts`.)
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { counted, show } from "../core/show.ts";
import type { Backend, DeviceName } from "../backends/contract.ts";
import { byteSize, type DataArray, type DType, fitsRange, isFloat, isQuantized } from "../core/dtype.ts";
import { DTypeError, OptionError, ShapeError } from "../core/errors.ts";
import * as kinds from "../core/kinds.ts";
import { fixed, isDynamic, isNumber } from "../core/number.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { demandCountable, formatShape, type Shape } from "../core/shape.ts";
import { activeCapture, asLeaf, backendOf, demandDType, fromData, fromNumbers } from "../tensor/mod.ts";
import { alias, copyInto, demandTensor, empty as allocate, filled } from "./bridge.ts";
import type { Tensor } from "./tensor.ts";

/**
 * What every creating function takes.
 *
 * @category Create tensors
 */
export interface TensorOptions {
  /** The element type. Default: f32 (for `tensor`, what the data says). */
  dtype?: DType;
  /** Where it lives. Default: the default device. */
  device?: DeviceName;
  /** Whether gradients gather in it. Default false. */
  requiresGrad?: boolean;
}

/** {@link TensorOptions} as data. */
export const tensorOptions: OptionTable<TensorOptions> = {
  dtype: kinds.dtype,
  device: kinds.device,
  requiresGrad: kinds.flag,
};

const shapedOptions: OptionTable<TensorOptions & { shape?: Shape }> = {
  ...tensorOptions,
  shape: kinds.kind("a list of sizes such as [2, 3]", Array.isArray),
};

/**
 * Numbers as nested arrays.
 *
 * @category Create tensors
 */
export type NestedArray = number | boolean | bigint | readonly NestedArray[];

/**
 * `t`, as a leaf when one is asked for.
 * @throws {DTypeError} for integers.
 */
export function finish(t: Tensor, requiresGrad = false): Tensor {
  if (requiresGrad) {
    if (!isFloat(t.dtype)) {
      throw new DTypeError(
        `requiresGrad: only floating-point tensors have gradients, this one is ${t.dtype}`,
      );
    }
    asLeaf(t, true);
  }
  return t;
}

/**
 * A copy of `shape`.
 * @throws {ShapeError} when it is not a list of sizes.
 */
export function checkShape(shape: Shape, what: string): Shape {
  if (!Array.isArray(shape)) {
    throw new ShapeError(`${what}: a shape is a list of sizes such as [2, 3], not ${shape}`);
  }
  for (const n of shape) {
    if (!Number.isInteger(n) || n < 0) throw new ShapeError(`${what}: ${formatShape(shape)} is not a shape`);
  }
  demandCountable(shape, what);
  return [...shape];
}

function typeOfArray(data: ArrayBufferView): DType {
  if (data instanceof Float32Array || data instanceof Float64Array) return "f32";
  if (data instanceof Int32Array || data instanceof Int16Array || data instanceof Int8Array) return "i32";
  if (data instanceof Uint8Array || data instanceof Uint8ClampedArray) return "u8";
  if (data instanceof BigInt64Array) return "i64";
  throw new DTypeError(
    `tensor: a ${data.constructor.name} needs its meaning said: pass { dtype: "f16" } or "bf16" for raw bits in a Uint16Array`,
  );
}

function isRaw(data: ArrayBufferView, dtype: DType): boolean {
  return (dtype === "f32" && data instanceof Float32Array) ||
    (dtype === "f64" && data instanceof Float64Array) ||
    ((dtype === "f16" || dtype === "bf16") && data instanceof Uint16Array) ||
    (dtype === "i32" && data instanceof Int32Array) || (dtype === "i64" && data instanceof BigInt64Array) ||
    (dtype === "u8" && data instanceof Uint8Array) ||
    (isQuantized(dtype) && data instanceof Uint8Array);
}

/** The most axes of a tensor made of lists, as in PyTorch. */
const mostDims = 64;

function flatten(data: NestedArray): { values: (number | boolean | bigint)[]; shape: number[] } {
  const shape: number[] = [];
  for (let level = data; Array.isArray(level); level = level[0]) {
    if (shape.push(level.length) > mostDims) {
      throw new ShapeError(`tensor: the lists are nested more than ${mostDims} deep, or hold themselves`);
    }
    if (level.length === 0) break;
  }
  const values: (number | boolean | bigint)[] = [];
  const at: number[] = [];
  const where = (): string => `data${at.map((i) => `[${i}]`).join("")}`;
  const visit = (part: NestedArray, depth: number): void => {
    if (!Array.isArray(part)) {
      if (!isNumber(part) && typeof part !== "boolean" && typeof part !== "bigint") {
        throw new DTypeError(`tensor: ${where()} is ${part === null ? "null" : typeof part}, not a number`);
      }
      if (depth !== shape.length) {
        throw new ShapeError(`tensor: the lists are ragged: ${where()} is a number where others are lists`);
      }
      values.push(part);
      return;
    }
    if (part.length !== shape[depth]) {
      throw new ShapeError(
        depth < shape.length
          ? `tensor: the lists are ragged: ${where()} has ${
            counted(part.length, "entry", "entries")
          } where others have ${shape[depth]}`
          : `tensor: the lists are ragged: ${where()} is a list where others are numbers`,
      );
    }
    for (let i = 0; i < part.length; i++) {
      at[depth] = i;
      visit(part[i], depth + 1);
    }
    at.length = depth;
  };
  visit(data, 0);
  return { values, shape };
}

/** Where element `i` of nested lists of `shape` stands: `[1][0]`. */
function placeOf(i: number, shape: Shape): string {
  return shape.reduceRight(
    ([text, left], n) => [`[${left % n}]${text}`, Math.floor(left / n)] as [string, number],
    [
      "",
      i,
    ] as [string, number],
  )[0];
}

/**
 * A tensor of the given values: a number, nested lists, or a typed array with a `shape` (one axis unless told).
 *
 * Numbers give f32, booleans bool, bigints i64, typed arrays their own type. f16 and bf16 are rounded from numbers, or
 * taken as raw bits from a `Uint16Array`; integer types take the whole part of a number.
 *
 * @example
 * ```ts
 * const x = tensor([[1, 2], [3, 4]], { requiresGrad: true });
 * const bits = tensor(new Uint16Array([0x3c00]), { dtype: "f16" }); // 1
 * ```
 *
 * @throws {ShapeError} for ragged lists or a shape that the values do not fill.
 * @throws {DTypeError} for a dtype that the device does not hold, and a value that an integer dtype does not.
 * @throws {OptionError} for an option that does not exist, or a value it cannot have.
 * @throws {DeviceError} for a device that is not there.
 * @category Create tensors
 */
export function tensor(
  data: NestedArray | ArrayBufferView,
  options: TensorOptions & { shape?: Shape } = {},
): Tensor {
  demandNoMore(arguments, 2, "tensor");
  return fromValues("tensor", data, checkOptions("tensor", options, shapedOptions));
}

/** The same, for options that were checked. */
function fromValues(
  what: string,
  data: NestedArray | ArrayBufferView,
  options: TensorOptions & { shape?: Shape },
): Tensor {
  // In a compiled function: a number of the run.
  if (isDynamic(data)) {
    const { shape = [], ...rest } = options;
    return full(shape, data as number, rest);
  }
  const backend = backendOf(options.device);
  let raw: DataArray, shape: Shape, dtype: DType;
  if (ArrayBuffer.isView(data)) {
    const list = data as Float32Array;
    dtype = options.dtype ?? typeOfArray(data);
    shape = options.shape ? checkShape(options.shape, what) : [list.length];
    raw = isRaw(data, dtype) ? data as DataArray : fromNumbers(list, dtype, (i) => `${what}: value ${i}`);
  } else {
    const { values, shape: own } = flatten(data);
    const kinds = new Set(values.map((v) => typeof v));
    const natural = kinds.size === 1 && kinds.has("boolean") ? "bool" : kinds.has("bigint") ? "i64" : "f32";
    dtype = options.dtype ?? natural;
    shape = options.shape ? checkShape(options.shape, what) : own;
    if (values.some(isDynamic)) {
      return finish(ofTheRun(values as number[], shape, dtype, backend), options.requiresGrad);
    }
    raw = fromNumbers(values, dtype, (i) => `${what}: data${placeOf(i, own)}`);
  }
  if (dtype === "bool" && raw instanceof Uint8Array) raw = raw.map((v) => v ? 1 : 0);
  return finish(fromData(raw, shape, dtype, backend) as Tensor, options.requiresGrad);
}

/** In a compiled function: a tensor of numbers that are arguments of it. */
function ofTheRun(values: readonly number[], shape: Shape, dtype: DType, backend: Backend): Tensor {
  demandDType(dtype, backend);
  const out = allocate(shape, dtype, backend, "tensor");
  activeCapture()?.uploadPerRun(backend, out.buffer, () => {
    const { buffer, byteOffset, byteLength } = fromNumbers(values.map(fixed), dtype);
    return new Uint8Array(buffer, byteOffset, byteLength);
  });
  return out;
}

/**
 * A tensor of `shape` full of `value`.
 *
 * @throws {ShapeError} for sizes that are no whole numbers from 0.
 * @throws {OptionError} for options that do not exist.
 * @throws {DeviceError} where memory is not enough.
 * @throws {DTypeError} for a dtype that the device does not hold or that does not hold the values, and gradients of
 *   integers.
 * @example
 * ```ts
 * full([2], 7); // [7, 7]
 * ```
 * @category Create tensors
 */
export function full(shape: Shape, value: number | boolean, options: TensorOptions = {}): Tensor {
  demandNoMore(arguments, 3, "full");
  if (typeof value !== "boolean" && !isNumber(value)) {
    throw new OptionError(`full: the value is ${show(value)}, expected a number`);
  }
  return constant("full", shape, value, options);
}

function constant(
  what: string,
  shape: Shape,
  value: number | boolean,
  given: TensorOptions,
  like: TensorOptions = {},
): Tensor {
  const options = { ...like, ...checkOptions(what, given, tensorOptions) };
  const dtype = options.dtype ?? (typeof value === "boolean" ? "bool" : "f32");
  const backend = backendOf(options.device);
  demandDType(dtype, backend);
  const number = typeof value === "boolean" ? Number(value) : value;
  return finish(filled(checkShape(shape, what), number, dtype, backend, what), options.requiresGrad);
}

/**
 * Zeros of that shape.
 *
 * @throws {ShapeError} for sizes that are no whole numbers from 0.
 * @throws {OptionError} for options that do not exist.
 * @throws {DeviceError} where memory is not enough.
 * @throws {DTypeError} for a dtype that the device does not hold or that does not hold the values, and gradients of
 *   integers.
 * @example
 * ```ts
 * zeros([2, 2], { dtype: "i32" }); // [[0, 0], [0, 0]]
 * ```
 * @category Create tensors
 */
export function zeros(shape: Shape, options: TensorOptions = {}): Tensor {
  demandNoMore(arguments, 2, "zeros");
  return constant("zeros", shape, 0, options);
}

/**
 * Ones of that shape.
 *
 * @throws {ShapeError} for sizes that are no whole numbers from 0.
 * @throws {OptionError} for options that do not exist.
 * @throws {DeviceError} where memory is not enough.
 * @throws {DTypeError} for a dtype that the device does not hold or that does not hold the values, and gradients of
 *   integers.
 * @example
 * ```ts
 * ones([3]); // [1, 1, 1]
 * ```
 * @category Create tensors
 */
export function ones(shape: Shape, options: TensorOptions = {}): Tensor {
  demandNoMore(arguments, 2, "ones");
  return constant("ones", shape, 1, options);
}

/**
 * A tensor of that shape with undefined contents, to be written before it is read.
 *
 * @throws {ShapeError} for sizes that are no whole numbers from 0.
 * @throws {OptionError} for options that do not exist.
 * @throws {DeviceError} where memory is not enough.
 * @throws {DTypeError} for a dtype that the device does not hold or that does not hold the values, and gradients of
 *   integers.
 * @category Create tensors
 */
export function empty(shape: Shape, options: TensorOptions = {}): Tensor {
  demandNoMore(arguments, 2, "empty");
  const { dtype = "f32", device, requiresGrad } = checkOptions("empty", options, tensorOptions);
  const backend = backendOf(device);
  demandDType(dtype, backend);
  return finish(allocate(checkShape(shape, "empty"), dtype, backend, "empty"), requiresGrad);
}

/**
 * Zeros with the shape, dtype and device of `t`.
 *
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for options that do not exist.
 * @throws {DeviceError} where memory is not enough.
 * @category Create tensors
 */
export function zerosLike(t: Tensor, options: TensorOptions = {}): Tensor {
  demandNoMore(arguments, 2, "zerosLike");
  demandTensor("zerosLike", t, "t");
  return constant("zerosLike", t.shape, 0, options, { dtype: t.dtype, device: t.device });
}

/**
 * Ones with the shape, dtype and device of `t`.
 *
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for options that do not exist.
 * @throws {DeviceError} where memory is not enough.
 * @category Create tensors
 */
export function onesLike(t: Tensor, options: TensorOptions = {}): Tensor {
  demandNoMore(arguments, 2, "onesLike");
  demandTensor("onesLike", t, "t");
  return constant("onesLike", t.shape, 1, options, { dtype: t.dtype, device: t.device });
}

/** Elements that are made in JavaScript at a time. */
const pieceElements = 65536;

/**
 * A tensor whose elements `value` gives by their number. Its memory is taken first, and the numbers are made in pieces: a
 * size that does not fit is refused before anything is done.
 */
export function generated(
  what: string,
  shape: Shape,
  value: (i: number) => number,
  options: TensorOptions & { dtype: DType },
): Tensor {
  const { dtype, requiresGrad } = options, backend = backendOf(options.device);
  demandDType(dtype, backend);
  const out = allocate(checkShape(shape, what), dtype, backend, what);
  try {
    for (let start = 0; start < out.size; start += pieceElements) {
      const piece = Float64Array.from(
        { length: Math.min(pieceElements, out.size - start) },
        (_, i) => value(start + i),
      );
      const data = fromNumbers(piece, dtype, (i) => `${what}: element ${start + i}`);
      backend.upload(out.buffer, byteSize(dtype, start), new Uint8Array(data.buffer));
    }
    return finish(out, requiresGrad);
  } catch (error) {
    out.dispose();
    throw error;
  }
}

/**
 * `arange(end)`, `arange(start, end)` or `arange(start, end, step)`: end is not included. Whole numbers give i32 (i64 where
 * i32 does not hold them), fractions f32.
 *
 * @throws {ShapeError} for sizes that are no whole numbers from 0.
 * @throws {OptionError} for options that do not exist.
 * @throws {DeviceError} where memory is not enough.
 * @throws {DTypeError} for a dtype that the device does not hold or that does not hold the values, and gradients of
 *   integers.
 * @example
 * ```ts
 * arange(1, 10, 3); // [1, 4, 7]
 * ```
 * @category Create tensors
 */
export function arange(end: number, options?: TensorOptions): Tensor;
/**
 * From `start` up to `end`, which is not included, by `step`.
 *
 * @throws {ShapeError} for sizes that are no whole numbers from 0.
 * @throws {OptionError} for options that do not exist.
 * @throws {DeviceError} where memory is not enough.
 * @category Create tensors
 */
export function arange(start: number, end: number, options?: TensorOptions): Tensor;
/**
 * From `start` up to `end`, which is not included, by `step`.
 *
 * @throws {ShapeError} for sizes that are no whole numbers from 0.
 * @throws {OptionError} for options that do not exist.
 * @throws {DeviceError} where memory is not enough.
 * @category Create tensors
 */
export function arange(start: number, end: number, step: number, options?: TensorOptions): Tensor;
export function arange(...args: (number | TensorOptions | undefined)[]): Tensor {
  const last = args.findIndex((a) => !isNumber(a)), count = last < 0 ? args.length : last;
  demandNoMore(arguments, count > 3 ? 3 : count + 1, "arange");
  const numbers = (args.slice(0, count) as number[]).map(fixed);
  const options = checkOptions("arange", args[count] as TensorOptions | undefined, tensorOptions);
  const [start, end, step] = numbers.length === 1
    ? [0, numbers[0], 1]
    : [numbers[0], numbers[1], numbers[2] ?? 1];
  if (step === 0 || ![start, end, step].every(Number.isFinite)) {
    throw new OptionError(
      `arange: start ${start}, end ${end} and step ${step} must be finite, and the step not 0`,
    );
  }
  const whole = [start, end, step].every(Number.isInteger);
  const size = Math.max(0, Math.ceil((end - start) / step)), ends = [start, start + (size - 1) * step];
  const integer = ends.every((n) => fitsRange(n, "i32")) ? "i32" : "i64";
  const dtype = options.dtype ?? (whole ? integer : "f32");
  if (dtype === "i64" && size > 0 && !ends.every(Number.isSafeInteger)) {
    throw new OptionError(
      `arange: from ${start} to ${end} there are whole numbers that a number does not hold`,
    );
  }
  return generated("arange", [size], (i) => start + i * step, { ...options, dtype });
}

/**
 * `steps` evenly spaced numbers from `start` to `end`, both included.
 *
 * @throws {ShapeError} for sizes that are no whole numbers from 0.
 * @throws {OptionError} for options that do not exist.
 * @throws {DeviceError} where memory is not enough.
 * @throws {DTypeError} for a dtype that the device does not hold or that does not hold the values, and gradients of
 *   integers.
 * @example
 * ```ts
 * linspace(0, 1, 5); // [0, 0.25, 0.5, 0.75, 1]
 * ```
 * @category Create tensors
 */
export function linspace(start: number, end: number, steps: number, options: TensorOptions = {}): Tensor {
  demandNoMore(arguments, 4, "linspace");
  if (!Number.isInteger(steps) || steps < 0) {
    throw new OptionError(`linspace: steps is a whole number, not ${steps}`);
  }
  const checked = checkOptions("linspace", options, tensorOptions);
  const step = steps > 1 ? (end - start) / (steps - 1) : 0;
  return generated("linspace", [steps], (i) => start + i * step, { dtype: "f32", ...checked });
}

/**
 * Ones on the diagonal of [n, m], zeros elsewhere.
 *
 * @throws {ShapeError} for sizes that are no whole numbers from 0.
 * @throws {OptionError} for options that do not exist.
 * @throws {DeviceError} where memory is not enough.
 * @throws {DTypeError} for a dtype that the device does not hold, and gradients of integers.
 * @example
 * ```ts
 * eye(2); // [[1, 0], [0, 1]]
 * ```
 * @category Create tensors
 */
export function eye(n: number, options?: TensorOptions): Tensor;
/**
 * Ones on the diagonal of [n, m], zeros elsewhere.
 *
 * @throws {ShapeError} for sizes that are no whole numbers from 0.
 * @throws {OptionError} for options that do not exist.
 * @throws {DeviceError} where memory is not enough.
 * @category Create tensors
 */
export function eye(n: number, m: number, options?: TensorOptions): Tensor;
export function eye(n: number, second?: number | TensorOptions, third?: TensorOptions): Tensor {
  demandNoMore(arguments, isNumber(second) ? 3 : 2, "eye");
  const m = isNumber(second) ? fixed(second) : n;
  const options = checkOptions("eye", isNumber(second) ? third : second, tensorOptions);
  const { dtype = "f32", device, requiresGrad } = options, backend = backendOf(device);
  demandDType(dtype, backend);
  const out = filled(checkShape([n, m], "eye"), 0, dtype, backend, "eye"), count = Math.min(n, m);
  if (count > 0) {
    const one = filled([1], 1, dtype, backend, "eye"), diagonal = alias(out, [count], [m + 1]);
    const ones = alias(one, [count], [0]);
    copyInto(ones, diagonal);
    for (const t of [one, ones, diagonal]) t.dispose();
  }
  return finish(out, requiresGrad);
}
