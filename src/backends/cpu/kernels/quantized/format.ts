/**
 * How quantised weights lie in memory, and what all products with them do to a block.
 *
 * A file has rows of blocks: an f16 scale and 32 weights (q8: bytes; q4: nibbles plus 8; iq4nl: nibbles that stand for one of sixteen
 * bytes; q50: fifth bits, and nibbles, plus 16). For multiplication eight rows
 * are interleaved, in place, into a panel of as many bytes: for each block the eight scales, then for each group of
 * four k the weights of rows 0 to 3 and those of rows 4 to 7 — four bytes a row, as the dot instruction sums four
 * products a lane. Of nibbles the low ones are those of rows 0 to 3, the high ones those of rows 4 to 7; fifth bits come behind
 * them, a byte for each place of a vector, a bit for each group. So a panel is one stream of memory, and one load of four
 * activations serves eight rows.
 *
 * @module
 */
import type { DType } from "../../../../core/dtype.ts";
import { nonLinear } from "../../../../core/k_blocks.ts";
import type { FunctionBuilder, Local } from "../../assembler/mod.ts";
import type { KernelContext } from "../../engine.ts";
import { emitMultiplyAdd } from "../gemm/tile.ts";

/** Quantised element types. */
export type Quantized = "q8" | "q4" | "q50" | "iq4nl";

/** Whether products read a type in panels. */
export function isInPanels(dtype: DType): dtype is Quantized {
  return Object.hasOwn(blockBytes, dtype);
}

/** Weights that share a scale. */
export const blockWeights = 32;

/** Rows of a panel: columns of the matrix b. */
export const panelRows = 8;

/** Bytes of a block of one row. */
export const blockBytes: Readonly<Record<Quantized, number>> = { q8: 34, q4: 18, q50: 22, iq4nl: 18 };

/** Bytes of a block of one row before its nibbles. */
export const nibblesAt: Readonly<Record<Quantized, number>> = { q8: 2, q4: 2, q50: 6, iq4nl: 2 };

/** Groups of four k in a block. */
export const quads = 8;

/** Constants of a function, in locals: V8 would make them anew in every turn of a loop. */
export interface Constants {
  /** 15 in every byte. */
  readonly nibble: Local;
  /** Sign, and the upper bits of exponent and fraction, of an f16 shifted to where an f32 has them. */
  readonly mask: Local;
  /** What makes up for the difference of the exponents. */
  readonly factor: Local;
  /** Of q50: 16 in every byte. Of iq4nl: what nibbles stand for. */
  readonly own: Local;
}

/** Sets the constants of a function; call it before the loop. */
export function emitConstants(f: FunctionBuilder, dtype: Quantized): Constants {
  const [nibble, mask, factor] = f.localArray("v128", 3);
  const own = dtype === "q50" || dtype === "iq4nl" ? f.local("v128") : nibble;
  if (own !== nibble) {
    if (dtype === "q50") f.i8x16(16);
    else f.i8x16(...nonLinear);
    f.set(own);
  }
  f.i8x16(15);
  f.set(nibble);
  f.i32x4(0x8fffe000);
  f.set(mask);
  f.f32x4(2 ** 112);
  f.set(factor);
  return { nibble, mask, factor, own };
}

/** Converts the eight f16 scales at `at` into two vectors of f32. Scales are finite. */
export function emitScales(
  f: FunctionBuilder,
  { mask, factor }: Constants,
  at: Local,
  low: Local,
  high: Local,
): void {
  [low, high].forEach((to, i) => {
    f.push(at.load(8 * i, "v128.load16x4_s", 2).op("i32x4.shl", 13));
    // The sign, extended, is right above; exponent and fraction are where those of an f32 are, 112 too small.
    f.op("v128.and", mask);
    f.op("f32x4.mul", factor);
    f.set(to);
  });
}

/** Sets the two vectors of a quad of four k: rows 0 to 3 and rows 4 to 7. In q4 these are the nibbles, 0 to 15, else the weights. */
export function emitWeights(
  f: FunctionBuilder,
  { nibble, own }: Constants,
  dtype: Quantized,
  panel: Local,
  quad: number,
  pair: readonly Local[],
): void {
  const at = 2 * panelRows; // behind the scales
  if (dtype === "q8") {
    pair.forEach((weights, half) => {
      f.set(weights, panel.load(at + 32 * quad + 16 * half, "v128.load", 2));
    });
    return;
  }
  f.set(pair[0], panel.load(at + 16 * quad, "v128.load", 2).tee(pair[1]).op("v128.and", nibble));
  // A shift of words and a mask: shifts of bytes are several instructions.
  f.set(pair[1], pair[1].op("i16x8.shr_u", 4).op("v128.and", nibble));
  pair.forEach((weights, half) => {
    if (dtype === "iq4nl") f.set(weights, own.op("i8x16.swizzle", weights));
    if (dtype !== "q50") return;
    // Bit number `quad` of each byte, where 16 has its bit: what a shift of words brings from the byte beside is masked.
    const bits = panel.load(at + 16 * quads + 16 * half, "v128.load", 2);
    const moved = quad < 4
      ? bits.op("i16x8.shl", 4 - quad)
      : quad > 4
      ? bits.op("i16x8.shr_u", quad - 4)
      : bits;
    f.set(weights, moved.op("v128.and", own).op("v128.or", weights).op("i8x16.sub", own));
  });
}

/** `sum += integers · (scale of the weights · scale of the activations)`, the integers being what `push` leaves. */
export function emitScaled(
  f: FunctionBuilder,
  context: KernelContext,
  sum: Local,
  push: () => void,
  weightScale: Local,
  activationScale: Local,
): void {
  emitMultiplyAdd(f, context, "f32", sum, () => {
    push();
    f.op("f32x4.convert_i32x4_s");
  }, () => {
    f.push(weightScale.op("f32x4.mul", activationScale));
  });
}

/** Runs `body` for each of `blocks` blocks, of which there is at least one. */
export function emitBlocks(f: FunctionBuilder, blocks: Local, body: () => void): void {
  f.loop((again) => {
    body();
    f.increment(blocks, -1);
    f.brIf(again, blocks);
  });
}

/** Sets locals to 0. */
export function emitZeros(f: FunctionBuilder, locals: readonly Local[]): void {
  for (const local of locals) {
    f.i32x4(0);
    f.set(local);
  }
}
