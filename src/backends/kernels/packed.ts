/**
 * Products with matrices that were brought in order before, for devices that do not bring all of their kernels.
 *
 * @module
 */
import { sizeOf } from "../../core/shape.ts";
import type { Backend, Kernels } from "../contract.ts";
import { matmulPacked, packedBytes, packMatrix } from "../cpu/kernels/matmul.ts";
import { tune } from "../cpu/tune.ts";
import { provideKernels } from "../cpu/provided.ts";

/** How often a product that is planned counts when libraries are to be measured after much work. */
const repeats = 16;

provideKernels((engine) => ({
  packedBytes(a, b, out, epilogue) {
    // What is planned is done again and again; whether a library does it is found out before.
    engine.blas.note(repeats * sizeOf(out.shape) * a.shape[a.shape.length - 1]);
    if (engine.blas.isDue) tune(engine);
    return packedBytes(engine, a, b, out, epilogue);
  },
  pack: (...args) => packMatrix(engine, ...args),
  matmulPacked: (...args) => matmulPacked(engine, ...args),
}));

/** What a device has for them. */
export function packedKernels({ kernels }: Backend): Pick<Kernels, "packedBytes" | "pack" | "matmulPacked"> {
  return kernels;
}
