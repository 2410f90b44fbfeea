/**
 * f32 as blocks of GGUF types: ggml's reference quantisers (`quantize_row_*_ref`, ggml-quants.c), byte for byte.
 *
 * The types of 256 values have searches whose last bits depend on the machine; they are in `quantize_k.ts`.
 *
 * @module
 */
import { DTypeError } from "../../core/errors.ts";
import { toF16 } from "../../core/half.ts";
import { halfPower, twiceE2m1 } from "../../core/k_blocks.ts";
import { quantizeQ4, quantizeQ8 } from "../../core/quantize.ts";
import { quantizeQ4K, quantizeQ6K } from "./quantize_k.ts";
import { type GgufType, ggufTypes } from "./types.ts";

const round = Math.fround;

/** Writes the block of the values of `x` from `i` on to byte `b` of `out`. */
export type BlockWriter = (x: Float32Array, i: number, out: Uint8Array, b: number) => void;

/** Writes a number as f16. */
export function putHalf(out: Uint8Array, at: number, value: number): void {
  const half = toF16(round(value));
  out[at] = half;
  out[at + 1] = half >>> 8;
}

/** The least and the greatest of 32 values. */
function bounds(x: Float32Array, i: number): [least: number, greatest: number] {
  let least = x[i], greatest = x[i];
  for (let j = i + 1; j < i + 32; j++) {
    if (x[j] < least) least = x[j];
    if (x[j] > greatest) greatest = x[j];
  }
  return [least, greatest];
}

/** Packs 32 numbers of five bits: four fifth bits a byte apart, then nibbles. */
function putFives(q: (j: number) => number, out: Uint8Array, high: number, at: number): void {
  let bits = 0;
  for (let j = 0; j < 16; j++) {
    const a = q(j), b = q(j + 16);
    out[at + j] = a & 15 | (b & 15) << 4;
    bits |= (a >> 4 & 1) << j | (b >> 4 & 1) << j + 16;
  }
  for (let k = 0; k < 4; k++) out[high + k] = bits >>> 8 * k;
}

const q4_1: BlockWriter = (x, i, out, b) => {
  const [least, greatest] = bounds(x, i),
    d = round(round(greatest - least) / 15),
    inverse = d ? round(1 / d) : 0;
  putHalf(out, b, d);
  putHalf(out, b + 2, least);
  const q = (j: number): number =>
    Math.min(15, round(round(round(x[i + j] - least) * inverse) + 0.5) << 24 >> 24);
  for (let j = 0; j < 16; j++) out[b + 4 + j] = q(j) | q(j + 16) << 4;
};

const q5_0: BlockWriter = (x, i, out, b) => {
  let largest = 0, extreme = 0;
  for (let j = i; j < i + 32; j++) {
    if (Math.abs(x[j]) > largest) [largest, extreme] = [Math.abs(x[j]), x[j]];
  }
  const d = round(extreme / -16), inverse = d ? round(1 / d) : 0;
  putHalf(out, b, d);
  putFives((j) => Math.min(31, round(round(x[i + j] * inverse) + 16.5) << 24 >> 24), out, b + 2, b + 6);
};

const q5_1: BlockWriter = (x, i, out, b) => {
  const [least, greatest] = bounds(x, i),
    d = round(round(greatest - least) / 31),
    inverse = d ? round(1 / d) : 0;
  putHalf(out, b, d);
  putHalf(out, b + 2, least);
  putFives((j) => round(round(round(x[i + j] - least) * inverse) + 0.5) & 255, out, b + 4, b + 8);
};

const mxfp4: BlockWriter = (x, i, out, b) => {
  let largest = 0;
  for (let j = i; j < i + 32; j++) largest = Math.max(largest, Math.abs(x[j]));
  const e = largest > 0 ? Math.max(0, Math.floor(round(Math.log2(largest))) - 2 + 127) & 255 : 0,
    d = halfPower(e);
  const nearest = (value: number): number => {
    let best = 0, error = Infinity;
    for (let n = 0; n < 16; n++) {
      const off = Math.abs(round(round(twiceE2m1[n] * d) - value));
      if (off < error) [best, error] = [n, off];
    }
    return best;
  };
  out[b] = e;
  for (let j = 0; j < 16; j++) out[b + 1 + j] = nearest(x[i + j]) | nearest(x[i + j + 16]) << 4;
};

const writers: Readonly<Partial<Record<GgufType, BlockWriter>>> = {
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  MXFP4: mxfp4,
  Q4_K: quantizeQ4K,
  Q6_K: quantizeQ6K,
};

/** What a type of large blocks becomes where rows are no multiple of 256, as in llama.cpp. */
const smaller: Readonly<Partial<Record<GgufType, GgufType>>> = {
  Q2_K: "Q4_0",
  Q3_K: "Q4_0",
  Q4_K: "Q5_0",
  Q5_K: "Q5_1",
  Q6_K: "Q8_0",
  IQ4_XS: "IQ4_NL",
};

/** The type nearest to `type` whose blocks fill rows of `width` values; F16 where none does. */
export function typeForRows(type: GgufType, width: number): GgufType {
  const fits = (one: GgufType): boolean => width % ggufTypes[one].values === 0;
  const less = smaller[type];
  return fits(type) ? type : less !== undefined && fits(less) ? less : "F16";
}

/** The types that {@link quantize} writes. */
export const writableTypes: readonly GgufType[] = ["Q4_0", "Q8_0", ...Object.keys(writers) as GgufType[]];

/**
 * Values, in whole blocks, as blocks of `type` in `out`.
 *
 * @throws {DTypeError} for NaN and infinite values, which blocks cannot hold.
 */
export function quantize(type: GgufType, x: Float32Array, out: Uint8Array): void {
  if (type === "Q4_0") return quantizeQ4(x, out);
  if (type === "Q8_0") return quantizeQ8(x, out);
  const { values, bytes } = ggufTypes[type], write = writers[type]!;
  for (let j = 0; j < x.length; j++) {
    if (!Number.isFinite(x[j])) {
      throw new DTypeError(`value ${j} is ${x[j]}, which a block of ${type} cannot hold`);
    }
  }
  for (let i = 0, b = 0; i < x.length; i += values, b += bytes) write(x, i, out, b);
}
