/**
 * Guessed tokens: fewer passes over the model, and the text that plain decoding gives.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { join } from "node:path";
import { describe, it } from "node:test";
import {
  CausalLM,
  type GenerateOptions,
  Generator,
  GPT2,
  noGrad,
  OptionError,
  resolveOptions,
  type Tensor,
  tensor,
} from "../mod.ts";
import { lookUp } from "../src/generate/guess.ts";
import { dataPath, repository } from "./_data.ts";
import { assertNear } from "./_gpt2.ts";
import { run, TableModel } from "./_language_model.ts";
import { width } from "./_width.ts";

const vocab = 6;
/** Logits that depend on the last two tokens, so that texts repeat themselves. */
const after = (seed: number) => (text: readonly number[]): number[] => {
  const random = new Generator(seed + 31 * text.at(-1)! + 7 * (text.at(-2) ?? 0));
  return Array.from({ length: vocab }, () => Math.fround(1.5 * random.normal()));
};

describe("prompt lookup", () => {
  it("finds what followed the last tokens before", () => {
    assertEquals(lookUp([1, 2, 3, 4, 1, 2], 2, 3), [3, 4, 1]);
    assertEquals(lookUp([5, 2, 9, 1, 2], 2, 1), [9]);
    assertEquals(lookUp([1, 2, 3], 2, 5), []);
    assertEquals(lookUp([7], 2, 5), []);
  });
});

describe("guesses", () => {
  const guessers = (seed: number): GenerateOptions[] => [
    { promptLookupNumTokens: 4 },
    { promptLookupNumTokens: 10, maxMatchingNgramSize: 3 },
    { assistantModel: new TableModel(after(seed)), numAssistantTokens: 5 },
    { assistantModel: new TableModel(after(seed + 1)), numAssistantTokens: 3 },
  ];

  it("change no greedy text, whatever else is asked for, and save passes", async () => {
    let saved = 0;
    for (let seed = 0; seed < 10; seed++) {
      for (
        const options of [
          {},
          { repetitionPenalty: 1.3 },
          { noRepeatNgramSize: 3 },
          { eosTokenId: 2, minNewTokens: 7 },
          { maxNewTokens: 1 },
          { stoppingCriteria: [(text: readonly number[]) => text.length > 20] },
        ]
      ) {
        const all = { maxNewTokens: 30, ...options },
          plain = await run(new TableModel(after(seed)), [1, 2], all);
        for (const guesser of guessers(seed)) {
          const model = new TableModel(after(seed)), found = await run(model, [1, 2], { ...all, ...guesser });
          assertEquals(found, plain, JSON.stringify({ seed, ...options }));
          saved += plain.ids.length - model.fed.length;
        }
      }
    }
    assert(saved > 1000, `${saved} passes were saved`);
  });

  it("slide and fill a kept cache as plain decoding does", async () => {
    const options = { maxNewTokens: 25 }, short = (): TableModel => new TableModel(after(3), 8);
    const plain = await run(short(), [1, 2], options);
    const guessed = await run(short(), [1, 2], { ...options, promptLookupNumTokens: 3 });
    assertStrictEquals(guessed.ids.length, plain.ids.length);
    const model = new TableModel(after(3)), cache = model.createCache();
    const { ids } = await run(model, [1, 2], { ...options, cache, promptLookupNumTokens: 3 });
    assertEquals(cache.ids, [1, 2, ...ids]);
    assertStrictEquals(cache.length, cache.ids.length - 1);
    const more = await run(model, [5], { maxNewTokens: 5, cache });
    const whole = await run(new TableModel(after(3)), [1, 2, ...ids, 5], { maxNewTokens: 5 });
    assertEquals(more.ids, whole.ids);
  });

  it("leave the distribution of drawn texts as it is", async () => {
    const draws = width(4000, 1000), tolerance = 0.035 * Math.sqrt(4000 / draws);
    const shares = async (guesser: GenerateOptions): Promise<number[]> => {
      const counts = new Array(vocab ** 3).fill(0);
      for (let seed = 0; seed < draws; seed++) {
        const options = { maxNewTokens: 3, doSample: true, topK: 0, temperature: 0.9, seed, ...guesser };
        const { ids } = await run(new TableModel(after(5)), [1, 2, 1, 2], options);
        counts[ids.reduce((sum, id) => sum * vocab + id, 0)]++;
      }
      return counts.map((n) => n / draws);
    };
    const plain = await shares({});
    for (const guesser of guessers(5).slice(1)) assertNear(await shares(guesser), plain, tolerance, "shares");
  });

  it("contradict beams, scores and batches", async () => {
    const refuse = (options: GenerateOptions): Error =>
      assertThrows(() => resolveOptions(options), OptionError);
    refuse({ promptLookupNumTokens: 3, numBeams: 2 });
    refuse({ promptLookupNumTokens: 3, outputScores: true });
    refuse({ promptLookupNumTokens: 3, assistantModel: new TableModel(after(1)) });
    refuse({ promptLookupNumTokens: 0 });
    using model = await GPT2.load(join(repository, "web/models/shakespeare"));
    await assertRejects(() => model.completeBatch(["A"], { promptLookupNumTokens: 3 }), Error, "no guesses");
  });

  it("give GPT-2's own text sooner", async () => {
    using model = await GPT2.load(dataPath("gpt2-tiny")),
      small = await GPT2.load(dataPath("gpt2-tiny"), { dtype: "bf16" });
    const options = { maxNewTokens: 40, doSample: false, eosTokenId: null };
    const { ids } = await model.completion([1, 2, 3], options);
    for (const guesser of [{ promptLookupNumTokens: 8 }, { assistantModel: small, numAssistantTokens: 5 }]) {
      assertEquals((await model.completion([1, 2, 3], { ...options, ...guesser })).ids, ids);
    }
  });
});

