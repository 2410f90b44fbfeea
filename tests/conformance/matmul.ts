/** Matrix products: any layout, batch, dtype, quantised weights, epilogues. */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { it } from "node:test";
import type { Epilogue, View } from "../../src/backends/contract.ts";
import type { DType } from "../../src/core/dtype.ts";
import { fromF16, toF16 } from "../../src/core/half.ts";
import { add, max, mul } from "../../src/expr/build.ts";
import { input, scalar } from "../../src/expr/nodes.ts";
import { program } from "../../src/expr/program.ts";
import { assertClose } from "../_compare.ts";
import { Together } from "../_together.ts";
import { inputLayouts, type LayoutKind, outputLayouts, type Workbench } from "../_views.ts";
import { floatsOf, type Part } from "./suite.ts";

const sizes: readonly [m: number, k: number, n: number][] = [
  [1, 1, 1],
  [1, 7, 1],
  [1, 33, 17],
  [5, 3, 2],
  [4, 8, 8],
  [6, 16, 8],
  [7, 9, 13],
  [13, 1, 5],
  [12, 64, 24],
  [31, 40, 33],
  [1, 300, 130],
  [70, 5, 9],
];

/** Row-major products of row-major matrices, with the sum of the terms' sizes beside each. */
function multiply(
  a: readonly number[],
  b: readonly number[],
  [batch, m, k, n]: readonly number[],
): { products: number[]; sizes: number[] } {
  const products: number[] = [], sizes: number[] = [];
  for (let r = 0; r < batch * m; r++) {
    const first = Math.floor(r / m) * k * n;
    for (let j = 0; j < n; j++) {
      let sum = 0, size = 0;
      for (let p = 0; p < k; p++) {
        const term = a[r * k + p] * b[first + p * n + j];
        sum += term;
        size += Math.abs(term);
      }
      products.push(sum);
      sizes.push(size);
    }
  }
  return { products, sizes };
}

function transposed(view: View): View {
  const swap = (
    list: readonly number[],
  ): number[] => [...list.slice(0, -2), list[list.length - 1], list[list.length - 2]];
  return { ...view, shape: swap(view.shape), strides: swap(view.strides) };
}

async function check(bench: Workbench, a: View, b: View, out: View): Promise<void> {
  bench.backend.matmul(a, b, out);
  const [m, n] = out.shape.slice(-2), k = a.shape[a.shape.length - 1];
  const batch = out.shape.slice(0, -2).reduce((x, y) => x * y, 1);
  const [x, y, stored] = await Promise.all([bench.read(a), bench.read(b), bench.read(out, "output")]);
  const { products, sizes } = multiply(x, y, [batch, m, k, n]);
  const eps = 2 ** (out.dtype === "f64" ? -52 : -23);
  assertClose(out.dtype, stored, products, {
    ulps: 1,
    // Sums in f32, in any order: the error grows with the number of terms in a block at most.
    also: (i) => (2 + Math.min(k, 64) / 4) * eps / 2 * sizes[i],
    name: (i) =>
      `${a.dtype} [${a.shape}] (${a.strides}) by ${b.dtype} [${b.shape}] (${b.strides}) to ${out.dtype} (${out.strides}), element ${i}`,
  });
}

function layout(bench: Workbench, from: readonly LayoutKind[]): LayoutKind {
  return from[bench.random.integer(0, from.length)];
}

/** Random quantised weights [n, k] and what they stand for, seen as [k, n]. */
function quantized(
  bench: Workbench,
  dtype: "q8" | "q4",
  k: number,
  n: number,
): { view: View; values: number[] } {
  const blockBytes = dtype === "q8" ? 34 : 18, bytes = new Uint8Array(n * k / 32 * blockBytes);
  const values = new Array<number>(k * n);
  for (let block = 0; block < n * k / 32; block++) {
    const at = block * blockBytes, half = toF16((bench.random.uniform() - 0.3) * 0.02);
    bytes[at] = half;
    bytes[at + 1] = half >>> 8;
    const put = (inside: number, value: number): void => {
      const element = block * 32 + inside, row = Math.floor(element / k), column = element % k;
      values[column * n + row] = fromF16(half) * value;
    };
    for (let j = 0; j < blockBytes - 2; j++) {
      // A q8 weight is from -127 to 127: its block's scale is the largest magnitude over 127.
      const byte = bytes[at + 2 + j] = dtype === "q8"
        ? bench.random.integer(-127, 128) & 255
        : bench.random.integer(0, 256);
      if (dtype === "q8") put(j, byte << 24 >> 24);
      else {
        put(j, (byte & 15) - 8);
        put(j + 16, (byte >>> 4) - 8);
      }
    }
  }
  return { view: { buffer: bench.upload(bytes), dtype, shape: [k, n], strides: [1, k], offset: 0 }, values };
}

