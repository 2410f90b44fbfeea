/**
 * Numbers between JavaScript and device memory.
 *
 * Reading waits for the device and always gives row-major data; writing takes any array of numbers and converts it
 * to the dtype. f16 and bf16 travel as raw bits in a `Uint16Array`, i64 as `BigInt64Array`.
 *
 * @module
 */
import type { Backend } from "../backends/contract.ts";
import {
  arrayOn,
  byteSize,
  type DataArray,
  type DType,
  fitsRange,
  isQuantized,
  newArray,
  rangeError,
  rangeOf,
} from "../core/dtype.ts";
import { DeviceError, DTypeError, ShapeError } from "../core/errors.ts";
import { fromBf16, fromF16, toBf16, toF16 } from "../core/half.ts";
import { formatShape, type Shape, sizeOf } from "../core/shape.ts";
import { counted } from "../core/show.ts";
import { empty, type TensorBase } from "./base.ts";
import { copy } from "./fill.ts";
import { keep } from "./lifetime.ts";
import { answerNotices } from "./notices.ts";
import { activeWatcher } from "./tape.ts";

/** The elements of `t`, row-major, as its dtype's array (raw bits for f16 and bf16, raw blocks for q8 and q4). */
export async function readData(t: TensorBase): Promise<DataArray> {
  // A copy must live until the device answers, whatever scope ends meanwhile.
  const whole = t.isContiguous ? t : keep(copy(t));
  const start = byteSize(t.dtype, whole.offset), length = byteSize(t.dtype, t.size);
  const answer = t.backend.download(whole.buffer, start, length);
  // What was noticed on the way is said before what came of it.
  const noticed = activeWatcher()?.settle(t.backend), notices = answerNotices(t.backend);
  if (noticed || notices) await Promise.all([noticed, notices, answer]);
  const bytes = await answer;
  if (whole !== t) whole.dispose();
  return arrayOn(t.dtype, bytes.buffer, bytes.byteOffset, isQuantized(t.dtype) ? length : t.size);
}

/** The elements of `t` at once; null on a device that answers late. */
export function readNow(t: TensorBase): DataArray | null {
  const { backend, dtype } = t;
  if (!backend.mapped || isQuantized(dtype)) return null;
  const whole = t.isContiguous ? t : copy(t);
  const bytes = backend.mapped(whole.buffer).slice(
    byteSize(dtype, whole.offset),
    byteSize(dtype, whole.offset + t.size),
  );
  if (whole !== t) whole.dispose();
  return arrayOn(dtype, bytes.buffer, 0, t.size);
}

/**
 * Checks that numbers hold every digit of what is read.
 * @throws {DTypeError} for i64 values beyond 2^53; `what` was to give them as numbers.
 */
export function demandExact(data: DataArray, dtype: DType, what: string): void {
  if (dtype !== "i64") return;
  for (const v of data as BigInt64Array) {
    if (BigInt(Number(v)) === v) continue;
    throw new DTypeError(
      `${what}: ${v} has more digits than a number holds; read it with data(), which gives a BigInt64Array`,
    );
  }
}

/** The elements as JavaScript numbers; i64 values beyond 2^53 lose their last digits. */
export function toNumbers(data: DataArray, dtype: DType): ArrayLike<number> {
  if (dtype === "f16") return Float32Array.from(data as Uint16Array, fromF16);
  if (dtype === "bf16") return Float32Array.from(data as Uint16Array, fromBf16);
  if (dtype === "i64") return Float64Array.from(data as BigInt64Array, Number);
  if (isQuantized(dtype)) {
    throw new DTypeError(
      `${dtype} holds blocks of weights; convert it with .to({ dtype: "f32" }) to read numbers`,
    );
  }
  return data as ArrayLike<number>;
}

/**
 * `values` as an array of `dtype`; numbers are rounded to nearest, and cut towards zero for integer types. `which` names a
 * value by its place.
 *
 * @throws {DTypeError} for a value that `dtype` does not hold: too large, too small, for integers NaN too.
 */
