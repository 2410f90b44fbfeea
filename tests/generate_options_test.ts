/**
 * What is done to logits, how tokens are drawn from them, and which options are refused.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { describe, it } from "node:test";
import { type GenerateOptions, Generator, GPT2, OptionError, sampleLogits, tensor } from "../mod.ts";
import { repetitionPenalty } from "../src/generate/processors/penalties.ts";
import { minP, probabilities, temperature, topH, topK, topP } from "../src/generate/processors/warpers.ts";
import { checkVocabulary } from "../src/generate/given.ts";
import { resolveOptions } from "../src/generate/options.ts";
import { argmaxOf, sample } from "../src/generate/sampler.ts";
import type { LogitsProcessor } from "../src/generate/options.ts";
import { assertNear } from "./_gpt2.ts";
import { run, TableModel } from "./_language_model.ts";
const out = -Infinity;

function processed(process: LogitsProcessor, logits: number[], ids: number[] = []): number[] {
  const values = Float32Array.from(logits);
  process(ids, values);
  return [...values];
}

function refused(options: object, pattern: RegExp, defaults: GenerateOptions = {}): void {
  {
    const e = assertThrows(() => resolveOptions(options as GenerateOptions, defaults), Error);

    assert(e instanceof OptionError, String(e));

    assertMatch(e.message, pattern);
  }
}

describe("logits", () => {
  it("are divided by the temperature", () => {
    assertEquals(processed(temperature(0.5), [1, -2, 0, out]), [2, -4, 0, out]);
  });

  it("divided by a temperature next to nothing leave the likeliest, and are never NaN", () => {
    const random = new Generator(4);
    for (const t of [1e-30, 1e-37, 1e-38, 1e-40, 5e-324]) {
      for (const scale of [1e-3, 1, 50, 1e30, 3e38]) {
        const logits = Array.from({ length: 30 }, () => scale * (2 * random.uniform() - 1));
        logits[3] = out;
        const kept = processed(temperature(t), logits), best = logits.indexOf(Math.max(...logits));
        assert(kept.every((v) => !Number.isNaN(v) && v < Infinity), `${t} ${scale}`);
        assertStrictEquals(kept.indexOf(Math.max(...kept)), best, `${t} ${scale}`);
        assertStrictEquals(kept[3], out);
        assertStrictEquals(sample(Float32Array.from(kept), random), best);
      }
    }
    assertEquals(processed(temperature(1e-40), [2, 2, 1]), [0, 0, out]);
    assertEquals(processed(temperature(1e-40), [out, out]), [out, out]);
    assertEquals(processed(temperature(1e20), [1e-20, -3e38]), [
      Math.fround(Math.fround(1e-20) / 1e20),
      Math.fround(-3e38 / 1e20),
    ]);
  });

  it("drawn where they are take the likeliest at such a temperature too", async () => {
    for (const device of ["cpu", "reference"] as const) {
      for (const temperature of [1e-19, 1e-30, 1e-45, 5e-324]) {
        for (const values of [[1, 3, 2], [-3e38, -2e38, 0], [-Infinity, 2, 1]]) {
          using logits = tensor(values, { device });
          using id = sampleLogits(logits, 0.999, { temperature });
          assertStrictEquals(
            await id.item(),
            values.indexOf(Math.max(...values)),
            `${device} ${temperature} ${values}`,
          );
        }
      }
    }
  });

  it("keep the likeliest whose share of the entropy stays within h", () => {
    const chances = [0.5, 0.25, 0.125, 0.125], logits = chances.map(Math.log);
    // −p ln p in units of ln 2: 0.5, 0.5, 0.375, 0.375; together 1.75.
    const kept = (h: number, keep = 1): boolean[] => processed(topH(h, keep), logits).map((v) => v > out);
    assertEquals(kept(0.1), [true, false, false, false]);
    assertEquals(kept(0.5), [true, false, false, false]);
    assertEquals(kept(0.58), [true, true, false, false]);
    assertEquals(kept(0.8), [true, true, true, false]);
    assertEquals(kept(1), [true, true, true, true]);
    assertEquals(kept(0.1, 2), [true, true, false, false]);
    assertEquals(processed(topH(0.9), [out, 1, out]), [out, 1, out]);
    const many = Array.from({ length: 400 }, (_, i) => -i * 1e-3);
    const left = processed(topH(1), many);
    assertStrictEquals(left.filter((v) => v > out).length, 100, "of the 100 likeliest");
    assertEquals(left.slice(0, 100), Array.from(Float32Array.from(many.slice(0, 100))));
  });

  it("keep the k largest, and those that tie with the last of them", () => {
    assertEquals(processed(topK(2), [1, 4, 3, 2]), [out, 4, 3, out]);
    assertEquals(processed(topK(2), [3, 4, 3, 2]), [3, 4, 3, out]);
    assertEquals(processed(topK(1), [2, 2, 2]), [2, 2, 2]);
    assertEquals(processed(topK(9), [1, 2]), [1, 2]);
    const many = Array.from({ length: 1000 }, (_, i) => (i * 7919) % 1000), kept = processed(topK(10), many);
    assertEquals(kept.filter((v) => v > out).sort((a, b) => a - b), [
      990,
      991,
      992,
      993,
      994,
      995,
      996,
      997,
      998,
      999,
    ]);
  });

  it("keep the smallest set of the likeliest that reaches p", () => {
    const logits = [0.1, 0.5, 0.15, 0.25].map(Math.log);
    const kept = (p: number): boolean[] => processed(topP(p), logits).map((v) => v > out);
    assertEquals(kept(0.4), [false, true, false, false]);
    assertEquals(kept(0.6), [false, true, false, true]);
    assertEquals(kept(0.8), [false, true, true, true]);
    assertEquals(kept(0.95), [true, true, true, true]);
    assertEquals(kept(1e-9), [false, true, false, false]);
    const random = new Generator(9), many = Array.from({ length: 3000 }, () => 12 * random.uniform());
    for (const p of [0.05, 0.5, 0.9, 0.999]) {
      const chance = probabilities(Float32Array.from(many)),
        order = [...many.keys()].sort((a, b) => many[b] - many[a]);
      let sum = 0, count = 0;
      while (sum < p) sum += chance[order[count++]];
      const left = [...processed(topP(p), many).entries()].filter(([, v]) => v > out).map(([id]) => id);
      assertEquals(left, order.slice(0, count).sort((a, b) => a - b), `top-p ${p}`);
    }
  });

  it("lose what is less likely than a part of the likeliest", () => {
    const logits = [0.1, 0.5, 0.15, 0.25].map(Math.log);
    const kept = (p: number): boolean[] => processed(minP(p), logits).map((v) => v > out);
    assertEquals(kept(0.19), [true, true, true, true]);
    assertEquals(kept(0.25), [false, true, true, true]);
    assertEquals(kept(0.45), [false, true, false, true]);
    assertEquals(kept(1), [false, true, false, false]);
  });

  it("of tokens that were there are made smaller, once each", () => {
    assertEquals(processed(repetitionPenalty(2), [4, -4, 1, 0], [0, 1, 0, 3]), [2, -8, 1, 0]);
    assertEquals(processed(repetitionPenalty(0.5), [4, -4], [0, 1]), [8, -2]);
  });

  it("become probabilities, and tokens drawn by them", () => {
    assertNear(
      probabilities(Float32Array.of(Math.log(1), Math.log(3), out)),
      [0.25, 0.75, 0],
      1e-7,
      "probabilities",
    );
    assertNear(probabilities(Float32Array.of(1000, 1000)), [0.5, 0.5], 1e-12, "large logits");
    const random = new Generator(5),
      counts = [0, 0, 0],
      logits = Float32Array.of(Math.log(1), Math.log(3), out);
    for (let i = 0; i < 4000; i++) counts[sample(logits, random)]++;
    assertNear(counts.map((n) => n / 4000), [0.25, 0.75, 0], 0.03, "shares");
    // Nothing, and NaN, are no choice.
    assertEquals([[out, out], [NaN, NaN], [1, NaN, 3]].map((list) => argmaxOf(Float32Array.from(list))), [
      -1,
      -1,
      -1,
    ]);
  });
});

describe("the order of what is done to logits", () => {
  /** The logits that sampling sees: a processor that hears them cannot stand last, so shares of draws are counted. */
  async function shares(logits: number[], options: GenerateOptions, draws = 3000): Promise<number[]> {
    const model = new TableModel(() => logits), counts = logits.map(() => 0);
    for (let seed = 0; seed < draws / 50; seed++) {
      const { ids } = await run(model, [0], { doSample: true, maxNewTokens: 50, seed, ...options });
      for (const id of ids) counts[id]++;
    }
    return counts.map((n) => n / draws);
  }

  it("is temperature, then top-k, then top-p, then min-p", async () => {
    // At temperature 2 the three likeliest of four have 0.42, 0.33, 0.25 of what top-k leaves, and top-p 0.7 drops
    // the third of them; at temperature 1 it would leave the first alone.
    const logits = [0.5, 0.3, 0.18, 0.02].map(Math.log);
    const flat = [0.5, 0.3, 0.18, 0.02].map(Math.sqrt), two = flat[0] + flat[1];
    const kept = await shares(logits, { temperature: 2, topK: 3, topP: 0.7, minP: 0.1 });
    assertNear(kept, [flat[0] / two, flat[1] / two, 0, 0], 0.03, "top-p after temperature and top-k");
    const three = two + flat[2];
    assertNear(
      await shares(logits, { temperature: 2, topK: 0, minP: 0.3 }),
      [flat[0] / three, flat[1] / three, flat[2] / three, 0],
      0.03,
      "min-p",
    );
  });

  it("begins with penalties, which greedy choice heeds too", async () => {
    const model = new TableModel(() => [2, 1.5, 1]);
    assertEquals((await run(model, [0], { maxNewTokens: 4 })).ids, [0, 0, 0, 0]);
    assertEquals((await run(model, [0], { maxNewTokens: 4, repetitionPenalty: 1.9 })).ids, [1, 0, 0, 0]);
    const seen: number[][] = [];
    const only = (ids: readonly number[], logits: Float32Array): void => {
      seen.push([...ids]);
      logits.fill(out, 0, 2);
    };
    assertEquals((await run(model, [0, 1], { maxNewTokens: 2, logitsProcessors: [only] })).ids, [2, 2]);
    assertEquals(seen, [[0, 1], [0, 1, 2]]);
  });

  it("keeps 50 tokens when sampling, unless told otherwise", async () => {
    const model = new TableModel(() => Array.from({ length: 60 }, (_, i) => i * 1e-6));
    const drawn = async (options: GenerateOptions): Promise<number> => {
      const { ids } = await run(model, [0], { doSample: true, seed: 3, maxNewTokens: 600, ...options });
      return Math.min(...ids);
    };
    assertStrictEquals(await drawn({}), 10);
    assertStrictEquals(await drawn({ topK: 0 }), 0);
    assertStrictEquals(await drawn({ topK: 5 }), 55);
  });
});

