/**
 * The hub: what is fetched and where it is kept, names from outside, life without a connection.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { CancelledError } from "../src/core/errors.ts";
import { openRepository, removeCached, scanCache } from "../src/hub/mod.ts";
import { withLock } from "../src/hub/lock.ts";
import { hostName } from "../src/platform/platform.ts";
import { bytesOf, gitHash, sha256 } from "./_hub.ts";
import {
  at,
  cache,
  commit,
  config,
  fails,
  fetchFile,
  file,
  half,
  hub,
  inOrder,
  name,
  options,
  toStorage,
  useHub,
  weights,
} from "./_hub_client.ts";
import { stopClock } from "./_wait.ts";

useHub();

describe("the cache", () => {
  it("has the layout of Python's client: blobs by etag, relative links, refs", async () => {
    assertEquals(await fetchFile(), weights);
    assertStrictEquals(new TextDecoder().decode(await fetchFile("config.json") ?? undefined), config);
    const small = gitHash(new TextEncoder().encode(config)), large = sha256(weights);
    assertEquals(readdirSync(at()).sort(), ["blobs", "refs", "snapshots"]);
    assertEquals(readdirSync(at("blobs")).sort(), [small, large].sort());
    assertStrictEquals(readFileSync(at("refs", "main"), "utf8"), commit);
    assertStrictEquals(readlinkSync(at("snapshots", commit, file)), `../../blobs/${large}`);
    assertStrictEquals(readlinkSync(at("snapshots", commit, "config.json")), `../../blobs/${small}`);
    assertEquals(readdirSync(join(cache, ".locks", "models--org--model")), []);
  });

  it("links files in folders from their depth", async () => {
    const deep = hub.push(name, { "a/b/c.safetensors": weights });
    assertEquals(await fetchFile("a/b/c.safetensors"), weights);
    assertStrictEquals(
      readlinkSync(at("snapshots", deep, "a", "b", "c.safetensors")),
      `../../../../blobs/${sha256(weights)}`,
    );
  });

  it("serves what is there with one question for a branch, and none for a commit", async () => {
    await fetchFile();
    hub.asked = [];
    assertEquals(await fetchFile(), weights);
    assertEquals(hub.asked.map((a) => a.path), [`/api/models/${name}/revision/main`]);
    hub.asked = [];
    assertEquals(await fetchFile(file, { revision: commit }), weights);
    assertEquals(hub.asked, []);
  });

  it("serves what Python's client left there", async () => {
    const etag = sha256(weights);
    for (const folder of ["blobs", `snapshots/${commit}`, "refs"]) mkdirSync(at(folder), { recursive: true });
    writeFileSync(at("blobs", etag), weights);
    writeFileSync(at("refs", "main"), commit);
    spawnSync("ln", ["-s", `../../blobs/${etag}`, at("snapshots", commit, file)]);
    assertEquals(await fetchFile(), weights);
    assertEquals(hub.gets(file), []);
  });

  it("keeps bytes once that several commits have", async () => {
    await fetchFile();
    hub.asked = [];
    const next = hub.push(name, { "config.json": "{}", [file]: weights });
    assertEquals(await fetchFile(), weights);
    assertEquals(hub.gets(file), []);
    assertStrictEquals(readFileSync(at("refs", "main"), "utf8"), next);
    assertEquals(readdirSync(at("snapshots")).sort(), [commit, next].sort());
  });

  it("remembers that a commit lacks a file, as Python's client does", async () => {
    assertStrictEquals(await fetchFile("generation_config.json"), null);
    assert(existsSync(at(".no_exist", commit, "generation_config.json")));
    hub.asked = [];
    assertStrictEquals(await fetchFile("generation_config.json", { revision: commit }), null);
    assertEquals(hub.asked, []);
  });

  it("takes branches with slashes, tags and commits", async () => {
    const other = hub.push(name, { [file]: bytesOf(1000, 7) }, "refs/pr/1");
    hub.push(name, { [file]: bytesOf(1000, 9) }, "v1.0");
    assertEquals(await fetchFile(file, { revision: "refs/pr/1" }), bytesOf(1000, 7));
    assertEquals(await fetchFile(file, { revision: "v1.0" }), bytesOf(1000, 9));
    assertEquals(await fetchFile(file, { revision: other }), bytesOf(1000, 7));
    assertStrictEquals(readFileSync(at("refs", "refs", "pr", "1"), "utf8"), other);
  });

  it("replaces a blob of the wrong size, and a link that leads nowhere", async () => {
    await fetchFile();
    writeFileSync(at("blobs", sha256(weights)), "cut");
    rmSync(at("snapshots", commit, file));
    assertEquals(await fetchFile(), weights);
    rmSync(at("blobs", sha256(weights)));
    assertEquals(await fetchFile(), weights);
  });

  it("tells and removes what is in it", async () => {
    assertEquals(await scanCache({ cacheDir: cache }), []);
    await fetchFile();
    writeFileSync(at("blobs", "abc.incomplete"), "12345");
    const [model, ...others] = await scanCache({ cacheDir: cache });
    assertEquals(others, []);
    assertEquals({ ...model, modified: 0 }, {
      repository: name,
      folder: at(),
      size: weights.length + 5,
      incomplete: 5,
      modified: 0,
      revisions: [{ commit, refs: ["main"], folder: at("snapshots", commit), files: [file] }],
    });
    assertStrictEquals((await removeCached(name, { cacheDir: cache })).size, weights.length + 5);
    assertEquals(await scanCache({ cacheDir: cache }), []);
    assertEquals(readdirSync(join(cache, ".locks")), []);
    await fails(removeCached(name, { cacheDir: cache }), /org\/model is not in .*ferrotype list/);
    await fails(removeCached("../../etc", { cacheDir: cache }), /not the name of a repository/);
  });
});

describe("a download", () => {
  it("tells how far it is", async () => {
    const seen: [string, number, number][] = [];
    await fetchFile(file, { onDownload: ({ file, loaded, total }) => seen.push([file, loaded, total]) });
    assertEquals(seen[0], [file, 0, weights.length]);
    assertEquals(seen.at(-1), [file, weights.length, weights.length]);
    assert(seen.every(([, loaded], i) => i === 0 || loaded > seen[i - 1][1]));
  });

  it("goes through a mirror that serves files and lists none", async () => {
    hub.hasApi = false;
    assertEquals(await fetchFile(), weights);
    assertStrictEquals(await fetchFile("generation_config.json"), null);
    assertStrictEquals(readlinkSync(at("snapshots", commit, file)), `../../blobs/${sha256(weights)}`);
    assertStrictEquals(readFileSync(at("refs", "main"), "utf8"), commit);
  });

  it("is made again after 500, 503 and a refused answer", async () => {
    inOrder(({ path }) => path.includes("/resolve/"), { status: 500 }, { status: 503 });
    assertEquals(await fetchFile(), weights);
    assertStrictEquals(hub.asked.filter(({ path }) => path.includes("/resolve/")).length, 3);
  });

  it("leaves off when asked to, and goes on where it was", async () => {
    const controller = new AbortController();
    inOrder(toStorage, { silentAfter: half });
    const work = fetchFile(file, {
      signal: controller.signal,
      onDownload: ({ loaded }) => loaded >= half && controller.abort(),
    });
    await assertRejects(() => work, CancelledError);
    assertStrictEquals(statSync(at("blobs", `${sha256(weights)}.incomplete`)).size, half);
    hub.reset();
    assertEquals(await fetchFile(), weights);
    assertEquals(hub.gets(file).map((a) => a.headers.range), [`bytes=${half}-`]);
  });

  it("does not begin when its signal was aborted before", async () => {
    await assertRejects(() => fetchFile(file, { signal: AbortSignal.abort() }), CancelledError);
    assertEquals(hub.asked, []);
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
      assertEquals(hub.gets(path), []);
      assertEquals(readdirSync(cache).filter((entry) => entry !== "models--org--model"), []);
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
    assertEquals(await fetchFile(file, { offline: true }), weights);
    assertStrictEquals(await fetchFile("config.json", { offline: true }), null);
    assertEquals(hub.asked, []);
  });

  it("says what is not in the cache", async () => {
    await fails(
      fetchFile(file, { offline: true }),
      /^org\/model at main is not in .*models--org--model, and HF_HUB_OFFLINE forbids/,
      /ferrotype pull org\/model/,
    );
    await fails(fetchFile(file, { offline: true, revision: commit }), /is not in/);
    assertEquals(hub.asked, []);
  });

  it("is as good as a hub that is not reached, when the cache has it", async () => {
    await fetchFile();
    assertEquals(await fetchFile(file, { endpoint: "http://127.0.0.1:1" }), weights);
    hub.fault = () => ({ status: 502 });
    assertEquals(await fetchFile(), weights);
  });

  it("is not what a refusal means", async () => {
    await fetchFile();
    hub.token = "hf_right";
    await fails(fetchFile(), /401/);
  });
});

describe("the lock", () => {
  const owner = (id: string): string => JSON.stringify({ id, pid: 1, host: "another-machine" });

  it("is taken from a holder that shows no life, and from none that does", async () => {
    const path = join(cache, "some.lock");
    writeFileSync(path, owner("gone"));
    const inside = () => Promise.resolve(readFileSync(path, "utf8"));
    // The watcher's clock stands still but for these steps.
    using clock = stopClock();
    let time = 0;
    const goesBy = (before: () => void): ReturnType<typeof setInterval> =>
      setInterval(() => {
        before();
        clock.advance(50);
        time += 50;
      }, 10);
    let timer = goesBy(() => {});
    assertNotStrictEquals(await withLock(path, "it", undefined, inside, 300), owner("gone"));
    clearInterval(timer);
    assert(time >= 300, `taken after ${time} ms`);
    assertStrictEquals(existsSync(path), false);

    writeFileSync(path, owner("alive"));
    const controller = new AbortController();
    time = 0;
    timer = goesBy(() => {
      utimesSync(path, time, time);
      if (time >= 3000) controller.abort();
    });
    try {
      assertMatch(
        (await assertRejects(
          () => withLock(path, "it", controller.signal, () => Promise.reject(new Error("was let in")), 600),
          CancelledError,
        )).message,
        /waiting for another process that fetches it/,
      );
      assertStrictEquals(readFileSync(path, "utf8"), owner("alive"));
    } finally {
      clearInterval(timer);
    }
  });

  it("lets in one after the other, however many find a stale one at once", async () => {
    const path = join(cache, "some.lock");
    const { pid } = spawnSync(process.execPath, ["--version"]);
    writeFileSync(path, JSON.stringify({ id: "gone", pid, host: hostName() }));
    let inside = 0;
    const work = async (): Promise<void> => {
      assertStrictEquals(++inside, 1);
      await new Promise((resolve) => setTimeout(resolve, 20));
      inside--;
    };
    await Promise.all(Array.from({ length: 8 }, () => withLock(path, "it", undefined, work, Infinity)));
    assertStrictEquals(existsSync(path), false);
  });

  it("is given back when the work fails", async () => {
    const path = join(cache, "some.lock");
    await assertRejects(
      () => withLock(path, "it", undefined, () => Promise.reject(new Error("failed"))),
      Error,
      "failed",
    );
    assertStrictEquals(existsSync(path), false);
  });
});
