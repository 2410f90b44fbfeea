/**
 * The kernel of programs over rows, for devices that do not bring all of theirs.
 *
 * @module
 */
import type { Backend, Kernels } from "../contract.ts";
import { rows } from "../cpu/kernels/fused_rows.ts";
import { provideKernels } from "../cpu/provided.ts";

provideKernels((engine) => ({ rows: (...args) => rows(engine, ...args) }));

/** How many pieces of memory the kernel sees: what the least of GPUs binds at once, less one for numbers; arguments of the cpu. */
export function mostRowBuffers({ name }: Backend): number {
  return name === "webgpu" ? 7 : 24;
}

/** What a device has for it. */
export function rowKernels({ kernels }: Backend): Pick<Kernels, "rows"> {
  return kernels;
}
