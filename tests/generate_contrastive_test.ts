/**
 * Contrastive search against its definition, computed without a cache; and what it refuses.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { describe, it } from "node:test";
import { contiguous, type GPT2, OptionError, resolveOptions, ShapeError, slice } from "../mod.ts";
import { loadTiny } from "./_gpt2.ts";
import { run, TableModel } from "./_language_model.ts";

/** The paper's equation, a whole forward pass for every candidate. */
async function byDefinition(model: GPT2, prompt: number[], count: number, alpha: number, k: number) {
  const text = [...prompt];
  const statesOf = async (ids: number[]): Promise<number[][]> => {
    const hidden = model.hidden([ids]),
      width = hidden.shape[2],
      data = [...await hidden.data() as Float32Array];
    return ids.map((_, i) => data.slice(i * width, (i + 1) * width));
  };
  const cosine = (a: number[], b: number[]): number => {
    const dot = (x: number[], y: number[]) => x.reduce((sum, value, i) => sum + value * y[i], 0);
    return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  };
  while (text.length < prompt.length + count) {
    const logits = [...await contiguous(slice(model.forward([text]), 0, -1)).data() as Float32Array];
    const total = logits.reduce((sum, x) => sum + Math.exp(x), 0), before = await statesOf(text);
    const likeliest = [...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(0, k);
    const scored: [number, number][] = [];
    for (const id of likeliest) {
      const own = (await statesOf([...text, id])).at(-1)!;
      const likeness = Math.max(...before.map((state) => cosine(own, state)));
      scored.push([(1 - alpha) * Math.exp(logits[id]) / total - alpha * likeness, id]);
    }
    text.push(scored.sort((a, b) => b[0] - a[0])[0][1]);
  }
  return text.slice(prompt.length);
}

async function ids(model: GPT2, prompt: number[], options: Parameters<GPT2["generateIds"]>[1]) {
  const found: number[] = [];
  for await (const id of model.generateIds(prompt, options)) found.push(id);
  return found;
}

describe("contrastive search", () => {
  const prompt = [3, 17, 29, 5];

  for (const [penaltyAlpha, topK] of [[0.6, 4], [0.3, 8], [0.95, 3]] as const) {
    it(`follows its definition with penaltyAlpha ${penaltyAlpha} and topK ${topK}`, async () => {
      using model = await loadTiny();
      const found = await ids(model, prompt, { penaltyAlpha, topK, maxNewTokens: 16, eosTokenId: [] });
      assertEquals(found, await byDefinition(model, prompt, 16, penaltyAlpha, topK));
    });
  }

  it("is greedy where likeness weighs nothing, and differs where it weighs", async () => {
    using model = await loadTiny();
    const options = { maxNewTokens: 20, eosTokenId: [] };
    const greedy = await ids(model, prompt, options);
    assertEquals(await ids(model, prompt, { ...options, penaltyAlpha: 1e-9, topK: 5 }), greedy);
    assertNotEquals(await ids(model, prompt, { ...options, penaltyAlpha: 0.9, topK: 5 }), greedy);
  });

  it("keeps to processors, ends at an end, and tells log-probabilities", async () => {
    using model = await loadTiny();
    const options = { penaltyAlpha: 0.6, topK: 4, maxNewTokens: 8, eosTokenId: [] };
    const [first, second] = await ids(model, prompt, options);
    const without = await ids(model, prompt, { ...options, suppressTokens: [first] });
    assert(!without.includes(first));
    const ended = await model.completion(prompt, { ...options, eosTokenId: second, logprobs: 2 });
    assertEquals([ended.ids, ended.finishReason], [[first, second], "eos"]);
    assertStrictEquals(ended.logprobs?.length, 2);
    assert(ended.logprobs[0].top[0].logprob >= ended.logprobs[0].logprob);
    // Fewer possible tokens than candidates.
    const only = Array.from({ length: model.config.vocabSize }, (_, id) => id).filter((id) =>
      id !== 7 && id !== 9
    );
    const few = await ids(model, prompt, { ...options, suppressTokens: only });
    assert(few.length === 8 && few.every((id) => id === 7 || id === 9));
  });

  it("has defaults in a model's generation_config", () => {
    const own = { penaltyAlpha: 0.6, topK: 4 };
    assertEquals([resolveOptions({}, own).penaltyAlpha, resolveOptions({}, own).topK], [0.6, 4]);
    // What the caller says leaves it aside.
    assertStrictEquals(resolveOptions({ temperature: 0.8 }, own).penaltyAlpha, 0);
    assertStrictEquals(resolveOptions({ numBeams: 2 }, own).penaltyAlpha, 0);
    const asked = resolveOptions({ penaltyAlpha: 0.5 }, {
      doSample: true,
      temperature: 0.7,
      topK: 6,
      numBeams: 3,
    });
    assertEquals([asked.doSample, asked.topK, asked.numBeams, asked.temperature], [false, 6, 1, 1]);
  });

  it("refuses what it does not go with", async () => {
    const refused = (options: Parameters<typeof resolveOptions>[0], message: RegExp): void =>
      assertMatch(assertThrows(() => resolveOptions(options), OptionError).message, message);
    refused({ penaltyAlpha: 2 }, /penaltyAlpha is 2, expected a number from 0 to 1/);
    refused({ penaltyAlpha: 0.6, doSample: true }, /leave it, or doSample and numBeams out/);
    refused({ penaltyAlpha: 0.6, numBeams: 2 }, /leave it, or doSample and numBeams out/);
    refused({ penaltyAlpha: 0.6, topK: 1 }, /topK is 1, expected at least 2/);
    refused(
      { penaltyAlpha: 0.6, temperature: 0.5 },
      /acts? only when sampling, which penaltyAlpha: 0.6 excludes/,
    );
    refused({ penaltyAlpha: 0.6, promptLookupNumTokens: 3 }, /takes no guesses/);
    await assertRejects(
      () => run(new TableModel(() => [1, 2]), [1], { penaltyAlpha: 0.5, maxNewTokens: 2 }),
      Error,
      "needs a model that tells its hidden states",
    );
    using model = await loadTiny();
    assertMatch(
      (await assertRejects(() => ids(model, prompt, { penaltyAlpha: 0.6, maxNewTokens: 1000 }), ShapeError))
        .message,
      /does not slide/,
    );
  });
});
