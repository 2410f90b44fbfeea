/**
 * What a run may do besides steps: average its weights, end when it no longer gets better, go through a text in epochs.
 */
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CausalLM,
  CheckpointManager,
  type DataSource,
  type DeviceName,
  epochBatches,
  FormatError,
  manualSeed,
  nn,
  optim,
  OptionError,
  type Tensor,
  Trainer,
  type TrainerOptions,
} from "../mod.ts";
import { after, before, describe, it } from "./_suite.ts";

let folder = "", folders = 0;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "ferrotype-recipe-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));
const newStore = (): CheckpointManager => new CheckpointManager(join(folder, String(++folders)));

const ids = Int32Array.from({ length: 400 }, (_, i) => (i * i + (i >> 3)) % 11);
const sizes = { vocabSize: 11, contextLength: 8, width: 8, layers: 1, heads: 2 };

/** A small model; with `lora` an adapter learns beside it. */
async function aModel(device: DeviceName, lora = false): Promise<CausalLM> {
  manualSeed(4);
  const model = await CausalLM.fromSizes("llama", sizes, { device });
  if (lora) nn.lora(model, { rank: 2, alpha: 4, dropout: 0.1 });
  return model;
}

function trainerOf(model: CausalLM, more: Partial<TrainerOptions> = {}): Trainer {
  const { device } = model.parameters()[0];
  return new Trainer({
    model,
    data: epochBatches(ids, { batchSize: 2, blockSize: 8, seed: 2, device }),
    optimizer: new optim.AdamW(model.parameters().filter((p) => p.requiresGrad), { lr: 0.01 }),
    steps: 12,
    ...more,
  });
}

async function learningOf(model: CausalLM): Promise<Map<string, Float32Array>> {
  const found = new Map<string, Float32Array>();
  for (const [name, p] of model.namedParameters()) {
    if (p.requiresGrad) found.set(name, Float32Array.from(await p.data() as Float32Array));
  }
  return found;
}

