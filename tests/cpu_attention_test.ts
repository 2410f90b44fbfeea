import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { attention } from "../src/backends/cpu/kernels/attention.ts";
import { attentionBackward } from "../src/backends/cpu/kernels/attention_backward.ts";
import { Generator } from "../src/core/random.ts";
import { assertClose, Bench, goldenCases, numbersOf, randomNumbers } from "./_cpu_kernels.ts";

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
function referenceGradients(c: Case, { q, k, v }: Numbers, p: number[][], dout: ArrayLike<number>) {
  const { batch, heads, groups, queries, keys, width } = c;
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

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b);

function shapesOf(c: Case): { q: number[]; k: number[] } {
  return { q: [c.batch, c.heads, c.queries, c.width], k: [c.batch, c.groups, c.keys, c.width] };
}

function inputsOf(c: Case, g: Generator): { [name in "q" | "k" | "v" | "dout"]: Float32Array } {
  const { q, k } = shapesOf(c);
  const [a, b, d, e] = [q, k, k, q].map((shape) => randomNumbers(g, count(shape)));
  return { q: a, k: b, v: d, dout: e };
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
  { heads: 1, groups: 1, queries: 4, keys: 30, width: 2048, batch: 1 },
  ...[1, 2, 3, 4, 5, 6, 7, 9, 11].map((width) => ({ width, queries: 13, keys: 19, batch: 1 })),
  { queries: 101, keys: 210, width: 16, batch: 1 },
  { queries: 210, keys: 101, width: 24, batch: 1, causal: false },
  { heads: 4, groups: 2, queries: 130, keys: 130, width: 10, batch: 1 },
];

const benches = [new Bench(), new Bench(1, true)];

describe("cpu attention and its gradients", () => {
  for (const some of cases) {
    const c = { ...base, ...some }, shapes = shapesOf(c);
    it(JSON.stringify(some), () => {
      const numbers = inputsOf(c, new Generator(5));
      // Queries that see nothing have NaN as their result, and give no gradient.
      const expected = reference(c, numbers),
        gradients = referenceGradients(c, numbers, expected.p, numbers.dout);
      for (const bench of benches) {
        for (const laid of [undefined, order]) {
          const { engine } = bench;
          const make = (shape: number[], values: ArrayLike<number> = []) =>
            bench.view(shape, values, laid, laid ? 3 : 0);
          const q = make(shapes.q, numbers.q), k = make(shapes.k, numbers.k), v = make(shapes.k, numbers.v);
          const out = make(shapes.q), lse = bench.view(shapes.q.slice(0, 3));
          attention(engine, q, k, v, out, lse, scaleOf(c), c.causal);
          assertClose(bench.values(out), expected.out, 1e-5, 3e-6, "out");
          assertClose(bench.values(lse), expected.lse, 1e-6, 1e-6, "lse");
          const again = make(shapes.q);
          attention(engine, q, k, v, again, null, scaleOf(c), c.causal);
          assertEquals(bench.values(again), bench.values(out), "out without lse");
          const dout = make(shapes.q, numbers.dout),
            dq = make(shapes.q),
            dk = make(shapes.k),
            dv = make(shapes.k);
          attentionBackward(engine, dout, q, k, v, out, lse, dq, dk, dv, scaleOf(c), c.causal);
          assertClose(bench.values(dq), gradients.dq, 2e-5, 1e-5, "dq");
          assertClose(bench.values(dk), gradients.dk, 2e-5, 1e-5, "dk");
          assertClose(bench.values(dv), gradients.dv, 2e-5, 1e-5, "dv");
          bench.release(q, k, v, out, again, lse, dout, dq, dk, dv);
          assertStrictEquals(engine.heap.temporaries, 0);
        }
      }
    });
  }
});

describe("cpu attention", () => {
  it("agrees with PyTorch", () => {
    const [bench] = benches;
    for (const { inputs, outputs, grads, grad_outputs } of goldenCases("causal_attention")) {
      const [q, k, v] = [inputs.q, inputs.k, inputs.v].map((x) => bench.recorded(x));
      const { shape } = outputs[0], scale = 1 / Math.sqrt(shape[3]);
      const out = bench.view(shape), lse = bench.view(shape.slice(0, 3));
      attention(bench.engine, q, k, v, out, lse, scale, true);
      assertClose(bench.values(out), numbersOf(outputs[0].data), 1e-5, 1e-6, "out");
      const [dq, dk, dv] = [0, 1, 2].map(() => bench.view(shape)), dout = bench.recorded(grad_outputs[0]);
      attentionBackward(bench.engine, dout, q, k, v, out, lse, dq, dk, dv, scale, true);
      [dq, dk, dv].forEach((view, i) => {
        assertClose(bench.values(view), numbersOf(grads["qkv"[i]].data), 1e-5, 1e-6, `d${"qkv"[i]}`);
      });
    }
  });

  it("gives the same bits on one thread, two and three", async () => {
    const many = [new Bench(), new Bench(2), new Bench(3)];
    for (const { engine } of many) await engine.ready();
    const shared = { ...base, heads: 4, groups: 2 };
    for (
      const c of [{ ...shared, queries: 200, keys: 200, width: 32 }, {
        ...shared,
        queries: 1,
        keys: 900,
        width: 64,
      }]
    ) {
      const shapes = shapesOf(c), numbers = inputsOf(c, new Generator(7));
      const results = many.map((bench) => {
        const q = bench.view(shapes.q, numbers.q),
          k = bench.view(shapes.k, numbers.k),
          v = bench.view(shapes.k, numbers.v);
        const out = bench.view(shapes.q),
          lse = bench.view(shapes.q.slice(0, 3)),
          dout = bench.view(shapes.q, numbers.dout);
        const dq = bench.view(shapes.q), dk = bench.view(shapes.k), dv = bench.view(shapes.k);
        attention(bench.engine, q, k, v, out, lse, scaleOf(c), true);
        attentionBackward(bench.engine, dout, q, k, v, out, lse, dq, dk, dv, scaleOf(c), true);
        return [out, lse, dq, dk, dv].map((view) => bench.values(view));
      });
      for (const other of results.slice(1)) assertEquals(other, results[0]);
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
      const out = bench.view([1, 1, queries, 4]);
      attention(bench.engine, views[0], views[1], views[2], out, null, 1, c.causal);
      assertClose(bench.values(out), Array.from({ length: 4 * queries }, (_, i) => 600 + i % 4), 0, 0, "out");
      bench.release(out, ...views);
    }
  });

  it("shows a query nothing of later keys", () => {
    const [bench] = benches;
    const shape = [1, 1, 50, 8], g = new Generator(11);
    const numbers = [0, 1, 2].map(() => randomNumbers(g, 400));
    const views = numbers.map((x) => bench.view(shape, x)), out = bench.view(shape);
    attention(bench.engine, views[0], views[1], views[2], out, null, 1, true);
    const before = bench.values(out);
    for (const x of numbers.slice(1)) x.fill(1e30, 8 * 31);
    const changed = numbers.map((x) => bench.view(shape, x));
    attention(bench.engine, changed[0], changed[1], changed[2], out, null, 1, true);
    assertEquals(bench.values(out).slice(0, 8 * 31), before.slice(0, 8 * 31));
    bench.release(out, ...views, ...changed);
  });

  it("refuses heads that are too wide", () => {
    const [bench] = benches;
    const view = bench.view([1, 1, 4, 8000], new Float32Array(32000));
    assertThrows(
      () => attention(bench.engine, view, view, view, view, null, 1, false),
      Error,
      "at most 2048 wide, not 8000",
    );
  });
});
