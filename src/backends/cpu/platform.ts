/**
 * What the cpu device needs from the runtime it runs on. `src/platform` implements it; without one the device
 * works on one thread.
 *
 * @module
 */

/** A thread that was started. */
export interface CpuWorker {
  /** Ends the thread at once. */
  terminate(): void;
}

/** Threads, as a runtime gives them. */
export interface CpuPlatform {
  /** How many threads run at the same time on this machine. */
  readonly hardwareConcurrency: number;
  /** Whether this thread may sleep in `Atomics.wait`; the main thread of a page may not. */
  readonly canBlock: boolean;
  /**
   * Starts a thread that evaluates `source`, the text of one JavaScript function, and calls it with `data` (which is
   * cloned; a shared `WebAssembly.Memory` in it stays shared). The function may return only when the thread is no
   * longer needed. The thread must not keep the program alive. `onError` hears why it could not start or has died.
   */
  spawnWorker?(source: string, data: unknown, onError: (error: unknown) => void): CpuWorker;
}
