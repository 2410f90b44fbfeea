/**
 * Conversions between stored elements and the lanes of a program, once both lie in 32-bit lanes (or in scalars, where
 * 64-bit integers meet other types).
 *
 * To integers, floats are cut and saturate, NaN becomes 0; between integers the low bits are kept; to bool, what is not
 * 0 is 1; to f16 and bf16, to nearest even, as `core/half.ts`.
 *
 * @module
 */
import type { DType } from "../../../core/dtype.ts";
import type { Program } from "../../../expr/nodes.ts";
import type { Local } from "../assembler/mod.ts";
import type { Vectors, VectorWriter } from "../math/writer.ts";

/** The f32 that the 16 low bits of each lane stand for as f16. */
function fromF16(w: VectorWriter, raw: Vectors): Vectors {
  const magnitude = w.shift("i32x4.shl", w.and(raw, 0x7fff), 13);
  const sign = w.shift("i32x4.shl", w.and(raw, 0x8000), 16);
  // The exponent is 112 too small; a multiplication puts right subnormal numbers too. Infinity and NaN are or-ed.
  const special = w.and(w.op("i32x4.gt_s", magnitude, 0x0f7fffff), 0x7f800000);
  return w.or(w.or(w.mul(magnitude, 2 ** 112), special), sign);
}

/** The bits of f16 nearest to each f32. */
function toF16(w: VectorWriter, x: Vectors): Vectors {
  const magnitude = w.and(x, 0x7fffffff);
  const sign = w.and(w.shift("i32x4.shr_u", x, 16), 0x8000);
  const even = w.and(w.shift("i32x4.shr_u", magnitude, 13), 1);
  const rounded = w.op("i32x4.add", w.op("i32x4.add", magnitude, 0xfff - 0x38000000), even);
  const normal = w.shift("i32x4.shr_u", rounded, 13);
  // Adding 0.5 lines the fraction of subnormal results up, and the addition rounds.
  const subnormal = w.op("i32x4.sub", w.add(magnitude, 0.5), 0x3f000000);
  const finite = w.select(w.op("i32x4.lt_s", magnitude, 0x38800000), subnormal, normal, "i32x4");
  const bounded = w.select(w.op("i32x4.gt_s", magnitude, 0x477fffff), 0x7c00, finite, "i32x4");
  return w.or(w.select(w.op("i32x4.gt_s", magnitude, 0x7f800000), 0x7e00, bounded, "i32x4"), sign);
}

/** The bits of bf16 nearest to each f32. */
function toBf16(w: VectorWriter, x: Vectors): Vectors {
  const upper = w.shift("i32x4.shr_u", x, 16);
  const rounded = w.op("i32x4.add", w.op("i32x4.add", x, 0x7fff), w.and(upper, 1));
  const number = w.shift("i32x4.shr_u", rounded, 16);
  return w.select(w.op("f32x4.eq", x, x), number, w.or(upper, 0x40), "i32x4");
}

/** The f32 that a stored floating-point element stands for. */
function toFloat(w: VectorWriter, dtype: DType, raw: Vectors): Vectors {
  if (dtype === "bf16") return w.shift("i32x4.shl", raw, 16);
  return dtype === "f16" ? fromF16(w, raw) : raw;
}

/**
 * Elements as stored, zero extended to 32-bit lanes, as lanes of f32 or i32.
 */
export function emitFromStored(w: VectorWriter, dtype: DType, type: "f32" | "i32", raw: Vectors): Vectors {
  if (dtype === "f32" || dtype === "f16" || dtype === "bf16") {
    const x = toFloat(w, dtype, raw);
    return type === "f32" ? x : w.op("i32x4.trunc_sat_f32x4_s", x);
  }
  return type === "i32" ? raw : w.op("f32x4.convert_i32x4_s", raw);
}

/** Lanes of f32 or i32 as the bits to store, in the low part of 32-bit lanes. */
export function emitToStored(w: VectorWriter, dtype: DType, type: "f32" | "i32", x: Vectors): Vectors {
  if (dtype === "bool") {
    return w.and(type === "f32" ? w.op("f32x4.ne", x, 0) : w.op("i32x4.ne", x, 0), 1);
  }
  if (dtype === "f32" || dtype === "f16" || dtype === "bf16") {
    const float = type === "f32" ? x : w.op("f32x4.convert_i32x4_s", x);
    return dtype === "f32" ? float : dtype === "f16" ? toF16(w, float) : toBf16(w, float);
  }
  const integer = type === "i32" ? x : w.op("i32x4.trunc_sat_f32x4_s", x);
  if (dtype === "i32") return integer;
  return type === "i32" ? w.and(integer, 255) : w.op("i32x4.max_s", w.op("i32x4.min_s", integer, 255), 0);
}

/** Pushes one stored element as a scalar of the compute type, where one of the two is a 64-bit integer. */
export function emitScalarLoad(
  w: VectorWriter,
  dtype: DType,
  type: Program["type"],
  address: Local,
  offset: number,
): void {
  const { f } = w;
  f.get(address);
  if (type === "i32") return f.load("i32.load", offset); // the low half of an i64
  if (type === "f32") {
    f.load("i64.load", offset);
    return f.op("f32.convert_i64_s");
  }
  switch (dtype) {
    case "i64":
      return f.load("i64.load", offset);
    case "i32":
      return f.load("i64.load32_s", offset);
    case "u8":
    case "bool":
      return f.load("i64.load8_u", offset);
    default: {
      f.load(dtype === "f32" ? "i32.load" : "i32.load16_u", offset);
      f.op("i32x4.splat");
      const raw = f.local("v128");
      f.set(raw);
      f.get(toFloat(w.withWidth(1), dtype, [raw])[0]);
      f.lane("f32x4.extract_lane", 0);
      return f.op("i64.trunc_sat_f32_s");
    }
  }
}

/** Stores one lane as an element, where one of the two types is a 64-bit integer. */
export function emitScalarStore(
  w: VectorWriter,
  dtype: DType,
  type: Program["type"],
  x: Local,
  lane: number,
  address: Local,
  offset: number,
): void {
  const { f } = w;
  f.push(address, x);
  if (type !== "i64") {
    f.lane(type === "f32" ? "f32x4.extract_lane" : "i32x4.extract_lane", lane);
    f.op(type === "f32" ? "i64.trunc_sat_f32_s" : "i64.extend_i32_s");
    return f.store("i64.store", offset);
  }
  f.lane("i64x2.extract_lane", lane);
  switch (dtype) {
    case "i64":
      return f.store("i64.store", offset);
    case "i32":
      return f.store("i64.store32", offset);
    case "u8":
      return f.store("i64.store8", offset);
    case "bool":
      f.i64(0);
      f.op("i64.ne");
      return f.store("i32.store8", offset);
    default: {
      f.op("f32.convert_i64_s");
      if (dtype === "f32") return f.store("f32.store", offset);
      f.op("f32x4.splat");
      const float = f.local("v128");
      f.set(float);
      f.get(emitToStored(w.withWidth(1), dtype, "f32", [float])[0]);
      f.lane("i32x4.extract_lane", 0);
      return f.store("i32.store16", offset);
    }
  }
}
