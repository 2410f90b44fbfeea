/**
 * The webgpu device's kernels for structured operations against the definitions on the reference device, forward and
 * backward, with tiles that are not full; and all of them again where a binding holds less than a tensor.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  affine,
  attentionStep,
  crossEntropy,
  cumsum,
  embedding,
  gelu,
  GPT2,
  indexSelect,
  layerNorm,
  linear,
  logSoftmax,
  manualSeed,
  optim,
  randn,
  rmsNorm,
  scaledDotProductAttention,
  softmax,
  sort,
  sum,
  type Tensor,
  tensor,
  tidy,
} from "../mod.ts";
import type { DeviceName, View } from "../src/backends/contract.ts";
import type { WebGpuBackend } from "../src/backends/webgpu/backend.ts";
import { openWebGpu } from "../src/backends/webgpu/open.ts";
import { requestGpuAdapter } from "../src/platform/gpu.ts";
import { backendOf, installBackend } from "../src/tensor/mod.ts";
import { numbersOf } from "./_devices.ts";
import { describe, it } from "./_suite.ts";
import { Workbench } from "./_views.ts";
import { webgpuProblem } from "./_webgpu.ts";

const skip = webgpuProblem ?? false;

/** A function of tensors, and the shapes of those; a gradient goes to each. */
type Case = readonly [name: string, f: (...inputs: Tensor[]) => Tensor, ...shapes: (readonly number[])[]];

const attention = (isCausal: boolean) => (q: Tensor, k: Tensor, v: Tensor): Tensor =>
  scaledDotProductAttention(q, k, v, { isCausal });

const cases: readonly Case[] = [
  ["attention, one row", attention(true), [2, 3, 1, 16], [2, 3, 37, 16], [2, 3, 37, 16]],
  ["attention, tiles", attention(true), [1, 2, 70, 64], [1, 2, 70, 64], [1, 2, 70, 64]],
  ["attention, shared keys", attention(false), [2, 4, 33, 20], [2, 2, 50, 20], [2, 2, 50, 20]],
  ["attention, keys before", attention(true), [2, 2, 9, 128], [2, 2, 17, 128], [2, 2, 17, 128]],
  ["attention, a width not in fours", attention(true), [1, 1, 40, 6], [1, 1, 40, 6], [1, 1, 40, 6]],
  ["attention, a width beyond tiles", attention(true), [1, 1, 6, 300], [1, 1, 6, 300], [1, 1, 6, 300]],
  ["rmsNorm", (x, w) => rmsNorm(x, 70, w, 1e-4), [9, 70], [70]],
  ["rmsNorm without weight", (x) => rmsNorm(x, 5), [3, 4, 5]],
  ["layerNorm", (x, w, b) => layerNorm(x, 70, w, b), [9, 70], [70], [70]],
  ["softmax", (x) => softmax(x), [7, 130]],
  ["logSoftmax", (x) => logSoftmax(x), [40, 66]],
];

/** The result of `f` and its gradients on a device, for the same inputs and the same gradient of the result. */
async function computed([, f, ...shapes]: Case, device: DeviceName): Promise<number[][]> {
  const inputs = await Promise.all(shapes.map(async (shape, i) => {
    const values = await numbersOf(randn(shape, { seed: i + 1, device: "cpu" }));
    return tensor(values, { shape, device, requiresGrad: true });
  }));
  const y = f(...inputs), weights = await numbersOf(randn(y.shape, { seed: 99, device: "cpu" }));
  tidy(() => sum(y.mul(tensor(weights, { shape: y.shape, device }))).backward());
  return await Promise.all([y, ...inputs.map((x) => x.grad!)].map(numbersOf));
}

function compare(
  actual: readonly number[][],
  expected: readonly number[][],
  tolerance = 2e-5,
  name = "",
): void {
  expected.forEach((list, which) =>
    list.forEach((e, i) => {
      const a = actual[which][i];
      assert(
        Math.abs(a - e) <= tolerance * Math.max(1, Math.abs(e)),
        `${name} ${which}, ${i}: ${a}, not ${e}`,
      );
    })
  );
}

