import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import type { View } from "../src/backends/contract.ts";
import { attention } from "../src/backends/cpu/kernels/attention.ts";
import { attentionBackward } from "../src/backends/cpu/kernels/attention_backward.ts";
import { Generator } from "../src/core/random.ts";
import { assertClose, Bench, randomNumbers } from "./_cpu_kernels.ts";

/** Sizes of one case. */
interface Case {
  batch: number;
  heads: number;
  groups: number;
  queries: number;
  keys: number;
  width: number;
  causal: boolean;
}

interface Numbers {
  q: ArrayLike<number>;
  k: ArrayLike<number>;
  v: ArrayLike<number>;
}

/** No power of 2, so that scaling rounds. */
const scaleOf = (c: Case): number => 1.1 / Math.sqrt(c.width);

/** Probabilities, results and log-sums in doubles, head after head. */
function reference(c: Case, { q, k, v }: Numbers) {
  const { batch, heads, groups, queries, keys, width } = c;
  const out: number[] = [], lse: number[] = [], p: number[][] = [];
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const shared = (b * groups + Math.floor(h / (heads / groups))) * keys * width;
      for (let i = 0; i < queries; i++) {
        const row = ((b * heads + h) * queries + i) * width;
        const seen = c.causal ? Math.min(keys, i + keys - queries + 1) : keys;
        const scores = Array.from({ length: Math.max(0, seen) }, (_, j) => {
          let sum = 0;
          for (let d = 0; d < width; d++) sum += q[row + d] * k[shared + j * width + d];
          return sum * scaleOf(c);
        });
        const top = Math.max(...scores);
        const total = scores.reduce((sum, s) => sum + Math.exp(s - top), 0);
        lse.push(seen > 0 ? top + Math.log(total) : -Infinity);
        p.push(scores.map((s) => Math.exp(s - top) / total));
        for (let d = 0; d < width; d++) {
          out.push(seen > 0 ? p.at(-1)!.reduce((sum, x, j) => sum + x * v[shared + j * width + d], 0) : NaN);
        }
      }
    }
  }
  return { out, lse, p };
}

/** Gradients in doubles, from the probabilities. */
function referenceGradients(c: Case, { q, k, v }: Numbers, dout: ArrayLike<number>) {
  const { batch, heads, groups, queries, keys, width } = c, { p } = reference(c, { q, k, v });
  const dq = new Float64Array(q.length), dk = new Float64Array(k.length), dv = new Float64Array(v.length);
  for (let row = 0; row < batch * heads * queries; row++) {
    const bh = Math.floor(row / queries), b = Math.floor(bh / heads);
    const shared = (b * groups + Math.floor((bh % heads) / (heads / groups))) * keys;
    const at = row * width;
    const dp = p[row].map((_, j) => {
      let sum = 0;
      for (let d = 0; d < width; d++) sum += dout[at + d] * v[(shared + j) * width + d];
      return sum;
    });
    const level = dp.reduce((sum, x, j) => sum + x * p[row][j], 0);
    dp.forEach((x, j) => {
      const ds = p[row][j] * (x - level) * scaleOf(c), key = (shared + j) * width;
      for (let d = 0; d < width; d++) {
        dv[key + d] += p[row][j] * dout[at + d];
        dq[at + d] += ds * k[key + d];
        dk[key + d] += ds * q[at + d];
      }
    });
  }
  return { dq, dk, dv };
}

const order = [0, 2, 1, 3]; // [batch, time, heads, width] in memory

function inputs(
  bench: Bench,
  c: Case,
  g: Generator,
  laid: readonly number[] | undefined,
): { numbers: Numbers; views: View[] } {
  const shapes = [[c.batch, c.heads, c.queries, c.width], [c.batch, c.groups, c.keys, c.width]];
  const make = (shape: number[]) => randomNumbers(g, shape.reduce((a, b) => a * b));
  const numbers = { q: make(shapes[0]), k: make(shapes[1]), v: make(shapes[1]) };
  const views = [numbers.q, numbers.k, numbers.v].map((x, i) =>
    bench.view(shapes[i ? 1 : 0], x, laid, laid ? 5 : 0)
  );
  return { numbers, views };
}