describe("guidance", () => {
  const logSoftmax = (logits: readonly number[]): number[] => {
    const total = Math.log(logits.reduce((sum, v) => sum + Math.exp(v), 0));
    return logits.map((v) => v - total);
  };
  // Logits that the first token of a text has a part in, so that texts with and without a prompt differ.
  const logits = (text: readonly number[]): number[] => {
    const random = new Generator(31 * text[0] + 7 * text.at(-1)! + text.length % 3);
    return Array.from({ length: vocab }, () => Math.fround(1.5 * random.normal()));
  };

  it("leads away from what is said without the prompt", async () => {
    for (const [scale, negative] of [[1.5, []], [3, []], [2, [4, 5]]] as const) {
      const text = [1, 2, 3], other: number[] = negative.length ? [...negative] : [3];
      const { ids } = await run(new TableModel(logits), text, {
        maxNewTokens: 12,
        guidanceScale: scale,
        negativePromptIds: negative,
      });
      for (const id of ids) {
        const with_ = logSoftmax(logits(text)), without = logSoftmax(logits(other));
        const guided = with_.map((v, i) => without[i] + scale * (v - without[i]));
        assertStrictEquals(id, guided.indexOf(Math.max(...guided)));
        text.push(id);
        other.push(id);
      }
    }
    const model = new TableModel(logits);
    await run(model, [1, 2], { maxNewTokens: 5, guidanceScale: 2, doSample: true, seed: 1 });
    assertStrictEquals(model.caches.length, 2);
    assert(model.caches.every(({ isDisposed }) => isDisposed));
    const sliding = await run(new TableModel(logits, 6), [1, 2], { maxNewTokens: 20, guidanceScale: 2 });
    assertStrictEquals(sliding.ids.length, 20);
    // Scales that f32 cannot hold the logits of are named, and the largest that it can are honoured.
    for (const guidanceScale of [1e38, 1e300]) {
      await assertRejects(
        () => run(model, [1, 2], { maxNewTokens: 5, guidanceScale, negativePromptIds: [5, 1] }),
        OptionError,
        `guidanceScale is ${guidanceScale}, which takes the logits of new token`,
      );
    }
    await run(model, [1, 2], { maxNewTokens: 5, guidanceScale: 1e30, negativePromptIds: [5, 1] });
  });

  it("contradicts beams and guesses, and a negative prompt alone does nothing", () => {
    assertThrows(() => resolveOptions({ guidanceScale: 2, numBeams: 2 }), Error, "leads one text");
    assertThrows(
      () => resolveOptions({ guidanceScale: 2, promptLookupNumTokens: 2 }),
      Error,
      "leads one text",
    );
    assertThrows(() => resolveOptions({ negativePromptIds: [1] }), Error, "guidanceScale above 1");
    assertMatch(String(assertThrows(() => resolveOptions({ guidanceScale: 0.5 }))), /guidanceScale is 0.5/);
  });
});

