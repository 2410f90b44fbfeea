/**
 * MPI for a program: joined through a thread that owns it, spoken to through shared memory.
 *
 * The program posts jobs on ranges of one WebAssembly memory and goes on, or sleeps until one is done. No call of MPI is made on
 * its own thread, so none can hold it up.
 *
 * @module
 */
import { DeviceError, FerrotypeError } from "../core/errors.ts";
import { isOnAllRanks, onAllRanks } from "../core/on_all_ranks.ts";
import { counted } from "../core/show.ts";
import { watchJoin } from "./mpi_join.ts";
import { findLauncher, launcherProblem } from "./mpi_launcher.ts";
import { findMpi, type MpiLibrary, sayNow } from "./mpi_library.ts";
import { runMpiThread } from "./mpi_thread.ts";
import {
  axes,
  controlBytes,
  elements,
  jobWords,
  operations,
  reductions,
  requestAt,
  scratchBytes,
  textAt,
  textBytes,
  threadStates,
  timesAt,
  types,
  words,
} from "./mpi_words.ts";
import { globals } from "./runtime.ts";
import { hostName, processId } from "./system.ts";
import { spawnWorker } from "./workers.ts";

/** One job. Offsets are bytes in the memory. */
export interface MpiJob {
  readonly operation: Exclude<typeof operations[number], "finalize">;
  readonly type?: typeof types[number];
  readonly reduction?: typeof reductions[number];
  /** The root, or the rank at the other end. */
  readonly peer?: number;
  readonly from?: number;
  readonly to?: number;
  /** Elements; of each rank where every rank has its own. */
  readonly count?: number;
  /** What is sent is of, where that is more than its type says. */
  readonly dtype?: typeof elements[number];
  /** Its shape, which all ranks are asked for. */
  readonly shape?: readonly number[];
  /** Whether ranks are asked if they all do the same; what follows from what was asked need not be. Default true. */
  readonly isAsked?: boolean;
}

/** When a job was at work, in milliseconds since 1970. */
export interface MpiTimes {
  readonly start: number;
  readonly end: number;
}

/** How MPI is joined. */
export interface MpiOptions {
  /** The memory that jobs are about; it is shared. */
  readonly memory: WebAssembly.Memory;
  /** Seconds that another rank is waited for at least before it counts as hung. */
  readonly timeout: number;
}

/** Seconds that a rank on another host has to come to init. */
const joinPatience = 60;

/** The part of `process` that tells how it ends. */
interface Events {
  on(event: string, listener: (value: unknown) => void): void;
  off(event: string, listener: (value: unknown) => void): void;
  listenerCount(event: string): number;
}

/** A process among others. */
export class Mpi {
  /** This process, from 0. */
  readonly rank: number;
  /** How many there are. */
  readonly size: number;
  /** The hosts of all ranks. */
  readonly hosts: readonly string[];
  /** The library, as "Open MPI 4.1.4". */
  readonly library: string;
  readonly #control: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #times: Float64Array;
  #isOver = false;
  #error: Error | null = null;
  readonly #unhook: () => void;

