/**
 * Files that mean harm, or were damaged: some thousands of each kind, and those that did harm once.
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
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "./_suite.ts";
import {
  CheckpointManager,
  FormatError,
  GPT2,
  HubError,
  loadTokenizer,
  openSafetensors,
  saveSafetensors,
  TabularModel,
  tensor,
} from "../mod.ts";
import { Generator } from "../src/core/random.ts";
import { openRepository } from "../src/hub/mod.ts";
import { expectedTensors } from "../src/models/gpt2/checkpoint.ts";
import { gpt2Config, GPT2Model } from "../src/models/mod.ts";
import { configJson, parseConfig } from "../src/models/gpt2/config.ts";
import { loadChatTemplate } from "../src/runtime/chat.ts";
import { BpeTokenizer, CharTokenizer, tokenizerFromJson } from "../src/text/mod.ts";
import { call } from "./_command.ts";
import { repository } from "./_data.ts";
import { inFolder, smallModel } from "./_gpt2.ts";
import { run } from "./hostile.ts";
import { pick } from "./_mutate.ts";
import { asksNothing, width } from "./_width.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("hostile files", () => {
  it("of every kind give a value or the documented error: 4,000", async () => {
    const results = await run(20_261, width(4000, 1500));
    for (const { kind, inputs, refused, failures } of results) {
      assertEquals(failures, [], kind);
      // A kind whose inputs are all refused, or all read, says nothing.
      assert(refused > 0 && (inputs < 20 || refused < inputs), `${kind}: ${refused} of ${inputs} refused`);
    }
  });
});

describe("an object that cannot be made a text or a number", { skip: asksNothing }, () => {
  const odd = { toString: null, valueOf: 1, constructor: { name: null }, toJSON: 1, then: "x", length: -1 };

  it("is told as what it is, in a configuration and in a tokenizer", async () => {
    const known = gpt2Config({ vocabSize: 9, nPositions: 8, nEmbd: 8, nLayer: 1, nHead: 2 });
    for (
      const name of ["model_type", "n_embd", "n_head", "activation_function", "layer_norm_epsilon"]
    ) {
      const json = { ...configJson(known, "f32"), [name]: odd };
      const { message } = assertThrows(() => parseConfig(json, "config.json"), FormatError);
      assert(message.includes("toString: null") && message.length < 600, `${name}: ${message}`);
    }
    for (
      const file of [
        CharTokenizer.from("abc").toJSON(),
        BpeTokenizer.train("ab", { vocabSize: 258 }).toJSON(),
      ]
    ) {
      const json = file as { model: { vocab: Record<string, number> } },
        [token] = Object.keys(json.model.vocab);
      const vocab = { ...json.model.vocab, [token]: odd };
      await assertRejects(() => tokenizerFromJson({ ...json, model: { ...json.model, vocab } }), FormatError);
      for (const part of ["normalizer", "pre_tokenizer", "post_processor", "decoder"]) {
        await assertRejects(() => tokenizerFromJson({ ...json, [part]: odd }), FormatError, undefined, part);
      }
    }
  });
});

describe("ids around a text", { skip: asksNothing }, () => {
  it("are tokens' ids", async () => {
    const around = (id: number) => ({
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [],
      special_tokens: { "<s>": { id: "<s>", ids: [id], tokens: ["<s>"] } },
    });
    const own = BpeTokenizer.train("ab ab", { vocabSize: 258 }).toJSON() as Record<string, unknown>;
    const words = {
      added_tokens: [],
      pre_tokenizer: { type: "BertPreTokenizer" },
      model: { type: "WordPiece", unk_token: "a", max_input_chars_per_word: 9, vocab: { a: 0, b: 1 } },
    };
    for (const [file, size] of [[own, 258], [words, 2]] as const) {
      const load = async (id: number): Promise<number[]> =>
        (await tokenizerFromJson({ ...file, post_processor: around(id) })).encode("a");
      assertStrictEquals((await load(size - 1))[0], size - 1);
      for (const id of [size, 1e9]) await assertRejects(() => load(id), FormatError, `the id ${id}`);
    }
  });
});

describe("a checkpoint", { skip: asksNothing }, () => {
  it("names its files by texts", async () => {
    await inFolder(async (folder) => {
      const at = join(folder, "step-00000001"), state = join(at, "state.json");
      mkdirSync(at);
      for (const name of [["model"], { toString: null }, 5, null, "../model"]) {
        writeFileSync(state, JSON.stringify({ version: 1, step: 1, loss: null, tensors: [name], state: {} }));
        await assertRejects(() => new CheckpointManager(folder).loadLatest(), FormatError);
      }
    });
  });
});

describe("a tabular file", { skip: asksNothing }, () => {
  it("has a value for what is missing, or is refused", async () => {
    const file = readFileSync(join(repository, "web", "models", "tabular", "iris.safetensors"));
    const length = Number(file.readBigUInt64LE(0)), header = JSON.parse(file.toString("utf8", 8, 8 + length));
    for (
      const [tensor, at, value] of [["columns", 2, 3e38], ["columns", 2, -3e38], [
        "features",
        5,
        1e-40,
      ]] as const
    ) {
      const bytes = new Uint8Array(file), place = 8 + length + header[tensor].data_offsets[0] + 4 * at;
      new DataView(bytes.buffer).setFloat32(place, value, true);
      const { message } = await assertRejects(() => TabularModel.load(bytes), FormatError);
      assertMatch(message, /feature 0 is -?[\d.e+]+ where column 0 has no value/);
    }
  });

  it("has numbers for weights, and numbers come of them, or cells too far away are named", async () => {
    const random = new Generator(13);
    for (const name of ["iris", "mpg"]) {
      const file = readFileSync(join(repository, "web", "models", "tabular", `${name}.safetensors`));
      const length = Number(file.readBigUInt64LE(0)),
        header = JSON.parse(file.toString("utf8", 8, 8 + length));
      for (
        const [tensor, { dtype, data_offsets: [begin, end] = [0, 0] }] of Object.entries<
          { dtype: string; data_offsets: [number, number] }
        >(header)
      ) {
        if (dtype !== "F16") continue;
        const [bits, said] = pick(random, [[0x7e00, "NaN"], [0x7c00, "Infinity"], [0xfc00, "-Infinity"]]);
        const bytes = new Uint8Array(file),
          at = 8 + length + begin + 2 * random.integer(0, (end - begin) / 2);
        new DataView(bytes.buffer).setUint16(at, bits as number, true);
        const { message } = await assertRejects(() => TabularModel.load(bytes), FormatError);
        const kind = tensor.split(".").at(-1);
        assert(message.endsWith(`the ${kind} of a layer has ${said}, expected numbers alone`), message);
      }
      using model = await TabularModel.load(new Uint8Array(file));
      for (let round = 0; round < 60; round++) {
        const row: Record<string, number> = {};
        for (const column of model.schema.columns) {
          const size = random.uniform() < 0.3 ? 10 ** random.integer(25, 39) : 1;
          if (column.kind === "numeric") row[column.name] = size * (random.uniform() - 0.5);
        }
        const said = await model.predict(row).catch((error: Error) => error);
        if (said instanceof Error) {
          assertMatch(`${said}`, /^OptionError: column "\w+" holds -?[\d.e+]+, which is too far/);
        } else {
          const numbers = [said.value ?? 0, ...Object.values(said.probabilities ?? {})];
          assert(numbers.every(Number.isFinite), `${JSON.stringify(row)}: ${numbers}`);
        }
      }
    }
  });
});

describe("a configuration", { skip: asksNothing }, () => {
  it("is compared with the names in the file before anything of its size is made", async () => {
    await inFolder(async (folder) => {
      using model = smallModel();
      await model.save(folder);
      const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
      const cases: [Record<string, unknown>, RegExp][] = [
        [{ n_layer: 65_536 }, /missing: h\.2\.ln_1\.weight \[8\].* and 786,3\d\d more/],
        [{ n_layer: 1e6 }, /nLayer is 1000000, expected a whole number from 1 to 65536/],
        [{ n_layer: 1e15 }, /nLayer is 1000000000000000, expected/],
        [{ n_embd: 1e12, n_head: 1 }, /wrong: .*expected \[/],
        [{ vocab_size: 1e12 }, /wte\.weight is \[11, 8\], expected \[1000000000000, 8\]/],
        [{ n_positions: 2 ** 40 }, /wpe\.weight is/],
        [{ n_inner: 1e12 }, /mlp\.c_fc\.weight is/],
      ];
      for (const [changes, message] of cases) {
        writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, ...changes }));
        const error = await assertRejects(() => GPT2.load(folder), FormatError);
        assertMatch(error.message, message);
        assert(error.message.length < 3000);
      }
    });
  });

  it("expects the tensors that the model has", () => {
    const random = new Generator(3);
    for (let round = 0; round < 20; round++) {
      const nHead = random.integer(1, 3);
      const config = gpt2Config({
        vocabSize: random.integer(1, 20),
        nPositions: random.integer(1, 20),
        nEmbd: nHead * random.integer(1, 5),
        nLayer: random.integer(1, 4),
        nHead,
        nInner: random.uniform() < 0.5 ? null : random.integer(1, 9),
        tieWordEmbeddings: random.uniform() < 0.5,
      });
      using model = new GPT2Model(config, { device: "reference" });
      const own = model.namedParameters().map(([name, p]) => [name, [...p.shape]] as const);
      const expected = expectedTensors(config);
      assertEquals([...expected.names()].sort(), own.map(([name]) => name).sort());
      assertStrictEquals(expected.size, own.length);
      for (const [name, shape] of own) assertEquals([...expected.shape(name)!], shape, name);
      for (
        const name of ["h.99.ln_1.weight", "h.00.ln_1.weight", "h.0.ln_3.weight", "toString", "h.0.toString"]
      ) {
        assertStrictEquals(expected.shape(name), undefined);
      }
    }
  });
});

/** A tokenizer.json for the package. */
function tokenizerFile(changes: Record<string, unknown>): Record<string, unknown> {
  const letters = Object.fromEntries([..."abcdefghijklmnopqrstuvwxyz "].map((letter, id) => [letter, id]));
  return {
    added_tokens: [],
    model: {
      type: "WordPiece",
      unk_token: "a",
      continuing_subword_prefix: "",
      max_input_chars_per_word: 100,
      vocab: letters,
    },
    ...changes,
  };
}

