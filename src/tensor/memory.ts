/**
 * How much device memory is in use, and by whom: the first thing to ask when it grows.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import type { DeviceName, MemoryUse } from "../backends/contract.ts";
import { flag } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { activeBackends } from "./device.ts";
import { liveStorages } from "./storage.ts";

/**
 * Memory in use on one device.
 *
 * @category Memory
 */
export interface DeviceMemory extends MemoryUse {
  /** What tensors hold, by the operation that made them, most bytes first; only when asked for. */
  readonly byOp?: Readonly<Record<string, MemoryUse>>;
}

/**
 * Options of {@link memory}.
 *
 * @category Memory
 */
export interface MemoryOptions {
  /** Also say which operations made what is alive. Default false. */
  byOp?: boolean;
}

const memoryOptions: OptionTable<MemoryOptions> = { byOp: flag };

function usedByOp(device: DeviceName): Record<string, MemoryUse> {
  const sums = new Map<string, { bytes: number; buffers: number }>();
  for (const storage of liveStorages) {
    if (storage.backend.name !== device) continue;
    const sum = sums.get(storage.madeBy) ?? { bytes: 0, buffers: 0 };
    sum.bytes += storage.buffer.byteLength;
    sum.buffers++;
    sums.set(storage.madeBy, sum);
  }
  return Object.fromEntries([...sums].sort(([, a], [, b]) => b.bytes - a.bytes));
}

/**
 * Bytes and buffers in use on each device that was used so far.
 *
 * @throws {OptionError} for options that do not exist.
 * @example
 * ```ts
 * memory().cpu; // { bytes: 4096, buffers: 1 }
 * memory({ byOp: true }).cpu.byOp; // { matmul: { bytes: 4096, buffers: 1 } }
 * ```
 * @category Memory
 */
export function memory(options: MemoryOptions = {}): Record<string, DeviceMemory> {
  demandNoMore(arguments, 1, "memory");
  const { byOp = false } = checkOptions("memory", options, memoryOptions);
  return Object.fromEntries(
    activeBackends().map((backend): [string, DeviceMemory] => {
      const { bytes, buffers } = backend.memory();
      return [
        backend.name,
        byOp ? { bytes, buffers, byOp: usedByOp(backend.name) } : { bytes, buffers },
      ];
    }),
  );
}
