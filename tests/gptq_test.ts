/**
 * Weights in 4 bits fitted to a text: what is lost, beside what rounding alone loses; what is written; what is refused.
 */
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import {
  CancelledError,
  CausalLM,
  gptq,
  manualSeed,
  noGrad,
  optim,
  OptionError,
  randomBatches,
  type Tensor,
  tidy,
  Trainer,
} from "../mod.ts";
import { call, fails } from "./_command.ts";
import { width } from "./_width.ts";

let folder = "";
before(() => {
  folder = mkdtempSync(join(tmpdir(), "ferrotype-gptq-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));
const bundled = new URL("../web/models/shakespeare/", import.meta.url);

/**
 * How far from a model's predictions those of q4 are, by rounding and by fitting: the mean Kullback-Leibler divergence, which is the loss that
 * is added on a text of the model's own.
 */
async function added(
  from: string,
  learned: number[],
  held: number[],
): Promise<[rounded: number, fitted: number]> {
  const whole = await CausalLM.load(from), plain = await CausalLM.load(from, { dtype: "q4" });
  const time = Math.min(64, whole.contextLength), rows = Math.floor(held.length / time);
  const batch = Array.from({ length: rows }, (_, i) => held.slice(i * time, (i + 1) * time));
  const logs = (model: CausalLM): Tensor =>
    noGrad(() => tidy(() => model.eval().forward(batch).logSoftmax(-1)));
  const before = logs(whole);
  const off = async (model: CausalLM): Promise<number> =>
    await noGrad(() => tidy(() => before.exp().mul(before.sub(logs(model))).sum().div(rows * time))).item();
  await gptq(whole, learned, { blockSize: time });
  const out = join(folder, `q4-${Math.random()}`);
  await whole.save(out);
  const again = await CausalLM.load(out);
  for (const [i, p] of whole.parameters().entries()) {
    const [a, b] = [p, again.parameters()[i]].map((t) => t.isContiguous ? t : t.detach().t());
    assertStrictEquals(b.dtype, a.dtype);
    assertEquals(await b.data(), await a.data(), "what is written is what was fitted");
  }
  const result: [number, number] = [await off(plain), await off(whole)];
  before.dispose();
  for (const model of [whole, plain, again]) model.dispose();
  return result;
}

/** A model that has learned a text of its own. */
async function learnedModel(family: string): Promise<{ at: string; ids: number[] }> {
  manualSeed(5);
  const model = await CausalLM.fromSizes(family, {
    vocabSize: 32,
    contextLength: 32,
    width: 64,
    layers: 2,
    heads: 2,
  });
  const ids = Array.from({ length: 6000 }, (_, i) => (i * (1 + Math.floor(i / 37) % 5) + (i >> 4)) % 32);
  await new Trainer({
    model,
    data: randomBatches(ids, { batchSize: 8, blockSize: 32, seed: 1 }),
    optimizer: new optim.AdamW(model.parameters(), { lr: 4e-3 }),
    steps: 40,
  }).run();
  const at = join(folder, family);
  await model.save(at);
  model.dispose();
  return { at, ids };
}

describe("weights in 4 bits, fitted to a text", () => {
  it("lose at most half of what rounding loses: the bundled model", async () => {
    const model = await CausalLM.load(bundled), texts: number[][] = [];
    for (const seed of [1, 2]) {
      const { ids } = await model.completion("ROMEO:", {
        maxNewTokens: seed === 1 ? 2000 : 600,
        seed,
        topK: 0,
      });
      texts.push([...ids]);
    }
    model.dispose();
    const [plain, own] = await added(bundled.href, texts[0], texts[1]);
    assert(own <= 0.5 * plain, `${own} is added, ${plain} by rounding`);
  });

  for (const family of width(["gpt2", "gemma2", "qwen2_moe"], ["gemma2"])) {
    it(`lose less than rounding: ${family}`, async () => {
      const { at, ids } = await learnedModel(family);
      const [plain, own] = await added(at, ids.slice(0, 4000), ids.slice(4000));
      assert(own < 0.6 * plain, `${own} is added, ${plain} by rounding`);
    });
  }

  it("are what rounding puts into blocks, and nothing else, whatever the family", async () => {
    for (const family of ["gpt2", "lfm2", "mixtral", "qwen2_moe", "qwen3_next"]) {
      manualSeed(1);
      const sizes = { vocabSize: 16, contextLength: 32, width: 32, layers: 4, heads: 2 };
      const model = await CausalLM.fromSizes(family, sizes), at = join(folder, `kinds-${family}`);
      await model.save(at);
      using plain = await CausalLM.load(at, { dtype: "q4" });
      using own = await CausalLM.load(at);
      await gptq(own, Array.from({ length: 200 }, (_, i) => i * i % 16), { blockSize: 16 });
      const dtypes = (of: CausalLM): [string, string][] =>
        of.namedParameters().map(([name, { dtype }]) => [name, dtype]);
      assertEquals(dtypes(own), dtypes(plain), family);
      model.dispose();
    }
  });

  it("are made by convert --calibrate", async () => {
    const text = join(folder, "text.txt"), out = join(folder, "converted");
    writeFileSync(
      text,
      "What light through yonder window breaks? It is the east, and Juliet is the sun. ".repeat(9),
    );
    const { code, stderr } = await call([
      "convert",
      bundled.pathname,
      out,
      "--dtype",
      "q4",
      "--calibrate",
      text,
    ]);
    assertStrictEquals(code, 0, stderr);
    const model = await CausalLM.load(out);
    assertStrictEquals(model.dtype, "q4");
    model.dispose();
    await fails(2, [
      "convert",
      bundled.pathname,
      join(folder, "x.gguf"),
      "--dtype",
      "q4",
      "--calibrate",
      text,
    ], /make a folder first/);
    writeFileSync(text, "Short.");
    await fails(
      2,
      ["convert", bundled.pathname, join(folder, "y"), "--dtype", "q4", "--calibrate", text],
      /6 tokens, which say little/,
    );
  });

  it("are refused where they cannot be", async () => {
    const model = await CausalLM.load(bundled), ids = Array.from({ length: 300 }, (_, i) => i % 60);
    await assertRejects(
      () => gptq(model, ids.slice(0, 64), { blockSize: 64 }),
      OptionError,
      "the text has 64 tokens",
    );
    await assertRejects(
      () => gptq(model, ids, { blockSize: 129 }),
      OptionError,
      "at most the model's 128 positions",
    );
    await assertRejects(() => gptq(model, ids, { dampPercent: 0 }), OptionError, "dampPercent");
    await assertRejects(() => gptq({} as never, ids), OptionError, "takes a model of a family");
    await assertRejects(() => gptq(model, "text" as never), OptionError);
    await assertRejects(
      () => gptq(model, ids, { signal: AbortSignal.abort() }),
      CancelledError,
      "gptq was cancelled",
    );
    assertStrictEquals(model.dtype, "bf16", "nothing was changed");
    model.dispose();
    const blocks = await CausalLM.load(bundled, { dtype: "q4" });
    await assertRejects(() => gptq(blocks, ids), OptionError, "is q4 already");
    blocks.dispose();
  });
});
