/**
 * Instructions that touch memory: loads, stores, one-lane loads and stores, atomics, and bulk operations.
 *
 * A row is `"opcode parameters:results"`, followed by the base-2 logarithm of the natural alignment, and for the
 * one-lane forms by the number of lanes; `instructions.ts` says how it is read. `p` is an address: i32, or i64
 * when the memory is a 64-bit one.
 *
 * @module
 */

/** Loads, by mnemonic. */
export const loadInstructions = {
  "i32.load": "28 p:i 2",
  "i64.load": "29 p:I 3",
  "f32.load": "2a p:f 2",
  "f64.load": "2b p:F 3",
  "i32.load8_s": "2c p:i 0",
  "i32.load8_u": "2d p:i 0",
  "i32.load16_s": "2e p:i 1",
  "i32.load16_u": "2f p:i 1",
  "i64.load8_s": "30 p:I 0",
  "i64.load8_u": "31 p:I 0",
  "i64.load16_s": "32 p:I 1",
  "i64.load16_u": "33 p:I 1",
  "i64.load32_s": "34 p:I 2",
  "i64.load32_u": "35 p:I 2",
  "v128.load": "fd00 p:v 4",
  "v128.load8x8_s": "fd01 p:v 3",
  "v128.load8x8_u": "fd02 p:v 3",
  "v128.load16x4_s": "fd03 p:v 3",
  "v128.load16x4_u": "fd04 p:v 3",
  "v128.load32x2_s": "fd05 p:v 3",
  "v128.load32x2_u": "fd06 p:v 3",
  "v128.load8_splat": "fd07 p:v 0",
  "v128.load16_splat": "fd08 p:v 1",
  "v128.load32_splat": "fd09 p:v 2",
  "v128.load64_splat": "fd0a p:v 3",
  "v128.load32_zero": "fd5c p:v 2",
  "v128.load64_zero": "fd5d p:v 3",
} as const;

/** Stores, by mnemonic. */
export const storeInstructions = {
  "i32.store": "36 pi: 2",
  "i64.store": "37 pI: 3",
  "f32.store": "38 pf: 2",
  "f64.store": "39 pF: 3",
  "i32.store8": "3a pi: 0",
  "i32.store16": "3b pi: 1",
  "i64.store8": "3c pI: 0",
  "i64.store16": "3d pI: 1",
  "i64.store32": "3e pI: 2",
  "v128.store": "fd0b pv: 4",
} as const;

/** Loads and stores of one lane of a v128, by mnemonic. */
export const laneMemoryInstructions = {
  "v128.load8_lane": "fd54 pv:v 0 16",
  "v128.load16_lane": "fd55 pv:v 1 8",
  "v128.load32_lane": "fd56 pv:v 2 4",
  "v128.load64_lane": "fd57 pv:v 3 2",
  "v128.store8_lane": "fd58 pv: 0 16",
  "v128.store16_lane": "fd59 pv: 1 8",
  "v128.store32_lane": "fd5a pv: 2 4",
  "v128.store64_lane": "fd5b pv: 3 2",
} as const;

