/**
 * Hostile input that is read as a whole: models with all of their files, GGUFs of models, adapters, NumPy's files, fine-tuning
 * data, requests of a batch, tables; the same kind of list as in `_hostile_kinds.ts`.
 *
 * @module
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  BpeTokenizer,
  CausalLM,
  CharTokenizer,
  convertToGguf,
  nn,
  openExamples,
  openPreferences,
  readCsv,
  readNpy,
  readNpz,
  saveNpy,
  saveNpz,
  TabularModel,
  tensor,
} from "../mod.ts";
import { readRequests } from "../cli/batch/requests.ts";
import type { Generator } from "../src/core/random.ts";
import { type HostileKind, spoilt, spoiltBytes } from "./_hostile_kinds.ts";
import { mutateText, pick } from "./_mutate.ts";

type Files = Record<string, Uint8Array<ArrayBuffer>>;

const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Bytes with a spoilt header, where their header of `length` bytes begins at `at`; `write` says how long the new one is. */
function withHeader(
  bytes: Uint8Array,
  at: number,
  length: number,
  header: string,
  write: (view: DataView, length: number) => void,
): Uint8Array<ArrayBuffer> {
  const json = encode(header), out = new Uint8Array(bytes.length - length + json.length);
  out.set(bytes.subarray(0, at));
  write(new DataView(out.buffer), json.length);
  out.set(json, at);
  out.set(bytes.subarray(at + length), at + json.length);
  return out;
}

/** A file of safetensors that says something else. */
function spoiltWeights(random: Generator, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  if (random.uniform() < 0.4) return spoiltBytes(random, bytes);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = spoilt(random, JSON.parse(decode(bytes.subarray(8, 8 + length))));
  return withHeader(bytes, 8, length, header, (view, n) => view.setBigUint64(0, BigInt(n), true));
}

const spoiltJson = (random: Generator, bytes: Uint8Array): Uint8Array<ArrayBuffer> =>
  encode(spoilt(random, JSON.parse(decode(bytes))));

/** Families whose weights lie in a file in different ways. */
const families = ["gpt2", "llama", "lfm2", "mixtral", "gemma2", "qwen3_next"];
const quiet = { onWarning: () => {} };
/** What a model may say that was read and is used. */
const inUse = ["FormatError", "ShapeError", "DTypeError", "LogitsError", "OptionError"];

async function made(family: string, vocabSize = 32): Promise<CausalLM> {
  const sizes = { vocabSize, contextLength: 16, width: 32, layers: 2, heads: 2, endTokenId: 0 };
  const model = await CausalLM.fromSizes(family, sizes, { dropout: 0 });
  model.tokenizer = vocabSize > 256
    ? BpeTokenizer.train("the cat the hat", { vocabSize })
    : CharTokenizer.from("abcdefghijklmnopqrstuvwxyz .,!?", { specialTokens: ["<|endoftext|>"] });
  return model;
}

async function use(model: CausalLM): Promise<void> {
  model.eval();
  if (model.tokenizer) await model.complete("abc", { maxNewTokens: 2, temperature: 0 });
  else await model.completion([1, 2, 3], { maxNewTokens: 2, temperature: 0 });
  model.toConfig();
}

