/**
 * What stands where a file is to be written, and what of it has to stay as it is.
 *
 * A symbolic link is followed to the file that it means, also where that is not there yet. What is replaced keeps its
 * mode and owner. A device or a pipe is no file that could be replaced: it is written through.
 *
 * @module
 */
import { FerrotypeError } from "../core/errors.ts";
import type { FileHandle, FileStats } from "./builtin_modules.ts";
import { fileError, fileSystem } from "./files.ts";
import { builtinModule } from "./runtime.ts";

/** Where bytes go. */
export interface WriteTarget {
  /** The path as it was given, for messages. */
  readonly given: string;
  /** The path that is written: the given one with its links followed. */
  readonly path: string;
  /** The folder of `path`. */
  readonly folder: string;
  /** The file that is there; null for none. */
  readonly old: FileStats | null;
  /** Whether bytes go straight to what is there: a device, a pipe, a stream of this process. */
  readonly through: boolean;
}

/** Links that are followed before it counts as a circle; Linux's own limit. */
const mostLinks = 40;

/**
 * Looks at what stands at `given`.
 * @throws {FerrotypeError} where no file can be written.
 */
export async function writeTarget(given: string): Promise<WriteTarget> {
  const { promises } = fileSystem(), { dirname, resolve } = builtinModule("node:path")!;
  let path = given;
  try {
    for (let links = 0;; links++) {
      const status = await promises.lstat(path).catch(missing);
      if (!status?.isSymbolicLink()) break;
      if (links === mostLinks) throw new Error("its links lead in a circle");
      path = resolve(dirname(path), await promises.readlink(path));
    }
    // Beyond /dev/stdout and the like lies a stream that is open already, for which links say only its name.
    const stream = /^\/(dev|proc)\//.test(path) || /^\/dev\/(std|fd\/)/.test(given);
    const old = await promises.stat(stream ? given : path).catch(missing);
    if (old?.isDirectory()) throw Object.assign(new Error(), { code: "EISDIR" });
    if (old?.isSocket()) throw new Error("it is a socket");
    const through = old !== null && (stream || !old.isFile());
    if (through) return { given, path: given, folder: dirname(given), old, through };
    // Whoever may not write a file may not replace it either; only opening it tells.
    if (old !== null) await (await promises.open(path, fileSystem().constants.O_WRONLY)).close();
    return { given, path, folder: dirname(path), old, through };
  } catch (error) {
    throw error instanceof FerrotypeError ? error : fileError("write", given, error);
  }
}

function missing(error: unknown): null {
  if ((error as { code?: string }).code === "ENOENT") return null;
  throw error;
}

/** Gives a file that will replace `old` its mode and owner. What the system forbids stays the writer's own. */
export async function keepStatus(handle: FileHandle, old: FileStats): Promise<void> {
  const now = await handle.stat();
  if (now.uid !== old.uid || now.gid !== old.gid) {
    await handle.chown(old.uid, old.gid).catch(() => handle.chown(now.uid, old.gid)).catch(() => {});
  }
  // After the owner: changing that clears some of it.
  if ((now.mode & 0o7777) !== (old.mode & 0o7777)) await handle.chmod(old.mode & 0o7777).catch(() => {});
}

/** Opens a device or a pipe for writing; of a pipe this waits until somebody reads it. */
export async function openThrough({ given, old }: WriteTarget): Promise<FileHandle> {
  const { promises, constants } = fileSystem();
  try {
    // What was redirected into a file is gone on with, not begun anew.
    return await promises.open(given, old?.isFile() ? "a" : constants.O_WRONLY);
  } catch (error) {
    throw fileError("write", given, error);
  }
}
