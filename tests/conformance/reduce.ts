/** Reductions: all kinds over any axes of any layout, with their bounds on rounding. */
import { assertEquals } from "@std/assert";
import { it } from "node:test";
import type { ReduceKind, View } from "../../src/backends/contract.ts";
import { contiguousStrides, sizeOf } from "../../src/core/shape.ts";
import { add, exp, mul, sub } from "../../src/expr/build.ts";
import { input, scalar } from "../../src/expr/nodes.ts";
import { program } from "../../src/expr/program.ts";
import { assertClose, ulp } from "../_compare.ts";
import { Together } from "../_together.ts";
import { inputLayouts, positionsOf, type Workbench } from "../_views.ts";
import { floatsOf, integersOf, type Part } from "./suite.ts";

const shapes: readonly [shape: number[], axes: number[]][] = [
  [[], []],
  [[1], [0]],
  [[9], [0]],
  [[130], [0]],
  [[4100], [0]],
  [[5, 7], [0]],
  [[5, 7], [1]],
  [[5, 7], [0, 1]],
  [[33, 65], [0]],
  [[33, 65], [1]],
  [[3, 4, 5], [0, 2]],
  [[3, 4, 5], [1]],
  [[3, 40, 20], [1, 2]],
  [[20, 40, 3], [0, 1]],
  [[2, 3, 4, 5], [1, 3]],
  [[2, 3, 4, 5], []],
  [[6, 1, 3], [1]],
];

function reducedShape(shape: readonly number[], axes: readonly number[]): number[] {
  return shape.map((n, d) => axes.includes(d) ? 1 : n);
}

/** The elements that make each output, in row-major order of the reduced axes. */
function groups(values: readonly number[], shape: readonly number[], axes: readonly number[]): number[][] {
  const to = reducedShape(shape, axes), strides = contiguousStrides(to);
  const result: number[][] = Array.from({ length: sizeOf(to) }, () => []);
  positionsOf(shape).forEach((p, i) => {
    result[p.reduce((at, k, d) => at + (axes.includes(d) ? 0 : k * strides[d]), 0)].push(values[i]);
  });
  return result;
}

const folds: Readonly<Record<ReduceKind, (x: readonly number[]) => number>> = {
  sum: (x) => x.reduce((a, b) => a + b, 0),
  prod: (x) => x.reduce((a, b) => a * b, 1),
  max: (x) => x.reduce((a, b) => Math.max(a, b), -Infinity),
  min: (x) => x.reduce((a, b) => Math.min(a, b), Infinity),
  argmax: (x) => x.some(Number.isNaN) ? x.findIndex(Number.isNaN) : x.indexOf(Math.max(...x)),
  argmin: (x) => x.some(Number.isNaN) ? x.findIndex(Number.isNaN) : x.indexOf(Math.min(...x)),
};

const sumOfSizes = (x: readonly number[]): number => x.reduce((a, b) => a + Math.abs(b), 0);

async function check(
  bench: Workbench,
  kind: ReduceKind,
  x: View,
  axes: readonly number[],
  dtype: View["dtype"],
): Promise<void> {
  const out = bench.output(dtype, reducedShape(x.shape, axes));
  bench.backend.reduce(kind, null, [x], [], axes, out);
  const [values, stored] = await Promise.all([bench.read(x), bench.read(out, "output")]);
  const parts = groups(values, x.shape, axes);
  const eps = 2 ** (x.dtype === "f64" ? -52 : -23);
  assertClose(dtype, stored, parts.map(folds[kind]), {
    ulps: kind === "prod" ? 1 + parts[0]?.length * eps / ulp(dtype, 1) : kind === "sum" ? 1 : 0,
    also: (i) => kind === "sum" ? (4 + Math.log2(parts[i].length + 1)) * eps / 2 * sumOfSizes(parts[i]) : 0,
    name: (i) => `${kind} of ${x.dtype} [${x.shape}] over [${axes}], strides [${x.strides}], element ${i}`,
  });
}