const split = (Regex: string): unknown => ({
  pre_tokenizer: { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false },
});

describe("a tokenizer.json", () => {
  const cases: [string, Record<string, unknown>, RegExp][] = [
    ["an expression that doubles its ways", split("(a+)+$") as never, /might never end: .*exponentially/],
    ["an expression in two ways", split("(a|aa)*b") as never, /might never end/],
    ["an expression with a power of ways", split("\\s*\\s*\\s*x") as never, /might never end: .*power/],
    ["an expression that refers back", split("(a*)\\1") as never, /might never end: it refers back/],
    ["an expression that is none", split("(") as never, /cannot read this tokenizer\.json/],
    [
      "a normalizer that doubles and doubles",
      {
        normalizer: {
          type: "Sequence",
          normalizers: Array.from(
            { length: 40 },
            () => ({ type: "Replace", pattern: { String: "a" }, content: "aa" }),
          ),
        },
      },
      /"normalizer" of tokenizer\.json makes a text up to [\d,]+ times longer/,
    ],
    [
      "pieces of length 0",
      { pre_tokenizer: { type: "FixedLength", length: 0 } },
      /"length" of FixedLength .* is 0/,
    ],
    ["a fractional id", { model: { type: "WordPiece", vocab: { a: 1.5 } } }, /id of token "a" .* is 1\.5/],
    ["an id beyond all", { model: { type: "WordPiece", vocab: { a: 1e9 } } }, /id of token "a"/],
    [
      "an id that is a text",
      { model: { type: "WordPiece", vocab: { a: "1" } } },
      /id of token "a" .* is "1"/,
    ],
    ["an added token of a fractional id", { added_tokens: [{ id: 0.5, content: "x" }] }, /added token 0/],
    [
      "words of any length",
      { model: { type: "WordPiece", vocab: { a: 0 }, max_input_chars_per_word: 1e9 } },
      /max_input_chars_per_word/,
    ],
    [
      "a score that is none",
      { model: { type: "Unigram", unk_id: 0, vocab: [["a", "b"]] } },
      /the score of token 0/,
    ],
    [
      "no piece for what is unknown",
      { model: { type: "Unigram", unk_id: 7, vocab: [["a", 0]] } },
      /"model\.unk_id"/,
    ],
    [
      "pieces that begin with each other",
      {
        model: {
          type: "Unigram",
          unk_id: 0,
          vocab: Array.from({ length: 200 }, (_, i) => ["a".repeat(i + 1), -1]),
        },
      },
      /more than 64 tokens that begin with each other/,
    ],
    [
      "a template that repeats the text",
      {
        post_processor: {
          type: "TemplateProcessing",
          single: Array.from({ length: 50 }, () => ({ Sequence: { id: "A" } })),
        },
      },
      /has the text in it 50 times/,
    ],
    ["merges that are none", { model: { type: "BPE", vocab: { a: 0 }, merges: [5] } }, /merge 0/],
    ["a part that is a number", { normalizer: 5 }, /"normalizer" of tokenizer\.json is 5/],
    ["a part of no kind", { decoder: {} }, /"type" in "decoder"/],
  ];
  for (const [what, changes, message] of cases) {
    it(`with ${what} is refused`, async () => {
      const load = async (): Promise<number[]> =>
        (await tokenizerFromJson(tokenizerFile(changes), null, { engine: "huggingface" })).encode(
          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
        );
      const error = await assertRejects(load, FormatError);
      assertMatch(error.message, message);
      assert(error.message.length < 600);
    });
  }

  it("with holes, or with an expression that might never end, is refused by our own byte-level BPE too", async () => {
    const own = BpeTokenizer.train("ab ab", { vocabSize: 258 }).toJSON() as Record<string, unknown>;
    const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
    const cut = (Regex: string) => ({
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: [{ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false }, bytes],
      },
    });
    assertEquals((await tokenizerFromJson({ ...own, ...cut("a+|[^a]+") })).decode([0]).length, 1);
    for (
      const changes of [
        cut("(a+)+$"),
        cut("(?:a|aa)+$"),
        { pre_tokenizer: { type: "Sequence", pretokenizers: [null] } },
        { pre_tokenizer: { type: "Sequence", pretokenizers: [null, bytes] } },
        { pre_tokenizer: { type: "Sequence", pretokenizers: 5 } },
        { post_processor: { type: "TemplateProcessing", single: [null] } },
        { post_processor: { type: "TemplateProcessing", single: [{ SpecialToken: null }] } },
        { model: { type: "Unigram", unk_id: null, vocab: [["a", 0]] } },
      ]
    ) {
      const load = async (): Promise<unknown> =>
        (await tokenizerFromJson({ ...own, ...changes })).encode("b");
      await assertRejects(load, FormatError, undefined, JSON.stringify(changes));
    }
  });

  it("with a vocabulary of another kind of model are refused", async () => {
    const list = [["a", -1], ["b", -2]], ids = { a: 0, b: 1 };
    for (const [type, vocab] of [["Unigram", ids], ["BPE", list], ["WordPiece", list], ["WordLevel", list]]) {
      const model = { type, vocab, merges: [], unk_id: 0, unk_token: "a" };
      await assertRejects(() => tokenizerFromJson({ model }), FormatError, "and that of the type");
    }
  });

  it("that fails in use says so", async () => {
    const file = tokenizerFile({
      post_processor: { type: "TemplateProcessing", single: [{ SpecialToken: { id: "nobody" } }] },
    });
    const tokenizer = await tokenizerFromJson(file, null, { engine: "huggingface" });
    assertEquals(tokenizer.encode("a").length, 1);
    const own = BpeTokenizer.train("ab ab", { vocabSize: 258 }).toJSON() as { model: { vocab: object } };
    await assertRejects(() => tokenizerFromJson({ ...own, model: { ...own.model, vocab: 5 } }), FormatError);
    const characters = CharTokenizer.from("abc").toJSON() as { model: { vocab: object } };
    const twice = {
      ...characters,
      added_tokens: [{ id: 3, content: "", special: true }],
      model: { ...characters.model, vocab: { ...characters.model.vocab, "": 3 } },
    };
    await assertRejects(() => tokenizerFromJson(twice), FormatError);
  });

  it("of brackets alone, or nested deep, is refused before it is parsed", async () => {
    for (const text of [`{"a":${"[".repeat(100)}${"]".repeat(100)}}`, `[${"[],".repeat(20_000_001)}[]]`]) {
      await assertRejects(() => loadTokenizer({ "tokenizer.json": encode(text) }), FormatError);
    }
    await assertRejects(
      () => loadTokenizer({ "vocab.json": encode("5"), "merges.txt": encode("") }),
      FormatError,
    );
  });
});

