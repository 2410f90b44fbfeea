/**
 * Files that are there only while something else is being written: what they are called, and how they go away.
 *
 * A name tells whose the file is (`.ferrotype-<machine>-<process>-<random>.tmp`), so that what a killed process left
 * behind is recognised by the next one that writes there, and what a living one is working on is left alone. Names
 * are short, however long the name of the file that is being written. What this process has not finished can be
 * removed at once, when it is told to stop.
 *
 * @module
 */
import { fileSystem } from "./files.ts";
import { builtinModule } from "./runtime.ts";
import { hostName, isProcessAlive, processId, processStart } from "./system.ts";

const pattern = /^\.ferrotype-([0-9a-z]+)-(\d+)-[0-9a-z]+\.tmp$/;

/**
 * How long nothing was written, in milliseconds, until a file counts as left behind although its owner seems to live
 * (another process may have its number by now) or cannot be asked for.
 */
const patience = 86_400_000;

/** Paths of this process that are not finished; folders go only when they are empty. */
const unfinished = new Map<string, "file" | "folder">();

/** The machine in a name: a hash of what it is called, or 0 where that may not be known. */
function machine(): string {
  const name = hostName();
  if (name === undefined) return "0";
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(36);
}

function random(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(10)), (n) => (n % 36).toString(36)).join("");
}

/** A name for a temporary file of this process, which no other has. */
export function temporaryName(): string {
  return `.ferrotype-${machine()}-${processId()}-${random()}.tmp`;
}

/** Whether `name` is one that {@link temporaryName} makes. */
export function isTemporaryName(name: string): boolean {
  return pattern.test(name);
}

/** Remembers a path as unfinished: a temporary file, or a folder made for what is to come. */
export function begin(path: string, kind: "file" | "folder" = "file"): void {
  unfinished.set(path, kind);
}

/** Forgets it: it has its own name now, or is what it was made for. */
export function finish(path: string): void {
  unfinished.delete(path);
}

/** Removes a path at once if it is unfinished. */
export function abandon(path: string): void {
  const kind = unfinished.get(path);
  finish(path);
  try {
    if (kind === "file") fileSystem().rmSync(path, { force: true });
    else if (kind === "folder") fileSystem().rmdirSync(path);
  } catch {
    // A file stays for the next one that writes there; in a folder somebody has put something else.
  }
}

/** Removes everything that this process has not finished: it was told to stop. */
export function abandonAll(): void {
  for (const path of [...unfinished.keys()].reverse()) abandon(path);
}

/** Whether the process that a temporary file's name tells of is gone; undefined where that cannot be known. */
export function isOwnerGone(name: string, modified: number): boolean | undefined {
  const match = pattern.exec(name);
  if (match === null || match[1] !== machine() || match[1] === "0") return undefined;
  const pid = Number(match[2]);
  // In a container a process often has the number of the one before it.
  if (pid === processId()) return modified < processStart() - 1000;
  const alive = isProcessAlive(pid);
  return alive === undefined ? undefined : !alive;
}

/** Removes what others left behind in a folder. Its failure is nobody's concern: the next one tries again. */
export function sweep(folder: string): void {
  const fs = fileSystem(), path = builtinModule("node:path")!;
  let names: string[];
  try {
    names = fs.readdirSync(folder);
  } catch {
    return;
  }
  for (const name of names) {
    const full = path.join(folder, name);
    if (!isTemporaryName(name) || unfinished.has(full) || !isLeft(full, name)) continue;
    try {
      fs.rmSync(full, { force: true });
    } catch {
      // As above.
    }
  }
}

function isLeft(path: string, name: string): boolean {
  try {
    const { mtimeMs } = fileSystem().lstatSync(path);
    return isOwnerGone(name, mtimeMs) || Date.now() - mtimeMs > patience;
  } catch {
    return false;
  }
}
