/**
 * The webgpu device for tests, where the runtime has an adapter of its own: Deno does, and a software one will do
 * (Debian's mesa-vulkan-drivers). On Node and Bun the npm package "webgpu" gives one: there webgpu_dawn_test.ts tries
 * what matters, and with TEST_WEBGPU=1 every test of the device runs.
 *
 * @module
 */
import process from "node:process";
import type { DeviceName } from "../src/backends/contract.ts";
import { runtimeName } from "../src/platform/platform.ts";
import { ones } from "../src/ops/mod.ts";
import { initWebGPU } from "../src/runtime/devices.ts";
import { after, describe, it } from "./_suite.ts";

/** Why tests of the device do not run here whatever adapter there is; null where they do. */
export const webgpuElsewhere: string | null = runtimeName() === "deno" || process.env.TEST_WEBGPU === "1"
  ? null
  : "every test runs on Deno, and on Node and Bun with TEST_WEBGPU=1; see webgpu_dawn_test.ts";

/** Why there is no webgpu device here; null when there is one. */
export const webgpuProblem: string | null = webgpuElsewhere ??
  await initWebGPU().then(() => null, (e: Error) => e.message);

/** Declares tests for the webgpu device, or one that says why they are skipped. */
export function onWebGpu(declare: (device: DeviceName) => void): void {
  if (webgpuProblem === null) {
    describe("on webgpu", () => {
      declare("webgpu");
      // A process that ends while a software adapter still computes may take its threads' memory away from them.
      after(async () => {
        using last = ones([1], { device: "webgpu" });
        await last.data();
      });
    });
  } else it("on webgpu", { skip: webgpuProblem }, () => {});
}
