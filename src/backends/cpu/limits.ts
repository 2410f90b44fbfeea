/**
 * What this machine gives at most through the very engine that computes: kernels that do nothing but multiply and add
 * in registers, or read. A kernel's speed is worth something beside these, measured in the same moment.
 *
 * @module
 */
import type { FunctionBuilder } from "./assembler/mod.ts";
import { type Emit, type Engine, importThreadScratch } from "./engine.ts";
import { dotIsFast } from "./kernels/quantized/method.ts";

const chains = 12; // as many as registers allow, so that the latency of an instruction never shows
const turns = 1000;

/** The limits of one engine at its present number of threads. Each takes a few milliseconds. */
export class Limits {
  readonly #engine: Engine;
  #area = 0;
  #quarter = 0;

  readonly #seconds: (work: () => void) => number;

  /** Allocates nothing yet. `seconds` tells how long some work takes; by the clock unless told otherwise. */
  constructor(engine: Engine, seconds: (work: () => void) => number = secondsByClock) {
    this.#engine = engine;
    this.#seconds = seconds;
  }

  /** f32 multiply-adds in registers: operations a second, two for each lane. */
  multiplyAdd(): number {
    const engine = this.#engine;
    const fused = engine.context.fma;
    return this.#rate(
      `limit ${fused ? "relaxed_madd" : "mul add"}`,
      chainsOf(fused ? emitMadd : emitMulAdd),
      8,
    );
  }

  /** Products of bytes summed in fours (`relaxed_dot`, or of 16-bit integers without relaxed SIMD): operations a second. */
  dot(): number {
    const { relaxed } = this.#engine.context, isOne = dotIsFast();
    return this.#rate(
      `limit ${relaxed ? `dot bytes ${isOne}` : "dot words"}`,
      chainsOf(!relaxed ? emitDotWords : isOne ? emitDot : emitDotWritten),
      relaxed ? 32 : 16,
    );
  }

  /** Reading memory that is in no cache: bytes a second. */
  read(): number {
    const engine = this.#engine;
    const area = 256 << 20, part = 64 << 20, block = 65536;
    if (this.#area === 0) {
      this.#area = engine.heap.scratch(area);
      engine.u8.fill(1, this.#area, this.#area + area);
    }
    const kernel = engine.kernel("limit read", emitRead);
    // Each turn reads a quarter that the last three did not touch.
    this.#quarter = (this.#quarter + 1) % 4;
    const from = this.#area + this.#quarter * part;
    return part / this.#seconds(() => engine.run(kernel, part / block, 4, from));
  }

  /**
   * Seconds that handing a job to the threads and having it back costs: pieces of two microseconds, one a thread, take so
   * much longer than one of them alone. The threads are awake.
   */
  dispatch(): number {
    const engine = this.#engine, { threads } = engine, jobs = 500;
    const kernel = engine.kernel("limit wait", emitWait);
    const alone = this.#seconds(() => {
      for (let i = 0; i < jobs; i++) kernel.run(engine.args, 0, 1);
    });
    const together = this.#seconds(() => {
      for (let i = 0; i < jobs; i++) engine.run(kernel, threads, 1);
    });
    return Math.max(0, together - alone) / jobs;
  }

  /** Gives memory back. */
  dispose(): void {
    if (this.#area !== 0) this.#engine.heap.release(this.#area);
    this.#area = 0;
  }

  #rate(key: string, emit: Emit, operations: number): number {
    const engine = this.#engine, kernel = engine.kernel(key, emit);
    const items = 400 * engine.threads;
    const time = this.#seconds(() => engine.run(kernel, items, 8));
    return items * turns * chains * operations / time;
  }
}

function secondsByClock(work: () => void): number {
  const start = performance.now();
  work();
  return (performance.now() - start) / 1e3;
}

/** One step of a chain: leaves the next sum on the stack, of `sum` and the constants `x` and `y`. */
type Step = (f: FunctionBuilder, sum: () => void, x: () => void, y: () => void) => void;

const emitMadd: Step = (f, sum, x, y) => {
  x();
  y();
  sum();
  f.op("f32x4.relaxed_madd");
};

