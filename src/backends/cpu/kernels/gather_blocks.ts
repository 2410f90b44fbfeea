/**
 * Picking rows of quantised weights: an embedding of q8 or q4, as f32.
 *
 * A row is whole blocks, so a row is what one work item turns into floats. The table may be the output layer as well,
 * and then products have interleaved its rows, eight to a panel (`quantized/format.ts`): the kernel reads a row from
 * wherever it lies, so that neither use disturbs the other. Picking anything but whole rows goes through floats.
 *
 * @module
 */
import { byteSize, quantBlock } from "../../../core/dtype.ts";
import { nonLinear } from "../../../core/k_blocks.ts";
import { sizeOf } from "../../../core/shape.ts";
import type { View } from "../../contract.ts";
import type { FunctionBuilder, Local, ModuleBuilder } from "../assembler/mod.ts";
import { addressOf, type CpuBuffer } from "../buffer.ts";
import type { Engine } from "../engine.ts";
import { withFloats } from "./dequantize.ts";
import {
  checkIndices,
  countsIn,
  emitIndex,
  fromArg,
  gather,
  indexArg,
  loadArgument,
  setAxis,
  toArg,
} from "./gather.ts";
import { blockBytes, nibblesAt, panelRows, quads, type Quantized } from "./quantized/format.ts";
import { restoreRows } from "./quantized/matmul.ts";

// Arguments beside those of `gather.ts`.
/** Bytes from one index to the next, and from one row of the output to the next. */
const indexStepArg = 32, toStepArg = 36;
/** Row of the buffer at which the table begins, rows of the buffer in panels, blocks and bytes of a row. */
const firstArg = 40, panelRowsArg = 44, blocksArg = 48, rowBytesArg = 52;

/** `out[i, …] = x[index[i], …]` as f32, and any other `Backend.gather` of quantised weights. */
export function gatherBlocks(engine: Engine, x: View, axis: number, index: View, out: View): void {
  if (sizeOf(out.shape) === 0) return;
  const dtype = x.dtype as Quantized, [count, width] = out.shape;
  const wholeRows = axis === 0 && x.shape.length === 2 && out.dtype === "f32" && width % quantBlock === 0 &&
    x.strides[0] === width && x.strides[1] === 1 && x.offset % width === 0 && index.strides[1] === 0 &&
    out.strides[1] === 1;
  if (!wholeRows) {
    return withFloats(engine, [x], [out], ([floats]) => gather(engine, floats, axis, index, out));
  }
  const buffer = x.buffer as CpuBuffer, rowBytes = byteSize(dtype, width);
  if (buffer.interleaved?.depth !== width) restoreRows(engine, buffer);
  const counts = countsIn(index, x.shape[0]);
  const kernel = engine.kernel(
    `gather ${dtype} ${index.dtype} ${counts}`,
    (m) => emitGatherBlocks(m, dtype, index.dtype, counts),
  );
  const { args, u32 } = engine;
  const write = (at: number, value: number): void => {
    u32[(args + at) >>> 2] = value;
  };
  write(fromArg, buffer.pointer);
  write(indexArg, addressOf(index));
  write(toArg, addressOf(out));
  setAxis(engine, 1, x.shape[0]); // the index is wanted as the number of a row
  write(indexStepArg, byteSize(index.dtype, 1) * index.strides[0]);
  write(toStepArg, 4 * out.strides[0]);
  write(firstArg, x.offset / width);
  write(panelRowsArg, panelRows * (buffer.interleaved?.panels ?? 0));
  write(blocksArg, width / quantBlock);
  write(rowBytesArg, rowBytes);
  engine.run(kernel, count, Math.ceil(16_384 / width));
  checkIndices(engine, "gather", x, axis);
}

