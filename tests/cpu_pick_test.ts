import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import type { View } from "../src/backends/contract.ts";
import { addressOf } from "../src/backends/cpu/buffer.ts";
import { Engine } from "../src/backends/cpu/engine.ts";
import { cumsum } from "../src/backends/cpu/kernels/cumsum.ts";
import { gather } from "../src/backends/cpu/kernels/gather.ts";
import { random } from "../src/backends/cpu/kernels/random.ts";
import { scatter } from "../src/backends/cpu/kernels/scatter.ts";
import { sort } from "../src/backends/cpu/kernels/sort.ts";
import { arrayOn, byteSize, type DType } from "../src/core/dtype.ts";
import { ShapeError } from "../src/core/errors.ts";
import { fromBf16, fromF16, toBf16, toF16 } from "../src/core/half.ts";
import { Generator, philox, toNormal, toUniform } from "../src/core/random.ts";
import { contiguousStrides, sizeOf } from "../src/core/shape.ts";
import { testPlatform } from "./_cpu_platform.ts";

const engine = new Engine({ platform: testPlatform(), threads: 2 });
await engine.ready();

/** A view whose axes lie in memory in the order `order` (outermost first), filled by `f` of the position in memory. */
function make(
  dtype: DType,
  shape: readonly number[],
  f: (i: number) => number = () => 0,
  order: readonly number[] = shape.map((_, d) => d),
): View {
  const size = sizeOf(shape);
  const gap = 3;
  const byteLength = byteSize(dtype, size + gap);
  const buffer = { pointer: engine.heap.allocate(byteLength), byteLength };
  const laid = contiguousStrides(order.map((d) => shape[d]));
  const strides = shape.map((_, d) => laid[order.indexOf(d)]);
  const view = { buffer, dtype, shape, strides, offset: gap };
  const values = raw(view, size);
  for (let i = 0; i < size; i++) values[i] = encode(dtype, f(i));
  return view;
}

type Values = ArrayLike<number | bigint> & { [i: number]: number | bigint };

function raw(view: View, size: number): Values {
  return arrayOn(view.dtype, engine.heap.memory.buffer, addressOf(view), size) as unknown as Values;
}

function encode(dtype: DType, x: number): number | bigint {
  return dtype === "i64" ? BigInt(x) : dtype === "f16" ? toF16(x) : dtype === "bf16" ? toBf16(x) : x;
}

function decode(dtype: DType, x: number | bigint): number {
  return dtype === "f16" ? fromF16(Number(x)) : dtype === "bf16" ? fromBf16(Number(x)) : Number(x);
}

/** All positions of a shape, in row-major order. */
function positions(shape: readonly number[]): number[][] {
  return shape.reduce<number[][]>(
    (list, size) => list.flatMap((p) => Array.from({ length: size }, (_, i) => [...p, i])),
    [[]],
  );
}

function get(view: View, position: readonly number[]): number {
  const at = position.reduce((sum, i, d) => sum + i * view.strides[d], 0);
  const array = arrayOn(
    view.dtype,
    engine.heap.memory.buffer,
    addressOf({ ...view, offset: view.offset + at }),
    1,
  );
  return decode(view.dtype, array[0]);
}

const all = (view: View): number[] => positions(view.shape).map((p) => get(view, p));

const generator = new Generator(3);
const small = () => generator.integer(0, 100);

