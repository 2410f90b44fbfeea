import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { after, describe, it } from "node:test";
import { crossEntropy, crossEntropyBackward } from "../src/backends/cpu/kernels/cross_entropy.ts";
import { layerNorm, layerNormBackward } from "../src/backends/cpu/kernels/layer_norm.ts";
import { softmax, softmaxBackward } from "../src/backends/cpu/kernels/softmax.ts";
import { ShapeError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import { assertClose, Bench, goldenCases, numbersOf, randomNumbers } from "./_cpu_kernels.ts";

const sum = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0);

function rowsOf(x: ArrayLike<number>, length: number): number[][] {
  return Array.from(
    { length: x.length / length },
    (_, r) => Array.from({ length }, (_, i) => x[r * length + i]),
  );
}

function softmaxOf(x: readonly number[], log: boolean): number[] {
  const top = x.reduce((a, b) => Math.max(a, b), -Infinity);
  const total = sum(x.map((v) => Math.exp(v - top)));
  return x.map((v) => log ? v - top - Math.log(total) : Math.exp(v - top) / total);
}

const benches = [new Bench(), new Bench(2), new Bench(1, true)];
await Promise.all(benches.map(({ engine }) => engine.ready()));
const names = ["1 thread", "2 threads", "deterministic"];
const lengths = [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 65, 192, 1000];

