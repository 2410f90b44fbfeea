/**
 * What is done with a panel of eight rows of weights: multiplied with one row of activations as it streams in, or
 * unpacked once and multiplied with tile after tile of them.
 *
 * Unpacked, a block is 320 bytes: eight scales as f32, -64 times the eight sums of its weights (the start of every sum,
 * which makes up for the offset of the activations), then its weights as bytes.
 *
 * @module
 */
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import type { KernelContext } from "../../engine.ts";
import { emitSetSum } from "../gemm/address.ts";
import { emitMultiplyAdd } from "../gemm/tile.ts";
import { activationBytes } from "./activations.ts";
import { blockBytes, Dot, emitScales, panelRows, quads, type Quantized } from "./format.ts";

/** Bytes of an unpacked block. */
export const unpackedBytes = 320;

const weightsAt = 2 * panelRows; // in a panel's block, behind the scales

/** Sets the two vectors of a quad of four k: rows 0 to 3 and rows 4 to 7. In q4 these are the nibbles, 0 to 15. */
function emitWeights(
  f: FunctionBuilder,
  dtype: Quantized,
  at: Local,
  quad: number,
  pair: readonly Local[],
): void {
  if (dtype === "q8") {
    pair.forEach((weights, half) => {
      f.get(at);
      f.load("v128.load", weightsAt + 32 * quad + 16 * half, 2);
      f.set(weights);
    });
    return;
  }
  f.get(at);
  f.load("v128.load", weightsAt + 16 * quad, 2);
  f.tee(pair[1]);
  f.i8x16(15);
  f.op("v128.and");
  f.set(pair[0]);
  f.get(pair[1]);
  f.i32(4);
  f.op("i8x16.shr_u");
  f.set(pair[1]);
}

/** `sums[half] += integers · (scale of the weights · scale of the activations)`. */
function emitScaled(
  f: FunctionBuilder,
  context: KernelContext,
  sum: Local,
  dot: Dot,
  weightScale: Local,
  activationScale: Local,
): void {
  emitMultiplyAdd(f, context, "f32", sum, () => {
    dot.push();
    f.op("f32x4.convert_i32x4_s");
  }, () => {
    f.get(weightScale);
    f.get(activationScale);
    f.op("f32x4.mul");
  });
}

/** The function `stream(panel, x, blocks, sums)`: eight sums of products with one row, `magnitude` or `signed`. */
export function emitStream(m: ModuleBuilder, context: KernelContext, dtype: Quantized): FunctionBuilder {
  const f = m.function("stream", { params: new Array(4).fill("i32"), export: false });
  const [panel, x, blocks, sums] = f.params;
  const total = f.localArray("v128", 2), weights = f.localArray("v128", 2), scales = f.localArray("v128", 2);
  const small = f.local("v128"), other = f.local("v128"), scale = f.local("v128");
  const dots = [0, 1].map(() => new Dot(f, context));
  for (const sum of total) {
    f.f32x4(0);
    f.set(sum);
  }
  f.loop((again) => {
    for (const dot of dots) {
      dot.start(
        dtype === "q8" ? undefined : () => {
          f.get(x);
          f.load("v128.load32_splat", 36);
        },
      );
    }
    for (let quad = 0; quad < quads; quad++) {
      emitWeights(f, dtype, panel, quad, weights);
      f.get(x);
      f.load("v128.load32_splat", 4 * quad);
      f.set(small);
      if (dtype === "q8") {
        f.get(x);
        f.load("v128.load32_splat", 32 + 4 * quad);
        f.set(other);
      }
      weights.forEach((w, half) => {
        if (dtype === "q4") return dots[half].add(small, w);
        // (w ^ -1) - -1 is -w.
        f.get(w);
        f.get(other);
        f.op("v128.xor");
        f.get(other);
        f.op("i8x16.sub");
        f.set(w);
        dots[half].add(w, small);
      });
    }
    emitScales(f, panel, scales[0], scales[1]);
    f.get(x);
    f.load("v128.load32_splat", dtype === "q8" ? 64 : 32);
    f.set(scale);
    dots.forEach((dot, half) => emitScaled(f, context, total[half], dot, scales[half], scale));
    f.increment(panel, panelRows * blockBytes[dtype]);
    f.increment(x, activationBytes[dtype === "q8" ? "magnitude" : "signed"]);
    f.increment(blocks, -1);
    f.get(blocks);
    f.brIf(again);
  });
  total.forEach((sum, half) => {
    f.get(sums);
    f.get(sum);
    f.store("v128.store", 16 * half, 4);
  });
  return f;
}

