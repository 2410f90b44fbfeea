/**
 * Blocks of 32 weights with one scale: q8 and q4, to and from f32.
 *
 * The layout and the arithmetic are those of llama.cpp's Q8_0 and Q4_0 (`quantize_row_q8_0_ref`,
 * `quantize_row_q4_0_ref` in ggml-quants.c). A q8 block is an f16 scale and 32 signed bytes, value = scale · byte; a
 * q4 block is an f16 scale and 16 bytes, byte j holding value j in its low nibble and value j + 16 in its high one,
 * value = scale · (nibble - 8). q4's scale is the value of largest magnitude, sign kept, divided by -8, so that this
 * value is hit exactly. A value is off by half a scale at most; in q4 by a whole one at the far end, as there is no +8.
 * Ternary weights are q4 blocks whose scale is given.
 *
 * @module
 */
import { counted } from "./show.ts";
import { quantBlock } from "./dtype.ts";
import { DTypeError, ShapeError } from "./errors.ts";
import { fromF16, toF16 } from "./half.ts";

const f16Max = 65504;

function checkLengths(what: string, values: number, bytes: number, blockBytes: number): number {
  const blocks = values / quantBlock;
  if (!Number.isInteger(blocks) || bytes !== blocks * blockBytes) {
    throw new ShapeError(
      `${what}: ${counted(values, "value")} and ${
        counted(bytes, "byte")
      } do not match; a block of ${quantBlock} values takes ${blockBytes} bytes`,
    );
  }
  return blocks;
}

/** Blocks that could not be made: where they begin, and what they can hold. */
const unfit = new WeakMap<Error, { readonly at: number; readonly limit: number }>();

function unfitError(what: string, at: number, limit: number): DTypeError {
  const error = new DTypeError(
    `${what}values ${at} to ${
      at + quantBlock - 1
    } hold NaN or a magnitude above ${limit}, which blocks with an f16 scale cannot hold`,
  );
  unfit.set(error, { at, limit });
  return error;
}

function checkMagnitude(magnitude: number, at: number, limit: number): void {
  if (!(magnitude <= limit)) throw unfitError("", at, limit);
}

/** An error of quantising a part of `what` that begins at value `first`, told of the whole; any other error as it is. */
export function inWhole(error: unknown, what: string, first: number): unknown {
  const found = error instanceof DTypeError ? unfit.get(error) : undefined;
  return found ? unfitError(what && `${what}: `, first + found.at, found.limit) : error;
}

/** The largest magnitude in the block at `at`; NaN where there is one. */
function largestMagnitude(x: Float32Array, at: number): number {
  let best = 0;
  for (let i = at; i < at + quantBlock; i++) best = Math.max(best, Math.abs(x[i]));
  return best;
}

/** The first value of largest magnitude in the block at `at`, with its sign; NaN where there is one. */
function extreme(x: Float32Array, at: number): number {
  let best = 0, value = 0;
  for (let i = at; i < at + quantBlock; i++) {
    const magnitude = Math.abs(x[i]);
    if (magnitude > best) {
      best = magnitude;
      value = x[i];
    } else if (magnitude !== magnitude) return NaN;
  }
  return value;
}

/**
 * Quantises `x` (a multiple of 32 values) to q8 blocks in `out` (34 bytes each).
 *
 * @throws {ShapeError} when the lengths do not match.
 * @throws {DTypeError} for NaN and values beyond ±8,319,008.
 */
export function quantizeQ8(x: Float32Array, out: Uint8Array): void {
  const blocks = checkLengths("quantizeQ8", x.length, out.length, 34);
  const bits = new Int32Array(x.buffer, x.byteOffset, x.length);
  for (let block = 0, i = 0, o = 0; block < blocks; block++, o += 34) {
    const magnitude = largestMagnitude(x, i);
    checkMagnitude(magnitude, i, f16Max * 127);
    const scale = Math.fround(magnitude / 127);
    const inverse = scale > 0 ? Math.fround(1 / scale) : 0;
    const half = toF16(scale);
    out[o] = half;
    out[o + 1] = half >>> 8;
    for (let j = 2; j < 34; j++, i++) {
      // Half away from zero, as C's roundf. The sign is put back without a branch: weights have random signs.
      const sign = bits[i] >> 31;
      out[o + j] = (Math.fround(Math.abs(x[i]) * inverse) + 0.5 ^ sign) - sign;
    }
  }
}

