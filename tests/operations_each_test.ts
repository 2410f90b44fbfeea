/**
 * Every row of the table of operations, tried on every device that has it: the call is what the row says, and it gives what
 * the reference device gives. A row without a case here does not pass the type check.
 */
import { assert, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import {
  amax,
  attentionStep,
  compile,
  conv1d,
  conv2d,
  crossEntropy,
  cumsum,
  DeviceError,
  type DeviceName,
  gather,
  keep,
  layerNorm,
  manualSeed,
  matmul,
  noGrad,
  rand,
  randn,
  rmsNorm,
  sampleLogits,
  scaledDotProductAttention,
  scatterAdd,
  softmax,
  sort,
  sum,
  type Tensor,
  tensor,
  toDType,
  useDeterministicAlgorithms,
  zeros,
} from "../mod.ts";
import {
  callProblem,
  intercept,
  type OperationName,
  operations,
  operationsOf,
} from "../src/backends/operations.ts";
import "../src/backends/kernels/mod.ts";
import "../src/backends/kernels/packed.ts";
import "../src/backends/kernels/rows.ts";
import { KVCache } from "../src/nn/mod.ts";
import { expertLinear } from "../src/ops/experts.ts";
import { cpuBackend } from "../src/runtime/cpu.ts";
import { backendOf } from "../src/tensor/mod.ts";
import { assertClose, numbersOf } from "./_devices.ts";
import { onWebGpu } from "./_webgpu.ts";

type Case = (device: DeviceName) => Tensor[];

const made = (shape: number[], seed: number, device: DeviceName): Tensor => randn(shape, { seed, device });
const rows = (device: DeviceName): Tensor => made([6, 24], 1, device);
const weight = (device: DeviceName): Tensor => made([24], 2, device);
const ids = (device: DeviceName): Tensor => tensor([3, 0, 5, 3, 1, 2], { dtype: "i32", device });

/** Gradients of the sum of squares of what `f` gives. */
function backward(f: (...x: Tensor[]) => Tensor, ...given: Tensor[]): Tensor[] {
  const own = given.map((t) => t.detach().requiresGrad_(true));
  f(...own).square().sum().backward();
  return own.map((t) => t.grad!.mul(1));
}

const attended = (device: DeviceName): Tensor[] => [1, 2, 3].map((seed) => made([1, 2, 7, 8], seed, device));
const causal = (q: Tensor, k: Tensor, v: Tensor): Tensor =>
  scaledDotProductAttention(q, k, v, { isCausal: true });
function inDeterministicMode<T>(f: () => T): T {
  useDeterministicAlgorithms(true);
  try {
    return f();
  } finally {
    useDeterministicAlgorithms(false);
  }
}

const packed: Case = (device) => {
  const w = keep(made([24, 20], 3, device)), x = made([40, 24], 4, device);
  using f = compile((x: Tensor) => matmul(x, w).add(1));
  // What a library multiplies is not packed.
  const { blas } = cpuBackend().engine;
  blas.enabled = false;
  const results = [f(x), f(x)];
  blas.enabled = true;
  w.dispose();
  return results;
};

const cases: Readonly<Record<OperationName, Case>> = {
  elementwise: (device) => [rows(device).mul(weight(device)).tanh()],
  reduce: (device) => [sum(rows(device), 0), amax(rows(device), -1)],
  matmul: (device) => [matmul(rows(device), made([24, 5], 3, device))],
  gather: (device) => [gather(rows(device), 1, toDType(ids(device).reshape(6, 1), "i64"))],
  scatter: (device) => [scatterAdd(zeros([6], { device }), 0, ids(device), made([6], 3, device))],
  cumsum: (device) => [cumsum(rows(device), 1)],
  sort: (device) => Object.values(sort(rows(device), -1)),
  random: (device) => {
    manualSeed(5);
    return [rand([50], { device })];
  },
  softmax: (device) => [softmax(rows(device), -1)],
  softmaxBackward: (device) => backward((x) => softmax(x, -1), rows(device)),
  layerNorm: (device) => [layerNorm(rows(device), 24, weight(device), weight(device))],
  layerNormBackward: (device) => backward((x, w) => layerNorm(x, 24, w, w), rows(device), weight(device)),
  rmsNorm: (device) => [rmsNorm(rows(device), 24, weight(device), 0.1)],
  rmsNormBackward: (device) => backward((x, w) => rmsNorm(x, 24, w, 0.1), rows(device), weight(device)),
  attention: (device) => {
    const [q, k, v] = attended(device);
    return [noGrad(() => causal(q, k, v))];
  },
  attentionInOrder: (device) => {
    const [q, k, v] = attended(device);
    return inDeterministicMode(() => [noGrad(() => causal(q, k, v))]);
  },
  attentionBackward: (device) => backward(causal, ...attended(device)),
  attentionStep: (device) => {
    const [keys, values] = [0, 1].map(() => [0, 1].map(() => zeros([1, 2, 8, 16], { device })));
    const steps = [0, 1].map((i) =>
      noGrad(() => attentionStep(made([2, 3, 2, 16], 10 + i, device), keys, values, [i, i + 3]))
    );
    return [...steps, ...keys, ...values];
  },
  rows: (device) => {
    using f = compile((x: Tensor) => {
      const e = x.sub(amax(x, -1, true)).exp();
      return e.div(e.sum(-1, true));
    });
    return [f(rows(device))];
  },
  matmulRows: (device) => {
    const w = keep(made([24, 20], 3, device));
    using f = compile((x: Tensor) => matmul(layerNorm(x, 24, weight(device), weight(device)), w));
    const results = [f(made([3, 24], 4, device)), f(made([3, 24], 5, device))];
    w.dispose();
    return results;
  },
  conv: (device) => {
    const x = made([2, 6, 9, 11], 1, device), bias = made([8], 3, device);
    return [
      conv2d(x, made([8, 3, 3, 2], 2, device), bias, { stride: [1, 2], padding: [2, 1], groups: 2 }),
      conv2d(x, made([12, 1, 3, 3], 2, device), null, { dilation: 2, padding: 1, groups: 6 }),
      conv1d(made([1, 5, 30], 4, device), made([8, 5, 4], 5, device), bias, { stride: 3 }),
    ];
  },
  pack: packed,
  matmulPacked: packed,
  matmulExperts: (device) =>
    noGrad(() => {
      const w = made([5 * 7, 24], 2, device), more = made([12, 24], 3, device);
      // Of few rows and of many; one after the other, and apart.
      const chosen = [0, 4, 4, 1, 0, 3, 3, 3, 2, 0, 1, 1];
      const index = (n: number): Tensor => tensor(chosen.slice(0, n), { dtype: "i32", device });
      return [
        expertLinear(more.slice([0, 3]), w, index(3), 5),
        expertLinear(more, w, index(12), 5),
        expertLinear(more.slice([6, 8]), w, index(12).slice([6, 8]), 5),
      ];
    }),
  quantize: (device) => {
    const cache = new KVCache(1, 2, 4, 32, { dtype: "q8", device });
    const [k, v] = [6, 7].map((seed) => made([1, 2, 3, 32], seed, device));
    return Object.values(noGrad(() => cache.append(k, v))).map((t) => toDType(t, "f32"));
  },
  crossEntropy: (device) => [crossEntropy(rows(device), ids(device))],
  crossEntropyBackward: (device) =>
    backward((x) => crossEntropy(x, ids(x.device as DeviceName)), rows(device)),
  sample: (device) => {
    const of = (values: number[]): Tensor => tensor(values, { device }),
      tied = [0, -0, -3, 2, 5, 5, -Infinity];
    const rare = [[1, NaN, 2], [1, Infinity], [-Infinity, -Infinity], [-0, 0], [-7]];
    return [
      ...[0.1, 0.5, 0.9].map((uniform) =>
        sampleLogits(made([40], 7, device), uniform, { temperature: 0.8, topK: 9 })
      ),
      ...[tied, ...rare].map((values) => sampleLogits(of(values), 0.3, { temperature: 1e-21 })),
      sampleLogits(made([3001], 8, device), 0.3, { temperature: 1e-21 }),
    ];
  },
};

function tryEach(device: DeviceName): void {
  let seen = new Set<string>();
  it("intercepts its operations", () => {
    intercept(backendOf(device), (operation, args, run) => {
      seen.add(operation.name);
      assertStrictEquals(callProblem(operation, args), null);
      run();
    });
  });
  for (const [name, run] of Object.entries(cases)) {
    it(`${name}`, async () => {
      const has = operationsOf(backendOf(device)).some((operation) => operation.name === name);
      seen = new Set();
      if (name === "quantize" && !has) return void assertThrows(() => run(device), DeviceError);
      const found = run(device), isDone = seen.has(name);
      assertStrictEquals(
        isDone,
        has,
        `${device} ${has ? "has it, and does not do" : "has it not, and does"} it`,
      );
      if (name === "quantize") {
        // Within half a step of a block's scale.
        const exact = [6, 7].map((seed) => made([1, 2, 3, 32], seed, device));
        for (const [i, t] of found.entries()) {
          assertClose(await numbersOf(t), await numbersOf(exact[i]), `result ${i}`, { atol: 0.02 });
        }
        return;
      }
      const expected = run("reference");
      assertStrictEquals(found.length, expected.length);
      for (const [i, t] of expected.entries()) {
        assertClose(await numbersOf(found[i]), await numbersOf(t), `result ${i}`, { atol: 2e-5, rtol: 1e-4 });
      }
    });
  }
}

describe("every operation of the table", () => {
  it("has a case", () => {
    for (const name of operations.keys()) assert(name in cases, name);
  });
  describe("on cpu", () => {
    tryEach("cpu");
  });
  onWebGpu((device) => tryEach(device));
});
