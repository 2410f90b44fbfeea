/**
 * The pool's own WebAssembly: how a job is handed out, done, and joined. One module, instantiated by every thread.
 *
 * A job is cut into pieces, and threads claim them one after another from a word in shared memory that holds
 * (epoch, pieces, next piece) and changes only by compare-and-exchange. Claiming instead of fixed halves, because
 * then nobody ever waits for a thread that has not begun: a worker that sleeps, is still starting, compiles, or was
 * descheduled costs nothing, the others do its share. The epoch in the word makes the fields of the job trustworthy:
 * a claim that succeeds proves that they were not changed since they were read. Pieces are large (two a thread, or
 * eight), so a streaming kernel still reads one long sequential stream per thread.
 *
 * A worker without work spins for a time (an iteration of the loop costs 0.2 to 5 ns, depending on the engine, so
 * the clock decides, not a count), then sleeps on the epoch. The thread that waits for a job's last piece spins
 * too; where it may block it sleeps after a while, which matters only when there are more threads than processors.
 *
 * A worker may end at any moment, by another hand than the pool's. What it is at stands on its desk, a cache line of its
 * own, so that whoever hears of its end knows whether a piece, and its scratch memory, went with it.
 *
 * @module
 */
import { type FunctionBuilder, type Local, ModuleBuilder, type Table } from "./assembler/mod.ts";
import { jobWords } from "./captured.ts";

// The control block. What different threads write lies in different pairs of cache lines.

/** Pieces and next piece (16 bits each), then the epoch in the upper half of the 64-bit word. */
export const claimAt = 128;
/** The upper half of the claim word; sleeping workers wait for it to change. */
export const epochAt = 132;
/** Pieces of the present job that are done. */
export const finishedAt = 256;
/** 1 while the joining thread sleeps on the count of finished pieces. */
export const joiningAt = 384;
/** Workers that sleep, or are about to; one too many where a thread was ended on its way there or back. */
export const sleepersAt = 388;
/** The job: kernel, arguments, items, items a piece. */
export const jobAt = 512;
/** 1 once a kernel has trapped in a worker. */
export const failedAt = 644;
/** Address of what opens a native library (`blas.ts`); 0: none. */
export const libraryAt = 648;
/** Kernels published so far. */
export const publishedAt = 768;
/** Address of the first published module: a list of (next, length, bytes). */
export const kernelsAt = 772;
/** The control block ends here. */
export const controlEnd = 896;

/** Bytes of a desk: a cache line that one worker writes, and that tells what became of it when it ends on its own. */
export const deskBytes = 64;

/**
 * The words of a desk. `stop`: 1 asks the worker to leave, and to claim nothing more. `state`: one of {@link states}. `busy`:
 * 1 from before it claims a piece until that is finished. `asleep`: 1 while it counts among the sleepers.
 */
export const deskWords = { stop: 0, state: 1, busy: 2, asleep: 3 } as const;

/** Whether a worker is in its loop: not yet, yes, not any more. */
export const states = { no: 0, yes: 1, over: 2 } as const;

/** What a job gives: all is done, a kernel trapped in a worker, or a worker ended before its piece was finished. */
export const outcomes = { done: 0, trapped: 1, lost: 2 } as const;

const spinMilliseconds = 0.1; // waking a sleeper costs 20 to 40 µs: spin a few times as long before sleeping
const joinMilliseconds = 0.3;
const spinsPerClock = 1024;

/** How long the joining thread sleeps at a time, in milliseconds, when it has slept a while; at first less. */
export const longSleep = 100;
const shortSleep = 5, shortSleeps = 20;

/**
 * The module: `dispatch(kernel, args, total, piece, pieces, canBlock)`, `replay(list, count, canBlock)`, `abandon(canBlock)`,
 * `work(desk, known)`. It imports `lost()`, which is asked when a piece takes long: 1 means that nobody is at it any more.
 */
