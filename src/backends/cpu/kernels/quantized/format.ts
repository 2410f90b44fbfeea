/**
 * How quantised weights lie in memory, and the arithmetic on their bytes.
 *
 * A file has rows of blocks: an f16 scale and 32 weights (q8: bytes; q4: nibbles plus 8). For multiplication eight rows
 * are interleaved, in place, into a panel of as many bytes: for each block the eight scales, then for each group of
 * four k the weights of rows 0 to 3 and those of rows 4 to 7 — four bytes a row, as the dot instruction sums four
 * products a lane. In q4 the low nibbles are those of rows 0 to 3, the high ones those of rows 4 to 7. So a panel is one
 * stream of memory, and one load of four activations serves eight rows.
 *
 * @module
 */
import type { FunctionBuilder, Local } from "../../assembler/mod.ts";
import type { KernelContext } from "../../engine.ts";

/** Quantised element types. */
export type Quantized = "q8" | "q4";

/** Weights that share a scale. */
export const blockWeights = 32;

/** Rows of a panel: columns of the matrix b. */
export const panelRows = 8;

/** Bytes of a block of one row. */
export const blockBytes: Readonly<Record<Quantized, number>> = { q8: 34, q4: 18 };

/** Groups of four k in a block. */
export const quads = 8;

/** Converts the eight f16 scales at `at` into two vectors of f32. Scales are finite. */
export function emitScales(f: FunctionBuilder, at: Local, low: Local, high: Local): void {
  [low, high].forEach((to, i) => {
    f.get(at);
    f.load("v128.load16x4_s", 8 * i, 2);
    f.i32(13);
    f.op("i32x4.shl");
    // The sign, extended, is right above; exponent and fraction are where those of an f32 are, 112 too small.
    f.i32x4(0x8fffe000);
    f.op("v128.and");
    f.f32x4(2 ** 112);
    f.op("f32x4.mul");
    f.set(to);
  });
}

/**
 * Sums of products of bytes, four to a lane: signed ones times such from 0 to 127. The relaxed dot instruction is exact
 * on these; without it, products of 16 bits are added in two vectors. Both give the same integers.
 */
export class Dot {
  #f: FunctionBuilder;
  #relaxed: boolean;
  #sums: readonly Local[];

  /** A sum that must be started before it is used. */
  constructor(f: FunctionBuilder, { relaxed }: KernelContext) {
    this.#f = f;
    this.#relaxed = relaxed;
    this.#sums = f.localArray("v128", relaxed ? 1 : 2);
  }

  /** Starts with the four integers that `push` leaves, or with 0. */
  start(push?: () => void): void {
    const f = this.#f;
    if (!push || !this.#relaxed) {
      for (const sum of this.#sums) {
        f.i32x4(0);
        f.set(sum);
      }
    }
    if (!push) return;
    push();
    f.set(this.#sums[0]);
    if (this.#relaxed) return;
    // Pairs of lanes become one lane in the end: lanes 0 and 1 of the start go to 0 and 2 of the lower half.
    const [low, high] = this.#sums;
    const start = f.local("v128");
    f.get(low);
    f.set(start);
    const zeros = (): void => f.i32x4(0);
    [low, high].forEach((sum, half) => {
      f.get(start);
      zeros();
      f.shuffle([0, 4, 1, 4].flatMap((lane) => {
        const at = 4 * (lane === 4 ? 4 : lane + 2 * half);
        return [at, at + 1, at + 2, at + 3];
      }));
      f.set(sum);
    });
  }

  /** Adds the products of what `signed` and `small` leave. Both are evaluated twice where there is no dot instruction. */
  add(signed: Local, small: Local): void {
    const f = this.#f;
    if (this.#relaxed) {
      f.get(signed);
      f.get(small);
      f.get(this.#sums[0]);
      f.op("i32x4.relaxed_dot_i8x16_i7x16_add_s");
      f.set(this.#sums[0]);
      return;
    }
    this.#sums.forEach((sum, half) => {
      f.get(signed);
      f.get(small);
      f.op(half === 0 ? "i16x8.extmul_low_i8x16_s" : "i16x8.extmul_high_i8x16_s");
      f.op("i32x4.extadd_pairwise_i16x8_s");
      f.get(sum);
      f.op("i32x4.add");
      f.set(sum);
    });
  }

  /** Leaves the four sums. */
  push(): void {
    const f = this.#f;
    if (this.#relaxed) return f.get(this.#sums[0]);
    for (const odd of [0, 1]) {
      for (const sum of this.#sums) f.get(sum);
      f.shuffle([0, 2, 4, 6].flatMap((lane) => {
        const at = 4 * (lane + odd);
        return [at, at + 1, at + 2, at + 3];
      }));
    }
    f.op("i32x4.add");
  }
}