  private constructor(library: MpiLibrary, control: SharedArrayBuffer) {
    this.#control = new Int32Array(control);
    this.#bytes = new Uint8Array(control);
    this.#times = new Float64Array(control, timesAt, 2 * words.slots);
    this.library = library.version;
    this.rank = this.#control[words.rank];
    this.size = this.#control[words.size];
    this.hosts = this.#text().split("\n");
    const me = `rank ${this.rank} on ${this.hosts[this.rank]}`,
      process = globals.process as unknown as Events;
    // MPICH takes a program that ends with status 0 and without a word for one that is done, and the others would wait.
    const onExit = (): void => {
      // What failed on all ranks was told.
      if (!this.#isOver) {
        this.abort(
          this.#error ? null : `${me} ended before distributed.destroy(); the job ends on all ranks`,
        );
      }
    };
    // Node would print what nobody catches after its exit, which does not come, and no runtime says whose it was.
    const onError = (error: unknown): void => {
      if (this.#isOver || process.listenerCount("uncaughtException") > 0) return;
      const isCommon = error instanceof Error && isOnAllRanks(error);
      if (isCommon && this.rank > 0) {
        // The first one tells, and takes the others along.
        Atomics.wait(this.#control, words.sleep, 0, 3000);
        return this.abort(null);
      }
      const text = error instanceof Error ? error.message : String(error), name = (error as Error)?.name;
      const kind = isCommon || !(error instanceof Error) || error instanceof FerrotypeError
        ? ""
        : `${name}: `;
      const told = text.includes(me) ? text : `${isCommon ? "" : `${me}: `}${kind}${text}`;
      const { stack = "" } = error instanceof Error ? error : {};
      const frames = stack.split("\n").filter((line) => /^\s+at /.test(line));
      this.abort([`${told.replaceAll(/\s*\n\s*/g, " ")}; the job ends on all ranks`, ...frames].join("\n"));
    };
    process?.on("exit", onExit);
    process?.on("uncaughtExceptionMonitor", onError);
    this.#unhook = () => {
      process?.off("exit", onExit);
      process?.off("uncaughtExceptionMonitor", onError);
    };
  }

  /**
   * Joins the others that the launcher started.
   * @throws {DeviceError} when there is no launcher, or no library that fits.
   */
  static async join({ memory, timeout }: MpiOptions): Promise<Mpi> {
    const launcher = findLauncher(), problem = launcherProblem();
    if (problem !== null || launcher === null) {
      throw new DeviceError(problem ?? "MPI: no launcher started this process");
    }
    const { library, reason } = findMpi(launcher.families);
    if (!library) {
      throw new DeviceError(
        `${launcher.name} started this as rank ${launcher.rank}, and MPI cannot be opened: ${reason}`,
      );
    }
    const control = new SharedArrayBuffer(controlBytes), scratch = new SharedArrayBuffer(scratchBytes);
    const base = (buffer: ArrayBufferLike): number => library.addressOf(new Uint8Array(buffer));
    const data = {
      memory,
      control,
      scratch,
      heapBase: base(memory.buffer),
      controlBase: base(control),
      scratchBase: base(scratch),
      abi: library.abi,
      words,
      jobWords,
      states: threadStates,
      operations,
      types,
      elements,
      reductions,
      requestAt,
      timesAt,
      textAt,
      textBytes,
      patience: timeout * 1000,
      host: `${hostName() ?? "a host without a name"} (process ${processId()})`,
    };
    const state = new Int32Array(control);
    const lost = (error: unknown): void => {
      const text = new TextEncoder().encode(String((error as Error)?.message ?? error)).slice(0, textBytes);
      new Uint8Array(control).set(text, textAt);
      Atomics.store(state, words.text, text.length);
      Atomics.store(state, words.state, threadStates.failed);
      Atomics.notify(state, words.state);
    };
    const source = `(data) => (${runMpiThread.toString()})(data, ${library.functionsSource})`;
    const thread = spawnWorker(source, data, lost);
    thread.ref();
    const isMissed = watchJoin(Math.max(joinPatience, timeout));
    while (Atomics.load(state, words.state) === threadStates.starting) {
      // What the thread throws is heard in the program's own loop.
      await new Promise((resolve) => setTimeout(resolve, 5));
      // The thread is inside of MPI_Init, which does not come back, so this process ends as it is.
      const missed = isMissed();
      if (missed !== null) library.endNow(missed);
    }
    const mpi = new Mpi(library, control);
    thread.unref();
    if (state[words.state] === threadStates.failed) {
      mpi.#isOver = true;
      throw new DeviceError(`${library.version}: ${mpi.#text()}`);
    }
    const { size } = launcher;
    if (size === undefined || size === mpi.size) return mpi;
    mpi.abort(
      `${launcher.name} started ${
        counted(size, "rank")
      }, and ${library.version} (${library.path}) sees ${mpi.size}; set FERROTYPE_MPI to ` +
        `the library of the launcher`,
    );
    throw new DeviceError("MPI: the launcher's library is another one");
  }

  #text(): string {
    const length = this.#control[words.text];
    return new TextDecoder().decode(this.#bytes.slice(textAt, textAt + length));
  }

  /** Begins a job; jobs are done in the order in which they are posted, which must be the same on all ranks. Gives its number. */
  post(job: MpiJob): number {
    this.#demandAlive();
    const control = this.#control, number = Atomics.load(control, words.posted);
    // A ring that is full is waited for.
    if (number - Atomics.load(control, words.done) >= words.slots - 1) this.wait(number - words.slots + 2);
    const word = words.ring + (number % words.slots) * words.job;
    control[word + jobWords.operation] = operations.indexOf(job.operation);
    control[word + jobWords.type] = types.indexOf(job.type ?? "u8");
    control[word + jobWords.reduction] = reductions.indexOf(job.reduction ?? "sum");
    control[word + jobWords.peer] = job.peer ?? 0;
    control[word + jobWords.from] = job.from ?? 0;
    control[word + jobWords.to] = job.to ?? 0;
    control[word + jobWords.count] = job.count ?? 0;
    const { shape = [job.count ?? 0], type = "u8", dtype = type } = job;
    const isAsked = job.isAsked !== false && job.operation !== "send" && job.operation !== "receive";
    control[word + jobWords.what] = elements.indexOf(dtype) | Math.min(shape.length, 255) << 8 |
      (isAsked ? 1 << 16 : 0);
    for (let i = 0; i < axes; i++) {
      control[word + jobWords.shape + i] = i < axes - 1
        ? shape[i] ?? 0
        : shape.slice(i).reduce((all, size) => Math.imul(all, 31) + size, 0);
    }
    Atomics.store(control, words.posted, number + 1);
    Atomics.notify(control, words.posted);
    return number;
  }

  /**
   * Sleeps until the job `number` is done.
   * @throws {FerrotypeError} when MPI failed.
   */
  wait(number: number): void {
    const control = this.#control;
    Atomics.store(control, words.waiting, 1);
    for (;;) {
      const done = Atomics.load(control, words.done);
      if (control[words.state] !== threadStates.ready) this.#demandAlive();
      if (done > number) break;
      Atomics.wait(control, words.done, done, 1000);
    }
    Atomics.store(control, words.waiting, 0);
  }

  /** Whether the job `number` is done. */
  isDone(number: number): boolean {
    return Atomics.load(this.#control, words.done) > number;
  }

  /** When the job `number` was at work; good until as many as the ring holds were posted after it. */
  timesOf(number: number): MpiTimes {
    const at = 2 * (number % words.slots);
    return { start: this.#times[at], end: this.#times[at + 1] };
  }

  /** Says whether the program does something long on its own: then others have patience with it. */
  set busy(busy: boolean) {
    Atomics.store(this.#control, words.busy, busy ? 1 : 0);
  }

  #demandAlive(): void {
    if (this.#error) throw this.#error;
    const state = this.#control[words.state];
    if (state === threadStates.ready) return;
    if (state === threadStates.unlike) {
      throw this.#error = onAllRanks(new FerrotypeError(`distributed: ${this.#text()}`));
    }
    throw this.#error = new FerrotypeError(
      state === threadStates.over
        ? "distributed: MPI was ended by destroy(); nothing can be sent any more"
        : `distributed: rank ${this.rank} on ${this.hosts[this.rank]}: ${this.#text()}`,
    );
  }

  /** Takes leave of MPI, when all jobs are done and every rank has come so far. */
  finalize(): void {
    if (this.#isOver) return;
    const control = this.#control, number = this.post({ operation: "barrier" });
    this.wait(number);
    const word = words.ring + ((number + 1) % words.slots) * words.job;
    control[word + jobWords.operation] = operations.indexOf("finalize");
    Atomics.store(control, words.posted, number + 2);
    Atomics.notify(control, words.posted);
    // Of the last word, only that it was said counts.
    while (Atomics.load(control, words.done) < number + 2 && control[words.state] === threadStates.ready) {
      Atomics.wait(control, words.done, number + 1, 1000);
    }
    this.#isOver = true;
    this.#unhook();
  }

  /** Ends the job on all ranks, with a sentence on standard error. The process does not outlive it by much. */
  abort(message: string | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#unhook();
    if (message !== null) sayNow(message);
    Atomics.store(this.#control, words.abort, 1);
    Atomics.notify(this.#control, words.posted);
    // The thread ends the process within its next look; what holds it up is waited for only so long.
    Atomics.wait(this.#control, words.sleep, 0, 3000);
  }
}