/** Runs `body` with a webgpu device that binds so many bytes at most. */
async function withLimit(bindingLimit: number, body: () => Promise<void>): Promise<void> {
  const before = backendOf("webgpu"), { adapter } = await requestGpuAdapter();
  const small: WebGpuBackend = await openWebGpu(adapter!, { bindingLimit });
  installBackend(small);
  try {
    await body();
  } finally {
    installBackend(before);
    small.gpu.device.destroy();
  }
}

describe("webgpu's kernels give what the definitions give", { skip }, () => {
  for (const one of cases) {
    it(one[0], async () => compare(await computed(one, "webgpu"), await computed(one, "reference")));
  }

  it("running sums of long lines", async () => {
    for (const [shape, axis] of [[[5000], 0], [[3, 2100], 1], [[1500, 4], 0]] as const) {
      for (const dtype of ["f32", "i64", "i32"] as const) {
        const values = (await numbersOf(randn(shape, { seed: 3, device: "cpu" }))).map((v) =>
          Math.round(9 * v)
        );
        const [a, b] = await Promise.all(
          (["webgpu", "reference"] as const).map((device) =>
            numbersOf(cumsum(tensor(values, { shape, dtype, device }), axis))
          ),
        );
        assertEquals(a, b);
      }
    }
  });

  it("gradients of an embedding, whose repeats add up", async () => {
    const ids = Array.from({ length: 300 }, (_, i) => (i * i) % 7), shape = [300];
    const run = (device: DeviceName): Promise<number[][]> =>
      computed(["", (w) => embedding(tensor(ids, { shape, dtype: "i32", device }), w), [9, 5]], device);
    compare(await run("webgpu"), await run("reference"));
  });
});

