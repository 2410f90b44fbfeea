/**
 * One door for everything bytes can be read from.
 *
 * @module
 */
import type { ByteSource } from "../core/byte_source.ts";
import { openFile } from "./file_source.ts";
import { openUrl, type UrlOptions } from "./http_source.ts";
import { openBlob, openBytes } from "./memory_source.ts";

/** What can be opened: a path, a URL (`http:`, `https:`, `file:`), a Blob or File, bytes, or an open source. */
export type Openable = string | URL | Blob | Uint8Array | ArrayBufferLike | ByteSource;

/** Opens what is given for reading. `options` count for `http:` and `https:` URLs alone. */
export async function openSource(what: Openable, options: UrlOptions = {}): Promise<ByteSource> {
  if (typeof what === "string" || what instanceof URL) {
    return await (isHttp(what) ? openUrl(what, options) : openFile(what));
  }
  if (what instanceof Blob) return openBlob(what);
  if ("read" in what) return what;
  return openBytes(what);
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