describe("options", () => {
  it("have the defaults of Hugging Face", () => {
    const { signal, onToken, seed, cache, logprobs, responseFormat, assistantModel, ...rest } =
      resolveOptions({});
    const callers = [signal, onToken, seed, cache, logprobs, responseFormat, assistantModel];
    assertEquals(callers, new Array(7).fill(undefined));
    assertEquals(rest, {
      maxNewTokens: 20,
      maxLength: null,
      minNewTokens: 0,
      minLength: 0,
      maxTime: null,
      doSample: false,
      temperature: 1,
      topK: 50,
      topP: 1,
      topH: null,
      minP: 0,
      typicalP: 1,
      epsilonCutoff: 0,
      etaCutoff: 0,
      penaltyAlpha: 0,
      cachePrompt: true,
      cacheDType: "f32",
      repetitionPenalty: 1,
      frequencyPenalty: 0,
      presencePenalty: 0,
      repeatLastN: -1,
      noRepeatNgramSize: 0,
      badWordsIds: [],
      suppressTokens: [],
      beginSuppressTokens: [],
      sequenceBias: [],
      exponentialDecayLengthPenalty: null,
      forcedBosTokenId: null,
      bosTokenId: null,
      forcedEosTokenId: [],
      removeInvalidValues: false,
      renormalizeLogits: false,
      stop: [],
      numBeams: 1,
      numBeamGroups: 1,
      diversityPenalty: 0,
      lengthPenalty: 1,
      earlyStopping: false,
      numReturnSequences: 1,
      eosTokenId: [],
      guidanceScale: 1,
      negativePromptIds: [],
      promptLookupNumTokens: null,
      maxMatchingNgramSize: 2,
      numAssistantTokens: 20,
      outputScores: false,
      outputLogits: false,
      logitsProcessors: [],
      stoppingCriteria: [],
      contextOverflow: "slide",
    });
    assertEquals(resolveOptions({ stop: "a", eosTokenId: 3 }).stop, ["a"]);
    assertEquals(resolveOptions({ eosTokenId: 3 }).eosTokenId, [3]);
    for (
      const options of [{ temperature: 0.5 }, { topK: 5 }, { topP: 0.9 }, { minP: 0.1 }, { doSample: true }]
    ) {
      assertStrictEquals(resolveOptions(options).doSample, true);
    }
    assertStrictEquals(resolveOptions({ temperature: 0 }).doSample, false);
  });

  it("that do not exist are refused, with the nearest name", () => {
    refused({ max_new_tokens: 3 }, /no option "max_new_tokens"; did you mean "maxNewTokens"/);
    refused({ temprature: 3 }, /did you mean "temperature"/);
    refused({ top_k: 3 }, /did you mean "topK"/);
    refused({ beams: 3 }, /no option "beams"; did you mean "numBeams"/);
    refused({ frobnicate: 3 }, /no option "frobnicate"$/);
    refused({ constructor: 3 }, /no option "constructor"/);
    for (const options of [5, "fast", null, [], () => 1]) {
      refused(options as object, /generate: the options are/);
    }
  });

  it("with impossible values are refused", () => {
    refused({ maxNewTokens: -1 }, /maxNewTokens is -1, expected a whole number from 0/);
    refused({ maxNewTokens: 1.5 }, /maxNewTokens/);
    refused({ temperature: -1 }, /temperature/);
    refused({ topK: 0.5 }, /topK/);
    refused({ topP: 0 }, /topP/);
    refused({ topP: 1.1 }, /topP/);
    refused({ minP: 2 }, /minP/);
    refused({ repetitionPenalty: 0 }, /repetitionPenalty/);
    refused({ seed: -1 }, /seed/);
    refused({ stop: "" }, /stop/);
    refused({ stop: 5 }, /stop/);
    refused({ numBeams: 0 }, /numBeams/);
    refused({ eosTokenId: [-1] }, /eosTokenId/);
    refused({ contextOverflow: "wrap" }, /contextOverflow is "wrap", expected "slide", "sinks" or "error"/);
    refused({ temperature: NaN }, /temperature is NaN, expected a number from 0/);
    refused({ temperature: "hot" }, /temperature is "hot", expected a number from 0/);
    refused({ onToken: 5 }, /onToken is 5, expected a function/);
    refused({ signal: {} }, /signal is \{\}, expected an AbortSignal/);
    refused({ logitsProcessors: [5] }, /logitsProcessors is \[5\], expected a list of functions/);
    refused({ numBeams: 100_000 }, /numBeams is 100000, expected a whole number from 1 to 1024/);
    refused({ numReturnSequences: 1e9, doSample: true }, /numReturnSequences is 1000000000, expected/);
    refused({ topH: 2 }, /topH is 2, expected a number above 0 up to 1, or null/);
    refused(
      { minNewTokens: 3, maxNewTokens: 2, eosTokenId: 0 },
      /minNewTokens is 3, expected at most maxNewTokens 2/,
    );
  });

  it("that contradict each other are refused", () => {
    refused(
      { doSample: false, temperature: 0.5 },
      /temperature acts? only when sampling, which doSample: false excludes/,
    );
    refused({ temperature: 0, topK: 5 }, /topK acts? only when sampling, which temperature: 0 excludes/);
    refused(
      { temperature: 0, doSample: true },
      /temperature is 0, expected a number above 0 when doSample is true/,
    );
    refused({ numBeams: 3, topP: 0.5 }, /topP acts? only when sampling, which numBeams: 3 excludes/);
    assertStrictEquals(resolveOptions({ numBeams: 3, doSample: true, topP: 0.5 }).doSample, true);
    refused({ topH: 0.5, doSample: false }, /topH acts? only when sampling/);
    refused({ numBeams: 2, cache: new TableModel(() => []).createCache() }, /leave cache out/);
  });

  it("without effect beside the others are refused, unless their value is what happens anyway", () => {
    refused(
      { maxMatchingNgramSize: 3 },
      /maxMatchingNgramSize has no effect because .*promptLookupNumTokens; leave it out/,
    );
    refused({ numAssistantTokens: 3 }, /numAssistantTokens has no effect because .*assistantModel/);
    resolveOptions({ maxMatchingNgramSize: 2, numAssistantTokens: 20 });
    refused({ seed: 3 }, /^generate: seed has no effect because nothing is drawn;/);
    refused(
      { seed: 3, doSample: false },
      /^generate: seed acts only when sampling, which doSample: false excl/,
    );
    refused(
      { seed: 3, temperature: 0 },
      /^generate: seed acts only when sampling, which temperature: 0 excl/,
    );
    refused({ seed: 3, topK: 4, doSample: false }, /^generate: topK, seed act only when sampling/);
    resolveOptions({ seed: 3, temperature: 0.5 });
    resolveOptions({ seed: 3 }, { doSample: true });
    resolveOptions({ seed: 3, numBeams: 2, doSample: true });
    resolveOptions({ maxMatchingNgramSize: 3, promptLookupNumTokens: 4 });
    for (
      const ending of [{ minNewTokens: 2 }, { minLength: 9 }, {
        exponentialDecayLengthPenalty: [1, 2],
      }] as GenerateOptions[]
    ) {
      refused(ending, /has no effect because no token ends the text \(eosTokenId is empty\)/);
      refused({ ...ending, eosTokenId: [] }, /has no effect/, { eosTokenId: 3 });
      resolveOptions({ ...ending, eosTokenId: 3 });
      resolveOptions(ending, { eosTokenId: 3 });
      // What the model's own file says is left aside where it has no effect.
      resolveOptions({}, ending);
    }
    for (
      const ending of [{ lengthPenalty: 2 }, { earlyStopping: true }, {
        earlyStopping: "never",
      }] as GenerateOptions[]
    ) {
      refused({ ...ending, numBeams: 2 }, /has no effect because no token ends the text/);
      resolveOptions({ ...ending, numBeams: 2, eosTokenId: 0 });
    }
    refused(
      { numBeams: 2, contextOverflow: "slide" },
      /contextOverflow has no effect because beam search does not slide/,
    );
    refused({ numBeams: 2, cachePrompt: true }, /cachePrompt has no effect/);
    resolveOptions({ numBeams: 2, contextOverflow: "error", cachePrompt: false });
    resolveOptions({ minNewTokens: 0, lengthPenalty: 1, earlyStopping: false, minLength: 0 });
  });

  it("demand no length that the prompt and the new tokens cannot have", async () => {
    const model = new GPT2({ vocabSize: 4, nPositions: 64, nEmbd: 4, nLayer: 1, nHead: 1 });
    const complete = (options: GenerateOptions): Promise<unknown> =>
      model.completion([1, 2, 3], { eosTokenId: 0, ...options });
    for (const options of [{ minLength: 50, maxNewTokens: 3 }, { minLength: 7, maxNewTokens: 3 }]) {
      await assertRejects(
        () => complete(options),
        OptionError,
        "expected at most 6: the 3 of the prompt and maxNew",
      );
    }
    await assertRejects(
      () => complete({ minLength: 9, maxLength: 8 }),
      OptionError,
      "at most 8: maxLength 8",
    );
    await complete({ minLength: 6, maxNewTokens: 3 });
    await complete({ minLength: 8, maxLength: 8 });
    // The model's own is held as far as it can be.
    model.generationConfig = { minLength: 50 };
    await complete({ maxNewTokens: 3 });
  });

  it("name tokens that the model has", () => {
    const fields = (id: number): GenerateOptions[] => [
      { badWordsIds: [[1], [2, id]] },
      { suppressTokens: [id] },
      { suppressTokens: id },
      { beginSuppressTokens: [1, id] },
      { sequenceBias: [[[id, 1], 2]] },
      { forcedBosTokenId: id },
      { forcedEosTokenId: id },
      { forcedEosTokenId: [1, id] },
      { eosTokenId: [id] },
      { negativePromptIds: [0, id], guidanceScale: 2 },
      { padTokenId: id } as GenerateOptions,
    ];
    for (const options of fields(512)) {
      const [name] = Object.keys(options);
      const error = assertThrows(() => checkVocabulary(options, 512), OptionError);
      assertStrictEquals(
        error.message,
        `generate: ${name} names token 512, and the model's tokens go from 0 to 511`,
      );
    }
    for (const options of fields(511)) checkVocabulary(options, 512);
    checkVocabulary({ eosTokenId: null, forcedBosTokenId: null, forcedEosTokenId: null }, 512);
    const assistantModel = { config: { vocabSize: 500 } } as never;
    assertThrows(
      () => checkVocabulary({ assistantModel }, 512),
      OptionError,
      "assistantModel has 500 tokens",
    );
  });

  it("of the model hold where the caller says nothing", () => {
    const model: GenerateOptions = {
      doSample: true,
      temperature: 0.5,
      topK: 3,
      maxNewTokens: 9,
      eosTokenId: [1, 2],
    };
    const { doSample, temperature, topK, maxNewTokens, eosTokenId } = resolveOptions({}, model);
    assertEquals([doSample, temperature, topK, maxNewTokens, eosTokenId], [true, 0.5, 3, 9, [1, 2]]);
    assertStrictEquals(resolveOptions({ temperature: 0.9 }, model).topK, 3);
    assertStrictEquals(resolveOptions({ temperature: 0.9 }, model).temperature, 0.9);
    assertEquals(resolveOptions({ eosTokenId: null }, model).eosTokenId, []);
    for (const greedy of [{ doSample: false }, { temperature: 0 }, { numBeams: 2 }]) {
      assertStrictEquals(resolveOptions(greedy, model).doSample, false);
    }
    assertStrictEquals(resolveOptions({ temperature: 0.9 }, { numBeams: 4 }).numBeams, 1);
    assertStrictEquals(resolveOptions({}, { numBeams: 4 }).numBeams, 4);
  });
});
