/**
 * A repository on the hub as a folder of files: each is fetched when it is first asked for, and comes from the cache
 * ever after.
 *
 * A branch is looked up once each time it is opened, so that it stays what it is on the hub; a commit is never looked
 * up when its files are here. When the hub cannot be reached, the commit that a branch had last is used, as in
 * Python's client.
 *
 * @module
 */
import type { ByteSource } from "../core/byte_source.ts";
import { HubError, throwIfAborted } from "../core/errors.ts";
import { runtimeName, textOf } from "../platform/platform.ts";
import { DiskStore } from "./disk_store.ts";
import { ChangedError, download } from "./download.ts";
import { findCommit, listFiles, type Listing } from "./listing.ts";
import { checkRepository, checkRevision, isCommit, resolveUrl } from "./names.ts";
import { PartsStore } from "./parts_store.ts";
import { RefusedError, UnreachableError } from "./request.ts";
import {
  cacheFolder,
  checkPermissions,
  type HubOptions,
  type HubSettings,
  hubSettings,
  isOffline,
} from "./settings.ts";
import type { Store } from "./store.ts";

/** A repository at one commit. */
export class HubRepository {
  /** `organisation/name`. */
  readonly repository: string;
  readonly #revision: string;
  readonly #settings: HubSettings;
  readonly #store: Store;
  readonly #options: HubOptions;
  #commit: string;
  /** Whether the cache is all there is. */
  readonly #cached: boolean;
  #listing: Promise<Listing> | null = null;

  /** See {@link openRepository}. */
  constructor(
    repository: string,
    revision: string,
    settings: HubSettings,
    store: Store,
    options: HubOptions,
    commit: string,
    cached: boolean,
  ) {
    this.repository = repository;
    this.#revision = revision;
    this.#settings = settings;
    this.#store = store;
    this.#options = options;
    this.#commit = commit;
    this.#cached = cached;
  }

  /** For messages. */
  get name(): string {
    if (!this.#cached) return this.repository;
    return `${this.repository} (as far as it is in ${this.#store.name}, without asking the hub)`;
  }

  /** The commit whose files these are. */
  get commit(): string {
    return this.#commit;
  }

  /** The files' folder on the disk; null in a browser. */
  get folder(): string | null {
    return this.#store instanceof DiskStore ? this.#store.snapshot(this.#commit) : null;
  }

  /** The names of all files, here or not; null when they are not known. */
  async names(): Promise<readonly string[] | null> {
    return this.#cached ? null : (await this.#list()).names;
  }

  /** The file's text, or null when there is none. */
  async text(file: string): Promise<string | null> {
    const source = await this.open(file);
    return source && await textOf(source);
  }

  /**
   * The file's bytes, fetched first unless they are here, or null when there is none.
   *
   * @throws {HubError} when it cannot be fetched, or its name leads out of the folder.
   * @throws {CancelledError} when the signal is aborted.
   */
  async open(file: string): Promise<ByteSource | null> {
    throwIfAborted(this.#options.signal, `reading ${this.repository}`);
    const here = await this.#store.open(this.#commit, file);
    if (here !== null || this.#cached || await this.#store.isAbsent(this.#commit, file)) return here;
    await this.#fetch(file);
    return await this.#store.open(this.#commit, file);
  }

  /** Removes what killed processes left beside the files. */
  async tidy(): Promise<void> {
    if (this.#store instanceof DiskStore) await this.#store.tidy();
  }

  async #fetch(path: string): Promise<void> {
    const { signal, onDownload } = this.#options;
    for (let attempt = 1;; attempt++) {
      const file = await (await this.#list()).find(path);
      if (file === null) return await this.#store.setAbsent(this.#commit, path);
      const what = `${this.repository}/${path} at ${this.#revision}`;
      const url = resolveUrl(this.#settings.endpoint, this.repository, this.#commit, path);
      try {
        const of = { settings: this.#settings, url, file, what, signal, onProgress: onDownload };
        return await this.#store.receive(this.#commit, file, signal, (into) => download(of, into));
      } catch (error) {
        if (!(error instanceof ChangedError) || attempt >= 3) throw error;
        // Begins again with what the hub has now.
        await this.#store.discard(file.etag);
        this.#listing = null;
      }
    }
  }

  #list(): Promise<Listing> {
    const listing = this.#listing ??= listFiles({
      settings: this.#settings,
      repository: this.repository,
      revision: this.#revision,
      signal: this.#options.signal,
    }, this.#commit);
    // What failed once may go well the next time.
    listing.catch(() => this.#listing = null);
    return listing;
  }
}

/**
 * Opens a repository. Only its commit is asked for, and not even that offline or when the revision is a commit.
 *
 * @throws {HubError} when there is no such repository or revision, or none that one may read, or it is not in the
 * cache and the hub must not or cannot be asked.
 * @throws {OptionError} for an endpoint or a timeout that is none.
 */
export async function openRepository(repository: string, options: HubOptions = {}): Promise<HubRepository> {
  checkRepository(repository);
  const revision = options.revision ?? "main";
  checkRevision(repository, revision);
  const needs = isOffline(options) ? ["read"] as const : ["net", "read", "write"] as const;
  checkPermissions(`fetch ${repository} from the hub and keep it`, needs, options);
  const settings = await hubSettings(options), store = openStore(repository, options);
  const make = (commit: string, cached: boolean): HubRepository =>
    new HubRepository(repository, revision, settings, store, options, commit, cached);
  const known = isCommit(revision) ? revision : await store.commitOf(revision);
  if (settings.offline) {
    if (known !== null && await store.hasCommit(known)) return make(known, true);
    throw new HubError(
      `${repository} at ${revision} is not in ${store.name}, and HF_HUB_OFFLINE forbids to fetch it; ` +
        `unset that, or run "ferrotype pull ${repository}" where there is a connection`,
    );
  }
  if (isCommit(revision)) return make(revision, false);
  const { signal } = options;
  try {
    const asker = { settings, repository, revision, signal, attempts: known === null ? 3 : 2 };
    const commit = await findCommit(asker);
    await store.setCommit(revision, commit);
    return make(commit, false);
  } catch (error) {
    const away = error instanceof UnreachableError || (error instanceof RefusedError && error.status >= 500);
    if (known !== null && away) return make(known, true);
    throw error;
  }
}

function openStore(repository: string, options: HubOptions): Store {
  return runtimeName() === "browser"
    ? new PartsStore(repository)
    : new DiskStore(cacheFolder(options), repository);
}
