/**
 * A folder of model files, wherever it is: on the disk, behind a URL, or a repository on a hub.
 *
 * @module
 */
import { demand } from "../core/demand.ts";
import type { ByteSource } from "../core/byte_source.ts";
import { FormatError, HubError, throwIfAborted } from "../core/errors.ts";
import { checkIdle } from "../core/options.ts";
import { isRepository } from "../hub/names.ts";
import { type JsonLimits, parseJson } from "../core/json.ts";
import type { HubOptions } from "../hub/settings.ts";
import {
  currentPath,
  exists,
  fromPage,
  isDirectory,
  isHttp,
  isPermitted,
  joinPath,
  type Openable,
  openSource,
  readDir,
  runtimeName,
  textOf,
  textOfAnswer,
} from "../platform/platform.ts";

/**
 * How to reach a folder; all but `signal` concerns repositories on a hub.
 *
 * @category Models
 */
export type FolderOptions = HubOptions;

/** Files by name. */
export interface ModelFolder {
  /** For messages. */
  readonly name: string;
  /** Set where each file that is asked for and is not there costs a request, which a page is blamed for. */
  readonly isRemote?: true;
  /** The file's text, or null when there is none. */
  text(file: string): Promise<string | null>;
  /** The file's bytes, opened for reading, or null when there is none. */
  open(file: string): Promise<ByteSource | null>;
  /** The one file whose name `is` so, where the folder can be looked through and holds just one. */
  only?(is: (name: string) => boolean): Promise<Openable | null>;
}

/**
 * Files at hand, such as those of a folder that was dropped on a page: by name, or as a list of `File`s.
 *
 * @category Models
 */
export type GivenFiles = Readonly<Record<string, Openable>> | Iterable<File>;

class GivenFolder implements ModelFolder {
  readonly name = "the folder given";
  readonly #files: ReadonlyMap<string, Openable>;

  constructor(given: GivenFiles) {
    const list = Symbol.iterator in given
      ? Array.from(given as Iterable<File>, (file): [string, Openable] => [file.name, file])
      : Object.entries(given);
    this.#files = new Map(list);
  }

  async text(file: string): Promise<string | null> {
    const source = await this.open(file);
    return source && await textOf(source);
  }

  async open(file: string): Promise<ByteSource | null> {
    const found = this.#files.get(file);
    return found === undefined ? null : await openSource(found);
  }

