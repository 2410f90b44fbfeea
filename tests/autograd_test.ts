/**
 * Going back along the tape: `backward`, `grad` and their options, accumulation, errors, depth, and gradients of
 * gradients; on each device.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { describe, it } from "node:test";
import { FerrotypeError, ShapeError } from "../src/core/errors.ts";
import * as F from "../src/ops/mod.ts";
import { type Tensor, tensor } from "../src/ops/mod.ts";
import {
  checkGradients,
  copyInto,
  grad,
  noGrad,
  onLeafGradient,
  tidy,
  valueAndGrad,
  withRecording,
} from "../src/tensor/mod.ts";
import { record, type TapeNode } from "../src/tensor/mod.ts";
import { assertClose, eachDevice, numbersOf, testDevices } from "./_devices.ts";
import { uneven, unevenLoss } from "./_gradients.ts";

async function gradOf(t: Tensor): Promise<number[]> {
  assert(t.grad, "no gradient");
  return await numbersOf(t.grad);
}

eachDevice((device) => {
  const leaf = (data: number | number[] | number[][]): Tensor => tensor(data, { device, requiresGrad: true });
  const plain = (data: number | number[] | number[][]): Tensor => tensor(data, { device });

  describe("backward", () => {
    it("gathers gradients in leaves, and adds to what is there", async () => {
      const x = leaf([1, 2, 3]);
      x.square().sum().backward();
      assertEquals(await gradOf(x), [2, 4, 6]);
      x.mul(10).sum().backward();
      assertEquals(await gradOf(x), [12, 14, 16]);
      x.grad = null;
      x.sum().backward();
      assertEquals(await gradOf(x), [1, 1, 1]);
    });

    it("adds up over every path", async () => {
      const x = leaf([1, 2]);
      const y = x.mul(3);
      y.mul(y).add(y).add(x).sum().backward();
      // 9x² + 3x + x
      assertEquals(await gradOf(x), [22, 40]);
    });

    it("takes x + x and x * x apart", async () => {
      const x = leaf([3]);
      x.add(x).add(x.mul(x)).backward();
      assertEquals(await gradOf(x), [8]);
    });

    it("gives each leaf memory of its own", async () => {
      const a = leaf([1, 2]), b = leaf([3, 4]);
      a.add(b).sum().backward();
      a.mul(2).sum().backward();
      assertEquals([await gradOf(a), await gradOf(b)], [[3, 3], [1, 1]]);
    });

    it("sums over what was broadcast", async () => {
      const a = leaf([[1], [2]]), b = leaf([10, 20, 30]), c = leaf(5);
      a.mul(b).add(c).sum().backward();
      assertEquals(await gradOf(a), [60, 60]);
      assertEquals(await gradOf(b), [3, 3, 3]);
      assertEquals([await gradOf(c), c.grad?.shape], [[6], []]);
    });

    it("starts from a gradient of the result's shape", async () => {
      const x = leaf([1, 2, 3]);
      x.mul(2).backward(plain([1, 10, 100]));
      assertEquals(await gradOf(x), [2, 20, 200]);
    });

    it("keeps dtypes apart: each gradient has its tensor's", async () => {
      const half = tensor([1, 2], { device, dtype: "f16", requiresGrad: true }), full = leaf([3, 4]);
      half.mul(full).sum().backward();
      assertEquals([half.grad?.dtype, full.grad?.dtype], ["f16", "f32"]);
      assertEquals([await gradOf(half), await gradOf(full)], [[3, 4], [1, 2]]);
    });

    it("passes through conversions and stops at integers", async () => {
      const x = leaf([1.5, 2.5]);
      x.to({ dtype: "bf16" }).mul(2).to({ dtype: "f32" }).sum().backward();
      assertEquals(await gradOf(x), [2, 2]);
      assertStrictEquals(x.to({ dtype: "i32" }).requiresGrad, false);
      assertStrictEquals(x.gt(1).requiresGrad, false);
    });

    it("stops at detach", async () => {
      const x = leaf([2]);
      x.mul(x.detach()).backward();
      assertEquals(await gradOf(x), [2]);
    });

    it("goes where slices of one tensor go", async () => {
      const x = leaf([[1, 2], [3, 4]]);
      x.slice(0).mul(x.slice(1)).sum().backward();
      assertEquals(await gradOf(x), [3, 4, 1, 2]);
    });

    it("adds to one weight from a product and from picked rows", async () => {
      const w = leaf([[1, 2], [3, 4]]), ids = tensor([1, 1, 0], { device, dtype: "i32" });
      const rows = F.embedding(ids, w), logits = rows.matmul(w.t());
      logits.sum().backward();
      // Σ over rows r of r · (w0 + w1): each picked row gets w0 + w1, and each row of w the sum of the picked rows.
      assertEquals(await gradOf(w), [4 + 7, 6 + 10, 8 + 7, 12 + 10]);
      assertStrictEquals(w.grad?.isContiguous, true);
    });

    it("gives each slice of one product its place", async () => {
      const x = leaf([[1, 2, 3, 4, 5, 6]]);
      const y = x.mul(1), [a, b, c] = y.split(2, 1);
      a.mul(10).add(b.mul(20)).add(c.mul(30)).sum().add(y.sum()).backward();
      assertEquals(await gradOf(x), [11, 11, 21, 21, 31, 31]);
    });

    it("leaves out what does not count", () => {
      const x = leaf([1, 2]), unused = leaf([3]);
      x.sum().backward();
      assertStrictEquals(unused.grad, null);
      assertStrictEquals(plain([1]).grad, null);
    });

    it("leaves disposed leaves alone", () => {
      const x = leaf([1]), y = leaf([2]);
      const z = x.mul(y);
      y.dispose();
      z.backward();
      assert(x.grad);
    });

    const depth = device === "cpu" ? 100_000 : 10_000;
    it(`goes through ${depth} operations`, async () => {
      const x = leaf(1);
      tidy(() => {
        let y: Tensor = x;
        for (let i = 0; i < depth; i++) y = i % 4 ? y.reshape(1) : y.add(0.5);
        y.backward();
      });
      assertEquals(await gradOf(x), [1]);
    });

    it("does not look at the tape before a scope when it ends", () => {
      const y = leaf(1).add(1).add(2), node = y.node as TapeNode, { parents } = node;
      let looks = 0;
      Object.defineProperty(node, "parents", { get: () => (looks++, parents) });
      // A mean is a scope of its own, and so are the others.
      tidy(() => y.mean().add(1).softmax().std());
      assertStrictEquals(looks, 0);
    });

    it("records nothing itself unless told", () => {
      const x = leaf([1, 2]);
      x.square().sum().backward();
      assertStrictEquals(x.grad?.requiresGrad, false);
      x.square().sum().backward(undefined, { createGraph: true });
      assertStrictEquals(x.grad?.requiresGrad, true);
    });

    it("with createGraph gives gradients that can be differentiated", async () => {
      const x = leaf([1, 2]);
      x.pow(3).sum().backward(undefined, { createGraph: true });
      const first = x.grad as Tensor;
      assertClose(await numbersOf(first), [3, 12], "first");
      const sum = first.mul(first).sum();
      x.grad = null;
      sum.backward();
      // (3x²)² is 9x⁴, so 36x³.
      assertClose(await gradOf(x), [36, 288], "second");
    });

    it("survives the scope it was created in, with createGraph", async () => {
      const x = leaf([1, 2]);
      tidy(() => x.pow(3).sum().backward(undefined, { createGraph: true }));
      const first = x.grad as Tensor, sum = first.sum();
      x.grad = null;
      sum.backward();
      assertClose(await gradOf(x), [6, 12], "second");
    });
  });

  describe("backward's errors", () => {
    const throws = (f: () => unknown, type: typeof FerrotypeError, message: RegExp): void => {
      assertMatch(assertThrows(f, type).message, message);
    };

    it("says that nothing depends on a leaf", () => {
      throws(() => plain([1]).sum().backward(), FerrotypeError, /requiresGrad: true/);
    });

    it("asks for a gradient where the result has many elements", () => {
      throws(() => leaf([1, 2]).mul(2).backward(), ShapeError, /shape \[2\] needs a gradient/);
    });

    it("refuses a gradient of another shape", () => {
      throws(() => leaf([1, 2]).mul(2).backward(plain([1])), ShapeError, /has shape \[1\], the tensor \[2\]/);
    });

    it("says that a graph was used up, and how to keep it", async () => {
      const x = leaf([2]), y = x.square();
      y.backward();
      throws(() => y.backward(), FerrotypeError, /gradient of square was already taken.*retainGraph: true/);
      const z = x.square();
      z.backward(undefined, { retainGraph: true });
      z.backward();
      assertEquals(await gradOf(x), [12]);
    });

    it("notices what was changed in place after it was used", () => {
      const x = leaf([2, 3]), w = plain([1, 2]), y = x.mul(w);
      copyInto(plain([5, 6]), w);
      throws(
        () => y.sum().backward(),
        FerrotypeError,
        /shape \[2\] that the gradient of mul needs was changed in place/,
      );
    });

    it("does not mind changes of what it does not need", async () => {
      const x = leaf([2, 3]), w = plain([1, 2]), y = x.add(w);
      copyInto(plain([5, 6]), w);
      y.sum().backward();
      assertEquals(await gradOf(x), [1, 1]);
    });

    it("refuses gradients for integers", () => {
      throws(
        () => tensor([1], { device, dtype: "i32", requiresGrad: true }),
        FerrotypeError,
        /only floating-point/,
      );
      throws(
        () => tensor([1], { device, dtype: "i32" }).requiresGrad_(),
        FerrotypeError,
        /only floating-point/,
      );
    });

    it("refuses to take a result off the tape in place", () => {
      const y = leaf([1]).mul(2);
      throws(() => y.requiresGrad = false, FerrotypeError, /result of mul.*detach/);
    });

    it("leaves recording as it was after an error", () => {
      const x = leaf([1, 2]);
      throws(() => x.mul(2).backward(), ShapeError, /./);
      assertThrows(() =>
        noGrad(() => {
          throw new Error("inside");
        })
      );
      assertStrictEquals(x.mul(2).requiresGrad, true);
    });
  });

  describe("requiresGrad", () => {
    it("is set like a property, and switched off again", async () => {
      const x = plain([1, 2]);
      x.requiresGrad = true;
      x.sum().backward();
      assertEquals(await gradOf(x), [1, 1]);
      x.requiresGrad = false;
      assertStrictEquals(x.mul(2).requiresGrad, false);
    });

    it("does not make a result a leaf", () => {
      const y = leaf([1]).mul(2);
      const node = y.node;
      y.requiresGrad = true;
      assertStrictEquals(y.node, node);
    });
  });

  describe("noGrad", () => {
    it("records nothing inside, also in an async function", async () => {
      const x = leaf([1]);
      assertStrictEquals(noGrad(() => x.mul(2)).requiresGrad, false);
      const y = await noGrad(async () => {
        await Promise.resolve();
        return x.mul(2);
      });
      assertStrictEquals(y.requiresGrad, false);
      assertStrictEquals(x.mul(2).requiresGrad, true);
      assertStrictEquals(noGrad(() => withRecording(true, () => x.mul(2))).requiresGrad, true);
    });
  });

  describe("grad and valueAndGrad", () => {
    it("give the gradient of the first argument", async () => {
      const x = plain([1, 2, 3]);
      assertEquals(await numbersOf(grad((x: Tensor) => x.square().sum())(x)), [2, 4, 6]);
      assertStrictEquals(x.requiresGrad, false);
      const [value, slope] = valueAndGrad((x: Tensor) => x.square().sum())(x);
      assertEquals([await value.item(), await numbersOf(slope as Tensor)], [14, [2, 4, 6]]);
      assertStrictEquals(value.requiresGrad, false);
    });

    it("give gradients of the arguments named", async () => {
      const f = (a: Tensor, b: Tensor): Tensor => a.mul(b).sum();
      const a = plain([1, 2]), b = plain([3, 4]);
      assertEquals(await numbersOf(grad(f, { argnums: 1 })(a, b)), [1, 2]);
      const both = grad(f, { argnums: [0, 1] })(a, b);
      assertEquals(await Promise.all(both.map(numbersOf)), [[3, 4], [1, 2]]);
      assertThrows(() => grad(f, { argnums: 2 })(a, b), Error, "argument 2 was asked for, 2 were given");
    });

    it("keep the same tensor in two places apart", async () => {
      const x = plain([2, 3]);
      const both = grad((a: Tensor, b: Tensor) => a.mul(a).mul(b).sum(), { argnums: [0, 1] })(x, x);
      assertEquals(await Promise.all(both.map(numbersOf)), [[8, 18], [4, 9]]);
    });

    it("give zeros where nothing depends on an argument", async () => {
      const zero = grad((_: Tensor) => plain([5]).sum())(plain([1, 2]));
      assertEquals(await numbersOf(zero), [0, 0]);
    });

    it("leave grad of leaves alone and stay silent in noGrad", async () => {
      const w = leaf([2]);
      const slope = noGrad(() => grad((x: Tensor) => x.mul(w).sum())(plain([3])));
      assertEquals(await numbersOf(slope), [2]);
      assertStrictEquals(w.grad, null);
      assertStrictEquals(slope.requiresGrad, false);
    });

    it("nest: derivatives of derivatives of a polynomial", async () => {
      const f = (x: Tensor): Tensor => x.pow(4).sum();
      const first = (x: Tensor): Tensor => grad(f)(x).sum(),
        second = (x: Tensor): Tensor => grad(first)(x).sum();
      const third = (x: Tensor): Tensor => grad(second)(x).sum();
      const x = plain([1, 2, -1]);
      assertClose(await numbersOf(grad(first)(x)), [12, 48, 12], "second", { rtol: 1e-4 });
      assertClose(await numbersOf(grad(second)(x)), [24, 48, -24], "third", { rtol: 1e-4 });
      assertClose(await numbersOf(grad(third)(x)), [24, 24, 24], "fourth", { rtol: 1e-3 });
    });

    it("nest over a variable of the outer function that the inner one captures", async () => {
      // d/dy of d/dx (x² y) at x = 3 is 2x.
      const inner = (y: Tensor): Tensor => grad((x: Tensor) => x.square().mul(y).sum())(plain([3])).sum();
      assertEquals(await numbersOf(grad(inner)(plain([5]))), [6]);
    });

    it("reach leaves outside: a gradient penalty", async () => {
      const w = leaf([2]);
      const slope = grad((x: Tensor) => x.mul(w).square().sum())(plain([3]));
      // The slope is 2 x w²; its derivative by w is 4 x w.
      slope.sum().backward();
      assertEquals(await gradOf(w), [24]);
    });

    it("dispose what the function made", () => {
      const kept: Tensor[] = [];
      grad((x: Tensor) => {
        kept.push(x.mul(2));
        return kept[0].sum();
      })(plain([1]));
      assertStrictEquals(kept[0].isDisposed, true);
    });
  });

  describe("products with the Hessian", () => {
    const functions: Record<string, (x: Tensor) => Tensor> = {
      tanh: (x) => x.tanh(),
      softmax: (x) => x.softmax(-1),
      layerNorm: (x) => x.layerNorm(4),
      attention: (x) => {
        const heads = x.reshape(1, 1, 3, 4);
        return F.scaledDotProductAttention(heads, heads, heads, { isCausal: true });
      },
      crossEntropy: (x) =>
        F.crossEntropy(x, tensor([1, 0, 3], { device, dtype: "i32" }), { reduction: "none" }),
    };
    for (const [name, f] of Object.entries(functions)) {
      it(`${name}: as small steps of the gradient measure them`, async () => {
        const loss = (x: Tensor): Tensor => unevenLoss(f(x)), slope = grad(loss);
        const x = uneven([3, 4]).to({ dtype: "f32", device }),
          v = uneven([3, 4], -1, 1, 7).to({ dtype: "f32", device });
        const product = grad((x: Tensor) => slope(x).mul(v).sum())(x);
        const step = 1e-4, x64 = uneven([3, 4]), v64 = uneven([3, 4], -1, 1, 7);
        const wide = (x: Tensor): Tensor => x.to({ device: "reference", dtype: "f64" });
        const loss64 = name === "crossEntropy"
          ? (x: Tensor): Tensor =>
            unevenLoss(
              F.crossEntropy(x, tensor([1, 0, 3], { device: "reference", dtype: "i32" }), {
                reduction: "none",
              }),
            )
          : loss;
        const ahead = grad(loss64)(x64.add(v64.mul(step))), behind = grad(loss64)(x64.sub(v64.mul(step)));
        const measured = await numbersOf(ahead.sub(behind).div(2 * step));
        assertClose(await numbersOf(wide(product)), measured, name, { atol: 2e-5, rtol: 2e-4 });
      });
    }
  });
});

describe("who hears of leaves", () => {
  /** A net with a weight a layer, some of them used twice, one in another dtype; each layer says when it is gone back through. */
  const net = (): { weights: Tensor[]; loss: () => Tensor; order: string[] } => {
    const weights = [0, 1, 2, 3].map((i) => tensor([0.3 + i, 0.7], { requiresGrad: true })),
      order: string[] = [];
    const loss = (): Tensor => {
      // Copies are made before all else, as those of mixed precision are.
      const half = weights[2].to({ dtype: "bf16" });
      let x = tensor([1, 2]);
      for (const [i, w] of [weights[0], weights[1], half, weights[3], weights[0]].entries()) {
        const before = x.mul(w.to({ dtype: "f32" })).tanh(), y = noGrad(() => before.clone());
        record("layer", y, [before], [], { backward: (g) => (order.push(`layer ${i}`), [g as Tensor]) });
        x = y.add(weights[1]);
      }
      return x.square().sum();
    };
    return { weights, loss, order };
  };

  it("is told as soon as its gradient is whole, which is the one that it is without anybody", async () => {
    const quiet = net(), heard = net();
    quiet.loss().backward();
    const stop = onLeafGradient((leaf) =>
      void heard.order.push(`weight ${heard.weights.indexOf(leaf as Tensor)}`)
    );
    heard.loss().backward();
    stop();
    assertEquals(heard.order.slice(0, 4), ["layer 4", "layer 3", "weight 3", "layer 2"]);
    assertEquals(heard.order.slice(4), ["weight 2", "layer 1", "weight 1", "layer 0", "weight 0"]);
    for (const [i, w] of heard.weights.entries()) {
      assertEquals(await gradOf(w), await gradOf(quiet.weights[i]));
    }
  });
});

describe("checkGradients", () => {
  it("finds a wrong gradient, and names the element", async () => {
    const wrong = (x: Tensor): Tensor => {
      const y = noGrad(() => x.square());
      record("wrong", y, [x], [x], { backward: (g, [x]) => [(g as Tensor).mul(x as Tensor)] });
      return y;
    };
    await assertRejects(
      () => checkGradients(wrong, [uneven([3])]),
      Error,
      "input 0, element 0: the gradient says",
    );
  });

  it("wants a function that depends on its inputs", async () => {
    await assertRejects(
      () => checkGradients((x: Tensor) => x.detach(), [uneven([2])]),
      Error,
      "does not depend",
    );
  });

  it("takes tensors of any device and dtype", async () => {
    for (const device of testDevices) {
      await checkGradients((x: Tensor) => x.tanh(), [tensor([0.1, 0.2], { device, dtype: "bf16" })]);
    }
  });
});