describe("a chat template", () => {
  const messages = [{ role: "user", content: "hi" }];
  const render = async (template: unknown): Promise<string | undefined> => {
    const folder = { "tokenizer_config.json": encode(JSON.stringify({ chat_template: template })) };
    return (await loadChatTemplate(folder as never))?.(messages);
  };
  const cases: [string, unknown, RegExp][] = [
    ["counts to a billion", "{% for i in range(1000000000) %}x{% endfor %}", /range of 1000000000/],
    [
      "loops in loops over nothing",
      "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
      /may never end/,
    ],
    [
      "doubles a text",
      "{% set n = namespace(s='xx') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
      /may never end/,
    ],
    [
      "doubles a list",
      "{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
      /may never end/,
    ],
    [
      "calls itself twice",
      "{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
      /may never end/,
    ],
    [
      "calls itself for ever",
      "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
      /the chat template is nested too deep; it may never end/,
    ],
    ...[
      "{{ ns.l }}",
      "{{ ns.l | tojson }}",
      "{{ ns.l | string }}",
      "{{ ns.l == ns.m }}",
      "{{ ns }}",
      "{{ ns.l ~ 'x' }}",
    ]
      .flatMap((
        written,
      ) =>
        ["[ns.l, ns.l]", "{'a': ns.l, 'b': ns.l}", "[[ns.l], namespace(l=ns.l), namespace(l=ns.l)]"].map((
          twice,
        ): [string, string, RegExp] => [
          `writes ${twice} as ${written}`,
          `{% set ns = namespace(l=[], m=[]) %}{% for i in range(60) %}{% set ns.l = ${twice} %}{% set ns.m = ${twice} %}{% endfor %}${written}`,
          /makes a value that is written in more than \d+ characters/,
        ])
      ),
    [
      "fills a namespace that stands in many places",
      "{% set n = namespace(l=[]) %}{% set ns = namespace(l=n) %}{% for i in range(18) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{% set n.l = range(100000) %}{{ ns.l }}",
      /makes a value that is written in more than \d+ characters/,
    ],
    ...["[ns.l, ns.l]", "{ns.s: ns.l, 'b': ns.l}"].flatMap((twice) =>
      ["{{ ns.l }}", "{{ ns.l | tojson }}", "{{ ns.l | string | length }}"].map((
        written,
      ): [string, string, RegExp] => [
        `writes a long text in each place of ${twice} as ${written}`,
        "{% set ns = namespace(s='ab', l=[]) %}{% for i in range(18) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{% set ns.l = [ns.s] %}" +
        `{% for i in range(12) %}{% set ns.l = ${twice} %}{% endfor %}${written}`,
        /makes a value that is written in more than \d+ characters/,
      ])
    ),
    [
      "joins by a long text",
      "{% set ns = namespace(s='ab') %}{% for i in range(18) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ range(100000) | join(ns.s) }}",
      /with join/,
    ],
    ...["{%- if true %}{% endif %}", "x", "{{ 1 }}"].map((after): [string, string, RegExp] => [
      `has white space for ever before ${after}`,
      `{{ 1 -}}${"\n ".repeat(250_000)}${after}`,
      /500000 characters of white space in a row, from character 8 on/,
    ]),
    ["indents by millions", "{{ 'a\\nb' | indent(500000000) }}", /with indent/],
    ["writes JSON as wide", "{{ messages | tojson(indent=500000000) }}", /with tojson/],
    ["does not parse", "{% for %}", /does not parse/],
    ["is a list of nothing", [null], /entry 0 of chat_template is null/],
    ["is a list without templates", [{ name: "default" }], /the template of entry 0/],
    ["is a number", 5, /chat_template is 5/],
    ["refuses the conversation", "{{ raise_exception('Roles must alternate') }}", /Roles must alternate/],
  ];
  for (const [what, template, message] of cases) {
    it(`that ${what} is refused`, async () => {
      assertMatch((await assertRejects(() => render(template), FormatError)).message, message);
    });
  }

  it("of a real model writes what it should", async () => {
    const template =
      "{%- for m in messages %}{{- '<|start|>' + m['role'] + '\\n' + m['content'] | trim + '<|end|>' }}{%- endfor %}" +
      "{%- if add_generation_prompt %}{{- '<|start|>assistant' }}{%- endif %}{% for i in range(1, 6, 2) %}{{ i }}{% endfor %}" +
      "{{ strftime_now('%Y') | length }}";
    assertEquals(
      await render([{ name: "other", template: "" }, { name: "default", template }]),
      "<|start|>user\nhi<|end|><|start|>assistant1354",
    );
    assertEquals(await render(null), undefined);
    assertEquals(await render([]), undefined);
  });
});

