/**
 * Tokenizers against the ids that their own libraries give: SentencePiece models, the vocabularies of GGUFs, and what is
 * written as tokenizer.json, read again by the package of Hugging Face.
 */
import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { readFileSync } from "node:fs";
import { FormatError, openGguf } from "../mod.ts";
import { endlessReason } from "../src/text/backtracking.ts";
import { byteSymbols } from "../src/text/bytes.ts";
import { ggufSplits } from "../src/text/gguf_splits.ts";
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
          assertEquals(tokenizer.encode(text), ids, text);
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

  const notesOf = (entries: Record<string, unknown>) =>
    new Map(
      Object.entries(entries).map(([key, value]) => [
        key.startsWith("general.") ? key : `tokenizer.ggml.${key}`,
        value,
      ]),
    );
  const bytes = { tokens: [...byteSymbols, "<|im_end|>", "<u>", "<c>"], merges: [], model: "gpt2" };
  const types = Int32Array.from(bytes.tokens, (token) => token === "<u>" ? 4 : token === "<c>" ? 3 : 1);
  const kind = (pre: string) =>
    ggufTokenizer(notesOf({ ...bytes, pre, token_type: types, bos_token_id: 258 }), pre)!;

  it("cuts as its kind does, by expressions that end", () => {
    for (const [name, expressions] of Object.entries(ggufSplits)) {
      for (const source of expressions) {
        assertStrictEquals(endlessReason(splitPattern(source).source), null, name);
      }
      const text = "It'S 12345 Ünïcode\n\n  \u4e2d\u6587x! e\u0301 <|im_end|>", tokenizer = kind(name);
      assertStrictEquals(tokenizer.decode(tokenizer.encode(text, { addSpecialTokens: false })), text);
    }
    const cuts = (name: string, text: string): string[] => {
      const ends = pieceEnds(text, 0, text.length, ggufSplits[name].map(splitPattern));
      return ends.map((end, i) => text.slice(ends[i - 1] ?? 0, end));
    };
    const text = "Don'T eat 12345\u4e2da b\u0301\n";
    assertEquals(cuts("qwen2", text), [
      "Don",
      "'T",
      " eat",
      " ",
      "1",
      "2",
      "3",
      "4",
      "5",
      "\u4e2da",
      " b",
      "\u0301\n",
    ]);
    assertEquals(cuts("qwen35", text), [
      "Don",
      "'T",
      " eat",
      " ",
      "1",
      "2",
      "3",
      "4",
      "5",
      "\u4e2da",
      " b\u0301",
      "\n",
    ]);
    assertEquals(cuts("deepseek-v3", text), [
      "Don",
      "'T",
      " eat",
      " ",
      "123",
      "45",
      "\u4e2d",
      "a",
      " b\u0301",
      "\n",
    ]);
    assertEquals(cuts("tekken", text), [
      "Don",
      "'T",
      " eat",
      " ",
      "1",
      "2",
      "3",
      "4",
      "5",
      "\u4e2da",
      " b\u0301",
      "\n",
    ]);
    assertEquals(cuts("superbpe", text), ["Don'T eat ", "12", "345", "\u4e2da b\u0301\n"]);
    assertEquals(cuts("kimi-k2", text), ["Don'T", " eat", " ", "123", "45", "\u4e2d", "a", " b\u0301", "\n"]);
    assertEquals(cuts("falcon", text), [
      "Don",
      "'",
      "T",
      " eat",
      " ",
      "123",
      "45",
      "\u4e2da",
      " b",
      "\u0301",
      "\n",
    ]);
    assertEquals(cuts("bloom", "a, b."), ["a", ",", " b", "."]);
  });

  it("finds tokens of its types, and those that end turns, whatever their type", () => {
    const tokenizer = kind("gpt-2");
    assertEquals(tokenizer.encode("<|im_end|><u><c>"), [256, 257, 258]);
    assertEquals(tokenizer.encode("<|im_end|><u>", { splitSpecialTokens: true }).at(-1), 257);
    assertStrictEquals(tokenizer.decode([256, 257, 258], { skipSpecialTokens: true }), "<u>");
    assertEquals(kind("llama-bpe").encode(""), [258]);
    assertEquals(kind("qwen2").encode(""), []);
  });

  it("of phi-3 takes white space behind its tokens", () => {
    const spm = {
      model: "llama",
      tokens: ["<unk>", "<s>", "</s>", "\u2581", "a", "<|user|>"],
      scores: Float32Array.of(0, 0, 0, -1, -1, 0),
      token_type: Int32Array.of(2, 3, 3, 1, 1, 3),
      add_bos_token: false,
    };
    const plain = ggufTokenizer(notesOf(spm), "x")!;
    assertEquals(plain.encode("<|user|> a<unk>"), [5, 3, 3, 4, 0]);
    assertEquals(
      ggufTokenizer(notesOf({ ...spm, "general.name": "Phi-3 mini" }), "x")!.encode("<|user|> a"),
      [5, 3, 4],
    );
    // The ids of what begins and ends a text, where the file names none.
    assertEquals(
      ggufTokenizer(notesOf({ ...spm, add_bos_token: true, add_eos_token: true }), "x")!.encode("a"),
      [1, 3, 4, 2],
    );
  });

  it("of Gemma 4 joins characters, and runs of line feeds", () => {
    const hex = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`);
    const tokens = ["<pad>", "<bos>", "<eos>", ...hex, "\u2581", "a", "b", "\u2581a", "\n", "\n\n"],
      at = (t: string) => tokens.indexOf(t);
    const tokenizer = ggufTokenizer(
      notesOf({
        model: "gemma4",
        tokens,
        token_type: Int32Array.from(tokens, (_, i) => i < 3 ? 3 : i < 259 ? 6 : 1),
        merges: ["\u2581 a"],
        bos_token_id: 1,
        eos_token_id: 2,
      }),
      "x",
    )!;
    const text = "a ab\n\né";
    assertEquals(tokenizer.encode(text), [
      1,
      at("a"),
      at("\u2581a"),
      at("b"),
      at("\n\n"),
      at("<0xC3>"),
      at("<0xA9>"),
    ]);
    assertStrictEquals(tokenizer.decode(tokenizer.encode(text), { skipSpecialTokens: true }), text);
    assertStrictEquals(tokenizer.eosTokenId, 2);
  });

  it("of BERT is as small, and as bare of accents, as its notes say", () => {
    const tokens = ["[UNK]", "[CLS]", "[SEP]", "\u2581\u00e9", "\u2581e", "\u2581\u00c9"];
    const read = (more: object) =>
      ggufTokenizer(
        notesOf({ model: "bert", tokens, token_type: Int32Array.of(2, 3, 3, 1, 1, 1), ...more }),
        "x",
      )!
        .encode("\u00c9", { addSpecialTokens: false });
    assertEquals(read({ unknown_token_id: 0 }), [4]);
    assertEquals(read({ unknown_token_id: 0, "normalizer.lowercase": false }), [5]);
    assertEquals(read({ unknown_token_id: 0, "normalizer.strip_accents": false }), [3]);
  });

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
    // Bare, \w has the numbers of Latin-1, in brackets it has not; [:punct:] has symbols.
    assertEquals(pieces(String.raw`\w+`, "x² ½"), ["x²", " ", "½"]);
    assertEquals(pieces(String.raw`[\w]+`, "x² ½"), ["x", "² ½"]);
    assertEquals(pieces(String.raw`0(?=\d*\b)`, "00²0"), ["00²", "0"]);
    assertEquals(pieces("[[:punct:]]", "a€.b"), ["a", "€", ".", "b"]);
    assertEquals(pieces("[[:graph:]]+|[[:print:]]", "a\u00adb \x01c"), ["a\u00adb", " ", "\x01", "c"]);
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
