/**
 * What the cpu device needs from the runtime it runs on. `src/runtime` puts it together; without one the device
 * works on one thread.
 *
 * @module
 */
import type { Choice, Speeds } from "./choice.ts";

/** A thread that was started. */
export interface CpuWorker {
  /** Ends the thread at once. */
  terminate(): void;
}

/** C = A · B of row-major matrices at addresses in this process; each operand transposed (1) or as it lies (0). */
export type NativeProduct = (
  transposeA: number,
  transposeB: number,
  m: number,
  n: number,
  k: number,
  a: number,
  lda: number,
  b: number,
  ldb: number,
  c: number,
  ldc: number,
) => void;

/** A library that multiplies matrices, as a runtime opened it. It must compute on the calling thread alone. */
export interface NativeBlas {
  /** Which library, in a word. */
  readonly title: string;
  /** Which library, its version, the kernels it picked and where it lies, for people. */
  readonly name: string;
  /** The product of f32 matrices. */
  readonly sgemm: NativeProduct;
  /**
   * The product of bf16 matrices, in f32, where k is a multiple of 32 (what is left over of other sums may become NaN beside
   * an infinity); null where the library or the processor has none that is faster.
   */
  readonly bgemm: NativeProduct | null;
  /** The address of a view's first byte. */
  readonly addressOf: (view: Uint8Array) => number;
  /** Text of a JavaScript function without parameters that gives `{ sgemm, bgemm }` in another thread. */
  readonly threadSource: string;
}

/** Libraries of which the fastest is to be found by measurement, and the memory of what was found before. */
export interface BlasCandidates {
  /** What was chosen on this machine before; null when nothing is known. */
  recall(): Remembered | null;
  /** Opens the libraries that there are. */
  open(): readonly NativeBlas[];
  /** Keeps a choice for the next time, where it may. */
  remember(choice: Choice, table: readonly Speeds[]): void;
}

/** A choice that was made before. */
export interface Remembered {
  /** What was chosen, and by what. */
  readonly choice: Choice;
  /** The speeds measured then. */
  readonly table: readonly Speeds[];
  /** The library; null when none was chosen. */
  readonly library: NativeBlas | null;
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
  /**
   * A library to use as it is, libraries to choose from, or why there is none. Asked once, when a product is first large
   * enough for one.
   */
  openBlas?(): NativeBlas | BlasCandidates | string;
  /** Asks for huge pages for memory that grew, and gives why nothing came of it, or null. */
  adviseHugePages?(memory: Uint8Array): string | null;
}
