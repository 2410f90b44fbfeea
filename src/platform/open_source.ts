/**
 * One door for everything bytes can be read from.
 *
 * @module
 */
import { demand } from "../core/demand.ts";
import type { ByteSource } from "../core/byte_source.ts";
import { FormatError } from "../core/errors.ts";
import { openFile } from "./file_source.ts";
import { openUrl, type UrlOptions } from "./http_source.ts";
import { openBlob, openBytes } from "./memory_source.ts";
import { globals, runtimeName } from "./runtime.ts";

/**
 * What can be opened: a path (in a browser: an address, relative to the page), a URL (`http:`, `https:`, `file:`), a Blob or
 * File, bytes, or an open source.
 *
 * @category Library
 */
export type Openable = string | URL | Blob | Uint8Array | ArrayBufferLike | ByteSource;

/** Opens what is given for reading. `options` count for `http:` and `https:` URLs alone. */
export async function openSource(given: Openable, options: UrlOptions = {}): Promise<ByteSource> {
  demandPlace(given);
  const what = fromPage(given);
  if (typeof what === "string" || what instanceof URL) {
    return await (isHttp(what) ? openUrl(what, options) : openFile(what));
  }
  if (what instanceof Blob) return openBlob(what);
  if ("read" in what) return what;
  return openBytes(what);
}

function demandPlace(given: unknown): void {
  const isBytes = ArrayBuffer.isView(given) ? given instanceof Uint8Array : isBuffer(given);
  const isOne = typeof given === "string" ? given !== "" : isBytes || given instanceof URL ||
    given instanceof Blob || typeof (given as ByteSource | null | undefined)?.read === "function";
  demand("open", "the file", given, isOne, "a path, a URL, a Blob, bytes or a byte source");
}

const isBuffer = (given: unknown): boolean =>
  given instanceof ArrayBuffer || Object.prototype.toString.call(given) === "[object SharedArrayBuffer]";

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

/** The longest text of a model's files that is read, in bytes; the largest tokenizer there is has a quarter of it. */
export const mostText: number = 1 << 27;

/**
 * All of a source as text; it is closed afterwards.
 *
 * @throws {FormatError} when it is longer than {@link mostText}, or not UTF-8.
 */
export async function textOf(source: ByteSource): Promise<string> {
  try {
    if (source.size > mostText) throw tooLong(source.name);
    return decodeText(await source.read(0, source.size), source.name);
  } finally {
    await source.close();
  }
}

/**
 * All of an answer as text.
 * @throws {FormatError} when it is longer than {@link mostText}, or not UTF-8.
 */
export async function textOfAnswer(response: Response, name: string): Promise<string> {
  const parts: Uint8Array[] = [], reader = response.body?.getReader();
  let size = 0, ended = reader === undefined;
  try {
    while (!ended) {
      const { done, value } = await reader!.read();
      ended = done;
      if (value === undefined) continue;
      parts.push(value);
      size += value.length;
      if (size > mostText) throw tooLong(name);
    }
  } finally {
    if (!ended) void reader!.cancel().catch(() => {});
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return decodeText(bytes, name);
}

function tooLong(name: string): FormatError {
  return new FormatError(`${name} is longer than ${mostText} bytes, which no text of a model is`);
}

function decodeText(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(`${name} is not UTF-8 text`, { cause });
  }
}
