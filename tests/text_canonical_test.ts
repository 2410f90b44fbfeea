/**
 * Texts made to take long: runs of marks, one endless word, one endless space. Every tokenizer takes time that grows with the
 * text, in steps of bounded work, and gives the ids that it gives at once.
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { before, describe, it } from "node:test";
import {
  BpeTokenizer,
  SentencePieceTokenizer,
  type Tokenizer,
  tokenizerFromJson,
  WordPieceTokenizer,
} from "../mod.ts";
import { finish, type Steps } from "../src/core/steps.ts";
import { type NormalForm, normalized, normalizedSteps } from "../src/text/canonical.ts";
import { Dice } from "./_constraint.ts";
import { isFull, width } from "./_width.ts";

const forms: readonly NormalForm[] = ["NFC", "NFD", "NFKC", "NFKD"];

function charactersThat(is: (text: string) => boolean): string[] {
  const found: string[] = [];
  for (let code = 0; code <= 0x10ffff; code++) {
    if (code >= 0xd800 && code < 0xe000) continue;
    const text = String.fromCodePoint(code);
    if (is(text)) found.push(text);
  }
  return found;
}

/** Whether a mark moves behind or before others. */
const moves = (mark: string): boolean =>
  (mark + "\u0334").normalize("NFD").startsWith("\u0334") ||
  !("\u0345" + mark).normalize("NFD").startsWith("\u0345");

describe("normal forms", () => {
  const marks = charactersThat((text) => /[\p{M}\uff9e\uff9f]/u.test(text));

  it("of random runs of marks are JavaScript's, at once and in steps", () => {
    const dice = new Dice(3);
    for (let round = 0; round < width(150, 40); round++) {
      const own = Array.from({ length: 1 + dice.below(60) }, () => dice.pick(marks));
      let text = "";
      for (let letters = 1 + dice.below(8); letters > 0; letters--) {
        text += dice.pick(["a", "é", "\u0916", "가", "漢", "\ud800", "ｶ", ""]);
        for (let n = dice.below(200); n > 0; n--) text += dice.pick(own);
        if (dice.uniform() < 0.1) text += dice.pick(["plain ", "한국어 ", "\u1100\u1161\u11a8"]).repeat(2000);
      }
      for (const form of forms) {
        const expected = text.normalize(form);
        assertStrictEquals(normalized(text, form), expected);
        assertStrictEquals(finish(normalizedSteps(text, form)), expected);
      }
    }
  });

  // Of a million characters: all engines have the same table.
  if (!isFull) return;
  it("know every character that moves, and whatever becomes one", () => {
    const others = charactersThat((text) => !/\p{M}/u.test(text));
    assertEquals(others.filter((text) => moves(text)), []);
    const becoming = others.filter((text) =>
      text.normalize("NFKD") !== text && moves(String.fromCodePoint(text.normalize("NFKD").codePointAt(0)!))
    );
    assertEquals(becoming, ["\uff9e", "\uff9f"]);
  });
});

const letters = [..."abcdefghijklmnopqrstuvwxyz1 \u2581\u0301\u0316é漢"];
const pieces = [
  ...letters,
  "aa",
  "ab",
  "aaaa",
  "  ",
  "    ",
  "\u2581\u2581",
  "\u2581a",
  "11",
  "\u0301\u0316",
];
const scored = (types: Record<string, number>) => [
  ...Object.entries(types).map(([text, type]) => ({ text, score: 0, type })),
  ...pieces.map((text, i) => ({ text, score: -i, type: 1 })),
];

const names = [
  "bpe",
  "bpe, composed",
  "bpe, cut by an expression",
  "sentencepiece, bpe",
  "sentencepiece, unigram",
  "wordpiece",
  "a file of parts",
  "a file of pairs",
] as const;

