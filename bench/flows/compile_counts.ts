/**
 * What is counted of compiled functions: memory and allocations of training steps, time in JavaScript, time to trace, dispatches
 * of a decoding step on webgpu.
 *
 * @module
 */
import {
  argmax,
  compile,
  GPT2,
  type GPT2Config,
  initWebGPU,
  keep,
  noGrad,
  optim,
  randint,
  reshape,
  type Tensor,
  tidy,
  zeros,
} from "../../mod.ts";
import type { Backend } from "../../src/backends/contract.ts";
import type { WebGpuBackend } from "../../src/backends/webgpu/backend.ts";
import { cpuBackend } from "../../src/runtime/cpu.ts";
import { backendOf } from "../../src/tensor/mod.ts";
import type { Bench, Row } from "../harness.ts";

/** `f` on a device that captures nothing: a model's forward pass then makes no program of its step by itself. */
export function eagerly<T>(backend: Backend, f: () => T): T {
  Object.defineProperty(backend, "capture", { value: undefined, configurable: true });
  try {
    return f();
  } finally {
    delete (backend as { capture?: unknown }).capture;
  }
}

/** Seconds that `f` spends in JavaScript: its kernels are told to do nothing. What they leave is of no use. */
export function javascript(f: () => void): number {
  const { engine } = cpuBackend(), times: number[] = [];
  // What was captured for other kernels is captured anew, by what runs.
  for (let i = 0; i < 8; i++) f();
  engine.run = () => {};
  engine.replay = () => {};
  try {
    // New numbers are looked at, at first each of them.
    for (let i = 0; i < 40; i++) f();
    for (let i = 0; i < 5; i++) {
      const start = performance.now();
      f();
      times.push((performance.now() - start) / 1e3);
    }
  } finally {
    delete (engine as { run?: unknown }).run;
    delete (engine as { replay?: unknown }).replay;
  }
  return times.toSorted((a, b) => a - b)[2];
}

/** Most MiB that the cpu device holds while `f` runs, beyond `before`, and how often it was asked for memory. */
function memoryOf(f: () => void, before: number): { peak: number; allocations: number } {
  const backend = cpuBackend(), allocate = backend.allocate.bind(backend);
  let most = backend.memory().bytes, allocations = 0;
  backend.allocate = (bytes) => {
    const buffer = allocate(bytes);
    allocations++;
    most = Math.max(most, backend.memory().bytes);
    return buffer;
  };
  try {
    f();
  } finally {
    delete (backend as { allocate?: unknown }).allocate;
  }
  return { peak: (most - before) / 2 ** 20, allocations };
}

interface Step {
  /** One step. */
  run(): void;
  /** Bytes on the device before the step took any. */
  readonly before: number;
  readonly compiled: ReturnType<typeof compile>;
  dispose(): void;
}

/** A training step with AdamW, as it is or compiled, after two steps. */
function stepOf(config: Partial<GPT2Config>, batch: number, time: number, isCompiled: boolean): Step {
  const model = new GPT2({ ...config, residPdrop: 0, embdPdrop: 0, attnPdrop: 0 });
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-4 });
  const { vocabSize } = model.config, [x, y] = [0, 1].map(() => randint(vocabSize, [batch, time]));
  const step = (x: Tensor, y: Tensor, lr: number): Tensor => {
    const loss = model.loss(x, y);
    loss.backward();
    optimizer.step({ lr });
    optimizer.zeroGrad();
    return loss.detach();
  };
  tidy(() => step(x, y, 1e-4)).dispose();
  const before = cpuBackend().memory().bytes, compiled = compile(step);
  let lr = 1e-4;
  const run = (): void => {
    lr *= 0.999;
    (isCompiled ? compiled(x, y, lr) : tidy(() => step(x, y, lr))).dispose();
  };
  // The first numbers are looked at; then programs do nothing but run.
  for (let i = 0; i < 3; i++) run();
  return {
    run,
    before,
    compiled: compiled as never,
    dispose() {
      compiled.dispose();
      optimizer.dispose();
      for (const t of [x, y]) t.dispose();
      model.dispose();
    },
  };
}

