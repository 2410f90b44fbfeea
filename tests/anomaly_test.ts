/** `detectAnomaly` names the operation whose result or gradient became NaN first, on every device. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { it } from "node:test";
import { FerrotypeError } from "../src/core/errors.ts";
import { Generator } from "../src/core/random.ts";
import * as F from "../src/ops/mod.ts";
import { type Tensor, tensor } from "../src/ops/mod.ts";
import { compile, detectAnomaly, gradients, memory } from "../src/tensor/mod.ts";
import { eachDevice } from "./_devices.ts";
import { onWebGpu } from "./_webgpu.ts";

eachDevice((device) => {
  const of = (values: number[], requiresGrad = true): Tensor => tensor(values, { device, requiresGrad });
  const failing = async (f: () => Promise<unknown>): Promise<FerrotypeError> =>
    await assertRejects(() => detectAnomaly(f), FerrotypeError);

  it("names the operation that makes NaN of numbers, at any place of a chain", async () => {
    const random = new Generator(1);
    const harmless: ((x: Tensor) => Tensor)[] = [
      (x) => x.mul(0.5),
      (x) => x.sub(1),
      (x) => x.tanh(),
      (x) => x.neg(),
    ];
    const bad: Record<string, (x: Tensor) => Tensor> = {
      sqrt: (x) => x.mul(0).sub(1).sqrt(),
      log: (x) => x.mul(0).sub(1).log(),
      sub: (x) => x.mul(0).add(Infinity).sub(Infinity),
      matmul: (x) => x.mul(0).add(Infinity).reshape(1, 3).matmul(F.zeros([3, 3], { device })).reshape(3),
      // On a device without a kernel for it: what it is made of.
      "softmax|sub": (x) => x.mul(0).add(Infinity).softmax(0),
      sum: (x) => F.concat([x.mul(0).add(Infinity), x.mul(0).sub(Infinity)]).sum().expand([3]),
    };
    for (const [name, make] of Object.entries(bad)) {
      const before = Array.from({ length: random.integer(0, 4) }, () => harmless[random.integer(0, 4)]);
      const error = await failing(async () => {
        let x = of([1, 2, 3], false);
        for (const f of before) x = f(x);
        let y = make(x);
        for (const f of before) y = f(y);
        await y.data();
      });
      assertMatch(error.message, new RegExp(`^detectAnomaly: (${name}) made NaN in its result`), name);
    }
  });

  it("names what was given NaN, where nothing made it", async () => {
    const error = await failing(async () => await of([1, NaN]).mul(2).data());
    assertMatch(error.message, /mul was given NaN: its input 0 \(\[2\] f32\) has one/);
  });

  it("names the operation whose gradient became NaN, and where it was called", async () => {
    const cases: Record<string, (x: Tensor) => Tensor> = {
      sqrt: (x) => x.mul(0).sqrt().mul(0), // 0 · ∞
      norm: (x) => x.mul(0).square().sum().sqrt().mul(0),
      where: (x) => F.where(x.gt(100), x.mul(0).log(), x).mul(1),
    };
    for (const [name, f] of Object.entries(cases)) {
      const x = of([1, 2, 3]);
      const run = async (): Promise<void> => {
        f(x).sum().backward();
        await x.grad!.data();
      };
      if (name === "where") {
        // The gradient that is not chosen is 0 times infinity: of log, not of where.
        assertMatch((await failing(run)).message, /log made NaN in the gradient of its input 0/);
        continue;
      }
      const error = await failing(run);
      assertMatch(
        error.message,
        /^detectAnomaly: sqrt made NaN in the gradient of its input 0 .*without NaN/,
        name,
      );
      assertMatch(String((error.cause as Error).stack), /anomaly_test/);
    }
  });

  it("lets infinities and integers pass, gives back what f gives, and leaves no memory", async () => {
    const before = memory()[device]?.bytes ?? 0;
    const values = await detectAnomaly(async () => {
      using x = of([1, -1, 0]), y = x.gt(0), z = F.where(y, x, -Infinity), best = z.argmax();
      return [await z.data(), await best.item()];
    });
    assertEquals(values, [Float32Array.of(1, -Infinity, -Infinity), 0]);
    assertStrictEquals((memory()[device]?.bytes ?? 0) <= before + 64, true);
    assertStrictEquals(detectAnomaly(() => 3), 3);
  });

  it("ends with f, also when f throws", async () => {
    await failing(() => Promise.reject(new FerrotypeError("mine")));
    assertThrows(() =>
      detectAnomaly(() => {
        throw new RangeError("mine");
      }), RangeError);
    const root = await of([-1]).sqrt().data();
    assert(Number.isNaN(root[0] as number));
  });

  it("sees into fused operations' gradients, compiled functions and gradients of gradients", async () => {
    const f = compile((x: Tensor) => x.mul(0).sub(1).log());
    assertMatch((await failing(async () => await f(of([1], false)).data())).message, /log made NaN/);
    const x = of([0]);
    const error = await failing(async () => {
      const [dx] = gradients(x.pow(1.5).sum(), [x], undefined, { createGraph: true }) as Tensor[];
      const [ddx] = gradients(dx.sum(), [x]) as Tensor[];
      await ddx.mul(0).data();
    });
    assertMatch(error.message, /NaN/);
  });
}, onWebGpu);
