/**
 * Modules and layers: how parameters begin, what they are called, how they are saved, loaded, tied and trained.
 */
import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import type { DeviceName } from "../src/backends/contract.ts";
import { CpuBackend } from "../src/backends/cpu/backend.ts";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { FormatError, OptionError, ShapeError } from "../src/core/errors.ts";
import {
  bceWithLogits,
  CausalSelfAttention,
  Conv1D,
  Conv1d,
  Conv2d,
  Dropout,
  Embedding,
  init,
  KVCache,
  type Layer,
  LayerNorm,
  Linear,
  MLP,
  Module,
  ReLU,
  RMSNorm,
  Sequential,
  Tanh,
} from "../src/nn/mod.ts";
import {
  empty,
  manualSeed,
  ones,
  randn,
  reshape,
  slice,
  type Tensor,
  tensor,
  zeros,
} from "../src/ops/mod.ts";
import { Adam } from "../src/optim/mod.ts";
import { backendOf, noGrad, registerBackend, tidy } from "../src/tensor/mod.ts";

registerBackend("reference", createReferenceBackend);
registerBackend("cpu", () => new CpuBackend());
const devices: DeviceName[] = ["reference", "cpu"];

async function numbers(t: Tensor): Promise<number[]> {
  return Array.from(await t.data() as Float32Array);
}

async function statistics(t: Tensor): Promise<{ mean: number; std: number; least: number; most: number }> {
  const values = await numbers(t), n = values.length;
  const mean = values.reduce((a, b) => a + b, 0) / n;
  const std = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / n);
  return { mean, std, least: Math.min(...values), most: Math.max(...values) };
}

/** Two layers that share one weight, and a list. */
class Tied extends Module {
  first: Linear;
  second: Linear;
  rest: Linear[];

  constructor(device: DeviceName) {
    super();
    this.first = new Linear(3, 3, { device });
    this.second = new Linear(3, 3, { device, bias: false });
    this.second.weight.dispose();
    this.second.weight = this.first.weight;
    this.rest = [new Linear(3, 2, { device }), new Linear(2, 1, { device })];
  }
}

