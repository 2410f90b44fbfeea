/**
 * Files of this site's models: each is fetched once, whoever asks first, and kept by the browser for every later visit.
 *
 * The build writes down what each file holds ({@link MODELS}), so that a file that changed is another one.
 *
 * @module
 */

/** By the path of a file from the root of the site: a hash of its content. Written by the build. */
declare const MODELS: Readonly<Record<string, string>>;

/** The store; entries of files that the site no longer has are removed by the service worker. */
export const modelStore = "ferrotype-models";

/** Tells how far a file is, in bytes. */
type Progress = (loaded: number, total: number) => void;

/** The paths of all files. */
export const modelPaths = (): string[] => Object.keys(MODELS);

/** Under which address a file is kept; null for one that is no file of a model of this site. */
export function keptAs(url: URL, root: URL): string | null {
  const path = url.href.startsWith(root.href) ? url.pathname.slice(root.pathname.length) : "";
  return Object.hasOwn(MODELS, path) ? `${root.href}${path}?v=${MODELS[path]}` : null;
}

/** One after the other, in all tabs and workers: who comes second finds what the first has fetched. */
async function alone<T>(name: string, signal: AbortSignal | undefined, f: () => Promise<T>): Promise<T> {
  if (!navigator.locks) return await f();
  return await navigator.locks.request(name, signal ? { signal } : {}, f) as T;
}

async function download(url: string, signal: AbortSignal | undefined, progress: Progress): Promise<Blob> {
  const response = await fetch(url, signal ? { signal } : {});
  if (!response.ok || !response.body) throw new Error(`${url}: the server answered ${response.status}`);
  const pieces: Uint8Array<ArrayBuffer>[] = [], total = Number(response.headers.get("content-length") ?? 0);
  let loaded = 0;
  for (const reader = response.body.getReader();;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(pieces);
    pieces.push(value);
    progress(loaded += value.length, Math.max(total, loaded));
  }
}

/** A file at an address of this site: as it was kept, or fetched and then kept where the browser does that. */
export async function keptFile(
  url: URL,
  root: URL,
  signal?: AbortSignal,
  progress: Progress = () => {},
): Promise<Blob> {
  const key = keptAs(url, root);
  // Outside secure contexts nothing is kept.
  if (key === null || !("caches" in globalThis)) return await download(url.href, signal, progress);
  return await alone(key, signal, async () => {
    const cache = await caches.open(modelStore), kept = await cache.match(key);
    if (kept) return await kept.blob();
    const blob = await download(url.href, signal, progress);
    // A full disk is no reason to go without.
    const headers = { "content-type": "application/octet-stream", "content-length": String(blob.size) };
    await cache.put(key, new Response(blob, { headers })).catch(() => undefined);
    return blob;
  });
}
