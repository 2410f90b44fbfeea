/**
 * Products with matrices that were brought in order before, for devices that do not bring all of their kernels.
 *
 * @module
 */
import type { Backend, Kernels } from "../contract.ts";
import { matmulPacked, packedBytes, packMatrix } from "../cpu/kernels/matmul.ts";
import { provideKernels } from "../cpu/provided.ts";

provideKernels((engine) => ({
  packedBytes: (...args) => packedBytes(engine, ...args),
  pack: (...args) => packMatrix(engine, ...args),
  matmulPacked: (...args) => matmulPacked(engine, ...args),
}));

/** What a device has for them. */
export function packedKernels({ kernels }: Backend): Pick<Kernels, "packedBytes" | "pack" | "matmulPacked"> {
  return kernels;
}
