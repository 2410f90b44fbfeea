/**
 * A hub to test against: real servers on loopback that speak the routes and headers of huggingface.co, with its
 * separate storage server, and that fail on demand.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as it came in. */
export interface Asked {
  server: "hub" | "storage";
  method: string;
  path: string;
  headers: IncomingMessage["headers"];
}

/** What to do instead of answering well. */
export interface Fault {
  /** Answer with this status. */
  status?: number;
  /** With these headers, or with these besides the usual ones. */
  headers?: Record<string, string>;
  /** Hang up after so many bytes. */
  cutAfter?: number;
  /** Fall silent after so many bytes. */
  silentAfter?: number;
  /** Send these bytes. */
  bytes?: Uint8Array;
  /** Runs before the answer. */
  wait?: Promise<void>;
}

/** One commit. */
export interface Commit {
  readonly commit: string;
  readonly files: Map<string, { bytes: Uint8Array; lfs: boolean }>;
}

/** The bytes' SHA-256. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The hash git gives a file of these bytes. */
export function gitHash(bytes: Uint8Array): string {
  return createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
}

/** Bytes in which every position shows. */
export function bytesOf(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => Math.imul(i + seed, 2654435761) >>> 24);
}

/** The servers. */
export class FakeHub {
  /** Repositories, each with the commits of its branches and tags. */
  readonly repositories = new Map<string, Map<string, Commit>>();
  /** What was asked since {@link reset}. */
  asked: Asked[] = [];
  /** Looks at each request and may have it fail. */
  fault: (asked: Asked) => Fault | undefined = () => undefined;
  /** Whether there is more than files: the routes that list them. */
  hasApi = true;
  /** Only for those with this token, when set. */
  token: string | undefined;
  readonly #hub: Server;
  readonly #storage: Server;

  constructor() {
    this.#hub = createServer((request, response) => void this.#answer("hub", request, response));
    this.#storage = createServer((request, response) => void this.#answer("storage", request, response));
  }

