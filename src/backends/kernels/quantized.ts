/**
 * The kernels of weights in blocks (q8, q4, those of a GGUF), for devices that do not bring all of theirs.
 *
 * @module
 */
import { isK } from "../../core/dtype.ts";
import { provideBlocks } from "../cpu/kernels/blocks.ts";
import { withFloats } from "../cpu/kernels/dequantize.ts";
import { gatherBlocks } from "../cpu/kernels/gather_blocks.ts";
import { gatherK } from "../cpu/kernels/k_blocks/gather.ts";
import { matmulK } from "../cpu/kernels/k_blocks/matmul.ts";
import { interleaveRows, matmulQuantized, restoreRows } from "../cpu/kernels/quantized/matmul.ts";

provideQuantized();

/** Has every device hold tensors in blocks. Asked again it does nothing. */
export function provideQuantized(): void {
  provideBlocks({
    matmul(engine, a, b, out, epilogue) {
      if (isK(b.dtype)) matmulK(engine, a, b, out, epilogue);
      else matmulQuantized(engine, a, b, out, epilogue);
    },
    gather(engine, x, axis, index, out) {
      if (isK(x.dtype)) gatherK(engine, x, axis, index, out);
      else gatherBlocks(engine, x, axis, index, out);
    },
    withFloats,
    interleaveRows(engine, w, columns) {
      if (!isK(w.dtype)) interleaveRows(engine, w, columns);
    },
    restoreRows,
  });
}
