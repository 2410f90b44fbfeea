/**
 * Picking and placing by several lists of positions: against loops over plain numbers, on each device.
 */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import * as ft from "../mod.ts";
import { DTypeError, ShapeError, type Tensor, tensor } from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { assertClose, eachDevice, numbersOf } from "./_devices.ts";
import { onWebGpu } from "./_webgpu.ts";
import { width } from "./_width.ts";

const size = (list: readonly number[]): number => list.reduce((a, b) => a * b, 1);

eachDevice((device) => {
  const positions = (list: number[], shape = [list.length], dtype: "i32" | "i64" = "i32"): Tensor =>
    tensor(list, { shape, dtype, device } as never);

  describe("lists of positions", () => {
    it("pick and place what loops do, for seeded shapes", async () => {
      for (let seed = 0; seed < (device === "webgpu" ? 4 : width(16, 5)); seed++) {
        const random = new Generator(60 + seed),
          rank = random.integer(1, 4),
          count = random.integer(1, rank + 1);
        const shape = Array.from({ length: rank }, () => random.integer(1, 5)), rest = shape.slice(count);
        const own = [random.integer(1, 4), random.integer(1, 3)], n = size(own);
        const lists = Array.from(
          { length: count },
          (_, axis) => Array.from({ length: n }, () => random.integer(-shape[axis], shape[axis])),
        );
        // One of the lists is a column, which broadcasts.
        const column = count > 1 && seed % 2 === 0;
        if (column) lists[0] = Array.from({ length: n }, (_, i) => lists[0][Math.floor(i / own[1])]);
        const indices = lists.map((list, i) =>
          i === 0 && column
            ? positions(list.filter((_, k) => k % own[1] === 0), [own[0], 1], "i64")
            : positions(list, own)
        );
        const x = ft.randn(shape, { seed, device }), data = await numbersOf(x), inner = size(rest);
        const rows = Array.from(
          { length: n },
          (_, i) =>
            lists.reduce(
              (sum, list, axis) => sum * shape[axis] + (list[i] < 0 ? list[i] + shape[axis] : list[i]),
              0,
            ),
        );
        const got = ft.index(x, indices);
        assertEquals([...got.shape], [...own, ...rest]);
        assertEquals(await numbersOf(got), rows.flatMap((row) => data.slice(row * inner, (row + 1) * inner)));
        const values = ft.randn([...own, ...rest], { seed: seed + 1, device }), put = await numbersOf(values);
        const added = [...data], set = [...data];
        rows.forEach((row, i) => {
          for (let k = 0; k < inner; k++) {
            added[row * inner + k] += put[i * inner + k];
            set[row * inner + k] = put[i * inner + k];
          }
        });
        assertClose(await numbersOf(ft.indexPut(x, indices, values, { accumulate: true })), added, "added");
        if (new Set(rows).size === n) assertEquals(await numbersOf(ft.indexPut(x, indices, values)), set);
        assertEquals(
          (await numbersOf(ft.indexPut(x, indices, tensor(7, { device })))).filter((v) => v === 7).length,
          new Set(rows).size * inner,
        );
        const places = Array.from({ length: n }, () => random.integer(-data.length, data.length));
        assertEquals(await numbersOf(ft.take(x, positions(places, own))), places.map((p) => data.at(p)!));
      }
    });

    it("broadcast along other dims, and sort by argsort", async () => {
      const x = ft.randn([2, 3, 4], { seed: 3, device });
      assertEquals(
        await numbersOf(ft.takeAlongDim(x, ft.argsort(x, 1), 1)),
        await numbersOf(ft.sort(x, 1).values),
      );
      assertEquals(
        await numbersOf(ft.takeAlongDim(x, positions([2, 0], [1, 2, 1]), 1)),
        await numbersOf(ft.indexSelect(x, 1, positions([2, 0]))),
      );
      const all = await numbersOf(x);
      assertEquals(await numbersOf(ft.takeAlongDim(x, positions([5, -1]))), [all[5], all[23]]);
    });

    it("nonzero names them row by row", async () => {
      for (
        const [shape, list] of [[[2, 3], [0, 1, 0, -2, 0, NaN]], [[3], [0, 0, 0]], [[], [5]], [
          [0, 2],
          [],
        ]] as const
      ) {
        const found = await ft.nonzero(tensor([...list], { shape: [...shape], device } as never));
        const wanted = list.flatMap((v, i) => v === 0 ? [] : [i]);
        assertEquals([...found.shape], [wanted.length, shape.length]);
        const at = await numbersOf(found);
        wanted.forEach((w, i) =>
          assertEquals(
            [...shape as readonly number[]].reduce((sum, n, d) => sum * n + at[i * shape.length + d], 0),
            shape.length ? w : 0,
          )
        );
      }
    });

    it("a circular border is the other end", async () => {
      const x = tensor([[1, 2, 3], [4, 5, 6]], { device });
      assertEquals(await ft.pad(x, [2, 1], { mode: "circular" }).toArray(), [[2, 3, 1, 2, 3, 1], [
        5,
        6,
        4,
        5,
        6,
        4,
      ]]);
      assertEquals(await ft.pad(x, [0, 3, 1, 0], { mode: "circular" }).toArray(), [[4, 5, 6, 4, 5, 6], [
        1,
        2,
        3,
        1,
        2,
        3,
      ], [4, 5, 6, 4, 5, 6]]);
      assertThrows(() => ft.pad(x, [4, 0], { mode: "circular" }), ShapeError, "circular cannot add 4");
    });

    it("outside of an axis are refused, and never taken for those of another row", async () => {
      const x = ft.zeros([2, 3], { device }), late = device === "webgpu";
      for (
        const run of [
          () => ft.index(x, [positions([0]), positions([3])]),
          () => ft.indexPut(x, [positions([-3])], ft.ones([1, 3], { device })),
          () => ft.take(x, positions([6])),
        ]
      ) {
        if (late) await assertRejects(async () => await run().data(), ShapeError);
        else assertThrows(run, ShapeError, "is outside [");
      }
    });
  });
}, onWebGpu);

