/**
 * The cpu device itself, for who looks inside: threads, benches, tests. In a file of its own because its types lead deep.
 *
 * @module
 */
import type { CpuBackend } from "../backends/cpu/backend.ts";
import { backendOf } from "../tensor/mod.ts";

let cpu: CpuBackend | null = null;

/** The cpu device; `devices.ts` makes it known. */
export function cpuBackend(): CpuBackend {
  return cpu ??= backendOf("cpu") as CpuBackend;
}
