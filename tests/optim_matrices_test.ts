/**
 * Lion, Muon and Adafactor against their formulas in plain numbers, on shapes and options of every kind.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { manualSeed, optim, OptionError, randn, type Tensor, zeros } from "../mod.ts";

type Matrix = number[][];
const transposed = (a: Matrix): Matrix => a[0].map((_, j) => a.map((row) => row[j]));
const product = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0].map((_, j) => row.reduce((sum, x, k) => sum + x * b[k][j], 0)));
const mapped = (a: Matrix, f: (x: number, i: number, j: number) => number): Matrix =>
  a.map((row, i) => row.map((x, j) => f(x, i, j)));
const meanSquare = (a: number[]): number => a.reduce((sum, x) => sum + x * x, 0) / a.length;

/** torch.optim.Muon, in double precision. */
function muon(o: { lr: number; weightDecay: number; momentum: number; nesterov: boolean; match: boolean }) {
  let buffer: Matrix | null = null;
  return (p: Matrix, g: Matrix): Matrix => {
    const m: Matrix = mapped(g, (x, i, j) => (buffer?.[i][j] ?? 0) * o.momentum + (1 - o.momentum) * x);
    buffer = m;
    let x = o.nesterov ? mapped(g, (v, i, j) => v + (m[i][j] - v) * o.momentum) : m;
    const rows = p.length, columns = p[0].length, tall = rows > columns;
    if (tall) x = transposed(x);
    const norm = Math.max(Math.sqrt(x.flat().reduce((s, v) => s + v * v, 0)), 1e-7);
    x = mapped(x, (v) => v / norm);
    for (let i = 0; i < 5; i++) {
      const gram = product(x, transposed(x)), gram2 = product(gram, gram);
      const mix = product(mapped(gram, (v, i, j) => -4.775 * v + 2.0315 * gram2[i][j]), x);
      x = mapped(x, (v, i, j) => 3.4445 * v + mix[i][j]);
    }
    if (tall) x = transposed(x);
    const ratio = o.match ? 0.2 * Math.sqrt(Math.max(rows, columns)) : Math.sqrt(Math.max(1, rows / columns));
    return mapped(p, (v, i, j) => v * (1 - o.lr * o.weightDecay) - o.lr * ratio * x[i][j]);
  };
}

/** torch.optim.Adafactor, in double precision; one row stands for a vector. */
function adafactor(o: { lr: number; weightDecay: number; d: number; vector: boolean }) {
  let step = 0, rows: number[] = [], columns: number[] = [], variance: number[] = [];
  return (p: Matrix, g: Matrix): Matrix => {
    step++;
    const fresh = step ** -0.8, flat = p.flat(), eps1 = 2 ** -23;
    const alpha = Math.max(1e-3, Math.sqrt(meanSquare(flat))) * Math.min(o.lr, 1 / Math.sqrt(step));
    const blend = (old: number[], now: number[]): number[] =>
      now.map((x, i) => (old[i] ?? 0) * (1 - fresh) + x * fresh);
    let estimate: Matrix;
    if (o.vector) {
      variance = blend(variance, g[0].map((x) => x * x));
      estimate = [variance];
    } else {
      rows = blend(rows, g.map(meanSquare));
      columns = blend(columns, transposed(g).map(meanSquare));
      const average = Math.max(eps1, rows.reduce((a, b) => a + b, 0) / rows.length);
      estimate = mapped(g, (_, i, j) => rows[i] * columns[j] / average);
    }
    const update = mapped(g, (x, i, j) => x / Math.sqrt(Math.max(estimate[i][j], eps1 * eps1)));
    const size = Math.max(1, Math.sqrt(meanSquare(update.flat())) / o.d);
    return mapped(p, (v, i, j) => v * (1 - o.lr * o.weightDecay) - alpha / size * update[i][j]);
  };
}

/** Lion, as its paper's program has it. */
function lion(o: { lr: number; weightDecay: number; betas: [number, number] }) {
  let m: Matrix | null = null;
  return (p: Matrix, g: Matrix): Matrix => {
    const before = m ?? mapped(g, () => 0), [a, b] = o.betas;
    m = mapped(g, (x, i, j) => b * before[i][j] + (1 - b) * x);
    return mapped(p, (v, i, j) => {
      const direction = Math.sign(a * before[i][j] + (1 - a) * g[i][j]);
      return v - o.lr * (direction + o.weightDecay * v);
    });
  };
}

const matrixOf = (flat: ArrayLike<number>, rows: number, columns: number): Matrix =>
  Array.from({ length: rows }, (_, i) => Array.from({ length: columns }, (_, j) => Number(flat[i * columns + j])));

