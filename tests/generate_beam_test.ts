/**
 * Beam search beside searching everything, and several texts from one prompt.
 */
import { assert, assertEquals, assertNotEquals, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { type GenerateOptions, Generator, resolveOptions, type TokensResult } from "../mod.ts";
import { beamSearch } from "../src/generate/beam.ts";
import { generateMany } from "../src/generate/text.ts";
import { TableModel } from "./_language_model.ts";

const vocab = 5, end = 4, prompt = [0, 1], most = 4;

/** Logits that depend on the whole text. */
const logitsOf = (seed: number) => (text: readonly number[]): number[] => {
  const random = new Generator(text.reduce((sum, id) => (sum * 31 + id + 7) % 1_000_003, seed));
  return Array.from({ length: vocab }, () => Math.fround(2 * random.normal()));
};

function logSoftmax(logits: readonly number[]): number[] {
  const total = Math.log(logits.reduce((sum, v) => sum + Math.exp(v), 0));
  return logits.map((v) => v - total);
}

/** Every text of at most `most` new tokens with its score, best first. */
function everything(seed: number, lengthPenalty: number): { ids: number[]; score: number }[] {
  const found: { ids: number[]; score: number }[] = [], logits = logitsOf(seed);
  const walk = (ids: number[], sum: number): void => {
    logSoftmax(logits([...prompt, ...ids])).forEach((chance, id) => {
      const next = [...ids, id], all = sum + chance;
      if (id !== end && next.length < most) return walk(next, all);
      found.push({ ids: next, score: all / next.length ** lengthPenalty });
    });
  };
  walk([], 0);
  return found.sort((a, b) => b.score - a.score);
}

const search = (seed: number, options: GenerateOptions): Promise<TokensResult[]> =>
  beamSearch(
    new TableModel(logitsOf(seed)),
    prompt,
    resolveOptions({ maxNewTokens: most, eosTokenId: end, ...options }),
  );

describe("beam search", () => {
  it("with enough beams finds the best of all texts, in order, whatever length counts", async () => {
    for (let seed = 0; seed < 12; seed++) {
      for (const lengthPenalty of [0, 1, 2.5, -1]) {
        const numBeams = vocab ** most, numReturnSequences = 7;
        // Only "never" goes on until nothing better is possible; below 0 it has no bound on what is.
        const earlyStopping = "never";
        const found = await search(seed, { numBeams, numReturnSequences, lengthPenalty, earlyStopping });
        const best = everything(seed, lengthPenalty).slice(0, 7);
        assertEquals(
          found.map(({ ids }) => ids),
          best.map(({ ids }) => ids),
          `${seed}, ${lengthPenalty}`,
        );
        found.forEach(({ ids, finishReason }) =>
          assertStrictEquals(finishReason, ids.at(-1) === end ? "eos" : "length")
        );
      }
    }
  });

  it("stops early when told, with whatever it has", async () => {
    let differ = 0;
    for (let seed = 0; seed < 40; seed++) {
      const scores = new Map(everything(seed, 1).map(({ ids, score }) => [ids.join(), score]));
      const of = async (earlyStopping: boolean | "never"): Promise<number> =>
        scores.get((await search(seed, { numBeams: 2, earlyStopping }))[0].ids.join())!;
      const [early, usual, late] = [await of(true), await of(false), await of("never")];
      assert(early <= usual + 1e-12 && usual <= late + 1e-12, `${seed}: ${early} ${usual} ${late}`);
      if (early < late) differ++;
    }
    assert(differ > 0);
  });

  it("in groups is as many searches that avoid each other's tokens", async () => {
    for (let seed = 0; seed < 10; seed++) {
      // Without a penalty every group finds the same; the first group never pays one.
      const alone = await search(seed, { numBeams: 2, numReturnSequences: 2 });
      const groups = { numBeams: 6, numBeamGroups: 3, numReturnSequences: 6 };
      const same = (await search(seed, groups)).map(({ ids }) => ids.join());
      assertEquals([...new Set(same)].sort(), alone.map(({ ids }) => ids.join()).sort());
      const apart = (await search(seed, { ...groups, diversityPenalty: 3 })).map(({ ids }) => ids.join());
      for (const { ids } of alone) assert(apart.includes(ids.join()));
      assert(new Set(apart).size > new Set(same).size, `${seed}: ${apart}`);
    }
    // One beam a group, and a penalty larger than any difference: the first tokens are all different.
    const options = {
      numBeams: 4,
      numBeamGroups: 4,
      numReturnSequences: 4,
      diversityPenalty: 100,
      eosTokenId: [],
      maxNewTokens: 1,
    };
    const firsts = (await search(3, options)).map(({ ids }) => ids[0]);
    assertStrictEquals(new Set(firsts).size, 4);
    const order = [...logitsOf(3)(prompt).entries()].sort((a, b) => b[1] - a[1]).map(([id]) => id);
    assertEquals(new Set(firsts), new Set(order.slice(0, 4)));
  });

  it("draws beams by their probability when sampling", async () => {
    const chances = logSoftmax(logitsOf(1)(prompt)).map(Math.exp), counts = new Array(vocab).fill(0);
    const draws = 600;
    for (let seed = 0; seed < draws; seed++) {
      const drawn = await search(1, {
        numBeams: 2,
        numReturnSequences: 2,
        doSample: true,
        topK: 0,
        maxNewTokens: 1,
        eosTokenId: [],
        seed,
      });
      assertStrictEquals(drawn.length, 2);
      assertNotEquals(drawn[0].ids, drawn[1].ids);
      for (const { ids } of drawn) counts[ids[0]]++;
    }
    // Two of the four best of a draw without replacement: the likelier a token, the oftener it is among them.
    const order = [...chances.keys()].sort((a, b) => chances[b] - chances[a]);
    for (let i = 1; i < vocab; i++) {
      assert(counts[order[i - 1]] > counts[order[i]] - 0.1 * draws, `${counts}`);
    }
    const again = await search(1, { numBeams: 3, doSample: true, seed: 5 });
    assertEquals(again, await search(1, { numBeams: 3, doSample: true, seed: 5 }));
  });
});

describe("several texts", () => {
  const many = async (table: TableModel, options: GenerateOptions) =>
    await generateMany(table, null, prompt, resolveOptions({ maxNewTokens: 6, ...options }));

  it("are what each seed gives alone, and compute the prompt once", async () => {
    const table = new TableModel(logitsOf(2)), options = { doSample: true, seed: 40 };
    const found = await many(table, { ...options, numReturnSequences: 5 });
    assertStrictEquals(table.fed.filter((count) => count > 1).length, 1);
    assertStrictEquals(table.caches.length, 1);
    assert(table.caches[0].isDisposed);
    for (const [i, { ids, promptIds }] of found.entries()) {
      const [alone] = await many(new TableModel(logitsOf(2)), { ...options, seed: 40 + i });
      assertEquals([ids, promptIds], [alone.ids, prompt], `text ${i}`);
    }
    assert(new Set(found.map(({ ids }) => ids.join())).size > 1);
  });

  it("come from beams, best first, and from a short context too", async () => {
    const beams = await many(new TableModel(logitsOf(2)), { numBeams: 3, numReturnSequences: 3 });
    assertStrictEquals(beams.length, 3);
    const sliding = await many(new TableModel(logitsOf(2), 4), {
      doSample: true,
      seed: 1,
      numReturnSequences: 2,
    });
    assertEquals(sliding.map(({ ids }) => ids.length), [6, 6]);
  });

  it("tell how likely each token was", async () => {
    const [result] = await many(new TableModel(logitsOf(2)), { logprobs: 2, temperature: 0.5, seed: 1 });
    const text = [...prompt];
    result.ids.forEach((id, i) => {
      const chances = logSoftmax(logitsOf(2)(text)), { logprob, top } = result.logprobs![i];
      assert(Math.abs(logprob - chances[id]) < 1e-5);
      const order = [...chances.keys()].sort((a, b) => chances[b] - chances[a]);
      assertEquals(top.map((t) => t.id), order.slice(0, 2));
      top.forEach((t) => assert(Math.abs(t.logprob - chances[t.id]) < 1e-5));
      text.push(id);
    });
    const [plain] = await many(new TableModel(logitsOf(2)), { logprobs: 0 });
    assertEquals(plain.logprobs?.map(({ top }) => top.length), new Array(6).fill(0));
  });
});
