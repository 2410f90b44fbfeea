/**
 * The webgpu device for tests, where the runtime has an adapter of its own: Deno does, and a software one will do
 * (Debian's mesa-vulkan-drivers).
 *
 * @module
 */
import { describe, it } from "node:test";
import type { DeviceName } from "../src/backends/contract.ts";
import { initWebGPU } from "../src/runtime/devices.ts";

/** Why there is no webgpu device here; null when there is one. */
export const webgpuProblem: string | null = await initWebGPU().then(() => null, (e: Error) => e.message);

/** Declares tests for the webgpu device, or one that says why they are skipped. */
export function onWebGpu(declare: (device: DeviceName) => void): void {
  if (webgpuProblem === null) describe("on webgpu", () => declare("webgpu"));
  else it("on webgpu", { skip: webgpuProblem }, () => {});
}
