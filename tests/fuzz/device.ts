/** The device that is fuzzed: the cpu device with guards around its memory, or another as it is. */
import type { DeviceName } from "../../src/backends/contract.ts";
import { type CpuBackend, createCpuBackend } from "../../src/backends/cpu/backend.ts";
import { initWebGPU } from "../../src/runtime/devices.ts";
import "../../src/runtime/reference.ts";
import { installBackend } from "../../src/tensor/mod.ts";
import { testPlatform } from "../_cpu_platform.ts";

/** A device, and what is to be said of its memory when a program is over. */
export interface FuzzDevice {
  readonly name: DeviceName;
  /** What is wrong with its memory, all of which was to be given back; null when nothing is. */
  check(whole: boolean): string | null;
  dispose(): void;
}

/** How it computes: "fast" is the cpu device on one thread, "deterministic" the same on two, without fused instructions. */
export type FuzzMode = "fast" | "deterministic" | "webgpu";

/** Makes the device of `mode` the one of its name. */
export async function openFuzzDevice(mode: FuzzMode): Promise<FuzzDevice> {
  if (mode === "webgpu") {
    await initWebGPU();
    return { name: "webgpu", check: () => null, dispose: () => {} };
  }
  const backend: CpuBackend = createCpuBackend({
    guard: true,
    ...mode === "deterministic" ? { deterministic: true, platform: testPlatform(), threads: 2 } : {},
  });
  installBackend(backend);
  const { heap } = backend.engine;
  return {
    name: "cpu",
    check(whole) {
      const left = heap.buffers || heap.temporaries;
      return heap.check(whole) ??
        (left ? `${heap.buffers} buffers and ${heap.temporaries} temporaries are left` : null);
    },
    dispose: () => backend.engine.dispose(),
  };
}
