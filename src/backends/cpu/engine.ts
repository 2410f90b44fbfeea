/**
 * What kernels run on: the heap, the cache of compiled kernels, and the threads.
 *
 * A kernel is one exported function `run(args, begin, end)` that does work items begin..end; it finds everything
 * else in an argument block in memory. Items are cut so that the result of one never depends on who does it or with
 * which others: then the number of threads never changes a bit, and {@link Engine.run} may split as it likes.
 *
 * Writing a kernel:
 * - `engine.kernel(key, emit)` compiles once per key (and per deterministic mode). The key says everything that the
 *   emitted code depends on. `emit` finds the memory imported and must export "run".
 * - Fill `engine.i32[(engine.args >>> 2) + k]` and so on with what the kernel needs, then `engine.run(...)`.
 *   The block has 16 KiB. Addresses are unsigned: an address read back with `engine.u32`, never with `i32`.
 * - The views (`engine.f32` …) are renewed when the memory grows: never keep one across an allocation.
 * - Memory for one operation: `const t = heap.scratch(bytes)` before, `heap.release(t)` after.
 * - Memory per thread (packed panels and the like): {@link importThreadScratch} gives a global that holds the address
 *   of {@link threadScratchBytes} bytes which no other thread touches. They keep nothing from call to call.
 * - Return often: V8 does not replace a running loop by a faster one. Work of a few microseconds and more is split.
 *
 * @module
 */
import { DeviceError, OptionError } from "../../core/errors.ts";
import { counted, show } from "../../core/show.ts";
import { type Global, ModuleBuilder } from "./assembler/mod.ts";
import { Blas } from "./blas.ts";
import { cpuFeatures } from "./features.ts";
import { Heap, type HeapOptions } from "./heap.ts";
import type { CpuPlatform } from "./platform.ts";
import { Pool } from "./pool.ts";
import { controlEnd } from "./pool_code.ts";
import { Arena, CapturedJobs, cut, jobWords, Listener } from "./captured.ts";

/** What emitted code may use. */
export interface KernelContext {
  /** Whether `relaxed_madd` may be used: not in deterministic mode, nor without relaxed SIMD. */
  readonly fma: boolean;
  /** Whether the other relaxed instructions (dot, laneselect …) may be used. */
  readonly relaxed: boolean;
  /** Whether this engine's `relaxed_madd` really rounds once (it does not on Bun). */
  readonly fusedMadd: boolean;
  /** Whether sums run in an order that depends on what is summed alone. */
  readonly deterministic: boolean;
}

/** Emits ONE exported function "run"(args: i32 address, begin: i32, end: i32) that does work items begin..end. */
export type Emit = (m: ModuleBuilder, context: KernelContext) => void;

/** A compiled kernel. */
export interface Kernel {
  /** Does items begin..end on this thread. */
  readonly run: (args: number, begin: number, end: number) => void;
  /** Its place in every thread's table. */
  readonly index: number;
}

/** How an {@link Engine} is made. */
export interface EngineOptions extends HeapOptions {
  /** Start in deterministic mode (default false). */
  readonly deterministic?: boolean;
  /** Threads to work on, this one included; by default as many as the machine runs at once, if there can be more than one. */
  readonly threads?: number;
  /** What the runtime gives; without it there is one thread. */
  readonly platform?: CpuPlatform;
}

/** Bytes of scratch memory that each thread has to itself. */
export const threadScratchBytes: number = 2 << 20;

/** Bytes of the argument block. */
export const argumentBytes: number = 16384;

const argumentsAt = 4096; // the pool's control block lies before it

/** The global that holds the address of the running thread's own scratch memory; call it first thing in `emit`. */
export function importThreadScratch(m: ModuleBuilder): Global {
  return m.importGlobal("env", "scratch", "i32");
}

/** Heap, kernels and threads of the cpu device. */
export class Engine {
  /** The device's memory. */
  readonly heap: Heap;
  /** Address of the argument block that callers fill before {@link Engine.run}. */
  readonly args: number = argumentsAt;
  /** Where it ends. */
  readonly argsEnd: number = argumentsAt + argumentBytes;
  /** Goes up when what was captured would not be right any more: weights lie differently, or other kernels are due. */
  epoch = 0;
  /** The native library for large products, where there is one. Not to be used in deterministic mode. */
  readonly blas: Blas;

  /** Why the memory has no huge pages, as far as anybody asked; null when all is well. */
  hugePagesProblem: string | null = null;

