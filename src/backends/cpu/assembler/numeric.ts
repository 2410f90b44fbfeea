/**
 * Numeric instructions without immediates: integer and float arithmetic, comparisons, conversions, sign extension
 * and saturating truncation.
 *
 * `instructions.ts` says how a row is read.
 *
 * @module
 */

/** Instructions on i32, i64, f32 and f64 that have no immediates, by mnemonic. */
export const numericInstructions = [
  "45 i32 i:i eqz ii:i eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u",
  "50 i64 I:i eqz II:i eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u",
  "5b f32 ff:i eq ne lt gt le ge",
  "61 f64 FF:i eq ne lt gt le ge",
  "67 i32 i:i clz ctz popcnt ii:i add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl",
  "78 i32 ii:i rotr",
  "79 i64 I:I clz ctz popcnt II:I add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl",
  "8a i64 II:I rotr",
  "8b f32 f:f abs neg ceil floor trunc nearest sqrt ff:f add sub mul div min max copysign",
  "99 f64 F:F abs neg ceil floor trunc nearest sqrt FF:F add sub mul div min max copysign",
  "a7 i32 I:i wrap_i64 f:i trunc_f32_s trunc_f32_u F:i trunc_f64_s trunc_f64_u",
  "ac i64 i:I extend_i32_s extend_i32_u f:I trunc_f32_s trunc_f32_u F:I trunc_f64_s trunc_f64_u",
  "b2 f32 i:f convert_i32_s convert_i32_u I:f convert_i64_s convert_i64_u F:f demote_f64",
  "b7 f64 i:F convert_i32_s convert_i32_u I:F convert_i64_s convert_i64_u f:F promote_f32",
  "bc i32 f:i reinterpret_f32 F:I i64.reinterpret_f64 i:f f32.reinterpret_i32 I:F f64.reinterpret_i64",
  "c0 i32 i:i extend8_s extend16_s",
  "c2 i64 I:I extend8_s extend16_s extend32_s",
  "fc00 i32 f:i trunc_sat_f32_s trunc_sat_f32_u F:i trunc_sat_f64_s trunc_sat_f64_u",
  "fc04 i64 f:I trunc_sat_f32_s trunc_sat_f32_u F:I trunc_sat_f64_s trunc_sat_f64_u",
] as const;