describe("cpu gather and scatter", () => {
  for (const dtype of ["f32", "f16", "bf16", "i32", "i64", "u8"] as const) {
    for (const indexType of ["i32", "i64"] as const) {
      it(`picks ${dtype} by ${indexType} along every axis, strided`, () => {
        for (const axis of [0, 1, 2]) {
          const shape = [4, 5, 6];
          const x = make(dtype, shape, small, [2, 0, 1]);
          const outShape = shape.map((n, d) => d === axis ? 7 : n);
          const index = make(indexType, outShape, () => generator.integer(-shape[axis], shape[axis]), [
            1,
            2,
            0,
          ]);
          const out = make(dtype, outShape, () => 0, [0, 2, 1]);
          gather(engine, x, axis, index, out);
          for (const p of positions(outShape)) {
            const i = get(index, p);
            const from = p.map((n, d) => d === axis ? (i < 0 ? i + shape[axis] : i) : n);
            assertStrictEquals(get(out, p), get(x, from));
          }
        }
      });
    }
    it(`takes rows of ${dtype}`, () => {
      const x = make(dtype, [50, 768], small);
      const index = make("i64", [300], () => generator.integer(0, 50));
      const out = make(dtype, [300, 768]);
      gather(engine, x, 0, { ...index, shape: [300, 768], strides: [1, 0] }, out);
      for (let i = 0; i < 300; i += 7) {
        for (const j of [0, 1, 100, 767]) assertStrictEquals(get(out, [i, j]), get(x, [get(index, [i]), j]));
      }
    });
    for (const mode of ["add", "set"] as const) {
      it(`${mode}s ${dtype} along every axis`, () => {
        for (const axis of [0, 1, 2]) {
          const shape = [4, 5, 6];
          const sourceShape = shape.map((n, d) => d === axis ? 3 : n);
          const out = make(dtype, shape, small);
          // For "set" the positions along the axis differ: which of two writes wins is not said.
          const index = make("i32", sourceShape, () => 0, [2, 1, 0]);
          for (const p of positions(sourceShape)) {
            const at = p.reduce((sum, i, d) => sum + i * index.strides[d], index.offset);
            const pick = mode === "add"
              ? generator.integer(-shape[axis], shape[axis])
              : p[axis] - shape[axis];
            engine.i32[addressOf({ ...index, offset: at }) >>> 2] = pick;
          }
          const source = make(dtype, sourceShape, small, [1, 0, 2]);
          const expected = new Map(positions(shape).map((p) => [p.join(), get(out, p)]));
          for (const p of positions(sourceShape)) {
            const i = get(index, p);
            const key = p.map((n, d) => d === axis ? (i < 0 ? i + shape[axis] : i) : n).join();
            const sum = mode === "set" ? get(source, p) : expected.get(key)! + get(source, p);
            expected.set(key, dtype === "u8" ? sum & 255 : decode(dtype, encode(dtype, sum)));
          }
          scatter(engine, mode, out, axis, index, source);
          assertEquals(all(out), [...expected.values()]);
        }
      });
    }
    it(`adds rows of ${dtype}, repeats in order, whatever the threads`, () => {
      const rows = 9, columns = 131, count = 400;
      const index = make("i32", [count], () => generator.integer(-rows, rows));
      const source = make(
        dtype,
        [count, columns],
        () => dtype === "f32" ? generator.normal() : generator.integer(0, 3),
      );
      const expected = make(dtype, [rows, columns], small);
      const out = [1, 2].map(() => make(dtype, [rows, columns]));
      for (const view of out) {
        engine.u8.copyWithin(
          addressOf(view),
          addressOf(expected),
          addressOf(expected) + byteSize(dtype, rows * columns),
        );
      }
      const to = raw(expected, rows * columns), from = raw(source, count * columns);
      for (let n = 0; n < count; n++) {
        const row = get(index, [n]);
        for (let c = 0; c < columns; c++) {
          const at = (row < 0 ? row + rows : row) * columns + c;
          const sum = decode(dtype, to[at]) + decode(dtype, from[n * columns + c]);
          to[at] = encode(dtype, sum);
        }
      }
      const spread = { ...index, shape: [count, columns], strides: [1, 0] };
      for (const [k, threads] of [1, 2].entries()) {
        engine.threads = threads;
        scatter(engine, "add", out[k], 0, spread, source);
        assertEquals(all(out[k]), all(expected));
      }
    });
  }

  it("names an index that is out of range", () => {
    const x = make("f32", [3, 2], small), out = make("f32", [1, 2]);
    for (const bad of [3, -4, 2 ** 40]) {
      const index = make("i64", [1], () => bad);
      const spread = { ...index, shape: [1, 2], strides: [1, 0] };
      const wanted = "is outside [-3, 2] at dim 0 of [3, 2]";
      assertThrows(() => gather(engine, x, 0, spread, out), ShapeError, wanted);
      assertThrows(() => scatter(engine, "add", x, 0, spread, out), ShapeError, wanted);
    }
  });

  it("does nothing for empty views", () => {
    const x = make("f32", [3, 2], small), before = all(x);
    const none = make("i32", [0, 2]), out = make("f32", [0, 2]);
    gather(engine, x, 0, none, out);
    scatter(engine, "add", x, 0, none, out);
    assertEquals(all(x), before);
  });
});

