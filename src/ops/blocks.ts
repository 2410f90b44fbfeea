/**
 * Tensors in blocks, for what can wait: their kernels come when such a tensor is to be made.
 *
 * @module
 */
import { type DType, isQuantized } from "../core/dtype.ts";

/** Has devices hold what is asked for, where one of `dtypes` is in blocks. */
export async function readyToHold(dtypes: Iterable<string | undefined>): Promise<void> {
  for (const dtype of dtypes) {
    if (dtype === undefined || !isQuantized(dtype as DType)) continue;
    const { provideQuantized } = await import("../backends/kernels/quantized.ts");
    return provideQuantized();
  }
}