export function poolCode(shared: boolean): Uint8Array<ArrayBuffer> {
  const m = new ModuleBuilder();
  m.importMemory("env", "memory", { initial: 1, maximum: 65536, shared });
  const table = m.importTable("env", "table", { initial: 1 });
  const now = m.importFunction("env", "now", [], ["f64"]);

  const lost = m.importFunction("env", "lost", [], ["i32"]);

  const join = m.function("join", { params: ["i32"], results: ["i32"], export: false });
  emitJoin(join, () => join.call(now), () => join.call(lost));

  const dispatch = m.function("dispatch", {
    params: ["i32", "i32", "i32", "i32", "i32", "i32"],
    results: ["i32"],
  });
  emitDispatch(dispatch, table, () => dispatch.call(join));

  const replay = m.function("replay", { params: ["i32", "i32", "i32"], results: ["i32"] });
  emitReplay(replay, () => replay.call(dispatch));

  const abandon = m.function("abandon", { params: ["i32"], results: ["i32"] });
  emitAbandon(abandon, () => abandon.call(join));

  const work = m.function("work", { params: ["i32", "i32"], results: ["i32"] });
  emitWork(work, table, () => work.call(now));
  return m.build();
}

const kernelType = { params: ["i32", "i32", "i32"], results: [] } as const;

const atomicLoad = (f: FunctionBuilder, at: number): void => {
  f.i32(0);
  f.atomic("i32.atomic.load", at);
};

const atomicStore = (f: FunctionBuilder, at: number, value: number): void => {
  f.push(0, value);
  f.atomic("i32.atomic.store", at);
};

/** Leaves on the stack the value before. */
const atomicAdd = (f: FunctionBuilder, at: number, value: number): void => {
  f.push(0, value);
  f.atomic("i32.atomic.rmw.add", at);
};

const jobField = (f: FunctionBuilder, k: number): void => {
  f.i32(0);
  f.load("i32.load", jobAt + 4 * k);
};

/** Low half of `word` shifted by `shift`, 16 bits. */
const field = (f: FunctionBuilder, word: Local, shift: number): void => {
  f.push(word.op("i32.wrap_i64").op("shr_u", shift).and(0xffff));
};

/** Claims the piece after `word`; leaves on the stack whether that succeeded. */
const claim = (f: FunctionBuilder, word: Local, by: () => void): void => {
  f.push(0, word, word);
  by();
  f.op("i64.add");
  f.atomic("i64.atomic.rmw.cmpxchg", claimAt);
  f.op("i64.eq", word);
};

/** Calls the kernel on piece `next`. */
const callPiece = (
  f: FunctionBuilder,
  table: Table,
  job: { kernel: Local; args: Local; total: Local; piece: Local },
  next: Local,
  begin: Local,
  end: Local,
): void => {
  f.set(end, next.times(job.piece).tee(begin).plus(job.piece));
  f.push(job.args, begin);
  // The last piece may be short; the sum may pass 2^31 but not 2^32.
  f.push(end.op("lt_u", job.total).select(end, job.total), job.kernel);
  f.callIndirect(kernelType, table);
};

/** join(canBlock): waits until all pieces of the present job are finished, or one will never be; gives the outcome. */
function emitJoin(f: FunctionBuilder, now: () => void, lost: () => void): void {
  const [canBlock] = f.params;
  const pieces = f.local("i32"), done = f.local("i32"), spins = f.local("i32"), sleeps = f.local("i32");
  const deadline = f.local("f64");
  f.i32(0);
  f.load("i32.load16_u", claimAt + 2);
  f.set(pieces);
  f.block((out) => {
    f.loop((again) => {
      f.set(spins, spinsPerClock);
      f.loop((spin) => {
        atomicLoad(f, finishedAt);
        f.tee(done);
        f.op("i32.eq", pieces);
        f.brIf(out);
        f.increment(spins, -1);
        f.brIf(spin, spins);
      });
      f.brIf(again, canBlock.op("eqz"));
      f.get(deadline);
      f.f64(0);
      f.op("f64.eq");
      f.if(() => {
        now();
        f.f64(joinMilliseconds);
        f.op("f64.add");
        f.set(deadline);
      });
      now();
      f.op("f64.lt", deadline);
      f.brIf(again);
      atomicStore(f, joiningAt, 1);
      atomicLoad(f, finishedAt);
      f.tee(done);
      f.op("i32.ne", pieces);
      f.if(() => {
        f.push(0, done);
        // A bound in nanoseconds, in case the notification is lost with its thread.
        f.i64(longSleep * 1_000_000);
        f.i64(shortSleep * 1_000_000);
        f.push(sleeps.op("ge_u", shortSleeps));
        f.select();
        f.atomic("memory.atomic.wait32", finishedAt);
        f.drop();
        f.increment(sleeps, 1);
        f.push(sleeps.op("gt_u", shortSleeps));
        f.if(() => {
          lost();
          f.if(() => {
            atomicStore(f, joiningAt, 0);
            f.i32(outcomes.lost);
            f.return();
          });
        });
      });
      atomicStore(f, joiningAt, 0);
      f.br(again);
    });
  });
  atomicLoad(f, failedAt);
}

