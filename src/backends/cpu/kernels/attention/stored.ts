/**
 * Keys and values that are stored in fewer bits: rows of a head as f16, bf16 or q8 blocks, as the padded rows of floats
 * that products read; and the way back, which writes a cache.
 *
 * @module
 */
import { byteSize, type DType, quantBlock } from "../../../../core/dtype.ts";
import type { View } from "../../../contract.ts";
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import type { Engine, KernelContext } from "../../engine.ts";
import { hoistConstants, type VectorWriter } from "../../math/writer.ts";
import { emitLoad, emitLoadSplat } from "../access.ts";
import { emitToStored } from "../convert.ts";
import { emitSetSum } from "../gemm/address.ts";
import { emitArgument, emitItems, emitOperand, emitSplitNumber } from "./emit.ts";
import { type Blocks, headsArg, queriesArg, setAttentionOperand } from "./layout.ts";

/** What keys and values may be stored as besides f32. */
export type StoredKeys = "f16" | "bf16" | "q8";

/** The same as a list. */
export const storedKeys: readonly DType[] = ["f16", "bf16", "q8"] satisfies StoredKeys[];

/** Pushes nothing; writes the 32 elements at `from` as floats at `to`. */
function emitExpandBlock(w: VectorWriter, dtype: StoredKeys, from: Local, to: Local): void {
  const { f } = w;
  const store = (x: Local, offset: number): void => {
    f.push(to, x);
    f.store("v128.store", offset, 4);
  };
  if (dtype !== "q8") {
    return emitLoad(w.withWidth(8), dtype, "f32", from).forEach((x, i) => store(x, 16 * i));
  }
  const scale = emitLoadSplat(w, "f16", "f32", from);
  for (let i = 0; i < 4; i++) {
    const halves = w.each(() => {
      f.push(from.load(2 + 8 * i, "v128.load8x8_s", 1));
    });
    (["i32x4.extend_low_i16x8_s", "i32x4.extend_high_i16x8_s"] as const).forEach((extend, half) => {
      const words = w.op(extend, halves);
      store(w.mul(w.op("f32x4.convert_i32x4_s", words), scale)[0], 32 * i + 16 * half);
    });
  }
}

/** The function `name(from, stride, rows, to)`: rows of `dtype` as rows of floats, one behind the other. */
export function emitExpandRows(
  m: ModuleBuilder,
  context: KernelContext,
  name: string,
  { width }: Blocks,
  dtype: StoredKeys,
): FunctionBuilder {
  const f = m.function(name, { params: new Array(4).fill("i32"), export: false });
  const [from, stride, rows, to] = f.params;
  const at = f.local("i32"), n = f.local("i32");
  const w = hoistConstants(f, context, (draft) => emitExpandBlock(draft, dtype, at, to));
  f.forRange(rows, () => f.get(rows), 0, -1, () => {
    f.set(at, from);
    f.forRange(n, width / quantBlock, 0, -1, () => {
      emitExpandBlock(w, dtype, at, to);
      f.increment(at, byteSize(dtype, quantBlock));
      f.increment(to, 4 * quantBlock);
    });
    emitSetSum(f, from, from, stride);
  });
  return f;
}

/** Writes the 32 floats at `from` as a q8 block at `to`, to the same bits as `quantizeQ8`. */
export function emitQuantizeBlock(w: VectorWriter, from: Local, to: Local): void {
  const { f } = w;
  const wide = w.withWidth(8),
    x = wide.each((i) => {
      f.push(from.load(16 * i, "v128.load", 4));
    });
  const magnitudes = wide.and(x, 0x7fffffff);
  let most = [magnitudes[0]];
  for (const magnitude of magnitudes.slice(1)) most = [...w.op("f32x4.max", most, [magnitude])];
  for (const lanes of [[2, 3, 0, 1], [1, 0, 3, 2]]) {
    most = [...w.op("f32x4.max", most, w.shuffle32(most, most, lanes))];
  }
  const scale = w.op("f32x4.div", most, 127);
  // 0 where all are 0: 1 / 0 is infinite, and 0 times that is no number.
  const inverse = w.and(w.op("f32x4.div", w.constant(1, "f32x4"), scale), w.op("f32x4.gt", scale, 0));
  f.get(to);
  f.get(emitToStored(w, "f16", "f32", scale)[0]);
  f.laneMemory("v128.store16_lane", 0, 0, 1);
  // The largest float below one half: with it, cutting rounds half away from zero.
  const rounded = wide.op(
    "i32x4.trunc_sat_f32x4_s",
    wide.add(
      wide.mul(x, wide.repeat(inverse[0])),
      wide.or(wide.and(x, 0x80000000 | 0), 0x3effffff),
    ),
  );
  for (let i = 0; i < 8; i += 4) {
    const [a, b, c, d] = rounded.slice(i, i + 4).map((local) => [local]);
    const low = w.op("i16x8.narrow_i32x4_s", a, b), high = w.op("i16x8.narrow_i32x4_s", c, d);
    f.get(to);
    f.get(w.op("i8x16.narrow_i16x8_s", low, high)[0]);
    f.store("v128.store", 2 + 4 * i, 1);
  }
}

function emitQuantize(m: ModuleBuilder, context: KernelContext, width: number): void {
  const f = m.function("item", { params: ["i32", "i32"], export: false });
  const [args, number] = f.params;
  const rows = emitArgument(f, args, queriesArg);
  const { high: batch, low: head } = emitSplitNumber(f, number, emitArgument(f, args, headsArg));
  const x = emitOperand(f, args, 0, batch, head), out = emitOperand(f, args, 1, batch, head);
  const from = f.local("i32"), to = f.local("i32"), n = f.local("i32");
  const w = hoistConstants(f, context, (draft) => emitQuantizeBlock(draft, from, to));
  f.forRange(rows, () => f.get(rows), 0, -1, () => {
    f.set(from, x.at);
    f.set(to, out.at);
    f.forRange(n, width / quantBlock, 0, -1, () => {
      emitQuantizeBlock(w, from, to);
      f.increment(from, 4 * quantBlock);
      f.increment(to, byteSize("q8", quantBlock));
    });
    emitSetSum(f, x.at, x.at, x.stride);
    emitSetSum(f, out.at, out.at, out.stride);
  });
  emitItems(m, f);
}

/** See `Kernels.quantize`. */
export function quantizeRows(engine: Engine, x: View, out: View): void {
  const missing = 4 - out.shape.length, ones = new Array<number>(missing).fill(1);
  const [batch, heads, rows, width] = [...ones, ...out.shape];
  const { args, u32 } = engine;
  u32[(args + headsArg) >>> 2] = heads;
  u32[(args + queriesArg) >>> 2] = rows;
  const leading = ones.map(() => 0);
  [x, out].forEach(({ buffer, dtype, offset, strides }, k) =>
    setAttentionOperand(engine, k, { buffer, dtype, offset, shape: [], strides: [...leading, ...strides] })
  );
  const kernel = engine.kernel(`quantize rows ${width}`, (m, context) => emitQuantize(m, context, width));
  engine.run(kernel, batch * heads, Math.max(1, Math.ceil(10_000 / (rows * width))));
}
