/**
 * The communication thread: it owns MPI, does the jobs of the ring one after another, and watches over the other ranks.
 *
 * Its function is sent to the thread as text, so nothing outside of it may be named in it. It starts each job without
 * waiting (`MPI_I…`) and asks after it (`MPI_Test`), so that in between it can answer the threads of other ranks. When one has
 * waited for too long it asks all others how far their programs are: who has not come, or gives no answer, is named, and the
 * job ended everywhere. A program that is stuck thus gives itself away, as its thread still speaks.
 *
 * @module
 */
import type { MpiAbi } from "./mpi_library.ts";
import type { elements, jobWords, operations, reductions, threadStates, types, words } from "./mpi_words.ts";

/** What the thread is started with. */
export interface MpiThreadData {
  readonly memory: WebAssembly.Memory;
  readonly control: SharedArrayBuffer;
  readonly scratch: SharedArrayBuffer;
  readonly heapBase: number;
  readonly controlBase: number;
  readonly scratchBase: number;
  readonly abi: MpiAbi;
  readonly words: typeof words;
  readonly jobWords: typeof jobWords;
  readonly states: typeof threadStates;
  readonly operations: typeof operations;
  readonly types: typeof types;
  readonly elements: typeof elements;
  readonly reductions: typeof reductions;
  readonly requestAt: number;
  readonly timesAt: number;
  readonly textAt: number;
  readonly textBytes: number;
  /** Milliseconds that a rank is waited for at least. */
  readonly patience: number;
  readonly host: string;
}

/** The functions of the library, with plain numbers. */
type Mpi = Record<string, (...values: number[]) => number>;

