/**
 * Dispatches captured once and encoded again without what leads to them: for a decoding step, checking shapes, making tensors
 * and finding kernels takes longer than all the GPU does.
 *
 * Buffers that were taken and given back meanwhile stay with what was captured. Those that it reads from outside must live on.
 *
 * @module
 */
import type { Captured, DeviceBuffer } from "../contract.ts";
import { Arena } from "./buffers.ts";
import type { Gpu, Kernel } from "./gpu.ts";

/** A dispatch with all that it takes. */
export interface Job {
  readonly kernel: Kernel;
  readonly group: GPUBindGroup;
  readonly buffers: readonly DeviceBuffer[];
  readonly params: readonly number[];
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

/** What listens while jobs are captured. */
export interface Listener {
  readonly jobs: Job[];
  /** Whether something was done that cannot be done again. */
  failed: boolean;
}

class CapturedDispatches implements Captured {
  readonly #gpu: Gpu;
  readonly #jobs: readonly Job[];
  readonly #arena: Arena;

  constructor(gpu: Gpu, jobs: readonly Job[], arena: Arena) {
    this.#gpu = gpu;
    this.#jobs = jobs;
    this.#arena = arena;
  }

  replay(): boolean {
    for (const job of this.#jobs) this.#gpu.encode(job);
    return true;
  }

  dispose(): void {
    this.#gpu.buffers.dissolve(this.#arena, this.#gpu.batch);
  }
}

/** Runs `f` and captures what it dispatches; see `Backend.capture`. */
export function captureOn(gpu: Gpu, f: () => void): Captured | null {
  const listener: Listener = { jobs: [], failed: false }, arena = new Arena(), before = gpu.listener;
  // Within another capture there is only that one.
  if (before) {
    f();
    return null;
  }
  gpu.listener = listener;
  gpu.buffers.arena = arena;
  try {
    f();
  } catch (error) {
    listener.failed = true;
    throw error;
  } finally {
    gpu.listener = gpu.buffers.arena = null;
    if (listener.failed) gpu.buffers.dissolve(arena, gpu.batch);
  }
  return listener.failed ? null : new CapturedDispatches(gpu, listener.jobs, arena);
}
