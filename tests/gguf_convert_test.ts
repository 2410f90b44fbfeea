/**
 * Models written as GGUF: tensors and notes as llama.cpp's converter makes them, tokenizers that give the same ids, and
 * llama.cpp itself, which reads what was written and says the same.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import {
  CausalLM,
  convertToGguf,
  FormatError,
  type Gguf,
  loadTokenizer,
  openGguf,
  openSafetensors,
  randn,
  saveGguf,
  saveSafetensors,
} from "../mod.ts";
import { asBlocks, type GgufType, ggufTypes } from "../src/files/gguf/mod.ts";
import type { CausalDecoder } from "../src/models/decoder/causal.ts";
import { ggufArchitecture } from "../src/models/gguf.ts";
import { decoderConfig, decoderNetwork, familyNames, familyOf } from "../src/models/registry.ts";
import { ggufDTypes } from "../src/runtime/gguf_convert.ts";
import { ggufJson, ggufSource } from "../src/runtime/gguf_source.ts";
import { readWeights } from "../src/runtime/read_weights.ts";
import { ggufPre } from "../src/text/gguf_notes.ts";
import { ggufTokenizer } from "../src/text/gguf_tokenizer.ts";
import { call } from "./_command.ts";
import { dataPath, missingData, repository } from "./_data.ts";
import { families } from "./_families.ts";
import { tinyFolder } from "./_gpt2.ts";
import type { LlamaCppTask } from "./_llama_cpp.ts";
import { findRuntimes, runtimeKinds } from "./_runtimes.ts";
import { after, before, describe, it } from "./_suite.ts";
import { asksNothing } from "./_width.ts";

let folder = "";
before(() => {
  folder = mkdtempSync(join(tmpdir(), "ferrotype-convert-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const json = (...path: string[]) => JSON.parse(readFileSync(dataPath(...path), "utf8"));

/** Converts a folder; its warnings are given. */
async function converted(
  from: string,
  name: string,
  dtype?: string,
): Promise<{ path: string; told: string[] }> {
  const path = join(folder, `${name}.gguf`), told: string[] = [];
  await convertToGguf(from, path, {
    ...(dtype ? { dtype } : {}),
    onWarning: (message) => void told.push(message),
  });
  return { path, told };
}

async function floats(file: Gguf, name: string): Promise<Float32Array> {
  return new Float32Array((await file.view(name).read("f32")).buffer);
}

/** The network in a GGUF, as f32. */
async function networkFromGguf(file: Gguf): Promise<CausalDecoder> {
  const config = decoderConfig(await ggufJson(file)), model = decoderNetwork(config, { device: "cpu" });
  const expected = familyOf(config.family, "").expected(config);
  await readWeights(model, ggufSource(file, config, expected, config.family, console.warn), { dtype: "f32" });
  return model;
}