async function* training(bench: Bench): AsyncGenerator<Row> {
  const models: [name: string, config: Partial<GPT2Config>, batch: number, time: number, share: number][] = [
    [
      "nanoGPT's baby model, 12 × 64",
      { vocabSize: 65, nPositions: 256, nEmbd: 384, nLayer: 6, nHead: 6 },
      12,
      64,
      0.7,
    ],
    ["124M, 4 × 64", {}, 4, 64, 0.75],
  ];
  for (const [name, config, batch, time, share] of bench.settings.quick ? models.slice(0, 1) : models) {
    const eager = stepOf(config, batch, time, false), { peak } = memoryOf(eager.run, eager.before);
    const eagerly = { peak, allocations: memoryOf(eager.run, eager.before).allocations };
    const inJavaScript = javascript(eager.run);
    eager.dispose();
    const own = stepOf(config, batch, time, true), found = memoryOf(own.run, own.before);
    // What is counted stays the same from round to round.
    const fixed = (value: number) => (): number => value;
    yield {
      name: `${name}: most memory of a training step, beside parameters and optimizer`,
      unit: "MiB",
      amount: 1,
      subjects: [{
        name: "compiled",
        run: fixed(found.peak),
        limit: { name: "the same eagerly", measure: fixed(eagerly.peak) },
        share,
      }],
    };
    yield {
      name: `${name}: allocations of a training step`,
      unit: "allocations",
      amount: 1,
      subjects: [{ name: "eager", run: fixed(eagerly.allocations) }, {
        name: "compiled",
        run: fixed(found.allocations),
        atMost: 0,
      }],
    };
    yield {
      name: `${name}: JavaScript of a training step`,
      unit: "ms",
      amount: 1e3,
      subjects: [{ name: "eager", run: fixed(inJavaScript) }, {
        name: "compiled",
        run: () => javascript(own.run),
        atMost: 0.2,
      }],
    };
    own.dispose();
  }
}

/** Tracing and compiling a training step of twelve layers: nothing is computed. */
async function* tracing(): AsyncGenerator<Row> {
  const model = new GPT2({
    vocabSize: 512,
    nEmbd: 64,
    nHead: 4,
    nPositions: 64,
    residPdrop: 0,
    embdPdrop: 0,
    attnPdrop: 0,
  });
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-4 }), ids = randint(512, [4, 64]);
  yield {
    name: "tracing and compiling a training step of 12 layers",
    unit: "ms",
    amount: 1e3,
    subjects: [{
      name: "compile",
      run: () => {
        using step = compile((x: Tensor, lr: number) => {
          const loss = model.loss(x);
          loss.backward();
          optimizer.step({ lr });
          optimizer.zeroGrad();
          return loss.detach();
        });
        const start = performance.now();
        step(ids, 1e-4).dispose();
        // The second run makes its calls into one; its time and the first's include the step itself.
        const first = performance.now() - start, again = performance.now();
        step(ids, 1e-4).dispose();
        return (first - (performance.now() - again)) / 1e3;
      },
      atMost: 150,
    }],
  };
  optimizer.dispose();
  ids.dispose();
  model.dispose();
}

/** Dispatches of a token on webgpu. */
async function* dispatches(): AsyncGenerator<Row> {
  const row = { name: "webgpu, decode of a small GPT-2: dispatches a token", unit: "dispatches", amount: 1 };
  const problem = await initWebGPU().then(() => null, (error: Error) => error.message);
  if (problem !== null) {
    yield { ...row, subjects: [], failed: problem };
    return;
  }
  const device = "webgpu", { gpu } = backendOf(device) as WebGpuBackend, encode = gpu.encode.bind(gpu);
  const model = noGrad(() =>
    new GPT2({ nLayer: 4, nHead: 4, nEmbd: 128, vocabSize: 512, nPositions: 64, eosTokenId: null }, {
      device,
    })
  );
  model.eval();
  const countOf = async (wrap: (f: () => Tensor) => () => Tensor): Promise<number> => {
    using cache = model.createCache(1, 32);
    using ids = keep(zeros([1, 1], { dtype: "i32", device }));
    const next = wrap(() =>
      noGrad(() => argmax(reshape(model.forward(ids, { cache, lastOnly: true }), [1, -1]), -1))
    );
    for (let i = 0; i < 4; i++) next().dispose();
    let count = 0;
    gpu.encode = (job) => (count++, encode(job));
    using last = next();
    delete (gpu as { encode?: unknown }).encode;
    await last.data();
    return count;
  };
  const eager = await countOf((f) => () => eagerly(backendOf(device), () => tidy(f))),
    compiled = await countOf((f) => compile(f));
  yield {
    ...row,
    subjects: [{
      name: "compiled",
      run: () => compiled,
      limit: { name: "the same eagerly", measure: () => eager },
      share: 0.6,
    }],
  };
  model.dispose();
}

/** Rows of what is counted. */
export async function* counts(bench: Bench): AsyncGenerator<Row> {
  yield* training(bench);
  yield* tracing();
  yield* dispatches();
}
