/**
 * Products of few rows that compute their left operand themselves: norms of any form, tables, what others want besides, and
 * what keeps a step out of a product.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import {
  argmax,
  compile,
  copyInto,
  type DeviceName,
  embedding,
  GPT2,
  keep,
  layerNorm,
  matmul,
  noGrad,
  randint,
  randn,
  reshape,
  rmsNorm,
  ShapeError,
  type Tensor,
  tensor,
  transpose,
  zeros,
} from "../mod.ts";
import type { WebGpuBackend } from "../src/backends/webgpu/backend.ts";
import type { GpuOptions } from "../src/backends/webgpu/gpu.ts";
import { openWebGpu } from "../src/backends/webgpu/open.ts";
import { Generator } from "../src/core/random.ts";
import { requestGpuAdapter } from "../src/platform/gpu.ts";
import { backendOf, installBackend } from "../src/tensor/mod.ts";
import { assertClose, numbersOf } from "./_devices.ts";
import { onWebGpu } from "./_webgpu.ts";
import { width } from "./_width.ts";

function linesOf(plan: string): string[] {
  const lines = plan.split("\n"), at = lines.findIndex((line) => line.startsWith("done in each run"));
  return lines.slice(at + 1, -1).map((line) => line.trim());
}

type Function = (x: Tensor) => Tensor | Tensor[];

/** The steps of `f`, after it was found to give what it gives eagerly for several `x` of this shape. */
async function stepsOf(f: Function, shape: number[], device: DeviceName): Promise<string[]> {
  using compiled = compile(f);
  let lines: string[] = [];
  for (const seed of [1, 2]) {
    const x = randn(shape, { seed, device }), expected = [noGrad(() => f(x))].flat();
    const found = [noGrad(() => compiled(x))].flat();
    for (const [k, t] of expected.entries()) {
      assertEquals(found[k].shape, t.shape);
      assertClose(await numbersOf(found[k]), await numbersOf(t), `result ${k}`, { atol: 2e-5, rtol: 1e-4 });
    }
    lines = linesOf(compiled.plan(x));
  }
  return lines;
}