describe("convert to GGUF: families", { skip: asksNothing }, () => {
  /** Notes that others leave out, and that change nothing, or that llama.cpp does not heed. */
  const ours =
    /^general\.type|\.(?:rope\.(?:dimension_count|freq_base_swa|scaling\.type)|attention\.(?:sliding_window|scale))$/;
  const theirs = /^phi3\.rope\.scaling\.original_context_length|^gptneox\.attention\.head_count_kv/;
  for (const family of families) {
    it(`${family}: the tensors and notes of the file that llama.cpp was tried with, to the bit`, async () => {
      const { path } = await converted(dataPath("families", family), family, "f32");
      await using wanted = await openGguf(dataPath("families", `${family}.gguf`)),
        file = await openGguf(path);
      assertEquals([...file.names].sort(), [...wanted.names].sort());
      for (const name of wanted.names) {
        const { type, shape } = wanted.info(name);
        assertEquals([file.info(name).type, file.info(name).shape], [type, shape], name);
        assertEquals(await file.view(name).bytes(), await wanted.view(name).bytes(), name);
      }
      for (const [key, note] of Object.entries(wanted.notes)) {
        if (!theirs.test(key)) assertEquals(file.notes[key], note, key);
      }
      for (const key of Object.keys(file.notes)) assert(key in wanted.notes || ours.test(key), key);
    });

    it(`${family}: what is read of it is the model that was written`, async () => {
      const { path } = await converted(dataPath("families", family), `${family}-read`);
      const golden = json("families", family, "golden.json");
      await using file = await openGguf(path);
      using model = await networkFromGguf(file);
      model.eval();
      // Phi-3's window is not in every file; the short prompt does not reach behind it in any case but that.
      const { ids, last_logits } = golden.prompts.single;
      using logits = model.forward(ids, { lastOnly: true });
      const values = await logits.data() as Float32Array, tolerance = family === "llama3" ? 1e-4 : 4e-5;
      const worst = Math.max(...last_logits.flat().map((x: number, i: number) => Math.abs(x - values[i])));
      assert(worst < tolerance, `${worst}`);
    });
  }

  it("knows an architecture for every family there is", () => {
    for (const family of familyNames) assert(ggufArchitecture(family).length > 0, family);
  });

  it("granite and smollm3: queries and keys lie in pairs, multipliers and biases are kept", async () => {
    const common = {
      vocab_size: 64,
      hidden_size: 32,
      intermediate_size: 48,
      num_hidden_layers: 4,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      max_position_embeddings: 64,
    };
    const configs = {
      granite: {
        ...common,
        attention_multiplier: 0.2,
        embedding_multiplier: 6,
        residual_multiplier: 0.3,
        logits_scaling: 4,
        attention_bias: true,
        mlp_bias: true,
      },
      smollm3: { ...common, tie_word_embeddings: false },
      olmo2: { ...common, attention_bias: false },
      llama: {
        ...common,
        attention_bias: true,
        rope_scaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 16, beta_fast: 30 },
      },
      gemma3_text: {
        ...common,
        head_dim: 8,
        query_pre_attn_scalar: 8,
        sliding_window: 5,
        sliding_window_pattern: 3,
        rope_scaling: { rope_type: "linear", factor: 2 },
      },
      gemma2: {
        ...common,
        head_dim: 8,
        query_pre_attn_scalar: 10,
        sliding_window: 5,
        layer_types: [
          "full_attention",
          "sliding_attention",
          "sliding_attention",
          "full_attention",
        ],
      },
    };
    for (const [model_type, config] of Object.entries(configs)) {
      const at = join(folder, `model-${model_type}`), described = { model_type, ...config };
      mkdirSync(at);
      using model = decoderNetwork(decoderConfig(described));
      let seed = 1;
      const weights = Object.fromEntries(
        [...model.namedParameters()].map((
          [name, p],
        ) => [name, randn([...p.shape], { seed: seed++ }).mul(0.3)]),
      );
      model.loadStateDict(weights);
      await saveSafetensors(join(at, "model.safetensors"), weights);
      writeFileSync(join(at, "config.json"), JSON.stringify(described));
      const { path } = await converted(at, model_type);
      await using file = await openGguf(path);
      using read = await networkFromGguf(file);
      const ids = Array.from({ length: 24 }, (_, i) => (i * 29 + 7) % 64);
      using a = model.eval().forward(ids), b = read.eval().forward(ids);
      const difference = await a.sub(b).abs().max().item(), size = await a.abs().max().item();
      assert(difference < 1e-5 * Math.max(1, size), `${model_type}: ${difference} of ${size}`);
    }
  });

  it("says what llama.cpp does not load, and writes attention's factor beside YaRN's own", async () => {
    const sizes = { vocab_size: 40, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2 };
    const heads = { num_attention_heads: 4, max_position_embeddings: 64 };
    const write = async (name: string, more: object): Promise<{ path: string; told: string[] }> => {
      using model = await CausalLM.fromConfig({ ...sizes, ...heads, ...more });
      await model.save(join(folder, `loads-${name}`));
      const { path, told } = await converted(join(folder, `loads-${name}`), `loads-${name}`);
      return { path, told: told.filter((line) => line.startsWith("llama.cpp does not load")) };
    };
    const cases: readonly (readonly [name: string, config: object, told: RegExp | null])[] = [
      ["a", { model_type: "qwen3", attention_bias: true }, /a qwen3 with biases in attention$/],
      ["b", { model_type: "llama", attention_bias: true, mlp_bias: true, head_dim: 12 }, null],
      [
        "c",
        { model_type: "olmo2", head_dim: 12, tie_word_embeddings: true },
        /make up its width, and with no output/,
      ],
      [
        "d",
        { model_type: "llama", partial_rotary_factor: 0.5 },
        /a llama with heads of which a part is turned$/,
      ],
      ["e", { model_type: "gemma", tie_word_embeddings: false }, /a gemma with an output layer of its own$/],
    ];
    for (const [name, config, expected] of cases) {
      const { told } = await write(name, config);
      assertStrictEquals(told.length, expected ? 1 : 0, `${name}: ${told}`);
      if (expected) assertMatch(told[0], expected);
    }
    const yarn = {
      rope_type: "yarn",
      factor: 4,
      original_max_position_embeddings: 16,
      attention_factor: 1.7,
    };
    const { path } = await write("f", { model_type: "llama", rope_scaling: yarn });
    await using file = await openGguf(path);
    // What llama.cpp multiplies by itself: 1 + ln(factor) / 10.
    const beside = Number(file.metadata.get("llama.rope.scaling.attn_factor"));
    assert(Math.abs(beside * (1 + Math.log(4) / 10) - 1.7) < 1e-6, String(beside));
    const read = (await ggufJson(file)).rope_scaling as { attention_factor: number };
    assert(Math.abs(read.attention_factor - 1.7) < 1e-6);
    const long = {
      rope_type: "longrope",
      short_factor: [1, 1, 2, 2],
      long_factor: [3, 4, 5, 6],
      attention_factor: 0.7,
    };
    const phi = await write("g", {
      model_type: "phi3",
      rope_scaling: long,
      original_max_position_embeddings: 16,
    });
    await using other = await openGguf(phi.path);
    const kept = (await ggufJson(other)).rope_scaling as { attention_factor: number };
    assert(Math.abs(kept.attention_factor - 0.7) < 1e-6);
  });

  it("refuses what llama.cpp would compute otherwise, and what is not the model that config.json describes", async () => {
    const at = join(folder, "refused");
    cpSync(dataPath("families", "qwen3"), at, { recursive: true });
    const good = json("families", "qwen3", "config.json");
    const refused = async (changes: object, text: RegExp) => {
      writeFileSync(join(at, "config.json"), JSON.stringify({ ...good, ...changes }));
      const error = await assertRejects(() => converted(at, "refused"), FormatError);
      assertMatch(error.message, text);
      assert(!existsSync(join(folder, "refused.gguf")));
    };
    await refused({ hidden_act: "gelu" }, /always computed with silu, and this model has gelu/);
    for (
      const layer_types of [["sliding_attention", "full_attention"], [
        "sliding_attention",
        "sliding_attention",
      ]]
    ) {
      await refused(
        { sliding_window: 4, use_sliding_window: true, layer_types },
        /qwen3 does not say that layers see 4 tokens alone; keep it as safetensors/,
      );
    }
    await refused({ num_hidden_layers: 3 }, /missing: model\.layers\.2\.input_layernorm\.weight/);
    await refused({ intermediate_size: 64 }, /gate_proj\.weight is \[48, 32\], expected \[64, 32\]/);
    await refused({ tie_word_embeddings: false }, /missing: lm_head\.weight/);
    await refused({ model_type: "qwen9" }, /qwen9/);
    await refused({ num_hidden_layers: 2 ** 30 }, /num_hidden_layers is 1073741824, expected at most 65536/);
  });

  it("takes names as others write them: prefixes, no prefix, buffers, a head that is tied", async () => {
    const at = join(folder, "names");
    mkdirSync(at);
    cpSync(dataPath("families", "qwen2", "config.json"), join(at, "config.json"));
    await using file = await openSafetensors(dataPath("families", "qwen2", "model.safetensors"));
    const { path: wanted } = await converted(dataPath("families", "qwen2"), "names-wanted");
    for (const rename of [(n: string) => `module._orig_mod.${n}`, (n: string) => n.replace(/^model\./, "")]) {
      const tensors = await Promise.all(
        file.names.map(async (name) => [rename(name), await file.tensor(name)] as const),
      );
      await saveSafetensors(join(at, "model.safetensors"), {
        ...Object.fromEntries(tensors),
        "model.layers.0.self_attn.rotary_emb.inv_freq": randn([4], { seed: 1 }),
        "lm_head.weight": randn([128, 32], { seed: 2 }),
      });
      const { path } = await converted(at, "names");
      const name = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes).replace("qwen2\u0000", "");
      assertStrictEquals(
        name(readFileSync(path)).replace(/general\.name[\s\S]{12}names/, ""),
        name(readFileSync(wanted)).replace(/general\.name[\s\S]{12}qwen2/, ""),
      );
    }
  });
});

