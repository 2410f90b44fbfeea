/**
 * What an optimizer remembers, in 8 bits a number: codes in blocks of up to 256, each with its largest size in f32.
 *
 * Small numbers matter as much as large ones, so codes stand close near 0: what is remembered of gradients is their square,
 * with its sign, and what is remembered of squares is their fourth power. Rounding is by chance, as a change by a thousandth at each
 * step would otherwise never leave its code; the chances follow from the parameter and the step, so a run that goes on has
 * the same. Dettmers, Lewis, Shleifer, Zettlemoyer: "8-bit optimizers via block-wise quantization", ICLR 2022, have a table of
 * codes in place of the powers.
 *
 * @module
 */
import { abs, add, clamp, div, floor, maximum, mul, sign, sub } from "../ops/elementwise.ts";
import { sqrt, square } from "../ops/functions.ts";
import { full, type Tensor } from "../ops/mod.ts";
import { rand } from "../ops/random.ts";
import { max } from "../ops/reduce.ts";
import { toDType } from "../ops/row.ts";
import { reshape, transpose } from "../ops/views.ts";
import { byteSize } from "../core/dtype.ts";
import { copyInto, keep } from "../tensor/mod.ts";

/** Numbers remembered for fewer than so many are in f32, as in bitsandbytes: they take no memory, and often matter most. */
export const leastNarrow = 4096;

/** Numbers that share a scale: at most, and at least. */
const most = 256;
export const leastBlock = 32;

/** How many numbers of `p` share a scale; 0 where they are remembered in f32. */
export function blockFor(p: Tensor): number {
  if (p.size < leastNarrow || byteSize(p.dtype, 1) > 4) return 0;
  let block = most;
  while (p.size % block !== 0) block /= 2;
  return block < leastBlock || !(p.isContiguous || isTurned(p)) ? 0 : block;
}

const isTurned = (p: Tensor): boolean => p.shape.length === 2 && p.strides[0] === 1;

/** Codes and scales of one tensor. */
export interface Narrow {
  /** u8, [blocks, block], in the order in which the parameter lies in memory. */
  readonly codes: Tensor;
  /** f32, [blocks, 1]. */
  readonly scales: Tensor;
}

/** The code of 0: numbers with a sign lie around the middle. */
const zeroOf = (isSquare: boolean): number => isSquare ? 0 : 128;

/** Codes of zeros for `p`. */
export function zeroCodes(p: Tensor, isSquare: boolean): Narrow {
  const block = blockFor(p), shape = [p.size / block, block], { device } = p;
  return {
    codes: keep(full(shape, zeroOf(isSquare), { dtype: "u8", device })),
    scales: keep(full([shape[0], 1], 0, { device })),
  };
}

/** The numbers, laid in memory as `p` is. */
export function decode({ codes, scales }: Narrow, p: Tensor, isSquare: boolean): Tensor {
  const c = toDType(codes, "f32"), size = isSquare ? div(c, 255) : div(sub(c, 128), 127);
  const flat = mul(isSquare ? square(square(size)) : mul(size, abs(size)), scales);
  return isTurned(p) && !p.isContiguous
    ? transpose(reshape(flat, [p.shape[1], p.shape[0]]), 0, 1)
    : reshape(flat, p.shape);
}

/** Writes the codes of `t`, laid as {@link decode} gives it; `seed` decides how it is rounded. */
export function encode(t: Tensor, { codes, scales }: Narrow, isSquare: boolean, seed: number): void {
  const rows = reshape(t.isContiguous ? t : transpose(t, 0, 1), codes.shape), size = abs(rows);
  const largest = max(size, 1, true);
  // Blocks of zeros have a scale of 0.
  const part = div(size, maximum(largest, 2 ** -120));
  const chance = rand(codes.shape, { seed, device: t.device });
  const whole = isSquare
    ? floor(add(mul(sqrt(sqrt(part)), 255), chance))
    : add(mul(floor(add(mul(sqrt(part), 127), chance)), sign(rows)), 128);
  copyInto(toDType(clamp(whole, 0, 255), "u8"), codes);
  copyInto(largest, scales);
}
