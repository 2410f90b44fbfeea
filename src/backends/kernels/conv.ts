/**
 * The kernel of convolution, for devices that do not bring all of theirs.
 *
 * @module
 */
import type { Backend, Kernels } from "../contract.ts";
import { conv, mostWeights } from "../cpu/kernels/conv.ts";
import { provideKernels } from "../cpu/provided.ts";

provideKernels((engine) => ({ conv: (...args) => conv(engine, ...args) }));

export { mostWeights };

/** What a device has for it. */
export function convKernels({ kernels }: Backend): Pick<Kernels, "conv"> {
  return kernels;
}
