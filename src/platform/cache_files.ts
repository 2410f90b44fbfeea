/**
 * What a cache of downloads needs of files beyond reading and writing them whole: files that grow and are taken up
 * again, links, files that only one of several processes gets to make.
 *
 * @module
 */
import { FerrotypeError } from "../core/errors.ts";
import { directoryOf, fileError, fileSystem, joinPath, pathOf } from "./files.ts";
import { abandon, begin, finish, sweep, temporaryName } from "./temporary_files.ts";

/** A file that is being filled, perhaps over several runs of the program. */
export interface PartialFile {
  /** Bytes in it. */
  readonly size: number;
  /** Appends bytes, at the position this writer is at: two writers of the same bytes do no harm. */
  write(bytes: Uint8Array): Promise<void>;
  /** What is in it so far, in pieces; each is valid until the next. */
  read(): AsyncGenerator<Uint8Array, void, undefined>;
  /** Empties it. */
  clear(): Promise<void>;
  /** Has its bytes on the disk when it returns. */
  sync(): Promise<void>;
  /** Lets go of it, as it is. */
  close(): Promise<void>;
}

/** Opens a file to go on filling it; it is made when there is none. */
export async function openPartialFile(path: string | URL): Promise<PartialFile> {
  const name = pathOf(path), { promises } = fileSystem();
  const guard = async <T>(action: string, work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      throw fileError(action, name, error);
    }
  };
  // Without "a": on Linux an appending writer ignores the position it is told.
  const handle = await promises.open(name, "r+").catch((error) => {
    if ((error as { code?: string }).code !== "ENOENT") throw fileError("write", name, error);
    return guard("write", promises.open(name, "wx+"));
  });
  let size: number;
  try {
    size = (await guard("look at", handle.stat())).size;
  } catch (error) {
    await handle.close();
    throw error;
  }
  return {
    get size() {
      return size;
    },
    async write(bytes) {
      for (let done = 0; done < bytes.length;) {
        const { bytesWritten } = await guard("write", handle.write(bytes, done, bytes.length - done, size));
        done += bytesWritten;
        size += bytesWritten;
      }
    },
    async *read() {
      const piece = new Uint8Array(1 << 20);
      for (let at = 0; at < size;) {
        const { bytesRead } = await guard(
          "read",
          handle.read(piece, 0, Math.min(piece.length, size - at), at),
        );
        if (bytesRead === 0) throw new FerrotypeError(`Cannot read ${name}: it became shorter meanwhile`);
        yield piece.subarray(0, bytesRead);
        at += bytesRead;
      }
    },
    async clear() {
      await guard("empty", handle.truncate(0));
      size = 0;
    },
    sync: () => guard("write", handle.sync()),
    close: () => handle.close(),
  };
}

/**
 * Makes a file that is not there yet, with all of its text at once.
 *
 * @returns false, without touching it, when it is there already.
 */
export async function createFile(path: string | URL, text: string): Promise<boolean> {
  const name = pathOf(path),
    { promises } = fileSystem(),
    temporary = joinPath(directoryOf(name), temporaryName());
  const make = async (path: string): Promise<void> => {
    const handle = await promises.open(path, "wx");
    try {
      const bytes = new TextEncoder().encode(text);
      await handle.write(bytes, 0, bytes.length);
    } finally {
      await handle.close();
    }
  };
  try {
    if (text === "") return await make(name), true;
    begin(temporary);
    await make(temporary);
    await promises.link(temporary, name).catch(async (error) => {
      if (isTaken(error)) throw error;
      // Not every file system has links.
      await make(name);
    });
    return true;
  } catch (error) {
    if (isTaken(error)) return false;
    throw fileError("write", name, error);
  } finally {
    abandon(temporary);
  }
}

function isTaken(error: unknown): boolean {
  return (error as { code?: string }).code === "EEXIST";
}

/**
 * Marks a file as written now.
 * @returns false when it is not there any more.
 */
export async function touch(path: string | URL): Promise<boolean> {
  const name = pathOf(path), now = new Date();
  try {
    await fileSystem().promises.utimes(name, now, now);
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return false;
    throw fileError("write", name, error);
  }
}

/**
 * Makes a symbolic link at `path`, in place of what is there; `target` is relative to the folder of the link.
 *
 * @returns false where the system has or allows no such links (Windows, unless in developer mode).
 */
export async function symlink(target: string, path: string | URL): Promise<boolean> {
  const name = pathOf(path), { promises } = fileSystem();
  const folder = directoryOf(name), temporary = joinPath(folder, temporaryName());
  sweep(folder);
  begin(temporary);
  try {
    await promises.symlink(target, temporary);
    await promises.rename(temporary, name);
    finish(temporary);
    return true;
  } catch (error) {
    abandon(temporary);
    const { code, name: kind } = error as { code?: string; name?: string };
    // Deno makes them for who may read and write everywhere alone.
    if (code === "EPERM" || code === "ENOSYS" || code === "ENOTSUP" || kind === "NotCapable") return false;
    throw fileError("make the link", name, error);
  }
}

/** Where a symbolic link points, as it says; null when there is no link. */
export async function readLink(path: string | URL): Promise<string | null> {
  try {
    return await fileSystem().promises.readlink(pathOf(path));
  } catch {
    return null;
  }
}

/** Whether a file could not be written because there is no room for it. */
export function isMissingSpace(error: unknown): boolean {
  const { cause } = error as { cause?: { code?: string } };
  return ["ENOSPC", "EDQUOT", "EFBIG"].includes(cause?.code ?? "");
}