/** dispatch(kernel, args, total, piece, pieces, canBlock): runs a job; gives its outcome. */
function emitDispatch(f: FunctionBuilder, table: Table, join: () => void): void {
  const [kernel, args, total, piece, pieces, canBlock] = f.params;
  const word = f.local("i64"), next = f.local("i32"), begin = f.local("i32"), end = f.local("i32");
  [kernel, args, total, piece].forEach((value, k) => {
    f.push(0, value);
    f.store("i32.store", jobAt + 4 * k);
  });
  atomicStore(f, finishedAt, 0);
  // A new epoch with next = 0 publishes the job.
  f.push(0, 0);
  f.load("i32.load", epochAt);
  f.op("i32.add", 1);
  f.op("i64.extend_i32_u");
  f.i64(32);
  f.op("i64.shl");
  f.op("i64.or", pieces.shl(16).op("i64.extend_i32_u"));
  f.tee(word);
  f.atomic("i64.atomic.store", claimAt);
  atomicLoad(f, sleepersAt);
  f.if(() => {
    f.push(0, pieces.minus(1));
    f.atomic("memory.atomic.notify", epochAt);
    f.drop();
  });
  const job = { kernel, args, total, piece };
  f.block((out) => {
    f.loop((again) => {
      f.i32(0);
      f.atomic("i64.atomic.load", claimAt);
      f.set(word);
      field(f, word, 0);
      f.tee(next);
      f.op("i32.ge_u", pieces);
      f.brIf(out);
      claim(f, word, () => f.i64(1));
      f.op("i32.eqz");
      f.brIf(again);
      callPiece(f, table, job, next, begin, end);
      atomicAdd(f, finishedAt, 1);
      f.drop();
      f.br(again);
    });
  });
  f.get(canBlock);
  join();
}

/** replay(list, count, canBlock): runs `count` jobs, at least one, laid out as `captured.ts` says; the outcome. */
function emitReplay(f: FunctionBuilder, dispatch: () => void): void {
  const [list, count, canBlock] = f.params, outcome = f.local("i32");
  f.loop((again) => {
    for (let k = 0; k < 5; k++) {
      f.push(list.load(4 * k));
    }
    f.get(canBlock);
    dispatch();
    f.tee(outcome);
    f.if(() => {
      f.get(outcome);
      f.return();
    });
    f.increment(list, 4 * jobWords);
    f.increment(count, -1);
    f.brIf(again, count);
  });
  f.i32(0);
}

/** abandon(canBlock): after a trap in a piece on this thread: gives up the rest of the job and waits for the others; the outcome. */
function emitAbandon(f: FunctionBuilder, join: () => void): void {
  const [canBlock] = f.params;
  const word = f.local("i64"), left = f.local("i32");
  f.loop((again) => {
    f.i32(0);
    f.atomic("i64.atomic.load", claimAt);
    f.set(word);
    field(f, word, 16);
    field(f, word, 0);
    f.op("i32.sub");
    f.set(left);
    claim(f, word, () => {
      f.push(left.op("i64.extend_i32_u"));
    });
    f.op("i32.eqz");
    f.brIf(again);
  });
  f.push(0, left);
  f.i32(1); // the piece that trapped
  f.op("i32.add");
  f.atomic("i32.atomic.rmw.add", finishedAt);
  f.drop();
  f.get(canBlock);
  join();
}

