/**
 * One door for everything bytes can be read from.
 *
 * @module
 */
import type { ByteSource } from "../core/byte_source.ts";
import { openFile } from "./file_source.ts";
import { openUrl, type UrlOptions } from "./http_source.ts";
import { openBlob, openBytes } from "./memory_source.ts";
import { globals, runtimeName } from "./runtime.ts";

/**
 * What can be opened: a path (in a browser: an address, relative to the page), a URL (`http:`, `https:`, `file:`), a Blob or
 * File, bytes, or an open source.
 */
export type Openable = string | URL | Blob | Uint8Array | ArrayBufferLike | ByteSource;

/** Opens what is given for reading. `options` count for `http:` and `https:` URLs alone. */
export async function openSource(given: Openable, options: UrlOptions = {}): Promise<ByteSource> {
  const what = fromPage(given);
  if (typeof what === "string" || what instanceof URL) {
    return await (isHttp(what) ? openUrl(what, options) : openFile(what));
  }
  if (what instanceof Blob) return openBlob(what);
  if ("read" in what) return what;
  return openBytes(what);
}

/**
 * What a page means by a text: an address, relative to itself (in a worker, to its script). Anything else, and whatever is given
 * where there is no page, as it is.
 */
export function fromPage<T>(what: T): T | URL {
  if (typeof what !== "string" || runtimeName() !== "browser") return what;
  const { document, location } = globals;
  // A worker that was made of a text has no place of its own.
  const base = document?.baseURI ?? (location?.protocol === "blob:" ? location.origin : location?.href);
  return URL.canParse(what, base) ? new URL(what, base) : what;
}

/** Whether `what` is an `http:` or `https:` URL. */
export function isHttp(what: unknown): boolean {
  return (typeof what === "string" || what instanceof URL) && /^https?:/i.test(String(what));
}

/** All of a source as text; it is closed afterwards. */
export async function textOf(source: ByteSource): Promise<string> {
  try {
    return new TextDecoder().decode(await source.read(0, source.size));
  } finally {
    await source.close();
  }
}
