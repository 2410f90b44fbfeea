/**
 * The kernel of products with chosen matrices, for devices that do not bring all of theirs.
 *
 * @module
 */
import type { Backend, Kernels } from "../contract.ts";
import { matmulExperts } from "../cpu/kernels/experts.ts";
import { provideKernels } from "../cpu/provided.ts";

provideKernels((engine) => ({ matmulExperts: (...args) => matmulExperts(engine, ...args) }));

/** What a device has for them. */
export function expertKernels({ kernels }: Backend): Pick<Kernels, "matmulExperts"> {
  return kernels;
}