  async start(): Promise<void> {
    for (const server of [this.#hub, this.#storage]) {
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    }
  }

  async stop(): Promise<void> {
    for (const server of [this.#hub, this.#storage]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /** Forgets what was asked, and fails no more. */
  reset(): void {
    this.asked = [];
    this.fault = () => undefined;
    this.hasApi = true;
    this.token = undefined;
  }

  /** The address for `HF_ENDPOINT`. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.#hub.address() as AddressInfo).port}`;
  }

  get #storageUrl(): string {
    // Another origin by its port and by its name.
    return `http://localhost:${(this.#storage.address() as AddressInfo).port}`;
  }

  /** Makes a commit, and has `revision` be it. Files that end in .safetensors are large ones. */
  push(repository: string, files: Record<string, Uint8Array | string>, revision = "main"): string {
    const entries = Object.entries(files).map(
      ([path, content]): [string, { bytes: Uint8Array; lfs: boolean }] => {
        const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
        return [path, { bytes, lfs: path.endsWith(".safetensors") }];
      },
    );
    const hash = createHash("sha1").update(repository);
    for (const [path, { bytes }] of entries) hash.update(path).update(bytes);
    const commit = { commit: hash.digest("hex"), files: new Map(entries) };
    const revisions = this.repositories.get(repository) ?? new Map<string, Commit>();
    this.repositories.set(repository, revisions.set(revision, commit).set(commit.commit, commit));
    return commit.commit;
  }

  /** Requests for the bytes of a file: those to the storage for large files, to the hub for others. */
  gets(path: string): Asked[] {
    return this.asked.filter((a) =>
      a.method === "GET" && a.path.endsWith(`/${path}`) && !a.path.includes("/resolve/")
    );
  }

  async #answer(
    server: "hub" | "storage",
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const raw = new URL(request.url ?? "/", "http://host").pathname, path = decodeURIComponent(raw);
    const asked: Asked = { server, method: request.method ?? "", path, headers: request.headers };
    // Pages may ask, as they may ask the hub. The storage tells them nothing but the bytes.
    response.setHeader("access-control-allow-origin", "*");
    if (server === "hub") {
      response.setHeader(
        "access-control-expose-headers",
        "X-Repo-Commit,X-Error-Code,X-Error-Message,ETag,Link,Accept-Ranges,Content-Range,X-Linked-Size,X-Linked-ETag",
      );
    }
    if (request.method === "OPTIONS") {
      const allowed = {
        "access-control-allow-methods": "GET, HEAD, OPTIONS",
        "access-control-allow-headers": "*",
      };
      return void response.writeHead(204, { ...allowed, "access-control-max-age": "600" }).end();
    }
    this.asked.push(asked);
    const fault = this.fault(asked) ?? {};
    await fault.wait;
    if (fault.status !== undefined) return void response.writeHead(fault.status, fault.headers).end();
    const refuse = (status: number, code?: string): void =>
      void response.writeHead(status, code ? { "x-error-code": code } : {}).end();
    if (server === "storage") return this.#bytes(asked, response, fault, path.split("/").slice(1));
    if (this.token !== undefined && request.headers.authorization !== `Bearer ${this.token}`) {
      return refuse(401);
    }
    const [, api, name, kind, revision, rest] =
      /^\/(api\/models\/|api\/resolve-cache\/models\/|)([^/]+\/[^/]+)\/(?:(revision|tree|resolve)\/)?([^/]+)(?:\/(.*))?$/
        .exec(raw)?.map((part) => decodeURIComponent(part ?? "")) ?? [];
    if (!name || (api === "api/models/" && !this.hasApi)) return refuse(404);
    const revisions = this.repositories.get(name);
    if (!revisions) return refuse(404, "RepoNotFound");
    const at = revisions.get(revision);
    if (!at) return refuse(404, "RevisionNotFound");
    if (kind === "revision") {
      return json(response, { id: name, sha: at.commit, _id: "0", lastModified: "2026-01-01" });
    }
    if (kind === "tree") {
      const list = [...at.files].map(([path, { bytes, lfs }]) => ({
        type: "file",
        path,
        size: bytes.length,
        oid: gitHash(bytes),
        ...(lfs ? { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 134 } } : {}),
      }));
      const folder = { type: "directory", path: "onnx", size: 0, oid: "0" };
      return json(response, [folder, ...list], fault.headers);
    }
    const file = at.files.get(rest);
    response.setHeader("x-repo-commit", at.commit);
    if (!file) return refuse(404, "EntryNotFound");
    if (file.lfs) {
      const etag = fault.headers?.["x-linked-etag"] ?? `"${sha256(file.bytes)}"`;
      const location = fault.headers?.location ?? `${this.#storageUrl}/${name}/${at.commit}/${rest}`;
      const size = String(file.bytes.length);
      response.writeHead(302, { ...fault.headers, "x-linked-etag": etag, "x-linked-size": size, location });
      return void response.end();
    }
    if (path.startsWith("/api/")) {
      return this.#bytes(asked, response, fault, [...name.split("/"), at.commit, rest]);
    }
    // As on the hub: small files are served from a route of their own, on the same server.
    response.writeHead(307, { location: `/api/resolve-cache/models/${name}/${at.commit}/${rest}` }).end();
  }

  #bytes(asked: Asked, response: ServerResponse, fault: Fault, [org, name, commit, ...path]: string[]): void {
    const file = this.repositories.get(`${org}/${name}`)?.get(commit)?.files.get(path.join("/"));
    if (!file) return void response.writeHead(404).end();
    const bytes = fault.bytes ?? file.bytes;
    // The storage has etags of its own.
    const etag = file.lfs ? `"${createHash("md5").update(bytes).digest("hex")}"` : `"${gitHash(bytes)}"`;
    const conditions = asked.headers["if-range"];
    const range = /^bytes=(\d+)-$/.exec(asked.headers.range ?? "");
    const start = range && (conditions === undefined || conditions === etag) ? Number(range[1]) : 0;
    if (start > 0 && start >= bytes.length) {
      return void response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
    }
    response.writeHead(start > 0 ? 206 : 200, {
      etag,
      "content-length": bytes.length - start,
      ...(start > 0 ? { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}),
      ...fault.headers,
    });
    if (asked.method === "HEAD") return void response.end();
    const cut = fault.cutAfter ?? fault.silentAfter;
    if (cut === undefined) return void response.end(bytes.subarray(start));
    response.write(bytes.subarray(start, start + cut), () => {
      if (fault.cutAfter !== undefined) setTimeout(() => response.destroy(), 200);
    });
  }
}

function json(response: ServerResponse, value: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(200, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
}
