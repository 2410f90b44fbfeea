/**
 * Vector instructions on v128 that do not touch memory: SIMD128, relaxed SIMD, and the lane accessors.
 *
 * `instructions.ts` says how a row is read; for the lane accessors the number of lanes stands behind the signature.
 * `v128.const` and `i8x16.shuffle` have immediates of their own and are
 * methods of `FunctionBuilder`.
 *
 * @module
 */

/** SIMD128 instructions without immediates, by mnemonic. */
export const vectorInstructions = [
  "fd0e i8x16 vv:v swizzle i:v splat i16x8.splat i32x4.splat I:v i64x2.splat f:v f32x4.splat",
  "fd14 f64x2 F:v splat",
  "fd23 i8x16 vv:v eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u",
  "fd2d i16x8 vv:v eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u",
  "fd37 i32x4 vv:v eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u",
  "fd41 f32x4 vv:v eq ne lt gt le ge",
  "fd47 f64x2 vv:v eq ne lt gt le ge",
  "fd4d v128 v:v not vv:v and andnot or xor vvv:v bitselect v:i any_true",
  "fd5e f32x4 v:v demote_f64x2_zero f64x2.promote_low_f32x4",
  "fd60 i8x16 v:v abs neg popcnt v:i all_true bitmask vv:v narrow_i16x8_s narrow_i16x8_u",
  "fd67 f32x4 v:v ceil floor trunc nearest",
  "fd6b i8x16 vi:v shl shr_s shr_u vv:v add add_sat_s add_sat_u sub sub_sat_s sub_sat_u v:v f64x2.ceil",
  "fd75 f64x2 v:v floor",
  "fd76 i8x16 vv:v min_s min_u max_s max_u v:v f64x2.trunc vv:v avgr_u",
  "fd7c i16x8 v:v extadd_pairwise_i8x16_s extadd_pairwise_i8x16_u i32x4.extadd_pairwise_i16x8_s",
  "fd7f i32x4 v:v extadd_pairwise_i16x8_u",
  "fd80 i16x8 v:v abs neg vv:v q15mulr_sat_s v:i all_true bitmask vv:v narrow_i32x4_s narrow_i32x4_u",
  "fd87 i16x8 v:v extend_low_i8x16_s extend_high_i8x16_s extend_low_i8x16_u extend_high_i8x16_u",
  "fd8b i16x8 vi:v shl shr_s shr_u vv:v add add_sat_s add_sat_u sub sub_sat_s sub_sat_u",
  "fd94 f64x2 v:v nearest",
  "fd95 i16x8 vv:v mul min_s min_u max_s max_u",
  "fd9b i16x8 vv:v avgr_u extmul_low_i8x16_s extmul_high_i8x16_s extmul_low_i8x16_u extmul_high_i8x16_u",
  "fda0 i32x4 v:v abs neg",
  "fda3 i32x4 v:i all_true bitmask",
  "fda7 i32x4 v:v extend_low_i16x8_s extend_high_i16x8_s extend_low_i16x8_u extend_high_i16x8_u",
  "fdab i32x4 vi:v shl shr_s shr_u vv:v add",
  "fdb1 i32x4 vv:v sub",
  "fdb5 i32x4 vv:v mul min_s min_u max_s max_u dot_i16x8_s",
  "fdbc i32x4 vv:v extmul_low_i16x8_s extmul_high_i16x8_s extmul_low_i16x8_u extmul_high_i16x8_u",
  "fdc0 i64x2 v:v abs neg",
  "fdc3 i64x2 v:i all_true bitmask",
  "fdc7 i64x2 v:v extend_low_i32x4_s extend_high_i32x4_s extend_low_i32x4_u extend_high_i32x4_u",
  "fdcb i64x2 vi:v shl shr_s shr_u vv:v add",
  "fdd1 i64x2 vv:v sub",
  "fdd5 i64x2 vv:v mul eq ne lt_s gt_s le_s ge_s extmul_low_i32x4_s extmul_high_i32x4_s",
  "fdde i64x2 vv:v extmul_low_i32x4_u extmul_high_i32x4_u",
  "fde0 f32x4 v:v abs neg",
  "fde3 f32x4 v:v sqrt vv:v add sub mul div min max pmin pmax",
  "fdec f64x2 v:v abs neg",
  "fdef f64x2 v:v sqrt vv:v add sub mul div min max pmin pmax v:v i32x4.trunc_sat_f32x4_s",
  "fdf9 i32x4 v:v trunc_sat_f32x4_u f32x4.convert_i32x4_s f32x4.convert_i32x4_u trunc_sat_f64x2_s_zero",
  "fdfd i32x4 v:v trunc_sat_f64x2_u_zero f64x2.convert_low_i32x4_s f64x2.convert_low_i32x4_u",
] as const;

/** Relaxed SIMD instructions, by mnemonic. Their results may differ between machines in the documented corners. */
export const relaxedVectorInstructions = [
  "fd100 i8x16 vv:v relaxed_swizzle",
  "fd101 i32x4 v:v relaxed_trunc_f32x4_s relaxed_trunc_f32x4_u relaxed_trunc_f64x2_s_zero",
  "fd104 i32x4 v:v relaxed_trunc_f64x2_u_zero vvv:v f32x4.relaxed_madd f32x4.relaxed_nmadd",
  "fd107 f64x2 vvv:v relaxed_madd relaxed_nmadd i8x16.relaxed_laneselect i16x8.relaxed_laneselect",
  "fd10b i32x4 vvv:v relaxed_laneselect i64x2.relaxed_laneselect vv:v f32x4.relaxed_min",
  "fd10e f32x4 vv:v relaxed_max f64x2.relaxed_min f64x2.relaxed_max i16x8.relaxed_q15mulr_s",
  "fd112 i16x8 vv:v relaxed_dot_i8x16_i7x16_s vvv:v i32x4.relaxed_dot_i8x16_i7x16_add_s",
] as const;

/** Instructions that read or replace one lane, by mnemonic. */
export const laneInstructions = [
  "fd15 i8x16 v:i/16 extract_lane_s extract_lane_u vi:v/16 replace_lane",
  "fd18 i16x8 v:i/8 extract_lane_s extract_lane_u vi:v/8 replace_lane v:i/4 i32x4.extract_lane",
  "fd1c i32x4 vi:v/4 replace_lane v:I/2 i64x2.extract_lane vI:v/2 i64x2.replace_lane",
  "fd1f f32x4 v:f/4 extract_lane vf:v/4 replace_lane v:F/2 f64x2.extract_lane vF:v/2 f64x2.replace_lane",
] as const;
