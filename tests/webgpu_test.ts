/**
 * The webgpu device as a user meets it: made ready by waiting, the same tokens as the cpu device, errors that come with
 * the next read, memory that comes back.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { join } from "node:path";
import { holdCollection } from "./_collection.ts";
import {
  chooseDevice,
  DeviceError,
  devices,
  GPT2,
  initWebGPU,
  linear,
  manualSeed,
  memory,
  noGrad,
  rand,
  sampleLogits,
  ShapeError,
  tensor,
  tidy,
  zeros,
} from "../mod.ts";
import type { View } from "../src/backends/contract.ts";
import { WebGpuBackend } from "../src/backends/webgpu/backend.ts";
import { openWebGpu } from "../src/backends/webgpu/open.ts";
import { add } from "../src/expr/build.ts";
import { input } from "../src/expr/nodes.ts";
import { program } from "../src/expr/program.ts";
import { requestGpuAdapter } from "../src/platform/gpu.ts";
import { backendOf, installBackend } from "../src/tensor/mod.ts";
import { describe, it } from "./_suite.ts";
import { Workbench } from "./_views.ts";
import { repository } from "./_data.ts";
import { numbersOf } from "./_devices.ts";
import { tinyFolder } from "./_gpt2.ts";
import { webgpuProblem } from "./_webgpu.ts";

const skip = webgpuProblem ?? false, bundled = join(repository, "web", "models", "shakespeare");

describe("webgpu", () => {
  it("is listed when there is an adapter, and says why when there is none", async () => {
    const listed = (await devices()).includes("webgpu");
    if (listed) return await initWebGPU();
    assertNotStrictEquals(webgpuProblem, null);
    await assertRejects(() => initWebGPU(), DeviceError);
    assertThrows(() => zeros([2], { device: "webgpu" }), Error, "await initWebGPU");
    await assertRejects(() => GPT2.load(bundled, { device: "webgpu" }), DeviceError);
  });

  it("reports an index out of range with the next read", { skip }, async () => {
    const x = tensor([[1, 2], [3, 4]], { device: "webgpu" }),
      index = tensor([0, 7], { dtype: "i32", device: "webgpu" });
    const picked = x.indexSelect(0, index);
    assertMatch((await assertRejects(() => picked.data(), ShapeError)).message, /index 7 .* dim 0/);
    assertEquals(await x.toArray(), [[1, 2], [3, 4]]);
  });

  it("reports it with that read alone, however many are on their way", { skip }, async () => {
    const x = tensor([1, 2, 3], { device: "webgpu" }),
      index = tensor([9], { dtype: "i32", device: "webgpu" });
    for (let round = 0; round < 5; round++) {
      const picked = x.indexSelect(0, index);
      const [first, ...others] = await Promise.allSettled([picked.data(), x.data(), index.data(), x.data()]);
      assertMatch(String(first.status === "rejected" && first.reason), /index 9 .* dim 0/);
      for (const other of others) assert(other.status === "fulfilled", String(other.status));
    }
  });

  it("uploads into memory that encoded work still reads", { skip }, async () => {
    const results = [];
    for (let i = 0; i < 20; i++) {
      results.push(tidy(() => tensor([i, 2 * i], { device: "webgpu" }).mul(3)));
    }
    for (const [i, t] of results.entries()) assertEquals(await t.toArray(), [3 * i, 6 * i]);
  });

  it("leaves no memory behind", { skip }, async () => {
    using _still = holdCollection();
    const before = memory().webgpu;
    const sum = tidy(() =>
      zeros([64, 64], { device: "webgpu" }).add(1).matmul(zeros([64, 64], { device: "webgpu" })).sum()
    );
    assertStrictEquals(await sum.item(), 0);
    sum.dispose();
    assertEquals(memory().webgpu, before);
  });

  it("multiplies more matrices than a dispatch has room for", { skip }, async () => {
    const { adapter } = await requestGpuAdapter(), n = 250;
    const backend = await openWebGpu(adapter!, { maxGroups: 100 }), bench = new Workbench(backend, 6);
    const x = bench.input("f32", [n, 2, 3]),
      y = bench.input("f32", [n, 3, 1]),
      out = bench.output("f32", [n, 2, 1]);
    backend.matmul(x, y, out);
    const [a, b, products] = await Promise.all([x, y, out].map((view) => bench.read(view)));
    products.forEach((v, i) => {
      const r = Math.floor(i / 2),
        expected = [0, 1, 2].reduce((sum, p) => sum + a[3 * i + p] * b[3 * r + p], 0);
      assert(Math.abs(v - expected) < 1e-4, `${i}: ${v}, not ${expected}`);
    });
    backend.gpu.device.destroy();
  });

  it("computes with halves as the cpu", { skip }, async () => {
    for (const dtype of ["f16", "bf16"] as const) {
      using here = await GPT2.load(bundled, { device: "cpu", dtype });
      using there = await GPT2.load(bundled, { device: "webgpu", dtype });
      const options = { maxNewTokens: 12, doSample: false };
      assertStrictEquals(await there.complete("ROMEO:", options), await here.complete("ROMEO:", options));
    }
  });

  it("multiplies by quantised weights as by what they stand for", { skip }, async () => {
    const values = Array.from({ length: 48 * 96 }, (_, i) => Math.sin(i * 0.7) * 0.3);
    for (const dtype of ["q8", "q4"] as const) {
      const blocks = tensor(values, { shape: [48, 96] }).to({ dtype }).to({ device: "webgpu" });
      const wide = blocks.to({ dtype: "f32" });
      for (const rows of [1, 3, 7, 40]) {
        const x = rand([rows, 96], { device: "webgpu" });
        const [y, expected] = await Promise.all([linear(x, blocks), linear(x, wide)].map(numbersOf));
        y.forEach((v, i) =>
          assert(Math.abs(v - expected[i]) < 2e-5, `${dtype} ${i}: ${v}, not ${expected[i]}`)
        );
      }
    }
  });

  it("holds quantised weights: the numbers of the cpu", { skip }, async () => {
    const values = Array.from({ length: 64 * 96 }, (_, i) => Math.sin(i * 0.7) * 0.3);
    const w = tensor(values, { shape: [64, 96] });
    for (const dtype of ["q8", "q4"] as const) {
      const blocks = w.to({ dtype }), here = blocks.to({ device: "webgpu" });
      assertEquals(
        await numbersOf(here.to({ dtype: "f32" })),
        await numbersOf(blocks.to({ dtype: "f32" })),
      );
    }
  });
});

describe("webgpu, where a binding is smaller than a tensor", { skip }, () => {
  it("multiplies, picks and computes in parts", async () => {
    const { adapter } = await requestGpuAdapter();
    const backend = await openWebGpu(adapter!, { bindingLimit: 4096 });
    const bench = new Workbench(backend, 5), k = 64, n = 100;
    const x = bench.input("f32", [3, k]), w = bench.input("f32", [k, n]), turned = bench.input("f32", [n, k]);
    const values = async (v: View): Promise<number[]> => await bench.read(v);
    for (const b of [w, { ...turned, shape: [k, n], strides: [1, k] }]) {
      const out = bench.output("f32", [3, n]), [a, c] = [await values(x), await values(b)];
      backend.matmul(x, b, out);
      const expected = Array.from({ length: 3 * n }, (_, i) => {
        let sum = 0;
        for (let p = 0; p < k; p++) sum += a[Math.floor(i / n) * k + p] * c[p * n + i % n];
        return sum;
      });
      (await values(out)).forEach((v, i) =>
        assert(Math.abs(v - expected[i]) < 1e-3, `${i}: ${v}, not ${expected[i]}`)
      );
    }
    const rows = [3, 99, 0, 57], picked = bench.output("f32", [4, k]), line = bench.of("i32", [4], rows);
    backend.gather(turned, 0, { ...line, shape: [4, k], strides: [1, 0] }, picked);
    const all = await values(turned);
    assertEquals(await values(picked), rows.flatMap((r) => all.slice(r * k, r * k + k)));
    const double = bench.output("f32", [n, k]);
    backend.elementwise(program("f32", [add(input(0), input(0))]), [turned], [], [double]);
    assertEquals(await values(double), all.map((v) => 2 * v));
    backend.gpu.device.destroy();
  });
});

describe("webgpu, with the kernels of a real GPU", { skip }, () => {
  it("gives the products of the kernels that processors get", async () => {
    const { adapter } = await requestGpuAdapter();
    const backends = await Promise.all([false, true].map((software) => openWebGpu(adapter!, { software })));
    const [ours, other] = backends.map((backend) => new Workbench(backend, 8)), k = 192, n = 100;
    for (const m of [1, 3, 4, 70]) {
      for (const dtype of ["f32", "f16", "bf16"] as const) {
        for (const turned of [false, true]) {
          const [y, expected] = await Promise.all([ours, other].map((bench) => {
            const w = bench.input(dtype, turned ? [n, k] : [k, n]), out = bench.output("f32", [m, n]);
            const b: View = turned ? { ...w, shape: [k, n], strides: [1, k] } : w;
            bench.backend.matmul(bench.input("f32", [m, k]), b, out);
            return bench.read(out, "output");
          }));
          y.forEach((v, i) =>
            assert(
              Math.abs(v - expected[i]) < 5e-3,
              `${m} ${dtype} ${turned} ${i}: ${v}, not ${expected[i]}`,
            )
          );
        }
      }
    }
    const blocks = Uint8Array.from(
      { length: n * (k / 32) * 34 },
      (_, i) => i % 34 === 0 ? 0 : i % 34 === 1 ? 0x2c : (i * 37) % 127,
    );
    for (const dtype of ["q8", "q4"] as const) {
      const size = dtype === "q8" ? 34 : 18;
      const bytes = blocks.slice(0, n * (k / 32) * size).map((v, i) =>
        i % size === 0 ? 0 : i % size === 1 ? 0x2c : v
      );
      const [y, expected] = await Promise.all([ours, other].map((bench) => {
        const b: View = { buffer: bench.upload(bytes), dtype, shape: [k, n], strides: [1, k], offset: 0 };
        const out = bench.output("f32", [2, n]);
        bench.backend.matmul(bench.input("f32", [2, k]), b, out);
        return bench.read(out, "output");
      }));
      y.forEach((v, i) =>
        assert(
          Math.abs(v - expected[i]) < 1e-2 + 1e-5 * Math.abs(v),
          `${dtype} ${i}: ${v}, not ${expected[i]}`,
        )
      );
    }
    const length = 20000, logits = Array.from({ length: 2 * length }, (_, i) => Math.sin(i * 1.3) * 5);
    logits[17000] = logits[9000] = logits[33000] = 6;
    const found = await Promise.all([ours, other].map(async (bench) => {
      const x = bench.of("f32", [2, length], logits),
        turned: View = { ...x, shape: [length, 2], strides: [1, length] };
      const line: View = { ...x, shape: [length], strides: [1] }, places: number[][] = [];
      const out = bench.output("i32", [2, 1]),
        across = bench.output("i32", [1, 2]),
        id = bench.output("i32", [1]);
      bench.backend.reduce("argmax", null, [x], [], [1], out);
      bench.backend.reduce("argmin", null, [turned], [], [0], across);
      places.push(await bench.read(out), await bench.read(across));
      for (const [temperature, topK, u] of [[1, 0, 0.7], [0.5, 40, 0.2], [2, 5000, 0.999], [1, 1, 0.5]]) {
        bench.backend.kernels.sample!(line, temperature, topK, u, id);
        places.push(await bench.read(id));
      }
      // Few lines and many indices: places of a line are shared out among invocations.
      const steps = Array.from({ length: 900 }, (_, i) => (i * i) % 37 - 5);
      for (const mode of ["add", "set"] as const) {
        for (const dtype of ["f32", "f16", "i64"] as const) {
          const sums = bench.of(dtype, [37, 3], Array(111).fill(1));
          const index = bench.of("i32", [300, 3], steps);
          const from = bench.of(dtype, [300, 3], steps.map((k) => (k * 3) % 7));
          bench.backend.scatter(mode, sums, 0, index, from);
          places.push(await bench.read(sums));
        }
      }
      return places;
    }));
    assertEquals(found[0], found[1]);
    assertEquals(found[0][0], [9000, 13000]);
    for (const { gpu } of backends) gpu.device.destroy();
  });
});

describe("webgpu, step by step", { skip }, () => {
  it("submits once for a token, and finds its bind groups made", async () => {
    using model = await GPT2.load(bundled, { device: "webgpu" });
    const { gpu } = backendOf("webgpu") as WebGpuBackend, counts: [submitted: number, groups: number][] = [];
    for await (const _ of model.stream("ROMEO:", { maxNewTokens: 24, doSample: false })) {
      counts.push([gpu.submitted, gpu.bindGroups]);
    }
    // Steps run ahead, the further the later their ids come; so only the sums are certain.
    const [first] = counts, last = counts[23];
    assert(last[0] - first[0] <= 23, `${last[0] - first[0]} submissions for 23 tokens`);
    // Only what meets an id that is on its way is bound anew, a few times for each.
    const made = last[1] - first[1];
    assert(made <= 4 * 23, `${made} bind groups for 23 tokens`);
  });

  it("does compiled steps that give what ordinary ones give", async () => {
    const { adapter } = await requestGpuAdapter(), before = backendOf("webgpu");
    for (const software of [true, false]) {
      const own = await openWebGpu(adapter!, { software });
      installBackend(own);
      try {
        manualSeed(3);
        const sizes = { nLayer: 2, nEmbd: 64, nHead: 2, nPositions: 600, vocabSize: 90 };
        using model = noGrad(() => new GPT2({ ...sizes, eosTokenId: null }, { device: "webgpu" }));
        model.eval();
        const kinds = ["ordinary", "compiled", "by tensor"] as const, found: number[][][] = [];
        for (const kind of kinds) {
          using cache = model.createCache(1, 600);
          const logits: number[][] = [], capture = WebGpuBackend.prototype.capture;
          if (kind === "ordinary") Object.assign(own, { capture: undefined });
          const ids = Array.from({ length: 8 }, (_, i) => (i * 31) % 90);
          noGrad(() => model.forward([Array.from({ length: 290 }, (_, i) => i % 90)], { cache }).dispose());
          for (const [i, id] of ids.entries()) {
            if (i === 5) cache.truncate(100);
            using given = tensor([[id]], { dtype: "i32", device: "webgpu" });
            using row = noGrad(() =>
              model.forward(kind === "by tensor" ? given : [[id]], { cache, lastOnly: true })
            );
            logits.push(await numbersOf(row));
          }
          assertStrictEquals(cache.steps.size, kind === "ordinary" ? 0 : 1);
          assertStrictEquals(cache.length, 103);
          Object.assign(own, { capture });
          found.push(logits);
        }
        for (const other of found.slice(1)) {
          other.forEach((row, i) =>
            row.forEach((x, k) =>
              assert(Math.abs(x - found[0][i][k]) < 1e-5, `${i} ${k}: ${x}, ${found[0][i][k]}`)
            )
          );
        }
      } finally {
        installBackend(before);
        own.gpu.device.destroy();
      }
    }
  });

  it("reads ids alone, for the likeliest token and for one of the k likeliest", async () => {
    using model = await GPT2.load(bundled, { device: "webgpu" });
    const { gpu } = backendOf("webgpu") as WebGpuBackend, read = gpu.read;
    let bytes = 0;
    gpu.read = (buffer, offset, length) => {
      bytes += length;
      return read.call(gpu, buffer, offset, length);
    };
    try {
      for (const options of [{ doSample: false }, { topK: 5 }, { temperature: 0.7, topK: 0 }]) {
        bytes = 0;
        await model.complete("ROMEO:", { maxNewTokens: 10, ...options });
        assertStrictEquals(bytes, 40);
        // What needs the logits reads them.
        await model.complete("ROMEO:", { maxNewTokens: 10, ...options, repetitionPenalty: 1.2 });
        assert(bytes > 1000, `${bytes} bytes`);
      }
    } finally {
      gpu.read = read;
    }
  });

  it("draws what the definition draws, each index as often as it should", async () => {
    const n = 700, values = Array.from({ length: n }, (_, i) => Math.round(40 * Math.sin(i * 1.7)) / 8);
    values[n - 1] = values[3] = 6;
    const here = tensor(values, { device: "cpu" }), there = tensor(values, { device: "webgpu" });
    for (
      const options of [{}, { topK: 1 }, { topK: 3 }, { topK: 40, temperature: 0.5 }, { temperature: 2 }]
    ) {
      for (const u of [0, 0.1, 0.25, 0.5, 0.77, 0.9999]) {
        const [a, b] = [here, there].map((x) => sampleLogits(x, u, options).item());
        assertStrictEquals(await b, await a, JSON.stringify({ ...options, u }));
      }
    }
    const nothing = tensor([-Infinity, NaN, -Infinity], { device: "webgpu" });
    assertStrictEquals(await sampleLogits(nothing, 0.5).item(), -1);
    for (const wrong of [[-Infinity, 2, NaN], [1, Infinity, 2]]) {
      for (const options of [{}, { topK: 2 }, { temperature: 1e-30 }]) {
        assertStrictEquals(await sampleLogits(tensor(wrong, { device: "webgpu" }), 0.5, options).item(), -1);
      }
    }
  });

  it("leaves cache and random numbers as if no step had run ahead", async () => {
    const after: [string, string, number[], number][] = [];
    for (const device of ["cpu", "webgpu"] as const) {
      using model = await GPT2.load(bundled, { device });
      using cache = model.createCache(1, 60);
      manualSeed(11);
      // The end comes while more steps are on their way.
      const options = {
        maxNewTokens: 30,
        topK: 30,
        cache,
        stoppingCriteria: [(ids: readonly number[]) => ids.length > 18],
      };
      await model.complete("ROMEO:", options);
      const { length } = cache, ids = [...cache.ids];
      after.push([
        await model.complete(" and", options),
        await model.complete("O", { topK: 9, maxNewTokens: 5 }),
        ids,
        length,
      ]);
    }
    assertEquals(after[1], after[0]);
  });

  it("slides as the cpu when positions are used up", async () => {
    const ids: number[][] = [];
    for (const device of ["cpu", "webgpu"] as const) {
      using model = await GPT2.load(bundled, { device });
      using cache = model.createCache(1, 24);
      ids.push((await model.completion("ROMEO:", { maxNewTokens: 40, doSample: false, cache })).ids);
    }
    assertEquals(ids[1], ids[0]);
  });

  it("is chosen where a trial says so, and the choice is kept", async () => {
    const shape = { nLayer: 2, nEmbd: 32, nHead: 2, vocabSize: 90 }, choice = await chooseDevice(shape);
    const { cpu = 0, webgpu = 0 } = choice.milliseconds;
    assert(cpu > 0 && webgpu > 0);
    assertStrictEquals(choice.device, cpu <= webgpu ? "cpu" : "webgpu");
    assertMatch(choice.reason, /ms on cpu/);
    assertStrictEquals(await chooseDevice(shape), choice);
    using model = await GPT2.load(bundled, { device: "auto" });
    assertStrictEquals(model.wte.weight.device, model.deviceChoice?.device);
  });

  it("says that the device was lost, and gives a new one", async () => {
    const { gpu } = backendOf("webgpu") as WebGpuBackend, x = tensor([1, 2], { device: "webgpu" });
    gpu.device.destroy();
    await gpu.device.lost;
    assertMatch((await assertRejects(() => x.data(), DeviceError)).message, /lost.*initWebGPU/);
    await initWebGPU();
    assertEquals(await tensor([1, 2], { device: "webgpu" }).add(1).toArray(), [2, 3]);
  });

  it("survives a loss in the middle of a text", async () => {
    const options = { maxNewTokens: 12, doSample: false }, pieces: string[] = [];
    using model = await GPT2.load(bundled, { device: "webgpu" });
    assertMatch(
      (await assertRejects(async () => {
        for await (const { text } of model.stream("ROMEO:", options)) {
          pieces.push(text);
          if (pieces.length === 3) (backendOf("webgpu") as WebGpuBackend).gpu.device.destroy();
        }
      }, DeviceError)).message,
      /lost.*initWebGPU/,
    );
    // Loading makes the device ready again by itself.
    using again = await GPT2.load(bundled, { device: "webgpu" });
    using here = await GPT2.load(bundled, { device: "cpu" });
    assertStrictEquals(await again.complete("ROMEO:", options), await here.complete("ROMEO:", options));
    assert(pieces.length < 12);
  });

  it("says what it was made with when options come too late", async () => {
    await initWebGPU({ allowFp16ReducedPrecisionReduction: false });
    assertMatch(
      (await assertRejects(() => initWebGPU({ allowFp16ReducedPrecisionReduction: true }), DeviceError))
        .message,
      /ready with false; give it in the first call/,
    );
  });
});

describe("GPT-2 on webgpu gives the tokens of the cpu", () => {
  const prompts: [name: string, folder: string, prompt: string | number[], skip: string | false][] = [
    ["gpt2-tiny", tinyFolder, [464, 1, 90, 17].map((id) => id % 512), skip],
    ["the bundled model", bundled, "ROMEO:", skip],
  ];
  for (const [name, folder, prompt, skip] of prompts) {
    it(name, { skip }, async () => {
      using here = await GPT2.load(folder, { device: "cpu" });
      using there = await GPT2.load(folder, { device: "webgpu" });
      const options = { maxNewTokens: 20, doSample: false };
      const expected = await here.completion(prompt, options);
      assertEquals((await there.completion(prompt, options)).ids, expected.ids);
      const drawn = { maxNewTokens: 8, seed: 4, topK: 20, temperature: 0.9, doSample: true };
      assertEquals(
        (await there.completion(prompt, drawn)).ids,
        (await here.completion(prompt, drawn)).ids,
      );
      const ids = [expected.ids.slice(0, 12)];
      const [a, b] = await Promise.all(
        [here, there].map((model) => numbersOf(noGrad(() => model.forward(ids)))),
      );
      a.forEach((x, i) =>
        assert(Math.abs(x - b[i]) <= 2e-4 * Math.max(1, Math.abs(x)), `logit ${i}: ${b[i]}, not ${x}`)
      );
    });
  }
});
