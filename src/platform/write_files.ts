/**
 * Writing that is never half done: one file, or several that belong together.
 *
 * A file grows beside its place under a temporary name, is flushed to the disk, and then takes its name in one
 * rename, with the mode and owner of what it replaces. Several do so together (`commit.ts`). Each write also removes
 * what killed ones left in its folder. When content fails, or the process is told to stop, what was begun is removed
 * and the older files stay as they were. Devices and pipes are written through.
 *
 * @module
 */
import { FerrotypeError } from "../core/errors.ts";
import type { FileHandle } from "./builtin_modules.ts";
import { commit, recover } from "./commit.ts";
import { directoryOf, fileError, fileSystem, joinPath, pathOf, syncFolder } from "./files.ts";
import { abandon, begin, finish, sweep, temporaryName } from "./temporary_files.ts";
import { keepStatus, openThrough, type WriteTarget, writeTarget } from "./write_target.ts";

/** Where the bytes of a file that is being written go. */
export interface FileSink {
  /** Appends bytes. The array may be reused once the promise has resolved. */
  write(bytes: Uint8Array): Promise<void>;
  /** Replaces bytes that were written before, from byte `offset` on. A device or pipe has no such thing. */
  patch(offset: number, bytes: Uint8Array): Promise<void>;
}

/** What a file is written from: bytes, text, pieces in order, or a function that writes the pieces itself. */
export type FileContent =
  | Uint8Array
  | string
  | Iterable<Uint8Array>
  | AsyncIterable<Uint8Array>
  | ((sink: FileSink) => Promise<void>);

/** A file among several that are written together. */
export interface FileToWrite {
  /** Its name, without a folder. */
  readonly name: string;
  /** What is in it; asked for when it is its turn. */
  readonly content: FileContent;
}

/** What else happens when several files are written. */
export interface WriteFilesOptions {
  /** Weights that are no longer part of it, and go when the new files are there. */
  readonly remove?: readonly string[];
  /** Files that go before the first new one takes its name, so that nobody reads old and new ones together by them. */
  readonly hide?: readonly string[];
}

/** The most that one call of the operating system is asked to write, in bytes. */
const pieceSize = 1 << 26;

async function fill(handle: FileHandle, target: WriteTarget, content: FileContent): Promise<void> {
  const guard = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      throw fileError("write", target.given, error);
    }
  };
  let size = 0;
  const put = async (bytes: Uint8Array, offset: number): Promise<void> => {
    for (let done = 0; done < bytes.length;) {
      const length = Math.min(bytes.length - done, pieceSize);
      const place = target.through ? [] as const : [offset + done] as const;
      done += (await guard(handle.write(bytes, done, length, ...place))).bytesWritten;
    }
  };
  const sink: FileSink = {
    async write(bytes) {
      await put(bytes, size);
      size += bytes.length;
    },
    async patch(offset, bytes) {
      if (target.through || offset + bytes.length > size) {
        throw new FerrotypeError(`Cannot write ${target.given}: it takes bytes in order only; name a file`);
      }
      await put(bytes, offset);
    },
  };
  if (typeof content === "function") await content(sink);
  else if (typeof content === "string") await sink.write(new TextEncoder().encode(content));
  else if (content instanceof Uint8Array) await sink.write(content);
  else for await (const piece of content) await sink.write(piece);
  if (target.through) return;
  if (target.old !== null) await guard(keepStatus(handle, target.old));
  await guard(handle.sync());
}

/**
 * Writes a file beside its place.
 * @returns its temporary name.
 */
async function stage(target: WriteTarget, content: FileContent): Promise<string> {
  const name = temporaryName(), path = joinPath(target.folder, name);
  begin(path);
  try {
    let handle: FileHandle;
    try {
      // Made at once: what a thread still made when the process is told to stop would come after all was removed.
      const fs = fileSystem();
      fs.closeSync(fs.openSync(path, "wx"));
      handle = await fs.promises.open(path, fs.constants.O_WRONLY);
    } catch (error) {
      throw fileError("write", target.given, error);
    }
    try {
      await fill(handle, target, content);
    } finally {
      await handle.close();
    }
    return name;
  } catch (error) {
    abandon(path);
    throw error;
  }
}

/** Adds text to the end of a file, which is made where there is none. What a full disk took of it stays. */
export async function appendText(path: string | URL, text: string): Promise<void> {
  const name = pathOf(path);
  try {
    const handle = await fileSystem().promises.open(name, "a"), bytes = new TextEncoder().encode(text);
    try {
      for (let done = 0; done < bytes.length;) {
        done += (await handle.write(bytes, done, bytes.length - done)).bytesWritten;
      }
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError("write", name, error);
  }
}

/**
 * Writes a file so that others see the old one or the whole new one, even after a crash. When `content` fails, an
 * older file at `path` stays as it was, and the failure is thrown on. A symbolic link is followed, mode and owner stay
 * those of the older file, and a device or pipe is written through.
 */
export async function writeFileAtomic(path: string | URL, content: FileContent): Promise<void> {
  const target = await writeTarget(pathOf(path));
  if (target.through) {
    const handle = await openThrough(target);
    try {
      return await fill(handle, target, content);
    } finally {
      await handle.close();
    }
  }
  sweep(target.folder);
  const temporary = joinPath(target.folder, await stage(target, content));
  try {
    fileSystem().renameSync(temporary, target.path);
    finish(temporary);
  } catch (error) {
    abandon(temporary);
    throw fileError("write", target.given, error);
  }
  syncFolder(target.folder);
}

/**
 * Writes files of one folder so that others see all the old ones or all the new. The folder is made when there is
 * none, and taken away again when nothing comes of it. Files that are not named stay as they are.
 */
export async function writeFiles(
  folder: string | URL,
  files: Iterable<FileToWrite>,
  options: WriteFilesOptions = {},
): Promise<void> {
  const place = pathOf(folder),
    made = await makeFolders(place),
    staged: { name: string; temporary: string; path: string }[] = [];
  try {
    recover(place);
    for (const { name, content } of files) {
      const target = await writeTarget(joinPath(place, name));
      if (target.through) {
        throw new FerrotypeError(
          `Cannot write ${target.given}: it is a device or a pipe, and no file of a folder`,
        );
      }
      if (target.folder !== place) sweep(target.folder);
      const temporary = await stage(target, content);
      staged.push({ name, temporary, path: joinPath(target.folder, temporary) });
    }
    const { hide = [], remove = [] } = options;
    await commit(place, { files: staged.map(({ name, temporary }) => ({ name, temporary })), hide, remove });
  } catch (error) {
    // What was committed counts as finished, even when a rename of it failed: the next one that writes goes on with it.
    for (const { path } of staged) abandon(path);
    for (const path of made.reverse()) abandon(path);
    throw error;
  }
  for (const path of made) finish(path);
}

/**
 * Makes a folder and those above it.
 * @returns those that were not there, outermost first.
 */
async function makeFolders(folder: string): Promise<string[]> {
  const { promises, mkdirSync } = fileSystem(), missing: string[] = [];
  try {
    for (let path = folder; path !== "";) {
      if (await promises.stat(path).then(() => true, () => false)) break;
      missing.unshift(path);
      const above = directoryOf(path);
      if (above === path) break;
      path = above;
    }
    for (const path of missing) begin(path, "folder");
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw fileError("make the folder", folder, error);
  }
  return missing;
}
