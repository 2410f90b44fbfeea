/**
 * Optimizers against PyTorch's recorded steps, on each device; what they allocate, keep and refuse.
 */
import { assert, assertEquals, assertNotEquals, assertStrictEquals, assertThrows } from "@std/assert";
import type { DeviceName } from "../src/backends/contract.ts";
import { CpuBackend } from "../src/backends/cpu/backend.ts";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { FormatError, OptionError } from "../src/core/errors.ts";
import { Linear } from "../src/nn/mod.ts";
import { ones, randn, type Tensor, tensor } from "../src/ops/mod.ts";
import {
  Adafactor,
  Adagrad,
  Adam,
  AdamW,
  clipGradNorm,
  clipGradValue,
  gradNorm,
  Lion,
  Muon,
  type Optimizer,
  RMSprop,
  schedules,
  SGD,
} from "../src/optim/mod.ts";
import { backendOf, registerBackend, tidy } from "../src/tensor/mod.ts";
import { readDataJson } from "./_data.ts";
import { describe, it } from "./_suite.ts";

registerBackend("reference", createReferenceBackend);
registerBackend("cpu", () => new CpuBackend());
const devices: DeviceName[] = ["reference", "cpu"];

interface Golden {
  optimizers: {
    optimizer: string;
    options: Record<string, unknown>;
    shape: number[];
    param: number[];
    grads: number[][];
    params_after_step: number[][];
  }[];
  clip_grad_norm: Record<string, unknown>[];
}

type Made = Optimizer<never> | Optimizer;
type Maker = new (params: Iterable<Tensor>, options: Record<string, unknown>) => Made;
const makers = { SGD, RMSprop, Adagrad, Adam, AdamW, Lion, Muon, Adafactor } as unknown as Record<string, Maker>;
const camel = (name: string): string => name.replace(/_(\w)/g, (_, c: string) => c.toUpperCase());
const camelOptions = (o: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(o).map(([key, value]) => [camel(key), value]));

async function numbers(t: Tensor): Promise<number[]> {
  return Array.from(await t.data() as Float32Array);
}

function close(actual: readonly number[], expected: readonly number[], what: string): void {
  assertStrictEquals(actual.length, expected.length, what);
  actual.forEach((a, i) => {
    const error = Math.abs(a - expected[i]), bound = 1e-6 + 1e-5 * Math.abs(expected[i]);
    assert(error <= bound, `${what}, element ${i}: ${a}, expected ${expected[i]}`);
  });
}

