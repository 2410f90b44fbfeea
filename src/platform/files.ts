/**
 * Files of the machine: reading, listing, naming and removing. Writing is in `write_files.ts`.
 *
 * `node:fs` does it on Deno, Bun and Node alike, and reads straight into shared WebAssembly memory at the speed of
 * Deno's own calls. In a browser every function throws, with the advice to use a URL, a Blob or bytes.
 *
 * @module
 */
import { FerrotypeError, FormatError } from "../core/errors.ts";
import type { FileModule, FileStats } from "./builtin_modules.ts";
import { builtinModule } from "./runtime.ts";

/** What is known about a file or folder. */
export interface FileStatus {
  /** Bytes; of no meaning for a folder. */
  readonly size: number;
  /** Whether it is a file. */
  readonly isFile: boolean;
  /** Whether it is a folder. */
  readonly isDirectory: boolean;
  /** When it was last written, in milliseconds since 1970. */
  readonly modified: number;
}

/** One entry of a folder. */
export interface DirectoryEntry {
  /** Its name, without the folder. */
  readonly name: string;
  /** Whether it is a file, or a link to one. */
  readonly isFile: boolean;
  /** Whether it is a folder, or a link to one. */
  readonly isDirectory: boolean;
  /** Whether it is a link. */
  readonly isLink: boolean;
}

/** The module that works on files, or the reason for having none as an error. */
export function fileSystem(): FileModule {
  const fs = builtinModule("node:fs");
  if (fs !== undefined) return fs;
  throw new FerrotypeError("This runtime has no file system; give a URL, a Blob or bytes instead of a path");
}

/** An error of the operating system as one sentence: what was tried, on what, why it failed. */
export function fileError(action: string, path: string, cause: unknown): FerrotypeError {
  const code = (cause as { code?: string } | null)?.code ?? "";
  const reason = reasons[code] ?? (cause instanceof Error ? cause.message : String(cause));
  return new FerrotypeError(`Cannot ${action} ${path}: ${reason}`, { cause });
}

const reasons: Record<string, string> = {
  EACCES: "permission denied",
  EEXIST: "it exists already",
  EISDIR: "it is a folder",
  EMFILE: "too many files are open",
  ENOENT: "there is no such file or folder",
  ENOSPC: "the disk is full",
  ENOTDIR: "a part of the path is not a folder",
  EROFS: "the file system is read-only",
};

/** The path of a file, given as a path or as a `file:` URL. */
export function pathOf(path: string | URL): string {
  if (typeof path === "string" && !path.startsWith("file:")) return path;
  const url = builtinModule("node:url");
  if (url === undefined) fileSystem();
  return url!.fileURLToPath(path);
}

/** `name` inside the folder, or under the URL, `base`. */
export function joinPath(base: string | URL, name: string): string {
  const text = String(base);
  if (/^https?:/.test(text)) return new URL(name, text.endsWith("/") ? text : `${text}/`).href;
  const path = builtinModule("node:path");
  return path === undefined ? `${text.replace(/\/+$/, "")}/${name}` : path.join(pathOf(base), name);
}

/** The folder that holds `path`, or for a URL everything up to its last slash, without it. */
export function directoryOf(path: string | URL): string {
  const text = String(path);
  if (/^https?:/.test(text)) return new URL(".", text).href.replace(/\/$/, "");
  return builtinModule("node:path")?.dirname(pathOf(path)) ?? text.replace(/\/?[^/]*$/, "");
}

/**
 * What a path leads to; null when there is nothing.
 * @throws FerrotypeError when that cannot be known.
 */
export async function stat(path: string | URL): Promise<FileStatus | null> {
  const name = pathOf(path);
  try {
    const status = await fileSystem().promises.stat(name);
    return {
      size: status.size,
      isFile: status.isFile(),
      isDirectory: status.isDirectory(),
      modified: status.mtimeMs,
    };
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw fileError("look at", name, error);
  }
}

/** Whether there is a file or folder at `path`. */
export async function exists(path: string | URL): Promise<boolean> {
  return (await stat(path)) !== null;
}

/** Whether there is a folder at `path`. */
export async function isDirectory(path: string | URL): Promise<boolean> {
  return (await stat(path))?.isDirectory === true;
}

