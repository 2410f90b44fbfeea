/**
 * However a text is cut, its numbers are those of one plain forward pass, to the bit: in steps (which are compiled), in pieces,
 * beside other texts, behind padding, guessed ahead, from a prefix that was kept. On the reference device always, on the cpu in
 * deterministic mode; what its other mode may be off by is tested too.
 */
import { assert, assertEquals, assertNotEquals, assertStrictEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { afterEach, beforeEach, describe, it } from "node:test";
import {
  CausalLM,
  type DType,
  initReference,
  manualSeed,
  noGrad,
  useDeterministicAlgorithms,
} from "../mod.ts";
import type { DeviceName } from "../src/backends/contract.ts";
import { dataPath } from "./_data.ts";
import { families } from "./_families.ts";
import { width } from "./_width.ts";

type Logits = Float32Array;
type Options = Parameters<CausalLM["forward"]>[1];

/** Ids that look random, the same for the same seed. */
function someIds(count: number, vocabSize: number, seed = 1): number[] {
  let state = seed;
  return Array.from({ length: count }, () => (state = state * 48271 % 2147483647) % vocabSize);
}

async function logitsOf(model: CausalLM, ids: number[] | number[][], options: Options = {}): Promise<Logits> {
  using logits = noGrad(() => model.forward(ids, options));
  return (await logits.data()).slice() as Logits;
}

/** The largest difference of the two, and where they are of one length. */
function apart(a: Logits, b: Logits): number {
  assertStrictEquals(a.length, b.length);
  let most = 0;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) most = Math.max(most, Math.abs(a[i] - b[i]));
  return most;
}

/** Every way to come by the logits of each position of `ids`, and how far off the plain forward pass they are. */
async function ways(
  model: CausalLM,
  ids: number[],
  cacheDType?: "f16" | "q8",
): Promise<Record<string, number>> {
  const vocab = model.vocabSize, time = ids.length, options = cacheDType ? { dtype: cacheDType } : {};
  const row = (of: Logits, i: number): Logits => of.subarray(i * vocab, (i + 1) * vocab);
  const whole = async (): Promise<Logits> => {
    if (!cacheDType) return await logitsOf(model, [ids]);
    using cache = model.createCache(1, time, options);
    return await logitsOf(model, [ids], { cache });
  };
  const plain = await whole(), off: Record<string, number> = {};
  const note = (name: string, at: number, found: Logits): void => {
    off[name] = Math.max(off[name] ?? 0, apart(found, row(plain, at)));
  };
  for (const size of [1, 2, 3, 7, 17]) {
    using cache = model.createCache(1, time, options);
    for (let at = 0; at < time; at += size) {
      const found = await logitsOf(model, [ids.slice(at, at + size)], { cache });
      for (let i = 0; i < found.length / vocab; i++) note(`${size} at a time`, at + i, row(found, i));
    }
  }
  // Texts that begin at different places, a step of all of them at once, each in a cache of its own.
  const starts = [0, 1, 5], caches = starts.map(() => model.createCache(1, time, options));
  for (const [k, start] of starts.entries()) {
    if (start > 0) await logitsOf(model, ids.slice(0, start), { cache: caches[k] });
  }
  for (let step = 0; step + 5 < time; step++) {
    const found = await logitsOf(model, starts.map((start) => [ids[start + step]]), { cache: caches });
    for (const [k, start] of starts.entries()) note("texts together", start + step, row(found, k));
  }
  for (const cache of caches) cache.dispose();
  if (cacheDType) return off;
  for (let end = 1; end <= time; end += 4) {
    note("a shorter text", end - 1, await logitsOf(model, [ids.slice(0, end)], { lastOnly: true }));
  }
  const batch = await logitsOf(model, [ids, ids, ids]);
  for (let i = 0; i < 3 * time; i++) note("in a batch", i % time, row(batch, i));
  // Padding on the left, of a text in no cache, and of one in a cache that goes on a position at a time.
  const pad = 5, short = ids.slice(0, time - pad), zeros = new Array<number>(pad).fill(0);
  const rows = [[...zeros, ...short], ids], mask = [[...zeros, ...short.map(() => 1)], ids.map(() => 1)];
  const padded = await logitsOf(model, rows, { attentionMask: mask });
  for (let i = 0; i < short.length; i++) note("padded", i, row(padded, pad + i));
  for (let i = 0; i < time; i++) note("beside a padded one", i, row(padded, time + i));
  using cache = model.createCache(2, time);
  const upTo = (end: number): number[][] => mask.map((seen) => seen.slice(0, end));
  for (let at = 0, end = time - 3; at < time; at = end, end++) {
    const found = await logitsOf(model, rows.map((ids) => ids.slice(at, end)), {
      cache,
      attentionMask: upTo(end),
    });
    const count = end - at;
    for (let i = 0; i < count; i++) {
      if (at + i >= pad) note("padded, in a cache", at + i - pad, row(found, i));
      note("beside it", at + i, row(found, count + i));
    }
  }
  return off;
}

