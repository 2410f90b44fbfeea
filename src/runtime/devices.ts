/**
 * The devices of this machine, joined to the library: importing this file makes them known and starts none.
 *
 * @module
 */
import type { DeviceName } from "../backends/contract.ts";
import { type CpuBackend, createCpuBackend } from "../backends/cpu/backend.ts";
import { createReferenceBackend } from "../backends/reference/backend.ts";
import { OptionError } from "../core/errors.ts";
import { canBlock, hardwareConcurrency, spawnWorker, totalMemory } from "../platform/platform.ts";
import { backendOf, deviceNames, registerBackend } from "../tensor/mod.ts";
import { findBlas } from "./blas.ts";

let threads: number | undefined;
let deterministic = false;

registerBackend("cpu", () => {
  const memory = totalMemory();
  return createCpuBackend({
    ...(threads === undefined ? {} : { threads }),
    deterministic,
    platform: {
      hardwareConcurrency: hardwareConcurrency(),
      canBlock: canBlock(),
      ...(memory === undefined ? {} : { totalMemory: memory }),
      spawnWorker: (source, data, onError) => spawnWorker(source, data, onError),
      openBlas() {
        const { found, reason } = findBlas();
        return found ?? reason;
      },
    },
  });
});
registerBackend("reference", createReferenceBackend);

let cpu: CpuBackend | null = null;

/** The cpu device. */
export function cpuBackend(): CpuBackend {
  return cpu ??= backendOf("cpu") as CpuBackend;
}

/**
 * On how many threads the cpu device computes, this one included; all of the machine's unless told. The number never
 * changes a result.
 */
export function setThreads(count: number): void {
  if (!Number.isInteger(count) || count < 1) {
    throw new OptionError(`setThreads: a whole number from 1, not ${count}`);
  }
  threads = count;
  cpuBackend().engine.threads = count;
}

/** On how many threads the cpu device computes. */
export function getThreads(): number {
  return cpuBackend().engine.threads;
}

/**
 * Whether the cpu device gives the same bits on every runtime and machine: then it uses neither relaxed SIMD (whose
 * results may differ in the last bit) nor a BLAS, and is slower. Named as in PyTorch. Off unless told.
 */
export function useDeterministicAlgorithms(on: boolean): void {
  deterministic = on;
  cpuBackend().engine.deterministic = on;
}

/** Whether {@link useDeterministicAlgorithms} is on. */
export function areDeterministicAlgorithmsEnabled(): boolean {
  return deterministic;
}

/** The devices that this process can use. */
export function devices(): Promise<DeviceName[]> {
  return Promise.resolve(deviceNames());
}
