/**
 * Picking rows of weights in blocks of a GGUF: an embedding, as f32. A row is whole blocks, and is widened where it goes.
 *
 * @module
 */
import { blockValues, byteSize, type KDType } from "../../../../core/dtype.ts";
import { sizeOf } from "../../../../core/shape.ts";
import type { View } from "../../../contract.ts";
import type { ModuleBuilder } from "../../assembler/mod.ts";
import { addressOf } from "../../buffer.ts";
import type { Engine } from "../../engine.ts";
import { emitSetSum } from "../gemm/address.ts";
import { emitArgument } from "../gemm/arguments.ts";
import { withFloats } from "../dequantize.ts";
import { checkIndices, countsIn, emitIndex, fromArg, gather, indexArg, setAxis, toArg } from "../gather.ts";
import { emitDecode } from "./decode.ts";

// Arguments beside those of `gather.ts`: bytes from one index to the next and from one row of the output to the next,
// blocks of a row and its bytes.
const indexStepArg = 32, toStepArg = 36, blocksArg = 40, rowBytesArg = 44;

/** `out[i, …] = x[index[i], …]` as f32; anything but whole rows goes through floats. See `Backend.gather`. */
export function gatherK(engine: Engine, x: View, axis: number, index: View, out: View): void {
  if (sizeOf(out.shape) === 0) return;
  const dtype = x.dtype as KDType, [count, width] = out.shape, values = blockValues(dtype);
  const wholeRows = axis === 0 && x.shape.length === 2 && out.dtype === "f32" && width % values === 0 &&
    x.strides[0] === width && x.strides[1] === 1 && x.offset % values === 0 && index.strides[1] === 0 &&
    out.strides[1] === 1;
  if (!wholeRows) {
    return withFloats(engine, [x], [out], ([floats]) => gather(engine, floats, axis, index, out));
  }
  const counts = countsIn(index, x.shape[0]);
  const kernel = engine.kernel(
    `gather ${dtype} ${index.dtype} ${counts}`,
    (m) => emitGatherK(m, dtype, index.dtype, counts),
  );
  const { args, u32 } = engine;
  const write = (at: number, value: number): void => {
    u32[(args + at) >>> 2] = value;
  };
  write(fromArg, addressOf(x));
  write(indexArg, addressOf(index));
  write(toArg, addressOf(out));
  setAxis(engine, 1, x.shape[0]); // the index is wanted as the number of a row
  write(indexStepArg, byteSize(index.dtype, 1) * index.strides[0]);
  write(toStepArg, 4 * out.strides[0]);
  write(blocksArg, width / values);
  write(rowBytesArg, byteSize(dtype, width));
  engine.run(kernel, count, Math.ceil(16_384 / width));
  checkIndices(engine, "gather", x, axis);
}

function emitGatherK(m: ModuleBuilder, dtype: KDType, indexType: string, counts: "i32" | "i64"): void {
  const decode = emitDecode(m, dtype), values = blockValues(dtype);
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [args, begin, end] = f.params;
  const [item, pointer, to, row, at, block] = f.localArray("i32", 6);
  const table = emitArgument(f, args, fromArg),
    index = emitArgument(f, args, indexArg),
    out = emitArgument(f, args, toArg);
  const indexStep = emitArgument(f, args, indexStepArg), toStep = emitArgument(f, args, toStepArg);
  const blocks = emitArgument(f, args, blocksArg), rowBytes = emitArgument(f, args, rowBytesArg);
  f.forRange(item, begin, end, 1, () => {
    emitSetSum(f, pointer, index, [item, indexStep]);
    emitSetSum(f, to, out, [item, toStep]);
    emitIndex(f, args, pointer, indexType, counts, row, () => {
      emitSetSum(f, at, table, [row, rowBytes]);
      f.forRange(block, 0, blocks, 1, () => {
        f.push(at, to);
        f.call(decode);
        f.increment(at, byteSize(dtype, values));
        f.increment(to, 4 * values);
      });
    });
  });
}
