/**
 * Operations at the edges: empty axes, single numbers, NaN and infinities, ties, integers, half precision.
 */
import { assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { it } from "node:test";
import * as F from "../src/ops/mod.ts";
import { type Tensor, tensor } from "../src/ops/mod.ts";
import { compile, DTypeError, Generator } from "../mod.ts";
import { assertClose, eachDevice, numbersOf, rounded } from "./_devices.ts";
import { onWebGpu } from "./_webgpu.ts";

eachDevice((device) => {
  it("picks like NumPy with negative steps and bounds outside", async () => {
    const t = F.arange(6, { device });
    assertEquals(await t.slice([null, null, -1]).toArray(), [5, 4, 3, 2, 1, 0]);
    assertEquals(await t.slice([-2, null, -2]).toArray(), [4, 2, 0]);
    assertEquals(await t.slice([4, -100, -3]).toArray(), [4, 1]);
    assertEquals(await t.slice([-100, 100]).toArray(), [0, 1, 2, 3, 4, 5]);
    assertEquals(await t.slice([3, 1]).toArray(), []);
  });

  it("scales what is added, and rounds quotients and decimals, as PyTorch's options say", async () => {
    const random = new Generator(12), draw = (): number => Math.round((random.uniform() * 40 - 20) * 64) / 64;
    const a = Array.from({ length: 64 }, draw), b = a.map(() => draw() || 1), k = draw();
    const [x, y] = [a, b].map((list) => tensor(list, { device })),
      whole = (list: number[]): number[] => list.map((n) => Math.trunc(n) || 3);
    const [i, j] = [a, b].map((list) => tensor(whole(list), { device, dtype: "i32" }));
    const each = (f: (a: number, b: number) => number, [p, q] = [a, b]): number[] =>
      p.map((n, at) => f(n, q[at]));
    const both: [number[], number[]] = [whole(a), whole(b)];
    assertEquals(await numbersOf(x.add(y, { alpha: k })), each((a, b) => Math.fround(a + k * b)));
    assertEquals(await numbersOf(F.sub(x, 3, { alpha: k })), each((a) => Math.fround(a - 3 * k)));
    assertEquals(await numbersOf(i.sub(j, { alpha: -3 })), each((a, b) => a + 3 * b, both));
    assertClose(
      await numbersOf(F.div(x, y, { roundingMode: "trunc" })),
      each((a, b) => Math.trunc(Math.fround(a / b))),
      "trunc",
    );
    assertClose(
      await numbersOf(F.div(x, y, { roundingMode: "floor" })),
      each((a, b) => Math.floor(a / b)),
      "floor",
    );
    for (const [mode, f] of [["trunc", Math.trunc], ["floor", Math.floor]] as const) {
      const z = i.div(j, { roundingMode: mode });
      assertStrictEquals(z.dtype, "i32");
      assertEquals((await numbersOf(z)).map((n) => n + 0), each((a, b) => f(a / b) + 0, both));
    }
    assertStrictEquals(i.div(j, { roundingMode: null }).dtype, "f32");
    for (const decimals of [2, 1, 0, -1]) {
      const power = 10 ** decimals,
        even = (n: number): number => {
          const low = Math.floor(n);
          return n - low === 0.5 ? low + low % 2 : Math.round(n);
        };
      assertClose(
        await numbersOf(x.round({ decimals })),
        a.map((n) => even(n * power) / power),
        `${decimals} decimals`,
      );
    }
    assertThrows(() => i.add(j, { alpha: 0.5 }), DTypeError, "add: alpha is 0.5, expected a whole number");
    assertThrows(() => i.round({ decimals: 1 }), DTypeError, "round: decimals is 1, and integers have none");
    assertThrows(
      () => i.div(0, { roundingMode: "trunc" }),
      DTypeError,
      "div: integers have no quotient by 0",
    );
  });

  it("reduces nothing and one number", async () => {
    const none = F.zeros([0, 2], { device }), one = tensor(3, { device });
    assertEquals([await none.sum().item(), await none.prod().item()], [0, 1]);
    assertEquals([await none.sum(0).toArray(), await none.prod(0, true).toArray()], [[0, 0], [[1, 1]]]);
    assertEquals([none.sum(1).shape, none.max(1).shape], [[0], [0]]);
    assertEquals([await one.sum(0).item(), await one.max(-1).item(), await one.argmax(0).item()], [
      3,
      3,
      0,
    ]);
    assertEquals([
      await one.cumsum(0).item(),
      await one.softmax().item(),
      await one.sort().values.item(),
    ], [3, 1, 3]);
    const zero = tensor(0, { device, dtype: "i32" });
    assertStrictEquals(await one.gather(0, zero).item(), 3);
    assertStrictEquals(await one.scatterAdd(0, zero, one).item(), 6);
    assertStrictEquals(await one.scatter(0, zero, 8).item(), 8);
  });

  it("gives NaN, and NaN as gradients, for keys, for causal attention of rows that see none", async () => {
    // Row 0 of three lies before both keys; its softmax is over nothing.
    const q = F.ones([1, 2, 3, 4], { device, requiresGrad: true });
    const k = F.ones([1, 2, 2, 4], { device, requiresGrad: true });
    const y = F.scaledDotProductAttention(q, k, k, { isCausal: true });
    const rows = (await numbersOf(y)).map(Number.isNaN);
    assertEquals(rows.slice(0, 12), [0, 1, 2].flatMap((row) => Array(4).fill(row === 0)));
    y.sum().backward();
    for (const x of (await numbersOf(k.grad!))) assertStrictEquals(x, NaN);
    // What is masked has no gradient.
    for (const x of await numbersOf(q.grad!)) assertStrictEquals(x, 0);
  });

  it("multiplies matrices of no size", async () => {
    const a = F.zeros([2, 0], { device }), b = F.zeros([0, 3], { device });
    assertEquals(await a.matmul(b).toArray(), [[0, 0, 0], [0, 0, 0]]);
    assertEquals(b.matmul(F.zeros([3, 4], { device })).shape, [0, 4]);
    const bias = tensor([1, 2, 3], { device });
    assertEquals(await F.affine(a, b, bias).toArray(), [[1, 2, 3], [1, 2, 3]]);
  });

  it("gives in one product what product, activation and sum give", async () => {
    for (const [rows, k, n] of [[1, 64, 40], [2, 33, 7], [5, 64, 24], [70, 32, 96]]) {
      const numbers = (count: number, seed: number): number[] =>
        Array.from({ length: count }, (_, i) => Math.sin(seed + 1.7 * i));
      const x = tensor(numbers(2 * rows * k, 1), { device }).reshape([2, rows, k]);
      const w = tensor(numbers(k * n, 2), { device }).reshape([k, n]),
        bias = tensor(numbers(n, 3), { device });
      const residual = tensor(numbers(2 * rows * n, 4), { device }).reshape([2, rows, n]);
      const act = { gelu: F.gelu, geluTanh: (t: Tensor) => F.gelu(t, "tanh"), relu: F.relu, tanh: F.tanh };
      for (const [name, f] of Object.entries(act)) {
        const activation = name as F.Activation, parts = f(F.affine(x, w, bias));
        const cases = [
          [F.affine(x, w, bias, { activation }), parts],
          [F.affine(x, w, bias, { activation, residual }), residual.add(parts)],
          [F.affine(x, w, null, { residual }), residual.add(F.affine(x, w))],
        ];
        for (const [one, several] of cases) {
          assertEquals(one.shape, several.shape);
          assertClose(await numbersOf(one), await numbersOf(several), `${name} of ${rows} rows`, {
            atol: 1e-5,
          });
        }
      }
    }
    const x = F.zeros([2, 3], { device }), w = F.zeros([3, 4], { device });
    assertMatch(
      String(assertThrows(() => F.affine(x, w, null, { residual: x }))),
      /residual \[2, 3\] is not of .* \[2, 4\]/,
    );
  });

  it("multiplies integers, and integers with floats", async () => {
    const i = tensor([[1, 2], [3, 4]], { device, dtype: "i32" }),
      f = tensor([[0.5, 1], [2, 4]], { device });
    assertEquals([i.matmul(i).dtype, await i.matmul(i).toArray()], ["i32", [[7, 10], [15, 22]]]);
    assertEquals(await i.matmul(f).toArray(), [[4.5, 9], [9.5, 19]]);
    assertEquals(await F.stack([f, f]).matmul(i).slice(1).toArray(), [[3.5, 5], [14, 20]]);
  });

  it("orders and finds with NaN and infinities", async () => {
    const t = tensor([2, NaN, -Infinity, 1], { device });
    assertEquals(await t.sort().values.toArray(), [-Infinity, 1, 2, NaN]);
    assertEquals(await t.sort(0, { descending: true }).values.toArray(), [NaN, 2, 1, -Infinity]);
    assertEquals([await t.max().item(), await t.argmax().item()], [NaN, 1]);
    assertEquals(await t.isnan().toArray(), [0, 1, 0, 0]);
    assertEquals(await numbersOf(F.logsumexp(tensor([-Infinity, -Infinity], { device }))), [-Infinity]);
    assertEquals(await t.topk(2).indices.toArray(), [1, 0]);
    assertEquals(await t.topk(3, 0, { largest: false }).values.toArray(), [-Infinity, 1, 2]);
    assertEquals(await F.argsort(t).toArray(), [2, 3, 0, 1]);
    assertEquals(await F.argsort(t, 0, { descending: true }).toArray(), [1, 0, 3, 2]);
    assertEquals([await t.min().item(), await t.argmin().item()], [NaN, 1]);
    const best = compile((x: Tensor) => ({
      best: x.topk(2).values,
      last: x.sort().values.slice([3, 4]),
      at: x.argmax(),
    }));
    const { best: two, last, at } = best(t);
    assertEquals([await two.toArray(), await last.toArray(), await at.item()], [[NaN, 2], [NaN], 1]);
    // A number that is none is told of, and not left out.
    assertEquals(await numbersOf(F.sampleLogits(t, 0.5, { topK: 2 })), [-1]);
  });

  it("asks any and all", async () => {
    const t = tensor([[0, 1], [0, 0]], { device });
    assertEquals([await t.any().item(), await t.all().item()], [1, 0]);
    assertEquals([await t.any(1).toArray(), await t.logicalNot().all(0).toArray()], [[1, 0], [1, 0]]);
  });

  it("gives gradients of 0 at the kinks of std and norm", async () => {
    const x = tensor([[2, 2], [2, 2]], { device, requiresGrad: true });
    x.std().add(x.sub(2).norm()).backward();
    assertEquals(await x.grad?.toArray(), [[0, 0], [0, 0]]);
  });

  it("gives the gradient of a pool's tie to the first, as PyTorch", async () => {
    const x = F.zeros([1, 1, 2, 2], { device, requiresGrad: true });
    F.maxPool2d(x, 2).sum().backward();
    assertEquals(await x.grad?.toArray(), [[[[1, 0], [0, 0]]]]);
  });

  it("works in f32 inside where half precision would not do", async () => {
    const weight = F.rand([8], { device, seed: 3, dtype: "bf16" }),
      ids = tensor([1, 0, 7], { device, dtype: "i32" });
    const operations: Record<string, (x: Tensor) => Tensor> = {
      softmax: (x) => x.softmax(),
      "softmax along the first axis": (x) => x.softmax(0),
      logSoftmax: (x) => x.logSoftmax(),
      logsumexp: (x) => x.logsumexp(1),
      mean: (x) => x.mean(1),
      var: (x) => x.var(1),
      std: (x) => x.std(0),
      norm: (x) => x.norm(),
      layerNorm: (x) => x.layerNorm(8, weight.to({ dtype: x.dtype })),
      rmsNorm: (x) => x.rmsNorm(8),
      crossEntropy: (x) => F.crossEntropy(x, ids, { labelSmoothing: 0.1 }),
      mseLoss: (x) => F.mseLoss(x, weight.to({ dtype: x.dtype })),
      attention: (x) => {
        const heads = x.reshape(1, 2, 3, 4);
        return F.scaledDotProductAttention(heads, heads, heads, { isCausal: true });
      },
    };
    for (const [name, f] of Object.entries(operations)) {
      const x = F.randn([3, 8], { device, seed: 4, dtype: "bf16" });
      const y = f(x), wide = f(x.to({ dtype: "f32" }));
      assertStrictEquals(y.dtype, "bf16", name);
      assertEquals(await numbersOf(y), rounded(await numbersOf(wide), y), name);
    }
  });
}, onWebGpu);