describe("an average of the weights", () => {
  for (const [device, lora] of [["reference", false], ["cpu", false], ["cpu", true]] as const) {
    it(`is what its formula says on ${device}${lora ? ", of an adapter" : ""}, and is judged and given`, async () => {
      const model = await aModel(device, lora), judged: Map<string, Float32Array>[] = [];
      const expected = new Map(
        [...await learningOf(model)].map(([name, p]) => [name, Array.from(p, Number)]),
      );
      const trainer = trainerOf(model, {
        ema: 0.6,
        steps: 8,
        reportEvery: 1,
        onStep: async ({ step }) => {
          const decay = Math.min(0.6, (1 + step) / (10 + step));
          for (const [name, p] of await learningOf(model)) {
            expected.set(name, expected.get(name)!.map((x, i) => decay * x + (1 - decay) * p[i]));
          }
        },
        evalData: async () => (judged.push(await learningOf(model)), 1),
      });
      await trainer.run();
      const weights = await learningOf(model), given = await trainer.averaged(() => learningOf(model));
      assertEquals(judged, [given]);
      assertEquals(await learningOf(model), weights, "the weights are back");
      for (const [name, values] of expected) {
        values.forEach((x, i) => assertAlmostEquals(given.get(name)![i], x, 1e-6, name));
      }
      assert([...given].some(([name, p]) => p.some((x, i) => x !== weights.get(name)![i])));
      await assertRejects(() => trainer.averaged(() => Promise.reject(new Error("no"))), Error, "no");
      assertEquals(await learningOf(model), weights, "the weights are back after an error");
    });
  }

  it("goes on bit for bit, with dropout and an adapter too", async () => {
    for (const lora of [false, true]) {
      const checkpoints = newStore(), whole = await aModel("cpu", lora), losses: number[] = [];
      const options: Partial<TrainerOptions> = {
        ema: 0.9,
        evalEvery: 3,
        evalData: randomEval(whole),
        onEval: ({ loss }) => void losses.push(loss),
      };
      const trainer = trainerOf(whole, options);
      await trainer.run();
      const first = await aModel("cpu", lora);
      await trainerOf(first, {
        ...options,
        evalData: randomEval(first),
        onEval: () => {},
        checkpoints,
        stopAfter: 7,
      }).run();
      const model = await aModel("cpu", lora), again: number[] = [];
      manualSeed(99);
      const second = trainerOf(model, {
        ...options,
        evalData: randomEval(model),
        onEval: ({ loss }) => void again.push(loss),
        checkpoints,
      });
      assert(await second.resume());
      await second.run();
      assertEquals(await learningOf(model), await learningOf(whole));
      assertEquals(
        await second.averaged(() => learningOf(model)),
        await trainer.averaged(() => learningOf(whole)),
      );
      assertEquals(again, losses.slice(2));
      // What is kept as the best is what was judged.
      const best = (await checkpoints.loadBest())!;
      assertEquals(Object.keys(best.tensors).sort(), ["ema", "model", "optimizer"]);
      model.loadStateDict(best.tensors.ema, { strict: !lora });
      assertEquals(await randomEval(model)(), best.loss);
    }
  });

  it("of weights of 16 bits has 32, and they come back bit for bit", async () => {
    const model = await aModel("cpu");
    model.to({ dtype: "bf16" });
    const trainer = trainerOf(model, { ema: 0.99, steps: 3 });
    await trainer.run();
    const bits = async (): Promise<unknown> =>
      await Promise.all(model.parameters().map(async (p) => Array.from(await p.data() as Uint16Array)));
    const weights = await bits(), first = await trainer.averaged(bits);
    assertEquals(await bits(), weights);
    assertEquals(await trainer.averaged(bits), first, "nothing of the average was rounded");
    const captured = trainer.capture();
    assert(Object.values(captured.tensors.ema).every(({ dtype }) => dtype === "f32"));
    assert(Object.values(captured.tensors.model).every(({ dtype }) => dtype === "bf16"));
  });

  it("goes on only as it was begun", async () => {
    const checkpoints = newStore();
    await trainerOf(await aModel("cpu"), { ema: 0.9, checkpoints, stopAfter: 2 }).run();
    const model = await aModel("cpu"), before = await learningOf(model);
    for (const [ema, says] of [[undefined, "no ema"], [0.5, "ema 0.5"]] as const) {
      const trainer = trainerOf(model, { ...(ema === undefined ? {} : { ema }), checkpoints });
      await assertRejects(
        () => trainer.resume(),
        FormatError,
        `is of a run with ema 0.9, and is to go on with ${says}`,
      );
    }
    const trainer = trainerOf(model, { ema: 0.9, checkpoints }), found = (await checkpoints.loadLatest())!;
    const { ema: _, ...lost } = found.tensors;
    assertThrows(
      () => trainer.restore({ ...found, tensors: lost }),
      FormatError,
      "their average is not there",
    );
    const state = found.state as Record<string, unknown>;
    assertThrows(
      () => trainer.restore({ ...found, state: { ...state, ema: { decay: 0.9, updates: -1 } } }),
      FormatError,
      "has an ema whose updates is -1",
    );
    assertEquals(await learningOf(model), before);
    for (const ema of [-0.1, 1, NaN]) assertThrows(() => trainerOf(model, { ema }), OptionError, "ema");
  });
});

/** The loss of a model on the text, with no randomness. */
function randomEval(model: CausalLM): () => Promise<number> {
  return async () => {
    const wasTraining = model.training;
    model.eval();
    const loss = await model.loss([Array.from(ids.slice(0, 9)), Array.from(ids.slice(50, 59))]).item();
    model.train(wasTraining);
    return loss;
  };
}

