/**
 * f32 as blocks of Q4_K and Q6_K: 256 values with scales in two steps, a scale of scales and small integers.
 *
 * As ggml does (`make_qkx2_quants`, `make_qx_quants` in ggml-quants.c), several steps near the obvious one are tried, for
 * each the least squares fit is worked out, and the best is kept. ggml weighs values by their size without a record of
 * what activations they meet; so do we. Sums are in f64 here, so the last bit of a scale may differ from ggml's.
 *
 * @module
 */
import { fromF16, toF16 } from "../../core/half.ts";

interface Fit {
  readonly scale: number;
  readonly offset: number;
}

/** q with x ≈ scale · q - offset, q from 0 to `top`, offset ≥ 0. */
function fitWithMinimum(x: Float32Array, i: number, count: number, top: number, q: Uint8Array): Fit {
  let least = 0, greatest = x[i], squares = 0;
  for (let j = i; j < i + count; j++) {
    least = Math.min(least, x[j]);
    greatest = Math.max(greatest, x[j]);
    squares += x[j] * x[j];
  }
  q.fill(0, 0, count);
  if (greatest === least) return { scale: 0, offset: -least };
  const typical = Math.sqrt(squares / count), tried = new Uint8Array(count);
  let best: Fit = { scale: 0, offset: 0 }, error = Infinity;
  for (let step = -1; step <= 20; step++) {
    // The plain step first, then some around it.
    const inverse = step < 0 ? top / (greatest - least) : (top - 1 + 0.1 * step) / (greatest - least);
    let sw = 0, sx = 0, sq = 0, sqq = 0, sqx = 0;
    for (let j = 0; j < count; j++) {
      const value = x[i + j], weight = typical + Math.abs(value);
      const n = Math.min(top, Math.max(0, Math.round(inverse * (value - least))));
      tried[j] = n;
      sw += weight;
      sx += weight * value;
      sq += weight * n;
      sqq += weight * n * n;
      sqx += weight * n * value;
    }
    const determinant = sw * sqq - sq * sq;
    if (determinant <= 0) continue;
    let scale = (sw * sqx - sx * sq) / determinant, offset = (sq * sqx - sqq * sx) / determinant;
    if (offset < 0) {
      offset = 0;
      scale = sqx / sqq;
    }
    let off = 0;
    for (let j = 0; j < count; j++) {
      const d = scale * tried[j] - offset - x[i + j];
      off += (typical + Math.abs(x[i + j])) * d * d;
    }
    if (off < error) {
      error = off;
      best = { scale, offset };
      q.set(tried);
    }
  }
  return best;
}

/** The scale with x ≈ scale · q, q from -`top` to `top` - 1. */
function fitSymmetric(x: Float32Array, i: number, count: number, top: number): number {
  let extreme = 0;
  for (let j = i; j < i + count; j++) if (Math.abs(x[j]) > Math.abs(extreme)) extreme = x[j];
  if (Math.abs(extreme) < 1e-15) return 0;
  let best = 0, gain = 0;
  for (let step = -9; step <= 9; step++) {
    const inverse = -(top + 0.1 * step) / extreme;
    let sqx = 0, sqq = 0;
    for (let j = i; j < i + count; j++) {
      const n = Math.min(top - 1, Math.max(-top, Math.round(inverse * x[j]))), weight = x[j] * x[j];
      sqx += weight * n * x[j];
      sqq += weight * n * n;
    }
    if (sqq > 0 && sqx * sqx > gain * sqq) {
      gain = sqx * sqx / sqq;
      best = sqx / sqq;
    }
  }
  return best;
}

function put(out: Uint8Array, at: number, value: number): number {
  const half = toF16(Math.fround(value));
  out[at] = half;
  out[at + 1] = half >>> 8;
  return fromF16(half);
}

/** A block of 144 bytes: two f16, eight scales and minima of six bits, 256 nibbles. */
export function quantizeQ4K(x: Float32Array, i: number, out: Uint8Array, b: number): void {
  const q = new Uint8Array(32),
    fits = Array.from({ length: 8 }, (_, j) => fitWithMinimum(x, i + 32 * j, 32, 15, q));
  const scales = fits.map(({ scale }) => Math.max(0, scale)),
    minima = fits.map(({ offset }) => Math.max(0, offset));
  const d = put(out, b, Math.max(...scales) / 63), least = put(out, b + 2, Math.max(...minima) / 63);
  out.fill(0, b + 4, b + 144);
  for (let j = 0; j < 8; j++) {
    const scale = d > 0 ? Math.min(63, Math.round(scales[j] / d)) : 0;
    const minimum = least > 0 ? Math.min(63, Math.round(minima[j] / least)) : 0, s = b + 4;
    if (j < 4) {
      out[s + j] |= scale;
      out[s + j + 4] |= minimum;
    } else {
      out[s + j + 4] = scale & 15 | (minimum & 15) << 4;
      out[s + j - 4] |= scale >> 4 << 6;
      out[s + j] |= minimum >> 4 << 6;
    }
    const step = d * scale, offset = least * minimum, at = b + 16 + 32 * (j >> 1), shift = j % 2 * 4;
    for (let l = 0; l < 32; l++) {
      const n = step > 0 ? Math.min(15, Math.max(0, Math.round((x[i + 32 * j + l] + offset) / step))) : 0;
      out[at + l] |= n << shift;
    }
  }
}

/** A block of 210 bytes: 256 times four bits and two bits, sixteen scales of a byte, one f16. */
export function quantizeQ6K(x: Float32Array, i: number, out: Uint8Array, b: number): void {
  const scales = Array.from({ length: 16 }, (_, j) => fitSymmetric(x, i + 16 * j, 16, 32));
  let extreme = 0;
  for (const scale of scales) if (Math.abs(scale) > Math.abs(extreme)) extreme = scale;
  out.fill(0, b, b + 210);
  const d = put(out, b + 208, extreme / -128);
  for (let j = 0; j < 16; j++) {
    const scale = d !== 0 ? Math.min(127, Math.max(-128, Math.round(scales[j] / d))) : 0, step = d * scale;
    out[b + 192 + j] = scale;
    for (let l = 16 * j; l < 16 * j + 16; l++) {
      const n = (step !== 0 ? Math.min(31, Math.max(-32, Math.round(x[i + l] / step))) : 0) + 32;
      const part = l >> 7, within = l & 127, quarter = within >> 5, at = within & 31;
      out[b + 64 * part + quarter % 2 * 32 + at] |= (n & 15) << (quarter > 1 ? 4 : 0);
      out[b + 128 + 32 * part + at] |= n >> 4 << 2 * quarter;
    }
  }
}
