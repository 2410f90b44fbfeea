/**
 * Training in 16 bits: losses near those of f32, what memory it takes, overflows, exact continuation, what it goes with.
 */
import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import {
  CausalLM,
  CharTokenizer,
  CheckpointManager,
  epochBatches,
  FerrotypeError,
  FormatError,
  manualSeed,
  memory,
  nn,
  optim,
  OptionError,
  type Precision,
  randn,
  randomBatches,
  type Tensor,
  tensor,
  Trainer,
  type TrainerOptions,
} from "../mod.ts";
import { sentences } from "./_text.ts";
import { width } from "./_width.ts";

let folder = "", folders = 0;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "ferrotype-precision-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));
const newStore = (): CheckpointManager => new CheckpointManager(join(folder, String(++folders)));

const halves = ["bf16", "f16"] as const;
const text = sentences(12_000);
const tokenizer = CharTokenizer.from(text), ids = Int32Array.from(tokenizer.encode(text));
const sizes = { vocabSize: tokenizer.vocabSize, contextLength: 32, width: 32, layers: 2, heads: 2 };

async function aModel(family = "gpt2", more: Partial<typeof sizes> = {}): Promise<CausalLM> {
  manualSeed(4);
  return await CausalLM.fromSizes(family, { ...sizes, ...more });
}

function trainerOf(model: CausalLM, precision: Precision, more: Partial<TrainerOptions> = {}): Trainer {
  return new Trainer({
    model,
    data: randomBatches(ids, { batchSize: 4, blockSize: 32, seed: 2 }),
    optimizer: new optim.AdamW(model.parameters().filter((p) => p.requiresGrad), { lr: 3e-3 }),
    steps: 12,
    clip: 1,
    precision,
    ...more,
  });
}

/** The bits of all parameters. */
async function bitsOf(model: CausalLM): Promise<Map<string, number[]>> {
  const found = new Map<string, number[]>();
  for (const [name, p] of model.namedParameters()) {
    const data = await p.data();
    found.set(name, [
      ...new Uint32Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength)),
    ]);
  }
  return found;
}

/** Mean losses of a run's tenths. */
async function curve(family: string, precision: Precision, steps: number): Promise<number[]> {
  const model = await aModel(family), losses: number[] = [];
  await trainerOf(model, precision, { steps, reportEvery: 1, onStep: ({ loss }) => void losses.push(loss) })
    .run();
  assert(model.parameters().every((p) => p.dtype === "f32"), "weights are f32 afterwards");
  model.dispose();
  const each = steps / 10;
  return Array.from(
    { length: 10 },
    (_, i) => losses.slice(i * each, (i + 1) * each).reduce((a, b) => a + b) / each,
  );
}