describe("webgpu, with what an adapter may have", { skip }, () => {
  it("computes products with f16 weights in f16 when told", async (context) => {
    const { adapter } = await requestGpuAdapter(), allowFp16ReducedPrecisionReduction = true;
    if (!adapter!.features.has("shader-f16")) {
      await assertRejects(
        () => openWebGpu(adapter!, { allowFp16ReducedPrecisionReduction }),
        Error,
        "shader-f16",
      );
      return context.skip("this adapter has no shader-f16");
    }
    const half = await openWebGpu(adapter!, { allowFp16ReducedPrecisionReduction }),
      full = await openWebGpu(adapter!);
    const [k, m, n] = [200, 9, 70];
    for (const turned of [false, true]) {
      const [y, expected] = await Promise.all([half, full].map((backend) => {
        const bench = new Workbench(backend, 3), w = bench.input("f16", turned ? [n, k] : [k, n]);
        const b: View = turned ? { ...w, shape: [k, n], strides: [1, k] } : w,
          out = bench.output("f32", [m, n]);
        backend.matmul(bench.input("f32", [m, k]), b, out);
        return bench.read(out);
      }));
      const size = Math.sqrt(expected.reduce((sum, v) => sum + v * v, 0) / expected.length);
      const off = Math.max(...y.map((v, i) => Math.abs(v - expected[i])));
      // It is f16 that was computed in, and no worse than that is.
      assert(off > 1e-5 * size && off < 1e-2 * size, `${off} of ${size}`);
    }
    for (const { gpu } of [half, full]) gpu.device.destroy();
  });

  it("attends to many keys in parts, as a GPU does", async () => {
    const { adapter } = await requestGpuAdapter(), before = backendOf("webgpu");
    const gpu = await openWebGpu(adapter!, { software: false });
    const many: Case[] = [
      ["one row", attention(true), [1, 2, 1, 64], [1, 2, 700, 64], [1, 2, 700, 64]],
      ["rows that see less", attention(true), [2, 4, 3, 20], [2, 2, 515, 20], [2, 2, 515, 20]],
      // Long sums, of which a GPU adds up pieces.
      ["a product in pieces", (x, w, b) => affine(x, w, b), [2, 5, 768], [768, 70], [70]],
      ["its transpose", (x, w) => linear(x, w), [9, 1024], [33, 1024]],
      ["one row", (x, w, b) => affine(x, w, b), [1, 3072], [3072, 36], [36]],
      ["one row, transposed", (x, w) => linear(x, w), [1, 3072], [36, 3072]],
    ];
    for (const one of many) {
      installBackend(gpu);
      const results = await computed(one, "webgpu").finally(() => installBackend(before));
      compare(results, await computed(one, "reference"), 1e-4, one[0]);
    }
    installBackend(gpu);
    try {
      const x = randn([6, 512], { seed: 1, device: "webgpu" }),
        w = randn([512, 40], { seed: 2, device: "webgpu" });
      const bias = randn([40], { seed: 3, device: "webgpu" }),
        residual = randn([6, 40], { seed: 4, device: "webgpu" });
      const one = affine(x, w, bias, { activation: "geluTanh", residual });
      const parts = residual.add(gelu(affine(x, w).add(bias), "tanh"));
      compare([await numbersOf(one)], [await numbersOf(parts)], 1e-4);
    } finally {
      installBackend(before);
    }
    gpu.gpu.device.destroy();
  });

  it("does a decoding step in one kernel, and writes the cache", async () => {
    const { adapter } = await requestGpuAdapter(), before = backendOf("webgpu");
    const gpu = await openWebGpu(adapter!, { software: false });
    const cases: [heads: number, width: number, lengths: number[]][] = [
      [3, 64, [0, 40]],
      [2, 20, [130]],
      [1, 128, [700]],
      [2, 6, [9]],
      ...[1, 3, 9, 16, 31, 50, 80, 301].map((width): [number, number, number[]] => {
        return [1 + width % 3, width, [width % 5, 3 * width % 130]];
      }),
    ];
    for (const [heads, width, lengths] of cases) {
      const capacity = Math.max(...lengths) + 3, rows = lengths.length;
      // Lengths that are known, and those that the device reads; caches of their own, and sides of one that begins anywhere.
      for (const shared of capacity < 200 ? [false, true] : [false]) {
        const run = async (device: DeviceName, read: boolean): Promise<number[][]> => {
          const held = (seed: number): Tensor[] =>
            lengths.map((_, i) => randn([1, heads, capacity, width], { seed: seed + i, device }));
          const both = lengths.map((_, i) =>
            randn([1 + 2 * heads * capacity * width], { seed: 70 + i, device })
          );
          const side = (i: number): Tensor[] =>
            both.map((all) => all.slice([1, all.size]).reshape(2, heads, capacity, width).slice([i, i + 1]));
          const qkv = randn([rows, 3, heads, width], { seed: 9, device });
          const [keys, values] = shared ? [side(0), side(1)] : [held(20), held(40)];
          const out = attentionStep(
            qkv,
            keys,
            values,
            read ? tensor(lengths, { dtype: "i32", device }) : lengths,
          );
          return await Promise.all([out, ...keys, ...values].map(numbersOf));
        };
        const expected = await run("reference", false);
        for (const read of [false, true]) {
          const what = `${heads} ${width} ${shared} ${read}`;
          compare(await run("webgpu", read), expected, 2e-5, what);
          installBackend(gpu);
          compare(
            await run("webgpu", read).finally(() => installBackend(before)),
            expected,
            2e-5,
            `${what}, GPU`,
          );
        }
      }
    }
    gpu.gpu.device.destroy();
  });

  it("gives the same with subgroups as without", async (context) => {
    const { adapter } = await requestGpuAdapter(), own = backendOf("webgpu") as WebGpuBackend;
    if (!own.gpu.subgroups) return context.skip("this adapter has no subgroups");
    const without = await openWebGpu(adapter!, { subgroups: false });
    for (const one of cases.filter(([name]) => /orm|oftmax|one row/.test(name))) {
      const results = await computed(one, "webgpu");
      installBackend(without);
      try {
        compare(results, await computed(one, "webgpu"), 1e-5, one[0]);
      } finally {
        installBackend(own);
      }
    }
    without.gpu.device.destroy();
  });
});