async function inNewFolder<T>(run: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "ferrotype-hostile-"));
  try {
    return await run(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const readFile = (...path: string[]): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(join(...path)));

let models: Files[] = [], adapters: Files[] = [], ggufs: Uint8Array[] = [];
let arrays: Uint8Array[] = [], archive = new Uint8Array(0);
let model: CausalLM | null = null;

/** A file of NumPy's with another header. */
function spoiltArray(random: Generator, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  if (random.uniform() < 0.5) return spoiltBytes(random, bytes);
  const length = bytes[8] | bytes[9] << 8,
    header = mutateText(random, decode(bytes.subarray(10, 10 + length)));
  return withHeader(bytes, 10, length, header, (view, n) => view.setUint16(8, n, true));
}

const examples: readonly unknown[] = [
  { prompt: "ab", completion: "cd" },
  { messages: [{ role: "user", content: "hi" }, { role: "assistant", content: "ho" }] },
  { text: "abc" },
];
const preferences: readonly unknown[] = [
  { prompt: "ab", chosen: "cd", rejected: "ef" },
  {
    chosen: [{ role: "user", content: "a" }, { role: "assistant", content: "b" }],
    rejected: [{ role: "user", content: "a" }, { role: "assistant", content: "c" }],
  },
];
const request = {
  method: "POST",
  url: "/v1/completions",
  body: { prompt: "x", max_tokens: 3, stop: ["a"], logit_bias: { 5: 1 } },
};
const tables: readonly string[] = [
  "a,b,c\n1,2,x\n3,4,y\n5,6,x\n7,8,y\n",
  'name;price;when\n"a;b";1.234,5;2020-01-02\nb;"2.000,0";2020-01-03\n\nc;;\n',
  "x\ty\n(1)\t5%\n−2\t7%\n3\t9%\n",
  "sep=|\nt|u\n1|€ 5\n2|€ 6\n",
  "Title of it\n\nid,value\n1,1e400\n2,nan\n3,-inf\n",
];

/** Lines of JSON, most of them spoilt. */
function lines(random: Generator, value: (i: number) => unknown): string {
  const all = Array.from({ length: random.integer(1, 5) }, (_, i) => {
    const own = value(i);
    return random.uniform() < 0.6 ? spoilt(random, own) : JSON.stringify(own);
  }).join("\n");
  return random.uniform() < 0.1 ? mutateText(random, all) : all;
}

/** All of them. */
export const wholeKinds: readonly HostileKind[] = [
  {
    name: "model",
    share: 16,
    errors: inUse,
    async prepare() {
      models = await inNewFolder(async (folder) => {
        const all: Files[] = [];
        for (const family of families) {
          using own = await made(family);
          await own.save(join(folder, family));
          const names = ["config.json", "model.safetensors", "tokenizer.json"];
          all.push(Object.fromEntries(names.map((name) => [name, readFile(folder, family, name)])));
        }
        return all;
      });
    },
    async read(random) {
      const files = { ...pick(random, models) }, name = pick(random, Object.keys(files)), own = files[name];
      if (random.uniform() < 0.05) delete files[name];
      else files[name] = name.endsWith(".json") ? spoiltJson(random, own) : spoiltWeights(random, own);
      const dtype = pick(random, [undefined, undefined, "q8", "q4", "bf16"] as const);
      using read = await CausalLM.load(files, { ...quiet, ...dtype ? { dtype } : {} });
      await use(read);
    },
  },
  {
    name: "model in a GGUF",
    share: 16,
    errors: inUse,
    async prepare() {
      const types = ["f32", "q8_0", "q4_0", "bf16", "f16", "q8_0"] as const;
      ggufs = await inNewFolder(async (folder) => {
        const all: Uint8Array[] = [];
        for (const [i, family] of families.entries()) {
          using own = await made(family, 258);
          await own.save(join(folder, family));
          await convertToGguf(join(folder, family), join(folder, "x.gguf"), { dtype: types[i], ...quiet });
          all.push(readFile(folder, "x.gguf"));
          rmSync(join(folder, "x.gguf"));
        }
        return all;
      });
    },
    async read(random) {
      let bytes = Uint8Array.from(pick(random, ggufs));
      const view = new DataView(bytes.buffer), words = [0, 1, 2, 8, 9, 255, 2 ** 31, 0x7fc00000, 0x7c007e00];
      for (let edits = random.integer(1, 4); edits > 0; edits--) {
        const at = random.integer(0, random.uniform() < 0.8 ? 12_000 : bytes.length) % (bytes.length - 20);
        const kind = random.integer(0, 4);
        if (kind === 0) bytes[at] = random.integer(0, 256);
        else if (kind === 1) {
          view.setBigUint64(at, BigInt(pick(random, [0, 1, 7, 2 ** 31, 2 ** 40, 2 ** 53])), true);
        } else if (kind === 2) view.setUint32(at, pick(random, words), true);
        else bytes.copyWithin(at, random.integer(0, bytes.length), at + 20);
      }
      if (random.uniform() < 0.1) bytes = bytes.slice(0, random.integer(0, bytes.length));
      using read = await CausalLM.load(new Blob([bytes]), quiet);
      await use(read);
    },
  },
  {
    name: "adapter",
    share: 16,
    errors: inUse,
    async prepare() {
      const base = model = await made("llama");
      adapters = await inNewFolder(async (folder) => {
        const all: Files[] = [];
        for (const rank of [1, 3]) {
          nn.lora(base, { rank, name: "own" });
          await base.saveAdapter(join(folder, String(rank)), { name: "own" });
          base.deleteAdapter("own");
          const names = ["adapter_config.json", "adapter_model.safetensors"];
          all.push(Object.fromEntries(names.map((name) => [name, readFile(folder, String(rank), name)])));
        }
        return all;
      });
    },
    async read(random) {
      const files = { ...pick(random, adapters) }, name = pick(random, Object.keys(files)), own = files[name];
      files[name] = name.endsWith(".json") ? spoiltJson(random, own) : spoiltWeights(random, own);
      await model!.loadAdapter(files, { name: "own", ...quiet });
      try {
        await use(model!);
      } finally {
        model!.deleteAdapter("own");
      }
    },
    finish() {
      model!.dispose();
      return Promise.resolve();
    },
  },
  {
    name: "numpy",
    share: 40,
    errors: ["FormatError"],
    async prepare() {
      const list = [
        tensor([[1, 2, 3], [4, 5, 6]]),
        tensor([1, 2], { dtype: "i64" }),
        tensor(5),
        tensor([true, false], { dtype: "bool" }),
        tensor([1.5], { dtype: "f16" }),
      ];
      await inNewFolder(async (folder) => {
        arrays = [];
        for (const t of list) {
          await saveNpy(join(folder, "x.npy"), t);
          arrays.push(readFile(folder, "x.npy"));
        }
        await saveNpz(join(folder, "x.npz"), Object.fromEntries(list.map((t, i) => [`a${i}`, t])));
        archive = readFile(folder, "x.npz");
      });
      for (const t of list) t.dispose();
    },
    async read(random) {
      if (random.uniform() < 0.6) {
        using array = await readNpy(spoiltArray(random, pick(random, arrays)));
        return void await array.data();
      }
      for (const array of Object.values(await readNpz(spoiltBytes(random, archive)))) {
        await array.data();
        array.dispose();
      }
    },
  },
  {
    name: "examples",
    share: 20,
    errors: ["FormatError"],
    async prepare() {
      model = await made("gpt2");
    },
    async read(random) {
      const isPair = random.uniform() < 0.5, own = pick(random, isPair ? preferences : examples);
      const what = new Blob([encode(lines(random, () => own))]),
        options = {
          model: model!,
          chatTemplate: (messages: readonly { content: string }[]) =>
            messages.map(({ content }) => content).join(" "),
        };
      const found = await (isPair ? openPreferences : openExamples)(what, options);
      for (let i = 0; i < found.length; i++) found.at(i);
      await found.close();
    },
    finish() {
      model!.dispose();
      return Promise.resolve();
    },
  },
  {
    name: "requests",
    share: 20,
    errors: ["FormatError"],
    read: (random) =>
      Promise.resolve().then(() => {
        const text = lines(random, (i) => ({ custom_id: String(i), ...request }));
        for (const { body } of readRequests(text, "requests.jsonl")) JSON.parse(body);
      }),
  },
  {
    name: "table",
    share: 20,
    errors: ["FormatError"],
    async read(random) {
      let text = pick(random, tables);
      for (let edits = random.integer(1, 6); edits > 0; edits--) text = mutateText(random, text);
      const bytes = random.uniform() < 0.2 ? spoiltBytes(random, encode(text)) : encode(text);
      await readCsv(new Blob([bytes]));
      if (random.uniform() > 0.05) return;
      using fitted = await TabularModel.fit(new Blob([bytes]), { seed: 1 });
      JSON.stringify([fitted.schema, fitted.info]);
    },
  },
];
