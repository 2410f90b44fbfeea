/**
 * The kinds of hostile input: what each is made from, how it is spoilt, and what reads it (`hostile.ts`).
 *
 * @module
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CharTokenizer,
  FerrotypeError,
  FormatError,
  loadTokenizer,
  Onnx,
  optim,
  randomBatches,
  TabularModel,
  Tensor,
  tensor,
} from "../mod.ts";
import { evaluationLines, importanceLines } from "../cli/tabular.ts";
import type { Generator } from "../src/core/random.ts";
import type { FileSystem } from "../src/core/file_system.ts";
import { type GgufTensorToSave, openGgufFile, planGguf } from "../src/files/gguf/mod.ts";
import { readSafetensors } from "../src/files/mod.ts";
import { openRepository } from "../src/hub/mod.ts";
import { ggufConfig } from "../src/models/gguf.ts";
import { matchNames } from "../src/models/checkpoint.ts";
import { expectedTensors, parameterName } from "../src/models/gpt2/checkpoint.ts";
import { parseConfig } from "../src/models/gpt2/config.ts";
import { familyNames, familyOf, familyOfConfig } from "../src/models/registry.ts";
import { Linear } from "../src/nn/mod.ts";
import { OnnxGraph } from "../src/onnx/graph_writer.ts";
import { openBytes } from "../src/platform/platform.ts";
import { generationOf } from "../src/runtime/model_generation.ts";
import { ggufChatTemplate, loadChatTemplate } from "../src/runtime/chat.ts";
import { openFolder, readJson } from "../src/runtime/model_folder.ts";
import { ggufTokenizer } from "../src/text/gguf_tokenizer.ts";
import { BpeTokenizer, type Tokenizer, tokenizerFromJson } from "../src/text/mod.ts";
import { CheckpointStore, Trainer } from "../src/train/mod.ts";
import { dataPath, repository } from "./_data.ts";
import { mutate, mutateText, pick } from "./_mutate.ts";

/** A kind of input. */
export interface HostileKind {
  readonly name: string;
  /** Its part of all inputs. */
  readonly share: number;
  /** The errors that are documented. */
  readonly errors: readonly string[];
  /** Makes what its inputs are spoilt from. */
  prepare?(): Promise<void>;
  /** Makes an input and reads it. */
  read(random: Generator): Promise<void>;
  /** Gives back what {@link prepare} took. */
  finish?(): Promise<void>;
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const format = ["FormatError"];

/** JSON text of a value, spoilt as a value, and now and then as a text. */
export function spoilt(random: Generator, value: unknown): string {
  const text = JSON.stringify(random.uniform() < 0.9 ? mutate(random, structuredClone(value)) : value) ?? "";
  return random.uniform() < 0.06 ? mutateText(random, text) : text;
}

let onnxMade: Uint8Array | null = null;

/** A small ONNX model with operators of many kinds. */
function onnxBytes(): Uint8Array {
  if (onnxMade) return onnxMade;
  const graph = new OnnxGraph(), x = graph.input("x", "float", [2]);
  const matrix = graph.constant("float", [3, 2], [1, 2, 3, 4, 5, 6]);
  const dense = graph.node("Gemm", [x, matrix, graph.constant("float", [3], [1, 2, 3])], {
    transB: { integer: 1 },
  });
  const shape = graph.constant("int64", [3], [1, 3, -1]), image = graph.node("Reshape", [dense, shape]);
  const pooled = graph.node("ReduceMean", [image], { axis: { integer: 1 }, keepdims: { integer: 1 } });
  const wide = graph.node("Expand", [pooled, graph.constant("int64", [3], [1, 3, 2])]);
  const part = graph.node("Gather", [wide, graph.constant("int64", [2], [0, -1])], { axis: { integer: 1 } });
  graph.output("y", graph.node("Softmax", [part], { axis: { integer: -1 } }), "float", []);
  return onnxMade = graph.finish("hostile", {
    producer: "test",
    version: "1",
    description: "",
    metadata: { a: "b" },
  });
}

/** Bytes with a few of them changed, lost, doubled or cut. */
export function spoiltBytes(random: Generator, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  let list = [...bytes];
  for (let i = random.integer(1, 5); i > 0 && list.length > 0; i--) {
    const at = random.integer(0, list.length), count = random.integer(1, 9);
    switch (random.integer(0, 6)) {
      case 0:
        list[at] ^= 1 << random.integer(0, 8);
        break;
      case 1:
        list[at] = pick(random, [0, 1, 127, 128, 255, random.integer(0, 256)]);
        break;
      case 2:
        list.splice(at, count);
        break;
      case 3:
        list.splice(at, 0, ...list.slice(at, at + count));
        break;
      case 4:
        list.splice(at, 0, ...Array.from({ length: count }, () => random.integer(0, 256)));
        break;
      default:
        if (random.uniform() < 0.2) list = list.slice(0, at);
    }
  }
  return Uint8Array.from(list);
}

/** A file of safetensors with this header, whatever it says, and so many bytes of data. */
function withHeader(header: string, data: number, claimed?: number): Uint8Array {
  const json = encode(header), bytes = new Uint8Array(8 + json.length + data);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(claimed ?? json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const header = {
  __metadata__: {
    format: "pt",
    note: "a note",
    "ferrotype.quantized": '{"q":{"dtype":"q8","shape":[1,32]}}',
  },
  "layer.weight": { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] },
  "layer.bias": { dtype: "BF16", shape: [3], data_offsets: [24, 30] },
  q: { dtype: "U8", shape: [1, 34], data_offsets: [30, 64] },
  empty: { dtype: "I64", shape: [0, 4], data_offsets: [64, 64] },
};

async function readAll(bytes: Uint8Array): Promise<void> {
  const file = await readSafetensors(openBytes(bytes, "hostile.safetensors"));
  let all = file.bytesRead;
  for (const name of file.names) all += (await file.view(name).bytes()).byteLength;
  if (all !== bytes.byteLength) throw new Error(`${all} bytes of ${bytes.byteLength} are covered`);
}

const indexJson = {
  metadata: {
    total_size: 12,
    "ferrotype.sha256": "a".repeat(64),
    "ferrotype.shards": { "a.safetensors": "b".repeat(64) },
  },
  weight_map: { x: "a.safetensors", y: "b.safetensors", z: "b.safetensors" },
};

const texts = [
  "hello world",
  " The cat's  12345 dogs\n\n",
  "é漢😀<|endoftext|>x",
  "",
  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
];

function useTokenizer(random: Generator, tokenizer: Tokenizer): void {
  const text = pick(random, texts),
    ids = tokenizer.encode(text, { splitSpecialTokens: random.uniform() < 0.2 });
  for (const id of ids) {
    if (!Number.isInteger(id) || id < 0 || id >= tokenizer.vocabSize) throw new Error(`id ${id}`);
  }
  tokenizer.decode(ids, { skipSpecialTokens: random.uniform() < 0.2 });
  const stream = tokenizer.stream();
  for (const id of ids.slice(0, 20)) stream.push(id);
  stream.flush();
  JSON.stringify(tokenizer.toJSON());
}

const vocabularyOf = (tokens: readonly string[]): Record<string, number> =>
  Object.fromEntries(tokens.map((token, id) => [token, id]));
const letters = [..."abcdefghijklmnopqrstuvwxyz0123456789"];
const added = [
  { id: 60, content: "[UNK]", special: true },
  { id: 61, content: "<s>", special: true, lstrip: true, normalized: false },
  { id: 62, content: "zz", special: false, single_word: true },
];
const gpt2Split = {
  type: "Split",
  pattern: { Regex: "'s|'t| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+" },
  behavior: "Isolated",
  invert: false,
};

/** Files for `@huggingface/tokenizers`: each model, and each part somewhere. */
const packageFiles: readonly unknown[] = [
  {
    added_tokens: added,
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [],
      special_tokens: { "<s>": { id: "<s>", ids: [61], tokens: ["<s>"] } },
    },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: { ...vocabularyOf(["hello", "world", "the", ...letters]), "##o": 50, "[UNK]": 60 },
    },
  },
  {
    added_tokens: added,
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Strip", strip_left: true, strip_right: true },
        { type: "Replace", pattern: { Regex: " {2,}" }, content: " " },
        { type: "NFKC" },
        { type: "Prepend", prepend: "▁" },
      ],
    },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [{ type: "WhitespaceSplit" }, {
        type: "Metaspace",
        replacement: "▁",
        prepend_scheme: "always",
        split: true,
      }],
    },
    post_processor: {
      type: "RobertaProcessing",
      sep: ["<s>", 61],
      cls: ["<s>", 61],
      trim_offsets: true,
      add_prefix_space: false,
    },
    decoder: {
      type: "Sequence",
      decoders: [{ type: "Replace", pattern: { String: "▁" }, content: " " }, { type: "ByteFallback" }, {
        type: "Fuse",
      }, { type: "Strip", content: " ", start: 1, stop: 0 }],
    },
    model: {
      type: "Unigram",
      unk_id: 0,
      byte_fallback: false,
      vocab: [
        ["<unk>", 0],
        ["▁", -2],
        ["▁the", -3],
        ["hello", -4.5],
        ...letters.map((letter) => [letter, -6]),
      ],
    },
  },
  {
    added_tokens: added,
    normalizer: { type: "Lowercase" },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        gpt2Split,
        { type: "Digits", individual_digits: true },
        { type: "Punctuation", behavior: "Isolated" },
        { type: "FixedLength", length: 5 },
        { type: "ByteLevel", add_prefix_space: false, use_regex: false },
      ],
    },
    post_processor: {
      type: "Sequence",
      processors: [{ type: "ByteLevel", trim_offsets: true }, {
        type: "BertProcessing",
        sep: ["<s>", 61],
        cls: ["<s>", 61],
      }],
    },
    decoder: { type: "ByteLevel" },
    model: {
      type: "BPE",
      unk_token: "[UNK]",
      fuse_unk: true,
      byte_fallback: false,
      ignore_merges: true,
      vocab: vocabularyOf([...letters, "th", "the", "he", "Ġ"]),
      merges: ["t h", ["th", "e"]],
    },
  },
  {
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: { type: "Whitespace" },
    decoder: { type: "BPEDecoder", suffix: "</w>" },
    model: {
      type: "BPE",
      unk_token: "[UNK]",
      end_of_word_suffix: "</w>",
      vocab: vocabularyOf([...letters, "a</w>", "th"]),
      merges: [["t", "h"]],
    },
  },
  {
    added_tokens: [],
    decoder: { type: "CTC", pad_token: "a", word_delimiter_token: "|", cleanup: true },
    model: { vocab: vocabularyOf(letters) },
  },
];
const tokenizerConfigs: readonly unknown[] = [
  null,
  { eos_token: "<s>", clean_up_tokenization_spaces: true },
  {
    eos_token: { content: "<s>" },
    additional_special_tokens: ["zz"],
    remove_space: true,
    do_lowercase_and_remove_accent: true,
  },
];