/**
 * The values of q8 blocks: 34 bytes of `q` for 32 values of `out`.
 * @throws {ShapeError} when the lengths do not match.
 */
export function dequantizeQ8(q: Uint8Array, out: Float32Array): void {
  const blocks = checkLengths("dequantizeQ8", out.length, q.length, 34);
  for (let block = 0, i = 0, o = 0; block < blocks; block++, o += 34) {
    const scale = fromF16(q[o] | q[o + 1] << 8);
    for (let j = 2; j < 34; j++, i++) out[i] = scale * (q[o + j] << 24 >> 24);
  }
}

/**
 * Quantises `x` (a multiple of 32 values) to q4 blocks in `out` (18 bytes each).
 *
 * @throws {ShapeError} when the lengths do not match.
 * @throws {DTypeError} for NaN and values beyond ±524,032.
 */
export function quantizeQ4(x: Float32Array, out: Uint8Array): void {
  const blocks = checkLengths("quantizeQ4", x.length, out.length, 18);
  for (let block = 0, i = 0, o = 0; block < blocks; block++, i += quantBlock, o += 18) {
    const value = extreme(x, i);
    checkMagnitude(Math.abs(value), i, f16Max * 8);
    const scale = Math.fround(value / -8);
    const inverse = scale !== 0 ? Math.fround(1 / scale) : 0;
    const half = toF16(scale);
    out[o] = half;
    out[o + 1] = half >>> 8;
    for (let j = 0; j < 16; j++) {
      const low = Math.fround(Math.fround(x[i + j] * inverse) + 8.5);
      const high = Math.fround(Math.fround(x[i + j + 16] * inverse) + 8.5);
      out[o + 2 + j] = Math.min(15, low | 0) | Math.min(15, high | 0) << 4;
    }
  }
}

/**
 * The values of q4 blocks: 18 bytes of `q` for 32 values of `out`.
 * @throws {ShapeError} when the lengths do not match.
 */
export function dequantizeQ4(q: Uint8Array, out: Float32Array): void {
  const blocks = checkLengths("dequantizeQ4", out.length, q.length, 18);
  for (let block = 0, i = 0, o = 0; block < blocks; block++, i += quantBlock, o += 18) {
    const scale = fromF16(q[o] | q[o + 1] << 8);
    for (let j = 0; j < 16; j++) {
      const byte = q[o + 2 + j];
      out[i + j] = scale * ((byte & 15) - 8);
      out[i + j + 16] = scale * ((byte >>> 4) - 8);
    }
  }
}

/**
 * Quantises `x`, a row of a matrix (a multiple of 32 values), to -1, 0 and 1 times one scale: the mean magnitude of the row, as f16
 * (BitNet b1.58: Ma et al., "The era of 1-bit LLMs", 2024, with a scale a row in place of one a matrix). They are q4 blocks in `out`,
 * of one scale and nibbles from 7 to 9, so that what reads q4 has these values exactly.
 *
 * @throws {ShapeError} when the lengths do not match.
 * @throws {DTypeError} for NaN and values beyond ±65,504.
 */
export function quantizeTernary(x: Float32Array, out: Uint8Array): void {
  const blocks = checkLengths("quantizeTernary", x.length, out.length, 18);
  for (let i = 0; i < x.length; i += quantBlock) checkMagnitude(largestMagnitude(x, i), i, f16Max);
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += Math.abs(x[i]);
  const half = toF16(x.length ? sum / x.length : 0), scale = fromF16(half);
  // What rounds to -1, 0 and 1: halves go away from zero.
  const limit = scale / 2,
    code = (value: number): number => scale === 0 || Math.abs(value) < limit ? 8 : value < 0 ? 7 : 9;
  for (let block = 0, i = 0, o = 0; block < blocks; block++, i += quantBlock, o += 18) {
    out[o] = half;
    out[o + 1] = half >>> 8;
    for (let j = 0; j < 16; j++) out[o + 2 + j] = code(x[i + j]) | code(x[i + j + 16]) << 4;
  }
}