const isFused = (line: string): boolean => / = matmul\(.* of rows\(/.test(line);

function suite(device: DeviceName): void {
  const made = (shape: number[], seed: number): Tensor => keep(randn(shape, { seed, device }));
  const w = made([32, 24], 10), gain = made([32], 11), shift = made([32], 12), row = made([24], 13);

  for (const rows of width([1, 2, 3, 4], [1, 3])) {
    it(`take in the norm before them: ${rows} of them`, async () => {
      const norms: Function[] = [
        (x) => layerNorm(x as Tensor, 32, gain, shift),
        (x) => layerNorm(x as Tensor, 32, gain),
        (x) => layerNorm(x as Tensor, 32),
        (x) => rmsNorm(x as Tensor, 32, gain),
        (x) => rmsNorm(x as Tensor, 32),
        (x) => x.mul(x.square().mean(-1, true).add(1e-5).rsqrt()).mul(gain),
        (x) => x.mul(gain).add(shift),
      ];
      for (const norm of norms) {
        const lines = await stepsOf((x) => matmul(norm(x) as Tensor, w).add(row).tanh(), [rows, 32], device);
        assertStrictEquals(lines.length, 1, lines.join("\n"));
        assert(isFused(lines[0]), lines[0]);
      }
    });
  }

  it("read weights of every kind in any order", async () => {
    for (const dtype of ["f32", "f16", "bf16"] as const) {
      const across = keep(made([64, 40], 14).to({ dtype })), along = keep(made([40, 64], 15).to({ dtype }));
      for (const f of [(n: Tensor) => matmul(n, across), (n: Tensor) => matmul(n, transpose(along, 0, 1))]) {
        const lines = await stepsOf((x) => f(rmsNorm(x, 64)), [2, 64], device);
        assert(lines.length === 1 && isFused(lines[0]), lines.join("\n"));
      }
    }
    for (const dtype of ["q8", "q4"] as const) {
      const blocks = keep(randn([40, 64], { seed: 15, device: "cpu" }).to({ dtype }).to({ device }));
      const lines = await stepsOf((x) => rmsNorm(x, 64).linear(blocks), [2, 64], device);
      assert(lines.length === 1 && isFused(lines[0]), lines.join("\n"));
    }
  });

  it("compute a norm each where several read it, and what it is of once", async () => {
    const other = made([32, 8], 16);
    const lines = await stepsOf(
      (x) => {
        const y = x.mul(2).add(gain), n = rmsNorm(y, 32, gain);
        return [matmul(n, w), matmul(n, other), y];
      },
      [2, 32],
      device,
    );
    assertStrictEquals(lines.filter(isFused).length, 2, lines.join("\n"));
    assertStrictEquals(lines.length, 2, lines.join("\n"));
  });

  it("store what others read of it: the sum that a norm is of stays for the next residual", async () => {
    const back = made([24, 32], 17);
    const lines = await stepsOf(
      (x) => {
        const y = x.add(gain), z = matmul(layerNorm(y, 32, gain, shift), w).relu();
        return y.add(matmul(z, back));
      },
      [3, 32],
      device,
    );
    assertEquals(lines.map(isFused), [true, false], lines.join("\n"));
  });

  it("pick rows of tables, whose positions may change", async () => {
    const tokens = made([50, 32], 18), places = made([9, 32], 19);
    const f = (ids: Tensor, at: Tensor): Tensor[] => {
      const x = embedding(ids, tokens).add(embedding(at, places));
      return [x, matmul(layerNorm(x, 32, gain, shift), w)];
    };
    using compiled = compile(f);
    for (const seed of [1, 2, 3, 4]) {
      const ids = randint(50, [3], { seed, dtype: "i32", device }),
        at = randint(9, [3], { seed, dtype: "i32", device });
      const expected = f(ids, at), found = compiled(ids, at);
      for (const [i, t] of expected.entries()) {
        assertClose(await numbersOf(found[i]), await numbersOf(t), `${i}`, { atol: 1e-5, rtol: 1e-4 });
      }
    }
    const ids = tensor([1, 49, 3], { dtype: "i32", device });
    const lines = linesOf(compiled.plan(ids, tensor([1, 8, 3], { dtype: "i32", device })));
    assertStrictEquals(lines.length, 1, lines.join("\n"));
    assertMatch(lines[0], /@\d+\[select\(lt\(\$0, 0\), 50, \$0\)\]/);
    // What eagerly is an error is one here, once, and says the same.
    for (const bad of [50, -1, 2 ** 31 - 1]) {
      const wrong = tensor([0, bad, 1], { dtype: "i32", device }),
        right = tensor([0, 1, 8], { dtype: "i32", device });
      const said = await assertRejects(() => f(wrong, right)[1].data(), ShapeError);
      const again = await assertRejects(() => compiled(wrong, right)[1].data(), ShapeError);
      assertStrictEquals(again.message, said.message);
      assertEquals(await numbersOf(compiled(right, right)[0]), await numbersOf(f(right, right)[0]));
    }
  });

  it("go on as they are where a row is not theirs alone", async () => {
    const state = keep(zeros([2, 32], { device }));
    const kept: [string, Function, shape?: number[]][] = [
      ["the norm is wanted too", (x) => {
        const n = rmsNorm(x, 32, gain);
        return [matmul(n, w), n];
      }],
      ["and not by a product", (x) => {
        const n = rmsNorm(x, 32, gain);
        return matmul(n, w).sum().add(n.exp().sum(0));
      }],
      ["many rows", (x) => matmul(rmsNorm(x, 32, gain), w), [5, 32]],
      ["numbers that do not lie in fours", (x) => matmul(rmsNorm(x, 30), w.narrow(0, 0, 30)), [2, 30]],
      ["the right operand", (x) => matmul(w.narrow(0, 0, 2).narrow(1, 0, 2), rmsNorm(x, 32, gain))],
      ["both operands", (x) => {
        const n = rmsNorm(x, 32, gain);
        return matmul(n, transpose(n, 0, 1));
      }],
      ["many matrices", (x) => matmul(rmsNorm(x, 32, gain), w), [2, 2, 2, 32]],
      ["no rows", (x) => matmul(rmsNorm(x, 32, gain), w), [0, 32]],
    ];
    for (const [what, f, shape] of kept) {
      const lines = await stepsOf(f, shape ?? [2, 32], device);
      assert(!lines.some(isFused), `${what}: ${lines.join("\n")}`);
    }
    // What the product adds may not be what it stores.
    const square = made([32, 32], 20);
    const lines = await stepsOf(
      (x) => {
        const y = x.mul(gain).add(1);
        return y.add(matmul(rmsNorm(y, 32), square));
      },
      [2, 32],
      device,
    );
    assertStrictEquals(lines.length, 2, lines.join("\n"));
    // Nor what one step over rows gives beside the left operand.
    const both = await stepsOf(
      (x) => {
        const e = x.sub(x.mean(-1, true)).tanh();
        return e.add(matmul(e.sub(e.mean(-1, true)).tanh(), square));
      },
      [2, 32],
      device,
    );
    assertStrictEquals(both.length, 2, both.join("\n"));
    // What changes in between is read before.
    const changing: Function = (x) => {
      const n = rmsNorm(state, 32, gain);
      copyInto(x, state);
      return matmul(n, w);
    };
    using compiled = compile(changing);
    let before = zeros([2, 32], { device });
    for (const seed of [1, 2, 3]) {
      const x = randn([2, 32], { seed, device }), found = compiled(x) as Tensor;
      assertClose(await numbersOf(found), await numbersOf(matmul(rmsNorm(before, 32, gain), w)), `${seed}`, {
        atol: 1e-5,
      });
      before = x;
    }
  });

  it("give what eager ones give whatever rows are computed of", () => manyRandom(device, 0, width(8, 4)));

  it("make a decoding step of a GPT-2 five dispatches a layer, and two", async () => {
    for (const nLayer of [1, 3]) assertStrictEquals(await dispatchesOf(nLayer, device), 5 * nLayer + 2);
  });

  it("add in many columns and parts as a GPU does", () =>
    withDevice({}, { software: false }, async () => {
      await manyRandom(device, 1000, width(3, 2));
      assertStrictEquals(await dispatchesOf(2, device), 12);
    }));

  it("leave outside what an adapter does not bind at once, or has no memory for", async () => {
    await withDevice({ maxStorageBuffersPerShaderStage: 8 }, {}, async () => {
      await manyRandom(device, 2000, 1);
      // Two positions and two tables.
      assertStrictEquals(await dispatchesOf(1, device), 5 + 2 + 4);
    });
    await withDevice({}, { bindingLimit: 4096 }, async () => {
      const large = made([64, 64], 21);
      const lines = await stepsOf((x) => matmul(rmsNorm(x, 64), large), [2, 64], device);
      assertStrictEquals(lines.filter(isFused).length, 0, lines.join("\n"));
    });
    for (const [memory, length] of [[16384, 4096], [32768, 16]]) {
      await withDevice({ maxComputeWorkgroupStorageSize: memory }, {}, async () => {
        const long = made([length, 8], 22);
        const lines = await stepsOf((x) => matmul(rmsNorm(x, length), long), [2, length], device);
        assertStrictEquals(lines.some(isFused), length === 16, lines.join("\n"));
      });
    }
  });
}

async function manyRandom(device: DeviceName, first: number, count: number): Promise<void> {
  for (let seed = first; seed < first + count; seed++) await stepsOf(...random(seed, device), device);
}

/** Dispatches of a decoding step of a GPT-2. */
async function dispatchesOf(nLayer: number, device: DeviceName): Promise<number> {
  const { gpu } = backendOf(device) as WebGpuBackend, encode = gpu.encode.bind(gpu);
  const config = { nLayer, nHead: 2, nEmbd: 32, vocabSize: 64, nPositions: 32, eosTokenId: null };
  const model = noGrad(() => new GPT2(config, { device }));
  model.eval();
  using cache = model.createCache(1, 16);
  using ids = keep(zeros([1, 1], { dtype: "i32", device }));
  using next = compile(() =>
    noGrad(() => argmax(reshape(model.forward(ids, { cache, lastOnly: true }), [1, -1]), -1))
  );
  for (let i = 0; i < 4; i++) next().dispose();
  let count = 0;
  gpu.encode = (job) => (count++, encode(job));
  using last = next();
  delete (gpu as { encode?: unknown }).encode;
  await last.data();
  model.dispose();
  return count;
}

/** Runs `body` with another webgpu device: what it is told of the adapter's limits, and how it works. */
async function withDevice(limits: object, options: GpuOptions, body: () => Promise<void>): Promise<void> {
  const before = backendOf("webgpu"), { adapter } = await requestGpuAdapter(), real = adapter!;
  const other = await openWebGpu({
    features: real.features,
    info: real.info!,
    limits: { ...namesOf(real.limits), ...limits },
    requestDevice: (descriptor) => real.requestDevice(descriptor as never),
  }, options);
  installBackend(other);
  try {
    await body();
  } finally {
    installBackend(before);
    other.gpu.device.destroy();
  }
}

/** The limits as an object of its own: what an adapter has are getters. */
function namesOf(limits: object): Record<string, number> {
  const found: Record<string, number> = {};
  for (const name in limits) found[name] = (limits as Record<string, number>)[name];
  return found;
}

/** A function of rows made at random, at the end of which stand products. */
function random(seed: number, device: DeviceName): [f: Function, shape: number[]] {
  const generator = new Generator(seed), pick = (n: number): number => Math.floor(generator.uniform() * n);
  const rows = 1 + pick(5), length = [16, 20, 32, 64][pick(4)];
  const made = (shape: number[]): Tensor => keep(randn(shape, { seed: 100 + pick(1e6), device }));
  const steps: ((all: Tensor[]) => Tensor)[] = [], count = 1 + pick(4);
  for (let i = 0; i < count; i++) {
    const from = (all: Tensor[]): Tensor => all[(seed + i) % all.length],
      line = made([length]),
      kind = pick(7);
    const table = made([5, length]), ids = keep(randint(5, [rows], { seed, dtype: "i32", device }));
    steps.push((all) => {
      const x = from(all);
      switch (kind) {
        case 0:
          return layerNorm(x, length, line, line);
        case 1:
          return rmsNorm(x, length, line);
        case 2:
          return x.add(all[0]).mul(0.5);
        case 3:
          return x.mul(line).sigmoid();
        case 4:
          return embedding(ids, table).add(x);
        case 5:
          return x.sub(x.mean(-1, true)).tanh();
        default:
          return rmsNorm(all[all.length - 1], length);
      }
    });
  }
  const weights = Array.from({ length: 1 + pick(3) }, () => made([length, [8, 12, length][pick(3)]]));
  const returns = pick(2) === 1, adds = pick(2) === 1;
  return [(x) => {
    const all = [x];
    for (const step of steps) all.push(step(all));
    const last = all[all.length - 1],
      results = weights.map((w) => {
        const y = matmul(last, w);
        return adds && w.shape[1] === length ? y.add(all[all.length - 2]) : y.relu();
      });
    return returns ? [...results, all[1]] : results;
  }, [rows, length]];
}

describe("products compute their rows", () => {
  onWebGpu(suite);
});
