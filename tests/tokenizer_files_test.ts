/**
 * The tokenizer of a folder, whichever files say it: a tokenizer.json or the older files, and what stands beside them. What is
 * wanted is what the fast tokenizers of `transformers` make of them.
 */
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { FormatError, loadTokenizer, type Tokenizer } from "../mod.ts";
import { byteSymbols } from "../src/text/bytes.ts";
import { BpeTokenizer } from "../src/text/mod.ts";
import { dataPath, missingData } from "./_data.ts";
import { describe, it } from "./_suite.ts";

type Files = Readonly<Record<string, unknown>>;

const encoder = new TextEncoder();

/** Loads files at hand; values that are no text and no bytes are written as JSON. */
function load(files: Files): Promise<Tokenizer> {
  return loadTokenizer(Object.fromEntries(
    Object.entries(files).map(([name, value]) => [
      name,
      value instanceof Uint8Array
        ? value
        : encoder.encode(typeof value === "string" ? value : JSON.stringify(value)),
    ]),
  ));
}

/** Byte-level BPE with a few merges: ids 0 to 255 are bytes, the tokens of `more` follow the merges. */
function pairFiles(...more: string[]): { vocab: Record<string, number>; merges: string } {
  const json = BpeTokenizer.train("hi hi there there hi there", { vocabSize: 262, specialTokens: [] })
    .toJSON() as {
      model: { vocab: Record<string, number>; merges: string[] };
    };
  const { vocab, merges } = json.model;
  more.forEach((token) => vocab[token] = Object.keys(vocab).length);
  return { vocab, merges: `#version: 0.2\n${merges.join("\n")}\n` };
}

const { vocab, merges } = pairFiles(), size = Object.keys(vocab).length;
const older = { "vocab.json": vocab, "merges.txt": merges };
const json = BpeTokenizer.fromVocabMerges(vocab, merges).toJSON() as Record<string, unknown>;
const whole = { "tokenizer.json": json };
const hi = vocab.hi ?? 0, plain = BpeTokenizer.fromVocabMerges(vocab, merges).encode("hi");

/** A token as added_tokens_decoder has it. */
const token = (content: string, special = true, more: object = {}) => ({
  content,
  special,
  lstrip: false,
  rstrip: false,
  normalized: false,
  single_word: false,
  ...more,
});

