/**
 * What is kept of keys and values: prompts that were computed before, and caches in fewer bits.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { holdCollection } from "./_collection.ts";
import {
  attentionStep,
  contiguous,
  copyInto,
  DTypeError,
  empty,
  evaluate,
  GPT2,
  manualSeed,
  memory,
  noGrad,
  optim,
  OptionError,
  PrefixStore,
  randn,
  resolveOptions,
  scaledDotProductAttention,
  ShapeError,
  slice,
  type Tensor,
  tensor,
  tidy,
  useDeterministicAlgorithms,
} from "../mod.ts";
import { dequantizeQ8, quantizeQ8 } from "../src/core/quantize.ts";
import { KVCache } from "../src/nn/mod.ts";
import { repository } from "./_data.ts";
import { writtenBy } from "./_gpt2.ts";
import { type TableCache, TableModel } from "./_language_model.ts";
import { before, describe, it } from "./_suite.ts";
import { judgedOnce } from "./_width.ts";

const bundled = join(repository, "web/models/shakespeare");
const skip = existsSync(join(bundled, "model.safetensors")) ? false : "no bundled model";

const next = (text: readonly number[]): number[] =>
  Array.from({ length: 10 }, (_, id) => id === (text.at(-1)! + 1) % 10 ? 5 : 0);
const counting = (count: number, from = 0): number[] =>
  Array.from({ length: count }, (_, i) => (from + i) % 10);

describe("a store of prompts", () => {
  const make = () => {
    const model = new TableModel(next, 400), weights = [{ version: 0 }];
    const store = new PrefixStore<TableCache>(() => weights);
    const fill = (cache: TableCache, prompt: number[]): void => {
      cache.ids.push(...prompt.slice(cache.length));
      model.forward([cache.ids.slice(cache.length)], { cache, lastOnly: true });
    };
    const pass = (prompt: number[], capacity = prompt.length + 10): number => {
      const cache = store.take(model, prompt, capacity, "f32"), known = cache.length;
      assertEquals(cache.ids, prompt.slice(0, known));
      assertEquals(cache.rows[0], prompt.slice(0, known));
      assert(cache.capacity >= capacity);
      fill(cache, prompt);
      store.give(cache, prompt);
      return known;
    };
    return { model, weights, store, pass };
  };

  it("goes on from what two prompts have in common", () => {
    const { store, pass } = make(), prompt = counting(100);
    assertStrictEquals(pass(prompt), 0);
    assertStrictEquals(pass([...prompt, ...counting(50, 3)]), 100);
    // Enough is left to go through the model as a prompt.
    assertStrictEquals(pass([...prompt, ...counting(50, 3)]), 150 - 17);
    assertStrictEquals(pass([...counting(60), ...counting(60, 5)]), 60);
    assertStrictEquals(store.reused, 100 + 133 + 60);
  });

  it("keeps several, and gives back what is not used", () => {
    const { model, store, pass } = make();
    assertEquals([counting(60), counting(60, 1), counting(60, 2)].map((prompt) => pass(prompt)), [
      0,
      0,
      0,
    ]);
    assertEquals(
      [2, 1, 0].map((from) => pass([...counting(60, from), ...counting(30, 9)])),
      [60, 60, 60],
    );
    assertStrictEquals(model.caches.filter(({ isDisposed }) => !isDisposed).length, 3);
    store.clear();
    assert(model.caches.every(({ isDisposed }) => isDisposed));
  });

  it("takes no more memory than it may, and forgets the oldest first", () => {
    const { model, store, pass } = make();
    store.maxBytes = 4 * 2 * 80;
    for (const from of [0, 1, 2]) pass(counting(60, from), 80);
    assert(store.byteLength <= store.maxBytes);
    assertEquals(model.caches.map(({ isDisposed }) => isDisposed), [true, false, false]);
    store.maxBytes = 0;
    pass(counting(60, 5), 80);
    assertStrictEquals(store.byteLength, 0);
  });

  it("forgets all when weights change, whoever changed them", () => {
    const { weights, pass } = make();
    pass(counting(60));
    weights[0].version++;
    assertStrictEquals(pass([...counting(60), ...counting(30)]), 0);
    weights[0] = { version: 1 };
    assertStrictEquals(pass([...counting(60), ...counting(60)]), 0);
  });

  it("leaves short prompts and other dtypes alone", () => {
    const { model, store, pass } = make();
    pass(counting(20));
    assertStrictEquals(store.byteLength, 0);
    pass(counting(60));
    assertStrictEquals(store.take(model, counting(90), 100, "f16").length, 0);
  });
});

describe("prompts of the bundled model", { skip }, () => {
  let model: GPT2;
  const start = "ROMEO:\nBut soft! what light through yonder window breaks? It is the east.\n";
  before(async () => {
    model = await GPT2.load(bundled);
  });

  it("are computed once, and what follows is the same", async () => {
    const options = { maxNewTokens: 24, seed: 5, temperature: 0.9, logprobs: 1 } as const,
      store = model.prefixes!;
    store.clear();
    for (const prompt of [start, start + "JULIET:\nAy me! What of it?", start, start + "NURSE:\n"]) {
      const kept = store.reused, warm = await model.completion(prompt, options);
      if (prompt === start && kept === 0) continue;
      assert(store.reused > kept, "nothing was reused");
      const cold = await model.completion(prompt, { ...options, cachePrompt: false });
      assertEquals(warm.ids, cold.ids);
      warm.logprobs!.forEach(({ logprob }, i) =>
        assert(Math.abs(logprob - cold.logprobs![i].logprob) < 1e-4)
      );
    }
  });

  it("are shared by requests that run together", async () => {
    const store = model.prefixes!;
    store.clear();
    const kept = store.reused, prompts = ["A:", "BB:", "CCC:"].map((name) => start + name);
    const options = { maxNewTokens: 12, seed: 2, temperature: 0.8 } as const;
    const together = await model.completeBatch(prompts, options);
    assert(store.reused > kept);
    for (const [i, prompt] of prompts.entries()) {
      assertStrictEquals(together[i].text, await model.complete(prompt, { ...options, cachePrompt: false }));
    }
  });

  it("are forgotten when training changes the model", async () => {
    using own = await GPT2.load(bundled, { dtype: "f32" });
    const options = { maxNewTokens: 8, logprobs: 0, doSample: false } as const;
    const old = await own.completion(start, options);
    const optimizer = new optim.AdamW(own.parameters(), { lr: 1e-2 });
    own.loss(own.encode(start)).backward();
    optimizer.step();
    const warm = await own.completion(start, options),
      cold = await own.completion(start, { ...options, cachePrompt: false });
    assertEquals(warm.logprobs, cold.logprobs);
    assertNotEquals(warm.logprobs, old.logprobs);
    own.train();
    assertStrictEquals(own.prefixes, null);
  });

  it("are forgotten when other arithmetic is asked for", async () => {
    const store = model.prefixes!;
    await model.complete(start, { maxNewTokens: 2 });
    assert(store.byteLength > 0);
    useDeterministicAlgorithms(true);
    try {
      const kept = store.reused;
      await model.complete(start, { maxNewTokens: 2 });
      assertStrictEquals(store.reused, kept);
    } finally {
      useDeterministicAlgorithms(false);
    }
  });

  it("take memory that dispose gives back", async () => {
    using _still = holdCollection();
    const before = memory().cpu.bytes, own = await GPT2.load(bundled);
    await own.complete(start, { maxNewTokens: 4 });
    assert(own.prefixes!.byteLength > 0);
    own.dispose();
    assertStrictEquals(memory().cpu.bytes, before);
  });

  it("give the same bits by the library's own products", async () => {
    // A prompt in two passes is what the store makes of it. Only a BLAS rounds by the number of rows.
    useDeterministicAlgorithms(true);
    try {
      for (const dtype of ["f32", "bf16", "q8", "q4"] as const) {
        using own = await GPT2.load(bundled, { dtype });
        const ids = own.encode(start + start).slice(0, 96);
        const last = async (...ends: number[]): Promise<Float32Array> => {
          using cache = own.createCache(1, ids.length);
          let logits: Tensor | undefined, at = 0;
          for (const end of [...ends, ids.length]) {
            logits?.dispose();
            logits = noGrad(() => own.forward([ids.slice(at, end)], { cache, lastOnly: true }));
            at = end;
          }
          return await logits!.data() as Float32Array;
        };
        const whole = await last();
        for (const ends of [[17], [40], [79], [32, 64]]) {
          assertEquals(await last(...ends), whole, `${dtype} ${ends}`);
        }
      }
    } finally {
      useDeterministicAlgorithms(false);
    }
  });
});

describe("a cache in fewer bits", () => {
  /** Keys, values and queries, and keys and values as a cache of `dtype` holds them. */
  const attend = (
    dtype: "f16" | "bf16" | "q8",
    queries: number,
    keys: number,
    width: number,
    device: "cpu" | "reference",
  ) => {
    manualSeed(7);
    return tidy(() => {
      const make = (time: number) => randn([2, 3, time, width], { device });
      const q = make(queries), k = make(keys), v = make(keys);
      using cache = new KVCache(2, 3, keys + 5, width, { dtype, device });
      // In pieces, of which the last is the queries' own.
      cache.append(slice(k, null, null, [0, keys - queries]), slice(v, null, null, [0, keys - queries]));
      const held = cache.append(
        slice(k, null, null, [keys - queries, null]),
        slice(v, null, null, [keys - queries, null]),
      );
      const wide = [held.keys, held.values].map((t) => contiguous(t.to({ dtype: "f32" })));
      const plain = scaledDotProductAttention(q, wide[0], wide[1], { isCausal: true });
      return {
        found: contiguous(scaledDotProductAttention(q, held.keys, held.values, { isCausal: true })),
        plain: contiguous(plain),
        wide,
        k,
      };
    });
  };

  for (const device of ["cpu", "reference"] as const) {
    for (const dtype of ["f16", "bf16", "q8"] as const) {
      for (
        const [queries, keys, width] of [[1, 70, 32], [3, 150, 64], [7, 41, 32], [50, 200, 64], [1, 1, 96]]
      ) {
        it(`gives what its numbers give, in ${dtype} on ${device}: ${queries} of ${keys}, ${width} wide`, async () => {
          const { found, plain, wide, k } = attend(dtype, queries, keys, width, device);
          const [own, other] = [await found.data(), await plain.data()] as Float32Array[];
          own.forEach((x, i) => assert(Math.abs(x - other[i]) < 2e-5, `${i}: ${x} and ${other[i]}`));
          // What it holds is what was written, but for the rounding.
          const held = await wide[0].data() as Float32Array,
            written = await contiguous(k).data() as Float32Array;
          const most = { f16: 2e-3, bf16: 1.6e-2, q8: 2e-2 }[dtype];
          held.forEach((x, i) =>
            assert(Math.abs(x - written[i]) <= most * Math.max(1, Math.abs(written[i])), `${x} ${written[i]}`)
          );
          for (const t of [found, plain, k, ...wide]) t.dispose();
        });
      }
    }
  }

  for (
    const [dtype, width] of [["f32", 32], ["f32", 6], ["f32", 13], ["f16", 64], ["bf16", 32], ["q8", 96], [
      "f16",
      10,
    ]] as const
  ) {
    it(`takes a step of several texts at once: ${dtype}, ${width} wide`, async () => {
      const lengths = [0, 5, 130, 1100], heads = 3, found: number[][] = [], held: number[][] = [];
      for (const device of ["cpu", "reference"] as const) {
        manualSeed(11);
        const caches = lengths.map((length) => {
          const cache = new KVCache(1, heads, length + 2, width, { dtype, device });
          if (length) {
            cache.append(
              randn([1, heads, length, width], { device }),
              randn([1, heads, length, width], { device }),
            );
          }
          return cache;
        });
        using qkv = randn([lengths.length, 3, heads, width], { device });
        using out = attentionStep(
          qkv,
          caches.map((c) => c.keys),
          caches.map((c) => c.values),
          caches.map((c) => c.length),
        );
        assertEquals(out.shape, [lengths.length, heads, width]);
        found.push([...await out.data() as Float32Array]);
        // The new position is in the cache, rounded as it stores.
        const written = caches.map(({ values, length }) =>
          contiguous(slice(values, null, null, [length, length + 1]).to({ dtype: "f32" }))
        );
        held.push(
          (await Promise.all(written.map((t) => t.data()))).flatMap((data) => [...data as Float32Array]),
        );
        for (const disposable of [...caches, ...written]) disposable.dispose();
      }
      found[0].forEach((x, i) => assert(Math.abs(x - found[1][i]) < 2e-5, `${i}: ${x} and ${found[1][i]}`));
      assertEquals(held[0], held[1]);
    });
  }

  it("refuses a step without room, and lists that do not fit", () => {
    using cache = new KVCache(1, 2, 4, 8);
    using qkv = randn([1, 3, 2, 8]);
    assertMatch(
      assertThrows(() => attentionStep(qkv, [cache.keys], [cache.values], [4]), ShapeError).message,
      /text 0 has 4 positions, and its cache holds 4/,
    );
    assertThrows(
      () => attentionStep(qkv, [cache.keys], [], [0]),
      Error,
      "with keys, values and a length for each row",
    );
  });

  it("writes q8 to the bits of the format, halves away from zero, zeros and extremes too", async () => {
    const rows: number[][] = [
      Array.from({ length: 32 }, (_, i) => (i - 16) * 0.5),
      new Array<number>(32).fill(0),
      Array.from({ length: 32 }, (_, i) => i === 3 ? 127 : (i % 2 ? -1 : 1) * (i + 0.5)),
      Array.from({ length: 32 }, (_, i) => Math.sin(i) * 1e-6),
      Array.from({ length: 32 }, (_, i) => Math.cos(i) * 3e4),
    ];
    using target = empty([1, 1, 5, 32], { dtype: "q8", device: "cpu" });
    using source = tensor([[rows]], { device: "cpu" });
    copyInto(source, target);
    const bytes = new Uint8Array(5 * 34);
    quantizeQ8(new Float32Array(rows.flat()), bytes);
    const stored = await target.to({ dtype: "f32" }).data(), expected = new Float32Array(160);
    dequantizeQ8(bytes, expected);
    assertEquals(stored, expected);
  });

  it("refuses what it cannot hold", () => {
    assertMatch(
      assertThrows(() => new KVCache(1, 1, 4, 16, { dtype: "q8" }), DTypeError).message,
      /multiple of 32, not 16; use f16/,
    );
    assertThrows(() => new KVCache(1, 1, 4, 32, { dtype: "i32" }), Error, "none of f32, f16, bf16, q8");
    assertThrows(
      () => resolveOptions({ cacheDType: "q5" as never }),
      OptionError,
      'cacheDType is "q5", expected "f32", "f16", "bf16" or "q8"',
    );
  });

  it("costs little in perplexity, and less memory", { skip: skip || judgedOnce }, async () => {
    using model = await GPT2.load(bundled, { dtype: "f32" });
    const ids = model.encode(await writtenBy(model, 4000));
    const of = async (cacheDType: "f32" | "f16" | "bf16" | "q8"): Promise<number> =>
      (await evaluate(model, ids, { blockSize: model.contextLength, cacheDType })).perplexity;
    const bytes = (dtype: "f32" | "f16" | "q8"): number => {
      using cache = model.createCache(1, 128, { dtype });
      return cache.byteLength;
    };
    const full = await of("f32"), plain = await evaluate(model, ids, { blockSize: model.contextLength });
    assert(Math.abs(full / plain.perplexity - 1) < 1e-5);
    // `ferrotype eval --cache-dtype` prints the same.
    for (const [dtype, most] of [["f16", 1e-4], ["bf16", 2e-3], ["q8", 3e-3]] as const) {
      const rise = await of(dtype) / full - 1;
      assert(Math.abs(rise) < most, `${dtype}: perplexity changes by ${(100 * rise).toFixed(4)} %`);
    }
    assertStrictEquals(bytes("f16") / bytes("f32"), 1 / 2);
    assertStrictEquals(bytes("q8") / bytes("f32"), 34 / 128);
  });

  it("serves every way of generating", { skip }, async () => {
    using model = await GPT2.load(bundled);
    for (const cacheDType of ["f16", "bf16", "q8"] as const) {
      const options = { maxNewTokens: 12, cacheDType, doSample: false } as const, prompt = "JULIET:\nO Romeo";
      const whole = await model.complete(prompt, options);
      assertStrictEquals(whole.length > 0, true);
      const [batch] = await model.completeBatch([prompt, "ROMEO:"], options);
      assertStrictEquals(batch.text, whole);
      assertStrictEquals((await model.completions(prompt, { ...options, numBeams: 3 })).length, 1);
      assert((await model.complete(prompt, { ...options, penaltyAlpha: 0.6, topK: 4 })).length > 0);
      using cache = model.createCache(1, 64, { dtype: cacheDType });
      assertStrictEquals(await model.complete(prompt, { maxNewTokens: 12, cache, doSample: false }), whole);
      assertThrows(() => model.generate(prompt, { cache, cacheDType: "f32" }), Error, "leave cacheDType out");
    }
  });
});