describe("convert to GGUF: types", { skip: asksNothing }, () => {
  for (const dtype of ggufDTypes) {
    it(`${dtype}: matrices in it, what llama.cpp keeps as f32 in f32, rows that fill no block as llama.cpp has them`, async () => {
      const wide = { q4_k: "Q5_0", q6_k: "Q8_0" } as Record<string, string>,
        type = dtype.toUpperCase() as GgufType;
      const { path, told } = await converted(dataPath("families", "qwen3"), dtype, dtype);
      await using file = await openGguf(path),
        source = await openSafetensors(dataPath("families", "qwen3", "model.safetensors"));
      for (const name of file.names) {
        const { type: got, shape } = file.info(name), width = shape.at(-1)!;
        const block = (one: string): number => ggufTypes[one as GgufType].values;
        const expected = shape.length < 2
          ? "F32"
          : width % block(dtype.toUpperCase()) === 0
          ? type
          : wide[dtype] && width % block(wide[dtype]) === 0
          ? wide[dtype]
          : "F16";
        assertStrictEquals(got, expected, name);
      }
      const up = new Float32Array(
        (await source.view("model.layers.1.mlp.up_proj.weight").read("f32")).buffer,
      );
      const got = file.info("blk.1.ffn_up.weight").type;
      if (ggufTypes[got].values > 1) {
        assertEquals(await file.view("blk.1.ffn_up.weight").bytes(), asBlocks(got, up));
      } else {
        const back = await floats(file, "blk.1.ffn_up.weight");
        assert(back.every((x, i) => Math.abs(x - up[i]) <= 2 ** -8 * Math.abs(up[i]) + 1e-7));
      }
      const lines = told.filter((line) => line.includes("fill no blocks"));
      assertStrictEquals(
        lines.length,
        dtype.startsWith("q") ? dtype.endsWith("k") ? 2 : 1 : 0,
        told.join("\n"),
      );
      assertStrictEquals(
        file.metadata.get("general.file_type"),
        { f32: 0, f16: 1, bf16: 32, q8_0: 7, q4_0: 2, q4_k: 14, q6_k: 18 }[dtype],
      );
    });
  }

  it("a trained LLaMA is the file that llama.cpp's quantiser made, and its tokenizer the folder's", {
    skip: missingData("llama", "stories260K", "stories260K-q8_0.gguf"),
  }, async () => {
    const from = dataPath("llama", "stories260K"), { path } = await converted(from, "stories", "q8_0");
    await using wanted = await openGguf(join(from, "stories260K-q8_0.gguf")), file = await openGguf(path);
    for (const name of wanted.names) {
      // That file has rows that fill no blocks as f32.
      if (file.info(name).type === "F16") continue;
      assertEquals(await file.view(name).bytes(), await wanted.view(name).bytes(), name);
    }
    const own = ggufTokenizer(file.metadata, path)!;
    for (const line of readFileSync(join(from, "tokenizer_golden.jsonl"), "utf8").trim().split("\n")) {
      const { text, ids } = JSON.parse(line);
      assertEquals(own.encode(text), ids, text);
    }
  });

  it("GPT-2: names, matrices turned, positions as f32, from floats and from blocks", async () => {
    const { path } = await converted(tinyFolder, "gpt2", "f32");
    await using file = await openGguf(path),
      source = await openSafetensors(join(tinyFolder, "model.safetensors"));
    const { metadata } = file, layers = Number(metadata.get("gpt2.block_count"));
    assertEquals(file.names.length, source.names.length);
    assertEquals(
      layers,
      JSON.parse(readFileSync(join(tinyFolder, "config.json"), "utf8")).n_layer,
    );
    const held = source.names.find((name) => name.endsWith("h.0.mlp.c_fc.weight"))!;
    const [inner, outer] = source.info(held).shape,
      x = new Float32Array((await source.view(held).read("f32")).buffer);
    const y = await floats(file, "blk.0.ffn_up.weight");
    assertEquals([...file.info("blk.0.ffn_up.weight").shape], [outer, inner]);
    for (let i = 0; i < inner; i++) {
      for (let o = 0; o < outer; o++) assertStrictEquals(y[o * inner + i], x[i * outer + o]);
    }
    const q8 = join(folder, "gpt2-q8");
    assertEquals((await call(["convert", tinyFolder, q8, "--dtype", "q8"])).code, 0);
    const { path: blocks } = await converted(q8, "gpt2-q8");
    await using fromBlocks = await openGguf(blocks);
    assertEquals(fromBlocks.info("blk.0.ffn_up.weight").type, "Q8_0");
    assertEquals(await fromBlocks.view("blk.0.ffn_up.weight").bytes(), asBlocks("Q8_0", y));
    assertEquals(fromBlocks.info("position_embd.weight").type, "F32");
  });

  it("from GGUF to GGUF: another type, the same notes with their types, parts in one", async () => {
    const from = dataPath("families", "llama3.gguf"), to = join(folder, "again.gguf");
    await convertToGguf(from, to, { dtype: "q8_0" });
    await using a = await openGguf(from), b = await openGguf(to);
    assertEquals(b.names, a.names);
    for (const [key, note] of Object.entries(a.notes)) {
      if (key !== "general.file_type") assertEquals(b.notes[key], note, key);
    }
    assertEquals([b.info("rope_freqs.weight").type, b.info("output.weight").type], ["F32", "Q8_0"]);
    assertEquals(await b.view("output.weight").bytes(), asBlocks("Q8_0", await floats(a, "output.weight")));
    const parts = [1, 2].map((no) => join(folder, `p-0000${no}-of-00002.gguf`));
    for (const [i, path] of parts.entries()) {
      await saveGguf(path, { [`t${i}.weight`]: randn([2, 64], { seed: i }) }, {
        metadata: {
          "split.no": { type: "u16", value: i },
          "split.count": { type: "u16", value: 2 },
          other: 0.5,
        },
      });
    }
    const whole = join(folder, "whole.gguf");
    await convertToGguf(parts[0], whole);
    await using one = await openGguf(whole);
    assertEquals([one.names, [...one.metadata.keys()], one.files.length], [["t0.weight", "t1.weight"], [
      "other",
    ], 1]);
  });
});

