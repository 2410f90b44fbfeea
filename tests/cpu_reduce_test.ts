import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import type { ReduceKind, View } from "../src/backends/contract.ts";
import { Engine } from "../src/backends/cpu/engine.ts";
import { reduce } from "../src/backends/cpu/kernels/reduce.ts";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import type { DType } from "../src/core/dtype.ts";
import { ShapeError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import { contiguousStrides, sizeOf } from "../src/core/shape.ts";
import { add, exp, mul, sub } from "../src/expr/build.ts";
import { input, type Program, scalar } from "../src/expr/nodes.ts";
import { program } from "../src/expr/program.ts";
import { testPlatform } from "./_cpu_platform.ts";
import { cpuTwins } from "./_cpu_twins.ts";
import type { Twin } from "./_twins.ts";
import { width } from "./_width.ts";

const reference = createReferenceBackend();
const engine = new Engine();
const twins = cpuTwins(engine, reference);
const [x, y] = [input(0), input(1)];
const kinds: readonly ReduceKind[] = ["sum", "prod", "max", "min", "argmax", "argmin"];

/** A contiguous view with junk in it, of the shape that is left when `axes` are reduced. */
function result(random: Generator, dtype: DType, shape: readonly number[], axes: readonly number[]): Twin {
  const kept = shape.map((n, d) => axes.includes(d) ? 1 : n);
  return twins.view(random, dtype, kept, (r) => r.integer(1, 100), { contiguous: true });
}

function check(
  kind: ReduceKind,
  run: Program | null,
  inputs: readonly Twin[],
  scalars: readonly number[],
  axes: readonly number[],
  output: Twin,
  tolerance: number,
): void {
  reduce(engine, kind, run, inputs.map((t) => t.tested), scalars, axes, output.tested);
  reference.reduce(kind, run, inputs.map((t) => t.oracle), scalars, axes, output.oracle);
  const [first] = inputs;
  const what =
    `${kind} ${first?.tested.dtype} [${first?.tested.shape}] strides ${first?.tested.strides} axes ${axes}`;
  twins.compare(output, tolerance, `${what} to ${output.tested.dtype}`);
}

/** Few bits and few different values: sums are exact, products stay small, extremes have ties. */
const few = (random: Generator): number => [-1, 1, 1, 0.5, -2, 2, 1, -1][random.integer(0, 8)];
const whole = (random: Generator): number => random.integer(-3, 4);

describe("cpu reduce", () => {
  it("reduces random strided views along random axes", () => {
    const random = new Generator(1);
    const sizes = [1, 2, 3, 4, 5, 8, 9, 17, 33];
    const dtypes: readonly DType[] = ["f32", "f32", "f32", "i32", "i64", "bf16", "f16", "u8", "bool"];
    for (let i = 0; i < width(250, 80); i++) {
      const shape = Array.from(
        { length: random.integer(1, 5) },
        () => sizes[random.integer(0, sizes.length)],
      );
      const kind = kinds[random.integer(0, kinds.length)];
      const dtype = dtypes[random.integer(0, dtypes.length)];
      const single = [random.integer(0, shape.length)];
      const axes = kind.startsWith("arg")
        ? single
        : shape.map((_, d) => d).filter(() => random.uniform() < 0.5);
      const floating = dtype === "f32" || dtype === "bf16" || dtype === "f16";
      const target = kind.startsWith("arg")
        ? "i32"
        : floating
        ? (random.uniform() < 0.8 ? "f32" : "bf16")
        : "i64";
      const from = twins.view(random, dtype, shape, floating ? few : whole, {
        broadcast: random.uniform() < 0.3,
      });
      check(kind, null, [from], [], axes, result(random, target, shape, axes), 1e-6);
      twins.release();
    }
  });

  it("reduces long and wide arrays in parts", () => {
    const random = new Generator(2);
    const cases: [number[], number[]][] = [
      [[70_003], [0]],
      [[2, 40_001], [1]],
      [[20_001, 3], [0]],
      [[900, 46], [0]],
      [[46, 900], [1]],
      [[177, 333], [0, 1]],
      [[20, 30, 50], [0, 2]],
      [[20, 30, 50], [1]],
      [[3, 2500, 9], [0, 1]],
      [[5000, 2, 7], [0]],
      [[2, 10, 3000], [0, 1]],
      [[5000, 4], [1]],
    ];
    for (const [shape, axes] of cases) {
      for (const kind of ["sum", "max", "argmin"] as const) {
        if (kind === "argmin" && axes.length > 1) continue;
        for (const dtype of ["f32", "i32", "bf16"] as const) {
          const from = twins.view(random, dtype, shape, whole, { contiguous: true });
          const target = kind === "argmin" ? "i32" : dtype === "i32" ? "i64" : dtype;
          check(kind, null, [from], [], axes, result(random, target, shape, axes), 1e-6);
          twins.release();
        }
      }
    }
  });

  it("computes a program on the way", () => {
    const random = new Generator(3);
    const run = program("f32", [mul(exp(sub(x, scalar(0))), y)]);
    const light = program("f32", [mul(sub(x, scalar(0)), y)]);
    for (
      const [shape, axes] of [[[64, 100], [0]], [[64, 100], [1]], [[9, 17, 5], [0, 2]], [[3001], [
        0,
      ]]] as const
    ) {
      for (const each of [run, light]) {
        const fill = (r: Generator) => r.uniform() + 0.5;
        const from = twins.view(random, "f32", shape, fill, {});
        const factor = twins.view(random, "bf16", shape, fill, { broadcast: true });
        const out = result(random, "f32", shape, axes);
        check("sum", each, [from, factor], [0.25], axes, out, 3e-6);
        const place = result(random, "i32", shape, [axes[0]]);
        check("argmax", each, [from, factor], [0.25], [axes[0]], place, 0);
        twins.release();
      }
    }
  });

  it("passes NaN on, finds the first of equals, and keeps infinities", () => {
    for (const across of [false, true]) {
      const rows = [
        [1, 2, 2, 0, 1, 2, -1, -1],
        [1, NaN, 3, NaN, 5, 0, 0, 0],
        [-Infinity, -Infinity, -Infinity, -Infinity, -Infinity, -Infinity, -Infinity, -Infinity],
        [Infinity, 0, Infinity, 0, 0, 0, 0, -Infinity],
        [NaN, NaN, NaN, NaN, NaN, NaN, NaN, NaN],
        [0, -0, 0, -0, 0, -0, 0, -0],
      ];
      const values = Float32Array.from(rows.flat());
      const shape = [rows.length, 8];
      const bytes = new Uint8Array(values.buffer);
      const from = across
        ? twins.make("f32", [8, rows.length], [1, 8], 0, bytes)
        : twins.make("f32", shape, [8, 1], 0, bytes);
      const axes = across ? [0] : [1];
      for (const kind of kinds) {
        if (kind === "prod") continue;
        const out = result(new Generator(4), kind.startsWith("arg") ? "i32" : "f32", from.tested.shape, axes);
        check(kind, null, [from], [], axes, out, 0);
      }
      twins.release();
    }
  });

  it("gives 0 and 1 for empty sums and products, and refuses empty extremes", () => {
    const random = new Generator(5);
    for (const [shape, axes] of [[[0], [0]], [[3, 0], [1]], [[0, 4], [0]], [[0, 4], [1]]] as const) {
      const from = twins.view(random, "f32", shape, few, { contiguous: true });
      for (const kind of ["sum", "prod"] as const) {
        check(kind, null, [from], [], axes, result(random, "f32", shape, axes), 0);
      }
      const out = result(random, "f32", shape, axes);
      const extreme = () => reduce(engine, "max", null, [from.tested], [], axes, out.tested);
      if (sizeOf(out.tested.shape) > 0) assertThrows(extreme, ShapeError);
      else extreme();
      twins.release();
    }
  });

  it("keeps the error of a sum small however long it is", () => {
    const n = 4_000_000;
    const values = new Float32Array(n).fill(0.1);
    const from = twins.make("f32", [n], [1], 0, new Uint8Array(values.buffer));
    const tall = { ...from.tested, shape: [n / 4, 4], strides: [4, 1] };
    const out = result(new Generator(6), "f32", [n], [0]),
      four = result(new Generator(6), "f32", [n / 4, 4], [0]);
    reduce(engine, "sum", null, [from.tested], [], [0], out.tested);
    reduce(engine, "sum", null, [tall], [], [0], four.tested);
    const exact = Math.fround(0.1) * n;
    const [sum, quarter] = [out, four].map((t) => floats(engine, t.tested)[0]);
    assert(Math.abs(sum / exact - 1) < 2e-6, `${sum} for ${exact}`);
    assert(Math.abs(quarter / (exact / 4) - 1) < 2e-6, `${quarter} for ${exact / 4}`);
    twins.release();
  });

  it("gives the same bits on every runtime in deterministic mode", () => {
    const own = new Engine({ deterministic: true });
    const random = new Generator(8), shape = [70, 310];
    const values = Float32Array.from({ length: sizeOf(shape) }, () => random.uniform() * 4 - 2);
    const pointer = own.heap.allocate(4 * values.length), target = own.heap.allocate(4 * 310);
    own.f32.set(values, pointer >>> 2);
    const view = (at: number, of: readonly number[]): View => ({
      buffer: { pointer: at, byteLength: 4 * sizeOf(of) } as View["buffer"],
      dtype: "f32",
      shape: of,
      strides: contiguousStrides(of),
      offset: 0,
    });
    let sum = 0x811c9dc5;
    for (const run of [program("f32", [exp(x)]), program("f32", [mul(x, x)])]) {
      for (const axes of [[0], [1], [0, 1]]) {
        const kept = shape.map((size, d) => axes.includes(d) ? 1 : size);
        reduce(own, "sum", run, [view(pointer, shape)], [], axes, view(target, kept));
        const words = own.i32.subarray(target >>> 2, (target >>> 2) + sizeOf(kept));
        for (const word of words) sum = Math.imul(sum ^ word, 0x01000193);
      }
    }
    // Recorded once; every runtime that runs this test must find it again.
    assertStrictEquals((sum >>> 0).toString(16), "1ab11afa");
  });

  it("gives the same bits whatever the number of threads", async () => {
    const many = new Engine({ threads: 2, platform: testPlatform() });
    try {
      if (many.threadProblem !== null) return;
      assertStrictEquals(await many.ready(), 2);
      const random = new Generator(7);
      const values = Float32Array.from({ length: 600_000 }, () => random.uniform() - 0.5);
      const run = program("f32", [add(mul(x, x), x)]);
      for (const [shape, axes] of [[[600_000], [0]], [[2000, 300], [0]], [[2000, 300], [1]]] as const) {
        const [one, two] = [engine, many].map((own) => {
          const pointer = own.heap.allocate(4 * values.length);
          own.f32.set(values, pointer >>> 2);
          const kept = shape.map((size, d) => d === axes[0] ? 1 : size), bytes = 4 * sizeOf(kept);
          const target = own.heap.allocate(bytes);
          const view = (at: number, of: readonly number[]): View => ({
            buffer: { pointer: at, byteLength: 4 * sizeOf(of) } as View["buffer"],
            dtype: "f32",
            shape: of,
            strides: contiguousStrides(of),
            offset: 0,
          });
          reduce(own, "sum", run, [view(pointer, shape)], [], axes, view(target, kept));
          const bits = own.u8.slice(target, target + bytes);
          own.heap.release(pointer);
          own.heap.release(target);
          return bits;
        });
        assertEquals(one, two, `${shape}`);
      }
    } finally {
      many.dispose();
    }
  });
});

/** The elements of a contiguous f32 view. */
function floats(own: Engine, { buffer, shape }: View): Float32Array {
  const { pointer } = buffer as unknown as { pointer: number };
  return own.f32.slice(pointer >>> 2, (pointer >>> 2) + sizeOf(shape));
}
