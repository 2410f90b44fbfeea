/**
 * Tokenizers against the ids that their own libraries give: SentencePiece models, the vocabularies of GGUFs, and what is
 * written as tokenizer.json, read again by the package of Hugging Face.
 */
import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { readFileSync } from "node:fs";
import { FormatError, openGguf } from "../mod.ts";
import { ggufTokenizer } from "../src/text/gguf_tokenizer.ts";
import { readSentencePiece } from "../src/text/sentencepiece/model_file.ts";
import { pieceTypes, SentencePieceTokenizer } from "../src/text/sentencepiece/tokenizer.ts";
import { splitPattern } from "../src/text/oniguruma.ts";
import { pieceEnds } from "../src/text/split.ts";
import { tokenizerFromJson } from "../src/text/tokenizer_json.ts";
import { WordPieceTokenizer } from "../src/text/wordpiece.ts";
import { dataPath, missingData } from "./_data.ts";
import { describe, it } from "./_suite.ts";

interface Line {
  text: string;
  ids: number[];
  decoded: string;
}

const plain = { splitSpecialTokens: true, addSpecialTokens: false };

describe("a SentencePiece model", () => {
  for (const kind of ["unigram", "bpe-bytes", "unigram-bytes"]) {
    const skip = missingData("tokenizers", "sentencepiece", kind, "tokenizer.model");
    it(
      `${kind} gives sentencepiece's ids and texts, and is kept by its tokenizer.json`,
      { skip },
      async () => {
        const path = (name: string): string => dataPath("tokenizers", "sentencepiece", kind, name);
        const tokenizer = await readSentencePiece(readFileSync(path("tokenizer.model")));
        const lines = readFileSync(path("golden.jsonl"), "utf8").trim().split("\n").map((l): Line =>
          JSON.parse(l)
        );
        const again = await tokenizerFromJson(tokenizer.toJSON());
        assert(lines.length > 50);
        for (const { text, ids, decoded } of lines) {
          assertEquals(tokenizer.encode(text, plain), ids, text);
          assertStrictEquals(tokenizer.decode(ids), decoded, text);
          const stream = tokenizer.stream();
          assertStrictEquals(ids.map((id) => stream.push(id)).join("") + stream.flush(), decoded);
          if (kind === "bpe-bytes") assertEquals(again.encode(text, plain), ids, `tokenizer.json: ${text}`);
        }
      },
    );
  }

  it("that is none says so", async () => {
    for (
      const bytes of [
        new Uint8Array(0),
        new Uint8Array([10, 255, 255, 255, 15]),
        new TextEncoder().encode("{}"),
      ]
    ) {
      await assertRejects(() => readSentencePiece(bytes), FormatError, "tokenizer.model");
    }
  });

  it("takes pieces that are only steps apart again, and keeps a user's own whole", () => {
    const piece = (text: string, score: number, type: number = pieceTypes.normal) => ({ text, score, type });
    const tokenizer = new SentencePieceTokenizer({
      pieces: [
        piece("<unk>", 0, pieceTypes.unknown),
        ...["a", "b", "c"].map((text) => piece(text, -9)),
        piece("ab", -1, pieceTypes.unused),
        piece("bc", -2),
        piece("cab", 0, pieceTypes.userDefined),
      ],
      model: "bpe",
      byteFallback: false,
      addDummyPrefix: false,
      removeExtraWhitespaces: false,
    });
    assertEquals(tokenizer.encode("abc"), [1, 2, 3]);
    assertEquals(tokenizer.encode("bc"), [5]);
    assertEquals(tokenizer.encode("bcabc"), [2, 6, 3]);
    assertEquals(tokenizer.encode("xxa"), [0, 1]);
  });
});

