/**
 * Products with quantised weights by a native library (`../../blas.ts`), for many rows: the weights become numbers first, bf16
 * where the library multiplies those, else f32.
 *
 * Activations are rounded to bf16 then, or not at all, and no longer to bytes: results are nearer to those of the weights as
 * they are. A library's products of bytes are no way: they sum over all of k, and every 32 weights have a scale of their own.
 *
 * @module
 */
import type { Program } from "../../../../expr/nodes.ts";
import type { View } from "../../../contract.ts";
import type { FunctionBuilder, ModuleBuilder } from "../../assembler/mod.ts";
import { type Engine, importThreadScratch } from "../../engine.ts";
import { emitAtMost, emitSetSum } from "../gemm/address.ts";
import type { Product } from "../gemm/plan.ts";
import { isForLibrary, multiplyDecoded, type Numbers } from "../native_decoded.ts";
import {
  blockBytes,
  blockWeights,
  emitConstants,
  emitScales,
  emitWeights,
  panelRows,
  quads,
  type Quantized,
} from "./format.ts";
import { emitInterleave } from "./layout.ts";

/**
 * Multiplies, or gives false where the product is not for a library. Of the weights, `panels()` panels from the first column
 * on lie interleaved.
 */
export function multiplyQuantizedNative(
  engine: Engine,
  product: Product,
  a: View,
  dtype: Quantized,
  panels: () => number,
  program: Program | null,
  scalars: readonly number[],
): boolean {
  const { blas } = engine;
  if (!isForLibrary(engine, product, blas.reach.leastQuantizedRows)) return false;
  const kind = blas.hasBgemm ? "bf16" : "f32", ready = panels();
  multiplyDecoded(engine, product, a, kind, program, scalars, (first, rowBytes, to) => {
    decode(engine, product, rowBytes, dtype, kind, Math.max(0, ready - first / panelRows), to);
  });
  return true;
}

/** Turns the weights into numbers at `to`, row after row of k. */
function decode(
  engine: Engine,
  { columns, depth, b }: Product,
  rowBytes: number,
  dtype: Quantized,
  kind: Numbers,
  panels: number,
  to: number,
): void {
  const kernel = engine.kernel(`decode ${dtype} ${kind}`, (m) => emitDecode(m, dtype, kind));
  const at = engine.args >>> 2;
  [b.address, rowBytes, depth / blockWeights, columns, panels, to].forEach((x, i) => engine.u32[at + i] = x);
  engine.run(kernel, Math.ceil(columns / panelRows), Math.ceil(10_000 / depth));
}

/** Arguments: address of the weights, bytes of a row, blocks of a row, columns, interleaved panels, address of numbers. */
function emitDecode(m: ModuleBuilder, dtype: Quantized, kind: Numbers): void {
  const scratch = importThreadScratch(m),
    interleave = emitInterleave(m, dtype),
    bytes = kind === "bf16" ? 2 : 4;
  const panel = emitPanel(m, dtype, kind), panelBytes = panelRows * blockBytes[dtype];
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const [weights, rowBytes, blocks, columns, panels, numbers] = f.localArray("i32", 6);
  const [item, from, to, count, most] = f.localArray("i32", 5);
  [weights, rowBytes, blocks, columns, panels, numbers].forEach((local, i) => {
    f.set(local, args.load(4 * i));
  });
  f.forRange(item, begin, end, 1, () => {
    // Interleaved rows lie one behind the other.
    emitSetSum(f, from, [item, blocks]);
    emitSetSum(f, from, weights, [from, panelBytes]);
    f.push(item.op("ge_u", panels));
    f.if(() => {
      emitSetSum(f, from, [item, panelRows]);
      emitSetSum(f, count, columns, [from, -1]);
      f.set(most, panelRows);
      emitAtMost(f, count, most);
      emitSetSum(f, from, weights, [from, rowBytes]);
      f.get(from);
      f.globalGet(scratch);
      for (const x of [blocks, rowBytes, count]) f.get(x);
      f.call(interleave);
      f.globalGet(scratch);
      f.set(from);
    });
    emitSetSum(f, to, [item, blocks]);
    emitSetSum(f, to, numbers, [to, bytes * panelRows * blockWeights]);
    for (const x of [from, to, blocks]) f.get(x);
    f.call(panel);
  });
}

/** The function `panel(from, to, blocks)`: eight rows of numbers of an interleaved panel. */
function emitPanel(m: ModuleBuilder, dtype: Quantized, kind: Numbers): FunctionBuilder {
  const f = m.function("panel", { params: ["i32", "i32", "i32"], export: false });
  const [from, to, blocks] = f.params, bytes = kind === "bf16" ? 2 : 4;
  const scales = f.localArray("v128", panelRows), halves = f.localArray("v128", 2);
  const words = f.localArray("v128", 2), numbers = f.localArray("v128", 2), pair = f.localArray("v128", 2);
  const constants = emitConstants(f, dtype), eight = f.local("v128"), half = f.local("v128");
  const rowAt = f.localArray("i32", panelRows), turn = f.local("i32");
  f.i32x4(0x8000);
  f.set(half);
  f.i8x16(8);
  f.set(eight);
  rowAt.forEach((at, row) => {
    f.set(at, to.plus(blocks.times(bytes * blockWeights * row)));
  });
  f.forRange(turn, 0, blocks, 1, () => {
    emitScales(f, constants, from, halves[0], halves[1]);
    scales.forEach((scale, row) => {
      f.get(halves[row >> 2]);
      f.lane("f32x4.extract_lane", row & 3);
      f.op("f32x4.splat");
      f.set(scale);
    });
    for (let quad = 0; quad < quads; quad++) {
      emitWeights(f, constants, dtype, from, quad, pair);
      pair.forEach((weights, four) => {
        if (dtype === "q4") {
          f.set(weights, weights.op("i8x16.sub", eight));
        }
        for (
          const [two, extend] of [[0, "i16x8.extend_low_i8x16_s"], [1, "i16x8.extend_high_i8x16_s"]] as const
        ) {
          f.get(weights);
          f.op(extend);
          f.set(words[0]);
          const first = 4 * four + 2 * two;
          for (
            const [i, widen] of [[0, "i32x4.extend_low_i16x8_s"], [1, "i32x4.extend_high_i16x8_s"]] as const
          ) {
            f.get(words[0]);
            f.op(widen);
            f.op("f32x4.convert_i32x4_s");
            f.op("f32x4.mul", scales[first + i]);
            f.set(numbers[i]);
          }
          if (kind === "f32") {
            numbers.forEach((x, i) => {
              f.push(rowAt[first + i], x);
              f.store("v128.store", 16 * quad, 2);
            });
            continue;
          }
          // To nearest, and from the middle away from 0: half of the instructions that nearest even takes.
          for (const x of numbers) {
            f.set(x, x.op("i32x4.add", half).op("i32x4.shr_u", 16));
          }
          f.set(words[1], numbers[0].op("i16x8.narrow_i32x4_u", numbers[1]));
          for (const i of [0, 1] as const) {
            f.push(rowAt[first + i], words[1]);
            f.laneMemory("v128.store64_lane", i, 8 * quad);
          }
        }
      });
    }
    f.increment(from, panelRows * blockBytes[dtype]);
    for (const at of rowAt) f.increment(at, bytes * blockWeights);
  });
  return f;
}
