/**
 * Byte-level BPE: recorded encodings through both engines, the identity on any string, streaming and training.
 *
 * @module
 */
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { CancelledError, FormatError, OptionError, ShapeError } from "../src/core/errors.ts";
import { BpeTokenizer, type Tokenizer, tokenizerConfig, tokenizerFromJson } from "../src/text/mod.ts";
import { fromWtf8, Wtf8Decoder } from "../src/text/utf8.ts";
import { missingData, readDataJson, readDataText } from "./_data.ts";
import { before, describe, it } from "./_suite.ts";
import { gpt2Files, gpt2TokenizerJson, randomFrom, randomStrings, streamed, writing } from "./_text.ts";
import { width } from "./_width.ts";

const engines = ["auto", "huggingface"] as const;

describe("byte-level BPE of GPT-2", () => {
  const tokenizers: Partial<Record<(typeof engines)[number], Tokenizer>> = {};
  before(async () => {
    const json = gpt2TokenizerJson(),
      config = { eos_token: "<|endoftext|>", tokenizer_class: "GPT2Tokenizer" };
    for (const engine of engines) tokenizers[engine] = await tokenizerFromJson(json, config, { engine });
  });

  for (const engine of engines) {
    for (
      const [file, folder, lines] of [["golden.jsonl", "tokenizers/gpt2", 233], [
        "tokenizer_golden.jsonl",
        "gpt2-tiny",
        32,
      ]] as const
    ) {
      it(
        `${engine}: gives the recorded ids of ${folder}/${file}`,
        { skip: missingData(folder, file) },
        async () => {
          const tokenizer = folder === "gpt2-tiny"
            ? await tokenizerFromJson(readDataJson(folder, "tokenizer.json"), undefined, { engine })
            : tokenizers[engine]!;
          assertStrictEquals(tokenizer instanceof BpeTokenizer, engine === "auto");
          let seen = 0;
          for (const line of readDataText(folder, file).split("\n")) {
            if (line === "") continue;
            const { text, ids, ids_special: special } = JSON.parse(line);
            assertEquals(tokenizer.encode(text, { splitSpecialTokens: true }), ids, line);
            assertEquals(tokenizer.encode(text), special ?? ids, line);
            assertStrictEquals(tokenizer.decode(ids), text, line);
            assertStrictEquals(tokenizer.decode(Int32Array.from(special ?? ids)), text, line);
            seen++;
          }
          assertStrictEquals(seen, lines);
        },
      );
    }

    it(`${engine}: knows its vocabulary and special tokens`, () => {
      const tokenizer = tokenizers[engine]!;
      assertStrictEquals(tokenizer.vocabSize, 50257);
      assertStrictEquals(tokenizer.eosTokenId, 50256);
      assertStrictEquals(tokenizer.tokenToId("Ġthe"), 262);
      assertStrictEquals(tokenizer.idToToken(262), "Ġthe");
      assertStrictEquals(tokenizer.tokenToId("no such token"), undefined);
      assertStrictEquals(tokenizer.idToToken(50257), undefined);
      assertStrictEquals(tokenizer.decode([40, 50256, 40]), "I<|endoftext|>I");
      assertStrictEquals(tokenizer.decode([40, 50256, 40], { skipSpecialTokens: true }), "II");
      assertStrictEquals(tokenizer.decode([]), "");
      assertStrictEquals(tokenizer.decode([50257, 50256]), "<|endoftext|>");
      assertThrows(() => tokenizer.stream().push(-1), ShapeError);
    });

    it(`${engine}: streams what it decodes, whole characters at a time`, () => {
      const tokenizer = tokenizers[engine]!;
      for (const text of randomStrings(300, { surrogates: false })) {
        const ids = tokenizer.encode(text), pieces = streamed(tokenizer, ids);
        assertStrictEquals(pieces.join(""), text);
        for (const piece of pieces) {
          assert(piece.isWellFormed());
          assert(text.includes("\ufffd") || !piece.includes("\ufffd"), JSON.stringify(text));
        }
      }
      const random = randomFrom(7);
      for (let k = 0; k < 300; k++) { // ids that are no text at all
        const ids = Array.from({ length: random(12) }, () => random(2) === 0 ? random(256) : random(50257));
        assertStrictEquals(streamed(tokenizer, ids).join(""), tokenizer.decode(ids));
      }
    });
  }

  it("encodes the same through both engines, and is the identity on any string", () => {
    const { auto, huggingface } = tokenizers;
    for (const text of randomStrings(1000, { surrogates: false })) {
      const ids = auto!.encode(text);
      assertEquals(ids, huggingface!.encode(text), JSON.stringify(text));
      assertStrictEquals(huggingface!.decode(ids), text);
    }
    for (const text of randomStrings(2000, { surrogates: true })) {
      const ids = auto!.encode(text);
      assertStrictEquals(auto!.decode(ids), text);
      assertStrictEquals(auto!.decode(auto!.encode(text, { splitSpecialTokens: true })), text);
      assertStrictEquals(streamed(auto!, ids).join(""), text);
    }
  });

  it("merges a very long piece as the package does", () => {
    const { auto, huggingface } = tokenizers, random = randomFrom(3);
    for (const letters of ["a", "the", "aeinorst"]) {
      const text = Array.from({ length: 3000 }, () => letters[random(letters.length)]).join("");
      assertEquals(auto!.encode(text), huggingface!.encode(text));
    }
    const spaces = " ".repeat(300_000);
    assertStrictEquals(auto!.decode(auto!.encode(spaces)), spaces);
  });

  it("reads vocab.json with merges.txt, and writes a tokenizer.json that says the same", async () => {
    const { vocab, merges } = gpt2Files(), file = gpt2TokenizerJson();
    const old = BpeTokenizer.fromVocabMerges(vocab, merges);
    for (const tokenizer of [old, await tokenizerFromJson(file)]) {
      const json = tokenizer.toJSON() as typeof file;
      assertEquals(json.model.vocab, file.model.vocab);
      assertEquals(json.model.merges, file.model.merges);
      assertEquals(json.added_tokens, file.added_tokens);
    }
    assertThrows(() => BpeTokenizer.fromVocabMerges(vocab, "#version: 0.2\na b c\n"), FormatError);
  });
});