/** Reductions. */
export const reduce: Part = (open) => {
  for (const kind of ["sum", "prod", "max", "min"] as const) {
    it(`${kind} of floats`, async () => {
      const bench = open(21), cases = new Together();
      for (const dtype of floatsOf(bench)) {
        for (const [shape, axes] of shapes) {
          for (
            const layout of [
              inputLayouts[bench.random.integer(0, 6)],
              inputLayouts[bench.random.integer(0, 6)],
            ]
          ) {
            // Factors near 1 keep a product of thousands in range.
            const near = (): number => 1 + 0.02 * (bench.random.uniform() - 0.5);
            const x = bench.input(dtype, shape, layout, kind === "prod" ? near : () => bench.sample(dtype));
            const to = dtype === "f64" || dtype === "f32"
              ? dtype
              : bench.random.integer(0, 2)
              ? dtype
              : "f32";
            await cases.start(() => check(bench, kind, x, axes, to));
          }
        }
      }
      await cases.end();
      bench.free();
    });

    it(`${kind} of integers`, async () => {
      const bench = open(22), cases = new Together();
      for (const dtype of integersOf(bench)) {
        const wide = kind === "sum" || kind === "prod", out = wide && dtype !== "i64" ? "i32" : dtype;
        for (const [shape, axes] of shapes) {
          const layout = inputLayouts[bench.random.integer(0, 6)];
          const one = (): number => bench.random.integer(0, 30) ? 1 : 2;
          const x = bench.input(dtype, shape, layout, kind === "prod" ? one : () => bench.sample(dtype));
          if (kind === "prod" && sizeOf(shape) > 200) continue;
          await cases.start(() => check(bench, kind, x, axes, out));
        }
      }
      await cases.end();
      bench.free();
    });
  }

  it("applies an epilogue with operands and scalars to what was reduced", async () => {
    const bench = open(28);
    const p = program("f32", [add(mul(scalar(0), input(0)), input(1))]);
    for (const [shape, axes] of shapes) {
      const x = bench.input("f32", shape), to = reducedShape(shape, axes);
      const other = bench.input("f32", to), out = bench.output("f32", to);
      bench.backend.reduce("max", null, [x], [], axes, out, { program: p, inputs: [other], scalars: [0.5] });
      const [values, rest, stored] = await Promise.all([
        bench.read(x),
        bench.read(other),
        bench.read(out, "output"),
      ]);
      const largest = groups(values, shape, axes).map(folds.max);
      assertClose("f32", stored, largest.map((v, i) => 0.5 * v + rest[i]), {
        ulps: 1,
        also: (i) => (Math.abs(largest[i]) + Math.abs(rest[i])) * 2 ** -23,
        name: (i) => `[${shape}] over [${axes}], element ${i}`,
      });
      bench.free();
    }
  });

  it("argmax and argmin: the first of equals, and the first NaN before all", async () => {
    const bench = open(23), cases = new Together();
    for (const dtype of [...floatsOf(bench), ...integersOf(bench)]) {
      for (const kind of ["argmax", "argmin"] as const) {
        for (const [shape, axes] of shapes) {
          if (axes.length !== 1) continue;
          const few = (): number => bench.random.integer(0, dtype === "bool" ? 2 : 5);
          const nan = (): number => bench.random.integer(0, 40) === 0 ? NaN : few();
          const float = floatsOf(bench).includes(dtype);
          const x = bench.input(dtype, shape, inputLayouts[bench.random.integer(0, 6)], float ? nan : few);
          await cases.start(() => check(bench, kind, x, axes, "i32"));
        }
      }
    }
    await cases.end();
    bench.free();
  });

  it("max and min pass NaN on, and know infinities", async () => {
    const bench = open(24), n = 67;
    for (const kind of ["max", "min"] as const) {
      for (const at of [0, 1, 30, 63, 64, 66]) {
        const x = bench.of("f32", [n], Array.from({ length: n }, (_, i) => i === at ? NaN : i - 30));
        await check(bench, kind, x, [0], "f32");
      }
      await check(bench, kind, bench.of("f32", [3], [-Infinity, -Infinity, -Infinity]), [0], "f32");
      await check(bench, kind, bench.of("f32", [5], [Infinity, 3, -Infinity, 2, 1]), [0], "f32");
    }
    bench.free();
  });

  it("an empty sum is 0 and an empty product 1; without outputs there is nothing to do", async () => {
    const bench = open(25);
    for (const kind of ["sum", "prod"] as const) {
      for (const dtype of ["f32", "i32"] as const) {
        await check(bench, kind, bench.input(dtype, [3, 0, 2]), [1], dtype);
        await check(bench, kind, bench.input(dtype, [0]), [0], dtype);
      }
      await check(bench, kind, bench.input("f32", [0, 4]), [1], "f32");
    }
    await check(bench, "max", bench.input("f32", [0, 4]), [1], "f32");
    bench.free();
  });

  it("computes a program of several inputs on the way", async () => {
    const bench = open(26), p = program("f32", [mul(scalar(0), exp(sub(input(0), input(1))))]);
    for (const [shape, axes] of shapes) {
      const x = bench.input(
        "f32",
        shape,
        inputLayouts[bench.random.integer(0, 6)],
        () => bench.random.uniform(),
      );
      const y = bench.input("f32", shape, "broadcast", () => bench.random.uniform());
      const out = bench.output("f32", reducedShape(shape, axes));
      bench.backend.reduce("sum", p, [x, y], [0.5], axes, out);
      const [a, b, stored] = await Promise.all([bench.read(x), bench.read(y), bench.read(out, "output")]);
      const parts = groups(a.map((v, i) => 0.5 * Math.exp(v - b[i])), shape, axes);
      // Rounding the difference is as large as half an ulp of 1, and the exponential passes it on.
      assertClose("f32", stored, parts.map(folds.sum), {
        ulps: 8,
        name: (i) => `[${shape}] over [${axes}], element ${i}`,
      });
      bench.free();
    }
  });

  it("computes programs of other types and dtypes", async () => {
    const bench = open(27), x = bench.input("i32", [40, 9], "permuted"), out = bench.output("i32", [1, 9]);
    bench.backend.reduce("sum", program("i32", [mul(input(0), input(0))]), [x], [], [0], out);
    const squares = groups((await bench.read(x)).map((v) => v * v), [40, 9], [0]).map(folds.sum);
    assertEquals(await bench.read(out), squares);
    if (bench.backend.supports("bf16")) {
      const y = bench.input("bf16", [40, 9], "permuted"), mean = bench.output("f32", [40, 1]);
      bench.backend.reduce("max", program("f32", [add(input(0), scalar(0))]), [y], [10], [1], mean);
      assertClose(
        "f32",
        await bench.read(mean),
        groups((await bench.read(y)).map((v) => v + 10), [40, 9], [1]).map(folds.max),
      );
    }
    bench.free();
  });

  it("wraps sums of integers", async () => {
    const bench = open(28),
      x = bench.of("i32", [5], [2147483647, 2147483647, 5, -3, 2147483647]),
      out = bench.output("i32", [1]);
    bench.backend.reduce("sum", null, [x], [], [0], out);
    assertEquals(await bench.read(out), [3 * 2147483647 + 2 | 0]);
    if (bench.backend.supports("i64")) {
      const y = bench.ofBigints([2n ** 63n - 1n, 2n, 2n ** 40n]), long = bench.output("i64", [1]);
      bench.backend.reduce("sum", null, [y], [], [0], long);
      assertEquals(await bench.readBigints(long), [-(2n ** 63n) + 1n + 2n ** 40n]);
    }
    bench.free();
  });

  it("a long sum keeps its precision", async () => {
    // One plain f32 sum would be off by 40,000 ulp here, four side by side by 10,000: the same error at every step.
    const bench = open(29), n = 300_001;
    for (
      const [shape, axes] of [[[n], [0]], [[n, 1], [0]], [[n >> 2, 4], [0]], [[4, n >> 2], [1]]] as const
    ) {
      const x = bench.input("f32", shape, "contiguous", () => 0.1),
        out = bench.output("f32", reducedShape(shape, axes));
      bench.backend.reduce("sum", null, [x], [], axes, out);
      const expected = Math.fround(0.1) * sizeOf(shape) / sizeOf(out.shape);
      assertClose("f32", await bench.read(out), new Array<number>(sizeOf(out.shape)).fill(expected), {
        ulps: 64,
      });
      bench.free();
    }
  });
};