describe("convert to GGUF: tokenizers", { skip: asksNothing }, () => {
  /** The ids of a folder's tokenizer, and of the one in the file that is made of it. */
  async function same(from: string, texts: readonly string[], name: string, size: number): Promise<void> {
    const at = join(folder, `tokenizer-${name}`);
    mkdirSync(at);
    for (const file of readdirSync(from)) {
      if (/^(?:tokenizer|vocab|merges|special|added|chat)/.test(file)) {
        cpSync(join(from, file), join(at, file));
      }
    }
    const described = { ...json("families", "qwen2", "config.json"), vocab_size: size };
    using model = decoderNetwork(decoderConfig(described));
    writeFileSync(join(at, "config.json"), JSON.stringify(described));
    await saveSafetensors(join(at, "model.safetensors"), model.stateDict());
    const { path, told } = await converted(at, `tokenizer-${name}`);
    assertEquals(told, []);
    await using file = await openGguf(path);
    const wanted = await loadTokenizer(from), own = ggufTokenizer(file.metadata, path)!;
    const types = file.metadata.get("tokenizer.ggml.token_type") as Int32Array, unknown = types.indexOf(2);
    // A tokenizer.model alone finds no special tokens in a text, and llama.cpp finds those that its notes call so.
    const options = { splitSpecialTokens: existsSync(join(from, "tokenizer.model")) };
    for (const text of texts) {
      const ids = own.encode(text, options);
      assertEquals(ids, wanted.encode(text, options), `${name}: ${JSON.stringify(text)}`);
      // What is unknown has its name in a GGUF, and is ⁇ in SentencePiece's own words.
      if (ids.includes(unknown)) continue;
      assertEquals(own.decode(ids), wanted.decode(ids), `${name}: ${JSON.stringify(text)}`);
    }
    assertEquals((file.metadata.get("tokenizer.ggml.tokens") as string[]).length, size);
  }

  const textsOf = (...path: string[]): string[] =>
    readFileSync(dataPath(...path), "utf8").trim().split("\n").map((line) => JSON.parse(line).text);

  it(
    "byte-level BPE",
    { skip: missingData("tokenizers", "gpt2", "golden.jsonl") },
    () => same(dataPath("tokenizers", "gpt2"), textsOf("tokenizers", "gpt2", "golden.jsonl"), "gpt2", 50_260),
  );
  for (const kind of ["bpe-bytes", "unigram", "unigram-bytes"]) {
    it(
      `SentencePiece: ${kind}`,
      { skip: missingData("tokenizers", "sentencepiece", kind, "golden.jsonl") },
      () =>
        same(
          dataPath("tokenizers", "sentencepiece", kind),
          textsOf("tokenizers", "sentencepiece", kind, "golden.jsonl"),
          kind,
          2000,
        ),
    );
  }

  it("each way of cutting texts has its name, however the expression is written", () => {
    const behind = String.raw` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
    const llama = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|${behind}`;
    assertEquals(ggufPre([llama], true), "llama-bpe");
    assertEquals(ggufPre([llama], false), "smaug-bpe");
    assertEquals(ggufPre([llama.replace("{1,3}", "")], false), "qwen2");
    assertEquals(ggufPre(null, false), "gpt-2");
    assertEquals(
      ggufPre([
        String.raw`\p{N}`,
        String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
      ], false),
      "smollm",
    );
    assertEquals(ggufPre(["."], false), null);
  });

  it("special tokens, templates, what is not kept", async () => {
    const at = join(folder, "special");
    cpSync(dataPath("families", "qwen2"), at, { recursive: true, filter: (path) => !path.includes("lora") });
    const vocab = Object.fromEntries(
      ["<unk>", "<s>", "</s>", "▁", "a", "b", "▁a", "▁ab"].map((token, id) => [token, id]),
    );
    const tokenizer = {
      added_tokens: [
        ...["<unk>", "<s>", "</s>"].map((content, id) => ({ id, content, special: true })),
        { id: 9, content: "<mine>", special: false },
      ],
      normalizer: {
        type: "Sequence",
        normalizers: [{ type: "Prepend", prepend: "▁" }, {
          type: "Replace",
          pattern: { String: " " },
          content: "▁",
        }],
      },
      pre_tokenizer: null,
      post_processor: {
        type: "TemplateProcessing",
        single: [{ SpecialToken: { id: "<s>" } }, { Sequence: { id: "A" } }],
        special_tokens: { "<s>": { ids: [1] } },
      },
      decoder: null,
      model: {
        type: "BPE",
        byte_fallback: true,
        unk_token: "<unk>",
        vocab,
        merges: [["▁", "a"], ["▁a", "b"]],
      },
    };
    writeFileSync(join(at, "tokenizer.json"), JSON.stringify(tokenizer));
    writeFileSync(
      join(at, "tokenizer_config.json"),
      JSON.stringify({ bos_token: "<s>", eos_token: { content: "</s>" }, chat_template: "old" }),
    );
    writeFileSync(join(at, "chat_template.jinja"), "{{ messages }}é");
    const { path } = await converted(at, "special");
    await using file = await openGguf(path);
    const note = (name: string) => file.metadata.get(`tokenizer.${name}`);
    assertEquals([
      note("ggml.bos_token_id"),
      note("ggml.eos_token_id"),
      note("ggml.add_bos_token"),
      note("ggml.add_eos_token"),
    ], [1, 2, true, false]);
    assertEquals([note("chat_template"), note("ggml.add_space_prefix")], ["{{ messages }}é", true]);
    assertEquals([...note("ggml.token_type") as Int32Array].slice(0, 11), [2, 3, 3, 1, 1, 1, 1, 1, 5, 4, 5]);
    assertEquals([...note("ggml.scores") as Float32Array].slice(3, 8), [0, 0, 0, -1, -2]);
    assertEquals((note("ggml.tokens") as string[]).slice(7, 11), ["▁ab", "[PAD8]", "<mine>", "[PAD10]"]);
    // A tokenizer that no GGUF holds is named, and the model is written.
    writeFileSync(
      join(at, "tokenizer.json"),
      JSON.stringify({ ...tokenizer, model: { type: "BPE", vocab, merges: [] } }),
    );
    const { told, path: without } = await converted(at, "special-without");
    assertMatch(told.join(), /the tokenizer is left out: it is no byte-level BPE/);
    await using none = await openGguf(without);
    assertStrictEquals(none.metadata.get("tokenizer.ggml.model"), "none");
  });
});

