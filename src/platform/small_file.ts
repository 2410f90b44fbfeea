/**
 * Small files that the library may keep for itself and can do without: read and written at once, in passing.
 *
 * Nothing here throws, waits or asks for a permission: what may not be read is not there, what may not be written is not
 * written.
 *
 * @module
 */
import { builtinModule, isPermitted } from "./runtime.ts";
import { directoryOf, joinPath } from "./files.ts";
import { environment, homeDirectory, processId, system } from "./system.ts";

/** The text of a file of at most `most` bytes; null where there is none that may be read. */
export function readSmallFile(path: string, most: number): string | null {
  const fs = builtinModule("node:fs");
  if (fs === undefined || !isPermitted({ name: "read", path })) return null;
  try {
    const status = fs.statSync(path);
    return status.isFile() && status.size <= most ? fs.readFileSync(path, "utf8") : null;
  } catch {
    return null;
  }
}

/** Puts `text` in the place of a file, whole, and makes its folder; false where that may not or cannot be. */
export function writeSmallFile(path: string, text: string): boolean {
  const fs = builtinModule("node:fs"), folder = directoryOf(path);
  // Who may write to the folder may write there under another name first.
  if (fs === undefined || !isPermitted({ name: "write", path: folder })) return false;
  if (!isPermitted({ name: "read", path: folder })) return false;
  const temporary = joinPath(folder, `.${processId()}.tmp`);
  try {
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(temporary, text, { mode: 0o600 });
    fs.renameSync(temporary, path);
    return true;
  } catch {
    try {
      fs.rmSync(temporary, { force: true });
    } catch {
      // It was never made.
    }
    return false;
  }
}

/** When a file was last written, in milliseconds since 1970; 0 where that may not be known. */
export function modifiedTime(path: string): number {
  const fs = builtinModule("node:fs");
  if (fs === undefined || !isPermitted({ name: "read", path })) return 0;
  try {
    return fs.statSync(path).mtimeMs;
  } catch {
    return 0;
  }
}

/** A file of the package's own in the folder that the system has for what can be made again; null where none is known. */
export function cachePath(name: string): string | null {
  const home = homeDirectory(), { platform } = system();
  const named = platform === "win32" ? environment("LOCALAPPDATA") : environment("XDG_CACHE_HOME");
  if (named) return joinPath(joinPath(named, "ferrotype"), name);
  if (!home) return null;
  const usual = platform === "darwin" ? joinPath("Library", "Caches") : ".cache";
  return joinPath(joinPath(joinPath(home, usual), "ferrotype"), name);
}
