/**
 * The hub: what is fetched, where it is kept, and every way in which a download can go wrong, against real servers on
 * loopback.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { CancelledError, HubError } from "../src/core/errors.ts";
import { type HubOptions, openRepository, removeCached, scanCache } from "../src/hub/mod.ts";
import { repository } from "./_data.ts";
import { type Asked, bytesOf, FakeHub, type Fault, gitHash, sha256 } from "./_hub.ts";

const hub = new FakeHub();
const name = "org/model", file = "model.safetensors", config = '{"model_type":"gpt2"}\n';
const weights = bytesOf(600_000), half = 300_000;
let cache = "", commit = "";

before(() => hub.start());
after(() => hub.stop());
beforeEach(() => {
  hub.reset();
  hub.repositories.clear();
  cache = mkdtempSync(join(tmpdir(), "ferrotype-hub-"));
  commit = hub.push(name, { "config.json": config, [file]: weights });
});
afterEach(() => rmSync(cache, { recursive: true, force: true }));

function at(...parts: string[]): string {
  return join(cache, "models--org--model", ...parts);
}

function options(more: HubOptions = {}): HubOptions {
  return { endpoint: hub.endpoint, cacheDir: cache, token: "", offline: false, retryDelay: 0.01, ...more };
}

/** A file of the repository, opened anew. */
async function fetchFile(path = file, more: HubOptions = {}): Promise<Uint8Array | null> {
  const opened = await openRepository(name, options(more));
  const source = await opened.open(path);
  if (source === null) return null;
  try {
    return await source.read(0, source.size);
  } finally {
    await source.close();
  }
}

async function fails(work: Promise<unknown>, ...patterns: RegExp[]): Promise<string> {
  let message = "";
  await assert.rejects(work, (error) => {
    assert(error instanceof HubError, String((error as Error).stack));
    message = error.message;
    for (const pattern of patterns) assert.match(message, pattern);
    assert(!message.includes("\n"), "one line");
    return true;
  });
  return message;
}

/** Faults for the first requests that `which` picks, one each. */
function inOrder(which: (asked: Asked) => boolean, ...faults: Fault[]): void {
  hub.fault = (asked) => which(asked) ? faults.shift() : undefined;
}

const toStorage = (asked: Asked): boolean => asked.server === "storage";

/** Runs a module in a process of its own, with `hub` being the room under test. */
function program(text: string, env: Record<string, string> = {}, permissions = ["-A"]) {
  const path = join(cache, `program-${Math.random().toString(36).slice(2)}.ts`);
  const room = pathToFileURL(join(repository, "src/hub/mod.ts")).href;
  writeFileSync(path, `import * as hub from ${JSON.stringify(room)};\n${text}`);
  const runtime = "Deno" in globalThis
    ? ["run", "--no-check", "--no-prompt", `--config=${join(repository, "deno.json")}`, ...permissions]
    : [];
  const settled = { HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: cache, HF_TOKEN: "", HF_HUB_OFFLINE: "" };
  // Deno's node:child_process adds -A where it sees Deno's path among the arguments, so it is kept out of sight.
  const child = spawn("sh", ["-c", 'exec "$RUNTIME" "$@"', "sh", ...runtime, path], {
    env: { ...process.env, ...settled, ...env, RUNTIME: process.execPath },
  });
  const ended = { code: null as number | null, signal: null as string | null, stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text) => ended.stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text) => ended.stderr += text);
  const end = new Promise<typeof ended>((resolve) =>
    child.on("close", (code, signal) => resolve({ ...ended, code, signal }))
  );
  return { child, end };
}

const fetchAll = `
  const opened = await hub.openRepository(${JSON.stringify(name)});
  const source = await opened.open(${JSON.stringify(file)});
  console.log(source.size);
  await source.close();
`;

