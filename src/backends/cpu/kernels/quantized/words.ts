/**
 * Products of 16-bit words, two a lane, where no relaxed instructions may be used. Bytes are widened
 * on the way (activations once, weights where a panel is unpacked or streams in), and keep their 8 bits and their signs.
 *
 * @module
 */
import type { FunctionBuilder, Local, ModuleBuilder } from "../../assembler/mod.ts";
import type { KernelContext } from "../../engine.ts";
import { activationBytes, type ActivationForm } from "./activations.ts";
import { emitTileSum } from "./bytes.ts";
import {
  blockBytes,
  blockWeights,
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
import type { Method } from "./method.ts";

// An unpacked block: eight scales, then for each pair of k two vectors: rows 0 to 3 and rows 4 to 7.
const weightsAt = 4 * panelRows;
const unpackedBytes = weightsAt + 2 * panelRows * blockWeights;
const pairs = blockWeights / 2;

const pickLanes = (...lanes: number[]): number[] =>
  lanes.flatMap((lane) => [4 * lane, 4 * lane + 1, 4 * lane + 2, 4 * lane + 3]);
const even = pickLanes(0, 2, 4, 6), odd = pickLanes(1, 3, 5, 7);

function form(_dtype: Quantized, single: boolean): ActivationForm {
  return single ? "words" : "pairs";
}

/** `sum += x · y`, two products a lane. */
function emitDot(f: FunctionBuilder, sum: Local, x: Local, y: Local): void {
  f.set(sum, x.op("i32x4.dot_i16x8_s", y).op("i32x4.add", sum));
}

function emitStream(m: ModuleBuilder, context: KernelContext, dtype: Quantized): FunctionBuilder {
  const f = m.function("stream", { params: new Array(4).fill("i32"), export: false });
  const [panel, x, blocks, sums] = f.params;
  const total = f.localArray("v128", 2), weights = f.localArray("v128", 2), scales = f.localArray("v128", 2);
  const activations = f.local("v128"),
    wide = f.local("v128"),
    scale = f.local("v128"),
    start = f.local("v128");
  // For rows 0 to 3 and 4 to 7: products of the first two rows, and of the others; two lanes a row.
  const dots = [f.localArray("v128", 2), f.localArray("v128", 2)];
  const constants = emitConstants(f, dtype);
  emitZeros(f, total);
  emitBlocks(f, blocks, () => {
    for (const pair of dots) emitZeros(f, pair);
    for (let quad = 0; quad < quads; quad++) {
      emitWeights(f, constants, dtype, panel, quad, weights);
      f.set(activations, x.load(8 * quad, "v128.load64_splat", 4));
      weights.forEach((w, half) => {
        dots[half].forEach((dot, part) => {
          f.get(w);
          f.op(part === 0 ? "i16x8.extend_low_i8x16_s" : "i16x8.extend_high_i8x16_s");
          f.set(wide);
          emitDot(f, dot, wide, activations);
        });
      });
    }
    emitScales(f, constants, panel, scales[0], scales[1]);
    f.set(scale, x.load(2 * blockWeights, "v128.load32_splat"));
    if (dtype === "q4") {
      f.set(start, x.load(2 * blockWeights + 4, "v128.load32_splat"));
    }
    dots.forEach(([low, high], half) => {
      const push = (): void => {
        for (const lanes of [even, odd]) {
          f.push(low, high);
          f.shuffle(lanes);
        }
        f.op("i32x4.add");
        if (dtype === "q4") {
          f.op("i32x4.add", start);
        }
      };
      emitScaled(f, context, total[half], push, scales[half], scale);
    });
    f.increment(panel, panelRows * blockBytes[dtype]);
    f.increment(x, activationBytes.words);
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
  const weights = f.localArray("v128", 2), scales = f.localArray("v128", 2);
  const low = f.local("v128"), high = f.local("v128"), eight = f.local("v128");
  const constants = emitConstants(f, dtype);
  f.i8x16(8);
  f.set(eight);
  emitBlocks(f, blocks, () => {
    for (let quad = 0; quad < quads; quad++) {
      emitWeights(f, constants, dtype, panel, quad, weights);
      weights.forEach((w, half) => {
        if (dtype === "q4") {
          f.set(w, w.op("i8x16.sub", eight));
        }
        f.set(low, w.op("i16x8.extend_low_i8x16_s"));
        f.set(high, w.op("i16x8.extend_high_i8x16_s"));
        [even, odd].forEach((lanes, pair) => {
          f.push(to, low, high);
          f.shuffle(lanes);
          f.store("v128.store", weightsAt + 32 * (2 * quad + pair) + 16 * half, 4);
        });
      });
    }
    emitScales(f, constants, panel, scales[0], scales[1]);
    scales.forEach((scale, half) => {
      f.push(to, scale);
      f.store("v128.store", 16 * half, 4);
    });
    f.increment(panel, panelRows * blockBytes[dtype]);
    f.increment(to, unpackedBytes);
  });
  return f;
}

function emitTile(m: ModuleBuilder, context: KernelContext, rows: number): FunctionBuilder {
  const f = m.function(`tile${rows}`, { params: new Array(4).fill("i32"), export: false });
  const [x, panel, blocks, sums] = f.params;
  const weights = f.localArray("v128", 2), activations = f.local("v128"), sum = f.local("v128");
  const scale = f.local("v128"), weightScale = f.local("v128");
  const dots = Array.from({ length: rows }, () => f.localArray("v128", 2));
  f.op("memory.fill", sums, 0, 4 * panelRows * rows);
  emitBlocks(f, blocks, () => {
    for (const pair of dots) emitZeros(f, pair);
    for (let pair = 0; pair < pairs; pair++) {
      weights.forEach((w, half) => {
        f.set(w, panel.load(weightsAt + 32 * pair + 16 * half, "v128.load", 4));
      });
      dots.forEach((both, row) => {
        f.get(x);
        f.load("v128.load32_splat", 4 * (pair * rows + row));
        f.set(activations);
        both.forEach((dot, half) => emitDot(f, dot, weights[half], activations));
      });
    }
    dots.forEach((both, row) => {
      f.get(x);
      f.load("v128.load32_splat", 4 * (pairs * rows + row));
      f.set(scale);
      both.forEach((dot, half) =>
        emitTileSum(f, context, panel, sums, dot, row, half, { scale, weightScale, sum })
      );
    });
    f.increment(x, activationBytes.pairs * rows);
    f.increment(panel, unpackedBytes);
  });
  return f;
}

/** Multiplies words. */
export const wordsMethod: Method = {
  name: "words",
  tileRows: 5, // a product needs a register of its own before it is added
  unpackedBytes,
  form,
  emitStream,
  emitUnpack,
  emitTile,
};