for (const device of devices) {
  describe(`nn on ${device}`, () => {
    it("begins as PyTorch begins", async () => {
      manualSeed(1);
      const uniform = (bound: number) => ({ mean: 0, std: bound / Math.sqrt(3), least: -bound, most: bound });
      const check = async (
        t: Tensor,
        expected: Partial<Awaited<ReturnType<typeof statistics>>>,
        what: string,
      ) => {
        const found = await statistics(t), { std = 0, least, most } = expected;
        // Four deviations of the mean, and of the deviation, of a sample of this size.
        assert(Math.abs(found.mean) <= 4 * std / Math.sqrt(t.size), `${what}: mean ${found.mean}`);
        assert(
          Math.abs(found.std - std) <= 4 * std / Math.sqrt(2 * t.size),
          `${what}: std ${found.std}, not ${std}`,
        );
        if (least !== undefined && most !== undefined) {
          assert(found.least >= least && found.most <= most, `${what}: ${found.least} to ${found.most}`);
          assert(
            found.most > 0.98 * most && found.least < 0.98 * least,
            `${what}: ${found.least} to ${found.most}`,
          );
        }
      };
      const linear = new Linear(100, 80, { device });
      assertEquals([linear.weight.shape, linear.bias?.shape], [[80, 100], [80]]);
      await check(linear.weight, uniform(0.1), "Linear.weight");
      await check(new Linear(4, 4000, { device }).bias as Tensor, uniform(0.5), "Linear.bias");
      await check(new Embedding(100, 50, { device }).weight, { std: 1 }, "Embedding");
      await check(new Conv1D(50, 100, { device }).weight, { std: 0.02 }, "Conv1D");
      await check(new Conv2d(4, 200, 5, { device }).weight, uniform(0.1), "Conv2d.weight");
      const t = empty([60, 90], { device });
      await check(init.xavierUniform(t), uniform(Math.sqrt(6 / 150)), "xavierUniform");
      await check(init.xavierNormal(t, 2), { std: 2 * Math.sqrt(2 / 150) }, "xavierNormal");
      await check(init.kaimingUniform(t), uniform(Math.sqrt(6 / 90)), "kaimingUniform");
      await check(init.kaimingNormal(t), { std: Math.sqrt(2 / 90) }, "kaimingNormal");
      assertThrows(() => init.xavierNormal(empty([3], { device })), ShapeError);
    });

    it("begins norms with ones and zeros, biases of Conv1D with zeros, the padding row with zeros", async () => {
      const norm = new LayerNorm(3, { device });
      assertEquals([await numbers(norm.weight), await numbers(norm.bias as Tensor)], [[1, 1, 1], [
        0,
        0,
        0,
      ]]);
      assertEquals(await numbers(new RMSNorm(2, { device }).weight), [1, 1]);
      assertEquals(await numbers(new Conv1D(2, 3, { device }).bias), [0, 0, 0]);
      const rows = await new Embedding(3, 2, { device, paddingIdx: 1 }).weight.toArray() as number[][];
      assertEquals(rows[1], [0, 0]);
      assert(rows[0][0] !== 0 && rows[2][1] !== 0);
    });

    it("begins the same for the same seed", async () => {
      manualSeed(3);
      const a = await numbers(new Linear(3, 4, { device }).weight);
      manualSeed(3);
      assertEquals(await numbers(new Linear(3, 4, { device }).weight), a);
    });

    it("gives no gradient to the padding row", async () => {
      const table = new Embedding(3, 2, { device, paddingIdx: 1 });
      table.forward(tensor([0, 1, 1], { dtype: "i32", device })).sum().backward();
      assertEquals(await table.weight.grad?.toArray(), [[1, 1], [0, 0], [0, 0]]);
    });

    it("learns exclusive or", async () => {
      manualSeed(2);
      const model = new MLP([2, 8, 1], { activation: () => new Tanh(), device });
      const optimizer = new Adam(model.parameters(), { lr: 0.05 });
      const x = tensor([[0, 0], [0, 1], [1, 0], [1, 1]], { device }),
        y = tensor([[0], [1], [1], [0]], { device });
      const step = (): Tensor => {
        const loss = bceWithLogits(model.forward(x), y);
        loss.backward();
        optimizer.step();
        optimizer.zeroGrad();
        return loss.detach();
      };
      const first = await tidy(step).item();
      for (let i = 0; i < 200; i++) tidy(() => void step());
      const last = await tidy(step).item();
      assert(first > 0.5 && last < 0.05, `from ${first} to ${last}`);
      const answers = await numbers(noGrad(() => model.forward(x)));
      assertEquals(answers.map((v) => v > 0), [false, true, true, false]);
    });

    it("frees what a step made", () => {
      const model = new MLP([4, 6, 2], { device, dropout: 0.5 }), x = randn([3, 4], { device });
      const step = (): void => {
        model.forward(x).square().mean().backward();
        model.zeroGrad();
      };
      tidy(step);
      const before = backendOf(device).memory();
      for (let i = 0; i < 3; i++) tidy(step);
      assertEquals(backendOf(device).memory(), before);
      model.dispose();
      assert(backendOf(device).memory().buffers <= before.buffers - 4);
    });

    it("attends to what came before, with and without a cache", async () => {
      manualSeed(4);
      const layer = new CausalSelfAttention(8, 2, { device }).eval(),
        x = randn([2, 5, 8], { device, seed: 1 });
      for (const p of layer.parameters()) init.normal(p, 0, 0.5);
      const whole = await numbers(layer.forward(x));
      const changed = x.clone().detach(), tail = slice(changed, null, [3, null]);
      init.uniform(tail, 5, 6);
      const after = await numbers(layer.forward(changed));
      const close = (a: number[], b: number[]): void =>
        a.forEach((v, i) => assert(Math.abs(v - b[i]) < 1e-5, `${i}: ${v}, ${b[i]}`));
      const early = (all: number[]): number[] => [...all.slice(0, 24), ...all.slice(40, 64)];
      close(early(after), early(whole));
      assert(Math.abs(after[30] - whole[30]) > 1e-2);
      const cache = new KVCache(2, 2, 5, 4, { device });
      const parts: Tensor[] = noGrad(() =>
        [[0, 3], [3, 4], [4, 5]].map(([from, to]) => layer.forward(slice(x, null, [from, to]), cache))
      );
      assertStrictEquals(cache.length, 5);
      const rows = await Promise.all(parts.map((part) => part.toArray() as Promise<number[][][]>));
      close([0, 1].flatMap((b) => rows.flatMap((part) => part[b]).flat()), whole);
      assertThrows(
        () => noGrad(() => layer.forward(slice(x, null, [0, 1]), cache)),
        Error,
        "holds 5 positions; 6",
      );
      cache.truncate(3);
      assertStrictEquals(cache.length, 3);
    });

    it("switches dropout with train and eval", async () => {
      manualSeed(6);
      const model = new Sequential(new Dropout(0.25)), x = ones([4000], { device });
      const values = await numbers(model.forward(x)), zero = values.filter((v) => v === 0).length;
      assert(zero > 850 && zero < 1150, `${zero} of 4000 are 0`);
      assert(values.every((v) => v === 0 || Math.abs(v - 4 / 3) < 1e-6));
      assertStrictEquals(model.eval().forward(x), x);
      assert(model.train().namedModules().every(([, module]) => module.training));
    });

    it("copies, converts and keeps parameters when loading and moving", async () => {
      const a = new Linear(3, 2, { device }), b = new Linear(3, 2, { device, dtype: "bf16" });
      const weight = b.weight;
      b.loadStateDict(a.stateDict());
      assertStrictEquals(b.weight, weight);
      assertStrictEquals(b.weight.dtype, "bf16");
      const expected = await numbers(a.weight.to({ dtype: "bf16" }).to({ dtype: "f32" }));
      assertEquals(await numbers(b.weight.to({ dtype: "f32" })), expected);
      const tied = new Tied(device);
      tied.to({ dtype: "bf16" });
      assert(weight.requiresGrad && tied.first.weight.requiresGrad);
      assertStrictEquals(tied.first.weight, tied.second.weight);
      assert(tied.parameters().every((p) => p.dtype === "bf16"));
    });
  });
}

