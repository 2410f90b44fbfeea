/**
 * Activations as bytes, with a scale for each block of 32 along k: the outlier channels of language models then spoil
 * one block, not the row.
 *
 * For products of bytes (`bytes.ts`), where signed bytes meet such from 0 to 127:
 * - `magnitude` (one row, q8): x with its sign; the product takes |x|, and applies the sign to the weights. The sum of the |x|
 *   that have one makes up for what negation by a mask leaves out.
 * - `signed` (one row, q4): the nibbles are the small side, so x keeps its sign; the sum of the block, times -8, makes
 *   up for the nibbles' offset.
 * - `offset` (several rows): x + 64 with x from -63 to 63; the sum of the weights makes up for the offset.
 *
 * For products of words (`words.ts`): `words` (one row), with the sum as in `signed`, and `pairs` (several rows).
 *
 * @module
 */
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import { emitSetSum } from "../gemm/address.ts";
import { blockWeights, quads } from "./format.ts";

/** Ways to make integers of activations. */
export type ActivationForm = "magnitude" | "signed" | "offset" | "words" | "pairs";

/** Largest magnitude of an integer. */
const limits: Readonly<Record<ActivationForm, number>> = {
  magnitude: 127,
  signed: 127,
  offset: 63,
  words: 127,
  pairs: 127,
};

/**
 * Bytes of a block of one row. `offset` and `pairs` have the blocks of a tile's rows together: groups of four bytes of
 * one row after the other, then scales.
 */
export const activationBytes: Readonly<Record<ActivationForm, number>> = {
  magnitude: 40,
  signed: 40,
  offset: 36,
  words: 72,
  pairs: 68,
};

/**
 * The function `quantize(x, to, blocks, rows, row)`: blocks of 32 f32 from `x` on become integers. For several rows
 * they belong to row number `row` of a tile of `rows` rows; `to` is where the tile begins.
 */
export function emitQuantize(m: ModuleBuilder, form: ActivationForm): FunctionBuilder {
  const f = m.function("quantize", { params: new Array(5).fill("i32"), export: false });
  const [x, to, blocks, rows, row] = f.params;
  const block = f.local("i32"), at = f.local("i32"), step = f.local("i32");
  const values = f.localArray("v128", quads), most = f.local("v128"), inverse = f.local("v128");
  const scale = f.local("f32"), largest = f.local("f32");
  const stride = f.local("i32");
  const tiled = form === "offset" || form === "pairs";
  if (tiled) {
    emitSetSum(f, stride, [rows, activationBytes[form]]);
    emitSetSum(f, step, [rows, 4]);
  }
  f.forRange(block, 0, blocks, 1, () => {
    values.forEach((value, i) => {
      f.push(x.load(16 * i, "v128.load", 4).tee(value).op("f32x4.abs"));
      if (i > 0) {
        f.op("f32x4.max", most);
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
    f.op("f32.div", largest);
    f.f32(0);
    f.get(largest);
    f.f32(1e-36);
    f.op("f32.gt");
    f.select();
    f.op("f32x4.splat");
    f.set(inverse);
    values.forEach((value) => {
      f.set(value, value.op("f32x4.mul", inverse).op("f32x4.nearest").op("i32x4.trunc_sat_f32x4_s"));
    });
    // 32 integers as words, then as bytes.
    const words = [0, 2, 4, 6].map((i) => narrow("i16x8.narrow_i32x4_s", values[i], values[i + 1]));
    if (form === "words" || form === "pairs") return store(words);
    store([0, 2].map((i) => narrow("i8x16.narrow_i16x8_s", words[i], words[i + 1])));
  });
  return f;

  /** Makes one vector of two, in the place of the first. */
  function narrow(name: "i16x8.narrow_i32x4_s" | "i8x16.narrow_i16x8_s", first: Local, second: Local): Local {
    f.push(first, second);
    f.op(name);
    f.set(first);
    return first;
  }

  function store(vectors: readonly Local[]): void {
    if (tiled) return storeTiled(vectors);
    vectors.forEach((value, i) => {
      f.push(to, value);
      f.store("v128.store", 16 * i, 4);
    });
    const scaleAt = activationBytes[form] - 8;
    f.push(to, scale);
    f.store("f32.store", scaleAt);
    f.get(to);
    vectors.forEach((value, i) => {
      f.get(value);
      if (form === "magnitude") {
        f.i8x16(0);
        f.op("i8x16.min_s");
      }
      if (form !== "words") f.op("i16x8.extadd_pairwise_i8x16_s");
      if (i > 0) f.op("i16x8.add");
    });
    f.op("i32x4.extadd_pairwise_i16x8_s");
    f.set(most);
    for (let lane = 0; lane < 4; lane++) {
      f.get(most);
      f.lane("i32x4.extract_lane", lane);
      if (lane > 0) f.op("i32.add");
    }
    f.op("i32.mul", form === "magnitude" ? -1 : -8);
    f.store("i32.store", scaleAt + 4);
    f.increment(to, activationBytes[form]);
  }

  function storeTiled(vectors: readonly Local[]): void {
    emitSetSum(f, at, to, [row, 4]);
    for (const value of vectors) {
      if (form === "offset") {
        f.get(value);
        f.i8x16(64);
        f.op("i8x16.add");
        f.set(value);
      }
      for (let lane = 0; lane < 4; lane++) {
        f.push(at, value);
        f.laneMemory("v128.store32_lane", lane);
        f.increment(at, step);
      }
    }
    f.push(at, scale);
    f.store("f32.store");
    f.increment(to, stride);
  }
}