const same = (off: Record<string, number>, what: string): void => {
  for (const [way, most] of Object.entries(off)) {
    assertStrictEquals(most, 0, `${what}, ${way}: off by ${most}`);
  }
};

/** Folders with recorded results, GPT-2 and (where it is there) a trained model among them. */
const folders = [
  ...families.map((family) => dataPath("families", family)),
  dataPath("gpt2-tiny"),
  dataPath("llama", "stories260K"),
].filter((folder) => existsSync(folder));

/** Its angles change at a length; below that they do not. */
const lengthOf = (folder: string): number => folder.endsWith("longrope") ? 14 : 19;

async function load(folder: string, device: DeviceName, dtype: DType): Promise<CausalLM> {
  return await CausalLM.load(folder, { device, dtype, onWarning: () => {} });
}

initReference();

describe("the bits of a text on the reference device", () => {
  for (const folder of folders.slice(0, width(2, 1))) {
    it(`are those of the plain forward pass: ${folder.split(/[\\/]/).at(-1)}`, async () => {
      using model = await load(folder, "reference", "f32");
      same(await ways(model, someIds(14, model.vocabSize)), folder);
    });
  }
});

describe("the bits of a text on the cpu, deterministic", () => {
  beforeEach(() => useDeterministicAlgorithms(true));
  afterEach(() => useDeterministicAlgorithms(false));

  for (const folder of folders) {
    it(`are those of the plain forward pass: ${folder.split(/[\\/]/).at(-1)}`, async () => {
      const isFirst = folder === folders[0],
        dtypes = width(isFirst ? ["f32", "bf16", "q8", "q4"] : ["f32"], ["f32"]);
      for (const dtype of dtypes as DType[]) {
        using model = await load(folder, "cpu", dtype);
        same(await ways(model, someIds(lengthOf(folder), model.vocabSize)), `${folder} as ${dtype}`);
      }
    });
  }

  it("also where sums are long, matrices lie either way, and a cache has fewer bits", async () => {
    const sizes = { vocabSize: 40, contextLength: 64, layers: 1 };
    const wide = { ...sizes, width: 544, heads: 17, innerWidth: 96 };
    for (
      const [family, own] of [
        ["gpt2", { ...sizes, width: 64, heads: 2, innerWidth: 1700 }],
        ["llama", { ...wide, kvHeads: 1 }],
        ["gemma2", { ...wide, kvHeads: 17 }],
      ] as const
    ) {
      manualSeed(7);
      using model = await CausalLM.fromSizes(family, own, { device: "cpu" });
      model.eval();
      const ids = someIds(19, 40);
      same(await ways(model, ids), family);
      for (const dtype of width(["f16", "q8"] as const, ["q8"] as const)) {
        same(await ways(model, ids, dtype), `${family} with a cache as ${dtype}`);
      }
    }
  });

  it("and of all that generation does: log-probabilities are equal, however tokens are come by", async () => {
    for (const folder of folders.slice(0, width(6, 2))) {
      using model = await load(folder, "cpu", "f32");
      // Long enough to be kept, where angles do not change with the length.
      const isLong = model.contextLength >= 60 && !folder.endsWith("longrope");
      const prompt = someIds(isLong ? 50 : 9, model.vocabSize),
        options = {
          doSample: false,
          eosTokenId: null,
          maxNewTokens: 5,
          logprobs: 3,
        };
      const tokens = async (more: object) =>
        (await model.completion(prompt, { ...options, ...more })).logprobs;
      const once = await tokens({});
      assertStrictEquals(once?.length, options.maxNewTokens);
      const before = model.prefixes?.reused ?? 0;
      assertEquals(await tokens({}), once, `${folder}: again, the prompt being kept`);
      if (isLong) assert((model.prefixes?.reused ?? 0) > before, `${folder}: nothing was kept`);
      assertEquals(await tokens({ promptLookupNumTokens: 4 }), once, `${folder}: guesses of the text`);
      assertEquals(
        await tokens({ assistantModel: model, numAssistantTokens: 3 }),
        once,
        `${folder}: guesses`,
      );
      const batch = await model.completeBatch([prompt.slice(2), prompt, prompt.slice(5)], options);
      assertEquals(batch[1].logprobs, once, `${folder}: in a batch`);
    }
  });
});

describe("the bits of a text on the cpu", () => {
  it("are close in its fast mode, and those of the whole pass are other ones", async () => {
    let most = 0;
    for (const folder of folders.slice(0, width(4, 1))) {
      using model = await load(folder, "cpu", "f32");
      const off = await ways(model, someIds(lengthOf(folder), model.vocabSize));
      for (const [way, own] of Object.entries(off)) {
        assert(own <= 1e-4, `${folder}, ${way}: off by ${own}`);
        most = Math.max(most, own);
      }
    }
    // If this fails, the fast mode has become exact, and the documentation may say so.
    assertNotEquals(most, 0);
  });
});
