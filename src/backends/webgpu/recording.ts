/**
 * Dispatches recorded once and encoded again without what leads to them: for a decoding step, checking shapes, making tensors
 * and finding kernels takes longer than all the GPU does.
 *
 * Buffers that were taken and given back meanwhile stay with the recording. Those that it reads from outside must live on.
 *
 * @module
 */
import type { DeviceBuffer, Recorded } from "../contract.ts";
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

/** What listens while jobs are recorded. */
export interface Recorder {
  readonly jobs: Job[];
  /** Whether something was done that cannot be done again. */
  failed: boolean;
}

class GpuRecording implements Recorded {
  readonly #gpu: Gpu;
  readonly #jobs: readonly Job[];
  readonly #arena: Arena;

  constructor(gpu: Gpu, jobs: readonly Job[], arena: Arena) {
    this.#gpu = gpu;
    this.#jobs = jobs;
    this.#arena = arena;
  }

  run(): boolean {
    for (const job of this.#jobs) this.#gpu.encode(job);
    return true;
  }

  dispose(): void {
    this.#gpu.buffers.dissolve(this.#arena, this.#gpu.batch);
  }
}

/** Runs `f` and records what it dispatches; see `Backend.record`. */
export function recordOn(gpu: Gpu, f: () => void): Recorded | null {
  const recorder: Recorder = { jobs: [], failed: false }, arena = new Arena(), before = gpu.recorder;
  // Within another recording there is only that one.
  if (before) {
    f();
    return null;
  }
  gpu.recorder = recorder;
  gpu.buffers.arena = arena;
  try {
    f();
  } catch (error) {
    recorder.failed = true;
    throw error;
  } finally {
    gpu.recorder = gpu.buffers.arena = null;
    if (recorder.failed) gpu.buffers.dissolve(arena, gpu.batch);
  }
  return recorder.failed ? null : new GpuRecording(gpu, recorder.jobs, arena);
}