describe("tokens beside a tokenizer", () => {
  for (
    const [name, files] of Object.entries({ "tokenizer.json": whole, "vocab.json and merges.txt": older })
  ) {
    it(`are those of added_tokens_decoder: ${name}`, async () => {
      const tokenizer = await load({
        ...files,
        "tokenizer_config.json": {
          eos_token: "<|bot|>",
          // Ids follow the order of the keys as numbers.
          added_tokens_decoder: { [size + 1]: token("<|bot|>"), [size]: token("<|user|>") },
        },
        // Not looked at beside it.
        "added_tokens.json": { "<no>": size },
        "special_tokens_map.json": { eos_token: "<no>" },
      });
      assertEquals(tokenizer.encode("<|user|>hi<|bot|>"), [size, ...plain, size + 1]);
      assertStrictEquals(tokenizer.eosTokenId, size + 1);
      assertStrictEquals(tokenizer.decode([size, ...plain]), "<|user|>hi");
      assertStrictEquals(tokenizer.decode([size, ...plain], { skipSpecialTokens: true }), "hi");
      assertStrictEquals(tokenizer.vocabSize, size + 2);
    });

    it(`are those of added_tokens.json and special_tokens_map.json: ${name}`, async () => {
      const tokenizer = await load({
        ...files,
        "tokenizer_config.json": { eos_token: "<old>" },
        "added_tokens.json": { "<user>": size, "plain": size + 1 },
        "special_tokens_map.json": { eos_token: "<user>", additional_special_tokens: ["<more>"] },
      });
      assertEquals(tokenizer.encode("<user>hiplain<more><old>").slice(0, 4), [
        size,
        ...plain,
        size + 1,
        size + 2,
      ]);
      assertStrictEquals(tokenizer.eosTokenId, size);
      assertStrictEquals(tokenizer.decode([size, size + 1, size + 2], { skipSpecialTokens: true }), "plain");
    });

    it(`only named are those of the vocabulary, or new: ${name}`, async () => {
      const tokenizer = await load({
        ...files,
        "tokenizer_config.json": {
          bos_token: "hi",
          pad_token: { content: "<pad>", lstrip: true },
          extra_special_tokens: { image: "<image>" },
        },
      });
      assertEquals(tokenizer.encode("hi  <pad><image>"), [hi, size, size + 1]);
      assertStrictEquals(tokenizer.decode([hi, size], { skipSpecialTokens: true }), "");
    });
  }

  it("that differ from the file's take their place", async () => {
    const own = {
      ...json,
      added_tokens: [{ ...token("<a>"), id: size }, { ...token("<b>", false), id: size + 1 }],
    };
    const tokenizer = await load({
      "tokenizer.json": own,
      "tokenizer_config.json": {
        eos_token: "<b>",
        added_tokens_decoder: { [size]: token("<a>", true, { rstrip: true }), [size + 7]: token("<c>") },
      },
    });
    // A new one follows the others, whatever its key says.
    assertEquals(tokenizer.encode("<a>  <b><c>"), [size, size + 1, size + 2]);
    assertStrictEquals(tokenizer.decode([size + 1], { skipSpecialTokens: true }), "");
  });

  it("leave a file that says them as it is", async () => {
    const own = { ...json, added_tokens: [{ ...token("<a>"), id: size }] };
    const tokenizer = await load({
      "tokenizer.json": own,
      "tokenizer_config.json": {
        bos_token: "<a>",
        add_bos_token: false,
        add_prefix_space: false,
        added_tokens_decoder: { [size]: token("<a>") },
      },
    });
    const again = tokenizer.toJSON() as Record<string, unknown>;
    assertEquals(again.added_tokens, own.added_tokens);
    assertEquals(again.post_processor, json.post_processor);
  });

  it("that cannot be are refused, by name", async () => {
    const bad: [Files, string][] = [
      [{ "tokenizer_config.json": { added_tokens_decoder: [] } }, "added_tokens_decoder is []"],
      [{ "tokenizer_config.json": { added_tokens_decoder: { x: token("<a>") } } }, "a key of"],
      [{ "tokenizer_config.json": { added_tokens_decoder: { "99999999999": token("<a>") } } }, "a key of"],
      [
        { "tokenizer_config.json": { added_tokens_decoder: { "5": { special: true } } } },
        "added_tokens_decoder, 5,",
      ],
      [{ "tokenizer_config.json": { eos_token: 5 } }, "eos_token"],
      [{ "tokenizer_config.json": { extra_special_tokens: 5 } }, "extra_special_tokens"],
      [{ "tokenizer_config.json": { add_bos_token: 1 } }, "add_bos_token"],
      [{ "tokenizer_config.json": { add_bos_token: true } }, "bos_token is null"],
      [{ "tokenizer_config.json": { split_special_tokens: true } }, "split_special_tokens"],
      [{ "tokenizer_config.json": [] }, "tokenizer_config.json"],
      [{ "added_tokens.json": { a: -1 } }, "added_tokens.json"],
      [{ "special_tokens_map.json": { bos_token: [] } }, "special_tokens_map.json: bos_token"],
    ];
    for (const [files, message] of bad) {
      for (const base of [whole, older]) {
        await assertRejects(() => load({ ...base, ...files }), FormatError, message);
      }
    }
  });
});

