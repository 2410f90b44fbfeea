/**
 * Characters, and reading a tokenizer.json of any kind: which engine runs it, what the door to the Hugging Face
 * package puts right, and what a malformed file is told.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { FormatError, OptionError } from "../src/core/errors.ts";
import { BpeTokenizer, CharTokenizer, tokenizerFromJson } from "../src/text/mod.ts";
import { repository } from "./_data.ts";
import { gpt2TokenizerJson, streamed, writing } from "./_text.ts";

describe("CharTokenizer", () => {
  it("gives sorted code points their ids and back", () => {
    const text = "hello\nworld \u{1f469}\u200d\u{1f4bb} \ud800 é";
    const tokenizer = CharTokenizer.from(text);
    assertEquals(tokenizer.characters.slice(0, 4), ["\n", " ", "d", "e"]);
    assertStrictEquals(tokenizer.vocabSize, new Set(text).size);
    assertStrictEquals(tokenizer.encode(text).length, [...text].length);
    assertStrictEquals(tokenizer.decode(tokenizer.encode(text)), text);
    assertStrictEquals(streamed(tokenizer, tokenizer.encode(text)).join(""), text);
    assertEquals(new CharTokenizer(["b", "a"]).encode("ab"), [1, 0]);
    assertEquals(CharTokenizer.from(["ab", "bc"]).characters, ["a", "b", "c"]);
  });

  it("names an unknown character and its position, or makes it the unk token", () => {
    const tokenizer = CharTokenizer.from("abc");
    assertMatch(
      assertThrows(() => tokenizer.encode("ab\u{1f600}"), FormatError).message,
      /"\u{1f600}" \(U\+1F600\) at position 2/u,
    );
    const withUnk = CharTokenizer.from("abc", { unkToken: "<unk>" });
    assertEquals(withUnk.encode("a?\u{1f600}<unk>"), [0, 3, 3, 3]);
    assertStrictEquals(withUnk.decode([0, 3]), "a<unk>");
    assertStrictEquals(withUnk.decode([0, 3], { skipSpecialTokens: true }), "a");
    assertStrictEquals(withUnk.decode([4, 0]), "a");
    assertThrows(() => new CharTokenizer(["a", "a"]), OptionError);
    assertThrows(() => new CharTokenizer(["ab"]), OptionError);
  });

  it(
    "saves a tokenizer.json that both engines load and encode identically",
    async () => {
      const text = writing(300_000);
      const odd = "\u{1f600}\u{1f469}\u200d\u{1f4bb}\r\n\n\t\u0085\ufeff1_proto__é漢";
      const tokenizer = CharTokenizer.from([text, odd], {
        unkToken: "<unk>",
        specialTokens: ["<|endoftext|>"],
      });
      const json = JSON.parse(JSON.stringify(tokenizer));
      const { Tokenizer } = await import("@huggingface/tokenizers");
      const direct = new Tokenizer(json, {});
      const own = await tokenizerFromJson(json),
        theirs = await tokenizerFromJson(json, {}, { engine: "huggingface" });
      assert(own instanceof CharTokenizer);
      assertEquals(own.toJSON(), json);
      assertStrictEquals(own.eosTokenId, tokenizer.eosTokenId);
      assertStrictEquals(theirs.eosTokenId, tokenizer.eosTokenId);
      assertStrictEquals(theirs.vocabSize, tokenizer.vocabSize);
      for (const sample of [text.slice(0, 200_000), odd, "unknown: \u{1f680}ß<unk><|endoftext|>"]) {
        const ids = tokenizer.encode(sample);
        assertEquals(direct.encode(sample).ids, ids);
        assertEquals(own.encode(sample), ids);
        assertEquals(theirs.encode(sample), ids);
        assertStrictEquals(theirs.decode(ids), tokenizer.decode(ids));
        assertStrictEquals(
          streamed(theirs, ids.slice(0, 2000)).join(""),
          tokenizer.decode(ids.slice(0, 2000)),
        );
      }
      assertStrictEquals(tokenizer.decode(tokenizer.encode(text)), text);
    },
  );
});

describe("tokenizerFromJson", () => {
  const word = (vocab: string[], more: object): object => ({
    added_tokens: [{ id: 0, content: "[CLS]", special: true }, { id: 1, content: "[SEP]", special: true }],
    normalizer: null,
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: { type: "BertProcessing", cls: ["[CLS]", 0], sep: ["[SEP]", 1] },
    decoder: { type: "WordPiece", prefix: "##", cleanup: false },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      vocab: Object.fromEntries(["[CLS]", "[SEP]", "[UNK]", ...vocab].map((token, id) => [token, id])),
    },
    ...more,
  });

  it("runs other kinds part by part", async () => {
    const tokenizer = await tokenizerFromJson(word(["hel", "##lo", "world", "[", "cls", "]", "CLS"], {}), {
      eos_token: { content: "[SEP]" },
    });
    assertStrictEquals(tokenizer.constructor.name, "PipelineTokenizer");
    assertStrictEquals(tokenizer.eosTokenId, 1);
    assertEquals(tokenizer.encode("hello world"), [0, 3, 4, 5, 1]);
    assertEquals(tokenizer.encode("hello world", { addSpecialTokens: false }), [3, 4, 5]);
    assertEquals(tokenizer.encode("[CLS]world"), [0, 0, 5, 1]);
    assertEquals(tokenizer.encode("[CLS]world", { splitSpecialTokens: true }), [0, 6, 9, 8, 5, 1]);
    assertStrictEquals(tokenizer.decode([3, 4, 5], {}), "hello world");
    assertStrictEquals(tokenizer.decode([0, 3, 4, 1], { skipSpecialTokens: true }), "hello");
    assertEquals(streamed(tokenizer, [3, 4, 5, 5]), ["hel", "lo", " world", " world", ""]);
    assertStrictEquals(tokenizer.decode([99]), "");
  });

  it("holds characters back until they are whole, for a decoder it knows nothing about", async () => {
    const bytes = Array.from(
      { length: 256 },
      (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
    );
    const tokens = ["<unk>", ...bytes, "▁", "h", "i"];
    const tokenizer = await tokenizerFromJson({
      normalizer: { type: "Replace", pattern: { String: " " }, content: "▁" },
      decoder: {
        type: "Sequence",
        decoders: [{ type: "Replace", pattern: { String: "▁" }, content: " " }, { type: "ByteFallback" }, {
          type: "Fuse",
        }],
      },
      model: {
        type: "BPE",
        unk_token: "<unk>",
        byte_fallback: true,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: [],
      },
    });
    const text = "hi \u{1f600}é hi", ids = tokenizer.encode(text), pieces = streamed(tokenizer, ids);
    assertStrictEquals(tokenizer.decode(ids), text);
    assertEquals(pieces.filter((piece) => piece !== ""), [
      "h",
      "i",
      " ",
      "\u{1f600}",
      "é",
      " ",
      "h",
      "i",
    ]);
  });

  for (const engine of ["auto", "huggingface"] as const) {
    it(`takes white space as Unicode has it (${engine})`, async () => {
      const read = (json: object) => tokenizerFromJson(json, {}, { engine });
      const vocab = ["a", "b", "\ufeff", "a\ufeff"], plain = { post_processor: null };
      const whitespace = await read(
        word(vocab, { ...plain, pre_tokenizer: { type: "WhitespaceSplit" } }),
      );
      assertEquals(whitespace.encode("a\u0085b"), [3, 4]);
      assertEquals(whitespace.encode("a\ufeff b"), [6, 4]);
      const bert = await read(word(vocab, plain));
      assertEquals(bert.encode("a\u0085b a\ufeff"), [3, 4, 6]);
      const strip = { type: "Strip", strip_left: true, strip_right: true };
      const stripped = await read(
        word(vocab, { ...plain, normalizer: strip, pre_tokenizer: null }),
      );
      assertEquals(stripped.encode("\u0085a\ufeff\u0085"), [6]);
      const unicode = await read(
        word(["é", "à", "!"], { ...plain, pre_tokenizer: { type: "Whitespace" } }),
      );
      assertEquals(unicode.encode("é\u0085à!"), [3, 4, 5]);
    });
  }

  it("gives a byte-level tokenizer with a prefix space its space, once", async () => {
    const json = gpt2TokenizerJson();
    const prefixed = { ...json, pre_tokenizer: { ...json.pre_tokenizer, add_prefix_space: true } };
    const tokenizer = await tokenizerFromJson(prefixed);
    assertEquals(tokenizer.encode("Hello\nworld"), [18435, 198, 6894]);
    assertEquals(tokenizer.encode(" Hello"), [18435]);
  });

  it("honours what added tokens ask for", () => {
    const vocab = BpeTokenizer.train("x", { vocabSize: 256, specialTokens: [] }).toJSON() as {
      model: { vocab: Record<string, number> };
    };
    const tokenizer = new BpeTokenizer({
      vocab: vocab.model.vocab,
      merges: [],
      addedTokens: [
        { id: 256, content: "<m>", lstrip: true, rstrip: true },
        { id: 257, content: "cat", singleWord: true, special: false },
        { id: 258, content: "<m>x" },
      ],
    });
    const [a, space] = [tokenizer.tokenToId("a")!, tokenizer.tokenToId("Ġ")!];
    assertEquals(tokenizer.encode("a \u0085<m> \n a"), [a, 256, a]);
    assertEquals(tokenizer.encode("<m>xa"), [258, a]);
    assertEquals(tokenizer.encode("cat cat"), [257, space, 257]);
    assertStrictEquals(tokenizer.encode("cats").length, 4);
    // Letters of two units, and what is none.
    for (const letter of ["𠜎", "𝒜", "𗌵"]) {
      assert(!tokenizer.encode(`${letter}cat`).includes(257), letter);
      assert(!tokenizer.encode(`cat${letter}`).includes(257), letter);
    }
    assert(tokenizer.encode("😀cat😀").includes(257));
    assertEquals(tokenizer.encode("cat", { splitSpecialTokens: true }), [257]);
    assertStrictEquals(tokenizer.encode("<m>", { splitSpecialTokens: true }).length, 3);
    assertStrictEquals(tokenizer.decode([256, 257], { skipSpecialTokens: true }), "cat");
  });

  it("of a kind that nothing reads are refused when they are loaded, not when they are used", async () => {
    const file = (model: object): object => ({ version: "1.0", added_tokens: [], model });
    const refused: [object, string][] = [
      [
        { type: "Foo", vocab: { a: 0 } },
        `"model.type" of tokenizer.json is "Foo", and there are readers for BPE, Unigram`,
      ],
      [{ type: "bpe", vocab: { a: 0 }, merges: [] }, `is "bpe"`],
      [{ type: 5, vocab: { a: 0 } }, "is 5"],
      [{ vocab: { a: 0 } }, "is missing"],
    ];
    for (const engine of ["auto", "huggingface"] as const) {
      for (const [model, message] of refused) {
        await assertRejects(() => tokenizerFromJson(file(model), null, { engine }), FormatError, message);
      }
    }
    const words = file({ type: "WordLevel", vocab: { a: 0 }, unk_token: "a" });
    await assertRejects(
      () => tokenizerFromJson(words, null, { engine: "huggingface" }),
      FormatError,
      '"WordLevel"',
    );
    for (const part of ["normalizer", "pre_tokenizer", "post_processor", "decoder"]) {
      const model = { type: "BPE", vocab: { a: 0, b: 1 }, merges: [] };
      await assertRejects(
        () => tokenizerFromJson({ ...file(model), [part]: { type: "Foo" } }),
        FormatError,
        "Foo",
      );
    }
    // Older files do not name the kind.
    const old = { vocab: { a: 0, b: 1, ab: 2 }, merges: ["a b"], unk_token: null, byte_fallback: false };
    assertEquals((await tokenizerFromJson(file(old))).encode("abb"), [2, 1]);
  });

  it("names what is wrong with a malformed file", async () => {
    const trained = BpeTokenizer.train("ab ab ab", { vocabSize: 300 }).toJSON() as {
      model: { vocab: Record<string, unknown>; merges: unknown };
    };
    const broken = (change: (json: typeof trained) => void): unknown => {
      const json = structuredClone(trained);
      change(json);
      return json;
    };
    const cases: [unknown, RegExp][] = [
      ["text", /tokenizer\.json should be a JSON object/],
      [null, /tokenizer\.json should be a JSON object/],
      [{}, /"model" of tokenizer\.json .* missing/],
      [{ model: {} }, /"model\.vocab" .* missing/],
      [{ model: { vocab: {} }, added_tokens: {} }, /"added_tokens" .* list/],
      [{ model: { vocab: {} }, added_tokens: [{ content: "x" }] }, /added token 0/],
      [
        { model: { type: "Unigram", vocab: [["a", 0]], unk_id: 0 }, normalizer: { type: "Odd" } },
        /"normalizer" of tokenizer\.json has the type "Odd"; read are/,
      ],
      [broken((json) => json.model.merges = {}), /"model\.merges" .* list/],
      [broken((json) => json.model.merges = ["a b c"]), /merge 0 .* "a b c"/],
      [broken((json) => json.model.merges = [["a"]]), /merge 0/],
      [broken((json) => json.model.merges = ["a z"]), /merge 0 .*"az", which is not in the vocabulary/],
      [broken((json) => json.model.vocab.a = 1.5), /id of token "a" .* 1\.5/],
      [broken((json) => json.model.vocab.a = "1"), /id of token "a"/],
      [broken((json) => json.model.vocab.a = json.model.vocab.b), /same id/],
    ];
    for (const [json, message] of cases) {
      {
        const error = await assertRejects(() => tokenizerFromJson(json), Error);

        assert(error instanceof FormatError, `${error}`);

        assertMatch(error.message, message);

        assert(!error.message.includes("\n"));
      }
    }
    await assertRejects(() => tokenizerFromJson(trained, {}, { engine: "fast" as "auto" }), OptionError);
  });

  it("tells how to install the package where it is missing, and starts without it", () => {
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-text-"));
    try {
      cpSync(join(repository, "src", "core"), join(folder, "src", "core"), { recursive: true });
      cpSync(join(repository, "src", "text"), join(folder, "src", "text"), { recursive: true });
      writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
      const script = join(folder, "main.ts");
      writeFileSync(
        script,
        `import { CharTokenizer, tokenizerFromJson } from "./src/text/mod.ts";
         const saved = CharTokenizer.from("abc").toJSON();
         console.log((await tokenizerFromJson(saved)).encode("cab").join());
         await tokenizerFromJson(saved, {}, { engine: "huggingface" }).catch((e) => console.log(e.name, e.message));`,
      );
      const flags = "deno" in process.versions
        ? ["run", "-A"]
        : "bun" in process.versions
        ? ["--no-install"]
        : [];
      const output = execFileSync(process.execPath, [...flags, script], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      });
      assertMatch(output, /^2,0,1\nFerrotypeError .*npm install @huggingface\/tokenizers/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
