/**
 * Text that is streamed, stop texts, and beam search.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import {
  BpeTokenizer,
  CancelledError,
  FerrotypeError,
  type GenerationResult,
  ShapeError,
  tokenizerFromJson,
} from "../mod.ts";
import { StopFilter } from "../src/generate/stop.ts";
import { pieces, run, scripted, TableModel } from "./_language_model.ts";
const out = -Infinity;

describe("streamed text", () => {
  const bytes = BpeTokenizer.train("", { vocabSize: 257 });
  const ids = (text: string): number[] => bytes.encode(text);

  it("never splits a character", async () => {
    const text = "a😀é👩‍👩‍👧!", script = ids(text);
    const { list, result } = await pieces(scripted(script, 257, 1), bytes, [0], {
      maxNewTokens: script.length,
    });
    assertEquals(list, [...text]);
    assertStrictEquals(result.text, text);
    assertEquals(result.ids, script);
    assertStrictEquals(result.finishReason, "length");
    // Cut in the middle of a character, what is left of it is shown as U+FFFD at the end.
    const half = await pieces(scripted(script, 257, 1), bytes, [0], { maxNewTokens: 3 });
    assertEquals(half.list, ["a", "\ufffd"]);
  });

  it("goes on with its prompt, whose last word a space divides from the next, and begins without one", async () => {
    const words = ["▁once", "▁upon", "▁a", "▁time", "s", "<s>"];
    const tokenizer = await tokenizerFromJson({
      added_tokens: [{ id: 5, content: "<s>", special: true }],
      model: {
        type: "WordLevel",
        unk_token: "s",
        vocab: Object.fromEntries(words.map((word, id) => [word, id])),
      },
      pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
      decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
    });
    const text = async (prompt: number[], script: number[]): Promise<string> =>
      (await pieces(scripted(script, 6, prompt.length), tokenizer, prompt, { maxNewTokens: script.length }))
        .result.text;
    assertStrictEquals(await text(tokenizer.encode("once upon"), [2, 3, 4]), " a times");
    assertStrictEquals(await text([5], [0, 1]), "once upon");
    assertStrictEquals(await text([1, 5], [4, 0]), "s once");
  });

  it("ends before a stop text, though it spans tokens", async () => {
    const script = ids("one, two; three");
    const stopped = (stop: string | string[]): Promise<{ list: string[]; result: GenerationResult }> =>
      pieces(scripted(script, 257, 1), bytes, [0], { maxNewTokens: script.length, stop });
    const { list, result } = await stopped("two;");
    assertStrictEquals(list.join(""), "one, ");
    assertEquals([result.text, result.finishReason], ["one, ", "stop"]);
    assertEquals(result.ids, ids("one, two;"));
    assertStrictEquals((await stopped(["three", "tw"])).result.text, "one, ");
    assertStrictEquals((await stopped("o")).result.text, "");
    const never = await stopped("threefold");
    assertEquals([never.result.text, never.result.finishReason], ["one, two; three", "length"]);
    const character = await pieces(scripted(ids("ab😀c"), 257, 1), bytes, [0], {
      maxNewTokens: 9,
      stop: "😀",
    });
    assertStrictEquals(character.result.text, "ab");
  });

  it("holds back only what may begin a stop text", () => {
    const filter = new StopFilter(["aab", "cd"]);
    assertEquals(["x", "a", "a", "a", "c", "x", "a"].map((text) => filter.push(text)), [
      "x",
      "",
      "",
      "a",
      "aa",
      "cx",
      "",
    ]);
    assertStrictEquals(filter.flush(), "a");
    assertEquals([filter.push("ccdz"), filter.found, filter.push("z")], ["c", "cd", ""]);
  });
});

describe("beam search", () => {
  /** Logits over 5 tokens that depend on the last two of the text. */
  const table = (text: readonly number[]): number[] => {
    const a = text.at(-1) as number, b = text.at(-2) ?? 0;
    return Array.from({ length: 5 }, (_, i) => 2 * Math.sin(3 * i + 5 * a + 7 * b));
  };
  const logProbabilities = (text: readonly number[]): number[] => {
    const logits = table(text), total = Math.log(logits.reduce((sum, v) => sum + Math.exp(v), 0));
    return logits.map((v) => v - total);
  };

  /** Every text of at most `most` new tokens, scored by its mean log-probability. */
  function exhaustive(
    prompt: number[],
    most: number,
    end: number | null,
  ): { ids: number[]; score: number }[] {
    const found: { ids: number[]; score: number }[] = [];
    const grow = (ids: number[], sum: number): void => {
      logProbabilities([...prompt, ...ids]).forEach((p, id) => {
        const all = [...ids, id];
        if (id === end || all.length === most) found.push({ ids: all, score: (sum + p) / all.length });
        else grow(all, sum + p);
      });
    };
    grow([], 0);
    return found.sort((a, b) => b.score - a.score);
  }

  it("with enough beams finds the likeliest of all texts", async () => {
    for (const start of [0, 1, 2, 3]) {
      for (const end of [null, 4, 2]) {
        const [best] = exhaustive([start], 4, end);
        const model = new TableModel(table);
        const result = await run(model, [start], { numBeams: 700, maxNewTokens: 4, eosTokenId: end });
        assertEquals(result, { ids: best.ids, finishReason: best.ids.at(-1) === end ? "eos" : "length" });
        assert(model.caches.every((cache) => cache.isDisposed));
      }
    }
  });

  it("names what makes a score that is no number, or that nothing can be added to", async () => {
    const model = new TableModel(table);
    for (const [value, numBeamGroups] of [[NaN, 1], [Infinity, 1], [NaN, 2], [Infinity, 2]]) {
      const spoil = (_: readonly number[], scores: Float32Array): void => void (scores[2] = value);
      const options = { numBeams: 4, numBeamGroups, maxNewTokens: 3, logitsProcessors: [spoil] };
      const { message } = await assertRejects(() => run(model, [1], options), FerrotypeError);
      assertMatch(message, new RegExp(`at new token 1 .* made the logit of id 2 ${value};`));
    }
    // That none but one may come is said by the others.
    const only = (_: readonly number[], scores: Float32Array): void =>
      void scores.forEach((_, id) => scores[id] = id === 3 ? 0 : -Infinity);
    const options = { numBeams: 4, maxNewTokens: 3, eosTokenId: null, logitsProcessors: [only] };
    assertEquals((await run(model, [1], options)).ids, [3, 3, 3]);
  });

  it("with few beams does at least as well as greedy choice, at the cost of one position a step", async () => {
    const score = (ids: number[]): number =>
      exhaustive([1], 4, null).find((t) => t.ids.join() === ids.join())?.score as number;
    const greedy = await run(new TableModel(table), [1], { maxNewTokens: 4 });
    const model = new TableModel(table), heard: number[] = [];
    const beams = await run(model, [1], { maxNewTokens: 4, numBeams: 3, onToken: (id) => heard.push(id) });
    assert(score(beams.ids) >= score(greedy.ids));
    assertEquals(heard, beams.ids);
    assertEquals(model.fed, [1, 1, 1, 1]);
  });

  it("heeds penalties, limits and signals", async () => {
    const model = new TableModel(table, 8);
    const { ids } = await run(model, [1], {
      numBeams: 3,
      maxNewTokens: 5,
      logitsProcessors: [(_, logits) => logits.fill(out, 0, 3)],
    });
    assert(ids.every((id) => id >= 3));
    assertEquals(await run(model, [1], { numBeams: 3, maxNewTokens: 0 }), {
      ids: [],
      finishReason: "length",
    });
    assertMatch(
      (await assertRejects(() => run(model, [1], { numBeams: 3, maxNewTokens: 9 }), ShapeError)).message,
      /does not slide/,
    );
    await assertRejects(
      () => run(model, [1], { numBeams: 3, signal: AbortSignal.abort(), maxNewTokens: 5 }),
      CancelledError,
    );
    await assertRejects(
      () =>
        run(model, [1], {
          numBeams: 3,
          maxNewTokens: 5,
          logitsProcessors: [(_, logits) => logits.fill(out)],
        }),
      Error,
      "every token is excluded",
    );
  });
});