/** work(desk, known): a worker's loop. Gives 0 when the thread is to end, 1 when there are kernels to compile. */
function emitWork(f: FunctionBuilder, table: Table, now: () => void): void {
  const [desk, known] = f.params;
  const word = f.local("i64"), next = f.local("i32"), begin = f.local("i32"), end = f.local("i32");
  const epoch = f.local("i32"), spins = f.local("i32"), deadline = f.local("f64");
  const job = { kernel: f.local("i32"), args: f.local("i32"), total: f.local("i32"), piece: f.local("i32") };
  const write = (k: number, value: number): void => {
    f.push(desk, value);
    f.atomic("i32.atomic.store", 4 * k);
  };
  const leaveWhenAsked = (): void => {
    f.get(desk);
    f.atomic("i32.atomic.load", 4 * deskWords.stop);
    f.if(() => {
      f.i32(0);
      f.return();
    });
  };
  f.loop((again) => {
    f.i32(0);
    f.atomic("i64.atomic.load", claimAt);
    f.set(word);
    // After the word is read: whoever asks it to leave can be sure that it claims nothing of the jobs that follow.
    leaveWhenAsked();
    field(f, word, 0);
    f.tee(next);
    field(f, word, 16);
    f.op("i32.lt_u");
    f.if(() => {
      [job.kernel, job.args, job.total, job.piece].forEach((local, k) => {
        jobField(f, k);
        f.set(local);
      });
      f.push(job.kernel.op("ge_u", known));
      f.if(() => {
        f.i32(1);
        f.return();
      });
      write(deskWords.busy, 1);
      claim(f, word, () => f.i64(1));
      f.if(() => {
        callPiece(f, table, job, next, begin, end);
        // Asked in the middle of a piece: it was taken for lost, and its piece counts no more.
        leaveWhenAsked();
        atomicAdd(f, finishedAt, 1);
        f.drop();
        atomicLoad(f, joiningAt);
        f.if(() => {
          f.push(0, 1);
          f.atomic("memory.atomic.notify", finishedAt);
          f.drop();
        });
      });
      write(deskWords.busy, 0);
      f.f64(0);
      f.set(deadline);
      f.br(again);
    });
    atomicLoad(f, publishedAt);
    f.op("i32.gt_u", known);
    f.if(() => {
      f.i32(1);
      f.return();
    });
    f.get(word);
    f.i64(32);
    f.op("i64.shr_u");
    f.op("i32.wrap_i64");
    f.set(epoch);
    f.set(spins, spinsPerClock);
    f.loop((spin) => {
      atomicLoad(f, epochAt);
      f.op("i32.ne", epoch);
      f.brIf(again);
      f.increment(spins, -1);
      f.brIf(spin, spins);
    });
    f.get(deadline);
    f.f64(0);
    f.op("f64.eq");
    f.if(() => {
      now();
      f.f64(spinMilliseconds);
      f.op("f64.add");
      f.set(deadline);
      f.br(again);
    });
    now();
    f.op("f64.lt", deadline);
    f.brIf(again);
    atomicAdd(f, sleepersAt, 1);
    f.drop();
    write(deskWords.asleep, 1);
    f.push(0, epoch);
    f.i64(-1);
    f.atomic("memory.atomic.wait32", epochAt);
    f.drop();
    // Unless somebody who took this thread for ended did it.
    f.push(desk, 1, 0);
    f.atomic("i32.atomic.rmw.cmpxchg", 4 * deskWords.asleep);
    f.if(() => {
      atomicAdd(f, sleepersAt, -1);
      f.drop();
    });
    f.f64(0);
    f.set(deadline);
    f.br(again);
  });
  f.unreachable();
}