describe("lists of positions", () => {
  it("have derivatives", async () => {
    const device = "reference", dtype = "f64", at = tensor([0, 2, 0], { dtype: "i32", device });
    const x = ft.randn([3, 2], { seed: 1, device, dtype, requiresGrad: true });
    const values = ft.randn([3, 2], { seed: 2, device, dtype, requiresGrad: true });
    const other = tensor([1, 0, 1], { dtype: "i32", device });
    await ft.checkGradients((x: Tensor) => ft.index(x, [at, other]).sin().sum(), [x]);
    await ft.checkGradients(
      (x: Tensor, v: Tensor) => ft.indexPut(x, [at], v, { accumulate: true }).sin().sum(),
      [x, values],
    );
    await ft.checkGradients(
      (x: Tensor, v: Tensor) =>
        ft.indexPut(x, [tensor([2, 0], { dtype: "i32", device })], ft.narrow(v, 0, 0, 2)).sin().sum(),
      [x, values],
    );
    await ft.checkGradients((x: Tensor) => ft.take(x, at).sin().sum(), [x]);
    await ft.checkGradients((x: Tensor) => ft.pad(x, [1, 2], { mode: "circular" }).sin().sum(), [x]);
  });

  it("refuse what does not fit, in words", () => {
    const x = ft.zeros([2, 3]), at = tensor([0], { dtype: "i32" });
    assertThrows(() => ft.index(x, []), ShapeError, "expected 1 to 2 tensors");
    assertThrows(() => ft.index(x, [at, at, at]), ShapeError, "expected 1 to 2 tensors");
    assertThrows(() => ft.index(x, [tensor([0.5])]), DTypeError, "positions are i32 or i64, not f32");
    assertThrows(() => ft.indexPut(x, [at], ft.zeros([2])), ShapeError, "do not broadcast");
    assertThrows(() => ft.indexPut(x, [at], ft.zeros([3], { dtype: "i32" })), DTypeError, "convert one");
    assertThrows(() => ft.takeAlongDim(x, at, 1), ShapeError, "have as many dims");
  });
});