describe("what begins and ends a text", () => {
  const named = { bos_token: "<s>", eos_token: "</s>" };
  const own = { ...json, added_tokens: [{ ...token("<s>"), id: size }, { ...token("</s>"), id: size + 1 }] };

  it("is what add_bos_token and add_eos_token say, in place of the file's", async () => {
    for (
      const [begin, end] of [[true, false], [false, true], [true, true], [false, false], [undefined, true]]
    ) {
      const config = {
        ...named,
        ...(begin === undefined ? {} : { add_bos_token: begin }),
        add_eos_token: end,
      };
      const tokenizer = await load({ "tokenizer.json": own, "tokenizer_config.json": config });
      const wanted = [...begin ? [size] : [], ...plain, ...end ? [size + 1] : []];
      assertEquals(tokenizer.encode("hi"), wanted);
      assertEquals(tokenizer.encode("hi", { addSpecialTokens: false }), plain);
    }
  });

  it("is the file's where they say nothing; Llama begins a text where neither does", async () => {
    const template = {
      type: "TemplateProcessing",
      single: [{ Sequence: { id: "A", type_id: 0 } }, { SpecialToken: { id: "</s>", type_id: 0 } }],
      pair: [],
      special_tokens: { "</s>": { id: "</s>", ids: [size + 1], tokens: ["</s>"] } },
    };
    const read = async (file: object, config: object) =>
      (await load({ "tokenizer.json": file, "tokenizer_config.json": config })).encode("hi");
    assertEquals(await read({ ...own, post_processor: template }, named), [...plain, size + 1]);
    assertEquals(await read({ ...own, post_processor: template }, { ...named, add_bos_token: true }), [
      size,
      ...plain,
    ]);
    const bare = { ...own, post_processor: null };
    assertEquals(await read(bare, { ...named, tokenizer_class: "LlamaTokenizerFast" }), [size, ...plain]);
    assertEquals(await read(bare, { ...named, tokenizer_class: "PreTrainedTokenizerFast" }), plain);
  });

  it("may be a space of its own", async () => {
    const spaced = BpeTokenizer.fromVocabMerges(vocab, merges).encode(" hi");
    for (const base of [whole, older]) {
      const prefixed = await load({ ...base, "tokenizer_config.json": { add_prefix_space: true } });
      assertEquals(prefixed.encode("hi"), spaced);
      assertEquals(prefixed.encode(" hi"), spaced);
      assertEquals(
        (await load({ ...base, "tokenizer_config.json": { add_prefix_space: false } })).encode("hi"),
        plain,
      );
    }
    const sign = "\u2581";
    const pieces = {
      normalizer: {
        type: "Sequence",
        normalizers: [{ type: "Prepend", prepend: sign }, {
          type: "Replace",
          pattern: { String: " " },
          content: sign,
        }],
      },
      decoder: {
        type: "Sequence",
        decoders: [{ type: "Replace", pattern: { String: sign }, content: " " }, { type: "Fuse" }, {
          type: "Strip",
          content: " ",
          start: 1,
          stop: 0,
        }],
      },
      model: { type: "BPE", vocab: { "<unk>": 0, [sign]: 1, a: 2 }, merges: [], unk_token: "<unk>" },
    };
    const read = (config: object) => load({ "tokenizer.json": pieces, "tokenizer_config.json": config });
    assertEquals((await read({})).encode("a"), [1, 2]);
    const bare = await read({ add_prefix_space: false });
    assertEquals(bare.encode("a"), [2]);
    assertStrictEquals(bare.decode([1, 2]), " a");
  });
});