for (const device of devices) {
  describe(`optimizers on ${device}`, () => {
    it("take PyTorch's ten steps", async () => {
      const { optimizers } = readDataJson<Golden>("ops/golden.json");
      assertStrictEquals(optimizers.length, 18);
      for (const { optimizer, options, shape, param, grads, params_after_step } of optimizers) {
        const p = tensor(new Float32Array(param), { shape, device, requiresGrad: true });
        const made = new makers[optimizer]([p], camelOptions(options));
        for (const [step, g] of grads.entries()) {
          p.grad = tensor(new Float32Array(g), { shape, device });
          made.step();
          const what = `${optimizer} ${JSON.stringify(options)} step ${step + 1}`;
          close(await numbers(p), params_after_step[step], what);
        }
        made.dispose();
        p.dispose();
      }
    });

    it("clip by the global norm as PyTorch", async () => {
      const cases = readDataJson<Golden>("ops/golden.json").clip_grad_norm as {
        max_norm: number;
        grads: { shape: number[]; data: number[] }[];
        total_norm: number;
        clipped: { shape: number[]; data: number[] }[];
      }[];
      assert(cases.length >= 2);
      for (const { max_norm, grads, total_norm, clipped } of cases) {
        const params = grads.map(({ shape, data }) => {
          const p = ones(shape, { device, requiresGrad: true });
          p.grad = tensor(new Float32Array(data), { shape, device });
          return p;
        });
        close([await gradNorm(params).item()], [total_norm], "norm alone");
        const norm = clipGradNorm(params, max_norm);
        assertEquals(norm.shape, []);
        close([await norm.item()], [total_norm], "norm");
        for (const [i, p] of params.entries()) {
          close(await numbers(p.grad!), clipped[i].data, `gradient ${i}`);
        }
      }
    });

    it("clip each element by value", async () => {
      const p = ones([4], { device, requiresGrad: true });
      p.grad = tensor([-3, -0.5, 0.25, 7], { device });
      clipGradValue([p], 0.5);
      assertEquals(await numbers(p.grad), [-0.5, -0.5, 0.25, 0.5]);
    });

    it("take a gradient without axes into the norm", async () => {
      const a = tensor(1, { device, requiresGrad: true }), b = ones([2, 2], { device, requiresGrad: true });
      a.grad = tensor(3, { device });
      b.grad = tensor([[2, 2], [2, 2]], { device });
      close([await clipGradNorm([a, b], 1).item()], [5], "norm");
      close([await a.grad.item()], [3 / 5], "clipped");
    });

    it("allocate nothing after the first step", () => {
      const options: [string, Record<string, unknown>][] = [
        ["SGD", { momentum: 0.9, nesterov: true, weightDecay: 0.1 }],
        ["RMSprop", { momentum: 0.9, centered: true }],
        ["Adagrad", {}],
        ["Adam", { amsgrad: true }],
        ["AdamW", {}],
      ];
      for (const [name, more] of options) {
        const params = [[8, 3], [5], []].map((shape) =>
          randn(shape, { device, seed: 1, requiresGrad: true })
        );
        const optimizer = new makers[name](params, more);
        params.forEach((p) => p.grad = randn(p.shape, { device, seed: 2 }));
        tidy(() => optimizer.step());
        const before = backendOf(device).memory();
        const allocate = backendOf(device).allocate.bind(backendOf(device));
        let allocations = 0;
        backendOf(device).allocate = (bytes) => {
          allocations++;
          return allocate(bytes);
        };
        for (let i = 0; i < 3; i++) tidy(() => optimizer.step());
        backendOf(device).allocate = allocate;
        assertStrictEquals(allocations, 0, name);
        assertEquals(backendOf(device).memory(), before, name);
        optimizer.dispose();
        params.forEach((p) => p.dispose());
      }
    });

    it("continue from a saved state bit for bit", async () => {
      const gradient = (step: number, shape: readonly number[]): Tensor =>
        randn(shape, { device, seed: step });
      for (
        const [name, more] of [["AdamW", {}], ["SGD", { momentum: 0.9 }], ["RMSprop", {
          centered: true,
        }], ["Lion", { weightDecay: 0.1 }], ["Muon", {}], ["Adafactor", {}]] as const
      ) {
        const first = [[3, 2], [4]].map((shape) => randn(shape, { device, seed: 9, requiresGrad: true }));
        const a = new makers[name](first, { lr: 0.1, ...more });
        const advance = (params: Tensor[], optimizer: Made, from: number, to: number): void => {
          for (let step = from; step < to; step++) {
            params.forEach((p) => p.grad = gradient(step, p.shape));
            optimizer.step();
          }
        };
        advance(first, a, 0, 5);
        a.lr = 0.05;
        const second = first.map((p) => p.clone().detach().requiresGrad_());
        const b = new makers[name](second, { lr: 0.3, ...more });
        b.loadStateDict(a.stateDict());
        assertStrictEquals(b.lr, 0.05);
        advance(first, a, 5, 10);
        advance(second, b, 5, 10);
        for (const [i, p] of first.entries()) {
          assertEquals(await numbers(second[i]), await numbers(p), name);
        }
      }
    });

    it("keep f32 state for half-precision parameters", async () => {
      const p = tensor([1, 2, 3], { device, dtype: "bf16", requiresGrad: true });
      const optimizer = new AdamW([p], { lr: 0.125, weightDecay: 0 });
      p.grad = tensor([1, -1, 1], { device, dtype: "bf16" });
      optimizer.step();
      assertStrictEquals(optimizer.stateDict().state[0]?.tensors.expAvg.dtype, "f32");
      assertEquals(await p.toArray(), [0.875, 2.125, 2.875]);
    });
  });
}

