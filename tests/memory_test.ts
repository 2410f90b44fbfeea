/**
 * Who frees what: `tidy`, `using`, `dispose`, and collection as the safety net. The device's own count of live
 * buffers is what is held against.
 */
import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { collector, holdCollection } from "./_collection.ts";
import { GPT2Model } from "../src/models/mod.ts";
import * as F from "../src/ops/mod.ts";
import { type Tensor, tensor } from "../src/ops/mod.ts";
import * as optim from "../src/optim/mod.ts";
import { cpuBackend } from "../src/runtime/cpu.ts";
import "../src/runtime/devices.ts";
import { grad, keep, memory, noGrad, tidy, valueAndGrad } from "../src/tensor/mod.ts";
import { eachDevice, numbersOf } from "./_devices.ts";
import { describe, it } from "./_suite.ts";
import { until } from "./_wait.ts";

const collect = collector();

eachDevice((device) => {
  const buffers = (): number => memory()[device].buffers;
  const ones = (...shape: number[]): Tensor => F.ones(shape, { device });
  const leaf = (...shape: number[]): Tensor => F.ones(shape, { device, requiresGrad: true });
  // The device exists from its first tensor on.
  ones(1).dispose();

  /** How many buffers more there are after `f`. */
  const growth = (f: () => unknown): number => {
    const before = buffers();
    f();
    return buffers() - before;
  };

  describe("memory", () => {
    it("counts buffers and bytes, and names who made them", () => {
      const before = memory()[device];
      const a = ones(10, 10), b = a.matmul(a), view = b.t();
      const now = memory()[device];
      assertEquals([now.buffers - before.buffers, now.bytes - before.bytes], [2, 800]);
      const { byOp } = memory({ byOp: true })[device];
      assertEquals(byOp?.matmul, { buffers: 1, bytes: 400 });
      assertStrictEquals(now.byOp, undefined);
      b.dispose();
      assertStrictEquals(buffers() - before.buffers, 2, "the view still holds it");
      view.dispose();
      view.dispose();
      a.dispose();
      assertStrictEquals(buffers(), before.buffers);
    });
  });

  describe("tidy", () => {
    it("disposes everything but the result", async () => {
      const x = ones(3);
      let inside: Tensor | undefined;
      const before = buffers();
      const y = tidy(() => {
        inside = x.mul(2);
        return inside.add(1);
      });
      assertStrictEquals(buffers() - before, 1);
      assertEquals([inside?.isDisposed, x.isDisposed], [true, false]);
      assertEquals(await y.toArray(), [3, 3, 3]);
      y.dispose();
      x.dispose();
    });

    it("keeps what is returned in objects without a prototype, and a gradient whose leaf is not", async () => {
      const before = memory()[device]!.buffers, x = tensor([1, 2], { device });
      const { y } = tidy(() => Object.assign(Object.create(null), { y: x.mul(2) })) as { y: Tensor };
      assertEquals(await y.toArray(), [2, 4]);
      const found = tidy(() => {
        const leaf = x.clone().requiresGrad_();
        leaf.square().sum().backward();
        return leaf.grad!;
      });
      assertEquals(await found.toArray(), [2, 4]);
      for (const t of [x, y, found]) t.dispose();
      assertEquals(memory()[device]!.buffers, before);
    });

    it("finds results in lists, maps, sets and plain objects", () => {
      const x = ones(2);
      const made = tidy(() => ({
        list: [x.add(1), [x.add(2)]],
        map: new Map([["a", x.add(3)]]),
        set: new Set([x.add(4)]),
        plain: { deep: { deeper: x.add(5) } },
        nothing: null,
      }));
      const all = [...made.list.flat(), ...made.map.values(), ...made.set, made.plain.deep.deeper];
      assert(all.every((t) => !t.isDisposed));
      assertStrictEquals(growth(() => all.forEach((t) => t.dispose())), -5);
      x.dispose();
    });

    it("hands results to the scope around it", () => {
      const x = ones(2);
      let inner: Tensor | undefined;
      assertStrictEquals(
        growth(() =>
          tidy(() => {
            inner = tidy(() => x.mul(2).add(1));
            assertStrictEquals(inner.isDisposed, false);
          })
        ),
        0,
      );
      assertStrictEquals(inner?.isDisposed, true);
      x.dispose();
    });

    it("leaves alone what it is told to keep", () => {
      const x = ones(2);
      let kept: Tensor | undefined;
      tidy(() => void (kept = keep(x.mul(2))));
      assertStrictEquals(kept?.isDisposed, false);
      kept?.dispose();
      x.dispose();
    });

    it("cleans up after an error", async () => {
      using _still = holdCollection();
      const x = ones(2), before = buffers();
      assertThrows(
        () =>
          tidy(() => {
            x.mul(2).add(1);
            throw new Error("inside");
          }),
        Error,
        "inside",
      );
      await assertRejects(
        () =>
          tidy(async () => {
            x.mul(2);
            await Promise.resolve();
            throw new Error("later");
          }),
        Error,
        "later",
      );
      assertStrictEquals(buffers(), before);
      x.dispose();
    });

    it("stays open across await", async () => {
      using _still = holdCollection();
      const x = ones(2), before = buffers();
      const sum = await tidy(async () => {
        const y = x.mul(2);
        await new Promise((resolve) => setTimeout(resolve, 1));
        const z = y.add(1);
        await z.data();
        return z.sum();
      });
      assertStrictEquals(buffers() - before, 1);
      assertStrictEquals(await sum.item(), 6);
      sum.dispose();
      x.dispose();
    });

    it("gives back the graph of what is not returned, and keeps that of what is", async () => {
      using _still = holdCollection();
      const w = leaf(3), before = buffers();
      const loss = tidy(() => {
        w.exp().mul(w).sum(); // its graph goes
        return w.square().mul(w).sum();
      });
      assertStrictEquals(loss.requiresGrad, true);
      loss.backward();
      assertEquals(await numbersOf(w.grad as Tensor), [3, 3, 3]);
      loss.dispose();
      assertStrictEquals(buffers() - before, 1, "the gradient is left");
      w.dispose();
      assertStrictEquals(buffers() - before, -1, "the gradient goes with its leaf");
    });

    it("keeps gradients, which belong to their leaves", () => {
      const w = leaf(2);
      assertStrictEquals(growth(() => tidy(() => w.square().sum().backward())), 1);
      assertStrictEquals(growth(() => tidy(() => w.square().sum().backward())), 0);
      assertStrictEquals(growth(() => w.grad = null), -1);
      w.dispose();
    });
  });

  describe("using", () => {
    it("disposes at the end of the block", () => {
      assertStrictEquals(
        growth(() => {
          using x = ones(4);
          using y = x.mul(2);
          assertStrictEquals(y.isDisposed, false);
        }),
        0,
      );
    });
  });

  describe("operations leave nothing behind", () => {
    const ids = F.arange(2, { device }),
      x = F.rand([2, 4], { device, seed: 1 }),
      w = F.rand([4, 4], { device, seed: 2 });
    const image = F.rand([1, 1, 4, 4], { device, seed: 3 }),
      heads = F.rand([1, 2, 4, 2], { device, seed: 4 });
    const weight = F.ones([4], { device }), turned = heads.transpose(2, 3);
    const operations: Record<string, (x: Tensor) => Tensor | Tensor[]> = {
      add: (x) => x.add(1),
      broadcast: (x) => x.mul(weight),
      where: (x) => x.where(x, 0),
      softmax: (x) => x.softmax(),
      "softmax along the first axis": (x) => x.softmax(0),
      logSoftmax: (x) => x.t().logSoftmax(),
      layerNorm: (x) => x.layerNorm(4, weight, weight),
      "layerNorm of a transposed matrix": (x) => x.t().layerNorm(2),
      rmsNorm: (x) => x.rmsNorm(4),
      sum: (x) => x.sum(0),
      mean: (x) => x.mean(),
      var: (x) => x.var(1),
      std: (x) => x.std(),
      norm: (x) => x.norm(),
      logsumexp: (x) => x.logsumexp(0),
      prod: (x) => x.prod(1),
      max: (x) => x.max(0),
      argmax: (x) => x.argmax(),
      any: (x) => x.any(),
      cumsum: (x) => x.cumsum(0),
      matmul: (x) => x.matmul(w),
      linear: (x) => F.linear(x.unsqueeze(0), w, weight),
      einsum: (x) => F.einsum("ij,jk->k", x, w),
      reshape: (x) => x.t().reshape(-1),
      concat: (x) => F.concat([x, x], 1),
      stack: (x) => F.stack([x, x]),
      repeat: (x) => x.repeat(2, 2),
      pad: (x) => x.pad([1, 1], { mode: "reflect" }),
      split: (x) => x.split(2, 1),
      embedding: (x) => F.embedding(ids, x, 0),
      gather: (x) => x.gather(0, ids.unsqueeze(0)),
      indexSelect: (x) => x.indexSelect(0, ids),
      scatter: (x) => x.scatter(0, ids.unsqueeze(0), 3),
      oneHot: () => ids.oneHot(3),
      tril: (x) => x.tril(),
      sort: (x) => Object.values(x.sort(0)),
      topk: (x) => Object.values(x.topk(2)),
      dropout: (x) => F.dropout(x, 0.5),
      attention: () => F.scaledDotProductAttention(heads, heads, heads, { isCausal: true }),
      "attention of turned heads": () => F.scaledDotProductAttention(turned, turned, turned),
      conv2d: () => F.conv2d(image, F.reshape(w, [1, 1, 4, 4]), null, { padding: 1 }),
      maxPool2d: () => F.maxPool2d(image, 2),
      avgPool2d: () => F.avgPool2d(image, 2, { padding: 1, countIncludePad: false }),
      crossEntropy: (x) => F.crossEntropy(x, ids),
      "crossEntropy with smoothing": (x) => F.crossEntropy(x, ids, { labelSmoothing: 0.1 }),
      mseLoss: (x) => F.mseLoss(x, weight),
      bceWithLogits: (x) => F.bceWithLogits(x, weight),
      "half precision": (x) => tidy(() => x.to({ dtype: "bf16" }).softmax()),
      randn: () => F.randn([3], { device, dtype: "f16" }),
    };
    for (const [name, f] of Object.entries(operations)) {
      it(name, () => {
        const whole = tidy(() => x.add(0));
        const run = (input: Tensor): void => {
          const result = f(input);
          for (const t of Array.isArray(result) ? result : [result]) t.dispose();
        };
        // What a test itself makes on the way (x.t() …) goes with the scope; what an operation forgets outside shows.
        const direct = growth(() => run(whole));
        const handed = growth(() => tidy(() => run(whole)));
        assertEquals([direct, handed], [0, 0]);
        // Going back frees what was kept for it.
        const input = leaf(2, 4);
        const trained = growth(() => {
          const result = f(input);
          for (const t of Array.isArray(result) ? result : [result]) {
            if (t.requiresGrad) {
              using start = F.onesLike(t);
              t.backward(start);
            }
            t.dispose();
          }
          input.grad = null;
        });
        assertStrictEquals(trained, 0);
        input.dispose();
        whole.dispose();
      });
    }
  });

  describe("training", () => {
    const steps = device === "cpu" ? 10_000 : 200;
    it(`of ${steps} small steps in tidy holds as many buffers at the end as after the first`, () => {
      const w = keep(F.randn([4, 3], { device, seed: 1, requiresGrad: true })), b = keep(leaf(3));
      const x = F.randn([5, 4], { device, seed: 2 }),
        y = F.arange(3, { device }).gather(0, F.randint(3, [5], { device, seed: 3 }));
      const step = (): void =>
        tidy(() => {
          const loss = F.crossEntropy(F.affine(x, w, b).tanh(), y);
          loss.backward();
          for (const p of [w, b]) {
            const next = noGrad(() => p.sub((p.grad as Tensor).mul(0.1)));
            noGrad(() => F.copyInto(next, p));
            p.grad = null;
          }
        });
      step();
      const { buffers: before, bytes } = memory()[device];
      for (let i = 0; i < steps; i++) step();
      assertEquals([memory()[device].buffers, memory()[device].bytes], [before, bytes]);
      for (const t of [w, b, x, y]) t.dispose();
    });

    it("with a gradient of a gradient in each step, too", () => {
      const x = ones(3);
      const penalty = grad((x: Tensor) => grad((x: Tensor) => x.softmax().square().sum())(x).square().sum());
      const step = (): void => tidy(() => void penalty(x));
      step();
      assertStrictEquals(
        growth(() => {
          for (let i = 0; i < 20; i++) step();
        }),
        0,
      );
      x.dispose();
    });

    it("with valueAndGrad leaves the value and the gradient", () => {
      const x = ones(3), f = valueAndGrad((x: Tensor) => x.exp().layerNorm(3).square().sum());
      assertStrictEquals(
        growth(() => {
          const [value, slope] = f(x);
          value.dispose();
          (slope as Tensor).dispose();
        }),
        0,
      );
      x.dispose();
    });
  });

  describe(
    "collection",
    { skip: collect ? false : "this runtime does not let a program call its collector" },
    () => {
      // Collection and its callbacks come when the runtime likes.
      const collected = async (waste: () => void): Promise<void> => {
        const before = buffers();
        for (let i = 0; i < 200; i++) waste();
        assert(buffers() - before >= 200);
        await until(() => {
          collect?.();
          return buffers() - before <= 20;
        }, "collection");
      };
      it("frees what nobody disposed, graphs included", () => collected(() => leaf(100).mul(2).exp().sum()));
      it("frees what a scope returned", () => collected(() => tidy(() => leaf(100).mul(2).exp().sum())));
      it("frees what was kept", () => collected(() => tidy(() => void keep(ones(10).exp()))));
    },
  );
});

