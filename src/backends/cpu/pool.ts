/**
 * The threads of the cpu device: starts them when the first job is worth it, hands out jobs, and goes on alone
 * where there are none. How a job travels is written in `pool_code.ts`; the threads' side is `worker.ts`.
 *
 * The calling thread is thread 0 and works on every job itself. Workers start in the background, compile by
 * themselves what was published, and may come late or never: a job needs none of them.
 *
 * @module
 */
import { DeviceError } from "../../core/errors.ts";
import type { Heap } from "./heap.ts";
import type { CpuPlatform, CpuWorker } from "./platform.ts";
import { failedAt, kernelsAt, poolCode, publishedAt, readyAt, threadsAt } from "./pool_code.ts";
import { workerSource } from "./worker.ts";

interface PoolExports {
  dispatch(
    kernel: number,
    args: number,
    total: number,
    piece: number,
    pieces: number,
    canBlock: number,
  ): number;
  replay(list: number, count: number, canBlock: number): number;
  abandon(canBlock: number): void;
}

/** The threads of one engine. The heap is shared. */
export class Pool {
  /** Why there are fewer threads than wanted, or null. */
  problem: string | null = null;

  #heap: Heap;
  #platform: CpuPlatform;
  #scratchBytes: number;
  #table: WebAssembly.Table;
  #code: Uint8Array<ArrayBuffer>;
  #exports: PoolExports;
  #workers: CpuWorker[] = [];
  #scratch: number[] = []; // addresses, kept when threads end and used again
  #threads = 1;
  #lastLink = kernelsAt;
  #published = 0;
  #canBlock: number;

  /** A pool over `heap` whose workers have not started; `scratchBytes` is what each thread has to itself. */
  constructor(heap: Heap, platform: CpuPlatform, env: WebAssembly.ModuleImports, scratchBytes: number) {
    this.#heap = heap;
    this.#platform = platform;
    this.#scratchBytes = scratchBytes;
    this.#canBlock = platform.canBlock ? 1 : 0;
    this.#table = new WebAssembly.Table({ initial: 256, element: "anyfunc" });
    this.#code = poolCode(heap.shared);
    const imports = { env: { ...env, table: this.#table, now: () => performance.now() } };
    const instance = new WebAssembly.Instance(new WebAssembly.Module(this.#code), imports);
    this.#exports = instance.exports as unknown as PoolExports;
  }

  /** Threads wanted, this one included. */
  get threads(): number {
    return this.#threads;
  }

  set threads(count: number) {
    this.#threads = count;
    Atomics.store(this.#heap.i32, threadsAt >> 2, count);
    if (count - 1 < this.#workers.length) this.#stop(count - 1);
  }

  /** Workers that take part at present. */
  get ready(): number {
    return Atomics.load(this.#heap.i32, readyAt >> 2);
  }

  /** Makes a kernel known to every thread; kernels come in the order of their index. */
  publish(module: Uint8Array, run: CallableFunction): void {
    const node = this.#heap.reserve(8 + module.length);
    this.#heap.u8.set(module, node + 8);
    const words = this.#heap.i32;
    words[node >>> 2] = 0;
    words[(node >>> 2) + 1] = module.length;
    words[this.#lastLink >>> 2] = node;
    this.#lastLink = node;
    if (this.#published === this.#table.length) this.#table.grow(this.#published);
    this.#table.set(this.#published, run);
    this.#published++;
    Atomics.store(words, publishedAt >> 2, this.#published);
  }

  /** Starts the workers that are missing; returns at once. */
  start(): void {
    while (this.#workers.length < this.#threads - 1 && this.problem === null) {
      const index = this.#workers.length + 1;
      this.#scratch[index] ??= this.#heap.reserve(this.#scratchBytes);
      const data = { memory: this.#heap.memory, code: this.#code, index, scratch: this.#scratch[index] };
      const onError = (error: unknown): void => {
        this.problem ??= `worker ${index}: ${error instanceof Error ? error.message : String(error)}`;
      };
      try {
        this.#workers.push(this.#platform.spawnWorker!(workerSource, data, onError));
      } catch (error) {
        onError(error);
      }
    }
  }

  /** Does items 0..total of kernel number `index` in `pieces` pieces of `piece` items. */
  run(index: number, args: number, total: number, piece: number, pieces: number): void {
    let failed: number;
    try {
      failed = this.#exports.dispatch(index, args, total, piece, pieces, this.#canBlock);
    } catch (error) {
      this.#exports.abandon(this.#canBlock);
      throw error;
    }
    if (failed !== 0) this.#trapped();
  }

  /** Does the `count` jobs of a list, one after the other. */
  replay(list: number, count: number): void {
    let failed: number;
    try {
      failed = this.#exports.replay(list, count, this.#canBlock);
    } catch (error) {
      this.#exports.abandon(this.#canBlock);
      throw error;
    }
    if (failed !== 0) this.#trapped();
  }

  #trapped(): never {
    Atomics.store(this.#heap.i32, failedAt >> 2, 0);
    throw new DeviceError(
      "cpu: a kernel trapped in a worker thread; its arguments point outside the memory",
    );
  }

  /** Ends the workers from number `keep` on. */
  #stop(keep: number): void {
    // An empty job wakes the sleepers, and those that are too many leave their loop.
    this.#exports.dispatch(0, 0, 0, 0, 0, 0);
    // A thread that may sleep leaves them the processor meanwhile.
    const { i32 } = this.#heap, sleeps = this.#canBlock === 1;
    const deadline = performance.now() + (sleeps ? 500 : 20);
    for (let left = this.ready; left > keep && performance.now() < deadline; left = this.ready) {
      if (sleeps) Atomics.wait(i32, readyAt >> 2, left, 10);
    }
    for (const worker of this.#workers.splice(keep)) worker.terminate();
    // Those that were ended on their way out no longer count.
    if (this.ready > keep) Atomics.store(i32, readyAt >> 2, keep);
  }
}
