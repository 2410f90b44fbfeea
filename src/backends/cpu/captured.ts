/**
 * Work captured once and done again in one call: which kernels ran, with which arguments, on how many items.
 *
 * A step that always asks for the same operations on the same memory (a decoding step) spends as long in JavaScript as in
 * small kernels: shapes are checked, tensors made, arguments written. What is captured keeps the arguments of every job in memory
 * of its own, and the pool walks down the list without JavaScript in between.
 *
 * Memory that was taken and given back meanwhile stays with what was captured, so that nobody else writes there. What an
 * operation reads is the caller's affair: it must stay where it is, and may change in value only.
 *
 * @module
 */
import type { Captured } from "../contract.ts";
import type { Engine, Kernel } from "./engine.ts";
import type { Heap } from "./heap.ts";

/** Words of a job in the list that `pool_code.ts` walks down: kernel, arguments, items, items a piece, pieces. */
export const jobWords = 8;

// What no argument is: a NaN that no operation makes.
const unused = 0x7fa5c3e1;

/** How a job is cut for the threads there are: items a piece, and pieces. */
export interface Cut {
  /** Items of a piece. */
  piece: number;
  /** How many pieces. */
  pieces: number;
}

interface Job {
  readonly kernel: Kernel;
  readonly total: number;
  readonly grain: number;
  readonly words: Uint32Array;
}

/** What looks at a job's arguments when it was done again. */
interface Look {
  readonly job: number;
  readonly look: (args: number) => void;
}

/** Hands out memory during a capture, and keeps what is given back: the same sizes get the same places again. */
export class Arena {
  readonly #heap: Heap;
  readonly #live = new Map<number, number>(); // bytes by address
  readonly #free = new Map<number, number[]>(); // addresses by bytes

  /** Takes from `heap`. */
  constructor(heap: Heap) {
    this.#heap = heap;
  }

  /** Memory of so many bytes. */
  allocate(bytes: number): number {
    const pointer = this.#free.get(bytes)?.pop() ?? this.#heap.reserve(bytes);
    this.#live.set(pointer, bytes);
    return pointer;
  }

  /** Takes `pointer` back, if it is one of its own. */
  takes(pointer: number): boolean {
    const bytes = this.#live.get(pointer);
    if (bytes === undefined) return false;
    this.#live.delete(pointer);
    const free = this.#free.get(bytes);
    if (free) free.push(pointer);
    else this.#free.set(bytes, [pointer]);
    return true;
  }

  /** The addresses that were given back. */
  get blocks(): number[] {
    return [...this.#free.values()].flat();
  }
}

/** Listens to an engine while it works. */
export class Listener {
  /** What it memorised. */
  readonly jobs: Job[] = [];
  /** What looks at their arguments afterwards. */
  readonly looks: Look[] = [];
  /** Whether something was done that cannot be done again. */
  failed = false;

  readonly #engine: Engine;

  /** From now on the unused end of the argument block can be told. */
  constructor(engine: Engine) {
    this.#engine = engine;
    engine.u32.fill(unused, engine.args >>> 2, engine.argsEnd >>> 2);
  }

  /** A job, with the arguments as they are now. */
  add(kernel: Kernel, total: number, grain: number, args: number): void {
    const { u32, argsEnd } = this.#engine, start = args >>> 2;
    let end = argsEnd >>> 2;
    while (end > start && u32[end - 1] === unused) end--;
    this.jobs.push({ kernel, total, grain, words: u32.slice(start, end) });
  }
}

/** Jobs that an engine does again; see the module's comment. */
export class CapturedJobs implements Captured {
  readonly #engine: Engine;
  readonly #jobs: readonly Job[];
  readonly #looks: readonly Look[];
  readonly #blocks: number[];
  readonly #epoch: number;
  readonly #list: number;
  #threads = 0;

  /** Takes over `blocks` of memory. */
  constructor(engine: Engine, jobs: readonly Job[], looks: readonly Look[], blocks: readonly number[]) {
    this.#engine = engine;
    this.#jobs = jobs;
    this.#looks = looks;
    this.#epoch = engine.epoch;
    const { heap } = engine, room = (bytes: number): number => 64 * Math.ceil(bytes / 64);
    const listBytes = room(4 * jobWords * jobs.length);
    const list = heap.reserve(jobs.reduce((sum, { words }) => sum + room(4 * words.length), listBytes));
    this.#list = list;
    this.#blocks = [...blocks, list];
    const { u32 } = heap;
    let at = list + listBytes;
    jobs.forEach(({ kernel, words, total }, i) => {
      u32.set(words, at >>> 2);
      const job = (list >>> 2) + jobWords * i;
      u32[job] = kernel.index;
      u32[job + 1] = at;
      u32[job + 2] = total;
      at += room(4 * words.length);
    });
  }

  /** See {@link Captured.replay}. */
  replay(): boolean {
    const engine = this.#engine;
    if (this.#blocks.length === 0 || engine.epoch !== this.#epoch) return false;
    const threads = engine.wake();
    if (threads !== this.#threads) this.#cut(threads);
    engine.replay(this.#list, this.#jobs.length);
    const { u32 } = engine;
    for (const { job, look } of this.#looks) look(u32[(this.#list >>> 2) + jobWords * job + 1]);
    return true;
  }

  #cut(threads: number): void {
    const { u32 } = this.#engine;
    this.#threads = threads;
    this.#jobs.forEach(({ total, grain }, i) => {
      const { piece, pieces } = cut(total, grain, threads), job = (this.#list >>> 2) + jobWords * i;
      u32[job + 3] = piece;
      u32[job + 4] = pieces;
    });
  }

  /** See {@link Captured.dispose}. */
  dispose(): void {
    for (const block of this.#blocks.splice(0)) this.#engine.heap.release(block);
  }
}

// Jobs of at least this many pieces a thread are cut finer, so that a thread that falls behind does less of them.
const finePieces = 4;

const whole: Cut = { piece: 0, pieces: 0 };

/** Cuts `total` items into pieces of at least `grain` for so many threads. The answer is good until the next call. */
export function cut(total: number, grain: number, threads: number): Readonly<Cut> {
  whole.piece = total;
  whole.pieces = 1;
  if (threads === 1 || total < 2 * grain) return whole;
  const most = Math.floor(total / grain);
  const wanted = most >= finePieces * threads ? finePieces * threads : Math.min(most, threads);
  whole.piece = Math.ceil(total / wanted);
  whole.pieces = Math.ceil(total / whole.piece);
  return whole;
}