it("memory names only devices in use", () => {
  tensor([1], { device: "cpu" }).dispose();
  assertEquals(Object.keys(memory()).filter((name) => name !== "cpu" && name !== "reference"), []);
});

it("a training step finds all its memory where the last one left it", async () => {
  using _still = holdCollection();
  const { heap } = cpuBackend().engine;
  const sizes = { nLayer: 2, nEmbd: 32, nHead: 2, nPositions: 16, vocabSize: 50, residPdrop: 0.1 };
  const model = new GPT2Model(sizes, { device: "cpu" });
  model.train();
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3 });
  const ids = Array.from({ length: 4 }, (_, row) => Array.from({ length: 16 }, (_, i) => (7 * i + row) % 50));
  const step = async (): Promise<number> => {
    optimizer.zeroGrad();
    const loss = model.loss(ids);
    loss.backward();
    optimizer.step();
    const value = await loss.item();
    loss.dispose();
    return value;
  };
  const first = await step();
  for (let i = 0; i < 3; i++) await step();
  const free = (): number => [...heap.blocks()].reduce((sum, { bytes, free }) => free ? sum + bytes : sum, 0);
  const before = [heap.capacity, heap.bytes, heap.buffers, free()];
  let last = 0;
  for (let i = 0; i < 8; i++) {
    last = await step();
    assertEquals([heap.capacity, heap.bytes, heap.buffers, free()], before);
  }
  assert(last < first);
  model.dispose();
});
