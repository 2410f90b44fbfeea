/**
 * The devices of this machine, joined to the library: importing this file makes them known and starts none.
 *
 * @module
 */
import { demand, demandNoMore } from "../core/demand.ts";
import type { DeviceName } from "../backends/contract.ts";
import { createCpuBackend } from "../backends/cpu/backend.ts";
import { DeviceError, OptionError } from "../core/errors.ts";
import { flag } from "../core/kinds.ts";
import { show } from "../core/show.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import type { WebGpuBackend } from "../backends/webgpu/backend.ts";
import {
  adviseHugePages,
  canBlock,
  environment,
  hardwareConcurrency,
  onUnload,
  processorTime,
  requestGpuAdapter,
  spawnWorker,
} from "../platform/platform.ts";
import { totalMemory } from "../platform/platform.ts";
import {
  backendMemory,
  deviceNames,
  installBackend,
  refuseCapture,
  registerBackend,
  setBackendMemory,
} from "../tensor/mod.ts";
import { findBlas } from "./blas.ts";
import { cpuBackend } from "./cpu.ts";

let threads: number | undefined;
let deterministic = false;

registerBackend("cpu", () => {
  const memory = totalMemory(), guard = environment("FERROTYPE_GUARD") === "1";
  const backend = createCpuBackend({
    ...(threads === undefined ? {} : { threads }),
    deterministic,
    guard,
    platform: {
      hardwareConcurrency: hardwareConcurrency(),
      canBlock: canBlock(),
      ...(memory === undefined ? {} : { totalMemory: memory }),
      spawnWorker,
      processorTime,
      adviseHugePages,
      // Where every operation is watched none is measured.
      openBlas: () => findBlas(!guard),
    },
  });
  onUnload(() => backend.engine.dispose());
  return backend;
});

/**
 * On how many threads the cpu device computes, this one included; all of the machine's unless told. The number never
 * changes a result.
 *
 * @throws {OptionError} for what is no whole number from 1.
 * @category Devices
 */
export function setThreads(count: number): void {
  demandNoMore(arguments, 1, "setThreads");
  if (!Number.isInteger(count) || count < 1) {
    throw new OptionError(`setThreads: count is ${show(count)}, expected a whole number from 1`);
  }
  threads = count;
  cpuBackend().engine.threads = count;
}

/**
 * On how many threads the cpu device computes.
 *
 * @category Devices
 */
export function getThreads(): number {
  demandNoMore(arguments, 0, "getThreads");
  return cpuBackend().engine.threads;
}

/**
 * How many bytes each device takes at most, for its tensors and for what operations need while they run; less where there is
 * less. What is in use already stays; what would go beyond is refused before any of it is taken. Infinity unless told: then
 * the devices leave a tenth of the memory of the machine (or of its container) to others, where that may be asked for.
 *
 * @throws {OptionError} for what is no number above 0.
 * @category Devices
 */
export function setMaxMemory(bytes: number): void {
  demandNoMore(arguments, 1, "setMaxMemory");
  if (typeof bytes !== "number" || !(bytes > 0)) {
    throw new OptionError(`setMaxMemory: a number of bytes above 0, or Infinity, not ${show(bytes)}`);
  }
  setBackendMemory(bytes);
}

/**
 * How many bytes each device takes at most; Infinity unless {@link setMaxMemory} told, which is not without end: what the
 * machine, or the container, has less a tenth stays the bound. No smaller one is a default, for what a program may take of its
 * machine is its own to say.
 *
 * @category Devices
 */
export function getMaxMemory(): number {
  demandNoMore(arguments, 0, "getMaxMemory");
  return backendMemory();
}

/**
 * Whether the cpu device gives the same bits on every runtime and machine: then it uses neither relaxed SIMD (whose
 * results may differ in the last bit) nor a BLAS, and is slower. Sums then run in one order, however many rows are computed at
 * once: what a text gives is the same to the bit whether it is computed whole, step by step, beside others, behind padding, or
 * from guesses. Named as in PyTorch. Off unless told.
 *
 * @throws {OptionError} for what is neither true nor false.
 * @category Devices
 */
export function useDeterministicAlgorithms(on: boolean): void {
  demandNoMore(arguments, 1, "useDeterministicAlgorithms");
  demand("useDeterministicAlgorithms", "on", on, typeof on === "boolean", "true or false");
  refuseCapture("useDeterministicAlgorithms", "call it before, or after");
  deterministic = on;
  cpuBackend().engine.deterministic = on;
}

/**
 * Whether {@link useDeterministicAlgorithms} is on.
 *
 * @category Devices
 */
export function areDeterministicAlgorithmsEnabled(): boolean {
  demandNoMore(arguments, 0, "areDeterministicAlgorithmsEnabled");
  return deterministic;
}

registerBackend("webgpu", () => {
  throw new DeviceError(
    'device "webgpu" is asked of the system first; await initWebGPU() or devices() before making tensors on it',
  );
});

let webgpu: Promise<WebGpuBackend> | null = null;

/**
 * Options of {@link initWebGPU}.
 *
 * @category Devices
 */
export interface WebGPUOptions {
  /**
   * Whether products of more than four rows with f16 weights are computed in f16, in sums of sixteen terms that are added
   * up in f32 (about three digits; as `torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction`). Needs an
   * adapter with "shader-f16". Default false: f16 weights, and all arithmetic in f32.
   */
  allowFp16ReducedPrecisionReduction?: boolean;
}

const webgpuOptions: OptionTable<WebGPUOptions> = { allowFp16ReducedPrecisionReduction: flag };

/**
 * Gets the GPU ready: from then on `device: "webgpu"` works. Asked again it gives the same device, or a new one when
 * that was lost (tensors on a lost device are gone). `GPT2.load` with that device, and `devices()`, call it themselves.
 *
 * @throws {DeviceError} when there is no WebGPU here, saying why, when the adapter lacks what an option needs, or when
 * the device is ready already and was made with other options.
 * @category Devices
 */
export async function initWebGPU(options: WebGPUOptions = {}): Promise<void> {
  demandNoMore(arguments, 1, "initWebGPU");
  checkOptions("initWebGPU", options, webgpuOptions);
  if (webgpu !== null) {
    const known = await webgpu.catch(() => null), wanted = options.allowFp16ReducedPrecisionReduction;
    if (known !== null && known.gpu.lost === null) {
      if (wanted === undefined || wanted === known.gpu.halfProducts) return;
      throw new DeviceError(
        `initWebGPU: allowFp16ReducedPrecisionReduction is ${wanted}, and the device is ready with ${known.gpu.halfProducts}; ` +
          `give it in the first call`,
      );
    }
  }
  webgpu = openAdapter(options);
  installBackend(await webgpu);
}

async function openAdapter(options: WebGPUOptions): Promise<WebGpuBackend> {
  const { adapter, reason } = await requestGpuAdapter();
  if (adapter === null) throw new DeviceError(`device "webgpu" is not available: ${reason}`);
  // Loaded where there is an adapter: a page without one never fetches it.
  const { openWebGpu } = await import("./webgpu.ts");
  return await openWebGpu(adapter, options);
}

/**
 * The devices that this process can use; those that answer late (WebGPU) are made ready.
 *
 * @category Devices
 */
export async function devices(): Promise<DeviceName[]> {
  demandNoMore(arguments, 0, "devices");
  const ready = await initWebGPU().then(() => true, () => false);
  return deviceNames().filter((name) => name !== "webgpu" || ready);
}
