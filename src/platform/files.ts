/**
 * Files of the machine: reading, listing, and writing that is never half done.
 *
 * `node:fs` does it on Deno, Bun and Node alike, and reads straight into shared WebAssembly memory at the speed of
 * Deno's own calls. In a browser every function throws, with the advice to use a URL, a Blob or bytes.
 *
 * @module
 */
import { FerrotypeError } from "../core/errors.ts";
import type { FileModule } from "./builtin_modules.ts";
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
}

/** Where the bytes of a file that is being written go. */
export interface FileSink {
  /** Appends bytes. The array may be reused once the promise has resolved. */
  write(bytes: Uint8Array): Promise<void>;
}

/** What a file is written from: bytes, text, pieces in order, or a function that writes the pieces itself. */
export type FileContent =
  | Uint8Array
  | string
  | Iterable<Uint8Array>
  | AsyncIterable<Uint8Array>
  | ((sink: FileSink) => Promise<void>);

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

/** What a path leads to; null when there is nothing. @throws FerrotypeError when that cannot be known. */
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

/** The whole file, in memory of its own. For large files see `openFile`. */
export async function readFile(path: string | URL): Promise<Uint8Array<ArrayBuffer>> {
  const name = pathOf(path);
  const fs = fileSystem();
  try {
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
    throw fileError("read", name, error);
  }
}

/** The text of a UTF-8 file. @throws FerrotypeError when it is not UTF-8. */
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
  await syncFolder(directoryOf(target));
}

/**
 * Writes a file so that others see the old one or the whole new one, even after a crash: into a temporary file in
 * the same folder, flushed to the disk, then renamed. When `content` fails, the temporary file is removed, an older
 * file at `path` stays as it was, and the failure is thrown on.
 */
export async function writeFileAtomic(path: string | URL, content: FileContent): Promise<void> {
  const target = pathOf(path);
  const fs = fileSystem();
  const temporary = `${target}.${Math.random().toString(36).slice(2, 10)}.tmp`;
  const guard = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      throw fileError("write", target, error);
    }
  };
  const handle = await guard(fs.promises.open(temporary, "wx"));
  try {
    const sink: FileSink = {
      async write(bytes) {
        for (let done = 0; done < bytes.length;) {
          const size = Math.min(bytes.length - done, 1 << 26);
          done += (await guard(handle.write(bytes, done, size))).bytesWritten;
        }
      },
    };
    try {
      if (typeof content === "function") await content(sink);
      else if (typeof content === "string") await sink.write(new TextEncoder().encode(content));
      else if (content instanceof Uint8Array) await sink.write(content);
      else for await (const piece of content) await sink.write(piece);
      await guard(handle.sync());
    } finally {
      await handle.close();
    }
    await guard(fs.promises.rename(temporary, target));
  } catch (error) {
    await fs.promises.rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(directoryOf(target));
}

/** Makes the rename itself last. Not every system can flush a folder; the file is in place either way. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await fileSystem().promises.open(folder || ".", "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    // Windows refuses; there the rename is as durable as it gets.
  }
}
