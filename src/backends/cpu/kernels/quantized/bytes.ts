/**
 * Products of bytes, four pairs a lane: one instruction of some machines, three of the others.
 *
 * There one row of q4 is multiplied in pairs a lane of 16 bits: nibbles times bytes are so small that the products of a
 * whole block are summed so, and widened once.
 *
 * One factor is signed, the other from 0 to 127. For one row of q8 the activations are small, made so by moving their
 * signs to the weights; for one row of q4 the nibbles are. For several rows activations get an offset of 64, and -64
 * times the sum of the weights is where every sum of integers starts.
 *
 * @module
 */
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import type { KernelContext } from "../../engine.ts";
import { activationBytes, type ActivationForm } from "./activations.ts";
import {
  blockBytes,
  emitBlocks,
  emitConstants,
  emitScaled,
  emitScales,
  emitWeights,
  emitZeros,
  panelRows,
  quads,
  type Quantized,
} from "./format.ts";
import { dotIsFast, type Method } from "./method.ts";

// An unpacked block: eight scales, eight starts, then the weights of quad after quad.
const startsAt = 4 * panelRows, weightsAt = 8 * panelRows;
const unpackedBytes = weightsAt + 4 * panelRows * quads;

function form(dtype: Quantized, single: boolean): ActivationForm {
  return !single ? "offset" : dtype === "q4" ? "signed" : "magnitude";
}

/**
 * `sum += signed · small`, four products a lane. Engines without an instruction for it make the 1 in every word, with which
 * pairs are added, anew each time; then it is written out with `ones` in a local.
 */
function emitDot(f: FunctionBuilder, sum: Local, signed: Local, small: Local, ones: Local | null): void {
  f.push(signed, small);
  if (ones) {
    f.op("i16x8.relaxed_dot_i8x16_i7x16_s");
    f.op("i32x4.dot_i16x8_s", ones);
    f.op("i32x4.add", sum);
  } else {
    f.op("i32x4.relaxed_dot_i8x16_i7x16_add_s", sum);
  }
  f.set(sum);
}

/** A 1 in every word for {@link emitDot}, where that is to be written out. */
function emitOnes(f: FunctionBuilder): Local | null {
  if (dotIsFast()) return null;
  const ones = f.local("v128");
  f.i16x8(1);
  f.set(ones);
  return ones;
}

/** `sum += signed · nibbles`, or as a `first` sum; two products a lane of 16 bits, at most 8 · 2 · 15 · 127 in a block. */
function emitPairs(f: FunctionBuilder, sum: Local, signed: Local, nibbles: Local, first: boolean): void {
  f.push(signed.op("i16x8.relaxed_dot_i8x16_i7x16_s", nibbles));
  if (!first) {
    f.op("i16x8.add", sum);
  }
  f.set(sum);
}

function emitStream(m: ModuleBuilder, context: KernelContext, dtype: Quantized): FunctionBuilder {
  const f = m.function("stream", { params: new Array(4).fill("i32"), export: false });
  const [panel, x, blocks, sums] = f.params;
  const total = f.localArray("v128", 2), weights = f.localArray("v128", 2), scales = f.localArray("v128", 2);
  const small = f.local("v128"), signs = f.local("v128"), scale = f.local("v128");
  const dots = f.localArray("v128", 2);
  const constants = emitConstants(f, dtype);
  const paired = dtype === "q4" && !dotIsFast();
  const start = f.local("v128"), ones = emitOnes(f);
  const zero = f.local("v128");
  f.i8x16(0);
  f.set(zero);
  emitZeros(f, total);
  emitBlocks(f, blocks, () => {
    f.set(start, x.load(36, "v128.load32_splat"));
    if (!paired) {
      for (const dot of dots) {
        f.set(dot, start);
      }
    }
    for (let quad = 0; quad < quads; quad++) {
      emitWeights(f, constants, dtype, panel, quad, weights);
      f.set(small, x.load(4 * quad, "v128.load32_splat"));
      if (dtype !== "q4") {
        f.set(signs, zero.op("i8x16.gt_s", small));
        f.set(small, small.op("i8x16.abs"));
      }
      weights.forEach((w, half) => {
        if (dtype === "q4") {
          if (paired) return emitPairs(f, dots[half], small, w, quad === 0);
          return emitDot(f, dots[half], small, w, ones);
        }
        // w ^ -1 is -w - 1: the magnitudes with that sign are where the sum starts.
        f.set(w, w.op("v128.xor", signs));
        emitDot(f, dots[half], w, small, ones);
      });
    }
    emitScales(f, constants, panel, scales[0], scales[1]);
    f.set(scale, x.load(32, "v128.load32_splat"));
    dots.forEach((dot, half) => {
      const push = (): void => {
        f.get(dot);
        if (!paired || !ones) return;
        f.op("i32x4.dot_i16x8_s", ones);
        f.op("i32x4.add", start);
      };
      emitScaled(f, context, total[half], push, scales[half], scale);
    });
    f.increment(panel, panelRows * blockBytes[dtype]);
    f.increment(x, activationBytes[form(dtype, true)]);
  });
  total.forEach((sum, half) => {
    f.push(sums, sum);
    f.store("v128.store", 16 * half, 4);
  });
  return f;
}