/** The function `unpack(panel, to, blocks)`. */
export function emitUnpack(m: ModuleBuilder, context: KernelContext, dtype: Quantized): FunctionBuilder {
  const f = m.function("unpack", { params: new Array(3).fill("i32"), export: false });
  const [panel, to, blocks] = f.params;
  const weights = f.localArray("v128", 2), scales = f.localArray("v128", 2), many = f.local("v128");
  const dots = [0, 1].map(() => new Dot(f, context));
  f.i8x16(64);
  f.set(many);
  f.loop((again) => {
    for (const dot of dots) dot.start();
    for (let quad = 0; quad < quads; quad++) {
      emitWeights(f, dtype, panel, quad, weights);
      weights.forEach((w, half) => {
        if (dtype === "q4") {
          f.get(w);
          f.i8x16(8);
          f.op("i8x16.sub");
          f.set(w);
        }
        f.get(to);
        f.get(w);
        f.store("v128.store", 64 + 32 * quad + 16 * half, 4);
        dots[half].add(w, many);
      });
    }
    emitScales(f, panel, scales[0], scales[1]);
    scales.forEach((scale, half) => {
      f.get(to);
      f.get(scale);
      f.store("v128.store", 16 * half, 4);
      f.get(to);
      dots[half].push();
      f.op("i32x4.neg");
      f.store("v128.store", 32 + 16 * half, 4);
    });
    f.increment(panel, panelRows * blockBytes[dtype]);
    f.increment(to, unpackedBytes);
    f.increment(blocks, -1);
    f.get(blocks);
    f.brIf(again);
  });
  return f;
}

/**
 * The function `tile(x, panel, blocks, sums)`: `rows` rows of `offset` activations times an unpacked panel; the sums
 * are rows × 8 f32. They stay in the first-level cache: in registers there is room for the integers only.
 */
export function emitQuantizedTile(m: ModuleBuilder, context: KernelContext, rows: number): FunctionBuilder {
  const f = m.function(`tile${rows}`, { params: new Array(4).fill("i32"), export: false });
  const [x, panel, blocks, sums] = f.params;
  const weights = f.localArray("v128", 2), small = f.local("v128"), sum = f.local("v128");
  const scale = f.local("v128"), weightScale = f.local("v128"), size = f.local("i32");
  const dots = Array.from({ length: rows }, () => [new Dot(f, context), new Dot(f, context)]);
  f.get(sums);
  f.i32(0);
  f.i32(4 * panelRows * rows);
  f.op("memory.fill");
  f.i32(activationBytes.offset * rows);
  f.set(size);
  f.loop((again) => {
    for (const pair of dots) {
      pair.forEach((dot, half) =>
        dot.start(() => {
          f.get(panel);
          f.load("v128.load", 32 + 16 * half, 4);
        })
      );
    }
    for (let quad = 0; quad < quads; quad++) {
      weights.forEach((w, half) => {
        f.get(panel);
        f.load("v128.load", 64 + 32 * quad + 16 * half, 4);
        f.set(w);
      });
      dots.forEach((pair, row) => {
        f.get(x);
        f.load("v128.load32_splat", 4 * (quad * rows + row));
        f.set(small);
        pair.forEach((dot, half) => dot.add(weights[half], small));
      });
    }
    dots.forEach((pair, row) => {
      f.get(x);
      f.load("v128.load32_splat", 4 * (quads * rows + row));
      f.set(scale);
      pair.forEach((dot, half) => {
        f.get(panel);
        f.load("v128.load", 16 * half, 4);
        f.set(weightScale);
        f.get(sums);
        f.load("v128.load", 32 * row + 16 * half, 4);
        f.set(sum);
        emitScaled(f, context, sum, dot, weightScale, scale);
        f.get(sums);
        f.get(sum);
        f.store("v128.store", 32 * row + 16 * half, 4);
      });
    });
    emitSetSum(f, x, x, size);
    f.increment(panel, unpackedBytes);
    f.increment(blocks, -1);
    f.get(blocks);
    f.brIf(again);
  });
  return f;
}