function emitGatherBlocks(
  m: ModuleBuilder,
  dtype: Quantized,
  indexType: string,
  counts: "i32" | "i64",
): void {
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const [item, index, row, to, panels, blocks, rowBytes, lane] = f.localArray("i32", 8);
  const at: Block = {
    scale: f.local("i32"),
    weights: f.local("i32"),
    shift: f.local("i32"),
    bits: f.local("i32"),
    to,
    vector: f.local("v128"),
  };
  loadArgument(f, args, panelRowsArg, panels);
  loadArgument(f, args, rowBytesArg, rowBytes);
  /** local = the argument at `base` + item · the argument at `step`. */
  const locate = (local: Local, base: number, step: number): void => {
    loadArgument(f, args, base, local);
    f.set(local, local.plus(item.times(args.load(step))));
  };
  f.forRange(item, begin, end, 1, () => {
    locate(index, indexArg, indexStepArg);
    locate(to, toArg, toStepArg);
    emitIndex(f, args, index, indexType, counts, row, () => {
      f.set(row, row.plus(args.load(firstArg)));
      loadArgument(f, args, blocksArg, blocks);
      loadArgument(f, args, fromArg, at.scale);
      f.push(row.op("lt_u", panels));
      f.if(() => {
        f.set(lane, row.and(panelRows - 1));
        // Eight rows begin together: their scales, two bytes each, then the weights.
        f.set(at.scale, row.minus(lane).times(rowBytes).plus(at.scale).tee(at.weights).plus(lane.times(2)));
        f.push(at.weights, lane);
        if (dtype !== "q8") {
          f.op("i32.and", 3);
        }
        f.op("i32.mul", 4);
        f.op("i32.add");
        f.op("i32.add", 2 * panelRows);
        f.set(at.weights);
        f.set(at.shift, lane.and(4));
        if (dtype === "q50") {
          f.set(at.bits, at.scale.plus(lane.times(2)).plus(2 * panelRows + 16 * quads));
        }
        emitBlocks(f, dtype, at, blocks, true);
      }, () => {
        f.set(at.weights, row.times(rowBytes).plus(at.scale).tee(at.scale).plus(nibblesAt[dtype]));
        f.set(at.bits, at.scale.plus(2));
        emitBlocks(f, dtype, at, blocks, false);
      });
    });
  });
}

/** Where a block's parts lie; `shift` chooses the nibble in a panel. */
interface Block {
  readonly scale: Local;
  readonly weights: Local;
  readonly shift: Local;
  readonly bits: Local;
  readonly to: Local;
  readonly vector: Local;
}

/** Turns `blocks` blocks of one row into floats, four at a time. */
function emitBlocks(f: FunctionBuilder, dtype: Quantized, at: Block, blocks: Local, inPanel: boolean): void {
  const step = blockBytes[dtype] * (inPanel ? panelRows : 1), nibbles = f.local("v128");
  f.loop((again) => {
    // Scales are finite: the bits of an f16, moved to where an f32 has them, are 2^112 times too small.
    f.push(at.scale.load(0, "i32.load16_s").shl(13).and(0x8fffe000 | 0).op("f32.reinterpret_i32"));
    f.f32(2 ** 112);
    f.op("f32.mul");
    f.op("f32x4.splat");
    f.set(at.vector);
    for (let quad = 0; quad < quads; quad++) {
      f.push(at.to, at.weights);
      if (dtype === "q8") {
        f.load("v128.load32_zero", (inPanel ? 4 * panelRows : 4) * quad, 2);
        f.op("i16x8.extend_low_i8x16_s");
        f.op("i32x4.extend_low_i16x8_s");
      } else {
        const upper = quad >= quads / 2;
        f.load("i32.load", inPanel ? 2 * panelRows * quad : 4 * (quad % (quads / 2)), 2);
        if (inPanel) f.get(at.shift);
        else f.i32(upper ? 4 : 0);
        f.op("i32.shr_u");
        f.op("i32.and", 0x0f0f0f0f);
        if (dtype === "q50") {
          // Four fifth bits, each at the foot of a byte.
          f.push(at.bits.load(0, "i32.load", 1));
          f.i32(inPanel ? quad : 4 * quad);
          f.op("i32.shr_u");
          if (!inPanel) {
            f.op("i32.and", 15);
            f.op("i32.mul", 0x00204081);
          }
          f.op("i32.and", 0x01010101);
          f.op("i32.shl", 4);
          f.op("i32.or");
        }
        f.op("i32x4.splat");
        if (dtype === "iq4nl") {
          f.set(nibbles);
          f.i8x16(...nonLinear);
          f.op("i8x16.swizzle", nibbles);
        } else {
          f.i8x16(dtype === "q50" ? 16 : 8);
          f.op("i8x16.sub");
        }
        f.op("i16x8.extend_low_i8x16_s");
        f.op("i32x4.extend_low_i16x8_s");
      }
      f.op("f32x4.convert_i32x4_s");
      f.op("f32x4.mul", at.vector);
      f.store("v128.store", 16 * quad, 4);
    }
    f.increment(at.scale, step);
    f.increment(at.weights, step);
    f.increment(at.bits, step);
    f.increment(at.to, 4 * quantBlock);
    f.increment(blocks, -1);
    f.brIf(again, blocks);
  });
}