describe("guesses where angles change at a length", () => {
  it("go no further than it: LongRoPE has other factors for long texts", async () => {
    const config = {
      model_type: "phi3",
      vocab_size: 23,
      hidden_size: 16,
      intermediate_size: 24,
      num_hidden_layers: 2,
      num_attention_heads: 2,
      max_position_embeddings: 40,
      original_max_position_embeddings: 12,
      rope_theta: 50,
      rope_scaling: { type: "longrope", short_factor: [1, 1.2, 1.4, 2], long_factor: [3, 5, 9, 20] },
    };
    let changed = 0;
    for (let seed = 1; seed <= 4; seed++) {
      using model = await CausalLM.fromConfig(config, { device: "cpu" });
      using other = await CausalLM.fromConfig(config, { device: "cpu" });
      const random = new Generator(seed), weights: Record<string, Tensor> = {};
      for (const [name, p] of model.network.namedParameters()) {
        const isNorm = p.shape.length === 1;
        const values = Float32Array.from(
          { length: p.size },
          () => random.normal() * (isNorm ? 0.2 : 0.6) + +isNorm,
        );
        weights[name] = tensor(values, { shape: [...p.shape], device: "cpu" });
      }
      model.network.loadStateDict(weights);
      const prompt = [3, 4, 5, 3, 4], maxNewTokens = 16, plain: number[] = [...prompt];
      const best = async (ids: number[]): Promise<number> => {
        using logits = noGrad(() => model.forward([ids], { lastOnly: true }));
        return await logits.argmax(-1).item();
      };
      while (plain.length < prompt.length + maxNewTokens) plain.push(await best(plain));
      const wanted = plain.slice(prompt.length),
        options = { doSample: false, eosTokenId: null, maxNewTokens };
      changed += new Set(wanted).size;
      for (
        const how of [
          {},
          { promptLookupNumTokens: 6 },
          { assistantModel: model, numAssistantTokens: 5 },
          { assistantModel: other, numAssistantTokens: 3 },
          { penaltyAlpha: 1e-9, topK: 2 },
        ]
      ) {
        const { ids } = await model.completion(prompt, { ...options, ...how });
        assertEquals(ids, wanted, `seed ${seed}, ${Object.keys(how)}`);
      }
      for (const t of Object.values(weights)) t.dispose();
    }
    assert(changed > 16);
  });
});

describe("a full context", () => {
  it("with sinks goes on from the first tokens and the later half", async () => {
    const seen: number[][] = [];
    const model = new TableModel((text) => {
      seen.push([...text]);
      return Array.from({ length: vocab }, (_, id) => id === (text.at(-1)! + 1) % vocab ? 5 : 0);
    }, 12);
    const { ids } = await run(model, [1, 1, 1, 1, 1], { maxNewTokens: 30, contextOverflow: "sinks" });
    assertEquals(ids.slice(0, 6), [2, 3, 4, 5, 0, 1]);
    assertStrictEquals(ids.length, 30);
    // The text that the model saw always begins with the first four tokens, and is never longer than its context.
    assert(seen.every((text) => text.slice(0, 4).every((id) => id === 1) && text.length <= 12));
    assert(seen.some((text, i) => i > 0 && text.length < seen[i - 1].length));
  });
});
