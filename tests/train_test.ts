/**
 * Training: batches, the loop, exact continuation, checkpoints that survive a crash, evaluation.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
  fail,
} from "@std/assert";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { holdCollection } from "./_collection.ts";
import type { DeviceName } from "../src/backends/contract.ts";
import { CpuBackend } from "../src/backends/cpu/backend.ts";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { FerrotypeError, FormatError, OptionError } from "../src/core/errors.ts";
import type { FileSystem } from "../src/core/file_system.ts";
import { Dropout, Embedding, Linear, Module } from "../src/nn/mod.ts";
import {
  concat,
  copyInto,
  crossEntropy,
  full,
  manualSeed,
  mseLoss,
  ones,
  rand,
  reshape,
  slice,
  tanh,
  type Tensor,
  tensor,
} from "../src/ops/mod.ts";
import { AdamW, schedules, SGD } from "../src/optim/mod.ts";
import { makeDir, openFile, readDir, remove, rename, writeFileAtomic } from "../src/platform/platform.ts";
import { backendOf, registerBackend } from "../src/tensor/mod.ts";
import {
  CheckpointStore,
  type DataSource,
  disposeCheckpoint,
  evaluate,
  randomBatches,
  sequentialBatches,
  type StepReport,
  Trainer,
  type TrainerOptions,
} from "../src/train/mod.ts";

registerBackend("reference", createReferenceBackend);
registerBackend("cpu", () => new CpuBackend());
const devices: DeviceName[] = ["reference", "cpu"];
const fileSystem: FileSystem = { openFile, readDir, makeDir, remove, rename, writeFileAtomic };

const vocab = 11, block = 6;
/** Counting with a step that changes now and then: easy to learn, not trivial. */
const text = Int32Array.from({ length: 600 }, (_, i) => (i * (1 + Math.floor(i / 100) % 2)) % vocab);

/** A tiny language model: each position sees its own token and the one before. */
class TinyModel extends Module {
  embedding: Embedding;
  previous: Embedding;
  dropout: Dropout;
  head: Linear;

  constructor(device: DeviceName, p = 0.1) {
    super();
    manualSeed(5);
    this.embedding = new Embedding(vocab, 16, { device });
    this.previous = new Embedding(vocab, 16, { device });
    this.dropout = new Dropout(p);
    this.head = new Linear(16, vocab, { device });
  }

  /** ids [batch, time] → logits; position i sees ids i and i − 1 (at 0, itself). */
  forward(ids: Tensor): Tensor {
    const time = ids.shape[1];
    const now = this.embedding.forward(ids);
    const first = slice(ids, null, [0, 1]), rest = slice(ids, null, [0, time - 1]);
    const shifted = time > 1 ? this.previous.forward(concat([first, rest], 1)) : this.previous.forward(first);
    return this.head.forward(this.dropout.forward(tanh(now.add(shifted))));
  }

  loss(batch: Tensor): Tensor {
    const logits = this.forward(slice(batch, null, [0, -1]));
    return crossEntropy(reshape(logits, [-1, vocab]), reshape(slice(batch, null, [1, null]), [-1]));
  }
}

function setUp(device: DeviceName, more: Partial<TrainerOptions> = {}): {
  model: TinyModel;
  trainer: Trainer;
  losses: number[];
  reports: StepReport[];
} {
  const model = new TinyModel(device);
  const losses: number[] = [], reports: StepReport[] = [];
  const trainer = new Trainer({
    model,
    data: randomBatches(text, { batchSize: 4, blockSize: block, seed: 3, device }),
    optimizer: new AdamW(model.parameters(), { lr: 0.02 }),
    schedule: schedules.cosine({ lr: 0.02, steps: 60, warmup: 5 }),
    steps: 60,
    gradAccum: 2,
    clip: 1,
    reportEvery: 1,
    onStep: (report) => {
      losses.push(report.loss);
      reports.push(report);
    },
    ...more,
  });
  return { model, trainer, losses, reports };
}

async function parametersOf(model: Module): Promise<Record<string, number[]>> {
  const found: Record<string, number[]> = {};
  for (const [name, p] of model.namedParameters()) found[name] = Array.from(await p.data() as Float32Array);
  return found;
}

