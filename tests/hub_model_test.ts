/**
 * Models and tokenizers by their name on a hub: what is fetched of a repository, what the commands say, and what a
 * browser keeps.
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import {
  BpeTokenizer,
  CharTokenizer,
  FormatError,
  GPT2,
  HubError,
  type LoadProgress,
  loadTokenizer,
  noGrad,
  pullModel,
} from "../mod.ts";
import { canKeepParts } from "../src/hub/mod.ts";
import { PartsStore } from "../src/hub/parts_store.ts";
import { Sha256 } from "../src/platform/hash.ts";
import { call, ferrotype, interrupt, json, output } from "./_command.ts";
import { numbersOf } from "./_devices.ts";
import { assertNear, inFolder, smallModel } from "./_gpt2.ts";
import { bytesOf, FakeHub, sha256 } from "./_hub.ts";
import { after, afterEach, before, beforeEach, describe, it } from "./_suite.ts";

const hub = new FakeHub(), name = "org/small";
let cache = "", single: Record<string, Uint8Array> = {}, sharded: Record<string, Uint8Array> = {};
let expected: number[] = [];
const settings = ["HF_ENDPOINT", "HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"] as const;
const environment = settings.map((name) => process.env[name]);

function filesOf(folder: string): Record<string, Uint8Array> {
  return Object.fromEntries(
    readdirSync(folder).map((file) => [file, new Uint8Array(readFileSync(join(folder, file)))]),
  );
}

async function logits(model: GPT2): Promise<number[]> {
  return await numbersOf(noGrad(() => model.forward([[1, 2, 3]])));
}

before(async () => {
  await hub.start();
  using model = smallModel();
  model.tokenizer = new CharTokenizer("helo wrdabc");
  expected = await logits(model);
  await inFolder(async (folder) => {
    await model.save(folder);
    single = filesOf(folder);
  });
  await inFolder(async (folder) => {
    await model.save(folder, { shardSize: 4096 });
    sharded = filesOf(folder);
  });
});
after(() => hub.stop());
beforeEach(() => {
  hub.reset();
  hub.repositories.clear();
  cache = mkdtempSync(join(tmpdir(), "ferrotype-models-"));
  Object.assign(process.env, {
    HF_ENDPOINT: hub.endpoint,
    HF_HUB_CACHE: cache,
    HF_TOKEN: "",
    HF_HUB_OFFLINE: "",
  });
  const others = {
    "pytorch_model.bin": bytesOf(1000),
    "README.md": "# small",
    "onnx/model.onnx": bytesOf(1000),
  };
  hub.push(name, { ...single, ...others });
});
afterEach(() => {
  rmSync(cache, { recursive: true, force: true });
  settings.forEach((name, i) => {
    if (environment[i] === undefined) delete process.env[name];
    else process.env[name] = environment[i];
  });
});

/** Names of the files that were fetched, not counting those that were only looked for. */
function fetched(): string[] {
  const names = hub.asked.filter(({ path }) => path.includes("/resolve/")).map(({ path }) =>
    path.split("/").at(-1)
  );
  return [...new Set(names as string[])].sort();
}

const needed = [
  "config.json",
  "generation_config.json",
  "model.safetensors",
  "tokenizer.json",
  "tokenizer_config.json",
];