describe("webgpu, where a binding is smaller than a tensor", { skip }, () => {
  it("computes every kernel in parts", async () => {
    await withLimit(16384, async () => {
      for (const one of cases) {
        // What is computed in parts is texts and rows, not what is within them.
        if (/tiles|beyond|keys before/.test(one[0])) continue;
        compare(await computed(one, "webgpu"), await computed(one, "reference"), 2e-5, one[0]);
      }
    });
  });

  it("does a decoding step a few heads at a time", async () => {
    await withLimit(16384, async () => {
      for (const [heads, width, length] of [[5, 20, 50], [3, 7, 150], [8, 64, 8]]) {
        const run = async (device: DeviceName): Promise<number[][]> => {
          const held = (seed: number): Tensor => randn([1, heads, length + 2, width], { seed, device });
          const qkv = randn([1, 3, heads, width], { seed: 9, device }), keys = held(1), values = held(2);
          const out = attentionStep(qkv, [keys], [values], tensor([length], { dtype: "i32", device }));
          return await Promise.all([out, keys, values].map(numbersOf));
        };
        compare(await run("webgpu"), await run("reference"), 2e-5, `${heads} ${width}`);
      }
    });
  });

  it("reduces, sorts, adds up, places and draws in parts", async () => {
    await withLimit(2048, async () => {
      const values = await numbersOf(randn([40, 100], { seed: 5, device: "cpu" }));
      const index = Array.from({ length: 200 }, (_, i) => (i * 13) % 40);
      const results = await Promise.all((["webgpu", "reference"] as const).map(async (device) => {
        const x = tensor(values, { shape: [40, 100], device });
        const ids = tensor(index, { dtype: "i32", device });
        const table = tensor(values, { shape: [40, 100], device, requiresGrad: true });
        indexSelect(table, 0, ids).sum().backward();
        const all = [
          x.sum(),
          x.max(),
          x.sum(0),
          x.mean(1),
          x.argmax(1),
          x.prod(0),
          cumsum(x, 0),
          cumsum(x, 1),
          sort(x).values,
          sort(x).indices,
          x.reshape(8, 500).slice([2, 7]).transpose(0, 1).sum(1),
          randn([2000], { seed: 7, device }),
          table.grad!,
          crossEntropy(x, tensor(index.slice(0, 40), { dtype: "i32", device })),
        ];
        return await Promise.all(all.map(numbersOf));
      }));
      compare(results[0], results[1], 1e-4);
    });
  });

  it("trains, and multiplies by weights of every kind", async () => {
    await withLimit(16384, async () => {
      const losses = async (device: DeviceName): Promise<number[]> => {
        manualSeed(3);
        const config = { nLayer: 1, nHead: 2, nEmbd: 48, vocabSize: 160, nPositions: 32 };
        const start = new GPT2(config, { device: "cpu" });
        using model = new GPT2(config, { device });
        const state: Record<string, Tensor> = {};
        for (const [name, t] of Object.entries(start.stateDict())) {
          state[name] = tensor(await numbersOf(t), { shape: t.shape, device });
        }
        model.loadStateDict(state);
        const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-2 }), found: number[] = [];
        const ids = Array.from(
          { length: 4 },
          (_, b) => Array.from({ length: 32 }, (_, i) => (i * 7 + b * 31) % 160),
        );
        for (let step = 0; step < 3; step++) {
          optimizer.zeroGrad();
          const loss = model.loss(ids);
          loss.backward();
          optimizer.step();
          found.push(await loss.item());
        }
        return found;
      };
      compare([await losses("webgpu")], [await losses("cpu")], 1e-4);
      const weights = await numbersOf(randn([96, 256], { seed: 8, device: "cpu" }));
      const x = await numbersOf(randn([3, 256], { seed: 9, device: "cpu" }));
      for (const dtype of ["f16", "bf16", "q8", "q4"] as const) {
        const held = tensor(weights, { shape: [96, 256], device: "cpu" }).to({ dtype });
        const expected = await numbersOf(
          linear(tensor(x, { shape: [3, 256], device: "cpu" }), held.to({ dtype: "f32" })),
        );
        await held.data();
        const y = linear(tensor(x, { shape: [3, 256], device: "webgpu" }), held.to({ device: "webgpu" }));
        compare([await numbersOf(y)], [expected], 1e-4);
      }
    });
  });
});