let folder = "", folders = 0;
before(() => folder = mkdtempSync(join(tmpdir(), "ferrotype-train-")));
after(() => rmSync(folder, { recursive: true }));
const newFolder = (): string => `${folder}/${++folders}`;

for (const device of devices) {
  describe(`training on ${device}`, () => {
    it("learns, and reports what it does", async () => {
      const evals: number[] = [];
      const { model, trainer, losses, reports } = setUp(device, {
        evalData: sequentialBatches(text, { batchSize: 8, blockSize: block, maxBatches: 4, device }),
        evalEvery: 30,
        onEval: ({ loss }) => {
          evals.push(loss);
        },
      });
      const result = await trainer.run();
      assertStrictEquals(result.step, 60);
      assert(result.finished && !result.interrupted);
      assertStrictEquals(losses.length, 60);
      assert(losses[0] > 2 && losses[59] < 1, `from ${losses[0]} to ${losses[59]}`);
      assertStrictEquals(evals.length, 2);
      assertStrictEquals(result.bestLoss, Math.min(...evals));
      assert(evals[1] < 0.7, `held out ${evals[1]}`);
      const last = reports[59];
      assertStrictEquals(last.step, 60);
      assert(last.gradNorm > 0 && last.tokensPerSecond > 0 && last.secondsLeft === 0);
      assertStrictEquals(reports[0].lr, 0.02 / 5);
      const { loss, perplexity, tokens, bitsPerByte } = await evaluate(model, text, {
        blockSize: block,
        bytes: 600,
      });
      assertStrictEquals(tokens, 599);
      assert(Math.abs(Math.log(perplexity) - loss) < 1e-9);
      assert(Math.abs(bitsPerByte! - loss * 599 / 600 / Math.LN2) < 1e-9);
      assert(loss < 0.7);
    });

    it("continues bit for bit from a checkpoint", async () => {
      const whole = setUp(device, { steps: 25 });
      await whole.trainer.run();
      const directory = newFolder();
      const checkpoints = (): CheckpointStore => new CheckpointStore(directory, { fileSystem });
      const first = setUp(device, { steps: 25, checkpoints: checkpoints(), stopAfter: 15 });
      const stopped = await first.trainer.run();
      assertStrictEquals(stopped.step, 15);
      assert(!stopped.finished && !stopped.interrupted);
      manualSeed(1234);
      const second = setUp(device, { steps: 25, checkpoints: checkpoints() });
      assertStrictEquals(await second.trainer.resume(), true);
      assertStrictEquals(second.trainer.step, 15);
      assert((await second.trainer.run()).finished);
      assertEquals([...first.losses, ...second.losses], whole.losses);
      assertStrictEquals(second.losses.length, 10);
      assertEquals(await parametersOf(second.model), await parametersOf(whole.model));
    });

    it("leaves no memory behind", async () => {
      const { trainer } = setUp(device, { steps: 30, stopAfter: 10, reportEvery: 3 });
      await trainer.run();
      using _still = holdCollection();
      const before = backendOf(device).memory();
      await trainer.run();
      assertEquals(backendOf(device).memory(), before);
    });

    it("gives the same losses however often they are read, and whether it is evaluated or not", async () => {
      const often = setUp(device, { steps: 12 });
      await often.trainer.run();
      const seldom = setUp(device, {
        steps: 12,
        reportEvery: 5,
        evalData: () => {
          rand([2], { device });
          return Promise.resolve(1);
        },
        evalEvery: 4,
      });
      const result = await seldom.trainer.run();
      assertEquals(seldom.losses, [often.losses[4], often.losses[9], often.losses[11]]);
      assertStrictEquals(result.loss, often.losses[11]);
    });

    it("averages over the batches of a step", async () => {
      const model = new TinyModel(device, 0),
        batch = [...sequentialBatches(text, { batchSize: 4, blockSize: block, device })][0];
      const half = (k: number): Tensor => slice(batch, [2 * k, 2 * k + 2]);
      let at = 0;
      const source = (next: () => Tensor): DataSource => ({
        tokensPerBatch: 1,
        next,
        getState: () => 0,
        setState: () => {},
      });
      const before = model.stateDict();
      const initial = Object.fromEntries(Object.entries(before).map(([name, t]) => [name, t.clone()]));
      const once = new Trainer({
        model,
        data: source(() => slice(batch)),
        optimizer: new SGD(model.parameters(), { lr: 0.5 }),
        steps: 1,
      });
      const whole = await once.run(), expected = await parametersOf(model);
      model.loadStateDict(initial);
      const parts = await new Trainer({
        model,
        data: source(() => half(at++)),
        optimizer: new SGD(model.parameters(), { lr: 0.5 }),
        steps: 1,
        gradAccum: 2,
      }).run();
      assertStrictEquals(at, 2);
      assert(Math.abs(parts.loss! - whole.loss!) < 1e-6);
      for (const [name, values] of Object.entries(await parametersOf(model))) {
        values.forEach((v, i) => assert(Math.abs(v - expected[name][i]) < 1e-6, name));
      }
    });
  });
}