/** Tokenizers of every kind, with what they do to a text before they cut it. */
async function tokenizers(): Promise<Record<typeof names[number], Tokenizer>> {
  const bpe = BpeTokenizer.train(["aaaa aaaa ab 1111    the quick  fox\n"], { vocabSize: 280 });
  const json = bpe.toJSON() as Record<string, unknown>, types = { "<unk>": 2, "<s>": 3 };
  const common = { addDummyPrefix: true, byteFallback: false };
  const vocab = Object.fromEntries(["[UNK]", ...pieces].map((token, id) => [token, id]));
  const model = { type: "WordPiece", unk_token: "[UNK]", vocab };
  return {
    bpe,
    "bpe, composed": await tokenizerFromJson({ ...json, normalizer: { type: "NFC" } }),
    "bpe, cut by an expression": await tokenizerFromJson({
      ...json,
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: [
          {
            type: "Split",
            pattern: { Regex: "\\p{L}+|\\p{N}{1,3}|\\s+(?!\\S)|\\s+|[^\\s\\p{L}\\p{N}]+" },
            behavior: "Isolated",
            invert: false,
          },
          { type: "ByteLevel", add_prefix_space: false, use_regex: false },
        ],
      },
    }),
    "sentencepiece, bpe": new SentencePieceTokenizer({
      ...common,
      pieces: scored(types),
      model: "bpe",
      removeExtraWhitespaces: false,
    }),
    "sentencepiece, unigram": new SentencePieceTokenizer({
      ...common,
      pieces: scored(types),
      model: "unigram",
      removeExtraWhitespaces: true,
    }),
    wordpiece: new WordPieceTokenizer({ tokens: ["[UNK]", "[CLS]", "[SEP]", ...pieces] }),
    "a file of parts": await tokenizerFromJson({
      normalizer: { type: "Sequence", normalizers: [{ type: "NFKC" }, { type: "StripAccents" }] },
      pre_tokenizer: { type: "Sequence", pretokenizers: [{ type: "WhitespaceSplit" }, { type: "Digits" }] },
      model: { ...model, max_input_chars_per_word: 50 },
    }),
    "a file of pairs": await tokenizerFromJson({
      normalizer: { type: "Replace", pattern: { String: " " }, content: "\u2581" },
      model: {
        type: "BPE",
        unk_token: "[UNK]",
        fuse_unk: true,
        byte_fallback: true,
        vocab,
        merges: ["a a", "aa aa", "\u2581 a"],
      },
    }),
  };
}

/** The most units that a step may do, and a text may take for each of its characters. */
const mostAtOnce = 60_000, mostEach = 400;

describe("texts made to take long", () => {
  let all: Record<string, Tokenizer>;
  before(async () => {
    all = await tokenizers();
  });
  const n = width(60_000, 20_000);
  const texts: Record<string, string> = {
    "one word": "a".repeat(n),
    "one word of all letters": "abcdefghij".repeat(n / 10),
    "spaces": " ".repeat(n),
    "spaces between": `a${" ".repeat(n)}b`,
    "digits": "1".repeat(n),
    "marks": `a${"\u0301\u0316".repeat(n / 2)}`,
    "marks in the wrong order": `a${"\u0301".repeat(n / 2)}${"\u0316".repeat(n / 2)}`,
    "words": "aa ab, ".repeat(n / 7),
    "no ends of words": "漢é".repeat(n / 2),
  };
  for (const name of names) {
    it(`${name}: in steps of bounded work`, () => {
      const tokenizer = all[name], normalize = String.prototype.normalize;
      // What JavaScript itself is given to put in order is short, or in order: more would take it the square of its length.
      String.prototype.normalize = function (form) {
        const run = /\p{M}{64,}/u.exec(String(this))?.[0];
        if (run) assertStrictEquals(/\u0301\u0316/.exec(run), null, "marks that are not in order");
        return normalize.call(this, form);
      };
      try {
        for (const [what, text] of Object.entries(texts)) {
          let units = 0;
          const steps = tokenizer.encodeSteps!(text) as Steps<number[]>;
          for (let step = steps.next();; step = steps.next()) {
            if (step.done) break;
            // The engine composes what is in order in one go, which costs little.
            assert(
              step.value <= (what.startsWith("marks") ? text.length + 2 : mostAtOnce),
              `${what}: ${step.value} units at once`,
            );
            units += step.value;
          }
          assert(units <= mostEach * text.length, `${what}: ${units / text.length} units a character`);
        }
        const short = Object.values(texts).map((text) => text.slice(0, 300) + text.slice(-9)).join("");
        assertEquals(finish(tokenizer.encodeSteps!(short) as Steps<number[]>), tokenizer.encode(short));
      } finally {
        String.prototype.normalize = normalize;
      }
    });
  }
});
