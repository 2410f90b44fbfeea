/**
 * What this library adds to a config.json of its own, and how it says there what weights are held as.
 *
 * @module
 */
import type { DType } from "../core/dtype.ts";

/** The entry that says which kind of blocks the weights are; it describes the file beside it, not the model. */
export const quantizedNote = "ferrotype_dtype";

/** The entry that says which weights the configuration was saved with: what the writer noted of them. */
export const digestNote = "ferrotype_sha256";

/** PyTorch's names of dtypes; all others are float32 there. */
export const torchNames: Partial<Record<DType, string>> = {
  f16: "float16",
  bf16: "bfloat16",
  f64: "float64",
};