describe("training byte-level BPE", () => {
  const text = writing(100_000);

  it("is deterministic, and the same for texts that are there and texts that arrive", async () => {
    const half = text.indexOf("\n\n", 50_000) + 2, options = { vocabSize: 1000 };
    const whole = BpeTokenizer.train(text, options);
    assertStrictEquals(whole.vocabSize, 1000);
    assertStrictEquals(whole.eosTokenId, 999);
    assertEquals(BpeTokenizer.train(text, options).toJSON(), whole.toJSON());
    const parts = [text.slice(0, half), text.slice(half)];
    async function* arriving(): AsyncGenerator<string> {
      for (const part of parts) yield await Promise.resolve(part);
    }
    const late = await BpeTokenizer.train(arriving(), options);
    assertEquals(late.toJSON(), BpeTokenizer.train(parts, options).toJSON());
  });

  it("takes the most frequent pair, of equals the smallest ids, and stops when pairs are rare", () => {
    // By hand: (a, b) occurs 4 times; (Ġ, ab) and (ab, c) 3 times, and Ġ has the smaller id; then (Ġ, x) and
    // (Ġab, c) twice each; what is left of (ab, c) occurs once.
    const tokenizer = BpeTokenizer.train("abc abc abc ab x x", { vocabSize: 400, specialTokens: [] });
    const { merges } = (tokenizer.toJSON() as { model: { merges: string[] } }).model;
    assertEquals(merges, ["a b", "Ġ ab", "Ġ x", "Ġab c"]);
    assertStrictEquals(tokenizer.vocabSize, 260);
    assertEquals(tokenizer.encode(" abc"), [259]);
  });

  it("writes a file that the package encodes identically", async () => {
    const trained = BpeTokenizer.train(text, { vocabSize: 2000, specialTokens: ["<|endoftext|>", "<pad>"] });
    const json = JSON.parse(JSON.stringify(trained));
    const theirs = await tokenizerFromJson(json, undefined, { engine: "huggingface" });
    const { Tokenizer } = await import("@huggingface/tokenizers");
    const config = tokenizerConfig(trained, 64);
    assertStrictEquals(config.eos_token, "<|endoftext|>");
    const direct = new Tokenizer(json, config), again = await tokenizerFromJson(json);
    const ids = trained.encode(text);
    assertEquals(theirs.encode(text), ids);
    assertEquals(direct.encode(text).ids, ids);
    assertStrictEquals(direct.decode(ids), text);
    assertEquals(again.encode(text), ids);
    assertStrictEquals(trained.decode(ids), text);
    const special = "a<|endoftext|> b<pad>";
    assertEquals(trained.encode(special), direct.encode(special).ids);
    assertEquals(again.toJSON(), json);
    for (const string of randomStrings(300, { surrogates: true })) {
      assertStrictEquals(trained.decode(trained.encode(string)), string);
    }
  });

  it("reports progress, can be stopped, and refuses what makes no sense", () => {
    const phases = new Set<string>();
    let last = 0;
    BpeTokenizer.train(text, {
      vocabSize: 500,
      onProgress: ({ phase, done, total }) => {
        phases.add(phase);
        if (phase === "merge") assert(total === 243 && (last = done) <= total);
      },
    });
    assertEquals([...phases], ["count", "merge"]);
    assertStrictEquals(last, 243);
    const controller = new AbortController();
    const onProgress = (): void => controller.abort();
    assertThrows(
      () => BpeTokenizer.train(text, { vocabSize: 500, signal: controller.signal, onProgress }),
      CancelledError,
    );
    assertThrows(() => BpeTokenizer.train(text, { vocabSize: 256 }), OptionError);
    assertThrows(() => BpeTokenizer.train(text, { vocabSize: 500, minFrequency: 0 }), OptionError);
    assertThrows(() => BpeTokenizer.train(text, { vocabSize: 500, specialTokens: ["x", "x"] }), OptionError);
  });

  it("learns nothing from special tokens in the text", () => {
    const tokenizer = BpeTokenizer.train("<|endoftext|>".repeat(50) + "ab ab", { vocabSize: 300 });
    assertEquals((tokenizer.toJSON() as { model: { merges: string[] } }).model.merges, ["a b"]);
  });
});

