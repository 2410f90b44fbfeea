/** This runtime's threads as the cpu device wants them, for tests. */
import type { CpuPlatform, CpuWorker } from "../src/backends/cpu/platform.ts";
import { processorTime, spawnWorker } from "../src/platform/platform.ts";

/** A platform that counts what it started. */
export function testPlatform(
  options: { canBlock?: boolean; broken?: boolean } = {},
): CpuPlatform & { started: number } {
  const platform = {
    hardwareConcurrency: 2,
    canBlock: options.canBlock ?? true,
    started: 0,
    processorTime,
    spawnWorker(
      source: string,
      data: unknown,
      onError: (error: unknown) => void,
      onEnd: () => void,
    ): CpuWorker {
      platform.started++;
      if (options.broken) throw new Error("no threads today");
      return spawnWorker(source, data, onError, onEnd);
    },
  };
  return platform;
}
