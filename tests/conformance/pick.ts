/** Picking, placing, running sums, sorting, random numbers. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { it } from "node:test";
import type { View } from "../../src/backends/contract.ts";
import type { DType } from "../../src/core/dtype.ts";
import { ShapeError } from "../../src/core/errors.ts";
import { philox, toNormal, toUniform } from "../../src/core/random.ts";
import { contiguousStrides, sizeOf } from "../../src/core/shape.ts";
import { assertClose, rounded } from "../_compare.ts";
import { Together } from "../_together.ts";
import { inputLayouts, outputLayouts, positionsOf, type Workbench } from "../_views.ts";
import { floatsOf, integersOf, type Part } from "./suite.ts";

/** The flat place of a position. */
function place(shape: readonly number[], position: readonly number[]): number {
  const strides = contiguousStrides(shape);
  return position.reduce((at, i, d) => at + i * strides[d], 0);
}

const picks: readonly [x: number[], axis: number, index: number[]][] = [
  [[7], 0, [12]],
  [[1], 0, [1]],
  [[50, 8], 0, [9, 8]],
  [[50, 33], 0, [20, 33]],
  [[6, 11], 1, [6, 4]],
  [[3, 5, 4], 1, [3, 7, 4]],
  [[3, 5, 4], 2, [3, 5, 1]],
  [[2, 3, 2, 5], 0, [6, 3, 2, 5]],
  [[4, 3], 0, [0, 3]],
];

function indices(
  bench: Workbench,
  dtype: "i32" | "i64",
  shape: readonly number[],
  size: number,
  rows: boolean,
  axis: number,
): View {
  const negativeToo = (): number => bench.random.integer(-size, size);
  if (!rows) return bench.input(dtype, shape, outputLayouts[bench.random.integer(0, 5)], negativeToo);
  // One index for a whole row, as an embedding has: repeated along the other axes.
  const line = bench.input(dtype, [shape[axis]], "offset", negativeToo);
  return { ...line, shape, strides: shape.map((_, d) => d === axis ? line.strides[0] : 0) };
}

/** Where each element of `index` points to in a tensor of shape `x`. */
function targets(
  x: readonly number[],
  axis: number,
  shape: readonly number[],
  index: readonly number[],
): number[] {
  return positionsOf(shape).map((p, i) =>
    place(x, p.map((at, d) => d !== axis ? at : index[i] < 0 ? index[i] + x[axis] : index[i]))
  );
}

/** Rows of `length` values, each sorted stably with NaN above all numbers, and where each value was in its row. */
function sortedRows(
  all: readonly number[],
  length: number,
  descending: boolean,
): { values: number[]; order: number[] } {
  const values: number[] = [], order: number[] = [];
  for (let row = 0; row < all.length; row += length) {
    const sorted = all.slice(row, row + length).map((value, i) => ({ value, i })).sort((a, b) => {
      const lost = Number(Number.isNaN(a.value)) - Number(Number.isNaN(b.value));
      const sign = lost ? lost : a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
      return (descending ? -sign : sign) || a.i - b.i;
    });
    values.push(...sorted.map(({ value }) => value));
    order.push(...sorted.map(({ i }) => i));
  }
  return { values, order };
}

const indexTypes = (bench: Workbench): ("i32" | "i64")[] =>
  bench.backend.supports("i64") ? ["i32", "i64"] : ["i32"];