describe("the arithmetic of a run", () => {
  it("is in its checkpoints, and other arithmetic is warned of", async () => {
    const heard: string[] = [], directory = newFolder();
    const checkpoints = new CheckpointStore(directory, { fileSystem });
    const onWarning = (message: string): void => void heard.push(message);
    const { engine } = backendOf("cpu") as CpuBackend;
    after(() => engine.deterministic = false);
    engine.deterministic = true;
    await setUp("cpu", { checkpoints, stopAfter: 2, onWarning }).trainer.run();
    const saved = (await checkpoints.loadLatest())!, state = saved.state as { arithmetic?: unknown };
    assertStrictEquals(state.arithmetic, "cpu: deterministic");
    const resumed = (): Promise<boolean> => setUp("cpu", { checkpoints, onWarning }).trainer.resume();
    assert(await resumed());
    assertEquals(heard, []);
    engine.deterministic = false;
    assert(await resumed());
    assertStrictEquals(heard.length, 1);
    assertMatch(
      heard[0],
      /^this run was begun with other arithmetic \(cpu: deterministic\) than it goes on with \(cpu: /,
    );
    // A checkpoint of before says nothing, and one that says nonsense is refused.
    const { trainer } = setUp("cpu", { onWarning });
    trainer.restore({ ...saved, state: { ...state, arithmetic: undefined } });
    assertStrictEquals(heard.length, 1);
    assertThrows(
      () => trainer.restore({ ...saved, state: { ...state, arithmetic: 5 } }),
      FormatError,
      "arithmetic",
    );
  });

  it("is that of the device", async () => {
    const directory = newFolder(), checkpoints = new CheckpointStore(directory, { fileSystem });
    await setUp("reference", { checkpoints, stopAfter: 1 }).trainer.run();
    const { state } = (await checkpoints.loadLatest())!;
    assertMatch(
      String((state as { arithmetic: unknown }).arithmetic),
      /^reference: f64, functions of JavaScript \([0-9a-f]+\)$/,
    );
  });
});

describe("training", () => {
  const device = "reference";

  it("stops at the signal, saves, and continues", async () => {
    const directory = newFolder(), controller = new AbortController();
    const checkpoints = new CheckpointStore(directory, { fileSystem });
    const { trainer, reports } = setUp(device, {
      checkpoints,
      signal: controller.signal,
      onStep: ({ step }) => {
        if (step === 7) controller.abort();
      },
    });
    const result = await trainer.run();
    assert(result.interrupted && !result.finished);
    assertStrictEquals(result.step, 7);
    assertStrictEquals(reports.length, 0);
    const next = setUp(device, { checkpoints });
    assert(await next.trainer.resume());
    assertStrictEquals(next.trainer.step, 7);
  });

  it("hears a signal that comes while it works", async () => {
    const controller = new AbortController();
    const { trainer } = setUp(device, { steps: 100000, signal: controller.signal, reportEvery: 1000 });
    setTimeout(() => controller.abort(), 20);
    const result = await trainer.run();
    assert(result.interrupted && result.step < 100000);
  });

  it("says so when the loss is not finite, and keeps the last checkpoint", async () => {
    const directory = newFolder(), checkpoints = new CheckpointStore(directory, { fileSystem });
    const model = new Linear(1, 1, { device });
    const trainer = new Trainer({
      model,
      loss: (x: Tensor) => mseLoss(model.forward(x), x.mul(3)),
      data: {
        tokensPerBatch: 2,
        next: () => ones([2, 1], { device }),
        getState: () => null,
        setState: () => {},
      },
      optimizer: new SGD(model.parameters(), { lr: 1e6 }),
      steps: 100,
      saveEvery: 1,
      reportEvery: 50,
      checkpoints,
    });
    assertMatch(
      String(await assertRejects(() => trainer.run())),
      /the loss is (NaN|Infinity) at step \d+; take a lower learning rate/,
    );
    const kept = await checkpoints.list();
    assert(kept.length > 0);
    for (const { loss } of kept) assert(Number.isFinite(loss));
  });

  it("names the step at which gradients are no numbers, with and without clipping", async () => {
    for (const clip of [undefined, 1]) {
      for (const fails of [1, 2, 4]) {
        const model = new Linear(1, 1, { device });
        let step = 0;
        const trainer = new Trainer({
          model,
          loss: (x: Tensor) => mseLoss(model.forward(x), x.mul(3)),
          data: {
            tokensPerBatch: 2,
            next: () => ++step < fails ? ones([2, 1], { device }) : tensor([[1], [NaN]], { device }),
            getState: () => null,
            setState: () => {},
          },
          optimizer: new AdamW(model.parameters(), { lr: 0.01 }),
          steps: 9,
          ...(clip === undefined ? {} : { clip }),
        });
        const { message } = await assertRejects(() => trainer.run(), FerrotypeError);
        // The weights are not to blame, and not blamed.
        assertMatch(
          message,
          new RegExp(
            `the gradient of "(weight|bias)" .* has NaN at step ${fails}; nothing was changed; take a`,
          ),
        );
      }
    }
  });

  it("names the weight that is no number where a run begins with one, and so does evaluate", async () => {
    for (const [round, value] of [NaN, Infinity, NaN].entries()) {
      for (const clip of [undefined, 1]) {
        const model = new TinyModel(device, 0),
          name = ["head.bias", "head.weight", "embedding.weight"][round];
        const weight = Object.fromEntries(model.namedParameters())[name];
        // An infinity beside zeros: 0 · ∞ is NaN, and so is ∞ − ∞.
        copyInto(full(weight.shape, value, { device }), weight.detach());
        const place = `weight ${name} has ${value} at \\[0(, 0)?\\] of`;
        const trainer = new Trainer({
          model,
          loss: (ids: Tensor) => model.loss(ids),
          data: randomBatches(text, { batchSize: 2, blockSize: block, device }),
          optimizer: new AdamW(model.parameters(), { lr: 0.01 }),
          steps: 3,
          ...(clip === undefined ? {} : { clip }),
        });
        const { message } = await assertRejects(() => trainer.run(), FerrotypeError);
        assertMatch(message, new RegExp(`at step 1: ${place} .*; begin from weights that are finite$`));
        const judged = await assertRejects(
          () => evaluate(model, text.subarray(0, 40), { blockSize: block }),
          FerrotypeError,
        );
        assertMatch(judged.message, new RegExp(`^evaluate: the loss is NaN: ${place}`));
      }
    }
  });

  it("refuses options that make no sense", () => {
    const model = new Linear(1, 1, { device }), data = randomBatches(text, { batchSize: 1, blockSize: 2 });
    const optimizer = new SGD(model.parameters());
    assertThrows(() => new Trainer({ model, data, optimizer, steps: 3 }), Error, "no loss(batch)");
    const loss = (x: Tensor): Tensor => x;
    assertThrows(() => new Trainer({ model, data, optimizer, loss, steps: 0 }), OptionError);
    assertThrows(() => new Trainer({ model, data, optimizer, loss, steps: 3, gradAccum: 1.5 }), OptionError);
    assertThrows(
      () => new Trainer({ model, data, optimizer, loss, steps: 3, gradAccum: 65_537 }),
      OptionError,
      "gradAccum is 65537, expected a whole number from 1 to 65536",
    );
    assertThrows(
      () => new Trainer({ model, data, optimizer, loss, steps: 3, evalEvery: 1 }),
      Error,
      "evalData",
    );
    assertThrows(
      () => new Trainer({ model, data, optimizer, loss, steps: 3, saveEvery: 1 }),
      Error,
      "checkpoints",
    );
  });
});

describe("batches", () => {
  const device = "reference";

  it("are windows of the text, the same for the same state", async () => {
    const a = randomBatches(text, { batchSize: 3, blockSize: 4, seed: 8, device });
    a.next();
    const b = randomBatches(text, { batchSize: 3, blockSize: 4, seed: 9, device });
    b.setState(JSON.parse(JSON.stringify(a.getState())));
    const x = a.next(), y = b.next();
    assertEquals(x.shape, [3, 5]);
    assertEquals(await x.toArray(), await y.toArray());
    const whole = text.join(" ");
    for (const row of await x.toArray() as number[][]) assert(whole.includes(row.join(" ")));
    assertThrows(
      () => randomBatches(text.slice(0, 4), { batchSize: 1, blockSize: 4 }),
      Error,
      "cannot fill a window of 5",
    );
    // Exactly one window fits.
    const one = randomBatches([7, 8, 9], { batchSize: 1, blockSize: 2, device });
    assertEquals(await one.next().toArray(), [[7, 8, 9]]);
  });

  it("in order cover the text with whole batches, again each time", async () => {
    const ids = Uint16Array.from({ length: 14 }, (_, i) => i);
    const batches = sequentialBatches(ids, { batchSize: 2, blockSize: 3, device });
    const rows: unknown[] = [];
    for (const batch of batches) rows.push(await batch.toArray());
    assertEquals(rows, [[[0, 1, 2, 3], [3, 4, 5, 6]], [[6, 7, 8, 9], [9, 10, 11, 12]]]);
    assertStrictEquals([...batches].length, 2);
    assertStrictEquals(
      [...sequentialBatches(ids, { batchSize: 1, blockSize: 3, stride: 1, maxBatches: 5, device })].length,
      5,
    );
    assertThrows(() => sequentialBatches(ids, { batchSize: 1, blockSize: 14 }), OptionError);
  });
});

describe("evaluate", () => {
  const device = "reference";

  it("predicts every token once, from what its windows allow", async () => {
    const model = new TinyModel(device);
    const direct = async (blockSize: number, stride: number): Promise<number> => {
      let sum = 0, next = 1;
      for (let k = 0; next < 20; k++) {
        const start = Math.min(k * stride, Math.max(0, 19 - blockSize)),
          end = Math.min(20, start + blockSize + 1);
        const ids = Array.from(text.slice(start, end));
        model.eval();
        const input = tensor([ids.slice(0, -1)], { dtype: "i32", device });
        const log = (await model.forward(input).logSoftmax().toArray() as number[][][])[0];
        for (; next < end; next++) sum -= log[next - start - 1][text[next]];
        model.train();
      }
      return sum / 19;
    };
    for (const [blockSize, stride] of [[6, 6], [6, 2], [6, 4], [7, 1], [30, 30]]) {
      const found = await evaluate(model, text.slice(0, 20), { blockSize, stride, batchSize: 2 });
      assertStrictEquals(found.tokens, 19);
      assert(Math.abs(found.loss - await direct(blockSize, stride)) < 1e-6, `${blockSize} ${stride}`);
    }
    assert(model.training && model.dropout.training);
  });

  it("stops at the signal and refuses gaps", async () => {
    const model = new TinyModel(device);
    const signal = AbortSignal.abort();
    assertStrictEquals(
      (await assertRejects(() => evaluate(model, text, { blockSize: 4, signal }), Error)).name,
      "CancelledError",
    );
    await assertRejects(
      () => evaluate(model, text, { blockSize: 4, stride: 5 }),
      Error,
      "tokens between blocks would be left out",
    );
    await assertRejects(
      () => evaluate(model, text.slice(0, 1), { blockSize: 4 }),
      Error,
      "nothing to predict",
    );
  });
});

describe("checkpoints", () => {
  const device = "reference";
  const state = (step: number, loss: number | null) => ({
    step,
    loss,
    tensors: { model: { "a.weight": ones([2, 3], { device }).mul(step) } },
    state: { at: step },
  });

  it("keep the newest and the best", async () => {
    const directory = newFolder(),
      manager = new CheckpointStore(directory, { keepLast: 2, keepBest: 1, fileSystem });
    assertStrictEquals(await manager.loadLatest(), null);
    assertStrictEquals(await manager.loadBest(), null);
    for (const [step, loss] of [[10, 3], [20, 1], [30, 2], [40, 2.5], [50, null]] as const) {
      await manager.save(state(step, loss));
    }
    assertEquals(readdirSync(directory).sort(), ["step-00000020", "step-00000040", "step-00000050"]);
    const best = await manager.loadBest({ device }), latest = await manager.loadLatest({ device });
    assertEquals([best?.step, best?.loss, best?.state], [20, 1, { at: 20 }]);
    assertEquals(await best?.tensors.model["a.weight"].toArray(), [[20, 20, 20], [20, 20, 20]]);
    assertStrictEquals(latest?.step, 50);
    disposeCheckpoint(best!);
    disposeCheckpoint(latest!);
  });

  it("replace one of the same step, and hold the files they are given", async () => {
    const directory = newFolder();
    const manager = new CheckpointStore(directory, { fileSystem, files: { "config.json": "{}" } });
    await manager.save(state(5, 2));
    const path = await manager.save(state(5, 1));
    assertEquals((await manager.list()).map(({ loss }) => loss), [1]);
    assertEquals(readdirSync(path).sort(), ["config.json", "model.safetensors", "state.json"]);
  });

  it("survive a crash at any moment of saving", async () => {
    // Each save makes a number of calls; let every one of them fail in turn.
    for (let fatal = 0; fatal < 30; fatal++) {
      const directory = newFolder();
      await new CheckpointStore(directory, { keepLast: 1, keepBest: 0, fileSystem }).save(state(1, 1));
      let calls = 0;
      const crash = <A extends unknown[], R>(f: (...args: A) => Promise<R>) => (...args: A): Promise<R> =>
        calls++ >= fatal ? Promise.reject(new Error("power cut")) : f(...args);
      const failing: FileSystem = {
        ...fileSystem,
        makeDir: crash(fileSystem.makeDir),
        remove: crash(fileSystem.remove),
        rename: crash(fileSystem.rename),
        writeFileAtomic: crash(fileSystem.writeFileAtomic),
      };
      const manager = new CheckpointStore(directory, { keepLast: 1, keepBest: 0, fileSystem: failing });
      let done = true;
      await manager.save(state(2, 1)).catch(() => done = false);
      const survivor = new CheckpointStore(directory, { keepLast: 1, keepBest: 0, fileSystem });
      const latest = await survivor.loadLatest({ device });
      assert(latest && (latest.step === 1 || latest.step === 2), `crash at call ${fatal}`);
      assertEquals(
        await latest.tensors.model["a.weight"].toArray(),
        [0, 0].map(() => [0, 0, 0].fill(latest.step)),
      );
      await survivor.save(state(3, 1));
      assertEquals(readdirSync(directory), ["step-00000003"]);
      if (done) {
        assert(fatal > 4);
        return;
      }
    }
    fail("saving never succeeded");
  });

  it("leave nothing of a save that fails, nor an older one of the same step", async () => {
    const directory = newFolder(), manager = new CheckpointStore(directory, { fileSystem });
    await manager.save(state(1, 1));
    let writes = 0;
    const full: FileSystem = {
      ...fileSystem,
      writeFileAtomic: (...args) =>
        ++writes % 2 ? fileSystem.writeFileAtomic(...args) : Promise.reject(new Error("the disk is full")),
    };
    const failing = new CheckpointStore(directory, { fileSystem: full });
    for (let again = 0; again < 3; again++) {
      await assertRejects(() => failing.save(state(2, 1)), Error, "the disk is full");
      assertEquals(readdirSync(directory), ["step-00000001"]);
    }
    // Killed between the rename of the newer one and the removal of the older: the best of both is the newer.
    cpSync(join(directory, "step-00000001"), join(directory, "step-00000001.1"), { recursive: true });
    await manager.save(state(2, 1));
    assertEquals(readdirSync(directory).sort(), ["step-00000001.1", "step-00000002"]);
  });

  it("name what is wrong with a damaged one", async () => {
    const directory = newFolder(), manager = new CheckpointStore(directory, { fileSystem });
    const path = await manager.save(state(5, 2));
    await writeFileAtomic(`${path}/state.json`, "{");
    await assertRejects(() => manager.loadLatest(), FormatError, "step-00000005/state.json");
    assertThrows(() => new CheckpointStore(directory, { keepLast: 0, fileSystem }), OptionError);
  });
});
