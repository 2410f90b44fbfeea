/**
 * The threads of the cpu device: starts them when the first job is worth it, hands out jobs, and goes on alone
 * where there are none. How a job travels is written in `pool_code.ts`; the threads' side is `worker.ts`.
 *
 * The calling thread is thread 0 and works on every job itself. Workers start in the background, compile by
 * themselves what was published, and may come late or never: a job needs none of them. One that ends, by whatever hand,
 * is replaced the next time; a job that waits for a piece which went with it is given up.
 *
 * @module
 */
import { DeviceError } from "../../core/errors.ts";
import type { Heap } from "./heap.ts";
import type { CpuPlatform, CpuWorker } from "./platform.ts";
import {
  claimAt,
  deskBytes,
  deskWords,
  epochAt,
  failedAt,
  finishedAt,
  kernelsAt,
  longSleep,
  outcomes,
  poolCode,
  publishedAt,
  sleepersAt,
  states,
} from "./pool_code.ts";
import { type WorkerData, workerSource } from "./worker.ts";

interface PoolExports {
  dispatch(
    kernel: number,
    args: number,
    total: number,
    piece: number,
    pieces: number,
    canBlock: number,
  ): number;
  replay(list: number, count: number, canBlock: number): number;
  abandon(canBlock: number): number;
}

/** After so many threads that ended by themselves the engine goes on alone. */
const mostLosses = 64;

/**
 * A piece is lost when the joining thread has slept so often for it, with the process as good as idle: sleeps are counted, not
 * time, for a process that was stopped has not been idle.
 */
const lostSleeps = 3000 / longSleep;
const idleShare = 0.005;

/** A worker and what it has to itself. */
interface Member {
  readonly worker: CpuWorker;
  /** Address of its desk. */
  readonly desk: number;
  /** Address of its scratch memory. */
  readonly scratch: number;
}

/** The threads of one engine. The heap is shared. */
export class Pool {
  /** Why there are fewer threads than wanted, or null. */
  problem: string | null = null;

  #heap: Heap;
  #platform: CpuPlatform;
  #scratchBytes: number;
  #table: WebAssembly.Table;
  #code: Uint8Array<ArrayBuffer>;
  #exports: PoolExports;
  #members: Member[] = [];
  #scratch: number[] = []; // addresses of those that ended
  #desks: number[] = []; // likewise
  #losses = 0;
  /** What {@link Pool.#isLost} saw when it was last asked about another piece, and how often it was asked since. */
  #waiting = { claim: 0, epoch: 0, finished: 0, sleeps: 0, used: 0 as number | undefined };
  #threads = 1;
  #lastLink = kernelsAt;
  #published = 0;
  #canBlock: number;