describe("older files", () => {
  it("vocab.json and merges.txt are what their class makes of them", async () => {
    const roberta = pairFiles("<s>", "</s>", "<mask>"),
      [s, e, m] = ["<s>", "</s>", "<mask>"].map((t) => roberta.vocab[t]);
    const files = { "vocab.json": roberta.vocab, "merges.txt": roberta.merges };
    const tokenizer = await load({
      ...files,
      "tokenizer_config.json": { tokenizer_class: "RobertaTokenizer" },
    });
    assertEquals(tokenizer.encode("hi  <mask>"), [s, ...plain, m, e]);
    const byModel = await load({ ...files, "config.json": { model_type: "roberta" } });
    assertEquals(byModel.encode("hi"), [s, ...plain, e]);
    const qwen = await load({ ...older, "tokenizer_config.json": { tokenizer_class: "Qwen2Tokenizer" } });
    // Composed first, and each digit by itself.
    assertEquals(qwen.encode("e\u0301"), [...encoder.encode("é")].map((byte) => vocab[byteSymbols[byte]]));
    assert(qwen.constructor.name === "BpeTokenizer");
    const end = pairFiles("<|endoftext|>");
    const gpt2 = await load({ "vocab.json": end.vocab, "merges.txt": end.merges });
    assertStrictEquals(gpt2.eosTokenId, end.vocab["<|endoftext|>"]);
    assertEquals(gpt2.encode("<|endoftext|>"), [end.vocab["<|endoftext|>"]]);
  });

  it("vocab.txt is BERT's", async () => {
    const words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hi", "##gh", "é", "e", "Hi"];
    const files = { "vocab.txt": `${words.join("\n")}\n` };
    const tokenizer = await load(files);
    assertEquals(tokenizer.encode("High É [MASK]x"), [2, 5, 6, 8, 4, 1, 3]);
    assertStrictEquals(tokenizer.decode([2, 5, 6, 8], { skipSpecialTokens: true }), "high e");
    const cased = await load({ ...files, "tokenizer_config.json": { do_lower_case: false } });
    assertEquals(cased.encode("Hi é", { addSpecialTokens: false }), [9, 7]);
    const windows = await load({ "vocab.txt": words.join("\r\n") });
    assertEquals(windows.encode("hi"), [2, 5, 3]);
    await assertRejects(() => load({ "vocab.txt": "hi\n" }), FormatError, "[CLS]");
  });

  it("of a class that is not read from them are refused, and so are those that lack another", async () => {
    const of = (tokenizer_class: string) => ({ "tokenizer_config.json": { tokenizer_class } });
    await assertRejects(() => load({ ...older, ...of("CLIPTokenizer") }), FormatError, '"CLIPTokenizer"');
    await assertRejects(
      () => load({ "vocab.txt": "a\n", ...of("BertJapaneseTokenizer") }),
      FormatError,
      "BertJapanese",
    );
    await assertRejects(
      () => load({ "tokenizer.model": new Uint8Array(4), ...of("XLMRobertaTokenizer") }),
      FormatError,
      '"XLMRobertaTokenizer"',
    );
    await assertRejects(() => load({ "vocab.json": vocab }), FormatError, "no merges.txt");
    await assertRejects(() => load({ "merges.txt": merges }), FormatError, "no vocab.json");
    await assertRejects(
      () => load({ ...older, "vocab.json": { a: "b" } }),
      FormatError,
      'the id of token "a"',
    );
    await assertRejects(() => load({}), FormatError, "holds neither tokenizer.json nor");
  });

  const model = ["tokenizers", "sentencepiece", "bpe-bytes", "tokenizer.model"];
  it("tokenizer.model is read with what stands beside it", { skip: missingData(...model) }, async () => {
    const bytes = new Uint8Array(readFileSync(dataPath(...model)));
    const read = (config: object) => load({ "tokenizer.model": bytes, "tokenizer_config.json": config });
    const bare = await read({}), ids = bare.encode("To be");
    assertEquals(ids, bare.encode("To be", { addSpecialTokens: false }));
    // SentencePiece spells out what is written like a control token, and classes of transformers read it.
    const named = await read({ bos_token: "<s>" }), chat = { splitSpecialTokens: false };
    assertEquals(bare.encode("<s>To be</s>"), bare.encode("<s>To be</s>", { splitSpecialTokens: true }));
    assertEquals(bare.encode("<s>To be", chat), [bare.tokenToId("<s>"), ...ids]);
    assertEquals(named.encode("<s>To be"), [bare.tokenToId("<s>"), ...ids]);
    assertEquals(named.encode("</s>"), bare.encode("</s>"));
    const count = bare.vocabSize, bos = bare.tokenToId("<s>")!, eos = bare.tokenToId("</s>")!;
    const llama = await read({
      tokenizer_class: "LlamaTokenizer",
      add_eos_token: true,
      added_tokens_decoder: { [count]: token("<|user|>") },
    });
    assertEquals(llama.encode("To be"), [bos, ...ids, eos]);
    assertEquals(llama.encode("To be<|user|>To be", { addSpecialTokens: false }), [...ids, count, ...ids]);
    assertStrictEquals(llama.decode([bos, ...ids, count], { skipSpecialTokens: true }), "To be");
    assertStrictEquals(llama.vocabSize, count + 1);
    const first = await read({
      tokenizer_class: "LlamaTokenizer",
      legacy: false,
      additional_special_tokens: ["<|user|>"],
    });
    const inner = first.encode("To be<|user|>To be", { addSpecialTokens: false });
    assertEquals(inner.slice(0, ids.length + 1), [...ids, count]);
    assert(first.idToToken(inner[ids.length + 1]) !== first.idToToken(ids[0]), "no space follows the token");
    const t5 = await read({ tokenizer_class: "T5Tokenizer" });
    assertEquals(t5.encode("To be<extra_id_0>"), [...ids, count + 99, eos]);
    assertEquals((await read({ add_prefix_space: false })).encode(" To be"), ids);
  });
});