describe("a hub that means harm", () => {
  it("cannot list without end, nor what is no list", async () => {
    let answer: () => string = () => "", next = false;
    const server = createServer((request, response) => {
      const path = request.url ?? "";
      if (next) {
        response.setHeader("link", `<http://127.0.0.1:${port}${path.split("?")[0]}?cursor=x>; rel="next"`);
      }
      response.writeHead(200, { "content-type": "application/json" });
      response.end(answer());
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const { port } = server.address() as AddressInfo, folder = mkdtempSync(join(tmpdir(), "ferrotype-hub-"));
    const names = async (): Promise<readonly string[] | null> =>
      (await openRepository("org/name", {
        endpoint: `http://127.0.0.1:${port}`,
        cacheDir: folder,
        revision: "e".repeat(40),
      })).names();
    const file = { type: "file", path: "config.json", size: 1, oid: "a".repeat(40) };
    try {
      answer = () => JSON.stringify([file]);
      assertEquals(await names(), ["config.json"]);
      for (
        const list of [
          "{}",
          "null",
          "[null]",
          "[1]",
          "[",
          JSON.stringify([{ ...file, size: -1 }]),
          JSON.stringify([{ ...file, path: 5 }]),
        ]
      ) {
        answer = () => list;
        await assertRejects(names, HubError);
      }
      answer = () => `[${" ".repeat(20_000_000)}]`;
      assertMatch((await assertRejects(names, HubError)).message, /a page of more than/);
      next = true;
      answer = () => "[]";
      assertMatch((await assertRejects(names, HubError)).message, /more than 1000 pages/);
    } finally {
      server.closeAllConnections();
      server.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe("shards at hand", () => {
  it("are told apart, whatever they are called", async () => {
    using model = smallModel();
    const files: Record<string, Uint8Array> = {};
    for (const { name, content } of model.files({ shardSize: 2000 })) {
      const parts: Uint8Array[] = [];
      if (typeof content === "string") parts.push(encode(content));
      else for await (const part of content) parts.push(part.slice());
      files[name] = new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
    }
    assert(Object.keys(files).length > 4);
    using again = await GPT2.load(files);
    for (const [name, p] of model.namedParameters()) {
      assertEquals(await new Map(again.namedParameters()).get(name)!.toArray(), await p.toArray(), name);
    }
  });
});

describe("a folder that means harm", () => {
  it("is refused by every command that reads it, in one line", async () => {
    await inFolder(async (folder) => {
      const model = join(folder, "model");
      mkdirSync(model);
      await saveSafetensors(join(model, "model.safetensors"), { a: tensor([1]) });
      for (
        const [name, text] of [["config.json", "[".repeat(1e5)], [
          "tokenizer.json",
          '{"model":{"vocab":null}}',
        ]] as const
      ) {
        writeFileSync(join(model, name), text);
      }
      for (
        const args of [["generate", "x", "--model", model], ["tokenize", "x", "--model", model], [
          "convert",
          model,
          join(folder, "out"),
        ]]
      ) {
        const { code, stderr } = await call(args);
        assertEquals([code, /^ferrotype: [^\n]+\n$/.test(stderr)], [1, true], stderr);
      }
      await using file = await openSafetensors(join(model, "model.safetensors"));
      assertEquals(file.names, ["a"]);
    });
  });
});
