/**
 * What the cpu device needs from the runtime it runs on. `src/runtime` puts it together; without one the device
 * works on one thread.
 *
 * @module
 */

/** A thread that was started. */
export interface CpuWorker {
  /** Ends the thread at once. */
  terminate(): void;
}

/** A library with the C interface of the BLAS, as a runtime opened it. It must compute on the calling thread alone. */
export interface NativeBlas {
  /** Which library, its version and the kernels it picked, for people. */
  readonly name: string;
  /** `cblas_sgemm`; matrices are addresses in this process. */
  readonly sgemm: (
    order: number,
    transposeA: number,
    transposeB: number,
    m: number,
    n: number,
    k: number,
    alpha: number,
    a: number,
    lda: number,
    b: number,
    ldb: number,
    beta: number,
    c: number,
    ldc: number,
  ) => void;
  /** The address of a view's first byte. */
  readonly addressOf: (view: Uint8Array) => number;
  /** Text of a JavaScript function without parameters that gives {@link NativeBlas.sgemm} in another thread. */
  readonly threadSource: string;
}

/** Threads and native libraries, as a runtime gives them. */
export interface CpuPlatform {
  /** How many threads run at the same time on this machine. */
  readonly hardwareConcurrency: number;
  /** Whether this thread may sleep in `Atomics.wait`; the main thread of a page may not. */
  readonly canBlock: boolean;
  /** Bytes of memory of the machine, where that is known. */
  readonly totalMemory?: number;
  /**
   * Starts a thread that evaluates `source`, the text of one JavaScript function, and calls it with `data` (which is
   * cloned; a shared `WebAssembly.Memory` in it stays shared). The function may return only when the thread is no
   * longer needed. The thread must not keep the program alive. `onError` hears why it could not start or has died, `onEnd`
   * that it has ended, or is about to, by anything else than {@link CpuWorker.terminate}.
   */
  spawnWorker?(
    source: string,
    data: unknown,
    onError: (error: unknown) => void,
    onEnd: () => void,
  ): CpuWorker;
  /** Milliseconds that all threads of this process have spent on processors; without it no thread is ever taken for lost. */
  processorTime?(): number | undefined;
  /** Opens a BLAS, or says why there is none. Asked once, when a product is first large enough for it. */
  openBlas?(): NativeBlas | string;
}
