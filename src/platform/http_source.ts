/**
 * A URL as a source of bytes, by HTTP range requests (RFC 9110, section 14).
 *
 * The first request asks for the front of the file, which tells its size and spares a format the requests for its
 * header. Later answers must speak of the same file, or reading stops: a model half old and half new is worse than
 * none. A broken connection is taken up where it broke.
 *
 * @module
 */
import type { ByteSource } from "../core/byte_source.ts";
import { FormatError, HubError, throwIfAborted } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import { checkRange } from "./file_source.ts";
import { openBytes } from "./memory_source.ts";

/** Settings of {@link openUrl}. */
export interface UrlOptions {
  /** Headers of every request, such as `authorization`. */
  readonly headers?: Record<string, string>;
  /** Stops what is being read, and every later read. */
  readonly signal?: AbortSignal;
  /** Instead of the global `fetch`. */
  readonly fetch?: typeof fetch;
  /** Bytes asked for when opening, 64 KiB unless said otherwise. */
  readonly prefetch?: number;
  /** The largest file, in bytes, that is downloaded whole when the server knows no ranges; 64 MiB unless said. */
  readonly largestDownload?: number;
}

/** How often a request is made again after a failure that may pass. */
const attempts = 4;

/**
 * Opens a URL for reading.
 *
 * @throws HubError when the server refuses, or is not reached, or knows no ranges and the file is larger than
 * `largestDownload`.
 * @throws CancelledError when the signal is aborted.
 */
export async function openUrl(url: string | URL, options: UrlOptions = {}): Promise<ByteSource> {
  const name = String(url);
  const prefetch = Math.max(1, options.prefetch ?? 1 << 16);
  const response = await request(name, options, 0, prefetch);
  if (response.status === 416) {
    await response.body?.cancel();
    return openBytes(new Uint8Array(0), name);
  }
  if (response.status === 200) return openBytes(await download(name, response, options), name);
  const { total } = contentRange(name, response, 0);
  const front = new Uint8Array(Math.min(prefetch, total));
  const source = new UrlSource(name, total, validator(response), front, options);
  await source.fill(front, 0, response);
  return source;
}

class UrlSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #validator: string | null;
  readonly #front: Uint8Array;
  readonly #options: UrlOptions;
  #closed = false;

  constructor(
    name: string,
    size: number,
    validator: string | null,
    front: Uint8Array,
    options: UrlOptions,
  ) {
    this.name = name;
    this.size = size;
    this.#validator = validator;
    this.#front = front;
    this.#options = options;
  }

  async read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    if (this.#closed) throw new HubError(`${this.name} was closed and cannot be read`);
    checkRange(this, offset, length, into);
    const bytes = into === undefined ? new Uint8Array(length) : into.subarray(0, length);
    const known = this.#front.subarray(offset, offset + length);
    bytes.set(known);
    if (known.length < length) await this.fill(bytes.subarray(known.length), offset + known.length);
    return bytes;
  }

  /** Fills `bytes` from `offset` on; `response` is an answer that has begun already. */
  async fill(bytes: Uint8Array, offset: number, response?: Response): Promise<void> {
    for (let done = 0, failures = 0; done < bytes.length;) {
      const start = offset + done;
      const before = done;
      response ??= await request(this.name, this.#options, start, offset + bytes.length);
      if (response.status !== 206) await refuse(this.name, response, `bytes from ${start} on`);
      const { total } = contentRange(this.name, response, start);
      if (total !== this.size || validator(response) !== this.#validator) {
        await response.body?.cancel();
        throw new FormatError(`${this.name} changed on the server while it was read; start again`);
      }
      try {
        for await (const piece of pieces(response)) {
          if (piece.length > bytes.length - done) {
            throw new FormatError(
              `${this.name}: the server sent more than it was asked for at byte ${start}`,
            );
          }
          bytes.set(piece, done);
          done += piece.length;
        }
        if (done < bytes.length) {
          throw new Error(`the answer ended ${counted(bytes.length - done, "byte")} early`);
        }
      } catch (error) {
        throwIfAborted(this.#options.signal, `Reading ${this.name}`);
        if (error instanceof FormatError) throw error;
        failures = done > before ? 1 : failures + 1;
        if (failures >= attempts) {
          const reason = error instanceof Error ? error.message : String(error);
          throw new FormatError(`${this.name}: the connection broke at byte ${offset + done}: ${reason}`, {
            cause: error,
          });
        }
        await pause(failures, this.#options.signal);
      }
      response = undefined;
    }
  }

  close(): void {
    this.#closed = true;
  }
}

/** Asks for bytes `start` to `end`; what may pass (no connection, 429, 5xx) is tried again. */
async function request(name: string, options: UrlOptions, start: number, end: number): Promise<Response> {
  const headers = { "accept-encoding": "identity", ...options.headers, range: `bytes=${start}-${end - 1}` };
  for (let attempt = 1;; attempt++) {
    throwIfAborted(options.signal, `Reading ${name}`);
    let failure: unknown;
    try {
      const init: RequestInit = { headers };
      if (options.signal !== undefined) init.signal = options.signal;
      const response = await (options.fetch ?? fetch)(name, init);
      if (response.status === 200 || response.status === 206 || response.status === 416) return response;
      if (attempt >= attempts || (response.status < 500 && response.status !== 429)) {
        await refuse(name, response);
      }
      await response.body?.cancel();
    } catch (error) {
      throwIfAborted(options.signal, `Reading ${name}`);
      if (error instanceof HubError) throw error;
      failure = error;
    }
    if (failure !== undefined && attempt >= attempts) {
      const reason = failure instanceof Error ? failure.message : String(failure);
      throw new HubError(`${name} cannot be reached: ${reason}`, { cause: failure });
    }
    await pause(attempt, options.signal);
  }
}

async function refuse(name: string, response: Response, what = "a range of bytes"): Promise<never> {
  await response.body?.cancel();
  const hint = response.status === 401 || response.status === 403 ? "; it may need an access token" : "";
  throw new HubError(`${name}: the server answered ${response.status} to a request for ${what}${hint}`);
}

function contentRange(name: string, response: Response, start: number): { total: number } {
  const header = response.headers.get("content-range") ?? "";
  const match = /^bytes (\d+)-\d+\/(\d+)$/.exec(header.trim());
  if (match !== null && Number(match[1]) === start) return { total: Number(match[2]) };
  throw new FormatError(`${name}: the server answered bytes from ${start} on with Content-Range "${header}"`);
}

function validator(response: Response): string | null {
  return response.headers.get("etag") ?? response.headers.get("last-modified");
}

async function download(name: string, response: Response, options: UrlOptions): Promise<Uint8Array> {
  const limit = options.largestDownload ?? 1 << 26;
  const parts: Uint8Array[] = [];
  let size = 0;
  const length = Number(response.headers.get("content-length") ?? 0);
  try {
    if (length <= limit) {
      for await (const piece of pieces(response)) {
        parts.push(piece);
        size += piece.length;
        if (size > limit) break;
      }
    }
  } catch (error) {
    throwIfAborted(options.signal, `Reading ${name}`);
    throw new HubError(`${name}: the download broke after ${counted(size, "byte")}`, { cause: error });
  }
  if (Math.max(size, length) > limit) {
    if (parts.length === 0) await response.body?.cancel();
    throw new HubError(
      `${name}: the server knows no range requests, and the file has more than the ${limit} bytes that are ` +
        `downloaded whole; download it and open the file`,
    );
  }
  const bytes = new Uint8Array(size);
  let filled = 0;
  for (const piece of parts) {
    bytes.set(piece, filled);
    filled += piece.length;
  }
  return bytes;
}

/** The body of an answer as it arrives; left early, the rest is not downloaded. */
async function* pieces(response: Response): AsyncGenerator<Uint8Array, void, undefined> {
  // Not every browser can iterate over a stream yet.
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      ended = done;
      if (value === undefined) return;
      yield value;
    }
  } finally {
    if (!ended) await reader.cancel().catch(() => {});
  }
}

/** Waits 0.1 s, then 0.4 s, then 1.6 s; less when the signal is aborted. */
function pause(attempt: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, 25 * 4 ** attempt);
    signal?.addEventListener("abort", end);
  });
}
