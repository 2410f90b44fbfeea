/**
 * Stable sorting along the last axis: radix sort on 32-bit keys whose unsigned order is the order wanted.
 *
 * A float's key flips its sign bit, or all bits when it is negative; -0 gets the key of 0 (they are equal, and equal
 * elements keep their order) and NaN the largest key, before all are turned around where the largest is to be first. Eleven bits a pass, and passes in which
 * all keys agree are left out, so f16, bf16, u8 and bool take one or two. An i64 is sorted by its low half, then by its high half.
 *
 * @module
 */
import { byteSize } from "../../../core/dtype.ts";
import { DTypeError } from "../../../core/errors.ts";
import { sizeOf } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import { addressOf } from "../buffer.ts";
import type { Engine } from "../engine.ts";

const radix = 2048;
const counts = new Uint32Array(3 * radix);

/** Sorts along the last axis, stably, NaN larger than all numbers; see `Backend.sort`. */
export function sort(engine: Engine, x: View, descending: boolean, values: View, indices: View): void {
  const rank = x.shape.length;
  const length = rank === 0 ? 1 : x.shape[rank - 1];
  const total = sizeOf(x.shape);
  if (total === 0) return;
  engine.refuseCapture();
  const scratch = engine.heap.scratch(16 * length);
  try {
    const u32 = engine.u32;
    const at = scratch / 4;
    const keys = u32.subarray(at, at + length), order = u32.subarray(at + length, at + 2 * length);
    const keys2 = u32.subarray(at + 2 * length, at + 3 * length),
      order2 = u32.subarray(at + 3 * length, at + 4 * length);
    const position = x.shape.slice(0, -1).map(() => 0);
    const step = rank === 0 ? 0 : x.strides[rank - 1];
    for (let row = 0; row < total / length; row++) {
      let start = x.offset;
      for (let d = 0; d < position.length; d++) start += position[d] * x.strides[d];
      for (let i = 0; i < length; i++) order[i] = i;
      let turned = false;
      for (let part = x.dtype === "i64" ? 0 : 1; part < 2; part++) {
        const now = turned ? order2 : order;
        fillKeys(engine, x, start, step, part, descending, now, turned ? keys2 : keys);
        if (sortKeys(turned ? keys2 : keys, now, turned ? keys : keys2, turned ? order : order2)) {
          turned = !turned;
        }
      }
      write(engine, x, start, step, turned ? order2 : order, values, indices, row * length);
      for (let d = position.length - 1; d >= 0 && ++position[d] === x.shape[d]; d--) position[d] = 0;
    }
  } finally {
    engine.heap.release(scratch);
  }
}

/** Sorts `order` by `keys`, stably. True when the result is in the second pair of arrays. */
function sortKeys(keys: Uint32Array, order: Uint32Array, keys2: Uint32Array, order2: Uint32Array): boolean {
  const n = keys.length;
  if (n <= 32) {
    for (let i = 1; i < n; i++) {
      const key = keys[i], index = order[i];
      let j = i - 1;
      for (; j >= 0 && keys[j] > key; j--) keys[j + 1] = keys[j], order[j + 1] = order[j];
      keys[j + 1] = key;
      order[j + 1] = index;
    }
    return false;
  }
  counts.fill(0);
  for (let i = 0; i < n; i++) {
    const key = keys[i];
    counts[key & 2047]++;
    counts[radix + ((key >>> 11) & 2047)]++;
    counts[2 * radix + (key >>> 22)]++;
  }
  let a = keys, b = keys2, p = order, q = order2, turned = false;
  for (let pass = 0; pass < 3; pass++) {
    const shift = 11 * pass, base = radix * pass;
    if (counts[base + ((a[0] >>> shift) & 2047)] === n) continue;
    for (let i = base, sum = 0; i < base + radix; i++) {
      const count = counts[i];
      counts[i] = sum;
      sum += count;
    }
    for (let i = 0; i < n; i++) {
      const key = a[i];
      const to = counts[base + ((key >>> shift) & 2047)]++;
      b[to] = key;
      q[to] = p[i];
    }
    [a, b, p, q] = [b, a, q, p];
    turned = !turned;
  }
  return turned;
}

/** Keys of the elements of one line in the order of `order`; `part` of an i64 is 0 for its low half, else 1. */
function fillKeys(
  engine: Engine,
  x: View,
  start: number,
  step: number,
  part: number,
  descending: boolean,
  order: Uint32Array,
  keys: Uint32Array,
): void {
  const flip = descending ? 0xffffffff : 0;
  const base = addressOf(x, start) / byteSize(x.dtype, 1);
  const n = order.length;
  switch (x.dtype) {
    case "f32":
      for (let i = 0; i < n; i++) {
        const bits = engine.i32[base + order[i] * step];
        const size = bits & 0x7fffffff;
        const key = size > 0x7f800000 ? 0xffffffff : floatKey(size === 0 ? 0 : bits);
        keys[i] = (key ^ flip) >>> 0;
      }
      break;
    case "f16":
    case "bf16": {
      const infinity = x.dtype === "f16" ? 0x7c00 : 0x7f80;
      for (let i = 0; i < n; i++) {
        const bits = engine.u16[base + order[i] * step];
        const size = bits & 0x7fff;
        const key = size > infinity ? 0xffffffff : floatKey(size === 0 ? 0 : bits << 16);
        keys[i] = (key ^ flip) >>> 16;
      }
      break;
    }
    case "i32":
      for (let i = 0; i < n; i++) keys[i] = (engine.i32[base + order[i] * step] ^ 0x80000000 ^ flip) >>> 0;
      break;
    case "i64":
      for (let i = 0; i < n; i++) {
        keys[i] = (engine.i32[2 * (base + order[i] * step) + part] ^ (part ? 0x80000000 : 0) ^ flip) >>> 0;
      }
      break;
    case "u8":
    case "bool":
      for (let i = 0; i < n; i++) keys[i] = engine.u8[base + order[i] * step] ^ (flip & 0xff);
      break;
    default:
      throw new DTypeError(
        `sort: ${x.dtype} has no order on the cpu device; convert it with .to({ dtype: "f32" })`,
      );
  }
}

function floatKey(bits: number): number {
  return bits ^ ((bits >> 31) | 0x80000000);
}

function write(
  engine: Engine,
  x: View,
  start: number,
  step: number,
  order: Uint32Array,
  values: View,
  indices: View,
  at: number,
): void {
  const width = byteSize(x.dtype, 1);
  const from = addressOf(x, start) / width, to = addressOf(values) / width + at;
  const { i64, i32, u16, u8 } = engine;
  const positions = addressOf(indices) / 4 + at;
  for (let i = 0; i < order.length; i++) i32[positions + i] = order[i];
  if (width === 8) { for (let i = 0; i < order.length; i++) i64[to + i] = i64[from + order[i] * step]; }
  else {
    const bits = width === 4 ? i32 : width === 2 ? u16 : u8;
    for (let i = 0; i < order.length; i++) bits[to + i] = bits[from + order[i] * step];
  }
}
