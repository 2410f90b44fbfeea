/**
 * Activations as bytes, with a scale for each block of 32 along k: the outlier channels of language models then spoil
 * one block, not the row.
 *
 * The dot instruction multiplies signed bytes by such from 0 to 127, and which side is which depends on the weights:
 * - `magnitude` (one row of q8): bytes |x|, then masks of the signs, which are applied to the weights. 8 bits.
 * - `signed` (one row of q4): the nibbles are the small side, so x keeps its 8 bits; the sum of the block, times -8,
 *   makes up for the nibbles' offset.
 * - `offset` (several rows): x + 64 with x from -63 to 63; the sum of the weights makes up for the offset. 7 bits.
 *
 * @module
 */
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import { emitSetSum } from "../gemm/address.ts";
import { blockWeights, quads } from "./format.ts";

/** Ways to make bytes of activations. */
export type ActivationForm = "magnitude" | "signed" | "offset";

/** Largest magnitude of a byte. */
const limits: Readonly<Record<ActivationForm, number>> = { magnitude: 127, signed: 127, offset: 63 };

/** Bytes of a block of one row. `offset` has the blocks of a tile's rows together: groups of four k, then scales. */
export const activationBytes: Readonly<Record<ActivationForm, number>> = {
  magnitude: 68,
  signed: 40,
  offset: 36,
};

/**
 * The function `quantize(x, to, blocks, rows, row)`: blocks of 32 f32 from `x` on become bytes. For `offset` they
 * belong to row number `row` of a tile of `rows` rows; `to` is where the tile begins.
 */
export function emitQuantize(m: ModuleBuilder, form: ActivationForm): FunctionBuilder {
  const f = m.function("quantize", { params: new Array(5).fill("i32"), export: false });
  const [x, to, blocks, rows, row] = f.params;
  const block = f.local("i32"), at = f.local("i32"), step = f.local("i32");
  const values = f.localArray("v128", quads), most = f.local("v128"), inverse = f.local("v128");
  const scale = f.local("f32"), largest = f.local("f32");
  const stride = f.local("i32");
  if (form === "offset") {
    emitSetSum(f, stride, [rows, activationBytes.offset]);
    emitSetSum(f, step, [rows, 4]);
  }
  f.forRange(block, 0, blocks, 1, () => {
    values.forEach((value, i) => {
      f.get(x);
      f.load("v128.load", 16 * i, 4);
      f.tee(value);
      f.op("f32x4.abs");
      if (i > 0) {
        f.get(most);
        f.op("f32x4.max");
      }
      f.set(most);
    });
    f.increment(x, 4 * blockWeights);
    for (let lane = 0; lane < 4; lane++) {
      f.get(most);
      f.lane("f32x4.extract_lane", lane);
      if (lane > 0) f.op("f32.max");
    }
    f.tee(largest);
    f.f32(1 / limits[form]);
    f.op("f32.mul");
    f.set(scale);
    // All zeros, or so small that the inverse is infinite: the bytes are 0.
    f.f32(limits[form]);
    f.get(largest);
    f.op("f32.div");
    f.f32(0);
    f.get(largest);
    f.f32(1e-36);
    f.op("f32.gt");
    f.select();
    f.op("f32x4.splat");
    f.set(inverse);
    values.forEach((value) => {
      f.get(value);
      f.get(inverse);
      f.op("f32x4.mul");
      f.op("f32x4.nearest");
      f.op("i32x4.trunc_sat_f32x4_s");
      f.set(value);
    });
    // 32 integers as two vectors of bytes.
    const bytes = [0, 1].map((half) => {
      for (const pair of [0, 2]) {
        f.get(values[4 * half + pair]);
        f.get(values[4 * half + pair + 1]);
        f.op("i16x8.narrow_i32x4_s");
      }
      f.op("i8x16.narrow_i16x8_s");
      f.set(values[4 * half]);
      return values[4 * half];
    });
    store(bytes);
  });
  return f;

  function store(bytes: readonly Local[]): void {
    if (form === "offset") {
      emitSetSum(f, at, to, [row, 4]);
      bytes.forEach((value) => {
        f.get(value);
        f.i8x16(64);
        f.op("i8x16.add");
        f.set(value);
        for (let lane = 0; lane < 4; lane++) {
          f.get(at);
          f.get(value);
          f.laneMemory("v128.store32_lane", lane);
          f.increment(at, step);
        }
      });
      f.get(at);
      f.get(scale);
      f.store("f32.store");
      f.increment(to, stride);
      return;
    }
    bytes.forEach((value, half) => {
      f.get(to);
      f.get(value);
      if (form === "magnitude") f.op("i8x16.abs");
      f.store("v128.store", 16 * half, 4);
      if (form === "magnitude") {
        f.get(to);
        f.get(value);
        f.i32(7);
        f.op("i8x16.shr_s");
        f.store("v128.store", blockWeights + 16 * half, 4);
      }
    });
    f.get(to);
    f.get(scale);
    f.store("f32.store", form === "magnitude" ? 2 * blockWeights : blockWeights);
    if (form === "signed") {
      f.get(to);
      for (const value of bytes) {
        f.get(value);
        f.op("i16x8.extadd_pairwise_i8x16_s");
      }
      f.op("i16x8.add");
      f.op("i32x4.extadd_pairwise_i16x8_s");
      f.set(most);
      for (let lane = 0; lane < 4; lane++) {
        f.get(most);
        f.lane("i32x4.extract_lane", lane);
        if (lane > 0) f.op("i32.add");
      }
      f.i32(-8);
      f.op("i32.mul");
      f.store("i32.store", blockWeights + 4);
    }
    f.increment(to, activationBytes[form]);
  }
}
