/**
 * Measures how fast the machine's libraries and our own kernels multiply, and has the engine go on with the fastest
 * (`choice.ts`). A library must also be right: where its product differs from ours, or where it loses a NaN, it is not used
 * however fast it is.
 *
 * Everybody takes turns, on this thread alone, and the shortest time of each counts: a machine that is busy with something
 * else delays one turn, not one library. All in all it may take {@link mostMilliseconds}; what it did not come to is as good
 * as slow.
 *
 * @module
 */
import { DeviceError } from "../../core/errors.ts";
import type { View } from "../contract.ts";
import { provideQuantized } from "../kernels/quantized.ts";
import type { CpuBuffer } from "./buffer.ts";
import { type Case, caseOf, cases, choose, ownName, type Speeds } from "./choice.ts";
import type { Engine } from "./engine.ts";
import { matmul } from "./kernels/matmul.ts";
import type { NativeBlas } from "./platform.ts";

/** The longest that {@link tune} may take. */
const mostMilliseconds = 280;

/** Turns of everybody, if there is time. */
const mostRounds = 6;

/** After fewer turns nothing is chosen yet: the machine was busy, and the next try goes on. */
const leastTurns = 2;

/** After fewer turns the next process measures again. */
const leastKeptTurns = 3;

/** A turn repeats a product until it has done so many multiply-adds: some tenths of a millisecond. */
const turnWork = 1 << 24;

/** Finds out which library is fastest, if that is open; afterwards it is settled, and what was captured is void. */
export function tune(engine: Engine, now: () => number = () => performance.now()): void {
  const { blas } = engine;
  if (!blas.isOpen || engine.deterministic || engine.isCapturing) return;
  const start = now(), libraries = blas.candidates(), engines = [null, ...libraries];
  const state = open.get(engine) ?? {
    refused: engines.map(() => undefined),
    best: engines.map(() => cases.map(() => Infinity)),
    turns: 0,
  };
  open.set(engine, state);
  try {
    if (libraries.length > 0) {
      provideQuantized();
      const bench = new Bench(engine, engines, state);
      try {
        engine.alone(() => bench.measure(() => now() - start));
      } finally {
        bench.release();
      }
    }
  } catch (error) {
    // No room for the matrices: then ours multiply.
    if (!(error instanceof DeviceError)) throw error;
  } finally {
    engine.epoch++;
    if (libraries.length === 0 || state.turns >= leastTurns || !blas.postpone()) {
      open.delete(engine);
      const table = engines.map((library, e): Speeds => {
        const name = library?.title ?? ownName, refused = state.refused[e];
        const speeds = cases.map((one, i) => 2 * work(one) / state.best[e][i] / 1e9);
        return refused ? { name, speeds, refused } : { name, speeds };
      });
      const choice = choose(table), library = libraries.find(({ title }) => title === choice.library) ?? null;
      blas.settle(choice, table, library, state.turns >= leastKeptTurns);
    }
  }
}

/** What is known of each engine so far, our own first. */
interface State {
  /** What is wrong with it; null when nothing is, undefined when nobody looked. */
  readonly refused: (string | null | undefined)[];
  /** The shortest seconds by case. */
  readonly best: number[][];
  /** How often everybody had its turn at everything. */
  turns: number;
}

/** Measurements that go on later. */
const open = new WeakMap<Engine, State>();

/** Matrices for all cases. */
class Bench {
  readonly #engine: Engine;
  readonly #engines: readonly (NativeBlas | null)[];
  readonly #state: State;
  readonly #a: number;
  readonly #b: number;
  readonly #bytes: CpuBuffer;
  readonly #out: number;

  constructor(engine: Engine, engines: readonly (NativeBlas | null)[], state: State) {
    this.#engine = engine;
    this.#engines = engines;
    this.#state = state;
    const most = (size: (one: Case) => number): number => Math.max(...cases.map(size));
    const numbers = most(({ rows, depth }) => rows * depth),
      weights = most(({ columns, depth }) => columns * depth),
      results = most(({ rows, columns }) => rows * columns),
      byteLength = weights / 32 * 34;
    this.#a = engine.heap.scratch(4 * (numbers + weights + results) + byteLength);
    this.#b = this.#a + 4 * numbers;
    this.#out = this.#b + 4 * weights;
    const pointer = this.#out + 4 * results;
    this.#bytes = { pointer, byteLength };
    // Numbers of no pattern that a sum could cancel, the same everywhere; over and over, for that is quick.
    let last = 1;
    const next = (): number => (last = (Math.imul(last, 1664525) + 1013904223) | 0) / 2 ** 31;
    const { f32, u8, u16 } = engine, a = this.#a >>> 2, b = this.#b >>> 2;
    repeat(f32.subarray(a, a + numbers), Float32Array.from({ length: 4093 }, next));
    repeat(f32.subarray(b, b + weights), Float32Array.from({ length: 4093 }, next));
    repeat(
      u8.subarray(pointer, pointer + byteLength),
      Uint8Array.from({ length: 34 * 61 }, () => 127 * next()),
    );
    for (let at = pointer >>> 1; at < (pointer + byteLength) >>> 1; at += 17) u16[at] = 0x2000; // the scale, 2⁻⁷
  }

