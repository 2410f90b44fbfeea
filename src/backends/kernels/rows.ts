/**
 * The kernel of programs over rows, for devices that do not bring all of theirs.
 *
 * @module
 */
import type { Backend, Kernels } from "../contract.ts";
import { rows } from "../cpu/kernels/fused_rows.ts";
import { provideKernels } from "../cpu/provided.ts";

provideKernels((engine) => ({ rows: (...args) => rows(engine, ...args) }));

/** What a device has for it. */
export function rowKernels({ kernels }: Backend): Pick<Kernels, "rows"> {
  return kernels;
}
