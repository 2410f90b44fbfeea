/** Views on a cpu engine filled with known numbers, for tests of kernels. */
import { assert, assertStrictEquals, fail } from "@std/assert";
import type { View } from "../src/backends/contract.ts";
import type { CpuBuffer } from "../src/backends/cpu/buffer.ts";
import { Engine } from "../src/backends/cpu/engine.ts";
import type { Generator } from "../src/core/random.ts";
import { sizeOf } from "../src/core/shape.ts";
import { readDataJson } from "./_data.ts";
import { testPlatform } from "./_cpu_platform.ts";

/** An array of the recorded data. */
export interface Recorded {
  /** Sizes. */
  readonly shape: readonly number[];
  /** Values, row-major; infinities are text. */
  readonly data: readonly (number | string)[];
}

/** One recorded operation. */
export interface Golden {
  /** Its name in PyTorch. */
  readonly op: string;
  /** Its name in the file. */
  readonly name: string;
  /** Its options. */
  readonly attrs: Readonly<Record<string, unknown>>;
  /** Operands. */
  readonly inputs: Readonly<Record<string, Recorded>>;
  /** Results. */
  readonly outputs: readonly Recorded[];
  /** The gradient of a loss by each result. */
  readonly grad_outputs: readonly Recorded[];
  /** The gradients by operands. */
  readonly grads: Readonly<Record<string, Recorded>>;
}

/** Recorded values as numbers. */
export function numbersOf(data: Recorded["data"]): number[] {
  return data.map((x) => Number(String(x).replace("inf", "Infinity")));
}

/** The recorded cases of an operation. */
export function goldenCases(op: string): Golden[] {
  return readDataJson<{ cases: Golden[] }>("ops", "golden.json").cases.filter((c) => c.op === op);
}

/** What lies before and after every view: kernels that write it are found out, those that read it compute nonsense. */
const guard = NaN;

/** An engine whose memory holds views made by hand. */
export class Bench {
  /** The engine. */
  readonly engine: Engine;

  /** An engine with so many threads. */
  constructor(threads: number = 1, deterministic: boolean = false) {
    this.engine = new Engine(
      threads > 1 ? { platform: testPlatform(), threads, deterministic } : { deterministic },
    );
  }

  /**
   * A view of this shape holding `values` (row-major; NaN where there are none). `order` says which axis lies where in
   * memory, outermost first; `gap` floats lie behind each run along the last of them.
   */
  view(
    shape: readonly number[],
    values: ArrayLike<number> = [],
    order: readonly number[] = shape.map((_, d) => d),
    gap: number = 0,
  ): View {
    const strides = new Array<number>(shape.length);
    let size = 1;
    order.toReversed().forEach((d, i) => {
      strides[d] = size;
      size = size * shape[d] + (i === 0 ? gap : 0);
    });
    const byteLength = 4 * (size + 32);
    const pointer = this.engine.heap.allocate(byteLength);
    const buffer: CpuBuffer = { pointer, byteLength };
    const f32 = this.engine.f32.subarray(pointer / 4, pointer / 4 + size + 32);
    f32.fill(guard);
    const view: View = { buffer, dtype: "f32", shape, strides, offset: 16 };
    positions(view, (at, i) => f32[at] = values[i] ?? guard);
    return view;
  }

  /** A contiguous view of a recorded array. */
  recorded({ shape, data }: Recorded): View {
    return this.view(shape, numbersOf(data));
  }

  /** A contiguous view of integers. */
  integers(values: readonly number[]): View {
    const buffer: CpuBuffer = {
      pointer: this.engine.heap.allocate(4 * values.length),
      byteLength: 4 * values.length,
    };
    this.engine.i32.set(values, buffer.pointer / 4);
    return { buffer, dtype: "i32", shape: [values.length], strides: [1], offset: 0 };
  }

  /** The values of a view, row-major. Fails when memory around or between them was written. */
  values(view: View): Float32Array {
    const { pointer, byteLength } = view.buffer as CpuBuffer;
    const f32 = this.engine.f32.slice(pointer / 4, (pointer + byteLength) / 4);
    const out = new Float32Array(sizeOf(view.shape));
    positions(view, (at, i) => {
      out[i] = f32[at];
      f32[at] = guard;
    });
    assert(f32.every(Number.isNaN), "memory outside the view was written");
    return out;
  }

  /** Gives the memory of views back. */
  release(...views: View[]): void {
    for (const { buffer } of views) this.engine.heap.release((buffer as CpuBuffer).pointer);
  }
}

function positions(view: View, visit: (at: number, i: number) => void): void {
  const size = sizeOf(view.shape), position = view.shape.map(() => 0);
  for (let i = 0; i < size; i++) {
    visit(position.reduce((at, p, d) => at + p * view.strides[d], view.offset), i);
    for (let d = position.length - 1; d >= 0 && ++position[d] === view.shape[d]; d--) position[d] = 0;
  }
}

/** Normal random numbers, as f32. */
export function randomNumbers(
  generator: Generator,
  count: number,
  spread: number = 1,
  mean: number = 0,
): Float32Array {
  return Float32Array.from({ length: count }, () => mean + spread * generator.normal());
}

/** Fails unless |actual - expected| ≤ absolute + relative · |expected| everywhere; equal infinities and NaN agree. */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  relative: number,
  absolute: number,
  what: string,
): void {
  assertStrictEquals(actual.length, expected.length, what);
  for (let i = 0; i < expected.length; i++) {
    const a = actual[i], e = expected[i];
    if (Object.is(a, e) || a === e || Math.abs(a - e) <= absolute + relative * Math.abs(e)) continue;
    fail(`${what}: element ${i} is ${a}, expected ${e}`);
  }
}
