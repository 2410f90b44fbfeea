/** An answer with the texts of many thousand tokens in it is made in steps, each of one token and what might have stood there. */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { CharTokenizer, type Tokenizer } from "../mod.ts";
import { chatLogprobs, completionLogprobs, type TokenInfo } from "../cli/serve/answer.ts";
import { Generator } from "../src/core/random.ts";

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