describe("ferrotype convert to GGUF", () => {
  it("writes it, says what it did, and refuses what cannot be", async () => {
    const from = dataPath("families", "qwen3"), to = join(folder, "cli.gguf");
    const { code, stderr } = await call(["convert", from, to, "--dtype", "q8_0"]);
    assertEquals(code, 0);
    assertMatch(stderr, /wrote .*cli\.gguf \([\d.]+ kB of weights in 1 file\)/);
    const answered = JSON.parse(
      (await call(["convert", from, to, "--force", "--dtype", "q4", "--json"])).stdout,
    );
    await using file = await openGguf(to);
    assertEquals(answered.bytes, file.names.reduce((sum, name) => sum + file.info(name).byteLength, 0));
    assertEquals(file.info("blk.0.ffn_up.weight").type, "Q4_0");
    const fails = async (args: string[], text: RegExp) => {
      const { code, stderr } = await call(["convert", ...args]);
      assertEquals(code, 2, stderr);
      assertMatch(stderr, text);
    };
    await fails([from, to], /is there already; give --force/);
    await fails([from, join(folder, "x.gguf"), "--shard-size", "1MB"], /--shard-size is for safetensors/);
    await fails([from, join(folder, "x"), "--dtype", "q4_k"], /q4_k is what a GGUF holds/);
    await fails([join(from, "model.safetensors"), join(folder, "x.gguf")], /made of a model's folder/);
    await fails([to, join(folder, "x.safetensors")], /of the GGUF .* a model's folder is made/);
    // And back: a folder that says the same.
    const back = join(folder, "back");
    assertEquals((await call(["convert", dataPath("families", "qwen3.gguf"), back])).code, 0);
    const last = async (model: string) =>
      JSON.parse((await call(["logits", "--json", "--model", model, "--prompt-ids", "5,6,7"])).stdout).last;
    assertEquals(await last(back), await last(from));
    const failed = await call(["convert", join(tinyFolder, "..", "families"), join(folder, "y.gguf")]);
    assert(failed.code === 1 && /config\.json/.test(failed.stderr) && !existsSync(join(folder, "y.gguf")));
  });
});

/** Where node-llama-cpp is, and a Node to run it; or why it cannot be. */
function findLlamaCpp(): { entry: string; node: string } | { skip: string } {
  const [node] = findRuntimes(runtimeKinds.filter(({ name }) => name === "node"), false).found;
  if (node === undefined) return { skip: "node-llama-cpp runs on Node ≥ 24, which was not found" };
  for (const place of ["tests", "bench"]) {
    try {
      const require = createRequire(join(repository, place, "rivals", "package.json"));
      const entry = require.resolve("node-llama-cpp");
      return { entry, node: node.path };
    } catch {
      continue;
    }
  }
  return { skip: "node-llama-cpp is not installed; npm install --prefix tests/rivals" };
}

describe("llama.cpp reads what was written", () => {
  const found = findLlamaCpp();
  /** A vocabulary of letters: llama.cpp wants to know one, though it is given ids. */
  const letters = (count: number) => {
    const tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    const special = tokens.map((content, id) => ({ id, content, special: true }));
    for (let i = tokens.length; i < count; i++) tokens.push(String.fromCodePoint(0x61 + i));
    const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
    return { added_tokens: special, model: { type: "WordPiece", unk_token: "[UNK]", vocab } };
  };

  it("and gives the same greedy tokens for families that it computes in f32 alike", {
    skip: "skip" in found ? found.skip : false,
  }, async () => {
    if ("skip" in found) return;
    const tasks: LlamaCppTask[] = [], wanted: (number[] | null)[] = [];
    const made = async (
      name: string,
      changes: object,
      dtype: string,
      expected: (golden: never) => number[] | null,
    ) => {
      // llama.cpp sets the tokens of what is called "phi3" apart, which here are others.
      const at = join(folder, `judged-${families.indexOf(name)}`);
      if (!existsSync(at)) {
        cpSync(dataPath("families", name), at, { recursive: true, filter: (path) => !path.includes("lora") });
        writeFileSync(
          join(at, "config.json"),
          JSON.stringify({ ...json("families", name, "config.json"), ...changes }),
        );
        writeFileSync(join(at, "tokenizer.json"), JSON.stringify(letters(128)));
      }
      const golden = json("families", name, "golden.json"), [ids] = golden.prompts.single.ids;
      const { path } = await converted(at, `judged-${name}-${dtype}`, dtype);
      tasks.push({ path, ids, count: 24 });
      wanted.push(expected(golden as never));
    };
    const greedy = ({ greedy }: { greedy: { ids: number[] } }) => greedy.ids.slice(0, 24);
    for (const name of ["llama3", "qwen2", "qwen3"]) await made(name, {}, "f32", greedy);
    // llama.cpp knows no window of these: a model without one is computed alike.
    for (const name of ["mistral", "phi3"]) {
      const golden = json("families", name, "golden.json"), [prompt] = golden.prompts.single.ids;
      const config = { ...json("families", name, "config.json"), sliding_window: null };
      using model = decoderNetwork(decoderConfig(config));
      await using file = await openSafetensors(dataPath("families", name, "model.safetensors"));
      const weights = await Promise.all(file.names.map(async (n) => [n, await file.tensor(n)] as const));
      model.loadStateDict(Object.fromEntries(weights));
      model.eval();
      const ids: number[] = [...prompt];
      for (let i = 0; i < 24; i++) ids.push(await model.forward(ids, { lastOnly: true }).argmax(-1).item());
      await made(name, { sliding_window: null }, "f32", () => ids.slice(prompt.length));
    }
    // Families of which there are no recorded results: weights at random.
    const random = { vocab_size: 128, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 4 };
    const heads = { num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 64 };
    const more: Record<string, object> = {
      granite: {
        attention_multiplier: 0.2,
        embedding_multiplier: 1.5,
        residual_multiplier: 0.8,
        logits_scaling: 4,
        tie_word_embeddings: false,
      },
      smollm3: { tie_word_embeddings: false },
      olmo2: {},
      lfm2: {
        layer_types: ["conv", "full_attention", "conv", "full_attention"],
        conv_L_cache: 4,
        block_auto_adjust_ff_dim: false,
      },
      qwen3_5_text: {
        head_dim: 16,
        layer_types: ["linear_attention", "full_attention", "linear_attention", "full_attention"],
        linear_num_key_heads: 2,
        linear_num_value_heads: 6,
        linear_key_head_dim: 8,
        linear_value_head_dim: 8,
        rope_parameters: { rope_theta: 1000, partial_rotary_factor: 0.5, mrope_section: [2, 1, 1] },
      },
      mixtral: { num_local_experts: 5, num_experts_per_tok: 2 },
      qwen2_moe: {
        num_experts: 6,
        num_experts_per_tok: 3,
        moe_intermediate_size: 32,
        shared_expert_intermediate_size: 64,
        norm_topk_prob: false,
      },
      qwen3_moe: { num_experts: 6, num_experts_per_tok: 3, moe_intermediate_size: 32, norm_topk_prob: true },
      olmoe: { num_key_value_heads: 4, num_experts: 4, num_experts_per_tok: 2, norm_topk_prob: false },
      qwen3_next: {
        head_dim: 16,
        layer_types: ["linear_attention", "full_attention", "linear_attention", "full_attention"],
        linear_num_key_heads: 2,
        linear_num_value_heads: 4,
        linear_key_head_dim: 8,
        linear_value_head_dim: 8,
        partial_rotary_factor: 0.5,
        num_experts: 6,
        num_experts_per_tok: 2,
        moe_intermediate_size: 32,
        shared_expert_intermediate_size: 32,
      },
    };
    for (const [model_type, config] of Object.entries(more)) {
      const at = join(folder, `judged-${model_type}`),
        described = { model_type, ...random, ...heads, ...config };
      mkdirSync(at);
      using model = decoderNetwork(decoderConfig(described));
      let seed = 1;
      const weights = Object.fromEntries(
        [...model.namedParameters()].map(([name, p]) => [
          name,
          p.shape.length > 1
            ? randn([...p.shape], { seed: seed++ }).mul(0.4)
            : randn([...p.shape], { seed: seed++ }).mul(0.2).add(1),
        ]),
      );
      model.loadStateDict(weights);
      using whole = await CausalLM.fromConfig(described);
      whole.network.loadStateDict(weights);
      await whole.save(at);
      writeFileSync(join(at, "tokenizer.json"), JSON.stringify(letters(128)));
      const { path } = await converted(at, `judged-${model_type}`),
        prompt = [5, 80, 33, 7, 120, 64],
        ids = [...prompt];
      model.eval();
      for (let i = 0; i < 24; i++) ids.push(await model.forward(ids, { lastOnly: true }).argmax(-1).item());
      assert(new Set(ids).size > 12, `${model_type}: ${ids}`);
      tasks.push({ path, ids: prompt, count: 24 });
      wanted.push(ids.slice(prompt.length));
    }
    // A trained LLaMA with its own tokenizer, and a GPT-2 with its own, whose GELU is a table there.
    if (!missingData("llama", "stories260K", "golden.json")) {
      const golden = json("llama", "stories260K", "golden.json");
      const { path } = await converted(dataPath("llama", "stories260K"), "judged-stories", "f32");
      tasks.push({ path, ids: golden.prompts.single.ids[0], count: 24 });
      wanted.push(greedy(golden));
    }
    const { path: gpt2 } = await converted(tinyFolder, "judged-gpt2", "f32");
    using own = await CausalLM.load(tinyFolder, { device: "cpu" });
    tasks.push({ path: gpt2, ids: [1, 2, 3], count: 8 });
    wanted.push((await own.completion([1, 2, 3], { maxNewTokens: 8, doSample: false })).ids.slice());
    // Every type loads and is computed with; activations are rounded there, so that tokens are its own.
    for (const dtype of ggufDTypes) if (dtype !== "f32") await made("qwen3", {}, dtype, () => null);
    const run = spawnSync(found.node, [
      "--no-warnings",
      join(dirname(import.meta.filename!), "_llama_cpp.ts"),
      found.entry,
      JSON.stringify(tasks),
    ], {
      encoding: "utf8",
      timeout: 120_000,
    });
    assertStrictEquals(run.status, 0, `${run.stdout}${run.stderr.slice(-2000)}`);
    const answers = run.stdout.trim().split("\n").filter((line) => line.startsWith("tokens ")).map((line) =>
      JSON.parse(line.slice(7))
    );
    assertStrictEquals(answers.length, tasks.length);
    wanted.forEach((ids, i) => {
      if (ids) assertEquals(answers[i], ids, tasks[i].path);
      else {assert(
          answers[i].length === 24 && answers[i].every((id: number) => id >= 0 && id < 128),
          tasks[i].path,
        );}
    });
  });
});
