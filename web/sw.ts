/**
 * Makes the pages work without a network, and gives them the headers that allow threads on hosts that cannot send them.
 *
 * @module
 */

/** What a service worker's scope has that a page's has not. */
interface Scope extends EventTarget {
  skipWaiting(): Promise<void>;
  readonly clients: { claim(): Promise<void> };
  readonly registration: { readonly scope: string };
}

interface Lasting extends Event {
  waitUntil(promise: Promise<unknown>): void;
}

interface Fetching extends Lasting {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

const scope = globalThis as unknown as Scope;
const cacheName = "ferrotype-1";

function isolated(response: Response): Response {
  if (response.status === 0 || response.type === "opaque") return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

/** From the network, and kept; without one, what was kept. */
async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(cacheName);
  try {
    const response = await fetch(request);
    if (response.status === 200) await cache.put(request, response.clone());
    return isolated(response);
  } catch (error) {
    const kept = await cache.match(request, { ignoreSearch: true });
    if (kept) return isolated(kept);
    throw error;
  }
}

scope.addEventListener("install", () => void scope.skipWaiting());
scope.addEventListener("activate", (event) => (event as Lasting).waitUntil(scope.clients.claim()));
scope.addEventListener("fetch", (event) => {
  const { request } = event as Fetching;
  // Other origins are asked only by a visitor's wish, and parts of files are not kept.
  if (
    request.method !== "GET" || request.headers.has("range") ||
    new URL(request.url).origin !== location.origin
  ) return;
  (event as Fetching).respondWith(answer(request));
});
