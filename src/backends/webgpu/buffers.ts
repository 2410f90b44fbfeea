/**
 * Device memory: GPU buffers in size classes, kept after use for the next tensor of about the same size.
 *
 * Four classes lie between a power of two and the next, so at most a quarter of a buffer is idle. A buffer that was
 * given back is used again at once: commands run in the order they were issued, so work recorded later comes later.
 *
 * @module
 */
import { DeviceError } from "../../core/errors.ts";
import { counted } from "../../core/show.ts";
import type { DeviceBuffer, MemoryUse } from "../contract.ts";

// GPUBufferUsage, whose object is missing where there is no WebGPU.
const mapRead = 1, copySource = 4, copyTarget = 8, uniform = 64, storage = 128;

/** What a buffer of each kind is used for. */
export const usage = {
  storage: storage | copySource | copyTarget,
  staging: mapRead | copyTarget,
  uniform: uniform | copyTarget,
} as const;

/** A piece of the GPU's memory. */
export interface WebGpuBuffer extends DeviceBuffer {
  /** The buffer, of the size of its class; null once given back. */
  gpu: GPUBuffer | null;
  /** The batch of commands that used it last. */
  batch: number;
  /** The number of the GPU buffer, by which bind groups are remembered. */
  readonly id: number;
  /** Of a window: the buffer it shows a part of, and from which byte on. */
  readonly parent?: WebGpuBuffer;
  readonly start?: number;
  /** The windows that were opened on this buffer. */
  windows?: Map<string, WebGpuBuffer>;
}

/** The size of the class that `bytes` belong to: at least 256, a multiple of a quarter of a power of two. */
export function sizeClass(bytes: number): number {
  if (bytes <= 256) return 256;
  const step = 2 ** (Math.ceil(Math.log2(bytes)) - 3);
  return Math.ceil(bytes / Math.max(step, 64)) * Math.max(step, 64);
}

interface Idle {
  readonly gpu: GPUBuffer;
  readonly id: number;
  readonly batch: number;
}

/** Buffers that captured work took and gave back: they stay with it. */
export class Arena {
  /** Those that are idle, by size. */
  readonly free: Map<number, Idle[]> = new Map();
  /** The numbers of all. */
  readonly ids: Set<number> = new Set();
}

/** The buffers of one device. */
export class Buffers {
  /** Where buffers are taken from and given back to, while somebody captures. */
  arena: Arena | null = null;

  readonly #device: GPUDevice;
  readonly #free = new Map<number, Idle[]>();
  #idle = 0;
  #peak = 0;
  #bytes = 0;
  #buffers = 0;
  #made = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Memory with undefined contents. @throws {DeviceError} for more than one buffer can hold. */
  allocate(byteLength: number): WebGpuBuffer {
    const size = sizeClass(byteLength), limit = this.#device.limits.maxBufferSize;
    if (byteLength > limit) {
      throw new DeviceError(
        `webgpu: no memory for ${counted(byteLength, "byte")}; one buffer of this adapter holds ${limit}`,
      );
    }
    const own = this.arena?.free.get(size)?.pop(), known = own ?? this.#free.get(size)?.pop();
    if (known && !own) this.#idle -= size;
    // The batch stays with the memory: what is encoded or captured still reads it, and an upload must not come before that.
    const { gpu, id, batch } = known ?? {
      gpu: this.#device.createBuffer({
        size: Math.min(size, Math.floor(limit / 4) * 4),
        usage: usage.storage,
      }),
      id: ++this.#made,
      batch: 0,
    };
    this.#bytes += byteLength;
    this.#buffers++;
    this.#peak = Math.max(this.#peak, this.#bytes);
    this.arena?.ids.add(id);
    return { byteLength, gpu, id, batch };
  }

  /** Gives memory back. @throws {DeviceError} when it was given back before. */
  release(buffer: DeviceBuffer): void {
    const own = buffer as WebGpuBuffer, gpu = gpuOf(buffer), size = sizeClass(own.byteLength);
    own.gpu = null;
    this.#bytes -= own.byteLength;
    this.#buffers--;
    const idle = { gpu, id: own.id, batch: own.batch }, kept = this.arena?.ids.has(own.id);
    if (kept) putBack(this.arena!.free, size, idle);
    else this.#take(size, idle);
  }

  /** Takes the buffers of captured work back, which were used in `batch` last. */
  dissolve({ free }: Arena, batch: number): void {
    for (const [size, list] of free) for (const idle of list) this.#take(size, { ...idle, batch });
    free.clear();
  }

  #take(size: number, idle: Idle): void {
    putBack(this.#free, size, idle);
    this.#idle += size;
  }

  /** Destroys idle buffers when they are more than what was ever in use at once; `gone` hears of each. */
  trim(gone: (id: number) => void): void {
    if (this.#idle <= Math.max(this.#peak, 64 << 20)) return;
    for (const list of this.#free.values()) {
      for (const { gpu, id } of list.splice(0)) {
        gpu.destroy();
        gone(id);
      }
    }
    this.#idle = 0;
    this.#peak = this.#bytes;
  }

  /** Bytes and buffers live. */
  memory(): MemoryUse {
    return { bytes: this.#bytes, buffers: this.#buffers };
  }
}

function putBack(free: Map<number, Idle[]>, size: number, idle: Idle): void {
  const list = free.get(size) ?? [];
  free.set(size, list);
  // The lowest number last, to be taken first: steps that do the same then meet the same buffers and bind groups.
  list.splice(list.findLastIndex(({ id }) => id > idle.id) + 1, 0, idle);
}

/** The GPU's buffer. @throws {DeviceError} when it was given back. */
export function gpuOf(buffer: DeviceBuffer): GPUBuffer {
  const { gpu } = buffer as WebGpuBuffer;
  if (gpu === null) {
    throw new DeviceError(
      `this buffer of ${counted(buffer.byteLength, "byte")} was released; use a tensor before disposing it`,
    );
  }
  return gpu;
}
