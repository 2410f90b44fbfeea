/**
 * How fast this machine reads memory at most: the C library's `memchr`, which looks with the widest vectors for a byte that is
 * nowhere, on memory in huge pages, on as many threads as the device has. What an engine reads is worth something beside it.
 *
 * @module
 */
import { adviseHugePages, openLibrary, spawnWorker, type WorkerThread } from "../src/platform/platform.ts";

const area = 256 << 20;

/** What the threads share, in words: the round that is due, threads that are done with it, threads that are there. */
const words = { round: 0, done: 1, ready: 2 } as const;

/** Reads natively, on threads of its own. */
export class NativeRead {
  /** Why there is none; null where there is. */
  readonly reason: string | null;
  readonly #threads: number;
  readonly #workers: WorkerThread[] = [];
  readonly #shared = new Int32Array(new SharedArrayBuffer(64));
  readonly #read: (() => void) | null = null;
  readonly #keep: Uint8Array[] = []; // what the threads read

  /** Takes 256 MiB a thread where it can be done. */
  constructor(threads: number) {
    this.#threads = threads;
    const { library, reason } = openLibrary(["libc.so.6"], {
      memchr: { parameters: ["address", "i32", "i64"], result: "address" },
    });
    this.reason = reason;
    if (!library) return;
    const addresses = Array.from({ length: threads }, () => {
      const memory = new WebAssembly.Memory({ initial: area / 65536, maximum: area / 65536, shared: true });
      const bytes = new Uint8Array(memory.buffer);
      adviseHugePages(bytes);
      bytes.fill(1);
      this.#keep.push(bytes);
      return library.addressOf(bytes);
    });
    this.#read = () => void library.functions.memchr(addresses[0], 255, area);
    const source = `(({ shared, address }) => {
      const memchr = (${library.functionSource("memchr")})();
      Atomics.add(shared, ${words.ready}, 1);
      for (let round = 0;;) {
        Atomics.wait(shared, ${words.round}, round);
        round = Atomics.load(shared, ${words.round});
        memchr(address, 255, ${area});
        Atomics.add(shared, ${words.done}, 1);
      }
    })`;
    for (const address of addresses.slice(1)) {
      this.#workers.push(spawnWorker(source, { shared: this.#shared, address }, () => {}, () => {}));
    }
  }

  /** Waits until the threads have started. */
  async ready(): Promise<void> {
    while (Atomics.load(this.#shared, words.ready) < this.#workers.length) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Bytes a second. */
  measure(): number {
    const shared = this.#shared, others = this.#workers.length;
    Atomics.store(shared, words.done, 0);
    const start = performance.now();
    Atomics.add(shared, words.round, 1);
    Atomics.notify(shared, words.round);
    this.#read!();
    while (Atomics.load(shared, words.done) < others);
    return this.#threads * area / (performance.now() - start) * 1e3;
  }

  /** Ends the threads. */
  dispose(): void {
    for (const worker of this.#workers) worker.terminate();
  }
}