/** Refuses what is no file with bytes of a known number: reading a pipe may never end, a folder has none. */
export function checkRegular(name: string, status: FileStats): void {
  if (status.isFile()) return;
  if (status.isDirectory()) throw Object.assign(new Error("it is a folder"), { code: "EISDIR" });
  throw new FormatError(
    `${name} is a pipe or a device; give a file, or where it is text pipe it into standard input and name it -`,
  );
}

/**
 * The whole file, in memory of its own. For large files see `openFile`.
 *
 * @throws {FormatError} for a pipe or a device.
 */
export async function readFile(path: string | URL): Promise<Uint8Array<ArrayBuffer>> {
  const name = pathOf(path);
  const fs = fileSystem();
  try {
    checkRegular(name, await fs.promises.stat(name));
    const handle = await fs.promises.open(name, "r");
    try {
      const bytes = new Uint8Array((await handle.stat()).size);
      let filled = 0;
      while (filled < bytes.length) {
        const { bytesRead } = await handle.read(
          bytes,
          filled,
          Math.min(bytes.length - filled, 1 << 26),
          filled,
        );
        if (bytesRead === 0) return bytes.slice(0, filled);
        filled += bytesRead;
      }
      return bytes;
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw error instanceof FormatError ? error : fileError("read", name, error);
  }
}

/**
 * The text of a UTF-8 file.
 * @throws FerrotypeError when it is not UTF-8.
 */
export async function readTextFile(path: string | URL): Promise<string> {
  const bytes = await readFile(path);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new FerrotypeError(`Cannot read ${pathOf(path)} as text: it is not UTF-8`, { cause: error });
  }
}

/** The entries of a folder, sorted by name. */
export async function readDir(path: string | URL): Promise<DirectoryEntry[]> {
  const folder = pathOf(path);
  const entries: DirectoryEntry[] = [];
  try {
    for (const entry of await fileSystem().promises.readdir(folder, { withFileTypes: true })) {
      const linked = entry.isSymbolicLink() ? await stat(joinPath(folder, entry.name)) : null;
      entries.push({
        name: entry.name,
        isFile: linked?.isFile ?? entry.isFile(),
        isDirectory: linked?.isDirectory ?? entry.isDirectory(),
        isLink: entry.isSymbolicLink(),
      });
    }
  } catch (error) {
    throw fileError("list", folder, error);
  }
  return entries.sort((a, b) => a.name < b.name ? -1 : 1);
}

/** Makes a folder, and those above it; nothing happens when it is there. */
export async function makeDir(path: string | URL): Promise<void> {
  const folder = pathOf(path);
  try {
    await fileSystem().promises.mkdir(folder, { recursive: true });
  } catch (error) {
    throw fileError("make the folder", folder, error);
  }
}

/** Removes a file, or a folder with all that is in it; nothing happens when there is nothing. */
export async function remove(path: string | URL): Promise<void> {
  const name = pathOf(path);
  try {
    await fileSystem().promises.rm(name, { recursive: true, force: true });
  } catch (error) {
    throw fileError("remove", name, error);
  }
}

/** Removes a folder where it is empty; nothing happens when it is not, or is not there. */
export async function removeEmptyFolder(path: string | URL): Promise<void> {
  if ((await readDir(path).catch(() => [null])).length > 0) return;
  try {
    fileSystem().rmdirSync(pathOf(path));
  } catch {
    // Somebody put something there meanwhile.
  }
}

/**
 * Gives a file or folder another name in one move, which is on the disk when this returns. An older file at `to` is
 * replaced; a folder is not.
 */
export async function rename(from: string | URL, to: string | URL): Promise<void> {
  const source = pathOf(from), target = pathOf(to);
  try {
    await fileSystem().promises.rename(source, target);
  } catch (error) {
    throw fileError(`rename ${source} to`, target, error);
  }
  syncFolder(directoryOf(target));
}

/** Has the names in a folder on the disk. Not every system can; files are in place either way. */
export function syncFolder(folder: string): void {
  const fs = fileSystem();
  try {
    const descriptor = fs.openSync(folder || ".", "r");
    try {
      fs.fsyncSync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
  } catch {
    // Windows refuses; there a rename is as durable as it gets.
  }
}