const base: Case = { batch: 2, heads: 2, groups: 2, queries: 7, keys: 7, width: 8, causal: true };
const cases: Partial<Case>[] = [
  {},
  { causal: false },
  { queries: 1, keys: 1 },
  { queries: 1, keys: 50, width: 64 },
  { queries: 2, keys: 1101, width: 20, batch: 1 },
  { queries: 3, keys: 5, width: 3, causal: false },
  { queries: 3, keys: 2, width: 5 },
  { queries: 5, keys: 300, width: 16 },
  { queries: 100, keys: 100, width: 32 },
  { queries: 100, keys: 100, width: 33, batch: 1 },
  { queries: 97, keys: 230, width: 64, batch: 1 },
  { queries: 40, keys: 25, width: 12 },
  { heads: 6, groups: 2, queries: 20, keys: 31 },
  { heads: 4, groups: 1, queries: 1, keys: 31, width: 40 },
  { heads: 1, groups: 1, queries: 9, keys: 30, width: 100, batch: 1 },
  { heads: 1, groups: 1, queries: 9, keys: 60, width: 700, batch: 1, causal: false },
  ...[1, 2, 3, 4, 5, 6, 7, 9, 11].map((width) => ({ width, queries: 13, keys: 19, batch: 1 })),
];

const gradientCases: Partial<Case>[] = [
  ...cases,
  { queries: 101, keys: 210, width: 16, batch: 1 },
  { queries: 210, keys: 101, width: 24, batch: 1, causal: false },
  { heads: 4, groups: 2, queries: 130, keys: 130, width: 10, batch: 1 },
];

const benches = [new Bench(), new Bench(1, true)];

for (const [which, bench] of benches.entries()) {
  const { engine } = bench;
  describe(`cpu attention${which ? ", deterministic" : ""}`, () => {
    for (const some of gradientCases) {
      const c = { ...base, ...some }, shape = [c.batch, c.heads, c.queries, c.width];
      const name = JSON.stringify(some);
      it(`forward and backward ${name}`, () => {
        const g = new Generator(5);
        for (const laid of [undefined, order]) {
          const { numbers, views: [q, k, v] } = inputs(bench, c, g, laid);
          const make = (like: readonly number[], values: ArrayLike<number> = []) =>
            bench.view(like, values, laid, laid ? 3 : 0);
          const out = make(shape), lse = bench.view(shape.slice(0, 3), []);
          attention(engine, q, k, v, out, lse, scaleOf(c), c.causal);
          const expected = reference(c, numbers);
          assertClose(bench.values(out), expected.out, 1e-5, 3e-6, "out");
          assertClose(bench.values(lse), expected.lse, 1e-6, 1e-6, "lse");
          attention(engine, q, k, v, out, null, scaleOf(c), c.causal);
          assertClose(bench.values(out), expected.out, 1e-5, 3e-6, "out without lse");

          // Rows that see nothing have NaN as their result, and no gradient.
          const blind = c.causal ? Math.max(0, c.queries - c.keys) : 0;
          const gradient = randomNumbers(g, shape.reduce((a, b) => a * b));
          const dout = make(shape, gradient), dq = make(shape), dk = make(k.shape), dv = make(k.shape);
          attentionBackward(engine, dout, q, k, v, out, lse, dq, dk, dv, scaleOf(c), c.causal);
          const gradients = referenceGradients(c, numbers, gradient);
          assertClose(bench.values(dq), gradients.dq, 2e-5, 1e-5, `dq, ${blind} blind rows`);
          assertClose(bench.values(dk), gradients.dk, 2e-5, 1e-5, "dk");
          assertClose(bench.values(dv), gradients.dv, 2e-5, 1e-5, "dv");
          bench.release(q, k, v, out, lse, dout, dq, dk, dv);
        }
        assert.equal(engine.heap.temporaries, 0);
      });
    }
  });
}