describe("training in 16 bits", () => {
  for (const family of width(["gpt2", "llama"], ["llama"])) {
    it(`has a loss curve within 1 % of f32's: ${family}`, async () => {
      const steps = 40, expected = await curve(family, "f32", steps);
      assert(expected[9] < 0.85 * expected[0], "it learns");
      for (const precision of halves) {
        const own = await curve(family, precision, steps);
        own.forEach((loss, i) => {
          const off = Math.abs(loss / expected[i] - 1);
          assert(off < 0.01, `${precision}, tenth ${i}: ${loss} against ${expected[i]}`);
        });
        assert(own.some((loss, i) => loss !== expected[i]), "it is computed otherwise");
      }
    });
  }

  it("takes at most 0.6 of the memory of f32 where activations are most of it", async () => {
    for (const family of ["gpt2", "llama"]) {
      const peaks: Record<string, number> = {};
      for (const precision of ["f32", "bf16"] as const) {
        const others = memory().cpu?.bytes ?? 0,
          model = await aModel(family, { contextLength: 128, width: 64, layers: 4 });
        using optimizer = new optim.AdamW(model.parameters());
        const data = randomBatches(ids, { batchSize: 16, blockSize: 128, seed: 1 });
        const { peakBytes } = await trainerOf(model, precision, { data, optimizer, steps: 2 }).run();
        peaks[precision] = peakBytes - others;
        model.dispose();
      }
      const ratio = peaks.bf16 / peaks.f32;
      assert(ratio <= 0.6, `${family}: ${peaks.bf16} of ${peaks.f32} bytes, ${ratio}`);
    }
  });

  it("gathers gradients in f32 where the weights are, of tied weights and several batches", async () => {
    for (const precision of halves) {
      const grads: Record<string, number[][]> = {};
      for (const own of ["f32", precision] as const) {
        const model = await aModel("gpt2");
        let seen: number[][] = [];
        class Looking extends optim.SGD {
          override step(): void {
            seen = model.parameters().map((p) => {
              assertStrictEquals(p.grad!.dtype, "f32");
              assertEquals(p.grad!.strides, p.strides);
              return [];
            });
            super.step();
          }
        }
        const optimizer = new Looking(model.parameters(), { lr: 1 });
        const before = await bitsOf(model), initial = new Map<string, number[]>();
        for (const [name, bits] of before) {
          initial.set(name, [...new Float32Array(Uint32Array.from(bits).buffer)]);
        }
        await trainerOf(model, own, { optimizer, steps: 1, gradAccum: 3, clip: 1e9 }).run();
        assertStrictEquals(seen.length, before.size);
        grads[own] = await Promise.all(
          model.namedParameters().map(async ([name, p]) =>
            Array.from(await p.data() as Float32Array, (x, i) => initial.get(name)![i] - x)
          ),
        );
        model.dispose();
      }
      grads[precision].forEach((own, i) => {
        const expected = grads.f32[i], size = Math.hypot(...expected);
        const off = Math.hypot(...own.map((x, j) => x - expected[j]));
        assert(off <= 0.03 * size + 1e-6, `parameter ${i} is ${off / size} away`);
      });
    }
  });

  it("leaves out steps whose gradients overflow, and finds a scale", async () => {
    const model = await aModel("llama"), before = await bitsOf(model);
    const scales: number[] = [], norms: number[] = [];
    const trainer = trainerOf(model, "f16", {
      steps: 40,
      ema: 0.9,
      gradScaler: { initScale: 2 ** 30, growthInterval: 3 },
      reportEvery: 1,
      onStep: async ({ lossScale, gradNorm, step }) => {
        scales.push(lossScale!);
        norms.push(gradNorm);
        if (step === 1) assertEquals(await bitsOf(model), before, "nothing was changed");
      },
    });
    const { loss } = await trainer.run();
    assertStrictEquals(norms[0], Infinity);
    assertStrictEquals(scales[0], 2 ** 29);
    const taken = norms.filter(Number.isFinite).length;
    assert(taken > 20 && taken < 40, `${taken} of 40 steps were taken`);
    assert(scales.some((scale, i) => i && scale > scales[i - 1]), "the scale grows again");
    const { state } = trainer.capture();
    const { steps } = (state as { optimizer: { steps: number[] } }).optimizer;
    assert(steps.every((step) => step === taken), "the optimizer counts what was taken");
    assertStrictEquals((state as { ema: { updates: number } }).ema.updates, taken);
    assert(Number.isFinite(loss) && loss! < 4);
    model.dispose();
  });

  it("says so when no scale helps", async () => {
    const model = await aModel("gpt2");
    const huge = trainerOf(model, "f16", {
      loss: (batch) => model.loss(batch).mul(1e30),
      gradScaler: { backoffFactor: 2 ** -20 },
      steps: 9,
    });
    await assertRejects(() => huge.run(), FerrotypeError, 'take precision "bf16"');
    assert(model.parameters().every((p) => p.dtype === "f32"), "the weights are in their places");
    model.dispose();
  });

  for (const precision of halves) {
    for (const lora of [false, true]) {
      it(`goes on bit for bit: ${precision}${lora ? ", an adapter" : ""}`, async () => {
        const make = async (checkpoints?: CheckpointManager): Promise<[CausalLM, Trainer]> => {
          const model = await aModel("qwen3");
          if (lora) nn.lora(model, { rank: 2, alpha: 4, dropout: 0.1, dora: true });
          return [
            model,
            trainerOf(model, precision, {
              ...(checkpoints ? { checkpoints } : {}),
              ...(precision === "f16" ? { gradScaler: { initScale: 2 ** 28, growthInterval: 2 } } : {}),
              gradAccum: 2,
              clip: 0.5,
              ema: 0.5,
            }),
          ];
        };
        const [whole, through] = await make();
        await through.run();
        const store = newStore(), [first, begun] = await make(store);
        const stopped = new Trainer({ ...optionsOf(first, precision, store), stopAfter: 5 });
        begun.traceEvents();
        await stopped.run();
        const [second, again] = await make(store);
        assert(await again.resume());
        assertStrictEquals(again.step, 5);
        await again.run();
        assertEquals(await bitsOf(second), await bitsOf(whole));
        await again.averaged(async () => {
          const own = await bitsOf(second);
          await through.averaged(async () => assertEquals(own, await bitsOf(whole)));
        });
        const other = precision === "bf16" ? "f32" : "bf16";
        const wrong = trainerOf(second, other, { checkpoints: store, ema: 0.5 });
        await assertRejects(
          () => wrong.resume(),
          FormatError,
          `of a run in ${precision}, and is to go on in ${other}`,
        );
        for (const model of [whole, first, second]) model.dispose();
      });
    }
  }

  /** As `make` has them. */
  function optionsOf(model: CausalLM, precision: Precision, checkpoints: CheckpointManager): TrainerOptions {
    return {
      model,
      data: randomBatches(ids, { batchSize: 4, blockSize: 32, seed: 2 }),
      optimizer: new optim.AdamW(model.parameters().filter((p) => p.requiresGrad), { lr: 3e-3 }),
      steps: 12,
      precision,
      checkpoints,
      ...(precision === "f16" ? { gradScaler: { initScale: 2 ** 28, growthInterval: 2 } } : {}),
      gradAccum: 2,
      clip: 0.5,
      ema: 0.5,
    };
  }

  it("goes beside quantised weights, whose activations are of 16 bits too", async () => {
    const source = await aModel("qwen3"), at = join(folder, "q4");
    await source.save(at, { dtype: "q4" });
    source.dispose();
    for (const precision of ["f32", ...halves] as const) {
      const model = await CausalLM.load(at);
      manualSeed(3);
      const adapter = nn.lora(model, { rank: 4, alpha: 8, targets: "all-linear" });
      let dtype = "";
      const losses: number[] = [];
      await new Trainer({
        model,
        data: epochBatches(ids, { batchSize: 4, blockSize: 32, seed: 2 }),
        optimizer: new optim.AdamW(adapter.parameters(), { lr: 1e-2 }),
        loss: (batch: Tensor) => {
          dtype = model.forward(batch.slice(null, [0, -1])).dtype;
          return model.loss(batch);
        },
        steps: 10,
        reportEvery: 1,
        onStep: ({ loss }) => void losses.push(loss),
        precision,
      }).run();
      assertStrictEquals(dtype, precision);
      assert(losses[9] < losses[0] - 0.05, `${precision}: ${losses}`);
      model.dispose();
    }
  });

  it("takes any module: layers lower what they are given, losses are f32", async () => {
    manualSeed(1);
    const model = new nn.Sequential(
      new nn.Linear(6, 16),
      new nn.Tanh(),
      new nn.LayerNorm(16),
      new nn.Linear(16, 3),
    );
    const x = randn([8, 6]), y = tensor([0, 1, 2, 0, 1, 2, 0, 1], { dtype: "i32" }), seen = new Set<string>();
    const data = { tokensPerBatch: 8, next: () => x, getState: () => null, setState: () => {} };
    const trainer = new Trainer({
      model,
      data,
      loss: (x: Tensor) => {
        const logits = model.forward(x), loss = nn.crossEntropy(logits, y, { labelSmoothing: 0.1 });
        seen.add(logits.dtype).add(`loss ${loss.dtype}`).add(`softmax ${logits.softmax(-1).dtype}`)
          .add(`mse ${nn.mseLoss(logits, logits).dtype}`);
        return loss;
      },
      optimizer: new optim.AdamW(model.parameters(), { lr: 0.05 }),
      steps: 20,
      precision: "bf16",
    });
    const { loss } = await trainer.run();
    assertEquals([...seen].sort(), ["bf16", "loss f32", "mse f32", "softmax f32"]);
    assert(loss! < 0.9);
    assertStrictEquals(model.forward(x).dtype, "f32", "outside of a step it is f32");
  });

  it("refuses what cannot be", async () => {
    const model = await aModel("gpt2");
    const wrong = (options: Partial<TrainerOptions>, message: string): void => {
      assertThrows(() => trainerOf(model, "f32", options), OptionError, message);
    };
    wrong({ gradScaler: {} }, 'gradScaler has no effect because it needs precision "f16"');
    wrong({ precision: "bf16", gradScaler: {} }, 'it needs precision "f16"');
    wrong({ precision: "f16", gradScaler: { growthFactor: 1 } }, "growthFactor");
    wrong({ precision: "f16", gradScaler: { growth: 2 } as never }, "growth");
    wrong({ precision: "q8" as never }, "precision");
    model.network.to({ dtype: "bf16" });
    assertThrows(
      () => trainerOf(model, "bf16"),
      OptionError,
      "keeps the weights that learn in f32 beside those it computes with",
    );
    model.dispose();
  });
});