describe("early stopping", () => {
  /** A run whose held-out losses are these. */
  const scripted = async (
    losses: readonly number[],
    more: Partial<TrainerOptions>,
  ): Promise<[Trainer, number[]]> => {
    const heard: number[] = [], model = await aModel("cpu");
    const trainer: Trainer = trainerOf(model, {
      steps: 2 * losses.length,
      evalEvery: 2,
      evalData: () => losses[trainer.step / 2 - 1],
      onEval: ({ loss }) => void heard.push(loss),
      ...more,
    });
    return [trainer, heard];
  };

  it("ends a run after so many evaluations that were no better, and keeps the best", async () => {
    const losses = [5, 4, 3.95, 3.92, 3, 3, 3.5, 2.99, 1],
      of = (n: number, minDelta = 0): number => {
        let best = Infinity, waited = 0;
        const at = losses.findIndex((loss) => {
          if (loss < best - minDelta) [best, waited] = [loss, 0];
          else waited++;
          return waited >= n;
        });
        return at < 0 ? losses.length : at + 1;
      };
    for (const patience of [1, 2, 3, 9]) {
      for (const minDelta of [0, 0.06, 0.5]) {
        // Saving takes most of the time.
        const checkpoints = patience === 2 && minDelta === 0 ? newStore() : null;
        const saved = checkpoints ? { checkpoints } : {};
        const [trainer, heard] = await scripted(losses, { patience, minDelta, ...saved });
        const result = await trainer.run(), evaluations = of(patience, minDelta);
        assertEquals(heard, losses.slice(0, evaluations), `${patience} ${minDelta}`);
        assertEquals(
          [result.step, result.finished, result.stoppedEarly, result.interrupted, result.bestLoss],
          [2 * evaluations, true, evaluations < losses.length, false, Math.min(...heard)],
        );
        if (checkpoints) assertEquals((await checkpoints.loadBest())?.loss, Math.min(...heard));
      }
    }
  });

  it("counts on where it was stopped, and does no more when it was over", async () => {
    const losses = [5, 4, 4.1, 4.2, 4.3, 1, 1, 1],
      checkpoints = newStore(),
      options = { patience: 3, checkpoints };
    const [first] = await scripted(losses, { ...options, stopAfter: 7 });
    assertEquals((await first.run()).stoppedEarly, false);
    for (const expected of [[4.2, 4.3], []]) {
      const [trainer, heard] = await scripted(losses, options);
      assert(await trainer.resume());
      const { step, stoppedEarly, finished, interrupted } = await trainer.run();
      assertEquals([step, stoppedEarly, finished, interrupted], [10, true, true, false]);
      assertEquals(heard, expected);
    }
  });

  it("never takes a loss that is no number for the best", async () => {
    const [trainer] = await scripted([NaN, 3, NaN, 4, 1], { patience: 2 });
    const { bestLoss, step } = await trainer.run();
    assertEquals([bestLoss, step], [3, 8]);
  });

  it("refuses what has no effect", async () => {
    const model = await aModel("cpu"), evalData = (): number => 1;
    assertThrows(() => trainerOf(model, { patience: 2, evalData }), OptionError, "needs evalEvery");
    assertThrows(
      () => trainerOf(model, { minDelta: 2, evalData, evalEvery: 1 }),
      OptionError,
      "needs patience",
    );
    assertThrows(() => trainerOf(model, { patience: 0, evalData, evalEvery: 1 }), OptionError, "patience");
  });
});

describe("epochs of a text", () => {
  const text = Int32Array.from({ length: 61 }, (_, i) => i);
  const source = (seed: number, batchSize = 4): DataSource<Tensor> =>
    epochBatches(text, { batchSize, blockSize: 5, seed, device: "cpu" });
  const firstIds = async (t: Tensor): Promise<number[]> =>
    (await t.toArray() as number[][]).map(([id]) => id);

  it("have every window once, in an order of their own", async () => {
    const data = source(7), starts: number[] = [];
    for (let i = 0; i < 9; i++) starts.push(...await firstIds(data.next()));
    const all = Array.from({ length: 12 }, (_, i) => 5 * i);
    const epochs = [0, 12, 24].map((from) => starts.slice(from, from + 12));
    for (const epoch of epochs) assertEquals([...epoch].sort((a, b) => a - b), all);
    assert(String(epochs[0]) !== String(epochs[1]) && String(epochs[0]) !== String(all));
    assert(String(await firstIds(source(8).next())) !== String(epochs[0].slice(0, 4)));
  });

  it("go on in the middle of one, and over its end, where they were", async () => {
    const whole = source(3, 5), expected = [];
    for (let i = 0; i < 8; i++) expected.push(await whole.next().toArray());
    for (let stop = 0; stop < 8; stop++) {
      const first = source(3, 5);
      for (let i = 0; i < stop; i++) first.next();
      const again = source(0, 5);
      again.setState(JSON.parse(JSON.stringify(first.getState())));
      for (let i = stop; i < 8; i++) assertEquals(await again.next().toArray(), expected[i]);
    }
    const parts = source(3, 4), whole4 = source(3, 4), rows = await whole4.next().toArray() as number[][];
    assertEquals(await parts.next({ index: 1, count: 2 }).toArray(), rows.slice(2));
    assertEquals(parts.getState(), whole4.getState());
    for (const state of [null, 3, {}, { seed: 1, epoch: 0, at: 12 }, { seed: 1, epoch: -1, at: 0 }]) {
      assertThrows(() => parts.setState(state), OptionError, "the place in the data is");
    }
  });

  it("are fair: each window is as often at each place", async () => {
    const counts = Array.from({ length: 12 }, () => 0);
    for (let seed = 0; seed < 600; seed++) counts[(await firstIds(source(seed, 1).next()))[0] / 5]++;
    // Twelve windows, 50 expected each: a chi-square of 11 degrees is above 31.3 once in a thousand.
    assert(counts.reduce((sum, n) => sum + (n - 50) ** 2 / 50, 0) < 31.3, String(counts));
  });
});
