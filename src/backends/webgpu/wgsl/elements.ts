/**
 * How elements of every dtype lie in buffers of 32-bit words, and how they enter and leave arithmetic.
 *
 * The bytes are those of the other devices. Two f16 or four u8 share a word, so storing one of them clears and sets its
 * bits atomically: neighbours that other invocations write stay whole. i64 is a pair of words.
 *
 * @module
 */
import type { DType } from "../../../core/dtype.ts";
import type { ComputeType } from "../../../expr/nodes.ts";

/** A buffer as a kernel sees it. */
export interface Binding {
  /** Its name in WGSL. */
  readonly name: string;
  /** Whether its words are atomic, because parts of them are written. */
  readonly atomic: boolean;
}

/** Whether elements of `dtype` are smaller than a word. */
export function isNarrow(dtype: DType): boolean {
  return dtype === "f16" || dtype === "bf16" || dtype === "u8" || dtype === "bool";
}

/** The WGSL type in which a compute type is held. */
export function carrier(type: ComputeType): "f32" | "i32" | "vec2<u32>" {
  return type === "i64" ? "vec2<u32>" : type === "i32" ? "i32" : "f32";
}

/** The type in which elements of `dtype` are computed. */
export function computeTypeOf(dtype: DType): ComputeType {
  if (dtype === "i64") return dtype;
  return dtype === "i32" || dtype === "u8" || dtype === "bool" ? "i32" : "f32";
}

function word(b: Binding, at: string): string {
  return b.atomic ? `atomicLoad(&${b.name}[${at}])` : `${b.name}[${at}]`;
}

function raw(b: Binding, dtype: DType, at: string): string {
  switch (dtype) {
    case "f32":
      return `bitcast<f32>(${word(b, at)})`;
    case "i32":
      return `bitcast<i32>(${word(b, at)})`;
    case "i64":
      return `vec2<u32>(${word(b, `2 * (${at})`)}, ${word(b, `2 * (${at}) + 1`)})`;
    case "f16":
      return `fromF16(${word(b, `(${at}) >> 1u`)} >> (u32((${at}) & 1) * 16u))`;
    case "bf16":
      return `bitcast<f32>((${word(b, `(${at}) >> 1u`)} >> (u32((${at}) & 1) * 16u)) << 16u)`;
    case "q8": {
      const byte = (i: string): string => `((${word(b, `(${i}) >> 2u`)} >> (u32((${i}) & 3) * 8u)) & 255u)`;
      const block = `(((${at}) >> 5u) * 34)`;
      return `fromF16(${byte(block)} | (${byte(`${block} + 1`)} << 8u)) * f32(bitcast<i32>(${
        byte(`${block} + 2 + ((${at}) & 31)`)
      } << 24u) >> 24u)`;
    }
    case "q4": {
      const half = (i: string): string => `(${word(b, `(${i}) >> 1u`)} >> (u32((${i}) & 1) * 16u))`;
      const block = `(((${at}) >> 5u) * 9)`, inside = `((${at}) & 31)`;
      const nibble = `(((${
        half(`${block} + 1 + ((${at}) & 15) / 2`)
      } >> (u32((${at}) & 1) * 8u)) >> (u32(${inside} >> 4u) * 4u)) & 15u)`;
      return `fromF16(${half(block)}) * (f32(${nibble}) - 8.0f)`;
    }
    default:
      return `i32((${word(b, `(${at}) >> 2u`)} >> (u32((${at}) & 3) * 8u)) & 255u)`;
  }
}

/** A value of compute type `from` as one of `to`: floats are cut and held at the ends, integers wrap. */
export function convert(from: ComputeType, to: ComputeType, value: string): string {
  if (from === to) return value;
  if (to === "i32") return from === "i64" ? `bitcast<i32>((${value}).x)` : `f_int(${value})`;
  if (to === "i64") return from === "i32" ? `l_of(${value})` : `f_long(${value})`;
  return from === "i64" ? `l_float(${value})` : `f32(${value})`;
}