const folderConfigs: readonly unknown[] = [
  {
    tokenizer_class: "LlamaTokenizer",
    bos_token: "t",
    eos_token: { content: "<e>", lstrip: true, normalized: true },
    add_bos_token: true,
    add_eos_token: true,
    add_prefix_space: false,
    legacy: false,
    added_tokens_decoder: { 258: { content: "<e>", special: true }, 300: { content: "<f>", rstrip: true } },
  },
  { bos_token: "<b>", pad_token: { content: "<p>" }, additional_special_tokens: ["<x>", { content: "<y>" }] },
  {
    tokenizer_class: "BertTokenizer",
    do_lower_case: false,
    strip_accents: true,
    extra_special_tokens: { a: "<a>" },
  },
  { tokenizer_class: "Qwen2Tokenizer", add_prefix_space: true, split_special_tokens: false },
  { tokenizer_class: "T5Tokenizer", extra_ids: 3, eos_token: "</s>" },
];

const noteTexts = {
  "tokenizer.chat_template": "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}",
  "tokenizer.chat_template.tool_use": "{{ tools }}",
};
const textNotes: readonly Record<string, unknown>[] = [
  {
    ...noteTexts,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "qwen2",
    "tokenizer.ggml.tokens": [...letters, "th", "<s>"],
    "tokenizer.ggml.token_type": Int32Array.from({ length: 38 }, (_, i) => i === 37 ? 3 : 1),
    "tokenizer.ggml.merges": ["t h"],
    "tokenizer.ggml.bos_token_id": 37,
    "tokenizer.ggml.add_bos_token": true,
  },
  {
    ...noteTexts,
    "tokenizer.ggml.model": "gemma4",
    "tokenizer.ggml.tokens": [...letters, "th", "<s>", "\n\n", "\u2581"],
    "tokenizer.ggml.merges": ["t h"],
    "tokenizer.ggml.bos_token_id": 37,
  },
  {
    ...noteTexts,
    "general.name": "phi-3",
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "\u2581", ...letters],
    "tokenizer.ggml.scores": Float32Array.from({ length: 40 }, (_, i) => -i),
    "tokenizer.ggml.token_type": Int32Array.from({ length: 40 }, (_, i) => i === 0 ? 2 : i < 3 ? 3 : 1),
    "tokenizer.ggml.add_space_prefix": true,
  },
  {
    ...noteTexts,
    "tokenizer.ggml.model": "bert",
    "tokenizer.ggml.tokens": ["[UNK]", "[CLS]", "[SEP]", ...letters.map((c) => `\u2581${c}`), ...letters],
    "tokenizer.ggml.unknown_token_id": 0,
    "tokenizer.ggml.normalizer.lowercase": false,
  },
];

