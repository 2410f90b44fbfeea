/**
 * Bytes of one dtype into bytes of another, thousands of elements at a time.
 *
 * Every pair passes through a hub of a few thousand elements that stays in the cache: f32 towards floating-point
 * types, i32 between integers, f64 for the rest. Where the input or the output already is the hub's type and lies
 * aligned, it is the hub, so that f16 → f32 is one loop. Values are rounded to nearest even; integers wrap and
 * fractions are cut, as PyTorch casts. Memory is little-endian, like the format and every platform we run on.
 *
 * @module
 */
import { formatShape } from "../core/shape.ts";
import { byteSize, type DType, quantBlock } from "../core/dtype.ts";
import { DTypeError, ShapeError } from "../core/errors.ts";
import { fromF16, toF16 } from "../core/half.ts";
import { type FileDType, quantBlockBytes } from "./disk_dtype.ts";
import { dequantizeQ4, dequantizeQ8, inWhole, quantizeQ4, quantizeQ8 } from "../core/quantize.ts";
import { counted } from "../core/show.ts";

/** Elements a pass, a multiple of 32: the hub and both sides fit the second-level cache. */
const chunk = 4096;

/** What can be converted, and the bytes of an element (of 1/32 block for q8 and q4). */
const readable: Partial<Record<FileDType, number>> = {
  f64: 8,
  f32: 4,
  f16: 2,
  bf16: 2,
  i64: 8,
  i32: 4,
  i16: 2,
  i8: 1,
  u8: 1,
  bool: 1,
  q8: quantBlockBytes("q8") / quantBlock,
  q4: quantBlockBytes("q4") / quantBlock,
};

/** Whether tensors stored as `dtype` can be converted to the library's dtypes. */
export function isConvertible(dtype: FileDType): boolean {
  return readable[dtype] !== undefined;
}

/**
 * Checks that a tensor can be converted.
 *
 * @throws {DTypeError} when `from` is only known by name, or `shape` has no whole blocks of 32 for q8 or q4.
 */
export function checkConversion(from: FileDType, to: DType, shape: readonly number[], what: string): void {
  if (!isConvertible(from)) {
    throw new DTypeError(
      `${what} is ${from}, which is read as raw bytes only, not converted to ${to}; ` +
        `convertible are ${Object.keys(readable).join(", ")}`,
    );
  }
  if ((to === "q8" || to === "q4") && (shape.length === 0 || shape[shape.length - 1] % quantBlock !== 0)) {
    throw new DTypeError(
      `${what} has shape ${formatShape(shape)}; ${to} takes a last size that is a multiple of ${quantBlock}`,
    );
  }
}

// Scratch memory, made at first use: one buffer each for a misaligned input, the hub and a misaligned output.
let scratch: { input: ArrayBuffer; hub: ArrayBuffer; output: ArrayBuffer } | null = null;
/** The 65,536 values of f16 as bits of f32. */
let f16Table: Uint32Array | null = null;

function f16Values(): Uint32Array {
  if (f16Table === null) {
    const values = new Float32Array(65536);
    for (let h = 0; h < 65536; h++) values[h] = fromF16(h);
    f16Table = new Uint32Array(values.buffer);
  }
  return f16Table;
}

function f16ToF32(x: Uint16Array, out: Uint32Array, n: number): void {
  const table = f16Values();
  for (let i = 0; i < n; i++) out[i] = table[x[i]];
}

function bf16ToF32(x: Uint16Array, out: Uint32Array, n: number): void {
  for (let i = 0; i < n; i++) out[i] = x[i] << 16;
}

function f32ToBf16(x: Uint32Array, out: Uint16Array, n: number): void {
  for (let i = 0; i < n; i++) {
    const bits = x[i];
    // Rounding must not carry a NaN into infinity.
    out[i] = (bits & 0x7fffffff) > 0x7f800000 ? bits >>> 16 | 0x40 : bits + 0x7fff + (bits >>> 16 & 1) >>> 16;
  }
}