describe("the tokenizer in a GGUF", () => {
  for (const name of ["bert-bge", "gpt-2", "llama-bpe", "llama-spm", "phi-3", "qwen2"]) {
    const file = `ggml-vocab-${name}.gguf`;
    it(`${name} gives llama.cpp's ids`, { skip: missingData("gguf-vocab", file) }, async () => {
      await using gguf = await openGguf(dataPath("gguf-vocab", file));
      const tokenizer = ggufTokenizer(gguf.metadata, name)!;
      const texts = readFileSync(dataPath("gguf-vocab", `${file}.inp`), "utf8").split(
        "\n__ggml_vocab_test__\n",
      );
      const wanted = readFileSync(dataPath("gguf-vocab", `${file}.out`), "utf8").split("\n");
      texts.forEach((text, i) => {
        const ids = wanted[i].trim().split(" ").filter((id) => id !== "").map(Number);
        assertEquals(tokenizer.encode(text, { addSpecialTokens: false }), ids, JSON.stringify(text));
        if (name !== "bert-bge") assertStrictEquals(tokenizer.decode(ids).trim(), text.trim());
      });
    });
  }

  it("says what it does not know", () => {
    const notes = (entries: Record<string, unknown>) =>
      new Map(Object.entries(entries).map(([key, value]) => [`tokenizer.ggml.${key}`, value]));
    assertStrictEquals(ggufTokenizer(new Map(), "x"), null);
    assertThrows(() => ggufTokenizer(notes({ model: "rwkv" }), "x"), FormatError, '"rwkv"');
    assertThrows(
      () => ggufTokenizer(notes({ model: "gpt2", tokens: ["a"], pre: "new" }), "x"),
      FormatError,
      '"new"',
    );
    assertThrows(() => ggufTokenizer(notes({ model: "llama", tokens: 5 }), "x"), FormatError, "tokens");
  });
});

describe("split patterns", () => {
  it("are those of Oniguruma", () => {
    const pieces = (pattern: string, text: string): string[] => {
      const ends = pieceEnds(text, 0, text.length, [splitPattern(pattern)]);
      return ends.map((end, i) => text.slice(ends[i - 1] ?? 0, end));
    };
    assertEquals(pieces(String.raw`\s+`, "a\u0085b\ufeffc"), ["a", "\u0085", "b\ufeffc"]);
    assertEquals(pieces("(?i:'s|'ll)", "it'S we'Ll"), ["it", "'S", " we", "'Ll"]);
    assertEquals(pieces(String.raw`\p{L}++|\p{N}{1,3}`, "ab1234"), ["ab", "123", "4"]);
    // Ruby's syntax repeats a repeat, has anchors for lines, nests classes, and calls hexadecimal digits h.
    assertEquals(pieces(String.raw`\p{N}{1,3}+`, "1234 5"), ["1234", " ", "5"]);
    assertEquals(pieces("^a|b$", "a\na\rab\nb"), ["a", "\n", "a", "\ra", "b", "\n", "b"]);
    assertEquals(pieces(String.raw`[\p{L}&&[^a-c]]+`, "abcdefg1"), ["abc", "defg", "1"]);
    assertEquals(pieces(String.raw`\h+`, "abz1"), ["ab", "z", "1"]);
    assertEquals(pieces("(?i:[st]|k)", "ſK"), ["ſ", "K"]);
    assertEquals(pieces(String.raw`(?=(?:\d{3})+(?!\d))`, "1234567"), ["1", "234", "567"]);
    assertEquals(pieces(String.raw`\p{Han}+|[[:alpha:]]+`, "漢é1"), ["漢", "é", "1"]);
    for (const none of ["(?>a)", "[z-a]", "(a", "[a", "a)", "\\p{Nonsense}", "(?x) a", "*a", "\\X"]) {
      assertThrows(() => splitPattern(none), FormatError, "not understood", none);
    }
    assertThrows(() => splitPattern("(?<"), FormatError, "not understood");
  });
});

describe("WordPiece", () => {
  it("takes words apart from the front", () => {
    const tokenizer = new WordPieceTokenizer({
      tokens: ["[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "!", "affable"],
    });
    assertEquals(tokenizer.encode("UNaffable!"), [1, 3, 4, 5, 6, 2]);
    assertEquals(tokenizer.encode("unx affable", { addSpecialTokens: false }), [0, 7]);
    assertStrictEquals(tokenizer.decode([3, 4, 5, 6]), "unaffable !");
  });
});
