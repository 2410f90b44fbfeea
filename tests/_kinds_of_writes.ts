/**
 * Every kind of write the package makes, as a state 0 and a state 1 of a folder, and how each is read back: for the
 * tests that kill a writer (`killed_test.ts`).
 *
 * @module
 */
import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  BpeTokenizer,
  CharTokenizer,
  CheckpointManager,
  GPT2,
  manualSeed,
  nn,
  openSafetensors,
  saveSafetensors,
  TabularModel,
  type Tensor,
  tensor,
} from "../mod.ts";
import { saveTokenizer } from "../cli/commands/tokenize.ts";
import { DiskStore, folderName } from "../src/hub/disk_store.ts";
import { readFile, writeFileAtomic } from "../src/platform/platform.ts";
import { openFolder } from "../src/runtime/model_folder.ts";
import { openWeights } from "../src/runtime/weights.ts";
import { repository } from "./_data.ts";

/** Which of the two states. */
export type Which = 0 | 1;

/** One kind of write. */
export interface KindOfWrite {
  readonly name: string;
  /** Brings the folder, which is there, into a state. */
  write(folder: string, which: Which): Promise<void>;
  /** Something that tells the states apart and shows every half; throws where nothing can be read. */
  read(folder: string): Promise<string>;
}

function sha256(...parts: (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

/** All files under a folder, sorted; how often a checkpoint was saved anew does not count. */
export function filesUnder(folder: string, inner = ""): string[] {
  return readdirSync(join(folder, inner)).flatMap((name) => {
    const path = inner ? `${inner}/${name}` : name;
    if (lstatSync(join(folder, path)).isDirectory()) return filesUnder(folder, path);
    return [path.replace(/^(step-\d+)\.\d+/, "$1")];
  }).sort();
}

const sizes = { vocabSize: 11, nPositions: 16, nEmbd: 8, nLayer: 2, nHead: 2 };

/** Two models of the same sizes with other weights, other settings, and other tokenizers. */
function model(which: Which): GPT2 {
  manualSeed(which);
  const made = new GPT2({ ...sizes, layerNormEpsilon: which ? 1e-5 : 1e-6 }, { device: "reference" });
  made.tokenizer = CharTokenizer.from(which ? "0123456789x" : "abcdefghijk");
  made.generationConfig = { maxNewTokens: 5 + which };
  return made;
}

async function saveModel(folder: string, which: Which, shardSize?: number): Promise<void> {
  using made = model(which);
  await made.save(folder, shardSize ? { shardSize } : {});
}

/** A model's folder as the library reads it. */
async function readModel(folder: string): Promise<string> {
  const opened = await openFolder(folder), hash = createHash("sha256");
  const texts = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"];
  for (const name of texts) hash.update(await opened.text(name) ?? `no ${name}`);
  await using file = await openWeights(opened);
  for (const name of [...file.names].sort()) hash.update(name).update(await file.view(name).bytes());
  // It also loads: that is where weights and configuration are compared.
  (await GPT2.load(folder, { device: "reference" })).dispose();
  return hash.digest("hex");
}

/**
 * The weights as a reader takes them that knows Hugging Face's names and nothing of this library, which looks for one
 * file, then for an index. Null: it finds none.
 */
export async function foreignWeights(folder: string): Promise<string | null> {
  const single = join(folder, "model.safetensors"), index = `${single}.index.json`;
  const raw = async (path: string): Promise<Map<string, Uint8Array>> => {
    const bytes = new Uint8Array(readFileSync(path)), found = new Map<string, Uint8Array>();
    await using file = await openSafetensors(bytes);
    for (const name of file.names) found.set(name, await file.view(name).bytes());
    return found;
  };
  let tensors: Map<string, Uint8Array>;
  if (existsSync(single)) tensors = await raw(single);
  else if (existsSync(index)) {
    const { weight_map } = JSON.parse(readFileSync(index, "utf8")) as { weight_map: Record<string, string> };
    tensors = new Map();
    for (const [name, shard] of Object.entries(weight_map)) {
      if (!existsSync(join(folder, shard))) return null;
      tensors.set(name, (await raw(join(folder, shard))).get(name)!);
    }
  } else return null;
  return sha256(...[...tensors.keys()].sort().flatMap((name) => [name, tensors.get(name)!]));
}

function someTensors(which: Which): Record<string, Tensor> {
  return Object.fromEntries(
    ["a", "b", "c"].map((name, i) => [name, tensor([which, i, 3, 4], { device: "reference" })]),
  );
}

async function readTensors(path: string): Promise<string> {
  await using file = await openSafetensors(path);
  const parts: (string | Uint8Array)[] = [];
  for (const name of file.names) parts.push(name, await file.view(name).bytes());
  return sha256(...parts);
}

/** Two files of a repository at one of two commits. */
const hubFiles = ([0, 1] as const).map((which) =>
  ["config.json", "model.safetensors"].map((path, i) => {
    const bytes = new Uint8Array(5000 + i).fill(which * 16 + i + 1);
    return { path, bytes, etag: sha256(bytes), commit: String(which + 1).repeat(40) };
  })
);

/** Those that write several files at once. */
export const kindsOfSets: readonly KindOfWrite[] = [
  {
    name: "a model over a model",
    write: (folder, which) => saveModel(folder, which),
    read: readModel,
  },
  {
    name: "an adapter over an adapter",
    async write(folder, which) {
      using made = model(which);
      for (const p of nn.lora(made, { rank: 1 + which }).parameters()) nn.init.constant(p, which + 0.5);
      await made.saveAdapter(folder);
    },
    async read(folder) {
      // It loads: that is where ranks and tensors are compared.
      using made = model(0);
      const adapter = await made.loadAdapter(folder), { rank } = adapter.options;
      return JSON.stringify([rank, await Promise.all(adapter.parameters().map((p) => p.toArray()))]);
    },
  },
  {
    name: "shards over as many shards",
    write: (folder, which) => saveModel(folder, which, 1500),
    read: readModel,
  },
  {
    name: "shards and one file",
    write: (folder, which) => saveModel(folder, which, which ? 2500 : undefined),
    read: readModel,
  },
  {
    name: "tensors in shards",
    write: (folder, which) =>
      saveSafetensors(join(folder, "x.safetensors"), someTensors(which), { shardSize: 20 }),
    read: (folder) => readTensors(join(folder, "x.safetensors.index.json")),
  },
  {
    name: "a tokenizer",
    async write(folder, which) {
      const text = which ? "some words, some more words" : "other letters in other lines";
      await saveTokenizer(BpeTokenizer.train(text, { vocabSize: 262 + which }), folder);
    },
    async read(folder) {
      const opened = await openFolder(folder);
      const texts = [await opened.text("tokenizer.json"), await opened.text("tokenizer_config.json")];
      if (texts.every((text) => text === null)) throw new Error("no tokenizer");
      return sha256(...texts.map((text) => text ?? "one of two"));
    },
  },
];

/** Those that write files one by one, or folders by another name. */
export const kindsOfFiles: readonly KindOfWrite[] = [
  {
    name: "tensors in one file",
    write: (folder, which) => saveSafetensors(join(folder, "x.safetensors"), someTensors(which)),
    read: (folder) => readTensors(join(folder, "x.safetensors")),
  },
  {
    name: "checkpoints",
    async write(folder, which) {
      const manager = new CheckpointManager(folder, { keepLast: 1, keepBest: 0, files: { note: "n" } });
      await manager.save({ step: 7, loss: which, tensors: { model: someTensors(which) }, state: { which } });
    },
    async read(folder) {
      const found = await new CheckpointManager(folder, { keepLast: 1, keepBest: 0 })
        .loadLatest({ device: "reference" });
      if (found === null) throw new Error("no checkpoint");
      const values = await Promise.all(Object.values(found.tensors.model).map((t) => t.toArray()));
      return JSON.stringify([found.step, found.loss, found.state, values]);
    },
  },
  {
    name: "a tabular model",
    async write(folder, which) {
      const name = which ? "wine" : "iris";
      using loaded = await TabularModel.load(
        join(repository, "web", "models", "tabular", `${name}.safetensors`),
      );
      await loaded.save(join(folder, "t.safetensors"));
    },
    async read(folder) {
      using loaded = await TabularModel.load(join(folder, "t.safetensors"));
      return JSON.stringify([loaded.schema, loaded.info]);
    },
  },
  {
    name: "a text: plots, logs, settings, predictions, results of a bench",
    write: (folder, which) => writeFileAtomic(join(folder, "plot.svg"), `<svg>${which}</svg>`.repeat(5000)),
    read: async (folder) => sha256(await readFile(join(folder, "plot.svg"))),
  },
  {
    name: "files of the hub",
    async write(folder, which) {
      const store = new DiskStore(folder, "org/name");
      for (const { path, bytes, etag, commit } of hubFiles[which]) {
        const file = { path, size: bytes.length, etag, hash: "sha256" as const };
        await store.receive(commit, file, undefined, async (into) => {
          if (into.size > bytes.length) await into.clear();
          await into.write(bytes.subarray(into.size));
        });
        await store.setCommit("main", commit);
      }
      await store.tidy();
    },
    async read(folder) {
      // A file that has arrived is whole; which have is nobody's promise.
      const store = new DiskStore(folder, "org/name");
      for (const { path, etag, commit } of hubFiles.flat()) {
        const source = await store.open(commit, path);
        if (source === null) continue;
        if (sha256(await source.read(0, source.size)) !== etag) throw new Error(`${path} is not whole`);
        await source.close();
      }
      const commit = await store.commitOf("main");
      if (!commit || !existsSync(join(folder, folderName("org/name"), "refs", "main"))) {
        throw new Error("no ref");
      }
      return commit;
    },
  },
];

/** Every kind. */
export const kindsOfWrites: readonly KindOfWrite[] = [...kindsOfSets, ...kindsOfFiles];