describe("cpu attention", () => {
  it("gives the same bits on one thread, two and three", async () => {
    const many = [new Bench(), new Bench(2), new Bench(3)];
    for (
      const c of [{ ...base, queries: 200, keys: 200, width: 32, heads: 4 }, {
        ...base,
        heads: 4,
        queries: 1,
        keys: 900,
        width: 64,
      }]
    ) {
      const results: Float32Array[][] = [];
      for (const { engine } of many) await engine.ready();
      for (const bench of many) {
        const g = new Generator(7), shape = [c.batch, c.heads, c.queries, c.width];
        c.groups = 2;
        const { views: [q, k, v] } = inputs(bench, c, g, order);
        const out = bench.view(shape, []), lse = bench.view(shape.slice(0, 3), []);
        const dout = bench.view(shape, randomNumbers(g, shape.reduce((a, b) => a * b)));
        const dq = bench.view(shape, []), dk = bench.view(k.shape, []), dv = bench.view(k.shape, []);
        attention(bench.engine, q, k, v, out, lse, scaleOf(c), true);
        attentionBackward(bench.engine, dout, q, k, v, out, lse, dq, dk, dv, scaleOf(c), true);
        results.push([out, lse, dq, dk, dv].map((view) => bench.values(view)));
      }
      assert.deepEqual(results[1], results[0]);
      assert.deepEqual(results[2], results[0]);
    }
    for (const { engine } of many) engine.dispose();
  });

  it("keeps large, infinite and missing scores apart", () => {
    const [bench] = benches;
    for (const queries of [2, 12]) {
      const c: Case = { batch: 1, heads: 1, groups: 1, queries, keys: 200, width: 4, causal: false };
      // Scores of thousands, the largest in the middle; the first block of keys has scores of -∞ only.
      const q = new Float32Array(queries * 4).fill(100),
        k = new Float32Array(800).fill(10),
        v = new Float32Array(800);
      k.fill(-Infinity, 0, 4 * 110);
      k.fill(11, 4 * 150, 4 * 151);
      for (let i = 0; i < 800; i++) v[i] = i;
      const views = [
        bench.view([1, 1, queries, 4], q),
        bench.view([1, 1, 200, 4], k),
        bench.view([1, 1, 200, 4], v),
      ];
      const out = bench.view([1, 1, queries, 4], []);
      attention(bench.engine, views[0], views[1], views[2], out, null, 1, c.causal);
      assertClose(bench.values(out), Array.from({ length: 4 * queries }, (_, i) => 600 + i % 4), 0, 0, "out");
      bench.release(out, ...views);
    }
  });

  it("shows a query nothing of later keys", () => {
    const [bench] = benches;
    const shape = [1, 1, 50, 8], g = new Generator(11);
    const numbers = [0, 1, 2].map(() => randomNumbers(g, 400));
    const views = numbers.map((x) => bench.view(shape, x)), out = bench.view(shape, []);
    attention(bench.engine, views[0], views[1], views[2], out, null, 1, true);
    const before = bench.values(out);
    for (const x of numbers.slice(1)) x.fill(1e30, 8 * 31);
    const changed = numbers.map((x) => bench.view(shape, x));
    attention(bench.engine, changed[0], changed[1], changed[2], out, null, 1, true);
    assert.deepEqual(bench.values(out).slice(0, 8 * 31), before.slice(0, 8 * 31));
    bench.release(out, ...views, ...changed);
  });

  it("refuses heads that are too wide", () => {
    const [bench] = benches;
    const view = bench.view([1, 1, 4, 8000], new Float32Array(32000));
    assert.throws(
      () => attention(bench.engine, view, view, view, view, null, 1, false),
      /at most 2048 wide, not 8000/,
    );
  });
});