benches.forEach((bench, which) => {
  const { engine } = bench;
  describe(`cpu row kernels, ${names[which]}`, () => {
    for (const log of [false, true]) {
      it(log ? "logSoftmax" : "softmax", () => {
        const g = new Generator(1);
        for (const length of lengths) {
          const rows = 5, numbers = randomNumbers(g, rows * length, 4, 100);
          if (length > 2) numbers[0] = -Infinity;
          if (length > 2) numbers[length] = -60000;
          const x = bench.view([rows, length], numbers), out = bench.view([rows, length]);
          softmax(engine, x, out, log);
          const y = bench.values(out);
          assertClose(
            y,
            rowsOf(numbers, length).flatMap((row) => softmaxOf(row, log)),
            2e-6,
            log ? 2e-6 : 1e-38,
            `${length}`,
          );
          const dyNumbers = randomNumbers(g, rows * length);
          const dy = bench.view([rows, length], dyNumbers), dx = bench.view([rows, length]);
          softmaxBackward(engine, dy, out, dx, log);
          const expected = rowsOf(dyNumbers, length).flatMap((d, r) => {
            const row = Array.from(y.slice(r * length, (r + 1) * length));
            const total = sum(log ? d : d.map((v, i) => v * row[i]));
            return row.map((v, i) => log ? d[i] - Math.exp(v) * total : v * (d[i] - total));
          });
          assertClose(bench.values(dx), expected, 1e-5, 1e-5, `backward ${length}`);
          bench.release(x, out, dy, dx);
        }
      });
    }

    it("softmax of rows with -∞, +∞ and NaN", () => {
      for (const length of [1, 3, 6, 40]) {
        for (const log of [false, true]) {
          for (const odd of [-Infinity, Infinity, NaN]) {
            const numbers = new Float32Array(2 * length).fill(odd === -Infinity ? -Infinity : 1).fill(
              1,
              length,
            );
            numbers[length - 1] = odd;
            const x = bench.view([2, length], numbers), out = bench.view([2, length]);
            softmax(engine, x, out, log);
            const y = bench.values(out);
            assert(y.slice(0, length).every(Number.isNaN), `${odd} in ${length}`);
            assertClose(
              y.slice(length),
              new Array(length).fill(log ? -Math.log(length) : 1 / length),
              1e-6,
              1e-7,
              "ones",
            );
            bench.release(x, out);
          }
        }
      }
    });

    it("layerNorm and its gradients", () => {
      const g = new Generator(2);
      for (const length of lengths) {
        for (
          const [mean, spread, form] of [[0, 1, 3], [1e5, 3, 1], [-3000, 0.1, 0], [10, 1e-3, 2], [0, 1e4, 3]]
        ) {
          const rows = length === 65 ? 150 : 3, eps = 1e-5;
          const numbers = randomNumbers(g, rows * length, spread, mean);
          const wn = randomNumbers(g, length), bn = randomNumbers(g, length);
          const x = bench.view([rows, length], numbers), out = bench.view([rows, length]);
          const w = form & 1 ? bench.view([length], wn) : null,
            b = form & 2 ? bench.view([length], bn) : null;
          const mu = bench.view([rows]), rstd = bench.view([rows]);
          layerNorm(engine, x, w, b, eps, out, mu, rstd);
          const stats = rowsOf(numbers, length).map((row) => {
            const m = sum(row) / length;
            return { m, s: 1 / Math.sqrt(sum(row.map((v) => (v - m) ** 2)) / length + eps) };
          });
          const hats = rowsOf(numbers, length).map((row, r) => row.map((v) => (v - stats[r].m) * stats[r].s));
          const what = `length ${length}, mean ${mean}, form ${form}`;
          const y = hats.flatMap((row) => row.map((v, i) => v * (w ? wn[i] : 1) + (b ? bn[i] : 0)));
          assertClose(bench.values(out), y, 1e-4, 1e-4, what);
          assertClose(bench.values(mu), stats.map(({ m }) => m), 1e-6, 1e-6 * spread, `mean, ${what}`);
          assertClose(bench.values(rstd), stats.map(({ s }) => s), 1e-4, 0, `rstd, ${what}`);

          const dn = randomNumbers(g, rows * length);
          const dy = bench.view([rows, length], dn), dx = bench.view([rows, length]);
          const dw = w && bench.view([length]), db = w && bench.view([length]);
          layerNormBackward(engine, dy, x, w, mu, rstd, dx, dw, db);
          const expected = rowsOf(dn, length).flatMap((d, r) => {
            const gs = d.map((v, i) => v * (w ? wn[i] : 1));
            const c1 = sum(gs) / length, c2 = sum(gs.map((v, i) => v * hats[r][i])) / length;
            return gs.map((v, i) => stats[r].s * (v - c1 - hats[r][i] * c2));
          });
          const size = Math.max(...stats.map(({ s }) => s));
          assertClose(bench.values(dx), expected, 2e-4, 2e-4 * size, `dx, ${what}`);
          if (dw && db) {
            const d = rowsOf(dn, length);
            const column = (f: (r: number, i: number) => number) =>
              wn.slice(0, length).map((_, i) => sum(d.map((_, r) => f(r, i))));
            assertClose(bench.values(dw), column((r, i) => d[r][i] * hats[r][i]), 2e-4, 5e-4, `dw, ${what}`);
            assertClose(bench.values(db), column((r, i) => d[r][i]), 1e-5, 1e-5, `db, ${what}`);
            bench.release(dw, db);
          }
          bench.release(x, out, mu, rstd, dy, dx);
          for (const view of [w, b]) if (view) bench.release(view);
        }
      }
      assertStrictEquals(engine.heap.temporaries, 0);
    });

    it("crossEntropy and its gradient", () => {
      const g = new Generator(3);
      for (const length of [...lengths, 5003]) {
        const rows = 4, numbers = randomNumbers(g, rows * length, 3, 50);
        if (length > 3) numbers[3] = -Infinity;
        const targets = [0, length - 1, -100, length >> 1];
        const x = bench.view([rows, length], numbers), t = bench.integers(targets);
        const losses = bench.view([rows]), lse = bench.view([rows]);
        crossEntropy(engine, x, t, losses, lse, -100);
        const logs = rowsOf(numbers, length).map((row) => softmaxOf(row, true));
        const expected = logs.map((row, r) => targets[r] < 0 ? 0 : -row[targets[r]]);
        assertClose(bench.values(losses), expected, 2e-6, 2e-6, `${length}`);
        const sums = rowsOf(numbers, length).map((row, r) =>
          row[0] - (row[0] === -Infinity ? NaN : logs[r][0])
        );
        if (!Number.isNaN(sums[0])) assertClose(bench.values(lse), sums, 1e-6, 0, `lse ${length}`);
        const scales = randomNumbers(g, rows);
        const scale = bench.view([rows], scales);
        const gradient = logs.flatMap((row, r) =>
          row.map((v, i) => targets[r] < 0 ? 0 : (Math.exp(v) - (i === targets[r] ? 1 : 0)) * scales[r])
        );
        const dx = bench.view([rows, length]);
        crossEntropyBackward(engine, x, t, lse, scale, dx, -100);
        assertClose(bench.values(dx), gradient, 2e-5, 2e-6, `backward ${length}`);
        crossEntropyBackward(engine, x, t, lse, scale, x, -100);
        assertEquals(bench.values(x), bench.values(dx), "in place");
        bench.release(x, t, losses, lse, scale, dx);
      }
    });

    it("crossEntropy names a target that is no class", () => {
      const x = bench.view([3, 4], new Float32Array(12)), losses = bench.view([3]), lse = bench.view([3]);
      for (const target of [-1, 4, -99]) {
        const t = bench.integers([3, target, -100]);
        const said = `target ${target} is none of the 4 classes from 0 to 3`;
        assertThrows(() => crossEntropy(engine, x, t, losses, lse, -100), ShapeError, said);
        bench.release(t);
      }
      bench.release(x, losses, lse);
    });
  });
});

