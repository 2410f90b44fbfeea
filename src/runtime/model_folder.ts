/**
 * A folder of model files, wherever it is: on the disk, behind a URL, or a repository on a hub.
 *
 * @module
 */
import type { ByteSource } from "../core/byte_source.ts";
import { FormatError, HubError, throwIfAborted } from "../core/errors.ts";
import {
  environment,
  exists,
  isDirectory,
  isHttp,
  joinPath,
  openSource,
  readTextFile,
  runtimeName,
} from "../platform/platform.ts";

/** How to reach a folder. */
export interface FolderOptions {
  /** Branch, tag or commit of a repository. Default "main". */
  revision?: string;
  /** Stops what is being read. */
  signal?: AbortSignal;
}

/** Files by name. */
export interface ModelFolder {
  /** For messages. */
  readonly name: string;
  /** The file's text, or null when there is none. */
  text(file: string): Promise<string | null>;
  /** The file's bytes, opened for reading, or null when there is none. */
  open(file: string): Promise<ByteSource | null>;
}

class DiskFolder implements ModelFolder {
  readonly name: string;
  readonly #path: string | URL;

  constructor(path: string | URL) {
    this.#path = path;
    this.name = String(path);
  }

  async text(file: string): Promise<string | null> {
    const path = joinPath(this.#path, file);
    return await exists(path) ? await readTextFile(path) : null;
  }

  async open(file: string): Promise<ByteSource | null> {
    const path = joinPath(this.#path, file);
    return await exists(path) ? await openSource(path) : null;
  }
}

class RemoteFolder implements ModelFolder {
  readonly name: string;
  readonly #base: URL;
  readonly #headers: Record<string, string>;
  readonly #signal: AbortSignal | undefined;

  constructor(name: string, base: URL, headers: Record<string, string>, signal: AbortSignal | undefined) {
    this.name = name;
    this.#base = base;
    this.#headers = headers;
    this.#signal = signal;
  }

  async text(file: string): Promise<string | null> {
    throwIfAborted(this.#signal, `reading ${this.name}`);
    const url = new URL(file, this.#base);
    let response: Response;
    try {
      response = await fetch(url, {
        headers: this.#headers,
        ...(this.#signal ? { signal: this.#signal } : {}),
      });
    } catch (error) {
      throwIfAborted(this.#signal, `reading ${this.name}`);
      const reason = error instanceof Error ? error.message : String(error);
      throw new HubError(`${url} was not reached: ${reason}`, { cause: error });
    }
    if (response.status === 404) {
      await response.body?.cancel();
      return null;
    }
    if (!response.ok) {
      await response.body?.cancel();
      const advice = response.status === 401 || response.status === 403
        ? "; it is private or gated: set HF_TOKEN to a token that may read it"
        : "";
      throw new HubError(`${url} answered ${response.status} ${response.statusText}${advice}`);
    }
    return await response.text();
  }

  async open(file: string): Promise<ByteSource | null> {
    const url = new URL(file, this.#base);
    const reach = { headers: this.#headers, ...(this.#signal ? { signal: this.#signal } : {}) };
    // Whether it is there is asked apart from opening, which takes a missing file for a mistake.
    const head = await fetch(url, { method: "HEAD", ...reach }).catch(() => null);
    await head?.body?.cancel();
    return head?.status === 404 ? null : await openSource(url, reach);
  }
}

const repository = /^[\w.-]+\/[\w.-]+$/;

/**
 * Finds a folder: an existing directory, a URL (`https:`, `file:`), or `organisation/name` on the hub (`HF_ENDPOINT`,
 * `HF_TOKEN` as everywhere).
 *
 * @throws {FormatError} when it is none of these.
 */
export async function openFolder(where: string | URL, options: FolderOptions = {}): Promise<ModelFolder> {
  if (isHttp(where)) {
    const base = new URL(where);
    if (!base.pathname.endsWith("/")) base.pathname += "/";
    return new RemoteFolder(String(where).replace(/\/$/, ""), base, {}, options.signal);
  }
  if (where instanceof URL || where.startsWith("file:")) return new DiskFolder(new URL(where));
  if (runtimeName() !== "browser" && await isDirectory(where)) return new DiskFolder(where);
  if (repository.test(where) && !where.startsWith(".")) {
    const endpoint = (environment("HF_ENDPOINT") ?? "https://huggingface.co").replace(/\/$/, "");
    const base = new URL(`${endpoint}/${where}/resolve/${encodeURIComponent(options.revision ?? "main")}/`);
    const token = environment("HF_TOKEN");
    return new RemoteFolder(where, base, token ? { authorization: `Bearer ${token}` } : {}, options.signal);
  }
  throw new FormatError(
    `"${where}" is neither a folder here nor a repository's name; give a folder with config.json, a URL, or organisation/name`,
  );
}

/** The value of a JSON file, or null when there is none. @throws {FormatError} when it is not JSON. */
export async function readJson(folder: ModelFolder, file: string): Promise<unknown> {
  const text = await folder.text(file);
  if (text === null) return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FormatError(
      `${folder.name}/${file} is not JSON: ${error instanceof Error ? error.message : error}`,
      {
        cause: error,
      },
    );
  }
}