function emitUnpack(m: ModuleBuilder, _context: KernelContext, dtype: Quantized): FunctionBuilder {
  const f = m.function("unpack", { params: new Array(3).fill("i32"), export: false });
  const [panel, to, blocks] = f.params;
  const weights = f.localArray("v128", 2),
    scales = f.localArray("v128", 2),
    many = f.local("v128"),
    eight = f.local("v128");
  const dots = f.localArray("v128", 2);
  const constants = emitConstants(f, dtype);
  f.i8x16(64);
  f.set(many);
  f.i8x16(8);
  f.set(eight);
  const ones = emitOnes(f);
  emitBlocks(f, blocks, () => {
    emitZeros(f, dots);
    for (let quad = 0; quad < quads; quad++) {
      emitWeights(f, constants, dtype, panel, quad, weights);
      weights.forEach((w, half) => {
        if (dtype === "q4") {
          f.set(w, w.op("i8x16.sub", eight));
        }
        f.push(to, w);
        f.store("v128.store", weightsAt + 32 * quad + 16 * half, 4);
        emitDot(f, dots[half], w, many, ones);
      });
    }
    emitScales(f, constants, panel, scales[0], scales[1]);
    scales.forEach((scale, half) => {
      f.push(to, scale);
      f.store("v128.store", 16 * half, 4);
      f.push(to, dots[half].op("i32x4.neg"));
      f.store("v128.store", startsAt + 16 * half, 4);
    });
    f.increment(panel, panelRows * blockBytes[dtype]);
    f.increment(to, unpackedBytes);
  });
  return f;
}

function emitTile(m: ModuleBuilder, context: KernelContext, rows: number): FunctionBuilder {
  const f = m.function(`tile${rows}`, { params: new Array(4).fill("i32"), export: false });
  const [x, panel, blocks, sums] = f.params;
  const weights = f.localArray("v128", 2), small = f.local("v128"), sum = f.local("v128");
  const scale = f.local("v128"), weightScale = f.local("v128");
  const dots = Array.from({ length: rows }, () => f.localArray("v128", 2)), ones = emitOnes(f);
  f.op("memory.fill", sums, 0, 4 * panelRows * rows);
  emitBlocks(f, blocks, () => {
    for (const pair of dots) {
      pair.forEach((dot, half) => {
        f.set(dot, panel.load(startsAt + 16 * half, "v128.load", 4));
      });
    }
    for (let quad = 0; quad < quads; quad++) {
      weights.forEach((w, half) => {
        f.set(w, panel.load(weightsAt + 32 * quad + 16 * half, "v128.load", 4));
      });
      dots.forEach((pair, row) => {
        f.get(x);
        f.load("v128.load32_splat", 4 * (quad * rows + row));
        f.set(small);
        pair.forEach((dot, half) => emitDot(f, dot, weights[half], small, ones));
      });
    }
    dots.forEach((pair, row) => {
      f.get(x);
      f.load("v128.load32_splat", 4 * (quads * rows + row));
      f.set(scale);
      pair.forEach((dot, half) =>
        emitTileSum(f, context, panel, sums, dot, row, half, { scale, weightScale, sum })
      );
    });
    f.increment(x, activationBytes.offset * rows);
    f.increment(panel, unpackedBytes);
  });
  return f;
}

/** Adds a tile's integers of one block, scaled, to the sums in memory. An unpacked block begins with its scales. */
export function emitTileSum(
  f: FunctionBuilder,
  context: KernelContext,
  panel: Local,
  sums: Local,
  dot: Local,
  row: number,
  half: number,
  { scale, weightScale, sum }: Readonly<Record<"scale" | "weightScale" | "sum", Local>>,
): void {
  const at = 4 * panelRows * row + 16 * half;
  f.set(weightScale, panel.load(16 * half, "v128.load", 4));
  f.set(sum, sums.load(at, "v128.load", 4));
  emitScaled(f, context, sum, () => f.get(dot), weightScale, scale);
  f.push(sums, sum);
  f.store("v128.store", at, 4);
}

/** Multiplies bytes. */
export const bytesMethod: Method = {
  name: "bytes",
  // 12 sums of integers, 2 vectors of weights and 1 of activations: V8's 15 registers. Written out, a product takes two more.
  get tileRows(): number {
    return dotIsFast() ? 6 : 5;
  },
  unpackedBytes,
  form,
  emitStream,
  emitUnpack,
  emitTile,
};
