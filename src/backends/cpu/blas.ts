/**
 * A BLAS that the runtime opened, at work on the heap itself: nothing is copied.
 *
 * The library computes on one thread; it is this device's pool that cuts a product into blocks and has every thread
 * call it. So there is one set of threads (two that spin for work would take the processors from each other), a
 * block costs 0.1 µs to hand out, and the blocks depend on sizes alone: the thread count does not change a result.
 *
 * The library is opened with the first product that is worth it. Each worker opens it for itself then, from the
 * text of a function that the main thread leaves in the heap. Which products go this way is decided in
 * `kernels/native_matmul.ts`.
 *
 * @module
 */
import type { Heap } from "./heap.ts";
import type { CpuPlatform, NativeBlas } from "./platform.ts";
import { libraryAt } from "./pool_code.ts";

/** `sgemm(transposeA, transposeB, m, n, k, a, lda, b, ldb, c, ldc)` on addresses of the heap; 0 where it cannot be called. */
export type HeapSgemm = (
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
) => number;

const rowMajor = 101, plain = 111; // of cblas.h; transposed is one more

/** The BLAS of one engine. */
export class Blas {
  /** C = A · B in one thread; the import of kernels that want it. Row-major. */
  readonly sgemm: HeapSgemm;
  /** Whether it may be used at present; a bench looks at both ways. */
  enabled = true;

  #heap: Heap;
  #open: (() => NativeBlas | string) | undefined;
  #native: NativeBlas | null = null;
  #problem: string | null = null;
  #bytes: Uint8Array = new Uint8Array(0);
  #base = 0;

  /** Opens nothing yet. */
  constructor(heap: Heap, platform: CpuPlatform | undefined) {
    this.#heap = heap;
    this.#open = platform?.openBlas?.bind(platform);
    if (!this.#open) this.#problem = "no way to open native libraries was given";
    this.sgemm = (transposeA, transposeB, m, n, k, a, lda, b, ldb, c, ldc) => {
      const native = this.#native;
      if (!native) return 0;
      // Memory that is not shared may move when it grows.
      if (heap.u8 !== this.#bytes) this.#base = native.addressOf(this.#bytes = heap.u8);
      const base = this.#base;
      native.sgemm(
        rowMajor,
        plain + transposeA,
        plain + transposeB,
        m,
        n,
        k,
        1,
        base + (a >>> 0),
        lda,
        base + (b >>> 0),
        ldb,
        0,
        base + (c >>> 0),
        ldc,
      );
      return 1;
    };
  }

  /** Whether there is one; the first question opens it. */
  get available(): boolean {
    if (this.#open && !this.#native && this.#problem === null) {
      const found = this.#open();
      if (typeof found === "string") this.#problem = found;
      else {
        this.#native = found;
        this.#publish(found);
      }
    }
    return this.#native !== null && this.enabled;
  }

  /** What was opened, for people; null where there is none. */
  get name(): string | null {
    return this.available ? this.#native!.name : null;
  }

  /** Why there is none; null where there is. */
  get problem(): string | null {
    return this.available ? null : this.#problem ?? "it was switched off";
  }

  /** Goes on without. */
  disable(reason: string): void {
    this.#native = null;
    this.#problem = reason;
  }

  /** Leaves in the heap what a worker needs: the base address (f64), the length of the text, the text. */
  #publish({ threadSource, addressOf }: NativeBlas): void {
    const heap = this.#heap;
    if (!heap.shared) return;
    const text = new TextEncoder().encode(threadSource);
    const at = heap.reserve(16 + text.length);
    heap.u8.set(text, at + 16);
    heap.f64[at / 8] = addressOf(heap.u8);
    heap.u32[at / 4 + 2] = text.length;
    Atomics.store(heap.i32, libraryAt >> 2, at | 0);
  }
}

/**
 * For the source of a worker thread (`worker.ts`), where `memory` is known: `sgemm`, as {@link Blas.sgemm} but opening the library in this thread when it is first called.
 */
export const workerSgemmSource: string = `(() => {
    let base = 0, call;
    const open = () => {
      memory.grow(0); // renews the buffer if the memory has grown elsewhere
      const at = Atomics.load(new Int32Array(memory.buffer), ${libraryAt >> 2}) >>> 0;
      if (at === 0) return null;
      base = new Float64Array(memory.buffer, at, 1)[0];
      const text = new Uint8Array(memory.buffer, at + 16, new Uint32Array(memory.buffer, at + 8, 1)[0]).slice();
      try {
        return (0, eval)(new TextDecoder().decode(text))();
      } catch {
        return null;
      }
    };
    return (ta, tb, m, n, k, a, lda, b, ldb, c, ldc) => {
      if (call === undefined) call = open();
      if (call === null) return 0;
      call(${rowMajor}, ${plain} + ta, ${plain} + tb, m, n, k, 1,
        base + (a >>> 0), lda, base + (b >>> 0), ldb, 0, base + (c >>> 0), ldc);
      return 1;
    };
  })()`;
