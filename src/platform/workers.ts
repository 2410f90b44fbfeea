/**
 * Threads from text.
 *
 * The source is inline: there is no file to find after bundling, publishing or compiling, and Deno asks for no
 * permission to read one. Deno, Bun and Node all start it with `node:worker_threads`, a browser from a Blob. (Deno's
 * own `Worker` starts sooner, but a program cannot end while one of them sleeps.)
 *
 * @module
 */
import type { WorkerModule } from "./builtin_modules.ts";
import { builtinModule } from "./runtime.ts";

/** A thread that was started. */
export interface WorkerThread {
  /** Sends a value, which is cloned; shared memory in it stays shared, what is in `transfer` moves. */
  postMessage(message: unknown, transfer?: ArrayBuffer[]): void;
  /** Hears what the thread sends; a second call replaces the first. */
  onMessage(listener: (message: unknown) => void): void;
  /** Ends the thread at once, even one that sleeps. */
  terminate(): void;
  /** Lets the program end while the thread runs, which is so from the start. */
  unref(): void;
  /** Keeps the program alive while the thread runs. */
  ref(): void;
}

/** How a function in a worker talks to the thread that started it: its second argument. */
export interface WorkerPort {
  /** Sends a value to the thread that started this one. */
  postMessage(message: unknown, transfer?: ArrayBuffer[]): void;
  /** Hears what that thread sends; a second call replaces the first. */
  onMessage(listener: (message: unknown) => void): void;
}

/**
 * Starts a thread that evaluates `source`, the text of one JavaScript function, and calls it with `data` and a
 * {@link WorkerPort}.
 *
 * `data` is cloned; a shared `WebAssembly.Memory` in it stays shared, a compiled `WebAssembly.Module` is not
 * compiled again. The thread begins while the caller goes on, without waiting for the caller's event loop, and
 * does not keep the program alive, not even while it sleeps in `Atomics.wait` or `memory.atomic.wait32`.
 *
 * @param onError hears why the thread could not start, or what it threw. Without it that is ignored.
 * @param onEnd hears, once, that the thread has ended, or that something else than the `terminate` of what is given here
 * is about to end it. (A thread in a browser that closes itself ends unheard.)
 */
export function spawnWorker(
  source: string,
  data: unknown,
  onError: (error: unknown) => void = () => {},
  onEnd: () => void = () => {},
): WorkerThread {
  const threads = builtinModule("node:worker_threads");
  let isOver = false;
  const over = (isHeard: boolean): void => {
    if (!isOver && isHeard) onEnd();
    isOver = true;
  };
  return threads === undefined
    ? spawnInBrowser(source, data, onError, over)
    : spawnThread(threads, source, data, onError, over);
}

/** Says so when `worker` is ended through itself, and gives what ends it without a word. */
function heardTerminate<T>(worker: { terminate: () => T }, over: (isHeard: boolean) => void): () => T {
  const own = worker.terminate.bind(worker);
  worker.terminate = () => {
    over(true);
    return own();
  };
  return () => {
    over(false);
    return own();
  };
}

function spawnThread(
  { Worker }: WorkerModule,
  source: string,
  data: unknown,
  onError: (error: unknown) => void,
  over: (isHeard: boolean) => void,
): WorkerThread {
  // A block keeps these names out of reach of `source`, and apart from what runtimes declare around it.
  const text = `{
    const { parentPort, workerData } = require("node:worker_threads");
    let listening = () => {};
    (${source}\n)(workerData, {
      postMessage: (message, transfer) => parentPort.postMessage(message, transfer),
      onMessage: (listener) => {
        parentPort.off("message", listening);
        parentPort.on("message", listening = listener);
      },
    });
  }`;
  const worker = new Worker(text, { eval: true, workerData: data });
  let listening: ((message: unknown) => void) | undefined;
  const terminate = heardTerminate(worker, over);
  worker.on("error", onError);
  worker.on("exit", () => over(true));
  worker.unref();
  return {
    postMessage: (message, transfer) => worker.postMessage(message, transfer),
    onMessage(listener) {
      if (listening !== undefined) worker.off("message", listening);
      worker.on("message", listening = listener);
    },
    // The promise of the exit code is of no interest, and its failure could only be reported as unhandled.
    terminate: () => void terminate().catch(() => {}),
    unref: () => worker.unref(),
    ref: () => worker.ref(),
  };
}

function spawnInBrowser(
  source: string,
  data: unknown,
  onError: (error: unknown) => void,
  over: (isHeard: boolean) => void,
): WorkerThread {
  const text = `onmessage = ({ data }) => {
    onmessage = null;
    (${source}\n)(data, {
      postMessage: (message, transfer) => postMessage(message, transfer),
      onMessage: (listener) => { onmessage = (event) => listener(event.data); },
    });
  };`;
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const worker = new Worker(url, { type: "module" }), terminate = heardTerminate(worker, over);
  worker.onerror = (event) => {
    event.preventDefault?.();
    onError(event.error ?? new Error(event.message || "a worker could not be started"));
  };
  worker.onmessageerror = () => onError(new Error("a message to a worker could not be cloned"));
  worker.postMessage(data);
  URL.revokeObjectURL(url);
  return {
    postMessage: (message, transfer) => worker.postMessage(message, transfer ?? []),
    onMessage(listener) {
      worker.onmessage = (event) => listener(event.data);
    },
    terminate,
    unref: () => {},
    ref: () => {},
  };
}
