/**
 * Every way in which a download can go wrong, by name, against real servers on loopback.
 */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openRepository } from "../src/hub/mod.ts";
import { bytesOf, gitHash, sha256 } from "./_hub.ts";
import {
  at,
  cache,
  commit,
  config,
  fails,
  fetchAll,
  fetchFile,
  file,
  half,
  hub,
  inOrder,
  name,
  options,
  program,
  toStorage,
  useHub,
  weights,
} from "./_hub_client.ts";
import { after, before, describe, it } from "./_suite.ts";
import { holdTimers, until } from "./_wait.ts";

useHub();

describe("a download survives", () => {
  it("a connection that drops in mid-file: it goes on from there, and the hash is right", async () => {
    inOrder(toStorage, { cutAfter: half }, { cutAfter: 100_000 });
    assertEquals(await fetchFile(), weights);
    const ranges = hub.gets(file).map(({ headers }) => headers.range);
    assertStrictEquals(ranges.length, 3);
    assertStrictEquals(ranges[0], undefined);
    const starts = ranges.slice(1).map((range) => Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1]));
    assert(starts[0] > 0 && starts[0] <= half && starts[1] >= starts[0], String(starts));
    assert(hub.gets(file)[1].headers["if-range"], "the etag goes with it");
  });

  it("a connection that falls silent", async () => {
    inOrder(toStorage, { silentAfter: half });
    using timers = holdTimers(3_600_000);
    const fetched = fetchFile(file, { timeout: 3600 }),
      incomplete = at("blobs", `${sha256(weights)}.incomplete`);
    await until(
      () => timers.waiting > 0 && existsSync(incomplete) && statSync(incomplete).size === half,
      "half of the file",
    );
    timers.fire();
    assertEquals(await fetched, weights);
    assertStrictEquals(hub.gets(file).length, 2);
  });

  it("a server that does not know ranges: it begins again", async () => {
    inOrder(toStorage, { cutAfter: half }, { headers: { etag: '"another"' } });
    hub.fault = ((before) => (asked) => {
      const fault = before(asked);
      if (toStorage(asked)) delete asked.headers.range;
      return fault;
    })(hub.fault);
    assertEquals(await fetchFile(), weights);
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
    assertEquals(await fetchFile(), changed);
    assertEquals(readdirSync(at("blobs")), [sha256(changed)]);
  });

  it("an etag of the storage that changes between attempts", async () => {
    inOrder(toStorage, { cutAfter: half, headers: { etag: '"old"' } });
    assertEquals(await fetchFile(), weights);
    // The part that was there belongs to the old one; If-Range has the server say so.
    assertStrictEquals(hub.gets(file)[1].headers["if-range"], '"old"');
  });

  it("429 with Retry-After: it waits as long as it is told", async () => {
    inOrder(({ path }) => path.includes("/resolve/"), { status: 429, headers: { "retry-after": "31" } });
    using timers = holdTimers(31_000);
    const fetched = fetchFile();
    await until(() => timers.waiting === 1, "the wait");
    const asked = hub.asked.length;
    timers.fire();
    assertEquals(await fetched, weights);
    assert(hub.asked.length > asked);
  });

  it("an end of the process: the next one goes on where it was", async () => {
    inOrder(toStorage, { silentAfter: half });
    const { child, end } = program(fetchAll);
    const incomplete = at("blobs", `${sha256(weights)}.incomplete`);
    await until(() => existsSync(incomplete) && statSync(incomplete).size === half, "half");
    child.kill("SIGKILL");
    assertStrictEquals((await end).signal, "SIGKILL");
    assertEquals(readdirSync(join(cache, ".locks", "models--org--model")).length, 1);
    hub.reset();
    const next = await program(fetchAll).end;
    assertStrictEquals(next.stdout.trim(), String(weights.length), next.stderr);
    assertEquals(hub.gets(file).map((a) => a.headers.range), [`bytes=${half}-`]);
    assertEquals(readFileSync(at("snapshots", commit, file)), Buffer.from(weights));
    assertEquals(readdirSync(join(cache, ".locks", "models--org--model")), []);
  });

  it("bytes of an earlier attempt that are wrong: the hash tells, and it begins again", async () => {
    mkdirSync(at("blobs"), { recursive: true });
    writeFileSync(at("blobs", `${sha256(weights)}.incomplete`), bytesOf(half, 5));
    assertEquals(await fetchFile(), weights);
    assertEquals(hub.gets(file).map((a) => a.headers.range), [`bytes=${half}-`, undefined]);
  });

  it("two processes at once: one fetches, both have it", async () => {
    const go = Promise.withResolvers<void>();
    hub.fault = (asked) => toStorage(asked) ? { wait: go.promise } : undefined;
    const both = [program(fetchAll), program(fetchAll)];
    // Both have asked what there is, so one holds the lock and the other is at it.
    await until(() => hub.asked.filter(({ path }) => path.includes("/tree/")).length === 2, "both");
    await until(() => hub.asked.some(toStorage), "one");
    await new Promise((resolve) => setTimeout(resolve, 200));
    go.resolve();
    for (const { end } of both) {
      const { code, stdout, stderr } = await end;
      assertEquals([code, stdout.trim()], [0, String(weights.length)], stderr);
    }
    assertStrictEquals(hub.gets(file).length, 1);
    assertEquals(readdirSync(at("blobs")), [sha256(weights)]);
  });

  it("two loads at once in one process", async () => {
    const both = await Promise.all([fetchFile(), fetchFile()]);
    assertEquals(both, [weights, weights]);
    assertStrictEquals(hub.gets(file).length, 1);
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
    assertStrictEquals(existsSync(at("snapshots", commit, file)), false);
    assertStrictEquals(existsSync(at("blobs", sha256(weights))), false);
    assertStrictEquals(statSync(at("blobs", `${sha256(weights)}.incomplete`)).size, 0);
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
    assertStrictEquals(await fetchFile("none.txt"), null);
    hub.fault = ({ path }) =>
      path.includes("/resolve/") ? { status: 404, headers: { "x-error-code": "EntryNotFound" } } : undefined;
    await fails(fetchFile(), /has no such file \(404\)/);
  });

  it("429 that wants to be left alone for longer than one would wait", async () => {
    hub.fault = () => ({ status: 429, headers: { "retry-after": "3600" } });
    await fails(fetchFile(), /asked too often \(429\) and wants to be left alone for 3600 s/);
    assertStrictEquals(hub.asked.length, 1);
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
    assertEquals(await fetchFile(file, big), bytesOf(400_000));
    assertEquals(hub.gets(file).map((a) => a.headers.range), [`bytes=${kept}-`]);
  });
});