/** Picking and ordering. */
export const pick: Part = (open) => {
  it("gather takes elements by index, in any dtype and layout", async () => {
    const bench = open(61), cases = new Together();
    for (const dtype of [...floatsOf(bench), ...integersOf(bench)]) {
      for (const [shape, axis, to] of picks) {
        for (const type of indexTypes(bench)) {
          for (const rows of [true, false]) {
            const x = bench.input(dtype, shape, inputLayouts[bench.random.integer(0, 6)]);
            const index = indices(bench, type, to, shape[axis], rows, axis);
            const out = bench.output(dtype, to, outputLayouts[bench.random.integer(0, 5)]);
            bench.backend.gather(x, axis, index, out);
            await cases.start(async () => {
              const reads = [bench.read(x), bench.read(index), bench.read(out, "output")];
              const [values, places, picked] = await Promise.all(reads);
              assertEquals(
                picked,
                targets(shape, axis, to, places).map((i) => values[i]),
                `${dtype} [${shape}] at ${axis}`,
              );
            });
          }
        }
      }
    }
    await cases.end();
    bench.free();
  });

  it("scatter adds or writes by index, and repeats add up in order", async () => {
    const bench = open(62), cases = new Together();
    for (const dtype of [...floatsOf(bench), ...integersOf(bench)]) {
      for (const [shape, axis, to] of picks) {
        for (const mode of ["add", "set"] as const) {
          const rows = bench.random.integer(0, 2) === 1,
            few = (): number => bench.random.integer(0, dtype === "bool" ? 2 : 9);
          const start = Array.from({ length: sizeOf(shape) }, few), out = bench.of(dtype, shape, start);
          const types = indexTypes(bench), type = types[bench.random.integer(0, types.length)];
          const index = indices(bench, type, to, shape[axis], rows, axis);
          const source = bench.input(dtype, to, inputLayouts[bench.random.integer(0, 6)], few);
          bench.backend.scatter(mode, out, axis, index, source);
          await cases.start(async () => {
            const expected = [...start], reads = [bench.read(source), bench.read(index), bench.read(out)];
            const [values, places, stored] = await Promise.all(reads);
            targets(shape, axis, to, places).forEach((at, i) => {
              expected[at] = rounded(dtype, mode === "add" ? expected[at] + values[i] : values[i]);
            });
            assertEquals(stored, expected, `${mode} ${dtype} [${shape}] at ${axis}`);
          });
        }
      }
    }
    await cases.end();
    bench.free();
  });

  it("scatter adds f32 in the order of the index", async () => {
    const bench = open(63), n = 1000, out = bench.of("f32", [3], [0, 0, 0]);
    const index = bench.input("i32", [n], "contiguous", () => bench.random.integer(0, 3));
    const source = bench.input(
      "f32",
      [n],
      "contiguous",
      () => bench.random.normal() * 10 ** bench.random.integer(-3, 4),
    );
    bench.backend.scatter("add", out, 0, index, source);
    const [at, values] = [await bench.read(index), await bench.read(source)], expected = [0, 0, 0];
    at.forEach((k, i) => expected[k] = Math.fround(expected[k] + values[i]));
    assertEquals(await bench.read(out), expected);
    bench.free();
  });

  it("an index out of range is refused", async () => {
    const bench = open(64), x = bench.input("f32", [4, 2]), out = bench.output("f32", [1, 2]);
    for (const wrong of [4, -5, 1_000_000]) {
      const index = bench.of("i32", [1, 2], [0, wrong]);
      if (!bench.backend.mapped) {
        // A device that answers late says so with the next answer, and then goes on.
        bench.backend.gather(x, 0, index, out);
        await assertRejects(() => bench.read(out), ShapeError, `${wrong}`);
        bench.backend.scatter("add", x, 0, index, out);
        await assertRejects(() => bench.read(x), ShapeError);
        await bench.read(x);
        continue;
      }
      assertThrows(() => bench.backend.gather(x, 0, index, out), ShapeError);
      assertThrows(() => bench.backend.scatter("add", x, 0, index, out), ShapeError);
    }
    bench.free();
  });

  it("cumsum adds up along an axis", async () => {
    const bench = open(65), cases = new Together();
    for (const dtype of [...floatsOf(bench), ...integersOf(bench)]) {
      for (
        const [shape, axis] of [[[9], 0], [[1], 0], [[0], 0], [[33, 5], 0], [[5, 130], 1], [
          [3, 4, 5],
          1,
        ]] as const
      ) {
        const to: DType = dtype === "bool" || dtype === "u8" ? "i32" : dtype;
        const x = bench.input(
          dtype,
          shape,
          inputLayouts[bench.random.integer(0, 6)],
          () => bench.random.integer(0, 2),
        );
        const out = bench.output(to, shape);
        bench.backend.cumsum(x, axis, out);
        await cases.start(async () => {
          const [expected, stored] = await Promise.all([bench.read(x), bench.read(out)]);
          const step = contiguousStrides(shape)[axis];
          positionsOf(shape).forEach((p, i) => {
            if (p[axis] > 0) expected[i] += expected[i - step];
          });
          assertEquals(stored, expected, `${dtype} [${shape}] along ${axis}`);
        });
      }
    }
    await cases.end();
    const x = bench.input("f32", [5000], "contiguous", () => 0.1), out = bench.output("f32", [5000]);
    bench.backend.cumsum(x, 0, out);
    assertClose(
      "f32",
      await bench.read(out),
      Array.from({ length: 5000 }, (_, i) => Math.fround(0.1) * (i + 1)),
      { ulps: 16 },
    );
    bench.free();
  });

  it("sort is stable in both directions, with NaN above all numbers", async () => {
    const bench = open(66), cases = new Together();
    for (const dtype of [...floatsOf(bench), ...integersOf(bench)]) {
      const float = floatsOf(bench).includes(dtype);
      for (const shape of [[], [1], [40], [0], [3, 257], [2, 3, 5]]) {
        for (const descending of [false, true]) {
          const some = (): number => {
            const kind = bench.random.integer(0, 8);
            if (float && kind < 5) return [NaN, Infinity, -Infinity, -0, 0][kind];
            return kind < 6 ? bench.sample(dtype) : dtype === "bool" ? 1 : 3;
          };
          const x = bench.input(dtype, shape, inputLayouts[bench.random.integer(0, 6)], some);
          const values = bench.output(dtype, shape), positions = bench.output("i32", shape);
          bench.backend.sort(x, descending, values, positions);
          await cases.start(async () => {
            const [all, ...found] = await Promise.all([x, values, positions].map((view) => bench.read(view)));
            const expected = sortedRows(all, shape.at(-1) ?? 1, descending);
            assertEquals(found, [expected.values, expected.order], `${dtype} [${shape}]`);
          });
        }
      }
    }
    await cases.end();
    bench.free();
  });

  it("random numbers are those of the core, from any word on", async () => {
    const bench = open(67), words = new Uint32Array(4);
    for (const kind of ["uniform", "normal"] as const) {
      for (
        const [seed, offset, n] of [[1, 0, 1000], [2 ** 53 - 1, 5, 3], [77, 4_294_967_290 * 4 + 2, 41], [
          3,
          8,
          1,
        ], [3, 8, 0]]
      ) {
        const out = bench.output("f32", [n], "offset");
        bench.backend.random(kind, seed, offset, out);
        const expected = Array.from({ length: n }, (_, i) => {
          philox(seed, Math.floor((offset + i) / 4), words);
          const word = words[(offset + i) % 4];
          return Math.fround(kind === "uniform" ? toUniform(word) : toNormal(word));
        });
        assertEquals(await bench.read(out, "output"), expected, `${kind} ${seed} ${offset}`);
        bench.free();
      }
    }
  });
};