const emitMulAdd: Step = (f, sum, x, y) => {
  sum();
  x();
  y();
  f.op("f32x4.mul");
  f.op("f32x4.add");
};

const emitDot: Step = (f, sum, x, y) => {
  x();
  y();
  sum();
  f.op("i32x4.relaxed_dot_i8x16_i7x16_add_s");
};

/** What {@link emitDot} is where it is no instruction, as `quantized/bytes.ts` writes it out. */
const emitDotWritten: Step = (f, sum, x, y) => {
  sum();
  sum();
  x();
  f.op("v128.xor");
  y();
  f.op("i16x8.relaxed_dot_i8x16_i7x16_s");
  y();
  f.op("i32x4.dot_i16x8_s");
  f.op("i32x4.add");
};

const emitDotWords: Step = (f, sum, x, y) => {
  sum();
  sum();
  x();
  f.op("v128.xor");
  y();
  f.op("i32x4.dot_i16x8_s");
  f.op("i32x4.add");
};

/** Items of {@link turns} turns of {@link chains} chains. A loop that returns is one that the engine soon runs well. */
function chainsOf(step: Step): Emit {
  return (m) => {
    const scratch = importThreadScratch(m);
    const run = m.function("run", { params: ["i32", "i32", "i32"] });
    const [, begin, end] = run.params;
    const f = m.function("chain", { export: false });
    const sums = f.localArray("v128", chains), x = f.local("v128"), y = f.local("v128"), i = f.local("i32");
    f.f32x4(1e-9);
    f.set(x);
    f.f32x4(0.5);
    f.set(y);
    f.forRange(i, 0, turns, 1, () => {
      for (const sum of sums) {
        step(f, () => f.get(sum), () => f.get(x), () => f.get(y));
        f.set(sum);
      }
    });
    // Somewhere the result must go, or the engine may drop the work.
    f.globalGet(scratch);
    sums.forEach((sum, k) => {
      f.get(sum);
      if (k > 0) f.op("v128.xor");
    });
    f.store("v128.store", 0, 4);
    const item = run.local("i32");
    run.forRange(item, begin, end, 1, () => run.call(f));
  };
}

/** Items of some microseconds of arithmetic whose steps wait for each other. */
const emitWait: Emit = (m) => {
  const scratch = importThreadScratch(m);
  const f = m.function("run", { params: ["i32", "i32", "i32"] });
  const [, begin, end] = f.params, item = f.local("i32"), i = f.local("i32"), x = f.local("i32");
  f.forRange(item, begin, end, 1, () => {
    f.forRange(i, 0, 2000, 1, () => {
      f.set(x, x.times(0x9e3779b1 | 0).op("xor", i));
    });
  });
  f.globalGet(scratch);
  f.get(x);
  f.store("i32.store");
};

/** Items of 64 KiB, from the address that stands in the place of the arguments. */
const emitRead: Emit = (m) => {
  const scratch = importThreadScratch(m);
  const run = m.function("run", { params: ["i32", "i32", "i32"] });
  const block = m.function("block", { params: ["i32"], results: ["v128"], export: false });
  const [at] = block.params;
  const sums = block.localArray("v128", 8), i = block.local("i32");
  block.forRange(i, 0, 512, 1, () => {
    sums.forEach((sum, k) => {
      block.get(sum);
      block.get(at);
      block.load("v128.load", 16 * k, 4);
      block.op("v128.xor");
      block.set(sum);
    });
    block.increment(at, 128);
  });
  sums.forEach((sum, k) => {
    block.get(sum);
    if (k > 0) block.op("v128.xor");
  });
  const [from, begin, end] = run.params, item = run.local("i32"), sum = run.local("v128");
  run.forRange(item, begin, end, 1, () => {
    run.get(from);
    run.get(item);
    run.i32(65536);
    run.op("i32.mul");
    run.op("i32.add");
    run.call(block);
    run.get(sum);
    run.op("v128.xor");
    run.set(sum);
  });
  run.globalGet(scratch);
  run.get(sum);
  run.store("v128.store", 0, 4);
};