function f32ToF16(x: Uint32Array, values: Float32Array, out: Uint16Array, n: number): void {
  for (let i = 0; i < n; i++) {
    const bits = x[i], magnitude = bits & 0x7fffffff;
    // Normal f16 numbers, nearly all of them, take the short way.
    out[i] = magnitude >= 0x38800000 && magnitude < 0x47800000
      ? bits >>> 16 & 0x8000 | magnitude - 0x38000000 + 0xfff + (magnitude >>> 13 & 1) >>> 13
      : toF16(values[i]);
  }
}

function i64ToI32(x: Int32Array, out: Int32Array, n: number): void {
  for (let i = 0; i < n; i++) out[i] = x[2 * i];
}

function i64ToF64(x: Int32Array, out: Float64Array, n: number): void {
  for (let i = 0; i < n; i++) out[i] = x[2 * i + 1] * 4294967296 + (x[2 * i] >>> 0);
}

function i32ToI64(x: Int32Array, out: Int32Array, n: number): void {
  for (let i = 0; i < n; i++) {
    out[2 * i] = x[i];
    out[2 * i + 1] = x[i] >> 31;
  }
}

function f64ToI64(x: Float64Array, out: Int32Array, n: number): void {
  for (let i = 0; i < n; i++) {
    const whole = Math.trunc(x[i]);
    out[2 * i] = whole | 0;
    out[2 * i + 1] = Math.floor(whole / 4294967296) | 0;
  }
}

function toBool(x: Float64Array, out: Uint8Array, n: number): void {
  for (let i = 0; i < n; i++) out[i] = x[i] !== 0 ? 1 : 0;
}

type Hub = "f32" | "f64" | "i32";
type HubArray = Float32Array | Float64Array | Int32Array;

function hubOf(from: FileDType, to: DType): Hub {
  if (to === "f64" || to === "bool") return "f64";
  if (to !== "i64" && to !== "i32" && to !== "u8") return "f32";
  return from === "f64" || from === "f32" || from === "f16" || from === "bf16" || from === "q8" ||
      from === "q4"
    ? "f64"
    : "i32";
}

function hubArray(hub: Hub, buffer: ArrayBufferLike, offset: number, n: number): HubArray {
  if (hub === "f32") return new Float32Array(buffer, offset, n);
  return hub === "f64" ? new Float64Array(buffer, offset, n) : new Int32Array(buffer, offset, n);
}

/** Elements of `x` into the hub. */
function load(from: FileDType, x: Uint8Array, hub: HubArray, spare: ArrayBuffer): void {
  const n = hub.length, { buffer, byteOffset } = x;
  switch (from) {
    case "f64":
      return hub.set(new Float64Array(buffer, byteOffset, n));
    case "f32":
      return hub.set(new Float32Array(buffer, byteOffset, n));
    case "i32":
      return hub.set(new Int32Array(buffer, byteOffset, n));
    case "i16":
      return hub.set(new Int16Array(buffer, byteOffset, n));
    case "i8":
      return hub.set(new Int8Array(buffer, byteOffset, n));
    case "u8":
    case "bool":
      return hub.set(x);
    case "i64": {
      const words = new Int32Array(buffer, byteOffset, 2 * n);
      if (hub instanceof Int32Array) return i64ToI32(words, hub, n);
      if (hub instanceof Float64Array) return i64ToF64(words, hub, n);
      const wide = new Float64Array(spare, 0, n);
      i64ToF64(words, wide, n);
      return hub.set(wide);
    }
  }
  // What is left decodes to f32.
  const direct = hub instanceof Float32Array ? hub : new Float32Array(spare, 0, n);
  if (from === "q8") dequantizeQ8(x, direct);
  else if (from === "q4") dequantizeQ4(x, direct);
  else {
    const words = new Uint32Array(direct.buffer, direct.byteOffset, n),
      halves = new Uint16Array(buffer, byteOffset, n);
    if (from === "f16") f16ToF32(halves, words, n);
    else bf16ToF32(halves, words, n);
  }
  if (direct !== hub) hub.set(direct);
}

