/**
 * The bytes of one file, however often the connection breaks: what is there is kept, the rest is asked for, and the
 * whole must hash to what the hub promised.
 *
 * @module
 */
import { FerrotypeError, HubError, throwIfAborted } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import { type Hash, runtimeName, startHash } from "../platform/platform.ts";
import type { RemoteFile } from "./listing.ts";
import { plainEtag } from "./names.ts";
import { attempts, type HubResponse, pause, reasonOf, RefusedError, request } from "./request.ts";
import type { DownloadProgress, HubSettings } from "./settings.ts";
import type { Partial } from "./store.ts";

/** What is fetched from where. */
export interface Download {
  readonly settings: HubSettings;
  readonly url: string;
  readonly file: RemoteFile;
  /** The file, for messages. */
  readonly what: string;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((progress: DownloadProgress) => void) | undefined;
}

/** The hub has other bytes now than it described: ask again what there is. */
export class ChangedError extends HubError {}

/**
 * Completes `into`.
 *
 * @throws {ChangedError} when the hub's etag is another one now.
 * @throws {HubError} when the server gives up, or sends bytes that do not hash to what it promised, twice.
 * @throws {CancelledError} when the signal is aborted; what has arrived stays.
 */
export async function download(of: Download, into: Partial): Promise<void> {
  const { file, what } = of;
  if (file.size !== null && into.size > file.size) await into.clear();
  for (let last = into.size === 0;; last = true) {
    const check = new Check(file);
    for await (const piece of into.read()) check.update(piece);
    await transfer(of, into, check);
    const found = await check.digest();
    if (found === null || found === file.etag) return;
    await into.clear();
    // The bytes of an earlier attempt may be to blame: once more from the start, then it is the server.
    if (last) {
      throw new HubError(
        `${what}: the bytes that arrived have the hash ${found} where the hub promised ${file.etag}; ` +
          `nothing was kept; try again, and if it stays so ask without proxies or mirrors`,
      );
    }
  }
}

/** Asks for what is missing until it is there. */
async function transfer(of: Download, into: Partial, check: Check): Promise<void> {
  const { settings, url, file, what, signal } = of;
  const report = (): void => of.onProgress?.({ file: file.path, loaded: into.size, total: file.size ?? 0 });
  const restart = async (): Promise<void> => {
    await into.clear();
    check.restart();
  };
  let validator: string | null = null, failures = 0;
  report();
  while (file.size === null || into.size < file.size) {
    const start = into.size;
    let answer: HubResponse;
    try {
      answer = await request(settings, url, {
        what,
        headers: {
          "accept-encoding": "identity",
          ...(start > 0 ? { range: `bytes=${start}-` } : {}),
          ...(start > 0 && validator !== null ? { "if-range": validator } : {}),
        },
        ...(signal ? { signal } : {}),
      });
    } catch (error) {
      if (!(error instanceof RefusedError && error.status === 416 && start > 0)) throw error;
      await restart();
      continue;
    }
    const { response, headers } = answer;
    try {
      const etag = plainEtag(headers.get("x-linked-etag") ?? headers.get("etag"));
      if (etag !== null && etag !== file.etag) {
        throw new ChangedError(`${what} changed on the hub while it was fetched; try again`);
      }
      if (response.status === 206) checkRange(response, file, start, what);
      else if (start > 0) await restart();
      // A weak etag may stay the same while the bytes change, and is not allowed in If-Range.
      const own = response.headers.get("etag");
      validator = own?.startsWith("W/") ? null : own;
    } catch (error) {
      await response.body?.cancel();
      throw error;
    }
    try {
      for await (const piece of pieces(response, settings.timeout)) {
        check.update(piece);
        await into.write(piece);
        if (file.size !== null && into.size > file.size) return;
        report();
      }
      if (file.size === null) return;
      if (into.size < file.size) throw new Error("the answer ended early");
    } catch (error) {
      throwIfAborted(signal, `fetching ${what}`);
      if (error instanceof FerrotypeError) throw error;
      failures = into.size > start ? 1 : failures + 1;
      if (failures >= attempts) {
        throw new HubError(
          `${what}: the connection broke ${failures} times at byte ${into.size} of ${file.size ?? "?"}: ` +
            `${reasonOf(error)}; what has arrived is kept, try again`,
          { cause: error },
        );
      }
      await pause(settings, failures, signal);
    }
  }
}

/** Refuses a part that is not the one that was asked for. */
function checkRange(response: Response, file: RemoteFile, start: number, what: string): void {
  // A page is not shown this header by a server of another origin that does not expose it; then the hash must do.
  if (runtimeName() === "browser" && !response.headers.has("content-range")) return;
  const header = response.headers.get("content-range") ?? "";
  const [, from, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(header.trim()) ?? [];
  if (Number(from) !== start) {
    throw new HubError(
      `${what}: asked for bytes from ${start} on, the server sent "${header}" (Content-Range)`,
    );
  }
  if (file.size !== null && total !== "*" && Number(total) !== file.size) {
    throw new ChangedError(
      `${what} has ${counted(Number(total), "byte")} now and had ${file.size}; try again`,
    );
  }
}

/** The body of an answer as it arrives; a server that falls silent counts as gone. */
async function* pieces(response: Response, timeout: number): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  let ended = false;
  try {
    for (;;) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const silence = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no byte in ${timeout / 1000} s`)), timeout);
      });
      const { done, value } = await Promise.race([reader.read(), silence]).finally(() => clearTimeout(timer));
      ended = done;
      if (value === undefined) return;
      yield value;
    }
  } finally {
    // Not waited for: a connection that hangs would hang this too.
    if (!ended) void reader.cancel().catch(() => {});
  }
}

/** The running hash of a file: SHA-256, or git's own, which is SHA-1 over a header and the bytes. */
class Check {
  readonly #file: RemoteFile;
  #hash: Hash | null = null;

  constructor(file: RemoteFile) {
    this.#file = file;
    this.restart();
  }

  restart(): void {
    const { hash, size } = this.#file;
    if (hash === "sha256") this.#hash = startHash("sha256");
    if (hash === "git" && size !== null) {
      this.#hash = startHash("sha1");
      this.#hash.update(new TextEncoder().encode(`blob ${size}\0`));
    }
  }

  update(bytes: Uint8Array): void {
    this.#hash?.update(bytes);
  }

  digest(): Promise<string | null> {
    return this.#hash?.digest() ?? Promise.resolve(null);
  }
}
