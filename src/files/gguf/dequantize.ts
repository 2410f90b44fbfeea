/**
 * Blocks of GGUF types as f32: the arithmetic of ggml's `dequantize_row_*` (ggml-quants.c), bit for bit, which is why every
 * product and sum is rounded to f32 by itself.
 *
 * @module
 */
import { fromF16 } from "../../core/half.ts";
import { type Block, kBlocks } from "../../core/k_blocks.ts";
import { dequantizeQ4, dequantizeQ8 } from "../../core/quantize.ts";
import { type GgufType, ggufTypes } from "./types.ts";

const round = Math.fround;

/** The sixteen values that a nibble of IQ4_NL and IQ4_XS stands for. */
const nonLinear = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/** Twice the sixteen values of a 4-bit float (E2M1). */
export const twiceE2m1: readonly number[] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

function half(x: Uint8Array, at: number): number {
  return fromF16(x[at] | x[at + 1] << 8);
}

/** Value `j` of a block of 32 nibbles lies low in byte j, value j + 16 high in it. */
function nibbles(
  x: Uint8Array,
  at: number,
  out: Float32Array,
  o: number,
  value: (nibble: number) => number,
): void {
  for (let j = 0; j < 16; j++) {
    out[o + j] = value(x[at + j] & 15);
    out[o + j + 16] = value(x[at + j] >> 4);
  }
}

/** Value `j` of a block whose fifth bits lie in the four bytes at `high`. */
function fives(
  x: Uint8Array,
  high: number,
  at: number,
  out: Float32Array,
  o: number,
  value: (five: number) => number,
): void {
  const bits = x[high] | x[high + 1] << 8 | x[high + 2] << 16 | x[high + 3] << 24;
  for (let j = 0; j < 16; j++) {
    out[o + j] = value(x[at + j] & 15 | (bits >>> j & 1) << 4);
    out[o + j + 16] = value(x[at + j] >> 4 | (bits >>> j + 16 & 1) << 4);
  }
}

const iq4xs: Block = (x, b, out, o) => {
  const d = half(x, b), high = x[b + 2] | x[b + 3] << 8;
  for (let j = 0; j < 8; j++) {
    const six = x[b + 4 + (j >> 1)] >> 4 * (j % 2) & 15 | (high >> 2 * j & 3) << 4,
      step = round(d * (six - 32));
    nibbles(x, b + 8 + 16 * j, out, o + 32 * j, (n) => step * nonLinear[n]);
  }
};

const word = new Uint32Array(1), float = new Float32Array(word.buffer);

/** Half of 2 to the power (e - 127): what `twiceE2m1`, which holds twice the values, is multiplied by. */
export function halfPower(e: number): number {
  word[0] = e < 2 ? 0x200000 << e : e - 1 << 23;
  return float[0];
}

/** How the blocks of types that are not the library's own are read. */
const blocks: Readonly<Partial<Record<GgufType, Block>>> = {
  Q4_1: (x, b, out, o) => {
    const d = half(x, b), least = half(x, b + 2);
    nibbles(x, b + 4, out, o, (n) => round(n * d) + least);
  },
  Q5_0: (x, b, out, o) => {
    const d = half(x, b);
    fives(x, b + 2, b + 6, out, o, (n) => (n - 16) * d);
  },
  Q5_1: (x, b, out, o) => {
    const d = half(x, b), least = half(x, b + 2);
    fives(x, b + 4, b + 8, out, o, (n) => round(n * d) + least);
  },
  Q2_K: kBlocks.q2k,
  Q3_K: kBlocks.q3k,
  Q4_K: kBlocks.q4k,
  Q5_K: kBlocks.q5k,
  Q6_K: kBlocks.q6k,
  IQ4_NL: (x, b, out, o) => {
    const d = half(x, b);
    nibbles(x, b + 2, out, o, (n) => d * nonLinear[n]);
  },
  IQ4_XS: iq4xs,
  MXFP4: (x, b, out, o) => {
    const d = halfPower(x[b]);
    nibbles(x, b + 1, out, o, (n) => d * twiceE2m1[n]);
  },
};

/** Whether `type` is one of blocks. */
export function isBlockType(type: GgufType): boolean {
  return ggufTypes[type].values > 1;
}

/** The values of whole blocks of `type`, which are one of {@link isBlockType}'s, into `out`. */
export function dequantize(type: GgufType, bytes: Uint8Array, out: Float32Array): void {
  if (type === "Q4_0") return dequantizeQ4(bytes, out);
  if (type === "Q8_0") return dequantizeQ8(bytes, out);
  const { values, bytes: size } = ggufTypes[type], block = blocks[type]!;
  for (let b = 0, o = 0; o < out.length; b += size, o += values) block(bytes, b, out, o);
}
