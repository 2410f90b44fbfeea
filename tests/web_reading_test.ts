/** What the pages' models read of any text: unknown letters are left out, of long texts the end is seen, and choices are told of what was seen. */
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { CharTokenizer, GPT2, manualSeed } from "../mod.ts";
import { choicesAt } from "../web/engine/choices.ts";
import { knownOf, readingOf } from "../web/engine/reading.ts";
import { sideOf } from "../web/engine/side_by_side.ts";
import { tokensOf } from "../web/engine/tokens.ts";
import { describe, it } from "./_suite.ts";
import { numbersFrom } from "./_random_program.ts";

const alphabet = "abcdefgh ";
const options = {
  ...{ maxNewTokens: 20, temperature: 0.9, topK: 4, topP: 1, minP: 0, typicalP: 1, epsilonCutoff: 0 },
  ...{ etaCutoff: 0, repetitionPenalty: 1.3, frequencyPenalty: 0, presencePenalty: 0, noRepeatNgramSize: 0 },
  ...{ seed: 3, stop: [] },
};

function smallModel(seed: number, nPositions: number): GPT2 {
  manualSeed(seed);
  const tokenizer = CharTokenizer.from(alphabet), shape = { nEmbd: 16, nLayer: 1, nHead: 2, nPositions };
  const model = new GPT2({ ...shape, vocabSize: tokenizer.vocabSize, bosTokenId: null, eosTokenId: null });
  model.tokenizer = tokenizer;
  model.eval();
  return model;
}

describe("what the pages' models read", () => {
  it("random texts: known letters stay in order, others are told once", () => {
    const random = numbersFrom(5), letters = [...alphabet, ..."xyz日本🙂\n"];
    const tokenizer = CharTokenizer.from(alphabet);
    for (let round = 0; round < 50; round++) {
      const text = Array.from(
        { length: 1 + Math.floor(40 * random()) },
        () => letters[Math.floor(letters.length * random())],
      );
      const { text: known, left } = knownOf(text.join(""), tokenizer);
      assertEquals([...known], text.filter((letter) => alphabet.includes(letter)));
      assertEquals(
        [...left].sort(),
        [...new Set(text)].filter((letter) => !alphabet.includes(letter)).sort(),
      );
    }
  });

  it("at any place, also after the context is used up, choices are what was drawn from", async () => {
    for (const [seed, positions, length] of [[1, 8, 3], [2, 9, 9], [3, 8, 21]] as const) {
      using model = smallModel(seed, positions);
      const prompt = "a日bc dhgf cabab gefdc".slice(0, length), { seen } = readingOf(model, prompt);
      assert(seen.length <= positions);
      const { ids, scores } = await model.completion(seen, {
        ...{
          maxNewTokens: 20,
          temperature: 0.9,
          topK: 4,
          repetitionPenalty: 1.3,
          seed: 3,
          outputScores: true,
        },
      });
      for (let place = 0; place < 20; place++) {
        const found = await choicesAt(model, prompt, ids.slice(0, place), options, alphabet.length);
        const most = Math.max(...scores![place]), shares = scores![place].map((x) => Math.exp(x - most));
        const sum = shares.reduce((a, b) => a + b, 0);
        for (const { id, after } of found.choices) assertAlmostEquals(after, shares[id] / sum, 1e-5);
      }
    }
  });

  it("bits a letter count the letters that were read", async () => {
    using model = smallModel(4, 16);
    const plain = await sideOf(model, "abc fed abc", "ab", options, new AbortController().signal);
    const mixed = await sideOf(
      model,
      "a日b日c日 日f日ed ab本c",
      "ab日",
      options,
      new AbortController().signal,
    );
    assertEquals([mixed.bitsPerLetter, mixed.text], [plain.bitsPerLetter, plain.text]);
  });

  it("what cannot be read is told in a sentence", async () => {
    using model = smallModel(5, 8);
    assertThrows(() => readingOf(model, "日本"), Error, "knows none of these letters: 日本");
    const { left, count, letters } = await tokensOf("a日b", null, model.tokenizer);
    assertEquals([left, count, letters], ["日", 2, 2]);
    model.tokenizer = null;
    assertThrows(() => readingOf(model, "ab"), Error, "without a tokenizer.json");
    await assertRejects(() => tokensOf("ab", null, null), Error, "bring a tokenizer.json");
  });
});