  /** A pool over `heap` whose workers have not started; `scratchBytes` is what each thread has to itself. */
  constructor(heap: Heap, platform: CpuPlatform, env: WebAssembly.ModuleImports, scratchBytes: number) {
    this.#heap = heap;
    this.#platform = platform;
    this.#scratchBytes = scratchBytes;
    this.#canBlock = platform.canBlock ? 1 : 0;
    this.#table = new WebAssembly.Table({ initial: 256, element: "anyfunc" });
    this.#code = poolCode(heap.shared);
    const lost = (): number => Number(this.#isLost());
    const imports = { env: { ...env, table: this.#table, now: () => performance.now(), lost } };
    const instance = new WebAssembly.Instance(new WebAssembly.Module(this.#code), imports);
    this.#exports = instance.exports as unknown as PoolExports;
  }

  /** Threads wanted, this one included. */
  get threads(): number {
    return this.#threads;
  }

  set threads(count: number) {
    this.#threads = count;
    if (count - 1 < this.#members.length) this.#stop(count - 1);
  }

  /** Workers that take part at present. */
  get ready(): number {
    const { i32 } = this.#heap;
    let count = 0;
    for (const { desk } of this.#members) {
      if (Atomics.load(i32, (desk >>> 2) + deskWords.state) === states.yes) count++;
    }
    return count;
  }

  /** Makes a kernel known to every thread; kernels come in the order of their index. */
  publish(module: Uint8Array, run: CallableFunction): void {
    const node = this.#heap.reserve(8 + module.length);
    this.#heap.u8.set(module, node + 8);
    const words = this.#heap.i32;
    words[node >>> 2] = 0;
    words[(node >>> 2) + 1] = module.length;
    words[this.#lastLink >>> 2] = node;
    this.#lastLink = node;
    if (this.#published === this.#table.length) this.#table.grow(this.#published);
    this.#table.set(this.#published, run);
    this.#published++;
    Atomics.store(words, publishedAt >> 2, this.#published);
  }

  /** Starts the workers that are missing; returns at once. */
  start(): void {
    while (this.#members.length < this.#threads - 1 && this.problem === null) {
      const desk = this.#desks.pop() ?? this.#heap.reserve(deskBytes);
      const scratch = this.#scratch.pop() ?? this.#heap.reserve(this.#scratchBytes);
      this.#heap.u8.fill(0, desk, desk + deskBytes);
      const data: WorkerData = { memory: this.#heap.memory, code: this.#code, desk, scratch };
      const onError = (error: unknown): void => {
        this.problem ??= `a worker failed: ${error instanceof Error ? error.message : String(error)}`;
      };
      try {
        const worker = this.#platform.spawnWorker!(
          workerSource,
          data,
          onError,
          () => this.#ended(desk),
        );
        this.#members.push({ worker, desk, scratch });
      } catch (error) {
        this.#desks.push(desk);
        this.#scratch.push(scratch);
        onError(error);
      }
    }
  }

  /** Does items 0..total of kernel number `index` in `pieces` pieces of `piece` items. */
  run(index: number, args: number, total: number, piece: number, pieces: number): void {
    let outcome: number;
    try {
      outcome = this.#exports.dispatch(index, args, total, piece, pieces, this.#canBlock);
    } catch (error) {
      throw this.#abandon(error);
    }
    if (outcome !== outcomes.done) this.#fail(outcome);
  }

  /** Does the `count` jobs of a list, one after the other. */
  replay(list: number, count: number): void {
    let outcome: number;
    try {
      outcome = this.#exports.replay(list, count, this.#canBlock);
    } catch (error) {
      throw this.#abandon(error);
    }
    if (outcome !== outcomes.done) this.#fail(outcome);
  }

  /** After a trap on this thread: waits for the others, and gives the error back. */
  #abandon(error: unknown): unknown {
    if (this.#exports.abandon(this.#canBlock) === outcomes.lost) this.#giveUp();
    Atomics.store(this.#heap.i32, failedAt >> 2, 0);
    return error;
  }

  #fail(outcome: number): never {
    Atomics.store(this.#heap.i32, failedAt >> 2, 0);
    if (outcome === outcomes.trapped) {
      throw new DeviceError(
        "cpu: a kernel trapped in a worker thread; its arguments point outside the memory",
      );
    }
    this.#giveUp();
    throw new DeviceError(
      "cpu: a worker thread ended in the middle of a job, whose result is lost; another takes its place from the next on",
    );
  }

  /** Whether the piece that is waited for will never be finished; asked after each long sleep. */
  #isLost(): boolean {
    const { i32 } = this.#heap, last = this.#waiting;
    const [claim, epoch, finished] = [claimAt, epochAt, finishedAt].map((at) => Atomics.load(i32, at >> 2));
    const used = this.#platform.processorTime?.();
    if (claim !== last.claim || epoch !== last.epoch || finished !== last.finished) {
      this.#waiting = { claim, epoch, finished, sleeps: 0, used };
      return false;
    }
    if (++last.sleeps < lostSleeps || used === undefined || last.used === undefined) return false;
    if (used - last.used < idleShare * lostSleeps * longSleep) return true;
    Object.assign(last, { sleeps: 0, used });
    return false;
  }

  /** Ends the workers that a lost piece can have gone with. */
  #giveUp(): void {
    const { i32 } = this.#heap;
    const isBusy = ({ desk }: Member): boolean => Atomics.load(i32, (desk >>> 2) + deskWords.busy) === 1;
    const busy = this.#members.filter(isBusy);
    // Should it be alive after all it is asked to leave, and what it still finishes counts no more.
    for (const member of busy.length ? busy : [...this.#members]) {
      this.#remove(member);
      member.worker.terminate();
      this.#count();
    }
  }

  /** A worker ended by another hand. */
  #ended(desk: number): void {
    const member = this.#members.find((one) => one.desk === desk);
    if (!member) return;
    this.#remove(member);
    this.#count();
  }

  #count(): void {
    if (++this.#losses < mostLosses) return;
    this.problem ??= `${this.#losses} worker threads ended without being asked to; no more are started`;
  }

  /** Takes a worker off the list. It claims nothing any more; what it had is used again where it cannot touch it. */
  #remove(member: Member): void {
    const { i32 } = this.#heap, { desk, scratch } = member, word = desk >>> 2;
    this.#members.splice(this.#members.indexOf(member), 1);
    Atomics.store(i32, word + deskWords.stop, 1);
    if (Atomics.compareExchange(i32, word + deskWords.asleep, 1, 0) === 1) {
      Atomics.sub(i32, sleepersAt >> 2, 1);
    }
    if (Atomics.load(i32, word + deskWords.busy) === 0) this.#scratch.push(scratch);
    if (Atomics.load(i32, word + deskWords.state) === states.over) this.#desks.push(desk);
  }

  /** Ends the workers from number `keep` on. */
  #stop(keep: number): void {
    const { i32 } = this.#heap, sleeps = this.#canBlock === 1, leaving = this.#members.slice(keep);
    for (const { desk } of leaving) Atomics.store(i32, (desk >>> 2) + deskWords.stop, 1);
    // An empty job wakes the sleepers.
    this.#exports.dispatch(0, 0, 0, 0, 0, 0);
    // A thread that may sleep leaves them the processor meanwhile.
    const deadline = performance.now() + (sleeps ? 500 : 20);
    for (const member of leaving) {
      const state = (member.desk >>> 2) + deskWords.state;
      while (Atomics.load(i32, state) === states.yes && performance.now() < deadline) {
        if (sleeps) Atomics.wait(i32, state, states.yes, 10);
      }
      member.worker.terminate();
      this.#remove(member);
    }
  }
}