  only(is: (name: string) => boolean): Promise<Openable | null> {
    return Promise.resolve(
      alone([...this.#files].filter(([name]) => is(name)).map(([, file]) => file)),
    );
  }
}

const alone = <T>(list: readonly T[]): T | null => list.length === 1 ? list[0] : null;

class DiskFolder implements ModelFolder {
  readonly name: string;
  readonly #path: string | URL;

  constructor(path: string | URL) {
    this.#path = path;
    this.name = String(path);
  }

  async text(file: string): Promise<string | null> {
    const source = await this.open(file);
    return source && await textOf(source);
  }

  async open(file: string): Promise<ByteSource | null> {
    const path = currentPath(joinPath(this.#path, file));
    return path === null ? null : await openSource(path);
  }

  async only(is: (name: string) => boolean): Promise<Openable | null> {
    const found = await isDirectory(this.#path) ? await readDir(this.#path) : [];
    const name = alone(found.map(({ name }) => name).filter(is));
    return name === null ? null : joinPath(this.#path, name);
  }
}

class RemoteFolder implements ModelFolder {
  readonly name: string;
  readonly isRemote = true;
  /** Texts that were asked for: some are looked at in several places. */
  readonly #texts = new Map<string, Promise<string | null>>();
  readonly #base: URL;
  readonly #signal: AbortSignal | undefined;

  constructor(name: string, base: URL, signal: AbortSignal | undefined) {
    this.name = name;
    this.#base = base;
    this.#signal = signal;
  }

  text(file: string): Promise<string | null> {
    const known = this.#texts.get(file) ?? this.#fetch(file);
    this.#texts.set(file, known);
    return known;
  }

  async #fetch(file: string): Promise<string | null> {
    throwIfAborted(this.#signal, `reading ${this.name}`);
    const url = new URL(file, this.#base);
    let response: Response;
    try {
      response = await fetch(url, this.#signal ? { signal: this.#signal } : {});
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
      throw new HubError(`${url} answered ${response.status} ${response.statusText}`);
    }
    return await textOfAnswer(response, String(url));
  }

  async open(file: string): Promise<ByteSource | null> {
    const url = new URL(file, this.#base);
    const reach = this.#signal ? { signal: this.#signal } : {};
    // Whether it is there is asked apart from opening, which takes a missing file for a mistake.
    const head = await fetch(url, { method: "HEAD", ...reach }).catch(() => null);
    await head?.body?.cancel();
    return head?.status === 404 ? null : await openSource(url, reach);
  }
}

/** What says how a hub is reached, and which copy is taken. */
const ofHub = ["revision", "endpoint", "token", "cacheDir", "timeout", "retryDelay"] as const;

/** @throws {OptionError} for options of a hub where something else is read, such as a folder that has a repository's name. */
export function demandNoHub(where: unknown, options: FolderOptions): void {
  const isRemote = isHttp(where), name = typeof where === "string" || where instanceof URL ? `${where}` : "";
  const place = name === ""
    ? "files are given"
    : isRemote
    ? `${name} is an address`
    : `${name} is on this machine`;
  const because = `it is for a repository on the hub, and ${place}`;
  // Of what is here nothing is fetched anyway, as `offline` says.
  checkIdle("load", options, [{
    option: isRemote ? [...ofHub, "offline"] : ofHub,
    when: () => true,
    because,
    unless: false,
  }]);
}

/**
 * Finds a folder: an existing directory, a URL (`https:`, `file:`), `organisation/name` on the hub (`HF_ENDPOINT`,
 * `HF_TOKEN`, `HF_HOME` … as everywhere), or files at hand, which are read as they are needed. In a browser a text that is no
 * repository's name is an address, relative to the page: "/model/", or "./org/name" where it looks like one.
 *
 * @throws {FormatError} when it is none of these.
 * @throws {OptionError} for options of a hub where it is no repository.
 * @throws {HubError} when it is a repository's name and the hub does not give it.
 */
export async function openFolder(
  given: string | URL | GivenFiles,
  options: FolderOptions = {},
): Promise<ModelFolder> {
  const isOne = typeof given === "string" ? given !== "" : typeof given === "object" && given !== null;
  demand("load", "the place", given, isOne, "a folder, a URL, organisation/name, or files by name");
  const where = typeof given === "string" && isRepository(given) ? given : fromPage(given);
  if (typeof where === "object" && !(where instanceof URL)) {
    demandNoHub(where, options);
    return new GivenFolder(where);
  }
  if (isHttp(where)) {
    demandNoHub(where, options);
    const base = new URL(where);
    if (!base.pathname.endsWith("/")) base.pathname += "/";
    return new RemoteFolder(String(where).replace(/\/$/, ""), base, options.signal);
  }
  if (where instanceof URL || where.startsWith("file:")) {
    demandNoHub(where, options);
    return new DiskFolder(new URL(where));
  }
  const named = isRepository(where);
  // Where nothing may be read there is no folder either, and the hub's own checks say what is missing.
  const mayLook = runtimeName() !== "browser" && (!named || isPermitted({ name: "read", path: where }));
  if (mayLook && await isDirectory(where)) {
    demandNoHub(where, options);
    return new DiskFolder(where);
  }
  if (mayLook && await exists(where)) {
    throw new FormatError(
      `"${where}" is a file, expected a folder with config.json, a .gguf, a URL, ` +
        `or organisation/name such as openai-community/gpt2`,
    );
  }
  if (named) {
    // Loaded when it is needed: most pages read from their own server.
    const hub = await import("../hub/mod.ts");
    if (runtimeName() === "browser" && !hub.canKeepParts()) {
      // A page that may keep nothing reads from the hub what it needs as it needs it.
      const endpoint = options.endpoint ?? "https://huggingface.co";
      const url = `${endpoint}/${where}/resolve/${encodeURIComponent(options.revision ?? "main")}/`;
      return new RemoteFolder(where, new URL(url), options.signal);
    }
    return await openNamed(hub, where, options);
  }
  throw new FormatError(
    `"${where}" is neither a folder here nor a repository's name; give a folder with config.json, a URL, ` +
      `or organisation/name such as openai-community/gpt2`,
  );
}

/** A repository; for a name that the hub does not know, it is also said that there is no such folder. */
async function openNamed(
  { openRepository, RefusedError, UnreachableError }: typeof import("../hub/mod.ts"),
  name: string,
  options: FolderOptions,
): Promise<ModelFolder> {
  try {
    return await openRepository(name, options);
  } catch (error) {
    const unknown = error instanceof UnreachableError ||
      (error instanceof RefusedError && [401, 404].includes(error.status));
    if (!unknown) throw error;
    throw new HubError(`${error.message} (nor is there a folder ${name} here)`, { cause: error });
  }
}

/** What is too much for a file of settings. */
const small: JsonLimits = { values: 1_000_000 };

/** Files with an entry for each token. */
const large: readonly string[] = ["tokenizer.json", "vocab.json"];

/**
 * The value of a JSON file, or null when there is none.
 * @throws {FormatError} when it is not JSON, or too large.
 */
export async function readJson(folder: ModelFolder, file: string): Promise<unknown> {
  const text = await folder.text(file);
  return text === null ? null : parseJson(text, `${folder.name}/${file}`, large.includes(file) ? {} : small);
}
