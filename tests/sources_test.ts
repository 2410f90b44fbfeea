/**
 * Sources of bytes: files, Blobs, memory and URLs, each over what really is there.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import type { ByteSource } from "../src/core/byte_source.ts";
import { CancelledError, FormatError, HubError } from "../src/core/errors.ts";
import { openBlob, openBytes, openFile, openSource, openUrl } from "../src/platform/platform.ts";

/** 300 kB in which every position shows. */
const content = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7 + (i >> 8) * 13) & 255);

let folder = "";
before(() => {
  folder = mkdtempSync(join(tmpdir(), "ferrotype-sources-"));
  writeFileSync(join(folder, "content.bin"), content);
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** What every source must do, whatever is behind it. */
async function checkSource(source: ByteSource): Promise<void> {
  assertStrictEquals(source.size, content.length);
  assertEquals(await source.read(0, 10), content.slice(0, 10));
  assertEquals(await source.read(65_530, 20), content.slice(65_530, 65_550));
  assertEquals(await source.read(299_990, 10), content.slice(299_990));
  assertStrictEquals((await source.read(300_000, 0)).length, 0);

  const heap = new WebAssembly.Memory({ initial: 8, maximum: 8, shared: true });
  const into = new Uint8Array(heap.buffer, 100, 250_000);
  const got = await source.read(40_000, 200_000, into);
  assertStrictEquals(got.buffer, heap.buffer);
  assertStrictEquals(got.byteOffset, 100);
  assertStrictEquals(got.length, 200_000);
  assert(got.every((byte, i) => byte === content[40_000 + i]));
  assert(into.subarray(200_000).every((byte) => byte === 0));

  const before = await source.read(5, 5);
  before.fill(0);
  assertEquals(await source.read(5, 5), content.slice(5, 10), "what was read belongs to the reader");

  if (source.readSync !== undefined) {
    source.readSync(70_000, into.subarray(0, 1000));
    assert(into.subarray(0, 1000).every((byte, i) => byte === content[70_000 + i]));
    assertThrows(() => source.readSync!(299_999, new Uint8Array(2)), FormatError);
  }
  for (const [offset, length] of [[299_999, 2], [-1, 2], [300_001, 0], [NaN, 1]] as const) {
    {
      const error = await assertRejects(() => source.read(offset, length), Error);

      assert(error instanceof FormatError);

      assert(error.message.includes(source.name) && error.message.includes(String(offset)), error.message);
    }
  }
  await source.close();
  await source.close();
}

describe("sources", () => {
  it("reads files", async () => {
    await checkSource(await openFile(join(folder, "content.bin")));
    await checkSource(await openFile(pathToFileURL(join(folder, "content.bin"))));
  });
  it("reads Blobs", () => checkSource(openBlob(new Blob([content]), "some blob")));
  it("reads memory", () => checkSource(openBytes(content, "some bytes")));
  it("opens whatever it is given", async () => {
    const source = openBytes(content);
    assertStrictEquals(await openSource(source), source);
    for (const what of [new Blob([content]), content, content.buffer, join(folder, "content.bin")]) {
      await checkSource(await openSource(what));
    }
  });
  it("says why a file cannot be opened", async () => {
    assertMatch(
      String(await assertRejects(() => openFile(join(folder, "missing")))),
      /Cannot open .*missing: there is no such file/,
    );
    await assertRejects(() => openFile(folder), Error, "it is a folder");
  });
  it("reads large pieces in halves, all of them and at any offset", async () => {
    const path = join(folder, "large.bin"), large = new Uint8Array(5_000_001);
    for (let i = 0; i < large.length; i++) large[i] = (i * 2654435761) >>> 24;
    writeFileSync(path, large);
    const source = await openFile(path);
    for (const [offset, length] of [[0, large.length], [3, 4_999_998], [1, 2_097_152], [7, 2_097_151]]) {
      const bytes = await source.read(offset, length);
      assert(
        Buffer.compare(bytes, large.subarray(offset, offset + length)) === 0,
        `${length} at ${offset}`,
      );
    }
    writeFileSync(path, large.subarray(0, 3_000_000));
    await assertRejects(
      () => source.read(0, 4_000_000),
      Error,
      "large.bin ends at byte 3000000, and had 5000001",
    );
    await source.close();
    await assertRejects(() => source.read(0, 4_000_000), Error, "was closed");
  });
  it("says where a file that was cut short ends", async () => {
    const path = join(folder, "cut.bin");
    writeFileSync(path, content);
    const source = await openFile(path);
    writeFileSync(path, content.subarray(0, 1000));
    await assertRejects(() => source.read(900, 200), Error, "cut.bin ends at byte 1000, and had 300000");
    assertThrows(() => source.readSync!(900, new Uint8Array(200)), FormatError);
    await source.close();
    await assertRejects(() => source.read(0, 1), Error, "was closed");
  });
});

describe("URLs", () => {
  let base = "";
  let requests: string[] = [];
  let failuresLeft = 0;
  let version = '"1"';
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const { pathname } = new URL(request.url!, "http://x");
    requests.push(`${pathname} ${request.headers.range}`);
    if (pathname === "/gone") return void response.writeHead(404).end();
    if (pathname === "/secret" && request.headers.authorization !== "Bearer t") {
      return void response.writeHead(401).end();
    }
    if (pathname === "/empty") return void response.writeHead(416, { "content-range": "bytes */0" }).end();
    if (pathname === "/busy" && failuresLeft-- > 0) return void response.writeHead(503).end();
    if (pathname === "/plain") {
      return void response.writeHead(200, { "content-length": content.length }).end(content);
    }
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "")!.map(Number);
    const end = Math.min(last! + 1, content.length);
    const shift = pathname === "/shifted" ? 1 : 0;
    response.writeHead(206, {
      "content-range": `bytes ${first! + shift}-${end - 1}/${content.length}`,
      "content-length": end - first!,
      etag: version,
    });
    if (pathname === "/breaks" && first! > 0 && failuresLeft-- > 0) {
      response.write(content.subarray(first, first! + 1000), () => response.destroy());
    } else response.end(content.subarray(first, end));
  });
  before(async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it("reads ranges, and the front once", async () => {
    requests = [];
    const source = await openUrl(`${base}/file`);
    assertEquals(requests, ["/file bytes=0-65535"]);
    await source.read(0, 8);
    await source.read(8, 60_000);
    assertStrictEquals(requests.length, 1);
    assertEquals(await source.read(60_000, 10_000), content.slice(60_000, 70_000));
    assertStrictEquals(requests[1], "/file bytes=65536-69999");
    await checkSource(source);
    await checkSource(await openUrl(`${base}/file`, { prefetch: 1 }));
    await checkSource(await openUrl(`${base}/file`, { prefetch: 1 << 20 }));
    await checkSource(await openSource(new URL(`${base}/file`)));
  });
  it("reads an empty file", async () => {
    assertStrictEquals((await openUrl(`${base}/empty`)).size, 0);
  });
  it("downloads a small file from a server without ranges, and refuses a large one", async () => {
    await checkSource(await openUrl(`${base}/plain`));
    await assertRejects(
      () => openUrl(`${base}/plain`, { largestDownload: 1000 }),
      Error,
      "knows no range requests",
    );
  });
  it("sends headers, and says what the server refused", async () => {
    await checkSource(await openUrl(`${base}/secret`, { headers: { authorization: "Bearer t" } }));
    assertMatch(String(await assertRejects(() => openUrl(`${base}/secret`))), /answered 401 .*access token/);
    assertMatch((await assertRejects(() => openUrl(`${base}/gone`), HubError)).message, /404/);
  });
  it("tries again after a failure that may pass", async () => {
    failuresLeft = 2;
    assertStrictEquals((await openUrl(`${base}/busy`)).size, content.length);
    assert(failuresLeft < 0);
  });
  it("goes on where a connection broke", async () => {
    failuresLeft = 2;
    requests = [];
    const source = await openUrl(`${base}/breaks`, { prefetch: 10 });
    assertEquals(await source.read(100, 50_000), content.slice(100, 50_100));
    assert(failuresLeft <= 0);
    assert(requests.length >= 3, requests.join());
  });
  it("refuses a file that changes, and an answer for other bytes", async () => {
    const source = await openUrl(`${base}/file`);
    version = '"2"';
    await assertRejects(() => source.read(200_000, 10), Error, "changed on the server");
    await assertRejects(() => openUrl(`${base}/shifted`), Error, 'Content-Range "bytes 1-');
  });
  it("stops when it is told to", async () => {
    const controller = new AbortController();
    const source = await openUrl(`${base}/file`, { signal: controller.signal });
    controller.abort();
    await assertRejects(() => source.read(200_000, 10), CancelledError);
  });
  it("says that nobody answers", async () => {
    let calls = 0;
    const controller = new AbortController(), { signal } = controller;
    const fetch = () => {
      if (++calls === 2) controller.abort();
      return Promise.reject(new TypeError("connection refused"));
    };
    await assertRejects(() => openUrl("http://127.0.0.1:1/x", { fetch, signal }), CancelledError);
    calls = 0;
    const failing = () => (calls++, Promise.reject(new TypeError("connection refused")));
    await assertRejects(
      () => openUrl("http://127.0.0.1:1/x", { fetch: failing }),
      Error,
      "cannot be reached: connection refused",
    );
    assertStrictEquals(calls, 4);
  });
});