describe("optimizers", () => {
  const device = "reference";
  const param = (): Tensor => ones([2], { device, requiresGrad: true });

  it("give groups their own options, and scale them together", async () => {
    const a = param(), b = param();
    const optimizer = new SGD([{ params: [a] }, { params: [b], lr: 0.5, weightDecay: 1 }], { lr: 1 });
    a.grad = ones([2], { device });
    b.grad = ones([2], { device });
    optimizer.step();
    assertEquals(await a.toArray(), [0, 0]);
    assertEquals(await b.toArray(), [0, 0]);
    optimizer.lr = 0.1;
    assertEquals(optimizer.paramGroups.map(({ lr }) => lr), [0.1, 0.05]);
    optimizer.lr = 0;
    optimizer.lr = 1;
    assertEquals(optimizer.paramGroups.map(({ lr }) => lr), [1, 0.5]);
  });

  it("skip parameters without a gradient", async () => {
    const a = param(), b = param();
    const optimizer = new AdamW([a, b], { lr: 0.1 });
    a.grad = ones([2], { device });
    optimizer.step();
    assertNotEquals(await a.toArray(), [1, 1]);
    assertEquals(await b.toArray(), [1, 1]);
    assertStrictEquals(optimizer.stateDict().state[1], null);
    optimizer.zeroGrad();
    assertStrictEquals(a.grad, null);
  });

  it("refuse a gradient that was recorded before the step", () => {
    const p = param(), loss = p.mul(p).sum();
    p.grad = ones([2], { device });
    new SGD([p], { lr: 0.1 }).step();
    assertThrows(() => loss.backward(), Error, "changed in place");
  });

  it("refuse options that are not allowed", () => {
    const p = param();
    assertThrows(() => new SGD([p], { lr: -1 }), OptionError);
    assertThrows(() => new SGD([p], { lr: NaN }), OptionError);
    assertThrows(() => new SGD([p], { nesterov: true }), Error, "momentum");
    assertThrows(() => new Adam([p], { betas: [0.9, 1] }), Error, "betas[1]");
    assertThrows(() => new RMSprop([p], { alpha: 1 }), OptionError);
    assertThrows(() => new Adagrad([p], { lrDecay: -1 }), OptionError);
    assertThrows(() => new AdamW([p], { weight_decay: 1 } as never), Error, 'no option "weight_decay"');
    assertThrows(() => new AdamW([]), Error, "no parameters");
    assertThrows(() => new SGD([p], { dampening: 0.1 }), OptionError, "no effect because momentum is 0");
    assertThrows(() => new SGD([{ params: [p], weightDecai: 1 }] as never), OptionError, '"weightDecay"');
    assertThrows(() => new AdamW([p, p]), Error, "twice");
    assertThrows(() => new AdamW([{ params: [p] }, { params: [p] }]), Error, "twice");
    assertThrows(() => new AdamW([ones([2], { device })]), Error, "require gradients");
    assertThrows(() => clipGradNorm([p], 0), OptionError);
  });

  it("say what to give them instead of a module, a tensor or nothing", () => {
    const p = param(),
      wrong = (given: unknown, message: string): void => {
        assertThrows(() => new SGD(given as Tensor[]), OptionError, message);
      };
    wrong(new Linear(2, 2), "SGD: the parameters are a Linear; give its parameters: module.parameters()");
    wrong(p, "SGD: the parameters are a Tensor; put it into a list: [tensor]");
    wrong(undefined, "SGD: the parameters are undefined; expected a list of tensors, as module.parameters()");
    wrong({ params: [p] }, "expected a list of tensors, as module.parameters() gives it, or of groups");
    wrong([p, 5], "parameter 1 is 5, expected a tensor, or a group { params, lr … }");
    wrong([{ params: new Linear(2, 2) }], "give its parameters: module.parameters()");
    wrong([{ params: [5] }], "a parameter is 5, expected a tensor");
  });

  it("refuse the state of another optimizer and leave everything as it was", () => {
    const p = param(), sgd = new SGD([p], { lr: 0.1, momentum: 0.9 });
    assertThrows(() => sgd.loadStateDict(new AdamW([p]).stateDict()), FormatError);
    const two = new SGD([param(), param()], { lr: 0.5, momentum: 0.9 });
    assertThrows(() => sgd.loadStateDict(two.stateDict()), Error, "groups of [2] parameters, this has [1]");
    const other = ones([3], { device, requiresGrad: true });
    other.grad = ones([3], { device });
    const misshapen = new SGD([other], { lr: 0.5, momentum: 0.9 });
    misshapen.step();
    assertThrows(() => sgd.loadStateDict(misshapen.stateDict()), Error, "[3], expected [2]");
    assertStrictEquals(sgd.lr, 0.1);
  });
});

