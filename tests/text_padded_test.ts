/**
 * Ids beyond the tokenizer: models have more rows than tokens, and what such a row makes has no text. Held for every kind
 * of tokenizer, at once, streamed, and in a generation with stop texts.
 */
import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { ShapeError } from "../src/core/errors.ts";
import { pieceTypes, SentencePieceTokenizer } from "../src/text/sentencepiece/tokenizer.ts";
import { BpeTokenizer, CharTokenizer, type Tokenizer, tokenizerFromJson } from "../src/text/mod.ts";
import { textOfTokens } from "../src/generate/text.ts";
import type { ResolvedOptions } from "../src/generate/options.ts";
import { WordPieceTokenizer } from "../src/text/wordpiece.ts";
import { describe, it } from "./_suite.ts";
import { streamed } from "./_text.ts";

const bpe = BpeTokenizer.train("ab ab ab", { vocabSize: 270 });

const kinds: Record<string, () => Tokenizer | Promise<Tokenizer>> = {
  "byte-level BPE": () => bpe,
  "byte-level BPE of the package": () => tokenizerFromJson(bpe.toJSON(), {}, { engine: "huggingface" }),
  characters: () => CharTokenizer.from("ab "),
  WordPiece: () => new WordPieceTokenizer({ tokens: ["[UNK]", "a", "##b", "b"] }),
  SentencePiece: () =>
    new SentencePieceTokenizer({
      pieces: [
        { text: "<unk>", score: 0, type: pieceTypes.unknown },
        ...["▁a", "b", "a"].map((text) => ({ text, score: -1, type: pieceTypes.normal })),
      ],
      model: "unigram",
      byteFallback: false,
      addDummyPrefix: true,
      removeExtraWhitespaces: false,
    }),
};

describe("ids beyond the tokenizer", () => {
  for (const [name, make] of Object.entries(kinds)) {
    it(`have no text: ${name}`, async () => {
      const tokenizer = await make(), ids = tokenizer.encode("ab ab", { addSpecialTokens: false });
      const wanted = tokenizer.decode(ids), beyond = [tokenizer.vocabSize, tokenizer.vocabSize + 47, 2 ** 31];
      const padded = ids.flatMap((id, i) => [id, beyond[i % 3]]);
      assertStrictEquals(tokenizer.decode(padded), wanted);
      assertStrictEquals(tokenizer.decode(padded, { skipSpecialTokens: true }), wanted);
      assertStrictEquals(streamed(tokenizer, padded).join(""), wanted);
      assertStrictEquals(tokenizer.decode(beyond), "");
      assertStrictEquals(tokenizer.idToToken(beyond[0]), undefined);
      assertThrows(() => tokenizer.decode([-1]), ShapeError, "-1 is no id");
      assertThrows(() => tokenizer.stream().push(0.5), ShapeError, "0.5 is no id");
    });
  }

  it("do not hide a stop text that they part", async () => {
    const ids = [...bpe.encode("xxaby")].flatMap((id) => [id, 5000]);
    async function* made() {
      for (const id of ids) yield await Promise.resolve({ id, milliseconds: 0 });
      return { finishReason: "length" as const };
    }
    const options = { stop: ["ab"] } as unknown as ResolvedOptions;
    const pieces = textOfTokens(made() as never, bpe, [], options), texts: string[] = [];
    for await (const { text } of pieces) texts.push(text);
    assertEquals(texts.join(""), "xx");
  });
});
