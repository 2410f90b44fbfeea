/**
 * Training in less memory: layers that are computed again, batches in pieces.
 */
import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "./_suite.ts";
import {
  CausalLM,
  CheckpointManager,
  manualSeed,
  memory,
  nn,
  optim,
  OptionError,
  randomBatches,
  setMaxMemory,
  type Tensor,
  Trainer,
  type TrainerOptions,
} from "../mod.ts";
import { asksNothing, width } from "./_width.ts";

let folder = "";
before(() => {
  folder = mkdtempSync(join(tmpdir(), "ferrotype-memory-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const ids = Int32Array.from({ length: 900 }, (_, i) => (i * i + (i >> 3)) % 11);
const sizes = { vocabSize: 11, contextLength: 24, width: 16, layers: 3, heads: 2 };

async function aModel(family: string, dropout = 0): Promise<CausalLM> {
  manualSeed(4);
  return await CausalLM.fromSizes(family, sizes, { dropout });
}

function trainerOf(model: CausalLM, more: Partial<TrainerOptions> = {}): Trainer {
  return new Trainer({
    model,
    data: randomBatches(ids, { batchSize: 12, blockSize: 24, seed: 2 }),
    optimizer: new optim.SGD(model.parameters().filter((p) => p.requiresGrad), { lr: 0.1, momentum: 0.5 }),
    steps: 4,
    ...more,
  });
}

async function numbersOf(model: CausalLM): Promise<number[][]> {
  const found: number[][] = [];
  for (const p of model.parameters()) if (p.requiresGrad) found.push([...await p.data() as Float32Array]);
  return found;
}

describe("gradient checkpointing", { skip: asksNothing }, () => {
  for (const family of width(["gpt2", "llama", "gemma3_text", "gpt_neox", "phi3"], ["gpt2", "gemma3_text"])) {
    it(`gives the same bits in less memory: ${family}`, async () => {
      const results: number[][][] = [], peaks: number[] = [];
      for (const on of [false, true]) {
        const others = memory().cpu?.bytes ?? 0, model = await aModel(family, family === "gpt2" ? 0.2 : 0);
        model.gradientCheckpointing = on;
        assertStrictEquals(model.gradientCheckpointing, on);
        const { peakBytes } = await trainerOf(model, { precision: family === "llama" ? "bf16" : "f32" })
          .run();
        results.push(await numbersOf(model));
        peaks.push(peakBytes - others);
        model.dispose();
      }
      assertEquals(results[1], results[0]);
      assert(peaks[1] < 0.7 * peaks[0], `${peaks[1]} of ${peaks[0]} bytes`);
    });
  }

  it("sees masks and adapters again", async () => {
    const results: number[][][] = [];
    for (const on of [false, true]) {
      const model = await aModel("qwen3");
      nn.lora(model, { rank: 2, alpha: 4, dropout: 0.3, targets: "all-linear" });
      model.gradientCheckpointing = on;
      const loss = (batch: Tensor): Tensor => {
        const x = batch.slice(null, [0, -1]), y = batch.slice(null, [1, null]), [rows, time] = x.shape;
        const attentionMask = Array.from(
          { length: rows },
          (_, i) => Array.from({ length: time }, (_, j) => j < i ? 0 : 1),
        );
        return model.loss(x, y, { attentionMask });
      };
      await trainerOf(model, { loss }).run();
      results.push(await numbersOf(model));
      model.dispose();
    }
    assertEquals(results[1], results[0]);
  });

  it("is a choice of yes or no, and changes nothing in evaluation", async () => {
    const model = await aModel("gpt2");
    assertThrows(() => model.gradientCheckpointing = 1 as never, OptionError, "gradientCheckpointing");
    model.gradientCheckpointing = true;
    model.eval();
    assertStrictEquals((await model.completion([1, 2], { maxNewTokens: 3 })).ids.length, 3);
    model.dispose();
  });
});

describe("batches in pieces", () => {
  it("have the gradients of the whole, in less memory", { skip: asksNothing }, async () => {
    const results: number[][][] = [], peaks: number[] = [];
    for (const microBatch of [undefined, 12, 4, 3, 1]) {
      const others = memory().cpu?.bytes ?? 0, model = await aModel("llama");
      const result = await trainerOf(model, {
        gradAccum: 2,
        clip: 0.5,
        ...(microBatch ? { microBatch } : {}),
      }).run();
      assertStrictEquals(result.microBatch, microBatch);
      results.push(await numbersOf(model));
      peaks.push(result.peakBytes - others);
      model.dispose();
    }
    assertEquals(results[1], results[0], "one piece is the whole");
    for (const own of results.slice(2)) {
      own.forEach((numbers, i) =>
        numbers.forEach((x, j) =>
          assert(Math.abs(x - results[0][i][j]) < 1e-5, `parameter ${i}: ${x} and ${results[0][i][j]}`)
        )
      );
    }
    assert(peaks[4] < peaks[3] && peaks[3] < peaks[2] && peaks[2] < 0.6 * peaks[1], String(peaks));
  });

  it("are as large as memory holds with auto, which a run that goes on keeps", async () => {
    const model = await aModel("llama"),
      data = (): TrainerOptions["data"] => randomBatches(ids, { batchSize: 12, blockSize: 24, seed: 2 });
    const before = await numbersOf(model),
      all = await trainerOf(model, { microBatch: "auto", steps: 1 }).run();
    assertStrictEquals(all.microBatch, 12, "there is room for all");
    model.loadStateDict((await aModel("llama")).stateDict());
    assertEquals(await numbersOf(model), before);
    const checkpoints = new CheckpointManager(join(folder, "auto"));
    const bytes = memory().cpu.bytes, room = (all.peakBytes - bytes) / 2;
    setMaxMemory((bytes + room) / 0.8);
    try {
      const own = await trainerOf(model, { microBatch: "auto", data: data(), checkpoints, stopAfter: 2 })
        .run();
      assert(own.microBatch! < 12 && own.microBatch! >= 2, `${own.microBatch} rows`);
      setMaxMemory(Infinity);
      const again = trainerOf(model, { microBatch: "auto", data: data(), checkpoints });
      assert(await again.resume());
      assertStrictEquals((await again.run()).microBatch, own.microBatch);
    } finally {
      setMaxMemory(Infinity);
    }
    model.dispose();
  });

  it("learn nothing of trying, and refuse what cannot be", { skip: asksNothing }, async () => {
    const results: number[][][] = [];
    for (const microBatch of [12, "auto"] as const) {
      const model = await aModel("gpt2", 0.2);
      await trainerOf(model, { microBatch }).run();
      results.push(await numbersOf(model));
      model.dispose();
    }
    assertEquals(results[1], results[0]);
    const model = await aModel("gpt2");
    await assertRejects(
      () => trainerOf(model, { microBatch: 5 }).run(),
      OptionError,
      "a divisor of the 12 rows",
    );
    assertThrows(() => trainerOf(model, { microBatch: 0 }), OptionError, "microBatch");
    assertThrows(() => trainerOf(model, { microBatch: "most" as never }), OptionError, "microBatch");
    model.dispose();
  });
});