describe("cpu cumsum and sort", () => {
  it("sums along every axis", () => {
    for (
      const [dtype, outType] of [["f32", "f32"], ["i32", "i32"], ["i64", "i64"], ["bool", "i64"], [
        "f16",
        "f16",
      ]] as const
    ) {
      for (const axis of [0, 1, 2]) {
        const x = make(dtype, [3, 4, 5], () => generator.integer(0, 2), [1, 2, 0]);
        const out = make(outType, [3, 4, 5]);
        cumsum(engine, x, axis, out);
        for (const p of positions(x.shape)) {
          let sum = 0;
          for (let i = 0; i <= p[axis]; i++) sum += get(x, p.map((n, d) => d === axis ? i : n));
          assertStrictEquals(get(out, p), sum);
        }
      }
    }
  });

  for (const dtype of ["f32", "f16", "bf16", "i32", "i64", "u8", "bool"] as const) {
    for (const descending of [false, true]) {
      it(`sorts ${dtype} ${descending ? "downwards" : "upwards"}, stably, NaN above all`, () => {
        const float = dtype === "f32" || dtype === "f16" || dtype === "bf16";
        const odd = [NaN, -NaN, 0, -0, Infinity, -Infinity];
        const draw = (): number => {
          if (dtype === "bool") return generator.integer(0, 2);
          if (dtype === "u8") return generator.integer(0, 256);
          if (float) {
            return generator.uniform() < 0.2
              ? odd[generator.integer(0, 6)]
              : Math.round(generator.normal() * 50) / 8;
          }
          if (dtype === "i64") return generator.integer(-3, 3) * 2 ** 33 + generator.integer(-3, 3);
          return generator.integer(-1e9, 1e9) >> generator.integer(0, 30);
        };
        for (const length of [1, 7, 32, 33, 1000]) {
          const x = make(dtype, [3, length], draw, [1, 0]);
          const values = make(dtype, [3, length]), indices = make("i32", [3, length]);
          sort(engine, x, descending, values, indices);
          for (let row = 0; row < 3; row++) {
            const line = Array.from({ length }, (_, i) => get(x, [row, i]));
            const order = line.map((_, i) => i).sort((i, j) => {
              const a = line[i], b = line[j];
              if (a !== a || b !== b) {
                return (Number(a !== a) - Number(b !== b)) * (descending ? -1 : 1) || i - j;
              }
              return (a === b ? 0 : (a < b) === descending ? 1 : -1) || i - j;
            });
            for (let i = 0; i < length; i++) {
              assertStrictEquals(get(indices, [row, i]), order[i]);
              assert(Object.is(get(values, [row, i]), line[order[i]]));
            }
          }
        }
        assertStrictEquals(engine.heap.temporaries, 0);
      });
    }
  }
});

describe("cpu random", () => {
  for (const kind of ["uniform", "normal"] as const) {
    it(`makes the words of the core, bit for bit: ${kind}`, () => {
      const word = new Uint32Array(4);
      for (
        const [seed, offset, n] of [[0, 0, 5000], [2 ** 53 - 1, 2 ** 40 + 3, 2001], [7, 2 ** 34 - 8, 30], [
          5,
          6,
          1,
        ], [5, 1, 0]]
      ) {
        const out = make("f32", [n]);
        random(engine, kind, seed, offset, out);
        for (let i = 0; i < n; i++) {
          philox(seed, Math.floor((offset + i) / 4), word);
          const bits = word[(offset + i) % 4];
          assertStrictEquals(
            get(out, [i]),
            Math.fround(kind === "uniform" ? toUniform(bits) : toNormal(bits)),
          );
        }
      }
    });
  }
});
