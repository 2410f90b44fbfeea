/**
 * Quantised weights as floats, for the operations that do not read blocks themselves.
 *
 * A block holds 32 elements: an f16 scale, then 32 signed bytes (q8), or 16 bytes whose low halves are the first 16
 * elements plus 8 and whose high halves are the others (q4); those of a GGUF are `k_blocks/decode.ts`'s. Views of quantised weights count elements of the whole
 * buffer, so the blocks that a view touches are turned into floats as they lie, and the view is moved there.
 *
 * @module
 */
import { blockValues, byteSize, type DType, isK, isQuantized } from "../../../core/dtype.ts";
import { DTypeError } from "../../../core/errors.ts";
import type { View } from "../../contract.ts";
import type { FunctionBuilder, ModuleBuilder } from "../assembler/mod.ts";
import type { CpuBuffer } from "../buffer.ts";
import type { Engine, KernelContext } from "../engine.ts";
import { hoistConstants, type Vectors, type VectorWriter } from "../math/writer.ts";
import { emitLoadSplat } from "./access.ts";
import { emitDecode } from "./k_blocks/decode.ts";
import { restoreRows } from "./quantized/matmul.ts";

/** Blocks in one item. */
const itemBlocks = 64;

/** Emits the kernel. Arguments: addresses of blocks and floats, number of blocks. */
function emitDequantize(m: ModuleBuilder, context: KernelContext, dtype: DType): void {
  const decode = isK(dtype) ? emitDecode(m, dtype) : null, values = blockValues(dtype);
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, item, end] = f.params;
  const [from, to, blocks, block, last] = f.localArray("i32", 5);
  const bytes = byteSize(dtype, values);
  const store = (w: VectorWriter, words: Vectors, scale: Vectors, offset: number): void => {
    f.get(to);
    f.get(w.mul(w.op("f32x4.convert_i32x4_s", words), scale)[0]);
    f.store("v128.store", offset);
  };
  const body = (w: VectorWriter): void => {
    const scale = emitLoadSplat(w, "f16", "f32", from);
    for (let i = 0; i < (dtype === "q8" ? 4 : 2); i++) {
      const raw = w.each(() => {
        w.f.get(from);
        w.f.load(dtype === "q8" ? "v128.load8x8_s" : "v128.load8x8_u", 2 + 8 * i, 1);
      });
      const parts: [halves: Vectors, offset: number][] = dtype === "q8" ? [[raw, 32 * i]] : [
        [w.op("i16x8.sub", w.and(raw, 0x000f000f), w.constant(0x00080008, "i32x4")), 32 * i],
        [
          w.op(
            "i16x8.sub",
            w.shift("i32x4.shr_u", w.and(raw, 0x00f000f0), 4),
            w.constant(0x00080008, "i32x4"),
          ),
          64 + 32 * i,
        ],
      ];
      for (const [halves, offset] of parts) {
        store(w, w.op("i32x4.extend_low_i16x8_s", halves), scale, offset);
        store(w, w.op("i32x4.extend_high_i16x8_s", halves), scale, offset + 16);
      }
    }
  };
  f.get(args);
  f.load("i32.load", 8);
  f.set(blocks);
  const w = decode ? null : hoistConstants(f, context, (draft) => {
    emitLoadSplat(draft, "f16", "f32", from);
    for (const mask of [0x000f000f, 0x00f000f0, 0x00080008]) draft.push(mask, 0, "i32x4");
    for (let i = 0; i < 3; i++) draft.f.drop();
  });
  f.forRange(item, item, end, 1, () => {
    f.get(item);
    f.i32(itemBlocks);
    f.op("i32.mul");
    f.tee(block);
    f.i32(itemBlocks);
    f.op("i32.add");
    f.tee(last);
    f.get(blocks);
    f.get(last);
    f.get(blocks);
    f.op("i32.lt_u");
    f.select();
    f.set(last);
    for (const [local, offset, size] of [[from, 0, bytes], [to, 4, 4 * values]] as const) {
      f.get(args);
      f.load("i32.load", offset);
      f.get(block);
      f.i32(size);
      f.op("i32.mul");
      f.op("i32.add");
      f.set(local);
    }
    f.forRange(block, block, last, 1, () => {
      if (w) body(w);
      else {
        f.get(from);
        f.get(to);
        f.call(decode as FunctionBuilder);
      }
      f.increment(from, bytes);
      f.increment(to, 4 * values);
    });
  });
}

/** A view of f32 that reads as the quantised one does; its memory is scratch, at `pointer`. */
function dequantize(engine: Engine, view: View): { view: View; pointer: number } {
  const { dtype } = view, values = blockValues(dtype);
  // A product may have left the rows interleaved.
  restoreRows(engine, view.buffer as CpuBuffer);
  let first = view.offset, last = view.offset;
  view.shape.forEach((size, d) => {
    const reach = (size - 1) * view.strides[d];
    if (reach < 0) first += reach;
    else last += reach;
  });
  const start = Math.floor(first / values), blocks = Math.floor(last / values) - start + 1;
  const pointer = engine.heap.scratch(4 * values * blocks);
  const base = engine.args >>> 2;
  engine.u32[base] = (view.buffer as CpuBuffer).pointer + byteSize(dtype, start * values);
  engine.u32[base + 1] = pointer;
  engine.u32[base + 2] = blocks;
  const kernel = engine.kernel(`dequantize ${dtype}`, (m, context) => emitDequantize(m, context, dtype));
  engine.run(kernel, Math.ceil(blocks / itemBlocks), 8);
  const buffer: CpuBuffer = { pointer, byteLength: 4 * values * blocks };
  const { shape, strides } = view;
  return {
    view: { buffer, dtype: "f32", shape, strides, offset: view.offset - start * values },
    pointer,
  };
}

/**
 * Runs `run` with every quantised input replaced by floats, which are gone afterwards.
 * @throws {DTypeError} when the output is quantised.
 */
export function withFloats(
  engine: Engine,
  inputs: readonly View[],
  outputs: readonly View[],
  run: (inputs: readonly View[]) => void,
): void {
  const quantized = outputs.find((view) => isQuantized(view.dtype));
  if (quantized) {
    throw new DTypeError(
      `the cpu device writes no ${quantized.dtype}; quantised weights are made by .to({ dtype }) and when a file is read`,
    );
  }
  const scratch: number[] = [];
  try {
    run(inputs.map((input) => {
      if (!isQuantized(input.dtype)) return input;
      const { view, pointer } = dequantize(engine, input);
      scratch.push(pointer);
      return view;
    }));
  } finally {
    for (const pointer of scratch.reverse()) engine.heap.release(pointer);
  }
}
