/**
 * Blocks of weights that come from a GGUF, q2k to q6k and others: what ggml calls Q2_K to Q6_K, IQ4_XS, Q4_1, Q5_0, Q5_1, IQ4_NL
 * and MXFP4 (`dequantize_row_*`, ggml-quants.c), as f32, bit for bit, which is why every product and sum is rounded to f32 by
 * itself.
 *
 * Those of 32 have a factor, and some a minimum. One of 256 has small numbers of 2 to 6 bits, scales (and minima) of parts of 16 or 32 in 4 to 8 bits, and f16 factors of those:
 * value = factor · scale · number - factor · minimum.
 *
 * @module
 */
import type { KDType } from "./dtype.ts";
import { fromF16 } from "./half.ts";

const round = Math.fround;

/** Writes the values of the block at byte `b` of `x` to `out` from `o` on. */
export type Block = (x: Uint8Array, b: number, out: Float32Array, o: number) => void;

function half(x: Uint8Array, at: number): number {
  return fromF16(x[at] | x[at + 1] << 8);
}

function signed(byte: number): number {
  return byte << 24 >> 24;
}

/** Scale and minimum number `j` of the twelve bytes at `s`, six bits each (`get_scale_min_k4`). */
function sixBits(x: Uint8Array, s: number, j: number): [scale: number, minimum: number] {
  return j < 4
    ? [x[s + j] & 63, x[s + j + 4] & 63]
    : [x[s + j + 4] & 15 | x[s + j - 4] >> 6 << 4, x[s + j + 4] >> 4 | x[s + j] >> 6 << 4];
}

const q2k: Block = (x, b, out, o) => {
  const d = half(x, b + 80), least = half(x, b + 82);
  for (let part = 0, scale = b; part < 2; part++) {
    for (let shift = 0; shift < 8; shift += 2) {
      for (let at = b + 16 + 32 * part, end = at + 32; at < end; at += 16, scale++) {
        const step = round(d * (x[scale] & 15)), minimum = round(least * (x[scale] >> 4));
        for (let l = 0; l < 16; l++) out[o++] = round(step * (x[at + l] >> shift & 3)) - minimum;
      }
    }
  }
};

const q3k: Block = (x, b, out, o) => {
  const d = half(x, b + 108);
  for (let part = 0, scale = 0; part < 2; part++) {
    for (let j = 0; j < 4; j++) {
      const bit = 1 << 4 * part + j;
      for (let from = 0; from < 32; from += 16, scale++) {
        const low = x[b + 96 + scale % 8], nibble = scale < 8 ? low & 15 : low >> 4;
        const six = nibble | (x[b + 104 + scale % 4] >> 2 * (scale >> 2) & 3) << 4;
        const step = round(d * (six - 32));
        for (let l = from; l < from + 16; l++) {
          const two = x[b + 32 + 32 * part + l] >> 2 * j & 3;
          out[o++] = step * (two - (x[b + l] & bit ? 0 : 4));
        }
      }
    }
  }
};

const q4k: Block = (x, b, out, o) => {
  const d = half(x, b), least = half(x, b + 2);
  for (let j = 0; j < 8; j++) {
    const [scale, minimum] = sixBits(x, b + 4, j), at = b + 16 + 32 * (j >> 1), shift = j % 2 * 4;
    const step = round(d * scale), offset = round(least * minimum);
    for (let l = 0; l < 32; l++) out[o++] = round(step * (x[at + l] >> shift & 15)) - offset;
  }
};

const q5k: Block = (x, b, out, o) => {
  const d = half(x, b), least = half(x, b + 2);
  for (let j = 0; j < 8; j++) {
    const [scale, minimum] = sixBits(x, b + 4, j), at = b + 48 + 32 * (j >> 1), shift = j % 2 * 4;
    const step = round(d * scale), offset = round(least * minimum);
    for (let l = 0; l < 32; l++) {
      out[o++] = round(step * (x[at + l] >> shift & 15 | (x[b + 16 + l] >> j & 1) << 4)) - offset;
    }
  }
};

const q6k: Block = (x, b, out, o) => {
  const d = half(x, b + 208);
  for (let part = 0; part < 2; part++, o += 128) {
    const low = b + 64 * part, high = b + 128 + 32 * part, scales = b + 192 + 8 * part;
    for (let quarter = 0; quarter < 4; quarter++) {
      const at = low + quarter % 2 * 32, shift = quarter > 1 ? 4 : 0;
      for (let l = 0; l < 32; l++) {
        const six = x[at + l] >> shift & 15 | (x[high + l] >> 2 * quarter & 3) << 4;
        const step = round(d * signed(x[scales + 2 * quarter + (l >> 4)]));
        out[o + 32 * quarter + l] = step * (six - 32);
      }
    }
  }
};

/** The sixteen values that a nibble of iq4nl and iq4xs stands for. */
export const nonLinear: readonly number[] = [
  -127,
  -104,
  -83,
  -65,
  -49,
  -35,
  -22,
  -10,
  1,
  13,
  25,
  38,
  53,
  69,
  89,
  113,
];

/** Twice the sixteen values of a 4-bit float (E2M1). */
export const twiceE2m1: readonly number[] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

const word = new Uint32Array(1), float = new Float32Array(word.buffer);

/** Half of 2 to the power (e - 127): what `twiceE2m1`, which holds twice the values, is multiplied by. */
export function halfPower(e: number): number {
  word[0] = e < 2 ? 0x200000 << e : e - 1 << 23;
  return float[0];
}

type Numbered = (n: number) => number;

/** Value `j` of a block of 32 nibbles lies low in byte j, value j + 16 high in it. */
function nibbles(x: Uint8Array, at: number, out: Float32Array, o: number, value: Numbered): void {
  for (let j = 0; j < 16; j++) {
    out[o + j] = value(x[at + j] & 15);
    out[o + j + 16] = value(x[at + j] >> 4);
  }
}

/** Value `j` of a block whose fifth bits lie in the four bytes at `high`. */
function fives(x: Uint8Array, high: number, at: number, out: Float32Array, o: number, value: Numbered): void {
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

const q41: Block = (x, b, out, o) => {
  const d = half(x, b), least = half(x, b + 2);
  nibbles(x, b + 4, out, o, (n) => round(n * d) + least);
};

const q50: Block = (x, b, out, o) => {
  const d = half(x, b);
  fives(x, b + 2, b + 6, out, o, (n) => (n - 16) * d);
};

const q51: Block = (x, b, out, o) => {
  const d = half(x, b), least = half(x, b + 2);
  fives(x, b + 4, b + 8, out, o, (n) => round(n * d) + least);
};

const iq4nl: Block = (x, b, out, o) => {
  const d = half(x, b);
  nibbles(x, b + 2, out, o, (n) => d * nonLinear[n]);
};

const mxfp4: Block = (x, b, out, o) => {
  const d = halfPower(x[b]);
  nibbles(x, b + 1, out, o, (n) => d * twiceE2m1[n]);
};

/** How the blocks of each dtype are read. */
export const kBlocks: Readonly<Record<KDType, Block>> = {
  q2k,
  q3k,
  q4k,
  q5k,
  q6k,
  iq4xs,
  q41,
  q50,
  q51,
  iq4nl,
  mxfp4,
};