  #context: KernelContext;
  #kernels = new Map<string, Kernel>();
  #otherKernels = new Map<string, Kernel>(); // those of the other mode
  #deterministic = false;
  #count = 0;
  #env: WebAssembly.ModuleImports;
  #pool: Pool | null = null;
  #running = false;
  #alone = false;
  #listener: Listener | null = null;
  #compiled: Kernel[] = []; // by index

  /** An engine with a heap of its own. @throws {DeviceError} without SIMD, or when more threads are asked for than can be. */
  constructor(options: EngineOptions = {}) {
    const { simd } = cpuFeatures();
    if (!simd.available) throw new DeviceError(`cpu: ${simd.reason}; use device "reference"`);
    this.heap = new Heap(argumentsAt + argumentBytes, options);
    this.heap.u8.fill(0, 0, controlEnd);
    const advise = options.platform?.adviseHugePages;
    if (advise) {
      this.heap.onGrow = (memory) => {
        // Refused once, it is refused again.
        this.hugePagesProblem = advise(memory);
        if (this.hugePagesProblem !== null) this.heap.onGrow = null;
      };
    }
    const scratch = this.heap.reserve(threadScratchBytes);
    this.blas = new Blas(this.heap, options.platform);
    this.#env = {
      memory: this.heap.memory,
      scratch: new WebAssembly.Global({ value: "i32", mutable: false }, scratch | 0),
      sgemm: this.blas.sgemm,
      bgemm: this.blas.bgemm,
    };
    this.#context = contextFor(false);
    if (options.deterministic) this.deterministic = true;
    const { platform } = options;
    if (platform?.spawnWorker && this.heap.shared) {
      this.#pool = new Pool(this.heap, platform, this.#env, threadScratchBytes);
    }
    this.threads = options.threads ??
      (this.#pool && platform ? Math.max(1, platform.hardwareConcurrency) : 1);
  }

  /** Threads to work on, this one included. Workers start with the first job that is worth it. */
  get threads(): number {
    return this.#pool?.threads ?? 1;
  }

