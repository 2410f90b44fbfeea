/**
 * The element types of ONNX, and what holds each here.
 *
 * A tensor of this library has fewer types. Integers that it does not have are held in the next wider one (i8, i16, u16
 * in i32; u32 in i64), with their range kept by the operators; u64 is the same 64 bits in i64. f64 lives on the
 * reference device. Texts are lists of their own.
 *
 * @module
 */
import type { DType } from "../core/dtype.ts";

/** An element type of ONNX. */
export type OnnxType =
  | "float"
  | "uint8"
  | "int8"
  | "uint16"
  | "int16"
  | "int32"
  | "int64"
  | "string"
  | "bool"
  | "float16"
  | "double"
  | "uint32"
  | "uint64"
  | "bfloat16"
  | "float8e4m3fn"
  | "float8e4m3fnuz"
  | "float8e5m2"
  | "float8e5m2fnuz"
  | "uint4"
  | "int4"
  | "float4e2m1";

interface TypeRow {
  /** `TensorProto.DataType`. */
  readonly code: number;
  /** The dtype that holds it; null for texts. */
  readonly held: DType | null;
  /** Bits of an element in `raw_data`. */
  readonly bits: number;
  /** Least and greatest value of an integer that its dtype here does not bound by itself. */
  readonly range?: readonly [number, number];
}

const rows: Readonly<Record<OnnxType, TypeRow>> = {
  float: { code: 1, held: "f32", bits: 32 },
  uint8: { code: 2, held: "u8", bits: 8 },
  int8: { code: 3, held: "i32", bits: 8, range: [-128, 127] },
  uint16: { code: 4, held: "i32", bits: 16, range: [0, 65535] },
  int16: { code: 5, held: "i32", bits: 16, range: [-32768, 32767] },
  int32: { code: 6, held: "i32", bits: 32 },
  int64: { code: 7, held: "i64", bits: 64 },
  string: { code: 8, held: null, bits: 0 },
  bool: { code: 9, held: "bool", bits: 8 },
  float16: { code: 10, held: "f16", bits: 16 },
  double: { code: 11, held: "f64", bits: 64 },
  uint32: { code: 12, held: "i64", bits: 32, range: [0, 4294967295] },
  uint64: { code: 13, held: "i64", bits: 64 },
  bfloat16: { code: 16, held: "bf16", bits: 16 },
  float8e4m3fn: { code: 17, held: "f32", bits: 8 },
  float8e4m3fnuz: { code: 18, held: "f32", bits: 8 },
  float8e5m2: { code: 19, held: "f32", bits: 8 },
  float8e5m2fnuz: { code: 20, held: "f32", bits: 8 },
  uint4: { code: 21, held: "i32", bits: 4, range: [0, 15] },
  int4: { code: 22, held: "i32", bits: 4, range: [-8, 7] },
  float4e2m1: { code: 23, held: "f32", bits: 4 },
};

const byCode = new Map(Object.entries(rows).map(([name, { code }]) => [code, name as OnnxType]));

/** What `TensorProto.DataType` calls `code`; undefined for what is not held here (complex numbers). */
export function typeOfCode(code: number): OnnxType | undefined {
  return byCode.get(code);
}

/** The number that files have for a type. */
export function codeOf(type: OnnxType): number {
  return rows[type].code;
}

/** The dtype that holds elements of `type`. Null for texts. */
export function heldAs(type: OnnxType): DType | null {
  return rows[type].held;
}

/** Bits of an element in a file. */
export function bitsOf(type: OnnxType): number {
  return rows[type].bits;
}

/** The bounds of an integer type that is held in a wider one. */
export function narrowRange(type: OnnxType): readonly [number, number] | undefined {
  return rows[type].range;
}

const natural: Partial<Record<DType, OnnxType>> = {
  f32: "float",
  f64: "double",
  f16: "float16",
  bf16: "bfloat16",
  i64: "int64",
  i32: "int32",
  u8: "uint8",
  bool: "bool",
};

/** The type that a tensor of `dtype` is when nothing else is said. */
export function typeOfDType(dtype: DType): OnnxType {
  return natural[dtype] ?? "float";
}

/** Whether a type holds numbers with a fraction. */
export function isFloatType(type: OnnxType): boolean {
  const held = rows[type].held;
  return held === "f32" || held === "f64" || held === "f16" || held === "bf16";
}

/** Bits of a small float: its exponent's, its mantissa's, its bias, and what its largest exponent means. */
const smallFloats: Partial<Record<OnnxType, { e: number; m: number; bias: number; kind: string }>> = {
  float8e4m3fn: { e: 4, m: 3, bias: 7, kind: "fn" },
  float8e4m3fnuz: { e: 4, m: 3, bias: 8, kind: "fnuz" },
  float8e5m2: { e: 5, m: 2, bias: 15, kind: "ieee" },
  float8e5m2fnuz: { e: 5, m: 2, bias: 16, kind: "fnuz" },
  float4e2m1: { e: 2, m: 1, bias: 1, kind: "finite" },
};

/** Every value of a small float type by its bits; null for other types. */
export function smallFloatValues(type: OnnxType): Float32Array | null {
  const form = smallFloats[type];
  if (!form) return null;
  const { e, m, bias, kind } = form, count = 1 << (1 + e + m), top = (1 << e) - 1, full = (1 << m) - 1;
  return Float32Array.from({ length: count }, (_, bits) => {
    const sign = bits >> (e + m) ? -1 : 1, exponent = bits >> m & top, mantissa = bits & full;
    if (kind === "fnuz" && bits === 1 << (e + m)) return NaN;
    if (kind === "fn" && exponent === top && mantissa === full) return NaN;
    if (kind === "ieee" && exponent === top) return mantissa ? NaN : sign * Infinity;
    const scale = 2 ** (Math.max(exponent, 1) - bias);
    return sign * scale * ((exponent ? 1 : 0) + mantissa / (1 << m));
  });
}
