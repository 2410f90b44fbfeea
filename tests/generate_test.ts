/**
 * Generation: when it ends, what it costs, texts that are long or kept, GPT-2 speaking.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { holdCollection } from "./_collection.ts";
import {
  CancelledError,
  FerrotypeError,
  type GenerateOptions,
  generateTokens,
  GPT2,
  manualSeed,
  memory,
  noGrad,
  OptionError,
  ShapeError,
} from "../mod.ts";
import { resolveOptions } from "../src/generate/options.ts";
import { eachDevice, numbersOf } from "./_devices.ts";
import { assertNear, inFolder, loadTiny, makeFolder, smallModel } from "./_gpt2.ts";
import { run, scripted, TableModel } from "./_language_model.ts";
import { onWebGpu } from "./_webgpu.ts";

describe("tokens", () => {
  it("end at the number asked for, at an end-of-text token, or before they begin", async () => {
    const model = scripted([1, 2, 3], 5, 2);
    assertEquals(await run(model, [0, 0], { maxNewTokens: 5 }), {
      ids: [1, 2, 3, 3, 3],
      finishReason: "length",
    });
    assertEquals(await run(model, [0, 0], { eosTokenId: 2 }), { ids: [1, 2], finishReason: "eos" });
    assertEquals(await run(model, [0, 0], { maxNewTokens: 2, eosTokenId: 2 }), {
      ids: [1, 2],
      finishReason: "eos",
    });
    assertEquals(await run(model, [0, 0], { eosTokenId: [4, 3] }), {
      ids: [1, 2, 3],
      finishReason: "eos",
    });
    model.fed.length = 0;
    assertEquals(await run(model, [0, 0], { maxNewTokens: 0 }), { ids: [], finishReason: "length" });
    assertEquals(model.fed, []);
    assert(model.caches.every((cache) => cache.isDisposed));
  });

  it("come only after as many as are demanded before an end", async () => {
    const model = new TableModel(() => [2, 3, 1]);
    assertEquals(await run(model, [0], { eosTokenId: 1, minNewTokens: 3 }), {
      ids: [0, 0, 0, 1],
      finishReason: "eos",
    });
  });

  it("cost one position each after the prompt", async () => {
    const model = scripted([1], 3, 4);
    await run(model, [0, 0, 0, 0], { maxNewTokens: 4 });
    assertEquals(model.fed, [4, 1, 1, 1]);
  });

  it("are heard one by one, before they are given out", async () => {
    const heard: number[] = [], model = scripted([1, 2, 3], 5, 1);
    const steps = generateTokens(
      model,
      [0],
      resolveOptions({ maxNewTokens: 3, onToken: (id) => heard.push(id) }),
    );
    await steps.next();
    assertEquals(heard, [1]);
    await steps.next();
    assertEquals(heard, [1, 2]);
    await steps.return({ ids: [], finishReason: "length" });
    assert(model.caches[0].isDisposed);
  });

  it("are the same for the same seed, and follow manualSeed without one", async () => {
    const model = new TableModel((text) => Array.from({ length: 9 }, (_, i) => Math.sin(i * text.length)));
    const drawn = async (options: GenerateOptions): Promise<string> =>
      (await run(model, [0], { doSample: true, ...options })).ids.join();
    assertStrictEquals(await drawn({ seed: 7 }), await drawn({ seed: 7 }));
    assertNotStrictEquals(await drawn({ seed: 7 }), await drawn({ seed: 8 }));
    manualSeed(1);
    const first = [await drawn({}), await drawn({})];
    manualSeed(1);
    assertEquals([await drawn({}), await drawn({})], first);
    assertNotStrictEquals(first[0], first[1]);
  });

  it("stop promptly when told", async () => {
    const model = scripted([1], 3, 1);
    await assertRejects(() => run(model, [0], { signal: AbortSignal.abort() }), CancelledError);
    assert(model.caches.every((cache) => cache.isDisposed));
    // A timer is heard although nothing in the loop waits for anything.
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), 20);
    const endless = scripted([1], 3, 1, 1e9);
    endless.createCache = (batch = 1, capacity = 1e9) =>
      TableModel.prototype.createCache.call(endless, batch, capacity);
    await assertRejects(
      () => run(endless, [0], { maxNewTokens: 1e9, signal: controller.signal }),
      CancelledError,
    );
    clearTimeout(timer);
  });

  it("need a prompt that the model takes", async () => {
    const model = scripted([1], 3, 1, 8);
    assertMatch((await assertRejects(() => run(model, []), OptionError)).message, /prompt is empty/);
    assertMatch(
      (await assertRejects(() => run(model, Array(9).fill(0)), ShapeError)).message,
      /9 tokens, the model takes 8/,
    );
  });
});

describe("a text longer than the model's positions", () => {
  it("goes on from its later half", async () => {
    const texts: number[][] = [];
    const model = new TableModel((text) => {
      texts.push([...text]);
      return Array.from({ length: 100 }, (_, i) => i === (text.at(-1) as number) + 1 ? 9 : 0);
    }, 6);
    assertEquals((await run(model, [0, 1, 2], { maxNewTokens: 8 })).ids, [3, 4, 5, 6, 7, 8, 9, 10]);
    assertEquals(model.fed, [3, 1, 1, 1, 3, 1, 1, 1]);
    assertEquals(texts.slice(3), [[0, 1, 2, 3, 4, 5], [4, 5, 6], [4, 5, 6, 7], [4, 5, 6, 7, 8], [
      4,
      5,
      6,
      7,
      8,
      9,
    ]]);
  });

  it("is an error on request, said before anything is computed", async () => {
    const model = scripted([1], 3, 1, 8);
    await assertRejects(
      () => run(model, [0, 0, 0], { maxNewTokens: 7, contextOverflow: "error" }),
      ShapeError,
      "3 tokens of prompt and 7 new ones are more than the 8 positions",
    );
    assertEquals(model.fed, []);
    // The last token need not be computed: 3 + 6 fill 8 positions.
    assertStrictEquals(
      (await run(model, [0, 0, 0], { maxNewTokens: 6, contextOverflow: "error" })).ids.length,
      6,
    );
  });
});

describe("a cache that is kept", () => {
  it("goes on where it stopped, and computes nothing twice", async () => {
    const model = new TableModel((text) =>
      Array.from({ length: 7 }, (_, i) => i === (text.at(-1) as number + 1) % 7 ? 9 : 0)
    );
    const cache = model.createCache();
    assertEquals((await run(model, [0], { cache, maxNewTokens: 3 })).ids, [1, 2, 3]);
    assertEquals([cache.ids, cache.length], [[0, 1, 2, 3], 3]);
    assertEquals((await run(model, [], { cache, maxNewTokens: 2 })).ids, [4, 5]);
    assertEquals((await run(model, [1, 1], { cache, maxNewTokens: 2 })).ids, [2, 3]);
    assertEquals(cache.rows, [[0, 1, 2, 3, 4, 5, 1, 1, 2]]);
    assertEquals(model.fed, [1, 1, 1, 1, 1, 3, 1]);
    cache.truncate(2);
    assertEquals(cache.ids, [0, 1]);
    assertEquals((await run(model, [4], { cache, maxNewTokens: 1 })).ids, [5]);
    assert(!cache.isDisposed);
    assertStrictEquals(model.caches.length, 1);
  });

  it("counts the earlier text for penalties, and slides over it", async () => {
    const model = new TableModel(() => [2, 1.5, 1], 6), cache = model.createCache();
    await run(model, [0, 0, 0], { cache, maxNewTokens: 1, eosTokenId: null });
    assertEquals((await run(model, [2], { cache, maxNewTokens: 1, repetitionPenalty: 1.9 })).ids, [1]);
    assertEquals(cache.ids, [0, 0, 0, 0, 2, 1]);
    assertEquals((await run(model, [2, 2, 2, 2], { cache, maxNewTokens: 1 })).ids, [0]);
    assertEquals(cache.ids, [2, 2, 2, 2, 0]);
  });

  it("says when it cannot be continued", async () => {
    const model = scripted([1], 3, 1, 8);
    const fails = async (
      cache: ReturnType<TableModel["createCache"]>,
      prompt: number[],
      pattern: RegExp,
    ): Promise<void> => {
      const error = await assertRejects(() => run(model, prompt, { cache }), FerrotypeError);
      assertMatch(error.message, pattern);
    };
    await fails(model.createCache(2), [1], /holds 2 texts/);
    await fails(model.createCache(), [], /prompt is empty/);
    const cache = model.createCache();
    model.forward([[1, 2]], { cache, lastOnly: true });
    await fails(cache, [1], /holds 2 positions and the ids of 0; append the others to cache\.ids/);
    cache.ids.push(1, 2);
    assertStrictEquals((await run(model, [1], { cache, maxNewTokens: 1 })).ids.length, 1);
  });
});

describe("GPT-2 speaks", () => {
  eachDevice((device) => {
    it("with a cache as without", async () => {
      manualSeed(3);
      using model = smallModel({}, { device });
      const ids = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3],
        whole = await numbersOf(noGrad(() => model.forward([ids])));
      for (const parts of [[16], [1, 15], [5, 1, 1, 9], Array(16).fill(1)] as number[][]) {
        using cache = model.createCache(1, 16);
        let at = 0;
        for (const count of parts) {
          const logits = noGrad(() => model.forward([ids.slice(at, at + count)], { cache }));
          assertNear(
            await numbersOf(logits),
            whole.slice(at * 11, (at + count) * 11),
            1e-5,
            `logits from ${at}`,
          );
          at += count;
        }
        assertStrictEquals(cache.length, 16);
        cache.truncate(7);
        const again = noGrad(() => model.forward([ids.slice(7, 9)], { cache, lastOnly: true }));
        assertNear(await numbersOf(again), whole.slice(8 * 11, 9 * 11), 1e-5, "logits after going back");
        assertThrows(() => noGrad(() => model.forward([ids.slice(0, 8)], { cache })), ShapeError);
      }
    });

    it("the same greedily, kept or in one go, and slides past its positions", async () => {
      manualSeed(4);
      using model = smallModel({}, { device });
      const { ids } = await model.completion([1, 2], { maxNewTokens: 12 });
      using cache = model.createCache();
      const first = await model.completion([1, 2], { maxNewTokens: 5, cache });
      const second = await model.completion([], { maxNewTokens: 7, cache });
      assertEquals([...first.ids, ...second.ids], ids);
      const long = await model.completion([1, 2], { maxNewTokens: 30 });
      assertStrictEquals(long.ids.length, 30);
      const later = await model.completion([...long.ids.slice(7, 15)], { maxNewTokens: 5 });
      assertEquals(later.ids, long.ids.slice(15, 20));
    });

    it("with beams that share one cache as with texts computed afresh", async () => {
      manualSeed(5);
      using model = smallModel({}, { device });
      const beams = await model.completion([1, 2, 3], { numBeams: 4, maxNewTokens: 6 });
      const afresh = new TableModel(() => [], 16);
      afresh.forward = (rows, { cache }) => {
        rows.forEach((row, i) => cache.rows[i].push(...row));
        cache.length += rows[0].length;
        return model.forward(cache.rows, { lastOnly: true });
      };
      assertEquals(beams.ids, (await run(afresh, [1, 2, 3], { numBeams: 4, maxNewTokens: 6 })).ids);
    });
  }, onWebGpu);

  it("and gives its memory back", async () => {
    using model = smallModel();
    await model.completion([1], { maxNewTokens: 3 });
    using _still = holdCollection();
    const before = memory().cpu.buffers;
    await model.completion([1], { maxNewTokens: 9, topK: 3 });
    await model.completion([1], { maxNewTokens: 9, numBeams: 3 });
    for await (const _ of model.generateIds([1])) break;
    await assertRejects(() => model.completion([1], { signal: AbortSignal.abort() }));
    assertStrictEquals(memory().cpu.buffers, before);
  });

  it("text with a tokenizer, ids without", async () => {
    using model = await loadTiny();
    const result = await model.completion("The", { maxNewTokens: 9 });
    let text = "";
    for await (const piece of model.generate("The", { maxNewTokens: 9 })) text += piece;
    assertStrictEquals(text, result.text);
    assertStrictEquals(await model.complete("The", { maxNewTokens: 9 }), text);
    assertEquals(result.promptIds, model.encode("The"));
    assertEquals((await model.completion("", { maxNewTokens: 1 })).promptIds, [511]);
    const ids: number[] = [];
    for await (const id of model.generateIds(model.encode("The"), { maxNewTokens: 9 })) ids.push(id);
    assertEquals(ids, result.ids);
    await assertRejects(
      async () => {
        for await (const _ of model.generateIds("The", { stop: "x" })) break;
      },
      Error,
      "stop texts belong to generate",
    );
    model.tokenizer = null;
    assertMatch(assertThrows(() => model.generate([1]), OptionError).message, /no tokenizer/);
    assertMatch((await assertRejects(() => model.complete("The"), OptionError)).message, /no tokenizer/);
    await assertRejects(() => model.completion([1], { stop: "x" }), Error, "stop texts need a tokenizer");
    await assertRejects(() => model.completion([512]), ShapeError);
    const nothing = undefined as unknown as string,
      message = "the prompt is undefined, expected a text or a list";
    await assertRejects(() => model.complete(nothing), OptionError, message);
    assertThrows(() => model.stream(nothing), OptionError, message);
    await assertRejects(
      () => model.completion(5 as unknown as string),
      OptionError,
      "the prompt is 5, expected",
    );
    await assertRejects(
      () => model.completeBatch("ab" as never),
      OptionError,
      'the prompts are "ab", expected a list',
    );
    assertStrictEquals((await model.completion([1], { maxNewTokens: 2 })).ids.length, 2);
  });

  it("of a prompt of nothing begins where it is told to", async () => {
    using model = await loadTiny();
    const begin = async (
      options: GenerateOptions,
    ): Promise<number[]> => [...(await model.completion("", { maxNewTokens: 1, ...options })).promptIds];
    assertEquals(await begin({ bosTokenId: 5 }), [5]);
    assertEquals(await begin({ bosTokenId: null }), [511]);
    model.generationConfig = { bosTokenId: 7 };
    assertEquals(await begin({}), [7]);
    assertEquals(await begin({ bosTokenId: 9 }), [9]);
    assertEquals((await model.prepare(["", "The"])).promptIds, [[7], model.encode("The")]);
    // What the file says changes no other prompt, and what a caller says is refused there.
    assertEquals((await model.completion("The", { maxNewTokens: 1 })).promptIds, model.encode("The"));
    for (const prompt of ["The", [1, 2], "a longer text, which is read in slices"]) {
      for (
        const call of [
          () => model.complete(prompt, { bosTokenId: 5 }),
          () => model.prepare([prompt], { bosTokenId: 5 }),
        ]
      ) {
        await assertRejects(
          call,
          OptionError,
          "bosTokenId has no effect because it begins a prompt of nothing",
        );
      }
    }
    using cache = model.createCache();
    await model.complete("The", { cache, maxNewTokens: 1 });
    await assertRejects(
      () => model.complete("", { cache, bosTokenId: 5 }),
      OptionError,
      "the cache holds a text",
    );
    await assertRejects(
      () => model.complete("", { bosTokenId: 512 }),
      OptionError,
      "bosTokenId names token 512",
    );
  });

  it("is ended by its file's words only where they can be heard, and the file is named", async () => {
    using model = await loadTiny();
    const ends = async (own: GenerateOptions, call: () => Promise<unknown>, says: string): Promise<void> => {
      model.generationConfig = own;
      await assertRejects(call, OptionError, says);
    };
    const calls = [
      () => model.complete("The"),
      () => model.prepare(["a", "The cat sat on the mat"]),
      () => model.completeBatch(["The cat"]),
      () => model.generateIds([1, 2, 3]).next(),
    ];
    for (const call of calls.map((f) => async () => await f())) {
      await ends(
        { maxLength: 1 },
        call,
        "the model's own generation_config.json says max_length 1, which leaves",
      );
    }
    await assertRejects(
      () => model.complete([1, 2], { maxLength: 2 }),
      OptionError,
      "and maxLength 2 leaves room",
    );
    await ends(
      { stop: "x" },
      async () => await model.generateIds([1]).next(),
      "leave them out with { stop: [] }",
    );
    model.tokenizer = null;
    await ends(
      { stop: "x" },
      () => model.completion([1]),
      "the stop_strings of the model's own generation_config.json",
    );
    assertStrictEquals((await model.completion([1], { stop: [], maxNewTokens: 1 })).ids.length, 1);
  });

  it("as its generation_config.json says", async () => {
    await inFolder(async (folder) => {
      makeFolder(folder);
      const config = {
        do_sample: true,
        temperature: 0.5,
        top_k: 7,
        max_new_tokens: 3,
        eos_token_id: [5, 6],
        transformers_version: "5.0",
        stop_strings: null,
      };
      writeFileSync(join(folder, "generation_config.json"), JSON.stringify(config));
      using model = await GPT2.load(folder);
      assertEquals(model.generationConfig, {
        doSample: true,
        temperature: 0.5,
        topK: 7,
        maxNewTokens: 3,
        eosTokenId: [5, 6],
      });
      const { ids } = await model.completion([1], { seed: 1 });
      assertStrictEquals(ids.length, 3);
      assertNotEquals(
        (await model.completion([1], { seed: 1, maxNewTokens: 12 })).ids,
        (await model.completion([1], { seed: 2, maxNewTokens: 12 })).ids,
      );
    });
  });
});
