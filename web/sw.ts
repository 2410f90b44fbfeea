/**
 * The service worker: the pages work offline, and threads work on hosts that cannot send the headers for them.
 *
 * Pages come from the network while there is one; assets, whose names change with their content, from the cache. Models are
 * fetched once, by whoever needs them first: a page, or this worker when it has begun, so that they are there without a network.
 *
 * @module
 */
import { keptAs, keptFile, modelPaths, modelStore } from "./shared/kept.ts";

/** Written by the build: every file of the site but the models, and a hash of their content. */
declare const FILES: readonly string[];
declare const VERSION: string;

/** The part of `ServiceWorkerGlobalScope` that is used. */
interface Scope {
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: "install" | "activate" | "message", listener: (event: Extendable) => void): void;
  addEventListener(type: "fetch", listener: (event: Fetching) => void): void;
}
interface Extendable {
  waitUntil(work: Promise<unknown>): void;
}
interface Fetching extends Extendable {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

const scope = globalThis as unknown as Scope;
const shell = `ferrotype-${VERSION}`, root = new URL(scope.registration.scope);
// What the library fetched from a hub; it looks after that itself.
const hub = "ferrotype-hub";
// What the visitor trained.
const own = "ferrotype-own";

/** The response with the headers that isolate the page. */
function isolated(response: Response): Response {
  if (response.type === "opaque" || response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set("cross-origin-opener-policy", "same-origin");
  headers.set("cross-origin-embedder-policy", "require-corp");
  headers.set("cross-origin-resource-policy", "cross-origin");
  const { status, statusText } = response;
  return new Response(status === 204 || status === 304 ? null : response.body, {
    status,
    statusText,
    headers,
  });
}

/** Cuts what `range` asks for out of a whole file. */
async function part(whole: Response, range: string): Promise<Response> {
  const bytes = await whole.arrayBuffer(), total = bytes.byteLength;
  const [, from = "", to = ""] = /^bytes=(\d*)-(\d*)$/.exec(range) ?? [];
  const start = from === "" ? Math.max(0, total - Number(to)) : Number(from);
  const end = from === "" || to === "" ? total : Math.min(total, Number(to) + 1);
  if (start >= end) {
    return new Response(null, { status: 416, headers: { "content-range": `bytes */${total}` } });
  }
  return new Response(bytes.slice(start, end), {
    status: 206,
    headers: {
      "content-type": whole.headers.get("content-type") ?? "application/octet-stream",
      "content-range": `bytes ${start}-${end - 1}/${total}`,
      "content-length": String(end - start),
      "accept-ranges": "bytes",
      ...(whole.headers.has("etag") ? { etag: whole.headers.get("etag")! } : {}),
    },
  });
}

async function answer(event: Fetching): Promise<Response> {
  const { request } = event, url = new URL(request.url), range = request.headers.get("range");
  const key = keptAs(url, root),
    kept = key !== null
      ? await (await caches.open(modelStore)).match(key)
      : url.pathname.includes("/assets/")
      ? await caches.match(request, { ignoreVary: true })
      : undefined;
  if (kept) return await answerFrom(kept, request, range);
  try {
    return isolated(await fetch(request));
  } catch (error) {
    const kept = await caches.match(url.href, { ignoreSearch: true, ignoreVary: true });
    if (!kept) throw error;
    return await answerFrom(kept, request, range);
  }
}

async function answerFrom(kept: Response, { method }: Request, range: string | null): Promise<Response> {
  if (method === "HEAD") return isolated(new Response(null, { headers: kept.headers }));
  return isolated(range === null ? kept : await part(kept, range));
}

/** Fetches what no page has asked for yet; not where the visitor saves data. */
async function keepModels(): Promise<void> {
  if ((navigator as { connection?: { saveData?: boolean } }).connection?.saveData) return;
  for (const path of modelPaths()) await keptFile(new URL(path, root), root).catch(() => undefined);
}

/** Removes files of models that are others by now. */
async function forgetModels(): Promise<void> {
  const cache = await caches.open(modelStore),
    known = modelPaths().map((path) => keptAs(new URL(path, root), root));
  for (const { url } of await cache.keys()) if (!known.includes(url)) await cache.delete(url);
}

scope.addEventListener("install", (event) => {
  event.waitUntil((async () => {
    const cache = await caches.open(shell);
    await cache.addAll(FILES.map((name) => new URL(name, scope.registration.scope).href));
    await scope.skipWaiting();
  })());
});

scope.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith("ferrotype-") && ![shell, modelStore, hub, own].includes(name)) {
        await caches.delete(name);
      }
    }
    await forgetModels();
    await scope.clients.claim();
  })());
});

// A page asks when it has begun: what is fetched here delays no page's first request.
scope.addEventListener("message", (event) => event.waitUntil(keepModels()));

scope.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if ((method !== "GET" && method !== "HEAD") || !url.startsWith(scope.registration.scope)) return;
  event.respondWith(answer(event));
});
