/**
 * The element types a tensor may have, what each costs in bytes, and how two of them combine.
 *
 * `f16` and `bf16` are stored as their 16 raw bits in a `Uint16Array` (the browsers' `Float16Array` is not
 * everywhere yet, and bf16 has no array at all); `bool` is one byte, 0 or 1. `q8` and `q4` are weight-only:
 * symmetric blocks of 32 along the last axis with one f16 scale a block. So are `q2k` to `q6k` and
 * the others of {@link KDType}, the blocks of GGUF's Q2_K to Q6_K, Q4_1, Q5_0 …, which come from such a file and are not made here. `f64` lives on the reference device alone.
 *
 * @module
 */
import { DTypeError } from "./errors.ts";

/**
 * Element types. `f64` exists on the reference device only; `q8`, `q4` and those of `KDType` hold weights only.
 *
 * At the limits:
 *
 * | | integers | floats |
 * |---|---|---|
 * | made (`tensor`, `full`, `arange` …) | the fraction is cut off; what lies out of range, NaN and infinities are a `DTypeError` | rounded; a finite number that would become an infinity is a `DTypeError` |
 * | `to({ dtype })` from floats | the fraction is cut off, what lies beyond is the nearest bound, NaN is 0 (as bool: true) | rounded, also to an infinity |
 * | `to({ dtype })` from integers | the lowest bits are kept (300 in u8 is 44) | rounded, also to an infinity |
 * | `add`, `sub`, `mul`, `neg`, `pow`, `matmul` | wrap around | round, also to an infinity |
 * | `sum`, `prod`, `cumsum` | in i64 | in f32 |
 * | `div` | a float: 1 / 0 is an infinity, 0 / 0 NaN | the same |
 * | `floorDivide`, `remainder`, `fmod` by 0 | a `DTypeError`, compiled too (WebGPU: 0) | an infinity or NaN |
 *
 * @category Tensors
 */
export type DType = "f64" | "f32" | "f16" | "bf16" | "i64" | "i32" | "u8" | "bool" | "q8" | "q4" | KDType;

/**
 * Weights in blocks as a GGUF has them: of 256 (Q2_K to Q6_K, IQ4_XS) or of 32 (Q4_1, Q5_0, Q5_1, IQ4_NL, MXFP4). They are
 * read from files, multiplied with and picked from by the cpu and reference devices, and converted to floats; nothing becomes
 * such blocks but in a file.
 *
 * @category Tensors
 */
export type KDType =
  | "q6k"
  | "q5k"
  | "q4k"
  | "q3k"
  | "q2k"
  | "iq4xs"
  | "q51"
  | "q50"
  | "q41"
  | "iq4nl"
  | "mxfp4";

/**
 * The arrays that hold tensor elements in JavaScript.
 *
 * @category Tensors
 */
export type DataArray =
  | Float64Array<ArrayBufferLike>
  | Float32Array<ArrayBufferLike>
  | Uint16Array<ArrayBufferLike>
  | BigInt64Array<ArrayBufferLike>
  | Int32Array<ArrayBufferLike>
  | Uint8Array<ArrayBufferLike>;

const bytes: Record<DType, number> = {
  f64: 8,
  f32: 4,
  f16: 2,
  bf16: 2,
  i64: 8,
  i32: 4,
  u8: 1,
  bool: 1,
  q8: 34 / 32,
  q4: 18 / 32,
  q6k: 210 / 256,
  q5k: 176 / 256,
  q4k: 144 / 256,
  q3k: 110 / 256,
  q2k: 84 / 256,
  iq4xs: 136 / 256,
  q51: 24 / 32,
  q50: 22 / 32,
  q41: 20 / 32,
  iq4nl: 18 / 32,
  mxfp4: 17 / 32,
};

/** Values of a block of each of {@link KDType}. */
const blockSizes: Readonly<Record<KDType, number>> = {
  q6k: 256,
  q5k: 256,
  q4k: 256,
  q3k: 256,
  q2k: 256,
  iq4xs: 256,
  q51: 32,
  q50: 32,
  q41: 32,
  iq4nl: 32,
  mxfp4: 32,
};

/**
 * Every dtype, widest first.
 *
 * @category Tensors
 */
export const dtypes: readonly DType[] = Object.keys(bytes) as DType[];

/** Elements that share one scale in `q8` and `q4`. */
export const quantBlock = 32;

/** Whether `name` is a dtype. */
export function isDType(name: unknown): name is DType {
  return typeof name === "string" && Object.hasOwn(bytes, name);
}

/** Elements of a block of `dtype`: 1 for what has none. */
export function blockValues(dtype: DType): number {
  return isK(dtype) ? blockSizes[dtype] : dtype === "q8" || dtype === "q4" ? quantBlock : 1;
}

/** Whether `dtype` holds blocks that come from a GGUF alone (see {@link KDType}). */
export function isK(dtype: DType): dtype is KDType {
  return blockSizes[dtype as KDType] !== undefined;
}

/** Bytes that `count` elements of `dtype` take. For quantised ones `count` is a multiple of {@link blockValues}. */
export function byteSize(dtype: DType, count: number): number {
  return bytes[dtype] * count;
}