async function until(what: () => boolean): Promise<void> {
  for (let i = 0; !what(); i++) {
    assert(i < 1500, "it did not happen in 30 s");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("the cache", () => {
  it("has the layout of Python's client: blobs by etag, relative links, refs", async () => {
    assert.deepEqual(await fetchFile(), weights);
    assert.equal(new TextDecoder().decode(await fetchFile("config.json") ?? undefined), config);
    const small = gitHash(new TextEncoder().encode(config)), large = sha256(weights);
    assert.deepEqual(readdirSync(at()).sort(), ["blobs", "refs", "snapshots"]);
    assert.deepEqual(readdirSync(at("blobs")).sort(), [small, large].sort());
    assert.equal(readFileSync(at("refs", "main"), "utf8"), commit);
    assert.equal(readlinkSync(at("snapshots", commit, file)), `../../blobs/${large}`);
    assert.equal(readlinkSync(at("snapshots", commit, "config.json")), `../../blobs/${small}`);
    assert.deepEqual(readdirSync(join(cache, ".locks", "models--org--model")), []);
  });

  it("links files in folders from their depth", async () => {
    commit = hub.push(name, { "a/b/c.safetensors": weights });
    assert.deepEqual(await fetchFile("a/b/c.safetensors"), weights);
    assert.equal(
      readlinkSync(at("snapshots", commit, "a", "b", "c.safetensors")),
      `../../../../blobs/${sha256(weights)}`,
    );
  });

  it("serves what is there with one question for a branch, and none for a commit", async () => {
    await fetchFile();
    hub.asked = [];
    assert.deepEqual(await fetchFile(), weights);
    assert.deepEqual(hub.asked.map((a) => a.path), [`/api/models/${name}/revision/main`]);
    hub.asked = [];
    assert.deepEqual(await fetchFile(file, { revision: commit }), weights);
    assert.deepEqual(hub.asked, []);
  });

  it("serves what Python's client left there", async () => {
    const etag = sha256(weights);
    for (const folder of ["blobs", `snapshots/${commit}`, "refs"]) mkdirSync(at(folder), { recursive: true });
    writeFileSync(at("blobs", etag), weights);
    writeFileSync(at("refs", "main"), commit);
    spawnSync("ln", ["-s", `../../blobs/${etag}`, at("snapshots", commit, file)]);
    assert.deepEqual(await fetchFile(), weights);
    assert.deepEqual(hub.gets(file), []);
  });

  it("keeps bytes once that several commits have", async () => {
    await fetchFile();
    hub.asked = [];
    const next = hub.push(name, { "config.json": "{}", [file]: weights });
    assert.deepEqual(await fetchFile(), weights);
    assert.deepEqual(hub.gets(file), []);
    assert.equal(readFileSync(at("refs", "main"), "utf8"), next);
    assert.deepEqual(readdirSync(at("snapshots")).sort(), [commit, next].sort());
  });

  it("remembers that a commit lacks a file, as Python's client does", async () => {
    assert.equal(await fetchFile("generation_config.json"), null);
    assert(existsSync(at(".no_exist", commit, "generation_config.json")));
    hub.asked = [];
    assert.equal(await fetchFile("generation_config.json", { revision: commit }), null);
    assert.deepEqual(hub.asked, []);
  });

  it("takes branches with slashes, tags and commits", async () => {
    const other = hub.push(name, { [file]: bytesOf(1000, 7) }, "refs/pr/1");
    hub.push(name, { [file]: bytesOf(1000, 9) }, "v1.0");
    assert.deepEqual(await fetchFile(file, { revision: "refs/pr/1" }), bytesOf(1000, 7));
    assert.deepEqual(await fetchFile(file, { revision: "v1.0" }), bytesOf(1000, 9));
    assert.deepEqual(await fetchFile(file, { revision: other }), bytesOf(1000, 7));
    assert.equal(readFileSync(at("refs", "refs", "pr", "1"), "utf8"), other);
  });

  it("replaces a blob of the wrong size, and a link that leads nowhere", async () => {
    await fetchFile();
    writeFileSync(at("blobs", sha256(weights)), "cut");
    rmSync(at("snapshots", commit, file));
    assert.deepEqual(await fetchFile(), weights);
    rmSync(at("blobs", sha256(weights)));
    assert.deepEqual(await fetchFile(), weights);
  });

  it("tells and removes what is in it", async () => {
    assert.deepEqual(await scanCache({ cacheDir: cache }), []);
    await fetchFile();
    writeFileSync(at("blobs", "abc.incomplete"), "12345");
    const [model, ...others] = await scanCache({ cacheDir: cache });
    assert.deepEqual(others, []);
    assert.deepEqual({ ...model, modified: 0 }, {
      repository: name,
      folder: at(),
      size: weights.length + 5,
      incomplete: 5,
      modified: 0,
      revisions: [{ commit, refs: ["main"], folder: at("snapshots", commit), files: [file] }],
    });
    assert.equal((await removeCached(name, { cacheDir: cache })).size, weights.length + 5);
    assert.deepEqual(await scanCache({ cacheDir: cache }), []);
    assert.deepEqual(readdirSync(join(cache, ".locks")), []);
    await fails(removeCached(name, { cacheDir: cache }), /org\/model is not in .*ferrotype list/);
    await fails(removeCached("../../etc", { cacheDir: cache }), /not the name of a repository/);
  });
});

describe("a download", () => {
  it("tells how far it is", async () => {
    const seen: [string, number, number][] = [];
    await fetchFile(file, { onDownload: ({ file, loaded, total }) => seen.push([file, loaded, total]) });
    assert.deepEqual(seen[0], [file, 0, weights.length]);
    assert.deepEqual(seen.at(-1), [file, weights.length, weights.length]);
    assert(seen.every(([, loaded], i) => i === 0 || loaded > seen[i - 1][1]));
  });

  it("goes through a mirror that serves files and lists none", async () => {
    hub.hasApi = false;
    assert.deepEqual(await fetchFile(), weights);
    assert.equal(await fetchFile("generation_config.json"), null);
    assert.equal(readlinkSync(at("snapshots", commit, file)), `../../blobs/${sha256(weights)}`);
    assert.equal(readFileSync(at("refs", "main"), "utf8"), commit);
  });

  it("is made again after 500, 503 and a refused answer", async () => {
    inOrder(({ path }) => path.includes("/resolve/"), { status: 500 }, { status: 503 });
    assert.deepEqual(await fetchFile(), weights);
    assert.equal(hub.asked.filter(({ path }) => path.includes("/resolve/")).length, 3);
  });

  it("leaves off when asked to, and goes on where it was", async () => {
    const controller = new AbortController();
    inOrder(toStorage, { silentAfter: half });
    const work = fetchFile(file, {
      signal: controller.signal,
      onDownload: ({ loaded }) => loaded >= half && controller.abort(),
    });
    await assert.rejects(work, CancelledError);
    assert.equal(statSync(at("blobs", `${sha256(weights)}.incomplete`)).size, half);
    hub.reset();
    assert.deepEqual(await fetchFile(), weights);
    assert.deepEqual(hub.gets(file).map((a) => a.headers.range), [`bytes=${half}-`]);
  });

  it("does not begin when its signal was aborted before", async () => {
    await assert.rejects(fetchFile(file, { signal: AbortSignal.abort() }), CancelledError);
    assert.deepEqual(hub.asked, []);
  });
});

describe("a download survives", () => {
  it("a connection that drops in mid-file: it goes on from there, and the hash is right", async () => {
    inOrder(toStorage, { cutAfter: half }, { cutAfter: 100_000 });
    assert.deepEqual(await fetchFile(), weights);
    const ranges = hub.gets(file).map(({ headers }) => headers.range);
    assert.equal(ranges.length, 3);
    assert.equal(ranges[0], undefined);
    const starts = ranges.slice(1).map((range) => Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1]));
    assert(starts[0] > 0 && starts[0] <= half && starts[1] >= starts[0], String(starts));
    assert(hub.gets(file)[1].headers["if-range"], "the etag goes with it");
  });

  it("a connection that falls silent", async () => {
    inOrder(toStorage, { silentAfter: half });
    assert.deepEqual(await fetchFile(file, { timeout: 0.3 }), weights);
    assert.equal(hub.gets(file).length, 2);
  });

  it("a server that does not know ranges: it begins again", async () => {
    inOrder(toStorage, { cutAfter: half }, { headers: { etag: '"another"' } });
    hub.fault = ((before) => (asked) => {
      const fault = before(asked);
      if (toStorage(asked)) delete asked.headers.range;
      return fault;
    })(hub.fault);
    assert.deepEqual(await fetchFile(), weights);
  });

  it("an etag that changes between attempts: it begins again with the new bytes", async () => {
    const changed = bytesOf(weights.length, 99);
    inOrder(toStorage, { cutAfter: half });
    const before = hub.fault;
    hub.fault = (asked) => {
      const fault = before(asked);
      // The same commit has other bytes now, as on a mirror that was replaced.
      if (fault) hub.repositories.get(name)?.get(commit)?.files.set(file, { bytes: changed, lfs: true });
      return fault;
    };
    assert.deepEqual(await fetchFile(), changed);
    assert.deepEqual(readdirSync(at("blobs")), [sha256(changed)]);
  });

  it("an etag of the storage that changes between attempts", async () => {
    inOrder(toStorage, { cutAfter: half, headers: { etag: '"old"' } });
    assert.deepEqual(await fetchFile(), weights);
    // The part that was there belongs to the old one; If-Range has the server say so.
    assert.equal(hub.gets(file)[1].headers["if-range"], '"old"');
  });

  it("429 with Retry-After: it waits as long as it is told", async () => {
    inOrder(({ path }) => path.includes("/resolve/"), { status: 429, headers: { "retry-after": "1" } });
    const started = performance.now();
    assert.deepEqual(await fetchFile(), weights);
    assert(performance.now() - started >= 990);
  });

  it("an end of the process: the next one goes on where it was", async () => {
    inOrder(toStorage, { silentAfter: half });
    const { child, end } = program(fetchAll);
    const incomplete = at("blobs", `${sha256(weights)}.incomplete`);
    await until(() => existsSync(incomplete) && statSync(incomplete).size === half);
    child.kill("SIGKILL");
    assert.equal((await end).signal, "SIGKILL");
    assert.deepEqual(readdirSync(join(cache, ".locks", "models--org--model")).length, 1);
    hub.reset();
    const next = await program(fetchAll).end;
    assert.equal(next.stdout.trim(), String(weights.length), next.stderr);
    assert.deepEqual(hub.gets(file).map((a) => a.headers.range), [`bytes=${half}-`]);
    assert.deepEqual(readFileSync(at("snapshots", commit, file)), Buffer.from(weights));
    assert.deepEqual(readdirSync(join(cache, ".locks", "models--org--model")), []);
  });

  it("bytes of an earlier attempt that are wrong: the hash tells, and it begins again", async () => {
    mkdirSync(at("blobs"), { recursive: true });
    writeFileSync(at("blobs", `${sha256(weights)}.incomplete`), bytesOf(half, 5));
    assert.deepEqual(await fetchFile(), weights);
    assert.deepEqual(hub.gets(file).map((a) => a.headers.range), [`bytes=${half}-`, undefined]);
  });

  it("two processes at once: one fetches, both have it", async () => {
    const go = Promise.withResolvers<void>();
    hub.fault = (asked) => toStorage(asked) ? { wait: go.promise } : undefined;
    const both = [program(fetchAll), program(fetchAll)];
    // Both have asked what there is, so one holds the lock and the other is at it.
    await until(() => hub.asked.filter(({ path }) => path.includes("/tree/")).length === 2);
    await until(() => hub.asked.some(toStorage));
    await new Promise((resolve) => setTimeout(resolve, 200));
    go.resolve();
    for (const { end } of both) {
      const { code, stdout, stderr } = await end;
      assert.deepEqual([code, stdout.trim()], [0, String(weights.length)], stderr);
    }
    assert.equal(hub.gets(file).length, 1);
    assert.deepEqual(readdirSync(at("blobs")), [sha256(weights)]);
  });

  it("two loads at once in one process", async () => {
    const both = await Promise.all([fetchFile(), fetchFile()]);
    assert.deepEqual(both, [weights, weights]);
    assert.equal(hub.gets(file).length, 1);
  });
});