describe("GPT2.load of a repository", () => {
  it("fetches what a model needs and nothing else, once", async () => {
    const progress: LoadProgress[] = [];
    using model = await GPT2.load(name, { onProgress: (p) => progress.push(p) });
    assertNear(await logits(model), expected, 1e-5, "logits");
    assertEquals(model.tokenizer?.encode("hello"), new CharTokenizer("helo wrdabc").encode("hello"));
    assertEquals(fetched(), needed);
    const weights = progress.filter(({ phase, file }) =>
      phase === "download" && file === "model.safetensors"
    );
    assertEquals(weights.at(-1), {
      phase: "download",
      file: "model.safetensors",
      loaded: single["model.safetensors"].length,
      total: single["model.safetensors"].length,
    });
    assert(progress.some(({ phase }) => phase === "read"));
    hub.asked = [];
    process.env.HF_HUB_OFFLINE = "1";
    using again = await GPT2.load(name);
    assertNear(await logits(again), expected, 1e-5, "logits");
    assertEquals(hub.asked, []);
  });

  it("fetches shards by their index, and names from an index cannot lead out", async () => {
    const shards = Object.keys(sharded).filter((file) => file.endsWith(".safetensors")).sort();
    assert(shards.length > 1);
    hub.push(name, sharded);
    using model = await GPT2.load(name);
    assertNear(await logits(model), expected, 1e-5, "logits");
    assertEquals(fetched().filter((file) => file.startsWith("model")), [
      ...shards,
      "model.safetensors.index.json",
    ]);
    const index = new TextDecoder().decode(sharded["model.safetensors.index.json"]);
    for (const evil of ["../../../../evil.safetensors", "/etc/passwd", "..\\\\evil.safetensors"]) {
      hub.push(name, { ...sharded, "model.safetensors.index.json": index.replaceAll(shards[0], evil) });
      const error = await assertRejects(() => GPT2.load(name));
      assert(error instanceof FormatError || error instanceof HubError, String(error));
    }
    assertEquals(readdirSync(cache).sort(), [".locks", "models--org--small"]);
  });

  it("takes a revision", async () => {
    hub.push(name, { "config.json": "{}" });
    hub.push(name, single, "v1");
    using model = await GPT2.load(name, { revision: "v1" });
    assertNear(await logits(model), expected, 1e-5, "logits");
    assertMatch(
      (await assertRejects(() => GPT2.load(name, { revision: "v2" }), HubError)).message,
      /no such revision/,
    );
  });

  it("refuses what is no GPT-2 before its weights are fetched", async () => {
    for (const [type, load] of [["llama", GPT2.load], ["t5", GPT2.load], ["t5", pullModel]] as const) {
      hub.push(name, { ...single, "config.json": JSON.stringify({ model_type: type }) });
      const { message } = await assertRejects(() => load(name), FormatError);
      assertMatch(message, new RegExp(`model_type is "${type}"`));
    }
    assertEquals([...new Set(fetched())], ["config.json"]);
  });

  it("says what a repository lacks", async () => {
    hub.push(name, { "config.json": single["config.json"], "pytorch_model.bin": bytesOf(100) });
    assertMatch(
      String(await assertRejects(() => GPT2.load(name))),
      /^FormatError: org\/small holds neither model\.safetensors nor/,
    );
    hub.push(name, { "README.md": "nothing" });
    await assertRejects(() => GPT2.load(name), Error, "org/small holds no config.json");
    await assertRejects(() => loadTokenizer(name), Error, "org/small holds neither tokenizer.json nor");
    process.env.HF_HUB_OFFLINE = "1";
    assertMatch(
      String(await assertRejects(() => GPT2.load("org/other"))),
      /^HubError: org\/other at main is not in .*ferrotype pull org\/other/,
    );
  });
});

describe("loadTokenizer of a repository", () => {
  it("fetches the tokenizer alone", async () => {
    const tokenizer = await loadTokenizer(name);
    assertStrictEquals(tokenizer.decode(tokenizer.encode("hello")), "hello");
    assertEquals(fetched(), ["tokenizer.json", "tokenizer_config.json"]);
  });

  it("fetches the older pair of files where there is no tokenizer.json", async () => {
    const trained = BpeTokenizer.train("hello hello world", { vocabSize: 262 });
    const { vocab, merges } = (trained.toJSON() as { model: { vocab: object; merges: string[] } }).model;
    const lines = ["#version: 0.2", ...merges, ""];
    hub.push(name, { "vocab.json": JSON.stringify(vocab), "merges.txt": lines.join("\n") });
    assertEquals((await loadTokenizer(name)).encode("hello"), trained.encode("hello"));
    assertEquals(fetched(), ["merges.txt", "vocab.json"]);
  });
});

describe("ferrotype pull, list and rm", () => {
  it("fetch, tell and remove", async () => {
    const first = await json<
      { repository: string; commit: string; folder: string; downloaded_bytes: number }
    >(["pull", name]);
    const bytes = needed.reduce((sum, file) => sum + single[file].length, 0);
    assertEquals([first.repository, first.downloaded_bytes], [name, bytes]);
    assertEquals(readdirSync(first.folder).sort(), needed);
    using model = await GPT2.load(first.folder);
    assertNear(await logits(model), expected, 1e-5, "logits");
    const again = await call(["pull", name]);
    assertEquals(again, { code: 0, stdout: `${first.folder}\n`, stderr: "everything was there\n" });
    const { models } = await json<{ models: { repository: string; size: number }[] }>(["list"]);
    assertEquals(models.map(({ repository, size }) => [repository, size]), [[name, bytes]]);
    assertMatch(await output(["list"]), /^org\/small {2}main {2}\d{4}-\d\d-\d\d {2}[\d.]+ kB\n$/);
    assertMatch(await output(["rm", name]), /^removed org\/small, /);
    assertEquals(await json(["list"]), { models: [] });
    assertMatch(
      (await call(["rm", name])).stderr,
      /^ferrotype: org\/small is not in .*"ferrotype list" tells what is\n$/,
    );
  });

  it("pull says in one line why not", async () => {
    const { code, stdout, stderr } = await call(["pull", "org/none"]);
    assertEquals([code, stdout], [1, ""]);
    assertMatch(
      stderr,
      /^ferrotype: org\/none at main: .* has no repository org\/none; check its name[^\n]*\n$/,
    );
  });

  it("generate takes a repository's name", async () => {
    const { code, stdout, stderr } = await ferrotype([
      "generate",
      "hel",
      "--model",
      name,
      "-n",
      "3",
      "--temperature",
      "0",
    ]);
    assertStrictEquals(code, 0, stderr);
    assertMatch(stdout, /^hel/);
    // Progress is for terminals.
    assertStrictEquals(stderr, "");
  });

  it("pull that is interrupted ends with 130 and goes on where it was", async () => {
    const weights = single["model.safetensors"], half = weights.length >> 1;
    hub.fault = ({ server }) => server === "storage" ? { silentAfter: half } : undefined;
    const { code, stderr } = await ferrotype(["pull", name], {
      started(child) {
        const incomplete = join(cache, "models--org--small", "blobs", `${sha256(weights)}.incomplete`);
        const timer = setInterval(() => {
          if (!existsSync(incomplete) || statSync(incomplete).size < half) return;
          clearInterval(timer);
          interrupt(child);
        }, 20);
      },
    });
    assertEquals([code, stderr], [130, "ferrotype: interrupted\n"]);
    hub.reset();
    const pulled = await json<{ downloaded_bytes: number }>(["pull", name]);
    assertStrictEquals(hub.gets("model.safetensors")[0].headers.range, `bytes=${half}-`);
    assert(pulled.downloaded_bytes < weights.length);
  });
});

