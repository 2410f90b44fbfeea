/**
 * Work for many texts, or for an answer with many thousand tokens in it, is done in steps, between which others have their turn:
 * one processor's work on the logits of one text, one token and what might have stood there, one entry of a list.
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { CharTokenizer, type GenerateOptions, resolveOptions, type Tokenizer } from "../mod.ts";
import { chatLogprobs, completionLogprobs, type TokenInfo } from "../cli/serve/answer.ts";
import { jsonSteps } from "../cli/serve/json_steps.ts";
import { Generator } from "../src/core/random.ts";
import { finish } from "../src/core/steps.ts";
import { turn } from "../src/core/turn.ts";
import { Sequence } from "../src/generate/sequence.ts";
import { StopFilter } from "../src/generate/stop.ts";

describe("the choice of a token", () => {
  const everything: GenerateOptions[] = [
    {},
    { doSample: true, temperature: 0.7, topK: 40, topP: 0.9, minP: 0.01, typicalP: 0.9, seed: 4 },
    {
      sequenceBias: [[[3], 2], [[1, 4], 3]],
      repetitionPenalty: 1.2,
      presencePenalty: 0.3,
      noRepeatNgramSize: 2,
    },
    { doSample: true, epsilonCutoff: 0.001, etaCutoff: 0.001, topH: 0.9, seed: 5, logprobs: 3 },
    { renormalizeLogits: true, badWordsIds: [[3]], suppressTokens: [5], outputScores: true },
  ];

  it("is made in steps, none of which runs two processors, and is the one that is made at once", () => {
    const random = new Generator(31);
    for (const options of everything) {
      let ran = 0, steps = 0;
      const counting = Array.from({ length: 4 }, () => (): void => void ran++);
      const resolved = resolveOptions({ maxNewTokens: 9, logitsProcessors: counting, ...options });
      const cut = new Sequence([1, 2, 3], resolved), whole = new Sequence([1, 2, 3], resolved);
      for (let token = 0; token < 9; token++) {
        const logits = Float32Array.from({ length: 60 }, () => 4 * random.uniform()), same = logits.slice();
        const choosing = cut.chooseSteps(logits);
        for (;;) {
          ran = 0;
          const step = choosing.next();
          assert(ran <= 1, `${ran} processors in one step`);
          if (!step.done) {
            assertStrictEquals(step.value, logits.length);
            steps++;
            continue;
          }
          assertEquals(step.value, whole.choose(same));
          assertEquals(logits, same);
          for (const text of [cut, whole]) text.push(step.value.id);
          break;
        }
      }
      // One before each of the four, and before and behind them.
      assert(steps >= 9 * 6, `${steps} steps`);
    }
  });
});

describe("turns of the event loop", () => {
  it("are for one of those who wait", async () => {
    const soon = (f: () => void): unknown =>
      ((globalThis as { setImmediate?: typeof soon }).setImmediate ?? ((g) => setTimeout(g, 0)))(f);
    let resumed = 0, most = 0;
    const all = Promise.all(Array.from({ length: 40 }, () => turn().then(() => resumed++)));
    for (let seen = 0; resumed < 40; seen = resumed) {
      await new Promise<void>((resolve) => soon(resolve));
      most = Math.max(most, resumed - seen);
    }
    await all;
    assert(most <= 2, `${most} went on in one turn`);
  });
});

describe("stop texts", () => {
  it("hold back what may begin one, however long they are", () => {
    const random = new Generator(32),
      draw = (n: number): string => Array.from({ length: n }, () => "ab"[random.integer(0, 2)]).join("");
    for (let round = 0; round < 300; round++) {
      const stops = Array.from({ length: 1 + random.integer(0, 3) }, () => draw(1 + random.integer(0, 8)));
      const text = draw(random.integer(0, 40)), filter = new StopFilter(stops);
      let said = "", at = 0;
      while (at < text.length && filter.found === null) {
        const more = 1 + random.integer(0, 4), piece = text.slice(at, at + more);
        at += piece.length;
        said += filter.push(piece);
        if (filter.found !== null) break;
        // All of it is said but the longest end that begins a stop text.
        const begins = (n: number): boolean =>
          stops.some((stop) => n < stop.length && stop.startsWith(text.slice(at - n, at)));
        let held = Math.min(at, 8);
        while (held > 0 && !begins(held)) held--;
        assertStrictEquals(said, text.slice(0, at - held), `${stops} in ${text}`);
      }
      const first = Math.min(...stops.map((stop) => text.slice(0, at).indexOf(stop)).filter((i) => i >= 0));
      assertStrictEquals(
        said + filter.flush(),
        text.slice(0, Number.isFinite(first) ? first : at),
        `${stops}`,
      );
    }
  });
});

describe("the text of an answer", () => {
  it("is JSON's own, in steps of one entry", () => {
    const random = new Generator(33);
    const make = (depth: number): unknown => {
      const kind = random.integer(0, depth > 7 ? 5 : 8), count = random.integer(0, 5);
      if (kind === 0) return random.uniform() - 0.5;
      if (kind === 1) return [null, true, false][random.integer(0, 3)];
      if (kind === 2) {
        return String.fromCharCode(...Array.from({ length: count }, () => random.integer(0, 0x3000)));
      }
      if (kind === 3) return undefined;
      if (kind === 4) return Array.from({ length: count }, () => random.uniform());
      if (kind < 7) return Array.from({ length: count }, () => make(depth + 1));
      return Object.fromEntries(Array.from({ length: count }, (_, i) => [`"${i}`, make(depth + 1)]));
    };
    for (let i = 0; i < 500; i++) {
      const value = { made: make(0) };
      assertStrictEquals(finish(jsonSteps(value)), JSON.stringify(value));
    }
    const choices = Array.from({ length: 50 }, (_, index) => ({
      index,
      logprobs: {
        content: Array.from({ length: 20 }, () => ({ token: "a", logprob: -1, top: [{ token: "b" }] })),
      },
    }));
    let steps = 0, largest = 0;
    for (const units of jsonSteps({ choices, object: "x" })) {
      steps++;
      largest = Math.max(largest, units);
    }
    assert(steps >= 50 * 20 && largest < 50, `${steps} steps, the largest of ${largest}`);
  });
});

describe("log-probabilities of an answer", () => {
  it("are told in steps of one token, whatever their number, and as they would be at once", () => {
    const random = new Generator(23), letters = "abcdefghij", tokenizer = new CharTokenizer(letters);
    let decoded = 0;
    const counting = Object.create(tokenizer, {
      decode: {
        value(...args: Parameters<Tokenizer["decode"]>): string {
          decoded++;
          return tokenizer.decode(...args);
        },
      },
    }) as Tokenizer;
    for (let round = 0; round < 12; round++) {
      const likeliest = random.integer(0, 6), draw = () => random.integer(0, tokenizer.vocabSize);
      const tokens = Array.from({ length: random.integer(0, 200) }, (): TokenInfo => ({
        id: draw(),
        details: {
          logprob: -random.uniform(),
          top: Array.from({ length: likeliest }, () => ({ id: draw(), logprob: -random.uniform() })),
        },
      }));
      const text = ({ id }: { id: number }): string => tokenizer.decode([id], { skipSpecialTokens: false });
      for (const steps of [chatLogprobs(counting, tokens), completionLogprobs(counting, tokens, 7)]) {
        let turns = 0;
        for (;;) {
          decoded = 0;
          const step = steps.next();
          assert(decoded <= 1 + likeliest, `${decoded} texts in one step of ${1 + likeliest}`);
          if (!step.done) {
            assert(step.value >= decoded, "a step counts what it did");
            turns++;
            continue;
          }
          assertEquals(turns, tokens.length);
          const { content, tokens: texts, text_offset: offsets } = step.value as {
            content?: { token: string; top_logprobs: { token: string }[] }[];
            tokens?: string[];
            text_offset?: number[];
          };
          assertEquals(content?.map(({ token }) => token) ?? texts, tokens.map(text));
          assertEquals(
            content?.map(({ top_logprobs }) => top_logprobs.map(({ token }) => token)) ??
              tokens.map(({ details }) => details.top.map(text)),
            tokens.map(({ details }) => details.top.map(text)),
          );
          if (offsets) assertEquals(offsets, tokens.map((_, i) => 7 + i));
          break;
        }
      }
    }
  });
});