let partFiles: unknown[] = [];
let ownFiles: unknown[] = [];

let ggufBytes = new Uint8Array(0);
let ggufParts: Uint8Array[] = [];

/** A GGUF spoilt here and there, mostly in its header. */
function spoiltGguf(random: Generator, good: Uint8Array): Uint8Array {
  let bytes = good.slice();
  const header = Math.max(1, good.length - 460);
  for (let edits = random.integer(1, 4); edits > 0; edits--) {
    const at = random.integer(0, random.uniform() < 0.95 ? header : bytes.length) % bytes.length;
    const view = new DataView(bytes.buffer);
    switch (random.integer(0, 5)) {
      case 0:
        bytes[at] = random.integer(0, 256);
        break;
      case 1:
        if (at + 8 <= bytes.length) {
          view.setBigUint64(
            at,
            BigInt(pick(random, [0, 1, 2 ** 31, 2 ** 40, 2 ** 53, random.integer(0, 300)])),
            true,
          );
        }
        break;
      case 2:
        if (at + 4 <= bytes.length) {
          view.setUint32(at, pick(random, [0, 1, 8, 9, 12, 13, 255, 2 ** 31, 2 ** 32 - 1]), true);
        }
        break;
      case 3:
        bytes = bytes.slice(0, Math.max(1, at));
        break;
      default:
        bytes.copyWithin(at, random.integer(0, bytes.length), Math.min(bytes.length, at + 20));
    }
  }
  return bytes;
}

