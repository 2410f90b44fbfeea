/** Threads for tests of the cpu device, from `node:worker_threads`, which Deno, Bun and Node all have. */
import { Worker } from "node:worker_threads";
import type { CpuPlatform, CpuWorker } from "../src/backends/cpu/platform.ts";

/** A platform that counts what it started. */
export function testPlatform(
  options: { canBlock?: boolean; broken?: boolean } = {},
): CpuPlatform & { started: number } {
  const platform = {
    hardwareConcurrency: 2,
    canBlock: options.canBlock ?? true,
    started: 0,
    spawnWorker(source: string, data: unknown, onError: (error: unknown) => void): CpuWorker {
      platform.started++;
      if (options.broken) throw new Error("no threads today");
      const text = `const { workerData } = require("node:worker_threads"); (${source})(workerData);`;
      const worker = new Worker(text, { eval: true, workerData: data });
      worker.unref();
      worker.on("error", onError);
      return { terminate: () => void worker.terminate() };
    },
  };
  return platform;
}
