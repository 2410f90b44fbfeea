/**
 * What is in the cache, and taking it out again.
 *
 * @module
 */
import { HubError } from "../core/errors.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import {
  isDirectory,
  joinPath,
  readDir,
  readLink,
  readTextFile,
  remove,
  stat,
} from "../platform/platform.ts";
import { folderName } from "./disk_store.ts";
import { hubOptions } from "./options.ts";
import { cacheFolder, checkPermissions, type HubOptions } from "./settings.ts";

/**
 * One commit of a repository in the cache.
 *
 * @category Hub
 */
export interface CachedRevision {
  /** Its hash. */
  commit: string;
  /** Branches and tags that were this commit when last asked for. */
  refs: string[];
  /** The folder of its files, which loads as it is. */
  folder: string;
  /** Its files, with folders. */
  files: string[];
}

/**
 * One repository in the cache.
 *
 * @category Hub
 */
export interface CachedRepository {
  /** `organisation/name`. */
  repository: string;
  /** Its folder in the cache. */
  folder: string;
  /** Bytes on the disk, those of unfinished downloads included. */
  size: number;
  /** Bytes of unfinished downloads. */
  incomplete: number;
  /** When a file last arrived, in milliseconds since 1970. */
  modified: number;
  /** What is there of it. */
  revisions: CachedRevision[];
}

/**
 * Where to look.
 *
 * @category Hub
 */
export type CacheOptions = Pick<HubOptions, "cacheDir">;

const cacheOptions: OptionTable<CacheOptions> = { cacheDir: hubOptions.cacheDir };

/**
 * The models in the cache, by name; what Python's client put there too.
 *
 * @throws {HubError} when there is no home folder, or Deno may not look into it.
 */
export async function scanCache(options: CacheOptions = {}): Promise<CachedRepository[]> {
  checkOptions("scanCache", options, cacheOptions);
  checkPermissions("look into the cache of models", ["read"], options);
  const cache = cacheFolder(options), found: CachedRepository[] = [];
  if (!await isDirectory(cache)) return found;
  for (const { name, isDirectory } of await readDir(cache)) {
    const [, repository] = /^models--(.+)$/.exec(name) ?? [];
    if (!isDirectory || repository === undefined) continue;
    found.push(await scan(repository.replace("--", "/"), joinPath(cache, name)));
  }
  return found;
}

async function scan(repository: string, folder: string): Promise<CachedRepository> {
  let size = 0, incomplete = 0, modified = 0;
  for (const path of await filesIn(joinPath(folder, "blobs"))) {
    const status = await stat(joinPath(folder, `blobs/${path}`));
    if (status === null) continue;
    size += status.size;
    if (path.endsWith(".incomplete")) incomplete += status.size;
    modified = Math.max(modified, status.modified);
  }
  const refs = new Map<string, string>();
  for (const path of await filesIn(joinPath(folder, "refs"))) {
    refs.set(path, (await readTextFile(joinPath(folder, `refs/${path}`))).trim());
  }
  const revisions: CachedRevision[] = [], snapshots = joinPath(folder, "snapshots");
  for (const { name, isDirectory: is } of await isDirectory(snapshots) ? await readDir(snapshots) : []) {
    if (!is) continue;
    const place = joinPath(snapshots, name), files = await filesIn(place);
    for (const file of files) {
      // Where the system has no links the file itself holds the bytes.
      const path = joinPath(place, file);
      if (await readLink(path) === null) size += (await stat(path))?.size ?? 0;
    }
    const named = [...refs].filter(([, commit]) => commit === name).map(([ref]) => ref);
    revisions.push({ commit: name, refs: named, folder: place, files });
  }
  return { repository, folder, size, incomplete, modified, revisions };
}

/** Paths of all files under a folder. */
async function filesIn(folder: string): Promise<string[]> {
  if (!await isDirectory(folder)) return [];
  const found: string[] = [];
  for (const entry of await readDir(folder)) {
    if (entry.isFile) found.push(entry.name);
    else if (entry.isDirectory) {
      for (const path of await filesIn(joinPath(folder, entry.name))) found.push(`${entry.name}/${path}`);
    }
  }
  return found;
}

/**
 * Takes a repository out of the cache, with all of its commits and what is unfinished.
 *
 * @returns what was there.
 * @throws {HubError} when it is not in the cache.
 */
export async function removeCached(
  repository: string,
  options: CacheOptions = {},
): Promise<CachedRepository> {
  checkOptions("removeCached", options, cacheOptions);
  checkPermissions(`remove ${repository} from the cache`, ["read", "write"], options);
  const cache = cacheFolder(options), name = folderName(repository), folder = joinPath(cache, name);
  if (!await isDirectory(folder)) {
    throw new HubError(`${repository} is not in ${cache}; "ferrotype list" tells what is`);
  }
  const was = await scan(repository, folder);
  await remove(folder);
  await remove(joinPath(cache, `.locks/${name}`));
  return was;
}