describe("cpu row kernels", () => {
  it("agree with PyTorch", () => {
    const [bench] = benches, { engine } = bench;
    for (const op of ["softmax", "log_softmax"]) {
      const cases = goldenCases(op).filter(({ attrs, inputs }) =>
        attrs.dim === -1 || inputs.x.shape.length === 1
      );
      assert(cases.length > 1);
      for (const { name, inputs, outputs, grads, grad_outputs } of cases) {
        const x = bench.recorded(inputs.x), out = bench.view(x.shape);
        softmax(engine, x, out, op === "log_softmax");
        assertClose(bench.values(out), numbersOf(outputs[0].data), 2e-6, 1e-7, name);
        if (!grads) continue;
        const dy = bench.recorded(grad_outputs[0]), dx = bench.view(x.shape);
        softmaxBackward(engine, dy, out, dx, op === "log_softmax");
        assertClose(bench.values(dx), numbersOf(grads.x.data), 1e-5, 1e-6, `${name}, gradient`);
      }
    }
    for (const { name, attrs, inputs, outputs, grads, grad_outputs } of goldenCases("layer_norm")) {
      const x = bench.recorded(inputs.x),
        [w, b] = [inputs.weight, inputs.bias].map((v) => v ? bench.recorded(v) : null);
      const { shape } = x, out = bench.view(shape), rows = shape.slice(0, -1), row = shape.slice(-1);
      const mean = bench.view(rows), rstd = bench.view(rows);
      layerNorm(engine, x, w, b, attrs.eps as number, out, mean, rstd);
      assertClose(bench.values(out), numbersOf(outputs[0].data), 1e-5, 2e-6, name);
      const dx = bench.view(shape), dw = w && bench.view(row), db = b && bench.view(row);
      layerNormBackward(engine, bench.recorded(grad_outputs[0]), x, w, mean, rstd, dx, dw, db);
      assertClose(bench.values(dx), numbersOf(grads.x.data), 1e-4, 1e-6, `${name}, dx`);
      if (dw) assertClose(bench.values(dw), numbersOf(grads.weight.data), 1e-5, 1e-5, `${name}, dweight`);
      if (db) assertClose(bench.values(db), numbersOf(grads.bias.data), 1e-5, 1e-6, `${name}, dbias`);
    }
  });

  it("give the same bits on one thread, two and three", async () => {
    const many = [new Bench(), new Bench(2), new Bench(3)], rows = 1500, length = 67;
    const results: Float32Array[][] = [];
    for (const bench of many) {
      const { engine } = bench, g = new Generator(9);
      await engine.ready();
      const whole = () => bench.view([rows, length], randomNumbers(g, rows * length));
      const row = () => bench.view([length], randomNumbers(g, length)),
        column = () => bench.view([rows], randomNumbers(g, rows));
      const x = whole(), y = whole(), dx = whole(), z = whole(), w = row(), b = row(), dw = row(), db = row();
      const mean = column(), rstd = column(), losses = column(), lse = column();
      softmax(engine, x, y, false);
      layerNorm(engine, x, w, b, 1e-5, z, mean, rstd);
      layerNormBackward(engine, y, x, w, mean, rstd, dx, dw, db);
      crossEntropy(
        engine,
        z,
        bench.integers(Array.from({ length: rows }, (_, i) => i % length)),
        losses,
        lse,
        -100,
      );
      results.push([y, z, dx, dw, db, losses, lse].map((view) => bench.values(view)));
      engine.dispose();
    }
    assertEquals(results[1], results[0]);
    assertEquals(results[2], results[0]);
  });
});

after(() => benches.forEach(({ engine }) => engine.dispose()));
