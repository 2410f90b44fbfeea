/**
 * The kernels of cross-entropy, for devices that do not bring all of theirs.
 *
 * @module
 */
import type { Backend, Kernels } from "../contract.ts";
import { crossEntropy, crossEntropyBackward } from "../cpu/kernels/cross_entropy.ts";
import { provideKernels } from "../cpu/provided.ts";

provideKernels((engine) => ({
  crossEntropy: (logits, targets, losses, lse, ignoreIndex) =>
    crossEntropy(engine, logits, targets, losses, lse, ignoreIndex),
  crossEntropyBackward: (logits, targets, lse, scale, dlogits, ignoreIndex) =>
    crossEntropyBackward(engine, logits, targets, lse, scale, dlogits, ignoreIndex),
}));

/** What a device has for cross-entropy. */
export function crossEntropyKernels(
  { kernels }: Backend,
): Pick<Kernels, "crossEntropy" | "crossEntropyBackward"> {
  return kernels;
}