/** Whether `dtype` is one of the floating-point types (f64, f32, f16, bf16). */
export function isFloat(dtype: DType): boolean {
  return dtype === "f32" || dtype === "f16" || dtype === "bf16" || dtype === "f64";
}

/** Whether `dtype` holds blocks of quantised weights (q8, q4, and those of {@link KDType}). */
export function isQuantized(dtype: DType): boolean {
  return dtype === "q8" || dtype === "q4" || isK(dtype);
}

/** Whether `dtype` holds integers or truth values (i64, i32, u8, bool). */
export function isInteger(dtype: DType): boolean {
  return dtype === "i64" || dtype === "i32" || dtype === "u8" || dtype === "bool";
}

const ranges: Partial<Record<DType, readonly [bigint, bigint]>> = {
  i64: [-(2n ** 63n), 2n ** 63n - 1n],
  i32: [-(2n ** 31n), 2n ** 31n - 1n],
  u8: [0n, 255n],
};

/** The least and the greatest whole number that `dtype` holds; null for floats (which round) and bool. */
export function rangeOf(dtype: DType): readonly [least: bigint, greatest: bigint] | null {
  return ranges[dtype] ?? null;
}

/** The largest finite numbers of floats, and the first ones that would round to infinity. */
const magnitudes: Partial<Record<DType, readonly [largest: number, infinite: number]>> = {
  f64: [Number.MAX_VALUE, Infinity],
  f32: [2 ** 128 - 2 ** 104, 2 ** 128 - 2 ** 103],
  f16: [65504, 65520],
  bf16: [2 ** 128 - 2 ** 120, 2 ** 128 - 2 ** 119],
};

/**
 * Whether `dtype` holds `value`. Integers hold what lies in their range with its fraction cut off, NaN and infinities do not;
 * floats round, and hold infinities, but no finite number that would become one. bool and blocks hold everything.
 */
export function fitsRange(value: number | bigint | boolean, dtype: DType): boolean {
  const range = ranges[dtype], magnitude = magnitudes[dtype];
  if (typeof value === "boolean") return true;
  if (magnitude) {
    return Math.abs(Number(value)) < magnitude[1] || (typeof value === "number" && !Number.isFinite(value));
  }
  if (range === undefined) return true;
  const whole = typeof value === "bigint" ? value : Math.trunc(value);
  return whole >= range[0] && whole <= range[1];
}

/** The error for a value that a dtype does not hold; `which` says where it was given. */
export function rangeError(which: string, value: number | bigint | boolean, dtype: DType): DTypeError {
  const magnitude = magnitudes[dtype];
  if (magnitude) {
    return new DTypeError(
      `${which} is ${value}, and the largest number of ${dtype} is ${
        magnitude[0]
      }; use another dtype, or Infinity where that is meant`,
    );
  }
  const [least, greatest] = rangeOf(dtype) ?? [];
  return new DTypeError(
    `${which} is ${value}, and ${dtype} holds whole numbers from ${least} to ${greatest}; use another dtype`,
  );
}

const rank: Partial<Record<DType, number>> = {
  bool: 0,
  u8: 1,
  i32: 2,
  i64: 3,
  f16: 4,
  bf16: 4,
  f32: 5,
  f64: 6,
};

/**
 * The dtype of a result that mixes `a` and `b`, as PyTorch promotes: bool < u8 < i32 < i64 < f16, bf16 < f32 < f64,
 * and f16 with bf16 gives f32.
 *
 * @throws {DTypeError} for quantised weights, which take part in no arithmetic of their own.
 */
export function promote(a: DType, b: DType): DType {
  if (a === b) return a;
  const ra = rank[a], rb = rank[b];
  if (ra === undefined || rb === undefined) {
    throw new DTypeError(
      `${
        ra === undefined ? a : b
      } holds quantised weights and takes part in no arithmetic; convert it with .to({ dtype: "f32" })`,
    );
  }
  if (ra === rb) return "f32";
  return ra > rb ? a : b;
}

/** An array of `dtype` over `buffer`; for quantised ones, its raw bytes. `length` counts elements (bytes of those). */
export function arrayOn(
  dtype: DType,
  buffer: ArrayBufferLike,
  byteOffset: number,
  length: number,
): DataArray {
  switch (dtype) {
    case "f64":
      return new Float64Array(buffer, byteOffset, length);
    case "f32":
      return new Float32Array(buffer, byteOffset, length);
    case "f16":
    case "bf16":
      return new Uint16Array(buffer, byteOffset, length);
    case "i64":
      return new BigInt64Array(buffer, byteOffset, length);
    case "i32":
      return new Int32Array(buffer, byteOffset, length);
    default:
      return new Uint8Array(buffer, byteOffset, length);
  }
}

/** A fresh, zeroed array for `length` elements of `dtype`. */
export function newArray(dtype: DType, length: number): DataArray {
  const n = isQuantized(dtype) ? byteSize(dtype, length) : length;
  return arrayOn(dtype, new ArrayBuffer(isQuantized(dtype) ? n : byteSize(dtype, n)), 0, n);
}