/** The hub into elements of `out`. */
function store(to: DType, hub: HubArray, out: Uint8Array): void {
  const n = hub.length, { buffer, byteOffset } = out;
  if (hub instanceof Float32Array) {
    const words = new Uint32Array(hub.buffer, hub.byteOffset, n);
    if (to === "q8") quantizeQ8(hub, out);
    else if (to === "q4") quantizeQ4(hub, out);
    else if (to === "bf16") f32ToBf16(words, new Uint16Array(buffer, byteOffset, n), n);
    else if (to === "f16") f32ToF16(words, hub, new Uint16Array(buffer, byteOffset, n), n);
    else new Float32Array(buffer, byteOffset, n).set(hub);
  } else if (to === "f64") new Float64Array(buffer, byteOffset, n).set(hub);
  else if (to === "bool") toBool(hub as Float64Array, out, n);
  else if (to === "i32") new Int32Array(buffer, byteOffset, n).set(hub);
  else if (to === "u8") out.set(hub);
  else if (hub instanceof Float64Array) f64ToI64(hub, new Int32Array(buffer, byteOffset, 2 * n), n);
  else i32ToI64(hub as Int32Array, new Int32Array(buffer, byteOffset, 2 * n), n);
}

/**
 * Converts all of `bytes`, elements of `from`, into `out`, elements of `to`. Any alignment, any kind of memory; the
 * two do not overlap. For q8 and q4 the elements are a multiple of 32.
 *
 * They are those of `what` from value `first` on, as errors say.
 *
 * @throws {DTypeError} when `from` is known by name only (u16, u32, u64, f8 …), and for numbers that blocks cannot hold.
 * @throws {ShapeError} when the lengths do not match.
 */
export function convertBytes(
  from: FileDType,
  to: DType,
  bytes: Uint8Array,
  out: Uint8Array,
  what = "",
  first = 0,
): void {
  const size = readable[from];
  const count = bytes.byteLength / (size ?? 1);
  checkConversion(from, to, [count], "what is to be converted");
  if (size === undefined || !Number.isInteger(count) || byteSize(to, count) !== out.byteLength) {
    throw new ShapeError(
      `${counted(bytes.byteLength, "byte")} of ${from} do not convert to ${
        counted(out.byteLength, "byte")
      } of ${to}: the numbers of elements differ`,
    );
  }
  if (from === to) return out.set(bytes);
  scratch ??= {
    input: new ArrayBuffer(chunk * 8),
    hub: new ArrayBuffer(chunk * 8),
    output: new ArrayBuffer(chunk * 8),
  };
  const hubType = hubOf(from, to), width = byteSize(to, 1);
  const inAligned = bytes.byteOffset % Math.max(1, Math.floor(size)) === 0 || from === "q8" || from === "q4";
  const outAligned = out.byteOffset % Math.max(1, Math.floor(width)) === 0 || to === "q8" || to === "q4";
  for (let at = 0; at < count; at += chunk) {
    const n = Math.min(chunk, count - at);
    let x = bytes.subarray(at * size, (at + n) * size);
    if (!inAligned) {
      new Uint8Array(scratch.input).set(x);
      x = new Uint8Array(scratch.input, 0, n * size);
    }
    const target = out.subarray(at * width, (at + n) * width);
    const y = outAligned ? target : new Uint8Array(scratch.output, 0, n * width);
    // The spare buffer serves loads of two steps; the output's is free whenever the output is not the hub.
    try {
      if (from === hubType) store(to, hubArray(hubType, x.buffer, x.byteOffset, n), y);
      else if (to === hubType) load(from, x, hubArray(hubType, y.buffer, y.byteOffset, n), scratch.hub);
      else {
        const hub = hubArray(hubType, scratch.hub, 0, n);
        load(from, x, hub, scratch.output);
        store(to, hub, y);
      }
    } catch (error) {
      throw inWhole(error, what, first + at);
    }
    if (!outAligned) target.set(y);
  }
}
