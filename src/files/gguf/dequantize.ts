/**
 * Blocks of GGUF types as f32: the arithmetic of ggml's `dequantize_row_*` (ggml-quants.c), bit for bit.
 *
 * @module
 */
import { isK } from "../../core/dtype.ts";
import { type Block, kBlocks } from "../../core/k_blocks.ts";
import { dequantizeQ4, dequantizeQ8 } from "../../core/quantize.ts";
import { type GgufType, ggufTypes } from "./types.ts";

/** Whether `type` is one of blocks. */
export function isBlockType(type: GgufType): boolean {
  return ggufTypes[type].values > 1;
}

/** Whether blocks of `type` are blocks of q8 to the bit: one factor, and integers of a byte. */
export function isLikeQ8(type: GgufType): boolean {
  return type === "Q5_0" || type === "IQ4_NL";
}

/** Blocks of a type that {@link isLikeQ8} names as those of q8: the same factors and integers. */
export function toQ8(type: GgufType, bytes: Uint8Array, out: Uint8Array): void {
  const { bytes: size, dtype } = ggufTypes[type], integers: Block = kBlocks[dtype as "q50"];
  const block = new Uint8Array(size), values = new Float32Array(32);
  for (let b = 0, o = 0; b < bytes.length; b += size, o += 34) {
    block.set(bytes.subarray(b, b + size));
    // With a factor of 1 the values are the integers.
    [block[0], block[1]] = [0x00, 0x3c];
    integers(block, 0, values, 0);
    out[o] = bytes[b];
    out[o + 1] = bytes[b + 1];
    for (let j = 0; j < 32; j++) out[o + 2 + j] = values[j];
  }
}

/** The values of whole blocks of `type`, which are one of {@link isBlockType}'s, into `out`. */
export function dequantize(type: GgufType, bytes: Uint8Array, out: Float32Array): void {
  const { values, bytes: size, dtype = "f32" } = ggufTypes[type];
  if (!isK(dtype)) return dtype === "q4" ? dequantizeQ4(bytes, out) : dequantizeQ8(bytes, out);
  const block = kBlocks[dtype];
  for (let b = 0, o = 0; o < out.length; b += size, o += values) block(bytes, b, out, o);
}
