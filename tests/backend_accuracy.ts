/**
 * How near a device's f32 functions come to the truth: the largest error over dense sweeps, in units of the last
 * place, and the exact values at the edges.
 *
 * The truth is double precision. Sweeps take numbers evenly spaced in value and evenly spaced in their bits, so that
 * tiny and huge ones are met as often as ordinary ones.
 */
import { assert } from "@std/assert";
import { after, before, describe, it } from "node:test";
import type { Backend } from "../src/backends/contract.ts";
import { Generator } from "../src/core/random.ts";
import { input } from "../src/expr/nodes.ts";
import { program } from "../src/expr/program.ts";
import { table } from "../src/expr/table.ts";
import { ulp } from "./_compare.ts";
import { truth } from "./_truth.ts";
import { Workbench } from "./_views.ts";
import { width } from "./_width.ts";
import type { ConformanceOptions } from "./conformance/suite.ts";

const count = width(40_000, 8_000);

/** Floats from `low` to `high`, one half even in value and the other half even in their bits. */
function sweep(low: number, high: number): Float32Array {
  const ends = new Int32Array(Float32Array.of(low, high).buffer), x = new Float32Array(count);
  // Order the bits of negative numbers below those of positive ones.
  const ordered = (bits: number): number => bits < 0 ? -2147483648 - bits : bits;
  const [from, to] = [ordered(ends[0]), ordered(ends[1])];
  const bits = new Int32Array(x.buffer), half = count / 2;
  for (let i = 0; i < half; i++) {
    x[i] = low + (high - low) * i / (half - 1);
    bits[half + i] = ordered(Math.round(from + (to - from) * i / (half - 1)));
  }
  return x;
}

/** Rows, where they are swept, and the most that they may be off by, in ulp. */
const sweeps: readonly [row: string, low: number, high: number, limit: number][] = [
  ["exp", -87.3, 88.72, 2],
  ["exp", -103.9, -87.3, 2], // the results are subnormal
  ["expm1", -30, 88.7, 2],
  ["expm1", -0.5, 0.5, 2],
  ["log", 1e-45, 3.4e38, 2],
  ["log", 0.5, 2, 2],
  ["log1p", -0.9999999, 3.4e38, 2],
  ["log1p", -0.5, 0.5, 2],
  ["tanh", -20, 20, 2],
  ["tanh", -1, 1, 2],
  ["erf", -5, 5, 2],
  ["erf", -1, 1, 2],
  ["sin", -3.2, 3.2, 2],
  ["sin", -33_554_432, 33_554_432, 2],
  ["sin", 33_554_432, 3.4028234e38, 2],
  ["sin", -3.4028234e38, -33_554_432, 2],
  ["cos", -3.2, 3.2, 2],
  ["cos", -33_554_432, 33_554_432, 2],
  ["cos", 33_554_432, 3.4028234e38, 2],
  ["cos", -3.4028234e38, -33_554_432, 2],
  ["sigmoid", -88, 30, 2],
  ["sigmoid", -103.9, -88, 2], // the results are subnormal
  ["gelu", -0.5, 12, 3],
  ["silu", -80, 80, 3],
  ["sqrt", 0, 3.4e38, 0.5],
];

/** What a function must give exactly, at the edges of its domain and of the format. */
const edges: Readonly<Record<string, readonly [...x: number[], y: number][]>> = {
  exp: [[0, 1], [-0, 1], [Infinity, Infinity], [-Infinity, 0], [NaN, NaN], [89, Infinity], [-104, 0], [
    1e-40,
    1,
  ]],
  expm1: [[0, 0], [-0, -0], [Infinity, Infinity], [-Infinity, -1], [NaN, NaN], [1e-40, Math.fround(1e-40)], [
    -100,
    -1,
  ]],
  log: [[1, 0], [0, -Infinity], [-0, -Infinity], [Infinity, Infinity], [-1, NaN], [-Infinity, NaN], [
    NaN,
    NaN,
  ]],
  log1p: [[0, 0], [-0, -0], [-1, -Infinity], [Infinity, Infinity], [-2, NaN], [NaN, NaN], [
    1e-40,
    Math.fround(1e-40),
  ]],
  tanh: [[0, 0], [-0, -0], [Infinity, 1], [-Infinity, -1], [NaN, NaN], [30, 1], [
    -1e-40,
    Math.fround(-1e-40),
  ]],
  erf: [[0, 0], [-0, -0], [Infinity, 1], [-Infinity, -1], [NaN, NaN], [6, 1], [-6, -1]],
  sin: [[0, 0], [-0, -0], [Infinity, NaN], [-Infinity, NaN], [NaN, NaN], [1e-40, Math.fround(1e-40)]],
  cos: [[0, 1], [-0, 1], [Infinity, NaN], [-Infinity, NaN], [NaN, NaN], [1e-40, 1]],
  sigmoid: [[0, 0.5], [-0, 0.5], [Infinity, 1], [-Infinity, 0], [NaN, NaN], [-105, 0], [105, 1]],
  gelu: [[0, 0], [Infinity, Infinity], [NaN, NaN], [20, 20]],
  sqrt: [[0, 0], [-0, -0], [-1, NaN], [Infinity, Infinity], [NaN, NaN], [2 ** -148, 2 ** -74]],
  pow: [
    [2, 10, 1024],
    [-2, 3, -8],
    [-2, 0.5, NaN],
    [0, 0, 1],
    [NaN, 0, 1],
    [1, NaN, 1],
    [NaN, 1, NaN],
    [-1, Infinity, 1],
    [0, -1, Infinity],
    [-0, -1, -Infinity],
    [-0, -2, Infinity],
    [-0, 3, -0],
    [-0, 2, 0],
    [0.5, Infinity, 0],
    [2, -Infinity, 0],
    [Infinity, -1, 0],
    [-Infinity, 3, -Infinity],
    [-Infinity, 2, Infinity],
    [2, 128, Infinity],
    [2, -149, 2 ** -149],
    [2, -151, 0],
    [10, 38, Math.fround(1e38)],
  ],
};