/** Ten steps with the same gradients, the fifth all zero. */
async function compare(
  optimizer: (p: Tensor) => optim.Optimizer,
  plain: (p: Matrix, g: Matrix) => Matrix,
  rows: number,
  columns: number,
  vector: boolean,
  isTurned: boolean,
): Promise<void> {
  const shape = vector ? [columns] : [rows, columns];
  const made = isTurned ? randn([columns, rows]).t() : randn(shape), p = made.detach().requiresGrad_();
  let expected = matrixOf((await p.toArray() as number[] | number[][]).flat(), rows, columns);
  using stepping = optimizer(p);
  for (let step = 0; step < 10; step++) {
    const g = step === 4 ? zeros(shape) : randn(shape);
    expected = plain(expected, matrixOf(await g.data() as Float32Array, rows, columns));
    p.grad = g;
    stepping.step();
    const got = (await p.toArray() as number[] | number[][]).flat();
    const wanted = expected.flat();
    const off = got.reduce((most, x, i) => Math.max(most, Math.abs(x - wanted[i]) / (1 + Math.abs(wanted[i]))), 0);
    assert(off < 2e-4, `step ${step + 1} of ${shape}: ${off}`);
  }
}

const shapes: [number, number, boolean, boolean][] = [
  [4, 7, false, false],
  [9, 3, false, false],
  [6, 6, false, true],
  [1, 5, false, false],
  [1, 8, true, false],
];

describe("steps of a formula", () => {
  for (const [rows, columns, vector, turned] of shapes) {
    const what = `${vector ? "a vector" : `${rows} × ${columns}`}${turned ? ", transposed" : ""}`;
    it(`Lion on ${what}`, async () => {
      manualSeed(rows + columns);
      for (const weightDecay of [0, 0.3]) {
        const o = { lr: 0.01, weightDecay, betas: [0.8, 0.95] as [number, number] };
        await compare((p) => new optim.Lion([p], o), lion(o), rows, columns, vector, turned);
      }
    });
    it(`Adafactor on ${what}`, async () => {
      manualSeed(rows * columns);
      for (const [weightDecay, d, lr] of [[0, 1, 0.01], [0.1, 2, 0.5]]) {
        const o = { lr, weightDecay, d };
        await compare((p) => new optim.Adafactor([p], o), adafactor({ ...o, vector }), rows, columns, vector, turned);
      }
    });
    if (vector) continue;
    it(`Muon on ${what}`, async () => {
      manualSeed(rows + 10 * columns);
      for (const [nesterov, match] of [[true, false], [false, true]]) {
        const o = { lr: 0.02, weightDecay: 0.1, momentum: 0.9, nesterov };
        const options = { ...o, adjustLr: match ? "match_rms_adamw" as const : "original" as const };
        await compare((p) => new optim.Muon([p], options), muon({ ...o, match }), rows, columns, vector, turned);
      }
    });
  }

  it("Muon takes AdamW's steps for vectors, and for matrices of groups that say so", async () => {
    for (const shape of [[5], [3, 4], [2, 3, 2]]) {
      const [a, b] = [0, 0].map(() => randn(shape, { seed: 4, requiresGrad: true }));
      const options = { lr: 0.01, weightDecay: 0.2, betas: [0.8, 0.9] as const };
      const one = new optim.Muon([{ params: [a], matrices: false }], options), two = new optim.AdamW([b], options);
      for (let i = 0; i < 4; i++) {
        for (const p of [a, b]) p.grad = randn(shape, { seed: 10 + i });
        one.step();
        two.step();
      }
      assertEquals(await a.toArray(), await b.toArray());
    }
  });

  it("what is remembered of a matrix by Adafactor is as large as its sides", async () => {
    const p = randn([6, 10], { requiresGrad: true }), optimizer = new optim.Adafactor([p]);
    p.grad = randn([6, 10]);
    optimizer.step();
    const { tensors } = optimizer.stateDict().state[0]!;
    assertEquals(Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, t.shape])), {
      rowVar: [6, 1],
      colVar: [1, 10],
    });
    const other = new optim.Adafactor([randn([6, 9], { requiresGrad: true })]);
    assertThrows(() => other.loadStateDict(optimizer.stateDict()), Error, "colVar of parameter 0 is [1, 10], expected [1, 9]");
    await Promise.resolve();
  });

  it("options that are not allowed are refused", () => {
    const p = randn([2, 2], { requiresGrad: true });
    assertThrows(() => new optim.Lion([p], { betas: [0.9, 1] }), OptionError, "betas");
    assertThrows(() => new optim.Muon([p], { nsSteps: 0 }), OptionError, "nsSteps");
    assertThrows(() => new optim.Muon([p], { nsCoefficients: [1, 2] }), OptionError, "three numbers");
    assertThrows(() => new optim.Muon([p], { adjustLr: "x" as never }), OptionError, "adjustLr");
    assertThrows(() => new optim.Adafactor([p], { beta2Decay: 1 }), OptionError, "beta2Decay");
  });
});