export function fromNumbers(
  values: ArrayLike<number | bigint | boolean>,
  dtype: DType,
  which: (i: number) => string = (i) => `value ${i}`,
): DataArray {
  const n = values.length, out = newArray(dtype, n);
  switch (dtype) {
    case "i64": {
      const wide = out as BigInt64Array;
      for (let i = 0; i < n; i++) {
        const v = values[i];
        if (!fitsRange(v, dtype)) throw rangeError(which(i), v, dtype);
        wide[i] = typeof v === "bigint" ? v : BigInt(Math.trunc(Number(v)));
      }
      return wide;
    }
    case "i32":
    case "u8": {
      const [least, greatest] = rangeOf(dtype)!.map(Number), whole = out as Int32Array | Uint8Array;
      for (let i = 0; i < n; i++) {
        const v = Math.trunc(Number(values[i]));
        if (!(v >= least && v <= greatest)) throw rangeError(which(i), values[i], dtype);
        whole[i] = v;
      }
      return whole;
    }
    case "f16":
    case "bf16": {
      const convert = dtype === "f16" ? toF16 : toBf16, bits = out as Uint16Array;
      for (let i = 0; i < n; i++) {
        if (!fitsRange(values[i], dtype)) throw rangeError(which(i), values[i], dtype);
        bits[i] = convert(Number(values[i]));
      }
      return bits;
    }
    case "bool": {
      for (let i = 0; i < n; i++) (out as Uint8Array)[i] = Number(values[i]) !== 0 ? 1 : 0;
      return out;
    }
    case "q8":
    case "q4":
      throw new DTypeError(`${dtype} tensors are made from f32 weights with .to({ dtype: "${dtype}" })`);
    case "q6k":
    case "q5k":
    case "q4k":
    case "q3k":
    case "q2k":
      throw new DTypeError(`${dtype} tensors are read from a GGUF, or made of its blocks, a Uint8Array`);
    default: {
      const plain = out as Float32Array;
      for (let i = 0; i < n; i++) {
        plain[i] = Number(values[i]);
        // Most are finite, and need no second look.
        if (!Number.isFinite(plain[i]) && !fitsRange(values[i], dtype)) {
          throw rangeError(which(i), values[i], dtype);
        }
      }
      return plain;
    }
  }
}

/**
 * Checks that `backend` holds tensors of `dtype`.
 * @throws {DTypeError} when it does not.
 */
export function demandDType(dtype: DType, backend: Backend): void {
  if (backend.supports(dtype)) return;
  const advice = dtype === "f64"
    ? `use f32, or device "reference"`
    : backend.name === "cpu"
    ? "in a bundle, call initQuantized() first"
    : "use another dtype or device";
  throw new DTypeError(`device "${backend.name}" does not hold ${dtype}; ${advice}`);
}

/** A tensor of `shape` with the elements of `data`, an array of `dtype` already. */
export function fromData(
  data: DataArray,
  shape: Shape,
  dtype: DType,
  backend: Backend,
  madeBy = "tensor",
): TensorBase {
  demandDType(dtype, backend);
  if (!isQuantized(dtype) && data.length !== sizeOf(shape)) {
    throw new ShapeError(
      `tensor: ${counted(data.length, "value")} cannot fill the shape ${formatShape(shape)} of ${
        sizeOf(shape)
      }`,
    );
  }
  const out = empty(shape, dtype, backend, madeBy);
  if (data.byteLength) {
    backend.upload(out.buffer, 0, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return out;
}

/**
 * A copy of `t` on another device.
 * @throws {DeviceError} when t's device answers late (WebGPU): then read it with `await t.data()` first.
 */
export function moveTo(t: TensorBase, backend: Backend): TensorBase {
  const mapped = t.backend.mapped;
  if (!mapped) {
    throw new DeviceError(
      `to: tensors on "${t.device}" cannot be moved without waiting; use tensor(await t.data(), { shape, device })`,
    );
  }
  demandDType(t.dtype, backend);
  const whole = t.isContiguous ? t : copy(t);
  const start = byteSize(t.dtype, whole.offset), length = byteSize(t.dtype, t.size);
  const out = empty(t.shape, t.dtype, backend, "to");
  if (length) {
    const bytes = mapped.call(t.backend, whole.buffer).subarray(start, start + length);
    backend.upload(out.buffer, 0, bytes);
  }
  if (whole !== t) whole.dispose();
  return out;
}