/** Atomic loads, stores, read-modify-writes, waits and notify, by mnemonic. Their alignment is always the natural one. */
export const atomicInstructions = {
  "memory.atomic.notify": "fe00 pi:i 2",
  "memory.atomic.wait32": "fe01 piI:i 2",
  "memory.atomic.wait64": "fe02 pII:i 3",
  "i32.atomic.load": "fe10 p:i 2",
  "i64.atomic.load": "fe11 p:I 3",
  "i32.atomic.load8_u": "fe12 p:i 0",
  "i32.atomic.load16_u": "fe13 p:i 1",
  "i64.atomic.load8_u": "fe14 p:I 0",
  "i64.atomic.load16_u": "fe15 p:I 1",
  "i64.atomic.load32_u": "fe16 p:I 2",
  "i32.atomic.store": "fe17 pi: 2",
  "i64.atomic.store": "fe18 pI: 3",
  "i32.atomic.store8": "fe19 pi: 0",
  "i32.atomic.store16": "fe1a pi: 1",
  "i64.atomic.store8": "fe1b pI: 0",
  "i64.atomic.store16": "fe1c pI: 1",
  "i64.atomic.store32": "fe1d pI: 2",
  "i32.atomic.rmw.add": "fe1e pi:i 2",
  "i64.atomic.rmw.add": "fe1f pI:I 3",
  "i32.atomic.rmw8.add_u": "fe20 pi:i 0",
  "i32.atomic.rmw16.add_u": "fe21 pi:i 1",
  "i64.atomic.rmw8.add_u": "fe22 pI:I 0",
  "i64.atomic.rmw16.add_u": "fe23 pI:I 1",
  "i64.atomic.rmw32.add_u": "fe24 pI:I 2",
  "i32.atomic.rmw.sub": "fe25 pi:i 2",
  "i64.atomic.rmw.sub": "fe26 pI:I 3",
  "i32.atomic.rmw8.sub_u": "fe27 pi:i 0",
  "i32.atomic.rmw16.sub_u": "fe28 pi:i 1",
  "i64.atomic.rmw8.sub_u": "fe29 pI:I 0",
  "i64.atomic.rmw16.sub_u": "fe2a pI:I 1",
  "i64.atomic.rmw32.sub_u": "fe2b pI:I 2",
  "i32.atomic.rmw.and": "fe2c pi:i 2",
  "i64.atomic.rmw.and": "fe2d pI:I 3",
  "i32.atomic.rmw8.and_u": "fe2e pi:i 0",
  "i32.atomic.rmw16.and_u": "fe2f pi:i 1",
  "i64.atomic.rmw8.and_u": "fe30 pI:I 0",
  "i64.atomic.rmw16.and_u": "fe31 pI:I 1",
  "i64.atomic.rmw32.and_u": "fe32 pI:I 2",
  "i32.atomic.rmw.or": "fe33 pi:i 2",
  "i64.atomic.rmw.or": "fe34 pI:I 3",
  "i32.atomic.rmw8.or_u": "fe35 pi:i 0",
  "i32.atomic.rmw16.or_u": "fe36 pi:i 1",
  "i64.atomic.rmw8.or_u": "fe37 pI:I 0",
  "i64.atomic.rmw16.or_u": "fe38 pI:I 1",
  "i64.atomic.rmw32.or_u": "fe39 pI:I 2",
  "i32.atomic.rmw.xor": "fe3a pi:i 2",
  "i64.atomic.rmw.xor": "fe3b pI:I 3",
  "i32.atomic.rmw8.xor_u": "fe3c pi:i 0",
  "i32.atomic.rmw16.xor_u": "fe3d pi:i 1",
  "i64.atomic.rmw8.xor_u": "fe3e pI:I 0",
  "i64.atomic.rmw16.xor_u": "fe3f pI:I 1",
  "i64.atomic.rmw32.xor_u": "fe40 pI:I 2",
  "i32.atomic.rmw.xchg": "fe41 pi:i 2",
  "i64.atomic.rmw.xchg": "fe42 pI:I 3",
  "i32.atomic.rmw8.xchg_u": "fe43 pi:i 0",
  "i32.atomic.rmw16.xchg_u": "fe44 pi:i 1",
  "i64.atomic.rmw8.xchg_u": "fe45 pI:I 0",
  "i64.atomic.rmw16.xchg_u": "fe46 pI:I 1",
  "i64.atomic.rmw32.xchg_u": "fe47 pI:I 2",
  "i32.atomic.rmw.cmpxchg": "fe48 pii:i 2",
  "i64.atomic.rmw.cmpxchg": "fe49 pII:I 3",
  "i32.atomic.rmw8.cmpxchg_u": "fe4a pii:i 0",
  "i32.atomic.rmw16.cmpxchg_u": "fe4b pii:i 1",
  "i64.atomic.rmw8.cmpxchg_u": "fe4c pII:I 0",
  "i64.atomic.rmw16.cmpxchg_u": "fe4d pII:I 1",
  "i64.atomic.rmw32.cmpxchg_u": "fe4e pII:I 2",
} as const;

/** Size, growth, copy and fill of memory 0, and the fence. The last number counts the zero bytes that follow. */
export const bulkMemoryInstructions = {
  "memory.size": "3f :p 1",
  "memory.grow": "40 p:p 1",
  "memory.copy": "fc0a ppp: 2",
  "memory.fill": "fc0b pip: 1",
  "atomic.fence": "fe03 : 1",
} as const;