describe("a download fails in one sentence for", () => {
  it("bytes with the wrong hash, and keeps none of them", async () => {
    hub.fault = (asked) => toStorage(asked) ? { bytes: bytesOf(weights.length, 3) } : undefined;
    await fails(
      fetchFile(),
      /^org\/model\/model\.safetensors at main: the bytes that arrived have the hash [0-9a-f]{64} where/,
      new RegExp(sha256(weights)),
    );
    assert.equal(existsSync(at("snapshots", commit, file)), false);
    assert.equal(existsSync(at("blobs", sha256(weights))), false);
    assert.equal(statSync(at("blobs", `${sha256(weights)}.incomplete`)).size, 0);
  });

  it("a small file with the wrong hash", async () => {
    hub.fault = ({ path }) =>
      path.includes("resolve-cache")
        ? {
          bytes: new TextEncoder().encode(config.replace("gpt2", "gpt3")),
          headers: { etag: `"${gitHash(new TextEncoder().encode(config))}"` },
        }
        : undefined;
    await fails(fetchFile("config.json"), /the bytes that arrived have the hash/);
  });

  it("401 without a token, which is also what a wrong name gets", async () => {
    hub.token = "hf_right";
    await fails(fetchFile(), /no repository org\/model that anyone may read \(401\).*set HF_TOKEN/);
  });

  it("401 with a token, without telling the token", async () => {
    hub.token = "hf_right";
    const message = await fails(
      fetchFile(file, { token: "hf_secret" }),
      /refused the access token from the option token \(401\)/,
    );
    assert(!message.includes("hf_secret"));
  });

  it("a token with characters no token has, without telling it", async () => {
    const message = await fails(fetchFile(file, { token: "hf_a\nb" }), /has characters that no token has/);
    assert(!message.includes("hf_a"));
  });

  it("403 of a gated repository", async () => {
    hub.fault = ({ path }) =>
      path.includes("/resolve/") ? { status: 403, headers: { "x-error-code": "GatedRepo" } } : undefined;
    await fails(
      fetchFile(),
      /org\/model is gated \(403\); ask for access at http.*\/org\/model, then set HF_TOKEN/,
    );
  });

  it("404 of a repository, a revision and a file", async () => {
    await fails(openRepository("org/none", options()), /has no repository org\/none; check its name/);
    await fails(
      fetchFile(file, { revision: "none" }),
      /^org\/model at none: org\/model has no such revision/,
    );
    assert.equal(await fetchFile("none.txt"), null);
    hub.fault = ({ path }) =>
      path.includes("/resolve/") ? { status: 404, headers: { "x-error-code": "EntryNotFound" } } : undefined;
    await fails(fetchFile(), /has no such file \(404\)/);
  });

  it("429 that wants to be left alone for longer than one would wait", async () => {
    hub.fault = () => ({ status: 429, headers: { "retry-after": "3600" } });
    await fails(fetchFile(), /asked too often \(429\) and wants to be left alone for 3600 s/);
    assert.equal(hub.asked.length, 1);
    hub.fault = () => ({ status: 429, headers: { ratelimit: '"api";r=0;t=120' } });
    await fails(fetchFile(), /left alone for 120 s/);
  });

  it("a server that stays broken", async () => {
    hub.fault = (asked) => toStorage(asked) ? { cutAfter: 0 } : undefined;
    await fails(fetchFile(), /(connection broke|cannot be reached)/);
  });

  it("a hub that is not there", async () => {
    await fails(
      openRepository(name, options({ endpoint: "http://127.0.0.1:1" })),
      /^org\/model at main: http:\/\/127\.0\.0\.1:1 cannot be reached: .*HF_HUB_OFFLINE/,
    );
  });

  it("a server that is no hub", async () => {
    hub.fault = ({ path }) =>
      path.startsWith("/api/") ? { bytes: new Uint8Array(0), status: 200 } : undefined;
    await fails(fetchFile(), /something that is not the hub's JSON; check HF_ENDPOINT/);
  });

  it("a redirect in circles", async () => {
    hub.fault = ({ path }) =>
      path.includes("/resolve/") ? { status: 302, headers: { location: path } } : undefined;
    await fails(fetchFile(), /redirects in circles/);
  });
});

describe("names that lead out of the cache are refused", () => {
  for (
    const path of [
      "../x",
      "a/../../x",
      "/etc/x",
      "C:\\x",
      "C:x",
      "..\\x",
      "a\\..\\..\\x",
      "a//b",
      "a\0b",
      ".",
      "",
    ]
  ) {
    it(`the file ${JSON.stringify(path)}`, async () => {
      hub.push(name, { [path]: "evil" });
      await fails(fetchFile(path), /leads out of its folder; nothing was written/);
      assert.deepEqual(hub.gets(path), []);
      assert.deepEqual(readdirSync(cache).filter((entry) => entry !== "models--org--model"), []);
    });
  }

  it("repositories, revisions and etags", async () => {
    for (const bad of ["../x", "a/b/c", "a", "org/..", "org/a--b", "org/a:b", "/a/b"]) {
      await fails(openRepository(bad, options()), /is not the name of a repository/);
    }
    for (const revision of ["../../x", "a/../../b", "/x", "a\\b"]) {
      await fails(openRepository(name, options({ revision })), /is not a revision of org\/model/);
    }
    hub.hasApi = false;
    hub.fault = ({ path }) =>
      path.endsWith(`resolve/${commit}/${file}`)
        ? { headers: { "x-linked-etag": '"../../../evil"' } }
        : undefined;
    await fails(fetchFile(), /calls the file "\.\.\/\.\.\/\.\.\/evil" \(ETag\), which is no name for it/);
  });
});

describe("offline", () => {
  it("takes what is in the cache and asks nobody", async () => {
    await fetchFile();
    hub.asked = [];
    assert.deepEqual(await fetchFile(file, { offline: true }), weights);
    assert.equal(await fetchFile("config.json", { offline: true }), null);
    assert.deepEqual(hub.asked, []);
  });

  it("says what is not in the cache", async () => {
    await fails(
      fetchFile(file, { offline: true }),
      /^org\/model at main is not in .*models--org--model, and HF_HUB_OFFLINE forbids/,
      /ferrotype pull org\/model/,
    );
    await fails(fetchFile(file, { offline: true, revision: commit }), /is not in/);
    assert.deepEqual(hub.asked, []);
  });

  it("is as good as a hub that is not reached, when the cache has it", async () => {
    await fetchFile();
    assert.deepEqual(await fetchFile(file, { endpoint: "http://127.0.0.1:1" }), weights);
    hub.fault = () => ({ status: 502 });
    assert.deepEqual(await fetchFile(), weights);
  });

  it("is not what a refusal means", async () => {
    await fetchFile();
    hub.token = "hf_right";
    await fails(fetchFile(), /401/);
  });
});

describe("the token", () => {
  it("goes to the hub, and never to where the hub sends one", async () => {
    hub.token = "hf_right";
    assert.deepEqual(await fetchFile(file, { token: "hf_right" }), weights);
    assert(await fetchFile("config.json", { token: "hf_right" }));
    const [hubs, others] = [hub.asked.filter((a) => !toStorage(a)), hub.asked.filter(toStorage)];
    assert(hubs.length > 0 && hubs.every(({ headers }) => headers.authorization === "Bearer hf_right"));
    assert(others.length > 0 && others.every(({ headers }) => headers.authorization === undefined));
  });

  it("does not come back when the way leads back to the hub", async () => {
    const paths: string[] = [];
    hub.fault = ({ server, path, headers }) => {
      if (server === "storage") return { status: 302, headers: { location: `${hub.endpoint}/back` } };
      if (path !== "/back") return undefined;
      paths.push(String(headers.authorization));
      return { status: 404 };
    };
    await fails(fetchFile(file, { token: "hf_right" }), /404/);
    assert.deepEqual(paths, ["undefined"]);
  });

  it("does not go to another server that the list of files continues on", async () => {
    const elsewhere = hub.endpoint.replace("127.0.0.1", "localhost"), away: Asked[] = [];
    hub.fault = (asked) => {
      if (asked.headers.host?.startsWith("localhost") && asked.server === "hub") away.push(asked);
      else if (asked.path.includes("/tree/")) {
        return { headers: { link: `<${elsewhere}${asked.path}?cursor=1>; rel="next"` } };
      }
      return undefined;
    };
    assert.deepEqual(await fetchFile(file, { token: "hf_right" }), weights);
    assert.equal(away.length, 1);
    assert.equal(away[0].headers.authorization, undefined);
  });

  it("is found as Python's client finds it", async () => {
    const text = `
      const opened = await hub.openRepository("org/model");
      console.log(await opened.text("config.json"));
    `;
    hub.token = "hf_right";
    const home = join(cache, "home");
    mkdirSync(home);
    writeFileSync(join(home, "token"), "hf_right\n");
    const run = async (env: Record<string, string>) => {
      rmSync(at(), { recursive: true, force: true });
      rmSync(join(home, "hub"), { recursive: true, force: true });
      return await program(text, { HF_HUB_CACHE: "", HUGGING_FACE_HUB_TOKEN: "", ...env }).end;
    };
    for (
      const env of [
        { HF_HOME: home },
        { HF_HOME: home, HF_TOKEN: "hf_right" },
        { HF_HOME: cache, HF_TOKEN_PATH: join(home, "token"), HF_HUB_CACHE: join(home, "hub") },
      ]
    ) {
      const { code, stdout, stderr } = await run(env);
      assert.deepEqual([code, stdout.trim()], [0, config.trim()], stderr);
      assert(existsSync(join(home, "hub", "models--org--model", "refs", "main")));
    }
    const wrong = await run({ HF_HOME: home, HF_TOKEN: "hf_wrong" });
    assert.match(wrong.stderr, /refused the access token from HF_TOKEN \(401\)/);
    assert(!wrong.stderr.includes("hf_wrong"));
  });
});

describe("Deno without permissions", { skip: !("Deno" in globalThis) && "this is not Deno" }, () => {
  const text =
    `await hub.openRepository("org/model").catch((error) => console.log(error.name, error.message));`;

  it("says in one sentence what to run with", async () => {
    const none = await program(text, {}, []).end;
    assert.equal(
      none.stdout,
      "HubError Deno was not allowed to fetch org/model from the hub and keep it; " +
        "run with --allow-env --allow-net --allow-read --allow-write\n",
      none.stderr,
    );
    const some = await program(text, {}, ["--allow-env", "--allow-net"]).end;
    assert.match(some.stdout, /and keep it; run with --allow-read --allow-write\n$/);
    assert.deepEqual(hub.asked, []);
  });

  it("needs no more than the sentence says", async () => {
    const flags = ["--allow-env", "--allow-net", "--allow-read", "--allow-write"];
    const { stdout, stderr } = await program(fetchAll, {}, flags).end;
    assert.equal(stdout.trim(), String(weights.length), stderr);
  });
});

describe("a full disk", () => {
  let mounted = "", reason: string | false = false;
  before(() => {
    const folder = mkdtempSync(join(tmpdir(), "ferrotype-small-"));
    const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=512k", "tmpfs", folder], {
      encoding: "utf8",
    });
    if (mount.status === 0) mounted = folder;
    else {
      reason = `a small file system cannot be mounted: ${mount.error?.message ?? mount.stderr.trim()}`;
      rmSync(folder, { recursive: true });
    }
  });
  after(() => {
    if (mounted === "") return;
    spawnSync("umount", [mounted]);
    rmSync(mounted, { recursive: true });
  });

  it("is told in one sentence; with room made the download goes on where it was", async (test) => {
    if (reason !== false) return test.skip(reason);
    const filler = join(mounted, "filler");
    writeFileSync(filler, new Uint8Array(300_000));
    const big = { cacheDir: mounted };
    hub.push(name, { [file]: bytesOf(400_000) });
    await fails(
      fetchFile(file, big),
      /^org\/model\/model\.safetensors does not fit on the disk of .*; make room, or set HF_HUB_CACHE/,
    );
    const incomplete = join(mounted, "models--org--model", "blobs", `${sha256(bytesOf(400_000))}.incomplete`);
    const kept = statSync(incomplete).size;
    assert(kept > 0 && kept < 400_000);
    rmSync(filler);
    hub.asked = [];
    assert.deepEqual(await fetchFile(file, big), bytesOf(400_000));
    assert.deepEqual(hub.gets(file).map((a) => a.headers.range), [`bytes=${kept}-`]);
  });
});