describe("a browser's storage", { skip: !canKeepParts() && "this runtime has no Cache Storage" }, () => {
  const commit = "0123456789".repeat(4), bytes = bytesOf(10_500), part = 4000;
  const remote = {
    path: "a/b.safetensors",
    size: bytes.length,
    etag: sha256(bytes),
    hash: "sha256" as const,
  };
  let store: PartsStore;
  beforeEach(async () => {
    store = new PartsStore("org/browser", part);
    await caches.delete("ferrotype-hub");
  });
  after(() => caches.delete("ferrotype-hub"));

  it("keeps a file in parts, and reads it anywhere", async () => {
    await store.receive(commit, remote, undefined, async (into) => {
      for (let at = 0; at < bytes.length; at += 777) await into.write(bytes.subarray(at, at + 777));
    });
    const source = await store.open(commit, remote.path);
    assert(source);
    assertEquals(await source.read(0, source.size), bytes);
    for (const [at, length] of [[0, 1], [3999, 2], [4000, 4000], [7999, 2501], [10_499, 1], [5, 0]]) {
      assertEquals(await source.read(at, length), bytes.slice(at, at + length));
    }
    await assertRejects(() => source.read(10_000, 501), FormatError);
    assertStrictEquals(await store.open(commit, "other"), null);
    assertStrictEquals(await store.open("f".repeat(40), remote.path), null);
  });

  it("goes on after the last whole part", async () => {
    const broken = store.receive(commit, remote, undefined, async (into) => {
      await into.write(bytes.subarray(0, 9000));
      throw new HubError("gone");
    });
    await assertRejects(() => broken, HubError);
    assertStrictEquals(await store.open(commit, remote.path), null);
    await store.receive(commit, remote, undefined, async (into) => {
      assertStrictEquals(into.size, 8000);
      const here: number[] = [];
      for await (const piece of into.read()) here.push(...piece);
      assertEquals(Uint8Array.from(here), bytes.subarray(0, 8000));
      await into.write(bytes.subarray(8000));
    });
    const source = await store.open(commit, remote.path);
    assertEquals(await source?.read(0, bytes.length), bytes);
  });

  it("empties what is wrong, and notices what the browser threw away", async () => {
    const fill = async (): Promise<void> => {
      await store.receive(commit, remote, undefined, async (into) => {
        await into.write(bytesOf(9000, 5));
        await into.clear();
        assertStrictEquals(into.size, 0);
        await into.write(bytes);
      });
    };
    await fill();
    const source = await store.open(commit, remote.path);
    assertEquals(await source?.read(0, bytes.length), bytes);
    const entries = await caches.open("ferrotype-hub");
    await entries.delete(`https://hub.invalid/org/browser/blobs/${remote.etag}/1`);
    assertStrictEquals(await store.open(commit, remote.path), null);
    await assertRejects(
      () => source?.read(0, 5000) as Promise<unknown>,
      Error,
      "thrown away bytes from 4000 on; load it again",
    );
  });

  it("remembers branches and absences", async () => {
    assertStrictEquals(await store.commitOf("main"), null);
    await store.setCommit("main", commit);
    assertStrictEquals(await store.commitOf("main"), commit);
    assertStrictEquals(await store.isAbsent(commit, "x/y"), false);
    await store.setAbsent(commit, "x/y");
    assertStrictEquals(await store.isAbsent(commit, "x/y"), true);
    assertStrictEquals(await store.isAbsent(commit, "x/z"), false);
  });
});

describe("SHA-256 for browsers", () => {
  it("is what the system computes, in pieces of any size", async () => {
    const bytes = bytesOf(5000);
    for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 5000]) {
      for (const step of [1, 63, 64, 777]) {
        const hash = new Sha256();
        for (let at = 0; at < length; at += step) {
          hash.update(bytes.subarray(at, Math.min(at + step, length)));
        }
        const known = createHash("sha256").update(bytes.subarray(0, length)).digest("hex");
        assertStrictEquals(await hash.digest(), known, `${length} bytes by ${step}`);
      }
    }
  });
});
