/**
 * Scales of blocks as a file has them. Kernels take them for numbers, so that NaN and infinities, which a damaged file holds or a
 * writer made of a weight that was none, are refused where blocks are read.
 *
 * @module
 */
import { blockValues, byteSize, type DType } from "../core/dtype.ts";
import { FormatError } from "../core/errors.ts";
import { fromF16 } from "../core/half.ts";

/** Where a block's f16 scales (and minima) begin. MXFP4's are powers of two in a byte, which kernels take as they are. */
const places: Readonly<Partial<Record<DType, readonly number[]>>> = {
  q8: [0],
  q4: [0],
  q6k: [208],
  q5k: [0, 2],
  q4k: [0, 2],
  q3k: [108],
  q2k: [80, 82],
  iq4xs: [0],
  q51: [0, 2],
  q50: [0],
  q41: [0, 2],
  iq4nl: [0],
};

/**
 * Refuses blocks of `dtype` whose scale is none. `what` is the tensor and its file, `first` the number of its value with which
 * they begin.
 *
 * @throws {FormatError} naming the values of the first such block.
 */
export function demandScales(dtype: DType, blocks: Uint8Array, what: string, first = 0): void {
  const values = blockValues(dtype), size = byteSize(dtype, values);
  const [one, other = one] = places[dtype] ?? [];
  if (one === undefined) return;
  // The upper byte has the sign and the exponent, all of whose bits are set in what is no number.
  const isNone = (at: number): boolean => (blocks[at + 1] & 0x7c) === 0x7c;
  for (let begin = 0; begin < blocks.length; begin += size) {
    if (!isNone(begin + one) && !isNone(begin + other)) continue;
    const at = begin + (isNone(begin + one) ? one : other), from = first + begin / size * values;
    throw new FormatError(
      `${what}: the scale of values ${from} to ${from + values - 1} is ${
        fromF16(blocks[at] | blocks[at + 1] << 8)
      }, expected a number; the file is damaged, or its weights were none`,
    );
  }
}
