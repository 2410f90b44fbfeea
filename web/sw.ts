/**
 * The service worker: the pages work offline, and threads work on hosts that cannot send the headers for them.
 *
 * Pages come from the network while there is one; assets, whose names change with their content, from the cache. A
 * model file is kept as a whole once a part of it was asked for, and parts are cut from it when there is no network.
 *
 * @module
 */

/** Written by the build: every file of the site but the models, and a hash of their content. */
declare const FILES: readonly string[];
declare const VERSION: string;

/** The part of `ServiceWorkerGlobalScope` that is used. */
interface Scope {
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: "install" | "activate", listener: (event: Extendable) => void): void;
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
const shell = `ferrotype-${VERSION}`, models = "ferrotype-models";
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
  headers.set("cross-origin-resource-policy", "same-origin");
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

async function keepWhole(url: string): Promise<void> {
  const cache = await caches.open(models);
  if (await cache.match(url)) return;
  const response = await fetch(url);
  if (response.status === 200) await cache.put(url, response);
}

async function answer(event: Fetching): Promise<Response> {
  const { request } = event, url = new URL(request.url), range = request.headers.get("range");
  const isModel = url.pathname.includes("/models/");
  const isAsset = url.pathname.includes("/assets/");
  if (isAsset) {
    const kept = await caches.match(request, { ignoreVary: true });
    if (kept) return isolated(kept);
  }
  try {
    const response = await fetch(request);
    if (isModel && response.ok && request.method === "GET") {
      event.waitUntil(keepWhole(url.href).catch(() => undefined));
    }
    return isolated(response);
  } catch (error) {
    const kept = await caches.match(url.href, { ignoreSearch: true, ignoreVary: true });
    if (!kept) throw error;
    if (request.method === "HEAD") return isolated(new Response(null, { headers: kept.headers }));
    return isolated(range === null ? kept : await part(kept, range));
  }
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
      if (name.startsWith("ferrotype-") && ![shell, models, hub, own].includes(name)) {
        await caches.delete(name);
      }
    }
    await scope.clients.claim();
  })());
});

scope.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if ((method !== "GET" && method !== "HEAD") || !url.startsWith(scope.registration.scope)) return;
  event.respondWith(answer(event));
});