describe("modules", () => {
  const device = "reference";

  it("name parameters by path, tied ones once", () => {
    const model = new Tied(device);
    assertEquals(model.namedParameters().map(([name]) => name), [
      "first.weight",
      "first.bias",
      "rest.0.weight",
      "rest.0.bias",
      "rest.1.weight",
      "rest.1.bias",
    ]);
    assertStrictEquals(model.parameters().length, 6);
    assertStrictEquals(model.numParameters(), 9 + 3 + 6 + 2 + 2 + 1);
    const layers = new Sequential(
      new Linear(2, 3, { device }),
      new ReLU(),
      new Linear(3, 1, { device, bias: false }),
    );
    assertEquals(Object.keys(layers.stateDict()), ["0.weight", "0.bias", "2.weight"]);
    assertEquals(new MLP([4, 5, 6], { device }).namedModules().map(([name]) => name), [
      "",
      "0",
      "1",
      "2",
    ]);
  });

  it("gather the gradients of a tied weight in one place", async () => {
    const model = new Tied(device), x = ones([1, 3], { device });
    model.second.forward(model.first.forward(x)).sum().backward();
    const both = await numbers(model.first.weight.grad as Tensor);
    model.zeroGrad();
    assertStrictEquals(model.second.weight.grad, null);
    const middle = model.first.forward(x).detach();
    model.second.forward(middle).sum().backward();
    const second = await numbers(model.first.weight.grad as Tensor);
    model.zeroGrad();
    const through = tensor(await numbers(model.first.weight), { shape: [3, 3], device });
    model.first.forward(x).matmul(through.t()).sum().backward();
    const first = await numbers(model.first.weight.grad as Tensor);
    both.forEach((v, i) => assert(Math.abs(v - first[i] - second[i]) < 1e-5));
  });

  it("give views in stateDict and take copies in loadStateDict", async () => {
    const a = new MLP([2, 3, 1], { device }), b = new MLP([2, 3, 1], { device });
    const state = a.stateDict();
    assert(Object.values(state).every((t) => !t.requiresGrad));
    assertEquals(b.loadStateDict(state), { missing: [], unexpected: [] });
    init.zeros(a.parameters()[0]);
    assertEquals(await numbers(state["0.weight"]), [0, 0, 0, 0, 0, 0]);
    assert((await numbers(b.parameters()[0])).some((v) => v !== 0));
  });

  it("list missing, unexpected and misshapen names apart, and change nothing", async () => {
    const model = new MLP([2, 3, 1], { device }), before = await numbers(model.parameters()[0]);
    const dict = {
      "0.weight": zeros([3, 2], { device }),
      "0.bias": zeros([4], { device }),
      "2.weight": zeros([1, 3], { device }),
      extra: zeros([1], { device }),
    };
    {
      const error = assertThrows(() => model.loadStateDict(dict), Error);

      assert(error instanceof FormatError);

      assertMatch(
        error.message,
        /missing: 2\.bias \[1\]; unexpected: extra \[1\]; wrong shape: 0\.bias is \[4\], expected \[3\]/,
      );
    }
    assertThrows(() => model.loadStateDict(dict, { strict: false }), Error, "wrong shape");
    assertEquals(await numbers(model.parameters()[0]), before);
    const { "0.bias": _, ...partial } = dict;
    assertEquals(model.loadStateDict(partial, { strict: false }), {
      missing: ["0.bias", "2.bias"],
      unexpected: ["extra"],
    });
    assertEquals(await numbers(model.parameters()[0]), [0, 0, 0, 0, 0, 0]);
  });

  it("invalidate what was recorded before loading", () => {
    const model = new Linear(2, 1, { device }), x = randn([1, 2], { device, requiresGrad: true });
    const y = model.forward(x).sum();
    model.loadStateDict(model.stateDict());
    assertThrows(() => y.backward(), Error, "changed in place");
  });

  it("begin and run with sizes of 0, as in PyTorch", async () => {
    const x = (...shape: number[]): Tensor => zeros(shape, { device });
    const some: readonly [layer: Layer, x: Tensor, shape: number[]][] = [0, 1, 3].flatMap((n) =>
      [0, 2].flatMap((m): [Layer, Tensor, number[]][] => [
        [new Linear(n, m, { device }), x(3, n), [3, m]],
        [new Conv1D(n, m, { device }), x(3, n), [3, m]],
        [new MLP([m, n, 2], { device }), x(3, m), [3, 2]],
        [new Conv1d(n, m, 1, { device }), x(1, n, 3), [1, m, 3]],
        [new Conv2d(n, m, [1, 2], { device }), x(1, n, 3, 3), [1, m, 3, 2]],
        [new Embedding(m + 1, n, { device }), zeros([2], { device, dtype: "i32" }), [2, n]],
        [new LayerNorm(n, { device }), x(2, n), [2, n]],
        [new CausalSelfAttention(n, 1, { device }), x(1, 2, n), [1, 2, n]],
      ])
    );
    for (const [layer, x, shape] of some) {
      const y = layer.forward(x), values = await numbers(y);
      assertEquals(y.shape, shape);
      assert(values.every(Number.isFinite), `${layer.constructor.name} of ${x.shape}`);
    }
    assertEquals(await numbers(new Linear(0, 2, { device }).bias!), [0, 0]);
    for (const begin of [init.kaimingUniform, init.kaimingNormal, init.xavierUniform, init.xavierNormal]) {
      for (const shape of [[2, 0], [0, 2], [0, 0], [2, 0, 3]]) assertEquals(begin(x(...shape)).shape, shape);
    }
  });

  it("refuse sizes that cannot be", () => {
    for (const size of [0, -1, 1.5]) {
      assertThrows(() => new Conv1d(1, 1, size), ShapeError, `Conv1d: kernelSize is ${size}`);
      assertThrows(() => new Conv2d(1, 1, [2, size]), ShapeError, `Conv2d: kernelSize is ${size}`);
    }
    assertThrows(() => new Conv2d(1, 1, [2, 2, 2] as never), ShapeError, "Conv2d: kernelSize is [2, 2, 2]");
    assertThrows(() => new Embedding(2, 3, { paddingIdx: 2 }), OptionError, "Embedding: paddingIdx is 2");
    assertThrows(() => new MLP([3]), OptionError);
    assertThrows(() => new Dropout(1.5), OptionError);
    assertThrows(() => new CausalSelfAttention(10, 3, { device }), ShapeError);
    assertThrows(
      () => new Linear(3, 2, { device }).forward(reshape(ones([4], { device }), [2, 2])),
      ShapeError,
    );
  });
});
