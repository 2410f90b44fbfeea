/**
 * The cache on the disk, in the layout of Python's `huggingface_hub`, which both may use at once:
 *
 * ```
 * models--org--name/
 *   blobs/<etag>                 the bytes, once however many commits have them; `<etag>.incomplete` on the way
 *   snapshots/<commit>/<file>    a relative link to the blob
 *   refs/<branch or tag>         the commit it was
 *   .no_exist/<commit>/<file>    the commit has no such file
 * .locks/models--org--name/
 * ```
 *
 * @module
 */
import type { ByteSource } from "../core/byte_source.ts";
import { CancelledError, FerrotypeError, HubError } from "../core/errors.ts";
import {
  createFile,
  directoryOf,
  isDirectory,
  isMissingSpace,
  joinPath,
  makeDir,
  openFile,
  openPartialFile,
  readDir,
  readTextFile,
  remove,
  rename,
  stat,
  sweep,
  symlink,
  writeFileAtomic,
} from "../platform/platform.ts";
import type { RemoteFile } from "./listing.ts";
import { removeStaleLock, withLock } from "./lock.ts";
import { checkFileName, checkRepository, checkRevision, isCommit } from "./names.ts";
import type { Partial, Store } from "./store.ts";

/** The name of a repository's folder in the cache. */
export function folderName(repository: string): string {
  checkRepository(repository);
  return `models--${repository.replace("/", "--")}`;
}

/** One repository in the cache on the disk. */
export class DiskStore implements Store {
  readonly name: string;
  readonly #repository: string;
  readonly #folder: string;
  readonly #locks: string;

  /** The repository in the cache at `cache`; nothing is made before it is needed. */
  constructor(cache: string, repository: string) {
    const folder = folderName(repository);
    this.#repository = repository;
    this.#folder = joinPath(cache, folder);
    this.#locks = joinPath(cache, `.locks/${folder}`);
    this.name = this.#folder;
  }

  /** The folder of a commit's files. */
  snapshot(commit: string): string {
    return joinPath(this.#folder, `snapshots/${commit}`);
  }

  #file(commit: string, path: string): string {
    checkFileName(this.#repository, path);
    return joinPath(this.snapshot(commit), path);
  }

  async commitOf(revision: string): Promise<string | null> {
    checkRevision(this.#repository, revision);
    const path = joinPath(this.#folder, `refs/${revision}`);
    if (!(await stat(path))?.isFile) return null;
    const commit = (await readTextFile(path)).trim();
    return isCommit(commit) ? commit : null;
  }

  async setCommit(revision: string, commit: string): Promise<void> {
    if (isCommit(revision) || await this.commitOf(revision) === commit) return;
    const path = joinPath(this.#folder, `refs/${revision}`);
    await this.#keep(this.#repository, async () => {
      await makeDir(directoryOf(path));
      await writeFileAtomic(path, commit);
    });
  }

  async hasCommit(commit: string): Promise<boolean> {
    return (await stat(this.snapshot(commit)))?.isDirectory === true;
  }

  async open(commit: string, path: string): Promise<ByteSource | null> {
    const name = this.#file(commit, path);
    return (await stat(name))?.isFile ? await openFile(name) : null;
  }

  async isAbsent(commit: string, path: string): Promise<boolean> {
    checkFileName(this.#repository, path);
    return await stat(joinPath(this.#folder, `.no_exist/${commit}/${path}`)) !== null;
  }

  async setAbsent(commit: string, path: string): Promise<void> {
    if (await this.isAbsent(commit, path)) return;
    const marker = joinPath(this.#folder, `.no_exist/${commit}/${path}`);
    try {
      await makeDir(directoryOf(marker));
      await createFile(marker, "");
    } catch {
      // It spares a question the next time, no more: a cache that is read-only serves all the same.
    }
  }

  async receive(
    commit: string,
    file: RemoteFile,
    signal: AbortSignal | undefined,
    fill: (into: Partial) => Promise<void>,
  ): Promise<void> {
    const pointer = this.#file(commit, file.path), blob = this.#blob(file.etag);
    const what = `${this.#repository}/${file.path}`;
    const lock = joinPath(this.#locks, `${file.etag}.ferrotype.lock`);
    await this.#keep(what, async () => {
      await makeDir(directoryOf(blob));
      await withLock(lock, what, signal, async () => {
        const there = await stat(blob);
        // Someone else may have been faster. A blob of another size was damaged from outside.
        if (there === null || (file.size !== null && there.size !== file.size)) {
          await this.#fill(blob, fill);
        }
        await makeDir(directoryOf(pointer));
        const up = "../".repeat(file.path.split("/").length + 1);
        // Without links the bytes become the file itself, as in Python.
        if (!await symlink(`${up}blobs/${file.etag}`, pointer)) await rename(blob, pointer);
      });
    });
  }

  /** Does `work`; what goes wrong with files there is said as what it means for the download. */
  async #keep(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (isMissingSpace(error)) {
        throw new HubError(
          `${what} does not fit on the disk of ${this.#folder}; make room, or set HF_HUB_CACHE to a folder ` +
            `with more; what has arrived is kept, and the download goes on from there`,
          { cause: error },
        );
      }
      if (
        !(error instanceof FerrotypeError) || error instanceof HubError || error instanceof CancelledError
      ) {
        throw error;
      }
      throw new HubError(
        `${what} cannot be kept: ${error.message}; set HF_HUB_CACHE to a folder that can be written to`,
        { cause: error },
      );
    }
  }

  async #fill(blob: string, fill: (into: Partial) => Promise<void>): Promise<void> {
    const incomplete = `${blob}.incomplete`, into = await openPartialFile(incomplete);
    try {
      await fill(into);
      await into.sync();
    } finally {
      await into.close();
    }
    await rename(incomplete, blob);
  }

  async discard(etag: string): Promise<void> {
    await remove(`${this.#blob(etag)}.incomplete`);
  }

  /** Removes the locks of processes that are gone, which nobody may ever ask for again. */
  async tidy(): Promise<void> {
    if (!await isDirectory(this.#locks)) return;
    sweep(this.#locks);
    for (const { name } of await readDir(this.#locks)) {
      if (name.includes(".ferrotype.lock")) {
        await removeStaleLock(joinPath(this.#locks, name), this.#repository);
      }
    }
  }

  #blob(etag: string): string {
    return joinPath(this.#folder, `blobs/${etag}`);
  }
}