/** Matrix products. */
export const matmul: Part = (open) => {
  it("f32, in rows and transposed", async () => {
    const bench = open(41), cases = new Together();
    for (const [m, k, n] of sizes) {
      for (const turn of [0, 1, 2, 3]) {
        const a = turn & 1 ? transposed(bench.input("f32", [k, m])) : bench.input("f32", [m, k]);
        const b = turn & 2 ? transposed(bench.input("f32", [n, k])) : bench.input("f32", [k, n]);
        await cases.start(() => check(bench, a, b, bench.output("f32", [m, n])));
      }
    }
    await cases.end();
    bench.free();
  });

  it("any dtypes, layouts and batches", async () => {
    const bench = open(42), floats = floatsOf(bench), cases = new Together();
    for (const a of floats) {
      for (const b of floats) {
        for (let round = 0; round < 4; round++) {
          const [m, k, n] = sizes[bench.random.integer(0, sizes.length)],
            batch = [[], [3], [2, 1, 2]][round % 3];
          const out: DType = a === "f64" || b === "f64" ? "f64" : round % 2 ? a : "f32";
          await cases.start(() =>
            check(
              bench,
              bench.input(a, [...batch, m, k], layout(bench, inputLayouts)),
              bench.input(b, [...batch, k, n], layout(bench, inputLayouts)),
              bench.output(out, [...batch, m, n], layout(bench, outputLayouts)),
            )
          );
        }
      }
    }
    await cases.end();
    bench.free();
  });

  it("repeats one matrix over a batch", async () => {
    const bench = open(43);
    const a = bench.input("f32", [4, 9, 12]), one = bench.input("f32", [12, 10]);
    const b: View = { ...one, shape: [4, 12, 10], strides: [0, 10, 1] };
    await check(bench, a, b, bench.output("f32", [4, 9, 10]));
    bench.free();
  });

  it("i32, with wraparound", async () => {
    const bench = open(44), cases = new Together();
    for (const [m, k, n] of sizes) {
      const a = bench.input("i32", [m, k], layout(bench, inputLayouts)),
        b = bench.input("i32", [k, n], layout(bench, inputLayouts));
      await cases.start(() => check(bench, a, b, bench.output("i32", [m, n])));
    }
    await cases.end();
    const out = bench.output("i32", [1, 1]);
    bench.backend.matmul(bench.of("i32", [1, 2], [65537, 1]), bench.of("i32", [2, 1], [65537, 5]), out);
    assertEquals(await bench.read(out), [131078]);
    bench.free();
  });

  for (const dtype of ["q8", "q4"] as const) {
    it(`weights in ${dtype}`, async () => {
      const bench = open(45);
      for (
        const [m, k, n] of [[1, 32, 1], [1, 64, 7], [3, 96, 8], [1, 256, 40], [9, 64, 33], [40, 128, 24]]
      ) {
        const { view, values } = quantized(bench, dtype, k, n);
        const a = bench.input("f32", [m, k]), out = bench.output("f32", [m, n]);
        bench.backend.matmul(a, view, out);
        const [x, stored] = await Promise.all([bench.read(a), bench.read(out, "output")]);
        const { products, sizes } = multiply(x, values, [1, m, k, n]);
        const largest = Array.from(
          { length: m },
          (_, r) => Math.max(...x.slice(r * k, r * k + k).map(Math.abs)),
        );
        // A device may round the activations to 7 bits for its integer instructions: 1/126 of the largest in a row.
        const spread = (i: number): number => {
          let sum = 0;
          for (let p = 0; p < k; p++) sum += values[p * n + i % n] ** 2;
          return 5 * Math.sqrt(sum / 3) * largest[Math.floor(i / n)] / 126;
        };
        assertClose("f32", stored, products, {
          ulps: 2,
          also: (i) => sizes[i] * 2 ** -20 + (bench.backend.name === "reference" ? 0 : spread(i)),
          name: (i) => `[${m}, ${k}] by ${dtype} [${k}, ${n}], element ${i}`,
        });
        bench.free();
      }
    });
  }

  it("applies an epilogue with operands and scalars to every product, in any dtype", async () => {
    const bench = open(46);
    // max(s · sum + bias, 0) + residual
    const p = program("f32", [add(max(add(mul(scalar(0), input(0)), input(1)), 0), input(2))]);
    for (const [m, k, n] of sizes) {
      for (const batch of [[], [2]]) {
        const shape = [...batch, m, n],
          a = bench.input("f32", [...batch, m, k]),
          b = bench.input("f32", [...batch, k, n], "permuted");
        const line = bench.input("f32", [n]),
          dtype = floatsOf(bench)[bench.random.integer(0, floatsOf(bench).length)];
        const bias: View = { ...line, shape, strides: shape.map((_, d) => d === shape.length - 1 ? 1 : 0) };
        const residual = bench.input(dtype, shape, layout(bench, inputLayouts)),
          out = bench.output("f32", shape, layout(bench, outputLayouts));
        const epilogue: Epilogue = { program: p, inputs: [bias, residual], scalars: [0.5] };
        bench.backend.matmul(a, b, out, epilogue);
        const [x, y, one, two, stored] = await Promise.all([
          ...[a, b, bias, residual].map((view) => bench.read(view)),
          bench.read(out, "output"),
        ]);
        const { products, sizes: terms } = multiply(x, y, [batch[0] ?? 1, m, k, n]);
        assertClose(
          "f32",
          stored,
          products.map((v, i) => Math.max(0.5 * v + one[i], 0) + two[i]),
          {
            ulps: 1,
            also: (i) =>
              (2 + Math.min(k, 64) / 4) * 2 ** -24 * terms[i] +
              (Math.abs(one[i]) + Math.abs(two[i])) * 2 ** -22,
            name: (i) => `[${m}, ${k}] by [${k}, ${n}], element ${i}`,
          },
        );
        bench.free();
      }
    }
  });

  it("a sum of nothing is 0, and goes through the epilogue; no rows and no columns are nothing to do", async () => {
    const bench = open(47), out = bench.output("f32", [3, 4]);
    bench.backend.matmul(bench.input("f32", [3, 0]), bench.input("f32", [0, 4]), out);
    assertEquals(await bench.read(out), new Array<number>(12).fill(0));
    const epilogue: Epilogue = {
      program: program("f32", [add(input(0), scalar(0))]),
      inputs: [],
      scalars: [7],
    };
    bench.backend.matmul(bench.input("f32", [3, 0]), bench.input("f32", [0, 4]), out, epilogue);
    assertEquals(await bench.read(out), new Array<number>(12).fill(7));
    for (const [m, n] of [[0, 4], [3, 0]]) {
      const empty = bench.output("f32", [m, n]);
      bench.backend.matmul(bench.input("f32", [m, 5]), bench.input("f32", [5, n]), empty);
      assertEquals(await bench.read(empty), []);
    }
    bench.free();
  });

  it("NaN and infinities spread along their row and column, not further, for any shape, layout and dtype", async () => {
    const bench = open(48), floats = floatsOf(bench), { random } = bench, cases = new Together();
    // Sums of these are exact, in whatever order, unless they are no numbers.
    const plain = [1, -1, 2, 0.5], special = [Infinity, -Infinity, NaN, 0];
    const pick = (list: readonly number[]): number => list[random.integer(0, list.length)];
    for (let round = 0; round < 400; round++) {
      const [m, k, n] = [17, 14, 19].map((most) => random.integer(1, random.integer(2, most)));
      const share = random.uniform() * 0.3,
        fill = (): number => pick(random.uniform() < share ? special : plain);
      const batch = round % 5 === 0 ? [2] : [];
      const a = bench.input(pickOf(random, floats), [...batch, m, k], layout(bench, inputLayouts), fill);
      const b = bench.input(pickOf(random, floats), [...batch, k, n], layout(bench, inputLayouts), fill);
      const out = bench.output("f32", [...batch, m, n], layout(bench, outputLayouts));
      await cases.start(async () => {
        bench.backend.matmul(a, b, out);
        const [x, y, stored] = await Promise.all([bench.read(a), bench.read(b), bench.read(out, "output")]);
        const { products } = multiply(x, y, [batch[0] ?? 1, m, k, n]);
        assertClose("f32", stored, products, {
          name: (i) =>
            `${a.dtype} [${a.shape}] (${a.strides}) by ${b.dtype} [${b.shape}] (${b.strides}), element ${i}`,
        });
      });
    }
    await cases.end();
    bench.free();
  });

  for (const dtype of ["q8", "q4"] as const) {
    it(`a row with NaN or infinities gives no number with weights in ${dtype}, and leaves other rows alone`, async () => {
      const bench = open(49), { random } = bench, cases = new Together();
      for (let round = 0; round < 40; round++) {
        const m = random.integer(1, 20), k = 32 * random.integer(1, 4), n = random.integer(1, 40);
        const { view } = quantized(bench, dtype, k, n),
          rows = Array.from({ length: m }, () => random.integer(0, 3));
        const at = random.integer(0, k), value = [NaN, Infinity, -Infinity][round % 3];
        const clean = Array.from({ length: m * k }, () => random.normal());
        const dirty = clean.map((v, i) => i % k === at && rows[Math.floor(i / k)] === 0 ? value : v);
        const [good, bad] = [bench.output("f32", [m, n]), bench.output("f32", [m, n])];
        bench.backend.matmul(bench.of("f32", [m, k], clean), view, good);
        bench.backend.matmul(bench.of("f32", [m, k], dirty), view, bad);
        await cases.start(async () => {
          const [expected, found] = await Promise.all([bench.read(good), bench.read(bad)]);
          found.forEach((v, i) => {
            const row = Math.floor(i / n);
            if (rows[row] !== 0) assertStrictEquals(v, expected[i], `row ${row} beside one with ${value}`);
            else assert(!Number.isFinite(v), `row ${row} with ${value} gives ${v}`);
          });
        });
      }
      await cases.end();
      bench.free();
    });
  }
};

function pickOf<T>(random: Workbench["random"], list: readonly T[]): T {
  return list[random.integer(0, list.length)];
}