  set threads(count: number) {
    if (!Number.isInteger(count) || count < 1 || count > 1024) {
      throw new OptionError(`cpu: threads is ${show(count)}, expected a whole number from 1 to 1024`);
    }
    if (this.#pool) this.#pool.threads = count;
    else if (count > 1) {
      throw new DeviceError(
        `cpu: ${counted(count, "thread")} were asked for, but ${this.threadProblem}; use threads: 1`,
      );
    }
  }

  /** Why there is only one thread, or fewer than asked for; null when all is well. */
  get threadProblem(): string | null {
    if (this.#pool) return this.#pool.problem;
    return this.heap.shared
      ? "no way to start workers was given"
      : "the memory is not shared between threads";
  }

  /** Starts the workers now, and gives the number of threads once they work or `milliseconds` have passed. */
  async ready(milliseconds: number = 5000): Promise<number> {
    const pool = this.#pool;
    if (!pool) return 1;
    const deadline = performance.now() + milliseconds;
    do {
      pool.start();
      await new Promise((resolve) => setTimeout(resolve, 1));
    } while (pool.ready < pool.threads - 1 && pool.problem === null && performance.now() < deadline);
    return pool.ready + 1;
  }

  /** Ends the workers. The engine goes on with one thread. */
  dispose(): void {
    this.threads = 1;
  }

  /** What emitted code may use at present. */
  get context(): KernelContext {
    return this.#context;
  }

  /** Whether results are the same bits on every runtime: no fused or relaxed instructions. May be changed between runs. */
  get deterministic(): boolean {
    return this.#deterministic;
  }

  set deterministic(on: boolean) {
    if (on === this.#deterministic) return;
    this.#deterministic = on;
    this.epoch++;
    this.#context = contextFor(on);
    [this.#kernels, this.#otherKernels] = [this.#otherKernels, this.#kernels];
  }

  /** The whole memory as bytes; like its siblings, read it anew after every allocation. */
  get u8(): Uint8Array {
    return this.heap.u8;
  }

  /** The whole memory as 16-bit words. */
  get u16(): Uint16Array {
    return this.heap.u16;
  }

  /** The whole memory as i32. */
  get i32(): Int32Array {
    return this.heap.i32;
  }

  /** The whole memory as u32. */
  get u32(): Uint32Array {
    return this.heap.u32;
  }

  /** The whole memory as f32. */
  get f32(): Float32Array {
    return this.heap.f32;
  }

  /** The whole memory as f64. */
  get f64(): Float64Array {
    return this.heap.f64;
  }

  /** The whole memory as i64. */
  get i64(): BigInt64Array {
    return this.heap.i64;
  }

  /**
   * The kernel that `emit` writes, compiled at the first call with this key in the present mode.
   * @throws {DeviceError} when the engine does not take the module.
   */
  kernel(key: string, emit: Emit): Kernel {
    return this.#kernels.get(key) ?? this.#compile(key, emit);
  }

  #compile(key: string, emit: Emit): Kernel {
    const m = new ModuleBuilder();
    m.importMemory("env", "memory", {
      initial: 1,
      maximum: 65536,
      shared: this.heap.shared,
    });
    emit(m, this.#context);
    const bytes = m.build();
    let run: Kernel["run"];
    try {
      const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: this.#env });
      run = exports.run as Kernel["run"];
    } catch (cause) {
      throw new DeviceError(`cpu: kernel ${key} does not compile: ${(cause as Error).message}`, { cause });
    }
    if (typeof run !== "function") {
      throw new DeviceError(`cpu: kernel ${key} does not export a function "run"`);
    }
    const kernel = { run, index: this.#count++ };
    this.#pool?.publish(bytes, run);
    this.#compiled.push(kernel);
    this.#kernels.set(key, kernel);
    return kernel;
  }

  /**
   * Does items 0..total of `kernel`, split into contiguous pieces of at least `grain` items over the threads, and
   * returns when all is done. `grain` items should be worth some microseconds; with `grain` = `total` / `threads`,
   * rounded up, every thread gets one piece. `args` is the address that the kernel gets. A kernel runs no kernels.
   */
  run(kernel: Kernel, total: number, grain: number, args: number = this.args): void {
    this.#listener?.add(kernel, total, grain, args);
    const pool = this.#pool;
    if (pool === null || pool.threads === 1 || total < 2 * grain || this.#alone) {
      return kernel.run(args, 0, total);
    }
    if (this.#running) throw new DeviceError("cpu: Engine.run was called while it was running");
    this.#running = true;
    try {
      const { piece, pieces } = cut(total, grain, this.wake());
      if (pieces === 1) return kernel.run(args, 0, total);
      pool.run(kernel.index, args, total, piece, pieces);
    } finally {
      this.#running = false;
    }
  }

  /** Runs `f`, whose jobs are done by this thread alone. */
  alone<T>(f: () => T): T {
    this.#alone = true;
    try {
      return f();
    } finally {
      this.#alone = false;
    }
  }

  /** Threads that are at work at present, this one included; those that are missing are started. */
  wake(): number {
    const pool = this.#pool;
    if (pool === null || pool.threads === 1) return 1;
    const { ready } = pool;
    if (ready < pool.threads - 1) pool.start();
    return ready + 1;
  }

  /**
   * Runs `f` and captures what it makes the engine do; null where that cannot be done again. Whatever `f` takes from the heap
   * and does not give back is its own.
   */
  capture(f: () => void): CapturedJobs | null {
    const { heap, epoch } = this, outer = this.#listener;
    if (outer !== null || heap.arena !== null) {
      if (outer) outer.failed = true;
      f();
      return null;
    }
    const listener = this.#listener = new Listener(this), arena = heap.arena = new Arena(heap);
    let done = false;
    try {
      f();
      done = !listener.failed && this.epoch === epoch;
    } finally {
      this.#listener = heap.arena = null;
      if (!done) { for (const block of arena.blocks) heap.release(block); }
    }
    return done ? new CapturedJobs(this, listener.jobs, listener.looks, arena.blocks) : null;
  }

  /** Whether what is done is being captured. */
  get isCapturing(): boolean {
    return this.#listener !== null;
  }

  /** Whenever the last job is done again, `look` is called with the address of its arguments, and may throw. */
  afterJob(look: (args: number) => void): void {
    this.#listener?.looks.push({ job: this.#listener.jobs.length - 1, look });
  }

  /** Tells a capture that goes on that this cannot be done again. */
  refuseCapture(): void {
    if (this.#listener) this.#listener.failed = true;
  }

  /** Does the `count` jobs of a list in memory; see {@link CapturedJobs}. */
  replay(list: number, count: number): void {
    const pool = this.#pool;
    if (pool !== null && pool.threads > 1) return pool.replay(list, count);
    const { u32 } = this.heap;
    for (let job = list >>> 2, end = job + jobWords * count; job < end; job += jobWords) {
      this.#compiled[u32[job]].run(u32[job + 1], 0, u32[job + 2]);
    }
  }
}

function contextFor(deterministic: boolean): KernelContext {
  const { relaxedSimd, fusedMadd } = cpuFeatures();
  const relaxed = relaxedSimd.available && !deterministic;
  return { fma: relaxed, relaxed, fusedMadd: fusedMadd.available, deterministic };
}