/** A model in parts, of which some are spoilt, missing or in each other's place. */
async function readParts(random: Generator): Promise<void> {
  const count = ggufParts.length,
    nameOf = (no: number): string =>
      `m-${String(no + 1).padStart(5, "0")}-of-${String(count).padStart(5, "0")}.gguf`;
  const content = new Map(ggufParts.map((part, no): [string, Uint8Array] => {
    const from = random.uniform() < 0.15 ? pick(random, ggufParts) : part;
    return [nameOf(no), random.uniform() < 0.4 ? spoiltGguf(random, from) : from];
  }));
  if (random.uniform() < 0.1) content.delete(nameOf(random.integer(1, count)));
  let opened = 0;
  const open = (name: string) => {
    if (++opened > 2 * count) throw new Error(`${opened} files are opened for ${count} parts`);
    const bytes = content.get(name);
    if (bytes === undefined) throw new FormatError(`there is no ${name}`);
    return Promise.resolve(openBytes(bytes, name));
  };
  const file = await openGgufFile(await open(nameOf(0)), open);
  for (const name of file.names) await file.view(name).read("f32");
}

/** A SentencePiece model: a protocol buffer with pieces, how it was trained, and how it normalises; some of it odd. */
function sentencePieceFile(random: Generator): number[] {
  const varint = (n: number): number[] => n < 128 ? [n] : [n & 127 | 128, ...varint(Math.floor(n / 128))];
  const part = (
    field: number,
    bytes: readonly number[],
  ): number[] => [field << 3 | 2, ...varint(bytes.length), ...bytes];
  const number = (field: number, n: number): number[] => [...varint(field << 3), ...varint(n)];
  const bytePieces = random.uniform() < 0.5
    ? Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`)
    : [];
  const pieces = ["<unk>", "<s>", "</s>", "▁", "▁the", "he", "th", ...bytePieces, ...letters];
  const out = pieces.flatMap((text, i) => {
    const score = [
      ...new Uint8Array(Float32Array.of(random.uniform() < 0.3 / pieces.length ? NaN : -i).buffer),
    ];
    const type = random.uniform() < 0.3 / pieces.length
      ? random.integer(0, 9)
      : i === 0
      ? 2
      : i < 3
      ? 3
      : text.startsWith("<0")
      ? 6
      : 1;
    return part(1, [
      ...part(1, [...encode(random.uniform() < 0.3 / pieces.length ? pick(random, ["", "he", "▁▁"]) : text)]),
      2 << 3 | 5,
      ...score,
      ...number(3, type),
    ]);
  });
  const odd = (n: number): number => random.uniform() < 0.05 ? pick(random, [0, 3, 7, 1e6, 2 ** 31]) : n;
  const trainer = [
    ...number(3, odd(random.integer(1, 3))),
    ...number(35, odd(bytePieces.length > 0 ? 1 : 0)),
    ...number(41, odd(1)),
    ...number(42, odd(2)),
  ];
  const charsMap = random.uniform() < 0.3
    ? Array.from({ length: random.integer(0, 60) }, () => random.integer(0, 256))
    : [];
  return [
    ...out,
    ...part(2, trainer),
    ...part(3, [...part(2, charsMap), ...number(3, odd(1)), ...number(4, odd(1))]),
  ];
}

const ropeScalings: readonly unknown[] = [
  null,
  { rope_type: "linear", factor: 2 },
  { type: "dynamic", factor: 2 },
  { rope_type: "yarn", factor: 4, original_max_position_embeddings: 16, beta_fast: 32, beta_slow: 1 },
  {
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 16,
  },
  { rope_type: "longrope", short_factor: Array(16).fill(1), long_factor: Array(16).fill(2) },
];
const configJson = {
  model_type: "gpt2",
  vocab_size: 11,
  n_positions: 8,
  n_embd: 4,
  n_layer: 2,
  n_head: 2,
  n_inner: null,
  layer_norm_epsilon: 1e-5,
  bos_token_id: 0,
  eos_token_id: [0, 1],
  tie_word_embeddings: true,
  architectures: ["GPT2LMHeadModel"],
};
const generationJson = {
  max_new_tokens: 20,
  num_beams: 4,
  do_sample: true,
  temperature: 0.7,
  top_k: 5,
  eos_token_id: [1],
  stop_strings: ["x"],
  sequence_bias: [[[5, 6], -2]],
  bad_words_ids: [[1]],
  use_cache: true,
};
const template =
  "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m.content | trim }}{% if not loop.last %}{{ eos_token }}{% endif %}{% endfor %}{% set ns = namespace(n=0) %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}{% macro f(x) %}{{ x | upper }}{% endmacro %}{{ f('a') }}{% if add_generation_prompt %}<a>{% endif %}{{ messages | tojson(indent=2) | replace('a', 'b') | length }}";
const conversation = [{ role: "user", content: "hi there" }, { role: "assistant", content: " ho " }];

let tabularFiles: { header: Record<string, unknown>; data: Uint8Array }[] = [];

/** A checkpoint's files in memory. */
let checkpoint = new Map<string, Uint8Array>();
const memoryFiles = (files: ReadonlyMap<string, Uint8Array>): FileSystem => ({
  openFile: (path) => {
    const bytes = files.get(path.replace(/^.*\//, ""));
    return bytes ? Promise.resolve(openBytes(bytes, path)) : Promise.reject(new Error("no such file"));
  },
  readDir: () => Promise.resolve([{ name: "step-00000001", isDirectory: true }]),
  makeDir: () => Promise.resolve(),
  remove: () => Promise.resolve(),
  rename: () => Promise.resolve(),
  writeFileAtomic: () => Promise.resolve(),
});
function trainer(checkpoints: CheckpointStore): Trainer<unknown> {
  const model = new Linear(2, 3, { device: "reference" });
  return new Trainer({
    model,
    optimizer: new optim.AdamW(model.parameters()),
    steps: 5,
    checkpoints,
    data: randomBatches(new Int32Array(20), { batchSize: 1, blockSize: 2, seed: 1 }),
    loss: () => model.weight.sum(),
    onWarning: () => {},
  } as never);
}

let server: Server | null = null, address = "", cache = "", answer = "";
const listingJson = [
  { type: "file", oid: "a".repeat(40), size: 12, path: "config.json" },
  {
    type: "file",
    oid: "b".repeat(40),
    size: 99,
    path: "model.safetensors",
    lfs: { oid: "c".repeat(64), size: 99, pointerSize: 9 },
  },
  { type: "directory", oid: "d".repeat(40), size: 0, path: "onnx" },
];

/** All kinds. */
export const hostileKinds: readonly HostileKind[] = [
  {
    name: "onnx",
    share: 400,
    errors: format,
    async read(random) {
      const bytes = random.uniform() < 0.1 ? onnxBytes() : spoiltBytes(random, onnxBytes());
      using model = await Onnx.load(bytes);
      const inputs = Object.fromEntries(model.inputs.map(({ name }) => [name, tensor([[1, 2]])]));
      try {
        for (const value of Object.values(await model.run(inputs))) {
          if (value instanceof Tensor) value.dispose();
        }
      } catch (error) {
        // It was read; what its nodes make of their inputs is an error of ours.
        if (!(error instanceof FerrotypeError)) throw error;
      }
    },
  },
  {
    name: "safetensors",
    share: 400,
    errors: format,
    read: (random) => {
      const text = spoilt(random, header),
        claimed = random.uniform() < 0.03 ? pick(random, [0, 1, 2 ** 40, 100_000_001]) : undefined;
      return readAll(withHeader(text, random.uniform() < 0.9 ? 64 : random.integer(0, 200), claimed));
    },
  },
  {
    name: "index",
    share: 100,
    errors: format,
    async read(random) {
      const one = (names: readonly string[], note?: string): Uint8Array =>
        withHeader(
          JSON.stringify(Object.fromEntries([
            ...(note ? [["__metadata__", { "ferrotype.sha256": note }]] : []),
            ...names.map((name, i) => [name, { dtype: "U8", shape: [4], data_offsets: [4 * i, 4 * i + 4] }]),
          ])),
          4 * names.length,
        );
      const shards: Record<string, Uint8Array> = {
        "a.safetensors": one(["x"], "b".repeat(64)),
        "b.safetensors": one(["y", "z"]),
      };
      const folder = await openFolder({
        "model.safetensors.index.json": encode(spoilt(random, indexJson)),
        ...shards,
      });
      const file = await readSafetensors(
        (await folder.open("model.safetensors.index.json"))!,
        async (name) => {
          const source = await folder.open(name);
          return source ?? openBytes(new Uint8Array(3), name);
        },
      );
      for (const name of file.names) await file.view(name).bytes();
    },
  },
  {
    name: "tokenizer",
    share: 60,
    errors: ["FormatError", "ShapeError"],
    prepare: () => {
      ownFiles = [
        BpeTokenizer.train("the cat the hat", { vocabSize: 260 }).toJSON(),
        CharTokenizer.from("abcdefghij klmnopqrstuvwxyz", { specialTokens: ["<|endoftext|>"], unkToken: "?" })
          .toJSON(),
      ];
      return Promise.resolve();
    },
    async read(random) {
      const files = {
        "tokenizer.json": encode(spoilt(random, pick(random, ownFiles))),
        "tokenizer_config.json": encode(spoilt(random, pick(random, tokenizerConfigs))),
      };
      const folder = await openFolder(files);
      useTokenizer(
        random,
        await tokenizerFromJson(
          await readJson(folder, "tokenizer.json"),
          await readJson(folder, "tokenizer_config.json"),
        ),
      );
    },
  },
  {
    name: "package",
    share: 100,
    errors: ["FormatError", "ShapeError"],
    async read(random) {
      const json = mutate(random, structuredClone(pick(random, packageFiles)));
      const config = random.uniform() < 0.5
        ? null
        : mutate(random, structuredClone(pick(random, tokenizerConfigs)));
      const engine = random.uniform() < 0.5 ? "auto" as const : "huggingface" as const;
      useTokenizer(random, await tokenizerFromJson(json, config, { engine }));
    },
  },
  {
    name: "vocab",
    share: 30,
    errors: ["FormatError", "ShapeError"],
    async read(random) {
      const { model } = BpeTokenizer.train("the cat", { vocabSize: 258 }).toJSON() as {
        model: { vocab: Record<string, number>; merges: string[] };
      };
      const plain = `#version: 0.2\n${model.merges.join("\n")}\n`, isVocab = random.uniform() < 0.6;
      const vocab = isVocab ? mutate(random, model.vocab) : model.vocab;
      const merges = isVocab && random.uniform() < 0.8 ? plain : mutateText(random, plain);
      const given = { "vocab.json": encode(JSON.stringify(vocab) ?? ""), "merges.txt": encode(merges) };
      useTokenizer(random, await loadTokenizer(given));
    },
  },
  {
    name: "parts",
    share: 60,
    errors: ["FormatError", "ShapeError"],
    prepare: () => {
      partFiles = readFileSync(dataPath("tokenizers", "cases.jsonl"), "utf8").trim().split("\n")
        .map((line) => JSON.parse(line).json);
      return Promise.resolve();
    },
    async read(random) {
      const json = mutate(random, structuredClone(pick(random, partFiles)));
      useTokenizer(random, await tokenizerFromJson(json));
    },
  },
  {
    name: "folder",
    share: 60,
    errors: ["FormatError", "ShapeError"],
    async read(random) {
      const file = (value: unknown): Uint8Array =>
        encode(random.uniform() < 0.3 ? spoilt(random, value) : JSON.stringify(value));
      const bytes = BpeTokenizer.train("the cat", { vocabSize: 258 }).toJSON() as {
        model: { vocab: Record<string, number>; merges: string[] };
      };
      const bases = [
        { "tokenizer.json": file(bytes) },
        {
          "vocab.json": encode(JSON.stringify(bytes.model.vocab)),
          "merges.txt": encode(bytes.model.merges.join("\n")),
        },
        { "vocab.txt": encode(mutateText(random, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n##t\n")) },
        { "tokenizer.model": new Uint8Array(sentencePieceFile(random)) },
      ];
      const beside: Record<string, Uint8Array> = {};
      if (random.uniform() < 0.8) beside["tokenizer_config.json"] = file(pick(random, folderConfigs));
      if (random.uniform() < 0.4) beside["special_tokens_map.json"] = file(folderConfigs[1]);
      if (random.uniform() < 0.4) beside["added_tokens.json"] = file({ "<user>": 258, zz: 259 });
      if (random.uniform() < 0.2) beside["config.json"] = file({ model_type: "qwen2" });
      useTokenizer(random, await loadTokenizer({ ...pick(random, bases), ...beside }));
    },
  },
  {
    name: "notes",
    share: 60,
    errors: ["FormatError", "ShapeError"],
    async read(random) {
      const notes = structuredClone(pick(random, textNotes)) as Record<string, unknown>;
      for (let edits = random.integer(0, 3); edits > 0; edits--) {
        const name = pick(random, Object.keys(notes)), value = notes[name];
        notes[name] = ArrayBuffer.isView(value)
          ? Int32Array.from({ length: random.integer(0, 60) }, () => random.integer(-5, 9))
          : mutate(random, value);
      }
      const metadata = new Map(Object.entries(notes));
      const tokenizer = ggufTokenizer(metadata, "hostile.gguf");
      if (tokenizer) useTokenizer(random, tokenizer);
      (await ggufChatTemplate(metadata, "hostile.gguf"))?.(conversation);
    },
  },
  {
    name: "sentencepiece",
    share: 40,
    errors: ["FormatError", "ShapeError"],
    async read(random) {
      const bytes = sentencePieceFile(random);
      for (let edits = random.integer(0, 2); edits > 0; edits--) {
        bytes[random.integer(0, bytes.length)] = random.integer(0, 256);
      }
      const model = new Uint8Array(
        random.uniform() < 0.1 ? bytes.slice(0, random.integer(0, bytes.length)) : bytes,
      );
      useTokenizer(random, await loadTokenizer({ "tokenizer.model": model }));
    },
  },
  {
    name: "gguf",
    share: 80,
    errors: ["FormatError", "ShapeError"],
    async prepare() {
      const notes = {
        "general.architecture": "llama",
        "general.alignment": 32,
        "llama.block_count": 1,
        "llama.embedding_length": 8,
        "llama.feed_forward_length": 16,
        "llama.attention.head_count": 2,
        "llama.context_length": 16,
        "llama.attention.layer_norm_rms_epsilon": { type: "f32", value: 1e-5 },
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "▁", ...letters],
        "tokenizer.ggml.scores": Float32Array.from({ length: 40 }, (_, i) => -i),
        "tokenizer.ggml.token_type": Int32Array.from({ length: 40 }, (_, i) => i === 0 ? 2 : i < 3 ? 3 : 1),
        "tokenizer.ggml.eos_token_id": 2,
      };
      const tensors = (["F32", "Q8_0", "F16"] as const).map((type, i): GgufTensorToSave => ({
        name: `blk.0.${i}.weight`,
        type,
        shape: [2, 32],
        bytes: () => new Uint8Array([256, 68, 128][i]),
      }));
      const written = async (
        list: readonly GgufTensorToSave[],
        of: Record<string, unknown>,
      ) => {
        const parts: Uint8Array[] = [];
        for await (const part of planGguf(list, of as never).chunks()) parts.push(part.slice());
        return new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
      };
      ggufBytes = await written(tensors, notes);
      ggufParts = [];
      for (const [no, tensor] of tensors.entries()) {
        const split = {
          "split.no": { type: "u16", value: no },
          "split.count": { type: "u16", value: tensors.length },
          "split.tensors.count": { type: "i32", value: tensors.length },
        };
        ggufParts.push(await written([tensor], no === 0 ? { ...notes, ...split } : split));
      }
    },
    async read(random) {
      if (random.uniform() < 0.25) return await readParts(random);
      const bytes = spoiltGguf(random, ggufBytes);
      const file = await openGgufFile(openBytes(bytes, "hostile.gguf"));
      for (const name of file.names) await file.view(name).read("f32");
      const tokenizer = ggufTokenizer(file.metadata, "hostile.gguf");
      if (tokenizer) useTokenizer(random, tokenizer);
      const json = ggufConfig(file.metadata, file.names, "hostile.gguf");
      familyOfConfig(json, "hostile.gguf").parse(json, "hostile.gguf");
    },
  },
  {
    name: "decoder config",
    share: 120,
    errors: format,
    async read(random) {
      const family = familyOf(pick(random, familyNames), "config.json");
      const sizes = { vocabSize: 96, contextLength: 64, width: 64, layers: 2, heads: 2, endTokenId: 0 };
      const json = {
        ...family.sized(sizes),
        rope_scaling: pick(random, ropeScalings),
        layer_types: ["full_attention", "full_attention"],
        sliding_window: 8,
        head_dim: 32,
      };
      const folder = await openFolder({ "config.json": encode(spoilt(random, json)) });
      const given = await readJson(folder, "config.json");
      if (typeof given !== "object" || given === null || Array.isArray(given)) return;
      const read = familyOfConfig(given as Record<string, unknown>, "config.json"),
        config = read.parse(given, "config.json");
      matchNames([], { ...read.expected(config), size: 0 }, () => null, "model", "here", () => {});
      read.json(config, "f32");
    },
  },
  {
    name: "config",
    share: 120,
    errors: format,
    async read(random) {
      const folder = await openFolder({ "config.json": encode(spoilt(random, configJson)) });
      const config = parseConfig(await readJson(folder, "config.json"), "config.json");
      const right = expectedTensors(parseConfig(configJson, "config.json"));
      const offered = [...right.names()].map((name) => ({ name, dtype: "f32", shape: right.shape(name)! }));
      matchNames(
        offered,
        expectedTensors(config),
        (name) => parameterName(name, config.tieWordEmbeddings),
        "GPT-2",
        "here",
        () => {},
      );
    },
  },
  {
    name: "generation",
    share: 80,
    errors: format,
    async read(random) {
      const folder = await openFolder({ "generation_config.json": encode(spoilt(random, generationJson)) });
      const config = parseConfig(configJson, "config.json");
      const { numBeams = 1, numReturnSequences = 1 } = await generationOf(folder, {
        settings: config.other,
        vocabSize: config.vocabSize,
        eos: config.eosTokenId,
      });
      if (numBeams > 10_000 || numReturnSequences > 10_000) throw new Error(`${numBeams} beams`);
    },
  },
  {
    name: "chat",
    share: 40,
    errors: format,
    async read(random) {
      const text = random.uniform() < 0.8 ? mutateText(random, template) : template;
      const config = {
        chat_template: random.uniform() < 0.5 ? text : [{ name: "default", template: text }],
        bos_token: "<s>",
        eos_token: { content: "</s>" },
      };
      const folder = {
        "tokenizer_config.json": encode(
          random.uniform() < 0.4 ? spoilt(random, config) : JSON.stringify(config),
        ),
      };
      const chat = await loadChatTemplate(folder as never);
      chat?.(conversation);
    },
  },
  {
    name: "tabular",
    share: 40,
    errors: format,
    prepare: () => {
      tabularFiles = ["iris", "mpg"].map((name) => {
        const bytes = new Uint8Array(
          readFileSync(join(repository, "web", "models", "tabular", `${name}.safetensors`)),
        );
        const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
        return {
          header: JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))),
          data: bytes.slice(8 + length),
        };
      });
      return Promise.resolve();
    },
    async read(random) {
      const { header, data } = pick(random, tabularFiles),
        copy = structuredClone(header) as { __metadata__: Record<string, string> };
      const bytes = data.slice();
      if (random.uniform() < 0.7) {
        copy.__metadata__["ferrotype.tabular"] = spoilt(
          random,
          JSON.parse(copy.__metadata__["ferrotype.tabular"]),
        );
      } else if (random.uniform() < 0.5) {
        for (let i = random.integer(1, 30); i > 0; i--) {
          bytes[random.integer(0, bytes.length)] = random.integer(0, 256);
        }
      }
      const text = random.uniform() < 0.15 ? spoilt(random, copy) : JSON.stringify(copy);
      const json = encode(text), file = new Uint8Array(8 + json.length + bytes.length);
      new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
      file.set(json, 8);
      file.set(bytes, 8 + json.length);
      using model = await TabularModel.load(file);
      const row = Object.fromEntries(
        model.schema.columns.slice(0, 3).map(({ name, kind }) => [name, kind === "numeric" ? 1.5 : null]),
      );
      await model.predict(row);
      if (random.uniform() < 0.1) await model.explain(row, { orders: 1 });
      model.toOnnx();
      JSON.stringify([model.info, model.schema, model.toFile().metadata]);
      if (model.evaluation) {
        evaluationLines(model.evaluation, model.schema.target.classes).concat(
          importanceLines(model.evaluation),
        );
      }
    },
  },
  {
    name: "checkpoint",
    share: 30,
    errors: format,
    async prepare() {
      const files = new Map<string, Uint8Array>();
      const store: FileSystem = {
        ...memoryFiles(files),
        async writeFileAtomic(path, content) {
          const parts: Uint8Array[] = [];
          if (typeof content === "string") parts.push(encode(content));
          else if (content instanceof Uint8Array) parts.push(content);
          else for await (const part of content) parts.push(part.slice());
          files.set(
            path.replace(/^.*\//, ""),
            new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer()),
          );
        },
        readDir: () => Promise.resolve([]),
      };
      const checkpoints = new CheckpointStore("run", { fileSystem: store });
      await checkpoints.save(trainer(checkpoints).capture(1));
      checkpoint = files;
    },
    async read(random) {
      const files = new Map(checkpoint),
        state = JSON.parse(new TextDecoder().decode(files.get("state.json")));
      files.set("state.json", encode(spoilt(random, state)));
      const checkpoints = new CheckpointStore("run", { fileSystem: memoryFiles(files) });
      await trainer(checkpoints).resume().catch((error: Error) => {
        // Of files that are named and not there the file system says so itself.
        if (error.message !== "no such file") throw error;
      });
    },
  },
  {
    name: "hub",
    share: 4,
    errors: ["HubError", "FormatError", "OptionError"],
    async prepare() {
      cache = mkdtempSync(join(tmpdir(), "ferrotype-hostile-"));
      server = createServer((_, response) => {
        response.writeHead(200, { "content-type": "application/json" });
        response.end(answer);
      });
      await new Promise<void>((done) => server!.listen(0, "127.0.0.1", done));
      address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    },
    async read(random) {
      const commit = "e".repeat(40), isListing = random.uniform() < 0.7;
      answer = spoilt(random, isListing ? listingJson : { id: "org/name", sha: commit });
      const options = {
        endpoint: address,
        cacheDir: join(cache, String(random.integer(0, 2 ** 31))),
        timeout: 2,
        retryDelay: 0.001,
      };
      const opened = await openRepository("org/name", isListing ? { ...options, revision: commit } : options);
      await opened.names();
    },
    async finish() {
      await new Promise((done) => server!.close(done));
      rmSync(cache, { recursive: true, force: true });
    },
  },
];