/** The thread's program. */
export function runMpiThread(data: MpiThreadData, mpi: Mpi): void {
  const { memory, abi, words, jobWords, states, operations, heapBase, controlBase, scratchBase } = data;
  const control = new Int32Array(data.control), controlBytes = new Uint8Array(data.control);
  const times = new Float64Array(data.control, data.timesAt, 2 * words.slots);
  const request = controlBase + data.requestAt, flag = request + 16, status = request + 32;
  const said = (data.requestAt + 256) / 4, heard = (data.requestAt + 512) / 4;
  const flagWord = (data.requestAt + 16) / 4, sleepWord = words.sleep;
  const hostBytes = 128, hosts: string[] = [];
  const widths = { f32: 4, f64: 8, i32: 4, i64: 8, u8: 1, u16: 2 };
  const queryTag = 32001, answerTag = 32002, longPatience = 600_000;
  // deno-lint-ignore no-explicit-any
  const fs = (globalThis as any).process.getBuiltinModule("node:fs");
  let rank = 0, size = 1;

  const say = (text: string): void => {
    try {
      fs.writeSync(2, `ferrotype: ${text}\n`);
    } catch {
      // Nobody listens.
    }
  };
  const check = (code: number, what: string): void => {
    if (code === 0) return;
    const at = data.textAt, length = request + 64;
    mpi.MPI_Error_string(code, controlBase + at, length);
    const end = control[(data.requestAt + 64) / 4];
    const text = new TextDecoder().decode(controlBytes.slice(at, at + Math.max(0, Math.min(end, 1024))));
    throw new Error(`${what} failed: ${text || `error ${code}`}`);
  };
  const leave = (code: number): void => {
    // What was said goes through the launcher, which MPICH's ends at once.
    Atomics.wait(control, sleepWord, 0, 300);
    mpi.MPI_Abort(abi.world, code);
  };
  const where = (of: number): string => `rank ${of} on ${hosts[of] ?? "an unknown host"}`;

  // ---- Jobs, as generators that yield while there is nothing to do but wait.
  type Wait = Generator<void, void, void>;
  const typeOf = (index: number): number => abi.types[data.types[index]];
  function* finished(what: string): Wait {
    for (;;) {
      check(mpi.MPI_Test(request, flag, status), what);
      if (control[flagWord] !== 0) return;
      yield;
    }
  }
  let heap = new Float32Array(memory.buffer);
  const scratch = new Float32Array(data.scratch), halves = new Uint16Array(data.scratch);
  const heapFloats = (bytes: number, count: number): Float32Array => {
    if (heap.buffer !== memory.buffer) heap = new Float32Array(memory.buffer);
    return heap.subarray(bytes / 4, bytes / 4 + count);
  };
  /** Adds the `blocks` blocks of `length` at `at` pairwise, neighbours first: the same sums for any number of ranks. */
  const addUp = (at: number, length: number, blocks: number): void => {
    for (let step = 1; step < blocks; step *= 2) {
      for (let b = 0; b + step < blocks; b += 2 * step) {
        const to = at + b * length, from = at + (b + step) * length;
        for (let i = 0; i < length; i++) scratch[to + i] = scratch[to + i] + scratch[from + i];
      }
    }
  };
  /** Sums in an order of our own: everybody adds up one block of everybody's, and gives it to all. */
  function* exactSum(offset: number, count: number): Wait {
    const f32 = abi.types.f32, most = Math.floor(scratch.length / size) * size;
    for (let at = 0; at < count; at += most) {
      const length = Math.min(most, count - at), block = Math.floor(length / size), start = offset + 4 * at;
      if (block > 0) {
        check(
          mpi.MPI_Ialltoall(heapBase + start, block, f32, scratchBase, block, f32, abi.world, request),
          "MPI_Ialltoall",
        );
        yield* finished("MPI_Ialltoall");
        addUp(0, block, size);
        heapFloats(start + 4 * rank * block, block).set(scratch.subarray(0, block));
        check(
          mpi.MPI_Iallgather(abi.inPlace, block, f32, heapBase + start, block, f32, abi.world, request),
          "MPI_Iallgather",
        );
        yield* finished("MPI_Iallgather");
      }
      const rest = length - block * size;
      if (rest === 0) continue;
      const tail = start + 4 * block * size;
      check(
        mpi.MPI_Iallgather(heapBase + tail, rest, f32, scratchBase, rest, f32, abi.world, request),
        "MPI_Iallgather",
      );
      yield* finished("MPI_Iallgather");
      addUp(0, rest, size);
      heapFloats(tail, rest).set(scratch.subarray(0, rest));
    }
  }
  /**
   * Reduces in two exchanges: everybody reduces one block of everybody's, and gives it to all. Pieces are as large as stays in a cache.
   * Ranks come in their order, but the own first.
   */
  function* inBlocks(offset: number, count: number, type: number, width: number, reduction: number): Wait {
    const most = Math.floor((data.scratch.byteLength / 2) / width / size) * size;
    for (let at = 0; at < count; at += most) {
      const length = Math.min(most, count - at),
        block = Math.floor(length / size),
        rest = length - block * size;
      const start = heapBase + offset + at * width, own = start + rank * block * width;
      if (block > 0) {
        check(
          mpi.MPI_Ialltoall(start, block, type, scratchBase, block, type, abi.world, request),
          "MPI_Ialltoall",
        );
        yield* finished("MPI_Ialltoall");
        for (let r = 0; r < size; r++) {
          if (r === rank) continue;
          check(
            mpi.MPI_Reduce_local(scratchBase + r * block * width, own, block, type, reduction),
            "MPI_Reduce_local",
          );
        }
        check(
          mpi.MPI_Iallgather(abi.inPlace, block, type, start, block, type, abi.world, request),
          "MPI_Iallgather",
        );
        yield* finished("MPI_Iallgather");
      }
      if (rest === 0) continue;
      const tail = start + block * size * width;
      check(
        mpi.MPI_Iallreduce(abi.inPlace, tail, rest, type, reduction, abi.world, request),
        "MPI_Iallreduce",
      );
      yield* finished("MPI_Iallreduce");
    }
  }
  const bits = new Uint32Array(1), asFloat = new Float32Array(bits.buffer);
  const toBf16 = (x: number): number => {
    asFloat[0] = x;
    const u = bits[0];
    // A NaN stays one; all else is rounded to nearest, ties to even.
    return (u & 0x7fffffff) > 0x7f800000 ? (u >>> 16) | 0x40 : (u + 0x7fff + ((u >>> 16) & 1)) >>> 16;
  };
  const fromBf16 = (h: number): number => {
    bits[0] = h << 16;
    return asFloat[0];
  };
  /** The same with 16 bits a number on the wire, and sums in f32: two roundings, each of at most 2^-8 of a value. */
  function* halfSum(offset: number, count: number): Wait {
    const u16 = abi.types.u16, most = Math.floor(scratch.length / 4 / size) * size;
    // The halves that are sent lie in the second quarter, those that come in the third, sums in the last.
    const sent = scratch.length / 2, come = scratch.length, sums = 3 * scratch.length / 4;
    for (let at = 0; at < count; at += most) {
      const length = Math.min(most, count - at), block = Math.ceil(length / size);
      const own = heapFloats(offset + 4 * at, length);
      for (let i = 0; i < block * size; i++) halves[sent + i] = i < length ? toBf16(own[i]) : 0;
      check(
        mpi.MPI_Ialltoall(
          scratchBase + 2 * sent,
          block,
          u16,
          scratchBase + 2 * come,
          block,
          u16,
          abi.world,
          request,
        ),
        "MPI_Ialltoall",
      );
      yield* finished("MPI_Ialltoall");
      for (let i = 0; i < block * size; i++) scratch[sums + i] = fromBf16(halves[come + i]);
      addUp(sums, block, size);
      for (let i = 0; i < block; i++) halves[sent + rank * block + i] = toBf16(scratch[sums + i]);
      check(
        mpi.MPI_Iallgather(
          abi.inPlace,
          block,
          u16,
          scratchBase + 2 * sent,
          block,
          u16,
          abi.world,
          request,
        ),
        "MPI_Iallgather",
      );
      yield* finished("MPI_Iallgather");
      const out = heapFloats(offset + 4 * at, length);
      for (let i = 0; i < length; i++) out[i] = fromBf16(halves[sent + i]);
    }
  }
  /** What a rank is about to do, in words; `at` is where its job stands in `all`. */
  const inWords = (all: Int32Array, at: number): string => {
    const name = operations[all[at + jobWords.operation]], what = all[at + jobWords.what];
    if (name === "barrier") return "barrier (or destroy)";
    const shape = [...all.subarray(at + jobWords.shape, at + jobWords.shape + Math.min(what >> 8 & 255, 8))];
    if (name === "forward") return `a forward pass of shape [${shape.join(", ")}]`;
    const reduction = data.reductions[all[at + jobWords.reduction]];
    const how = name === "broadcast"
      ? ` from rank ${all[at + jobWords.peer]}`
      : /reduce/i.test(name)
      ? ` (${reduction})`
      : "";
    return `${name}${how} of ${data.elements[what & 255]} [${shape.join(", ")}]`;
  };
  /** Looks whether all ranks do the same: where they do not, what comes of it is no number of anybody's. */
  function* agree(word: number): Wait {
    const all = new Int32Array(data.scratch, 0, (size + 1) * words.job), i32 = abi.types.i32, n = words.job;
    all.set(control.subarray(word, word + n));
    // Where numbers lie is each rank's own matter.
    all[jobWords.from] = all[jobWords.to] = 0;
    check(
      mpi.MPI_Iallgather(scratchBase, n, i32, scratchBase + 4 * n, n, i32, abi.world, request),
      "MPI_Iallgather",
    );
    yield* finished("MPI_Iallgather");
    for (let r = 1; r < size; r++) {
      const at = (r + 1) * n;
      let i = 0;
      while (i < n && all[n + i] === all[at + i]) i++;
      if (i === n) continue;
      const own = inWords(all, n), other = inWords(all, at);
      unlike = `${where(r)} calls ${other}, ${where(0)} ${
        own === other ? "the same with other values" : own
      }; every rank calls the same in the same order, with the same dtype, shape and options`;
      throw new Error(unlike);
    }
  }
  let unlike: string | null = null;
  function* run(word: number): Wait {
    const read = (at: number): number => control[word + at];
    const name = operations[read(jobWords.operation)], type = typeOf(read(jobWords.type));
    if (read(jobWords.what) >> 16 !== 0) yield* agree(word);
    if (name === "forward" || (read(jobWords.count) === 0 && name !== "barrier")) return;
    const reduction = abi.operations[data.reductions[read(jobWords.reduction)]];
    const peer = read(jobWords.peer), from = read(jobWords.from) >>> 0, to = read(jobWords.to) >>> 0;
    const count = read(jobWords.count) >>> 0, width = widths[data.types[read(jobWords.type)]];
    // A count is an int in MPI; what is more goes in pieces.
    const most = 1 << 28;
    const pieces = function* (start: (at: number, length: number) => number): Wait {
      for (let at = 0; at === 0 || at < count; at += most) {
        check(start(at * width, Math.min(most, count - at)), name);
        yield* finished(name);
      }
    };
    switch (name) {
      case "allReduce":
        // With many ranks blocks would be so small that rounds of messages cost more than bytes.
        if (count * width >= abi.blocksFrom * Math.max(1, size / 8)) {
          return yield* inBlocks(from, count, type, width, reduction);
        }
        return yield* pieces((at, n) =>
          mpi.MPI_Iallreduce(abi.inPlace, heapBase + from + at, n, type, reduction, abi.world, request)
        );
      case "exactAllReduce":
        return yield* exactSum(from, count);
      case "bf16AllReduce":
        return yield* halfSum(from, count);
      case "reduce":
        return yield* pieces((at, n) => {
          const own = heapBase + from + at;
          return rank === peer
            ? mpi.MPI_Ireduce(abi.inPlace, own, n, type, reduction, peer, abi.world, request)
            : mpi.MPI_Ireduce(own, 0, n, type, reduction, peer, abi.world, request);
        });
      case "broadcast":
        return yield* pieces((at, n) =>
          mpi.MPI_Ibcast(heapBase + from + at, n, type, peer, abi.world, request)
        );
      case "send":
        return yield* pieces((at, n) =>
          mpi.MPI_Isend(heapBase + from + at, n, type, peer, 1, abi.world, request)
        );
      case "receive":
        return yield* pieces((at, n) =>
          mpi.MPI_Irecv(heapBase + to + at, n, type, peer, 1, abi.world, request)
        );
      case "allGather":
        check(
          mpi.MPI_Iallgather(heapBase + from, count, type, heapBase + to, count, type, abi.world, request),
          name,
        );
        return yield* finished(name);
      case "reduceScatter":
        check(
          mpi.MPI_Ireduce_scatter_block(
            heapBase + from,
            heapBase + to,
            count,
            type,
            reduction,
            abi.world,
            request,
          ),
          name,
        );
        return yield* finished(name);
      default:
        check(mpi.MPI_Ibarrier(abi.world, request), name);
        return yield* finished(name);
    }
  }

  // ---- Watching.
  const probe = (tag: number): number => {
    mpi.MPI_Iprobe(abi.anySource, tag, abi.world, flag, status);
    if (control[flagWord] === 0) return -1;
    mpi.MPI_Recv(controlBase + 4 * heard, 4, abi.types.i32, abi.anySource, tag, abi.world, status);
    return control[heard];
  };
  const send = (to: number, tag: number): void => {
    control[said] = rank;
    control[said + 1] = Atomics.load(control, words.posted);
    control[said + 2] = Atomics.load(control, words.busy);
    control[said + 3] = Atomics.load(control, words.waiting);
    mpi.MPI_Send(controlBase + 4 * said, 4, abi.types.i32, to, tag, abi.world);
  };
  const answers = (): void => {
    for (let from = probe(queryTag); from >= 0; from = probe(queryTag)) send(from, answerTag);
  };
  let since = 0, limit = 0, lastEnd = performance.now(), asked = 0;
  let told = new Map<number, { posted: number; busy: number; waiting: number }>();
  /** Looks at how long the job at work takes, and ends everything when somebody does not come. */
  const watch = (now: number, number: number): void => {
    if (asked === 0) {
      if (now - since < limit) return;
      asked = now;
      told = new Map();
      for (let to = 0; to < size; to++) if (to !== rank) send(to, queryTag);
      return;
    }
    for (let from = probe(answerTag); from >= 0; from = probe(answerTag)) {
      told.set(from, { posted: control[heard + 1], busy: control[heard + 2], waiting: control[heard + 3] });
    }
    if (now - asked < 1000 && told.size < size - 1) return;
    const job = operations[control[words.ring + (number % words.slots) * words.job]];
    const others = Array.from({ length: size }, (_, r) => r).filter((r) => r !== rank);
    const silent = others.filter((r) => !told.has(r));
    // Between tokens a program may wait for whoever reads them.
    const isPatient = job === "send" || job === "receive" || job === "forward";
    const late = isPatient ? [] : others.filter((r) => (told.get(r)?.posted ?? Infinity) <= number);
    const isBusy = late.some((r) => told.get(r)!.busy !== 0) && now - since < longPatience;
    if (silent.length === 0 && (late.length === 0 || isBusy)) {
      // All are there, or at work on what they said they would be.
      asked = 0;
      since = isBusy ? since : now;
      limit = isBusy ? limit + 2000 : limit * 2;
      return;
    }
    // One speaks for all who wait: the first of them. The others would say the same.
    const first = others.find((r) => r < rank && told.has(r) && !late.includes(r));
    if (first !== undefined && now - asked < 2500) return;
    const seconds = Math.round((now - since) / 1000), missing = silent.length ? silent : late;
    const list = missing.map(where).join(", "), many = missing.length > 1;
    const what = silent.length
      ? `${many ? "do" : "does"} not answer (stopped, or the host is gone)`
      : `${many ? "hang" : "hangs"}: the program there has not come to this ${job}`;
    say(`${list} ${what}; ${where(rank)} waited ${seconds} s; the job ends on all ranks`);
    leave(1);
  };

  // ---- Its life.
  const fail = (error: unknown): void => {
    const text = new TextEncoder().encode(String((error as Error)?.message ?? error)).slice(
      0,
      data.textBytes,
    );
    controlBytes.set(text, data.textAt);
    Atomics.store(control, words.text, text.length);
    const isBegun = control[words.state] === states.ready;
    Atomics.store(control, words.state, unlike === null ? states.failed : states.unlike);
    Atomics.notify(control, words.state);
    Atomics.add(control, words.done, 1);
    Atomics.notify(control, words.done);
    // The job is not over without the others: it ends by this thread's word.
    while (isBegun && Atomics.load(control, words.abort) === 0) Atomics.wait(control, sleepWord, 0, 20);
    if (isBegun) leave(1);
  };
  function* begin(): Wait {
    // MPI_THREAD_SERIALIZED: one thread at a time, this one.
    check(mpi.MPI_Init_thread(0, 0, 2, request), "MPI_Init_thread");
    mpi.MPI_Comm_set_errhandler(abi.world, abi.errorsReturn);
    const word = data.requestAt / 4;
    check(mpi.MPI_Comm_rank(abi.world, request), "MPI_Comm_rank");
    rank = control[word];
    check(mpi.MPI_Comm_size(abi.world, request), "MPI_Comm_size");
    size = control[word];
    // Everybody's host and process number, for messages.
    const all = new Uint8Array(data.scratch),
      own = new TextEncoder().encode(data.host).slice(0, hostBytes - 1);
    all.fill(0, 0, hostBytes * (size + 1));
    all.set(own, 0);
    const u8 = abi.types.u8;
    check(
      mpi.MPI_Iallgather(
        scratchBase,
        hostBytes,
        u8,
        scratchBase + hostBytes,
        hostBytes,
        u8,
        abi.world,
        request,
      ),
      "MPI_Iallgather",
    );
    yield* finished("MPI_Iallgather");
    for (let r = 0; r < size; r++) {
      const text = all.slice(hostBytes * (r + 1), hostBytes * (r + 2));
      hosts.push(new TextDecoder().decode(text.subarray(0, text.indexOf(0))));
    }
    const list = new TextEncoder().encode(hosts.join("\n")).slice(0, data.textBytes);
    controlBytes.set(list, data.textAt);
    Atomics.store(control, words.text, list.length);
    Atomics.store(control, words.rank, rank);
    Atomics.store(control, words.size, size);
    Atomics.store(control, words.state, states.ready);
    Atomics.notify(control, words.state);
  }
  try {
    for (const _ of begin()) Atomics.wait(control, sleepWord, 0, 1);
    let taken = 0, spins = 0, looked = 0, bytes = 0;
    let job: Wait | null = null;
    for (;;) {
      if (Atomics.load(control, words.abort) !== 0) return leave(1);
      if (!job && Atomics.load(control, words.posted) !== taken) {
        const slot = taken % words.slots, word = words.ring + slot * words.job;
        since = performance.now();
        times[2 * slot] = performance.timeOrigin + since;
        // Who was long at work itself has patience with others.
        limit = Math.max(data.patience, since - lastEnd);
        asked = spins = 0;
        looked = since;
        if (operations[control[word]] === "finalize") {
          check(mpi.MPI_Finalize(), "MPI_Finalize");
          Atomics.store(control, words.state, states.over);
          Atomics.add(control, words.done, 1);
          Atomics.notify(control, words.done);
          return;
        }
        bytes = (control[word + jobWords.count] >>> 0) * widths[data.types[control[word + jobWords.type]]];
        job = run(word);
      }
      if (!job) {
        answers();
        Atomics.wait(control, words.posted, taken, 10);
        continue;
      }
      if (job.next().done) {
        job = null;
        lastEnd = performance.now();
        times[2 * (taken % words.slots) + 1] = performance.timeOrigin + lastEnd;
        taken++;
        Atomics.add(control, words.done, 1);
        Atomics.notify(control, words.done);
        continue;
      }
      // While the program waits it spins at first; who waits for long, or for nobody, leaves the processor to those who compute.
      const isWaiting = Atomics.load(control, words.waiting) !== 0;
      if (isWaiting && ++spins % 32 !== 0) continue;
      const now = performance.now(), waited = now - since;
      if (now - looked > 20) {
        looked = now;
        answers();
        watch(now, taken);
      }
      const pause = !isWaiting
        ? 0.2
        : waited < 0.3 + bytes / 5e5
        ? 0
        : waited < 30 + bytes / 5e5
        ? 0.05
        : 0.5;
      if (pause > 0) Atomics.wait(control, sleepWord, 0, pause);
    }
  } catch (error) {
    fail(error);
  }
}
