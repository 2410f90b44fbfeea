/**
 * A native library that multiplies, at work on the heap itself: nothing is copied.
 *
 * The library computes on one thread; it is this device's pool that cuts a product into blocks and has every thread
 * call it. So there is one set of threads (two that spin for work would take the processors from each other), a
 * block costs 0.1 µs to hand out, and the blocks depend on sizes alone: the thread count does not change a result.
 *
 * Which library it is may have to be measured (`tune.ts`). That is due once products have taken about as long as the
 * measurement will; until then, and ever after where no library is faster, our own kernels multiply. A library is opened
 * when it is needed. Each worker opens it for itself then, from the text of a function that the main thread leaves in the
 * heap. Which products go this way is decided in `kernels/native_matmul.ts`.
 *
 * @module
 */
import { type Choice, type Reach, type Speeds, usualReach } from "./choice.ts";
import type { Heap } from "./heap.ts";
import type { BlasCandidates, CpuPlatform, NativeBlas, NativeProduct } from "./platform.ts";
import { libraryAt } from "./pool_code.ts";

/** A {@link NativeProduct} on addresses of the heap; 0 where it cannot be called. */
export type HeapProduct = (...operands: Parameters<NativeProduct>) => number;

/** After so many multiply-adds of products that a library could take, it is worth a measurement which one is fastest. */
const dueWork = 2 ** 31;

/** Likewise before what was done once is captured, to be done again and again. */
const dueCaptureWork = 2 ** 27;

const mostPostponed = 3;

/** The native library of one engine. */
export class Blas {
  /** C = A · B of f32 in one thread; the import of kernels that want it. Row-major. */
  readonly sgemm: HeapProduct;
  /** Likewise with a and b in bf16. */
  readonly bgemm: HeapProduct;
  /** Whether it may be used at present; a bench looks at both ways. */
  enabled = true;
  /** Whether it is time to find out which library is fastest; whoever can, does ({@link Blas.candidates}). */
  isDue = false;
  /** Which products it takes. */
  reach: Reach = usualReach;
  /** What was measured; empty where nothing was. */
  table: readonly Speeds[] = [];
  /** Why this library, or none, was chosen; null where nothing was measured. */
  why: string | null = null;

  #heap: Heap;
  #open: CpuPlatform["openBlas"];
  #native: NativeBlas | null = null;
  #candidates: BlasCandidates | null = null;
  #problem: string | null = null;
  #work = 0;
  #postponed = 0;
  #bytes: Uint8Array = new Uint8Array(0);
  #base = 0;

  /** Opens nothing yet. */
  constructor(heap: Heap, platform: CpuPlatform | undefined) {
    this.#heap = heap;
    this.#open = platform?.openBlas?.bind(platform);
    if (!this.#open) this.#problem = "no way to open native libraries was given";
    this.sgemm = this.#onHeap((native) => native.sgemm);
    this.bgemm = this.#onHeap((native) => native.bgemm);
  }

  #onHeap(routine: (native: NativeBlas) => NativeProduct | null): HeapProduct {
    const heap = this.#heap;
    return (transposeA, transposeB, m, n, k, a, lda, b, ldb, c, ldc) => {
      const native = this.#native, product = native && routine(native);
      if (!product) return 0;
      // Memory that is not shared may move when it grows.
      if (heap.u8 !== this.#bytes) this.#base = native.addressOf(this.#bytes = heap.u8);
      const base = this.#base;
      product(
        transposeA,
        transposeB,
        m,
        n,
        k,
        base + (a >>> 0),
        lda,
        base + (b >>> 0),
        ldb,
        base + (c >>> 0),
        ldc,
      );
      return 1;
    };
  }

  /** Whether there is one; the first question looks for it, and may leave it open until {@link Blas.isDue}. */
  get available(): boolean {
    this.#look();
    return this.#native !== null && this.enabled;
  }

  #look(): void {
    if (!this.#open) return;
    const found = this.#open();
    this.#open = undefined;
    if (typeof found === "string") this.#problem = found;
    else if (!("recall" in found)) this.#use(found);
    else {
      this.#candidates = found;
      const known = found.recall();
      if (known) this.#settle(known.choice, known.table, known.library);
    }
  }

  /** Whether it was not found out yet which library is fastest. */
  get isOpen(): boolean {
    this.#look();
    return this.#candidates !== null;
  }

  /** A product of `work` multiply-adds was done that may be for a library. */
  note(work: number): void {
    if (!this.isOpen || !this.enabled) return;
    this.#work += work;
    if (this.#work >= dueWork) this.isDue = true;
  }

  /** What was done is about to be captured: from then on it is noted no more. */
  noteCapture(): void {
    if (this.#work >= dueCaptureWork) this.isDue = this.#candidates !== null;
  }

  /** Opens the libraries, of which none is used before {@link Blas.settle}. */
  candidates(): readonly NativeBlas[] {
    return this.#candidates?.open() ?? [];
  }

  /** Has all products computed by `library`, or by none, while it is measured. On this thread alone. */
  tryOut(library: NativeBlas | null): void {
    this.#native = library;
    this.#bytes = new Uint8Array(0);
    this.reach = { leastRows: 1, leastRowsTransposed: 1, leastWork: 0, leastQuantizedRows: 1 };
  }

  /** The machine was too busy to measure anything: later once more, but not for ever. False when it is enough. */
  postpone(): boolean {
    this.isDue = false;
    this.#work = 0;
    this.#native = null;
    this.reach = usualReach;
    return this.#postponed++ < mostPostponed;
  }

  /** Ends the search. With `remember` the next process finds the choice made. */
  settle(
    choice: Choice,
    table: readonly Speeds[],
    library: NativeBlas | null,
    remember: boolean,
  ): void {
    if (remember) this.#candidates?.remember(choice, table);
    this.#settle(choice, table, library);
  }

  #settle(choice: Choice, table: readonly Speeds[], library: NativeBlas | null): void {
    const { leastRows, leastRowsTransposed, leastWork, leastQuantizedRows, why } = choice;
    this.reach = { leastRows, leastRowsTransposed, leastWork, leastQuantizedRows };
    this.table = table;
    this.why = why;
    this.#native = null;
    this.#candidates = null;
    this.isDue = false;
    if (library) this.#use(library);
    else this.#problem = why;
  }

  #use(library: NativeBlas): void {
    this.#native = library;
    this.#publish(library);
  }

  /** What was opened, for people; null where there is none. */
  get name(): string | null {
    return this.available ? this.#native!.name : null;
  }

  /** Why there is none; null where there is. */
  get problem(): string | null {
    if (this.available) return null;
    if (this.#candidates) return "nothing was multiplied yet that would be worth a measurement";
    return this.#problem ?? "it was switched off";
  }

  /** Whether it has {@link Blas.bgemm}. */
  get hasBgemm(): boolean {
    return this.#native?.bgemm != null;
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
 * For the source of a worker thread (`worker.ts`), where `memory` is known: `sgemm` and `bgemm`, as those of {@link Blas} but
 * opening the library in this thread when one is first called.
 */
export const workerProductsSource: string = `(() => {
    let base = 0, library;
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
    const product = (name) => (ta, tb, m, n, k, a, lda, b, ldb, c, ldc) => {
      if (library === undefined) library = open();
      const call = library === null ? null : library[name];
      if (!call) return 0;
      call(ta, tb, m, n, k, base + (a >>> 0), lda, base + (b >>> 0), ldb, base + (c >>> 0), ldc);
      return 1;
    };
    return { sgemm: product("sgemm"), bgemm: product("bgemm") };
  })()`;
