/**
 * Instructions that touch memory: loads, stores, one-lane loads and stores, atomics, and bulk operations.
 *
 * `instructions.ts` says how a row is read. Behind a signature stands the base-2 logarithm of the natural alignment,
 * and for the one-lane forms the number of lanes. `p` is an address: i32, or i64 when the memory is a 64-bit one.
 *
 * @module
 */

/** Loads, by mnemonic. */
export const loadInstructions = [
  "28 i32 p:i/2 load p:I/3 i64.load p:f/2 f32.load p:F/3 f64.load p:i/0 load8_s load8_u p:i/1 load16_s",
  "2f i32 p:i/1 load16_u",
  "30 i64 p:I/0 load8_s load8_u p:I/1 load16_s load16_u p:I/2 load32_s load32_u",
  "fd00 v128 p:v/4 load p:v/3 load8x8_s load8x8_u load16x4_s load16x4_u load32x2_s load32x2_u",
  "fd07 v128 p:v/0 load8_splat p:v/1 load16_splat p:v/2 load32_splat p:v/3 load64_splat",
  "fd5c v128 p:v/2 load32_zero p:v/3 load64_zero",
] as const;

/** Stores, by mnemonic. */
export const storeInstructions = [
  "36 i32 pi:/2 store pI:/3 i64.store pf:/2 f32.store pF:/3 f64.store pi:/0 store8 pi:/1 store16",
  "3c i64 pI:/0 store8 pI:/1 store16 pI:/2 store32",
  "fd0b v128 pv:/4 store",
] as const;

/** Loads and stores of one lane of a v128, by mnemonic. */
export const laneMemoryInstructions = [
  "fd54 v128 pv:v/0/16 load8_lane pv:v/1/8 load16_lane pv:v/2/4 load32_lane pv:v/3/2 load64_lane",
  "fd58 v128 pv:/0/16 store8_lane pv:/1/8 store16_lane pv:/2/4 store32_lane pv:/3/2 store64_lane",
] as const;

/** Atomic loads, stores, read-modify-writes, waits and notify, by mnemonic. Their alignment is always the natural one. */
export const atomicInstructions = [
  "fe00 memory pi:i/2 memory.atomic.notify piI:i/2 memory.atomic.wait32 pII:i/3 memory.atomic.wait64",
  "fe10 i32 p:i/2 i32.atomic.load p:I/3 i64.atomic.load p:i/0 i32.atomic.load8_u",
  "fe13 i32 p:i/1 i32.atomic.load16_u",
  "fe14 i64 p:I/0 i64.atomic.load8_u p:I/1 i64.atomic.load16_u p:I/2 i64.atomic.load32_u",
  "fe17 i32 pi:/2 i32.atomic.store pI:/3 i64.atomic.store pi:/0 i32.atomic.store8",
  "fe1a i32 pi:/1 i32.atomic.store16",
  "fe1b i64 pI:/0 i64.atomic.store8 pI:/1 i64.atomic.store16 pI:/2 i64.atomic.store32",
  "fe1e i32 pi:i/2 i32.atomic.rmw.add pI:I/3 i64.atomic.rmw.add pi:i/0 i32.atomic.rmw8.add_u",
  "fe21 i32 pi:i/1 i32.atomic.rmw16.add_u",
  "fe22 i64 pI:I/0 i64.atomic.rmw8.add_u pI:I/1 i64.atomic.rmw16.add_u pI:I/2 i64.atomic.rmw32.add_u",
  "fe25 i32 pi:i/2 i32.atomic.rmw.sub pI:I/3 i64.atomic.rmw.sub pi:i/0 i32.atomic.rmw8.sub_u",
  "fe28 i32 pi:i/1 i32.atomic.rmw16.sub_u",
  "fe29 i64 pI:I/0 i64.atomic.rmw8.sub_u pI:I/1 i64.atomic.rmw16.sub_u pI:I/2 i64.atomic.rmw32.sub_u",
  "fe2c i32 pi:i/2 i32.atomic.rmw.and pI:I/3 i64.atomic.rmw.and pi:i/0 i32.atomic.rmw8.and_u",
  "fe2f i32 pi:i/1 i32.atomic.rmw16.and_u",
  "fe30 i64 pI:I/0 i64.atomic.rmw8.and_u pI:I/1 i64.atomic.rmw16.and_u pI:I/2 i64.atomic.rmw32.and_u",
  "fe33 i32 pi:i/2 i32.atomic.rmw.or pI:I/3 i64.atomic.rmw.or pi:i/0 i32.atomic.rmw8.or_u",
  "fe36 i32 pi:i/1 i32.atomic.rmw16.or_u",
  "fe37 i64 pI:I/0 i64.atomic.rmw8.or_u pI:I/1 i64.atomic.rmw16.or_u pI:I/2 i64.atomic.rmw32.or_u",
  "fe3a i32 pi:i/2 i32.atomic.rmw.xor pI:I/3 i64.atomic.rmw.xor pi:i/0 i32.atomic.rmw8.xor_u",
  "fe3d i32 pi:i/1 i32.atomic.rmw16.xor_u",
  "fe3e i64 pI:I/0 i64.atomic.rmw8.xor_u pI:I/1 i64.atomic.rmw16.xor_u pI:I/2 i64.atomic.rmw32.xor_u",
  "fe41 i32 pi:i/2 i32.atomic.rmw.xchg pI:I/3 i64.atomic.rmw.xchg pi:i/0 i32.atomic.rmw8.xchg_u",
  "fe44 i32 pi:i/1 i32.atomic.rmw16.xchg_u",
  "fe45 i64 pI:I/0 i64.atomic.rmw8.xchg_u pI:I/1 i64.atomic.rmw16.xchg_u pI:I/2 i64.atomic.rmw32.xchg_u",
  "fe48 i32 pii:i/2 i32.atomic.rmw.cmpxchg pII:I/3 i64.atomic.rmw.cmpxchg",
  "fe4a i32 pii:i/0 i32.atomic.rmw8.cmpxchg_u pii:i/1 i32.atomic.rmw16.cmpxchg_u",
  "fe4c i64 pII:I/0 i64.atomic.rmw8.cmpxchg_u pII:I/1 i64.atomic.rmw16.cmpxchg_u",
  "fe4e i64 pII:I/2 i64.atomic.rmw32.cmpxchg_u",
] as const;

/** Size, growth, copy and fill of memory 0, and the fence. The last number counts the zero bytes that follow. */
export const bulkMemoryInstructions = [
  "3f memory :p/1 size p:p/1 grow",
  "fc0a memory ppp:/2 copy pip:/1 fill",
  "fe03 atomic :/1 fence",
] as const;