  release(): void {
    this.#engine.heap.release(this.#a);
  }

  /** Has all take turns, until it is enough or late. */
  measure(elapsed: () => number): void {
    const { blas } = this.#engine, { refused, best } = this.#state;
    for (let round = 0; round < mostRounds; round++) {
      for (let i = 0; i < cases.length; i++) {
        for (const [e, library] of this.#engines.entries()) {
          if (library && refused[e] === undefined) refused[e] = this.#problemOf(library);
          if (refused[e] || this.#isSlow(e)) continue;
          if (elapsed() > mostMilliseconds) return blas.tryOut(null);
          blas.tryOut(library);
          best[e][i] = Math.min(best[e][i], this.#seconds(cases[i], elapsed));
        }
      }
      this.#state.turns++;
    }
    blas.tryOut(null);
  }

  /** Whether an engine is so much slower than the best with many rows that its other speeds do not matter. */
  #isSlow(engine: number): boolean {
    const { best, turns } = this.#state, first = best.map((seconds) => seconds[0]);
    return engine > 0 && turns > 0 && first[engine] > 2 * Math.min(...first);
  }

  /** Seconds that a product takes. */
  #seconds(one: Case, elapsed: () => number): number {
    const count = Math.max(1, Math.round(turnWork / work(one))), start = elapsed();
    for (let i = 0; i < count; i++) this.#multiply(one);
    return Math.max(1e-9, (elapsed() - start) / 1e3 / count);
  }

  #multiply({ rows, columns, depth, weights, transposed }: Case): void {
    const view = (pointer: number, shape: number[]): View => ({
      buffer: { pointer, byteLength: 4 * shape[0] * shape[1] } as CpuBuffer,
      dtype: "f32",
      shape,
      strides: [shape[1], 1],
      offset: 0,
    });
    const b = weights === "f32"
      ? { ...view(this.#b, [depth, columns]), ...(transposed ? { strides: [1, depth] } : {}) }
      : { buffer: this.#bytes, dtype: weights, shape: [depth, columns], strides: [1, depth], offset: 0 };
    matmul(this.#engine, view(this.#a, [rows, depth]), b, view(this.#out, [rows, columns]));
  }

  /** What is wrong with the numbers of a library; null when nothing is. */
  #problemOf(library: NativeBlas): string | null {
    const engine = this.#engine, { blas, f32 } = engine;
    const one = caseOf("128³"), { rows, columns, depth } = one, size = rows * columns;
    const product = (by: NativeBlas | null): Float32Array => {
      blas.tryOut(by);
      // What the output held before must not matter.
      f32.fill(NaN, this.#out >>> 2, (this.#out >>> 2) + size);
      this.#multiply(one);
      return f32.slice(this.#out >>> 2, (this.#out >>> 2) + size);
    };
    const expected = product(null), found = product(library);
    // Sums of `depth` products below 1: rounding stays far below this, and arithmetic of fewer digits does not.
    if (!found.every((x, i) => Math.abs(x - expected[i]) < 1e-6 * depth)) return "its products are not exact";
    const bytes = this.#rootMeanSquares(library, caseOf("q8, 32 rows"));
    if (!(bytes.difference < 0.03 * bytes.size)) return "its products with quantised weights are wrong";
    // A row of zeros meets an infinity, and a NaN all rows.
    const a = this.#a >>> 2, b = this.#b >>> 2, row = f32.slice(a, a + depth), kept = f32.slice(b, b + 2);
    f32.fill(0, a, a + depth);
    f32[b] = Infinity;
    f32[b + 1] = NaN;
    const strange = product(library);
    f32.set(row, a);
    f32.set(kept, b);
    for (let i = 0; i < rows; i++) {
      const [x, y, z] = strange.subarray(columns * i, columns * i + 3);
      if ((i === 0 && !Number.isNaN(x)) || Number.isFinite(x) || !Number.isNaN(y) || !Number.isFinite(z)) {
        return "it does not pass on NaN and Infinity";
      }
    }
    return null;
  }

  /** How large products with quantised weights are, and how far those by a library lie from ours, in which bytes are rounded. */
  #rootMeanSquares(library: NativeBlas, one: Case): { size: number; difference: number } {
    const { blas, f32 } = this.#engine, out = this.#out >>> 2, count = one.rows * one.columns;
    const [ours, theirs] = [null, library].map((by) => {
      blas.tryOut(by);
      f32.fill(NaN, out, out + count);
      this.#multiply(one);
      return f32.slice(out, out + count);
    });
    let size = 0, difference = 0;
    for (let i = 0; i < count; i++) {
      size += ours[i] ** 2;
      difference += (ours[i] - theirs[i]) ** 2;
    }
    return { size: Math.sqrt(size), difference: Math.sqrt(difference) };
  }
}

/** Fills `all` with `part`, over and over. */
function repeat<T extends Float32Array | Uint8Array>(all: T, part: T): void {
  for (let at = 0; at < all.length; at += part.length) {
    all.set(part.subarray(0, all.length - at), at);
  }
}

const work = ({ rows, columns, depth }: Case): number => rows * columns * depth;