describe("WTF-8", () => {
  it("decodes bytes as TextDecoder does, except whole surrogates", () => {
    const random = randomFrom(11), strict = new TextDecoder("utf-8", { ignoreBOM: true });
    const interesting = [
      0x41,
      0x80,
      0x9f,
      0xa0,
      0xbf,
      0xc0,
      0xc3,
      0xe0,
      0xe2,
      0xed,
      0xef,
      0xbb,
      0xf0,
      0x90,
      0xf4,
      0x8f,
      0xf5,
    ];
    for (let k = 0; k < width(5000, 1500); k++) {
      const bytes = Uint8Array.from({ length: random(9) }, () => interesting[random(interesting.length)]);
      let surrogate = false;
      for (let i = 0; i + 2 < bytes.length; i++) {
        surrogate ||= bytes[i] === 0xed && bytes[i + 1] >= 0xa0 && bytes[i + 1] < 0xc0 &&
          (bytes[i + 2] & 0xc0) === 0x80;
      }
      if (!surrogate) assertStrictEquals(fromWtf8(bytes), strict.decode(bytes), `${bytes}`);
      const decoder = new Wtf8Decoder();
      let text = "";
      for (const byte of bytes) text += decoder.push(Uint8Array.of(byte));
      assertStrictEquals(text + decoder.flush(), fromWtf8(bytes), `${bytes}`);
    }
    assertStrictEquals(fromWtf8(Uint8Array.of(0xed, 0xa0, 0x80, 0xff)), "\ud800\ufffd");
  });
});