/** The element at `at` (an i32 expression without effects) in compute type `type`. */
export function load(b: Binding, dtype: DType, at: string, type: ComputeType): string {
  return convert(computeTypeOf(dtype), type, raw(b, dtype, at));
}

/** Statements that store `value`, of compute type `type`, as the element at `at`. */
export function store(b: Binding, dtype: DType, at: string, value: string, type: ComputeType): string {
  switch (dtype) {
    case "f32":
      return `${b.name}[${at}] = bitcast<u32>(${convert(type, "f32", value)});`;
    case "i32":
      return `${b.name}[${at}] = bitcast<u32>(${convert(type, "i32", value)});`;
    case "i64":
      return `{ let v = ${
        convert(type, "i64", value)
      }; ${b.name}[2 * (${at})] = v.x; ${b.name}[2 * (${at}) + 1] = v.y; }`;
    case "f16":
      return put(b, at, 1, `toF16(${convert(type, "f32", value)})`);
    case "bf16":
      return put(b, at, 1, `toBf16(${convert(type, "f32", value)})`);
    case "bool":
      return put(b, at, 2, `select(0u, 1u, ${truth(type, value)})`);
    default:
      return put(
        b,
        at,
        2,
        type === "f32"
          ? `u32(clamp(f_int(${value}), 0, 255))`
          : `(bitcast<u32>(${convert(type, "i32", value)}) & 255u)`,
      );
  }
}

function put(b: Binding, at: string, shift: 1 | 2, bits: string): string {
  const mask = shift === 1 ? "0xffffu" : "255u", last = shift === 1 ? 1 : 3;
  return `{ let w = (${at}) >> ${shift}u; let s = u32((${at}) & ${last}) * ${
    shift === 1 ? 16 : 8
  }u; let v = ${bits}; ` +
    `atomicAnd(&${b.name}[w], ~(${mask} << s)); atomicOr(&${b.name}[w], v << s); }`;
}

/** Whether a value counts as true. */
export function truth(type: ComputeType, value: string): string {
  return type === "f32" ? `truth(${value})` : type === "i64" ? `l_truth(${value})` : `(${value} != 0)`;
}

/** The functions that conversions use. */
export const elementCode = `
fn fromF16(word: u32) -> f32 {
  let h = word & 0x7fffu; let sign = (word & 0x8000u) << 16u;
  if (h >= 0x7c00u) { return bits(sign | 0x7f800000u | ((h & 0x3ffu) << 13u)); }
  if (h < 0x400u) { return bitcast<f32>(sign | bitcast<u32>(f32(h) * 5.9604644775390625e-8f)); }
  return bitcast<f32>(sign | ((h << 13u) + 0x38000000u));
}
fn toF16(x: f32) -> u32 {
  let b = bitcast<u32>(x); let sign = (b >> 16u) & 0x8000u; let m = b & 0x7fffffffu;
  if (m > 0x7f800000u) { return sign | 0x7e00u; }
  if (m >= 0x47800000u) { return sign | 0x7c00u; }
  if (m < 0x38800000u) { return sign | (bitcast<u32>(bitcast<f32>(m) + 0.5f) - 0x3f000000u); }
  return sign | ((m - 0x38000000u + 0xfffu + ((m >> 13u) & 1u)) >> 13u);
}
fn toBf16(x: f32) -> u32 {
  let b = bitcast<u32>(x);
  if ((b & 0x7fffffffu) > 0x7f800000u) { return (b >> 16u) | 0x40u; }
  return ((b + 0x7fffu + ((b >> 16u) & 1u)) >> 16u) & 0xffffu;
}
fn f_int(x: f32) -> i32 {
  if (isNan(x)) { return 0; }
  if (x >= 2147483648.0f) { return 2147483647; }
  if (x <= -2147483648.0f) { return bitcast<i32>(0x80000000u); }
  return i32(x);
}
`;
