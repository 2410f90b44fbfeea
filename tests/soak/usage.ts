/**
 * What a process holds: device memory, descriptors, threads of its own, and memory as the system sees it.
 *
 * Import this before the library: threads are counted by the class that starts them.
 *
 * @module
 */
import { readdirSync } from "node:fs";
import process from "node:process";
import { collector } from "../_collection.ts";
import { memory } from "../../mod.ts";

let workers = 0, started = 0;

// The library takes the class from here each time it starts a thread.
const threads = process.getBuiltinModule("node:worker_threads");
const { Worker } = threads;
threads.Worker = class extends Worker {
  constructor(...args: ConstructorParameters<typeof Worker>) {
    super(...args);
    workers++;
    started++;
    this.once("exit", () => workers--);
  }
};

/** What is held at a moment. */
export interface Usage {
  /** Live buffers of all devices. */
  readonly buffers: number;
  /** Their bytes. */
  readonly bytes: number;
  /** Open descriptors; null where the system does not tell. */
  readonly descriptors: number | null;
  /** Threads that the library started and that have not ended. */
  readonly workers: number;
  /** Bytes of JavaScript's heap. */
  readonly heap: number;
  /** Bytes that the system gave the process. */
  readonly resident: number;
}

/** Threads that the library started so far. */
export function workersStarted(): number {
  return started;
}

const collect = collector();

/** What is held now, after a collection where the runtime lets a program ask for one. */
export function usage(): Usage {
  collect?.();
  let descriptors: number | null = null;
  try {
    // One of them reads the folder.
    descriptors = readdirSync("/proc/self/fd").length - 1;
  } catch {
    // Not Linux.
  }
  const devices = Object.values(memory()), { heapUsed, rss } = process.memoryUsage();
  const sum = (of: "bytes" | "buffers"): number => devices.reduce((all, device) => all + device[of], 0);
  return {
    buffers: sum("buffers"),
    bytes: sum("bytes"),
    descriptors,
    workers,
    heap: heapUsed,
    resident: rss,
  };
}
