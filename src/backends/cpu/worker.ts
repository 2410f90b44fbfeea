/**
 * What a worker thread of the pool does, as the text of a JavaScript function: it compiles kernels and otherwise
 * stays in the `work` loop of `pool_code.ts`, in WebAssembly, where it spins and sleeps.
 *
 * It is text because a thread starts from text everywhere: no file to find, nothing for a bundler to miss. Kernels
 * arrive through the shared memory as a list of modules, so a worker needs no messages (and reads none: it never
 * returns to its event loop).
 *
 * @module
 */
import { workerProductsSource } from "./blas.ts";
import { deskWords, failedAt, finishedAt, kernelsAt, publishedAt, states } from "./pool_code.ts";

/** What {@link workerSource} is called with. */
export interface WorkerData {
  /** The device's memory, shared. */
  readonly memory: WebAssembly.Memory;
  /** The module of `pool_code.ts`. */
  readonly code: Uint8Array;
  /** Address of this thread's desk, see `pool_code.ts`. */
  readonly desk: number;
  /** Address of this thread's scratch memory. */
  readonly scratch: number;
}

/** Text of the function that a worker thread runs with its {@link WorkerData}. */
export const workerSource: string = `(data) => {
  const { memory, desk } = data;
  const table = new WebAssembly.Table({ initial: 256, element: "anyfunc" });
  let words = new Int32Array(memory.buffer);
  const env = {
    memory,
    table,
    scratch: new WebAssembly.Global({ value: "i32", mutable: false }, data.scratch | 0),
    now: () => performance.now(),
    lost: () => 0, // asked by who joins, which no worker does
    ...${workerProductsSource},
  };
  const { work } = new WebAssembly.Instance(new WebAssembly.Module(data.code), { env }).exports;
  let known = 0, link = ${kernelsAt};
  const compile = () => {
    memory.grow(0); // the memory may have grown elsewhere; this renews the buffer
    words = new Int32Array(memory.buffer);
    for (const published = Atomics.load(words, ${publishedAt >> 2}); known < published; known++) {
      const node = words[link >>> 2] >>> 0;
      const bytes = new Uint8Array(memory.buffer, node + 8, words[(node >>> 2) + 1]).slice();
      if (known === table.length) table.grow(table.length);
      table.set(known, new WebAssembly.Instance(new WebAssembly.Module(bytes), { env }).exports.run);
      link = node;
    }
  };
  const word = (k) => (desk >>> 2) + k;
  Atomics.compareExchange(words, word(${deskWords.state}), ${states.no}, ${states.yes});
  try {
    for (;;) {
      compile();
      let again = 1;
      try {
        again = work(desk, known);
      } catch (error) {
        if (Atomics.load(words, word(${deskWords.busy})) === 0) throw error;
        // A trap in a kernel: the piece counts as finished, or everybody would wait for it. Unless this thread was given up.
        if (Atomics.load(words, word(${deskWords.stop})) !== 0) return;
        Atomics.store(words, ${failedAt >> 2}, 1);
        Atomics.add(words, ${finishedAt >> 2}, 1);
        Atomics.store(words, word(${deskWords.busy}), 0);
        Atomics.notify(words, ${finishedAt >> 2});
      }
      if (again === 0) return;
    }
  } finally {
    Atomics.store(words, word(${deskWords.state}), ${states.over});
    Atomics.notify(words, word(${deskWords.state}));
  }
}`;