/** Declares the suite for the device that `create` makes. */
export function accuracy(
  name: string,
  create: () => Backend,
  options: Pick<ConformanceOptions, "ready" | "close"> = {},
): void {
  describe(`${name} is accurate`, () => {
    const backend = create(), bench = new Workbench(backend);
    before(() => options.ready?.(backend));
    after(() => options.close?.(backend));
    const run = async (row: string, x: readonly Float32Array[]): Promise<number[]> => {
      const shape = [x[0].length], out = bench.output("f32", shape);
      const p = program("f32", [table[row].formula(...x.map((_, i) => input(i)))]);
      backend.elementwise(p, x.map((values) => bench.of("f32", shape, [...values])), [], [out]);
      const y = await bench.read(out);
      bench.free();
      return y;
    };
    const worst = (
      row: string,
      x: readonly Float32Array[],
      y: readonly number[],
    ): [ulps: number, at: string] => {
      const [first, second] = x, known = truth[row];
      let most = 0, where = "";
      for (let i = 0; i < y.length; i++) {
        const expected = second === undefined ? known(first[i]) : known(first[i], second[i]);
        // Beyond the largest float only infinity is right.
        const off = Math.abs(expected) > 3.4028235e38 ? 0 : Math.abs(y[i] - expected) / ulp("f32", expected);
        if (off > most || Number.isNaN(off)) {
          [most, where] = [off, `${row}(${x.map((values) => values[i])}) = ${y[i]}, not ${expected}`];
        }
      }
      return [most, where];
    };

    for (const [row, low, high, limit] of sweeps) {
      it(`${row} from ${low} to ${high}: within ${limit} ulp`, async () => {
        const x = sweep(low, high), [ulps, where] = worst(row, [x], await run(row, [x]));
        assert(ulps <= limit, `off by ${ulps} ulp: ${where}`);
      });
    }

    it("pow: within 2 ulp", async () => {
      const random = new Generator(9);
      const x = Float32Array.from(
        { length: count },
        (_, i) => i % 2 ? 100 * random.uniform() : Math.exp(20 * random.uniform() - 10),
      );
      const y = Float32Array.from(
        { length: count },
        (_, i) => i % 3 ? 8 * random.uniform() - 4 : random.integer(-6, 7),
      );
      const [ulps, where] = worst("pow", [x, y], await run("pow", [x, y]));
      assert(ulps <= 2, `off by ${ulps} ulp: ${where}`);
    });

    it("gelu to the left of -0.5: within 2^-22 of its argument, as 1 + erf has no more digits", async () => {
      const x = sweep(-12, -0.5), y = await run("gelu", [x]);
      const wrong = y.findIndex((v, i) => !(Math.abs(v - truth.gelu(x[i])) <= Math.abs(x[i]) * 2 ** -22));
      assert(wrong < 0, `gelu(${x[wrong]}) = ${y[wrong]}`);
    });

    it("geluTanh: within 4 ulp, and to the left 3 more for each unit of the exponential's argument, which is rounded", async () => {
      const x = sweep(-9, 12), y = await run("geluTanh", [x]);
      y.forEach((v, i) => {
        const expected = truth.geluTanh(x[i]);
        const argument = 1.6 * Math.abs(x[i]) + 0.0714 * Math.abs(x[i]) ** 3;
        const off = Math.abs(v - expected) / ulp("f32", expected);
        assert(off <= 4 + (x[i] < 0 ? 3 * argument : 0), `geluTanh(${x[i]}) = ${v}, off by ${off} ulp`);
      });
    });

    it("the edges of every function are exact", async () => {
      for (const [row, cases] of Object.entries(edges)) {
        const columns = Array.from(
          { length: table[row].arity },
          (_, k) => Float32Array.from(cases, (c) => c[k]),
        );
        const y = await run(row, columns);
        cases.forEach((c, i) => {
          assert(
            Object.is(y[i], c[c.length - 1]),
            `${row}(${c.slice(0, -1)}) = ${y[i]}, not ${c[c.length - 1]}`,
          );
        });
      }
    });
  });
}