describe("schedules", () => {
  const at = (schedule: (step: number) => number, steps: number[]): number[] => steps.map(schedule);

  it("follow their formulas", () => {
    close(at(schedules.constant(0.3), [0, 100]), [0.3, 0.3], "constant");
    close(at(schedules.linearWarmup({ lr: 1, warmup: 4 }), [0, 1, 3, 9]), [0.25, 0.5, 1, 1], "linearWarmup");
    const cosine = schedules.cosine({ lr: 1, steps: 12, warmup: 2, minLr: 0.1 });
    close(at(cosine, [0, 1, 2, 7, 12, 20]), [0.5, 1, 1, 0.55, 0.1, 0.1], "cosine");
    close(at(schedules.linear({ lr: 1, steps: 10 }), [0, 5, 10]), [1, 0.5, 0], "linear");
    close(at(schedules.step({ lr: 1, stepSize: 3 }), [0, 2, 3, 6]), [1, 1, 0.1, 0.01], "step");
    close(at(schedules.exponential({ lr: 1, gamma: 0.5 }), [0, 1, 3]), [1, 0.5, 0.125], "exponential");
    close(at(schedules.inverseSqrt({ lr: 1, warmup: 4 }), [0, 3, 15]), [0.25, 1, 0.5], "inverseSqrt");
    // PyTorch: OneCycleLR(max_lr=1, total_steps=10): its top is at step 2, its end at step 9.
    close(at(schedules.noam({ lr: 1, warmup: 4 }), [0, 3, 15]), [0.25, 1, 0.5], "noam");
    const wsd = schedules.wsd({ lr: 1, steps: 20, warmup: 2, decay: 10, minLr: 0.5 });
    close(at(wsd, [0, 1, 10, 15, 20, 30]), [0.5, 1, 1, 0.75, 0.5, 0.5], "wsd");
    close(at(schedules.wsd({ lr: 1, steps: 20 }), [15, 16, 18, 20]), [1, 1, 0.5, 0], "wsd");
    assertThrows(() => schedules.wsd({ lr: 1, steps: 9, warmup: 5, decay: 5 }), OptionError, "more than the 9 steps");
    const cycle = schedules.oneCycle({ maxLr: 1, totalSteps: 10 });
    close(at(cycle, [0, 1, 2, 9]), [0.04, 0.52, 1, 4e-6], "oneCycle");
  });

  it("refuse what is impossible", () => {
    assertThrows(() => schedules.cosine({ lr: -1, steps: 3 }), OptionError);
    assertThrows(() => schedules.step({ lr: 1, stepSize: 0 }), OptionError);
    for (const decay of [schedules.cosine, schedules.linear]) {
      assertThrows(
        () => decay({ lr: 1, steps: 2, warmup: 50 }),
        OptionError,
        "warmup is 50, expected at most",
      );
      assertStrictEquals(decay({ lr: 1, steps: 2, warmup: 2 })(1), 1);
    }
  });
});
