/**
 * Several files of one folder that change at once.
 *
 * New files lie ready beside the old ones under temporary names. What makes them the folder's files is one rename: a
 * note that lists them appears in `.ferrotype-commit`. From then on whoever reads through {@link currentPath} reads the
 * new ones, although each still has to get its name; the notes of a process that was killed over that are carried out
 * by the next one that writes here. A reader that knows nothing of it sees the old files or the new, and for the time
 * of a few renames some of both; where files of one name could be mixed, what tells of them is out of sight meanwhile.
 *
 * A note comes from a folder and is not trusted: names are plain, only temporary files are renamed, and nothing is
 * removed but the very file that the writer meant.
 *
 * @module
 */
import { FerrotypeError } from "../core/errors.ts";
import type { FileStats } from "./builtin_modules.ts";
import { fileError, fileSystem, pathOf, syncFolder } from "./files.ts";
import { builtinModule } from "./runtime.ts";
import {
  abandon,
  begin,
  finish,
  isOwnerGone,
  isTemporaryName,
  sweep,
  temporaryName,
} from "./temporary_files.ts";

/** The folder of notes inside a folder of files. */
export const commitFolder = ".ferrotype-commit";

/** How long another process that is at work in a folder is waited for, in milliseconds. */
const longestWait = 10_000;

/** A file that goes: only while it is this very one. */
interface Doomed {
  readonly name: string;
  readonly ino: number;
  readonly size: number;
  readonly modified: number;
}

/** What is to be done in a folder. */
export interface Change {
  /** Files that lie ready, and their names; a link of that name leads to the folder that `temporary` is in. */
  readonly files: readonly { readonly name: string; readonly temporary: string }[];
  /** Names of files that go before the first of the new ones comes. */
  readonly hide: readonly string[];
  /** Names of files that go when all of the new ones are there. */
  readonly remove: readonly string[];
}

/** A {@link Change} as it is noted. */
interface Note extends Pick<Change, "files"> {
  readonly hide: readonly Doomed[];
  readonly remove: readonly Doomed[];
}

/** What must not be removed on a stranger's word: anything but weights and what tells of them. */
const removable = /\.safetensors(\.index\.json)?$/;

function isPlain(name: unknown): name is string {
  return typeof name === "string" && !["", ".", ".."].includes(name) && !/[/\\]/.test(name) &&
    !name.includes("\0");
}

function join(folder: string, name: string): string {
  return builtinModule("node:path")!.join(folder, name);
}

/** Where `folder/name` leads: links are followed, also to what is not there. */
function destination(folder: string, name: string): string {
  const fs = fileSystem(), { dirname, resolve } = builtinModule("node:path")!;
  let path = join(folder, name);
  for (let links = 0; links < 40; links++) {
    try {
      path = resolve(dirname(path), fs.readlinkSync(path));
    } catch {
      break;
    }
  }
  return path;
}

function temporaryPath(folder: string, { name, temporary }: Change["files"][number]): string {
  return join(builtinModule("node:path")!.dirname(destination(folder, name)), temporary);
}

function statusOf(path: string): FileStats | null {
  try {
    return fileSystem().statSync(path);
  } catch {
    return null;
  }
}

function identify(folder: string, names: readonly string[]): Doomed[] {
  return names.flatMap((name) => {
    const status = statusOf(join(folder, name));
    if (!status?.isFile()) return [];
    return [{ name, ino: status.ino, size: status.size, modified: status.mtimeMs }];
  });
}

/** Removes the files that are still those that were meant. */
function removeAll(folder: string, list: readonly Doomed[]): void {
  for (const { name, ino, size, modified } of list) {
    const path = join(folder, name), status = statusOf(path);
    const same = status !== null && status.ino === ino && status.size === size && status.mtimeMs === modified;
    if (same) fileSystem().rmSync(path, { force: true });
  }
}

/** The note in a file of {@link commitFolder}; null for what is none. */
function readNote(path: string): Note | null {
  let value: Partial<Record<keyof Note, unknown>>;
  try {
    const text = fileSystem().readFileSync(path, "utf8");
    value = text.length > 1 << 24 ? null : JSON.parse(text);
  } catch {
    return null;
  }
  const { files, hide, remove } = value ?? {};
  const entries = (list: unknown, ok: (entry: Record<string, unknown>) => boolean): boolean =>
    Array.isArray(list) && list.every((e) => typeof e === "object" && e !== null && isPlain(e.name) && ok(e));
  const isDoomed = (e: Record<string, unknown>): boolean => isPlain(e.name) && removable.test(e.name);
  const known = entries(files, (e) => isPlain(e.temporary) && isTemporaryName(e.temporary)) &&
    entries(hide, isDoomed) && entries(remove, isDoomed);
  return known ? value as Note : null;
}

/** The notes of a folder, by path. */
function notesIn(folder: string): Map<string, Note> {
  const place = join(folder, commitFolder), notes = new Map<string, Note>();
  let names: string[] = [];
  try {
    names = fileSystem().readdirSync(place);
  } catch {
    // Nothing is being changed.
  }
  for (const name of names.filter(isTemporaryName)) {
    const path = join(place, name), note = readNote(path);
    if (note !== null) notes.set(path, note);
  }
  return notes;
}

/** Does what a note says, as far as it is not done yet: the renames one straight after the other. */
function carryOut(folder: string, note: Note): void {
  const fs = fileSystem();
  removeAll(folder, note.hide);
  for (const file of note.files) {
    const from = temporaryPath(folder, file), to = destination(folder, file.name);
    try {
      fs.renameSync(from, to);
    } catch (error) {
      // Done before, perhaps by another.
      if ((error as { code?: string }).code !== "ENOENT") throw fileError("write", to, error);
    }
  }
  removeAll(folder, note.remove);
}

/** Ends a change that was carried out. */
function forget(folder: string, note: string): void {
  const fs = fileSystem();
  fs.rmSync(note, { force: true });
  try {
    // Not while another's note is there.
    fs.rmdirSync(join(folder, commitFolder));
  } catch {
    // It goes with the next one.
  }
}

/**
 * Finishes what killed processes began in a folder, and removes what they left behind.
 *
 * @returns whether another process is changing the folder just now.
 */
export function recover(folder: string): boolean {
  let busy = false;
  for (const [path, note] of notesIn(folder)) {
    const name = builtinModule("node:path")!.basename(path), modified = statusOf(path)?.mtimeMs ?? 0;
    // What takes so long was left, whoever has the number of the process by now.
    if (isOwnerGone(name, modified) || Date.now() - modified > longestWait) {
      carryOut(folder, note);
      syncFolder(folder);
      forget(folder, path);
    } else busy = true;
  }
  sweep(join(folder, commitFolder));
  if (!busy) {
    try {
      fileSystem().rmdirSync(join(folder, commitFolder));
    } catch {
      // There is none, as nearly always.
    }
    sweep(folder);
  }
  return busy;
}

/** Makes ready files those of the folder: all of them, whatever happens from here on. */
export async function commit(folder: string, change: Change): Promise<void> {
  for (const started = Date.now();;) {
    // Another that is at work needs but a few renames.
    if (!recover(folder)) {
      const note: Note = {
        files: change.files,
        hide: identify(folder, change.hide),
        remove: identify(folder, change.remove),
      };
      const path = await publish(folder, note);
      if (path !== null) {
        syncFolder(join(folder, commitFolder));
        carryOut(folder, note);
        syncFolder(folder);
        return forget(folder, path);
      }
    }
    if (Date.now() - started > 2 * longestWait) {
      throw new FerrotypeError(`Cannot write into ${folder}: another process is writing there; try again`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * Puts a note up: from here on the change is made.
 * @returns its path; null when another came first.
 */
async function publish(folder: string, note: Note): Promise<string | null> {
  const fs = fileSystem(), own = temporaryName();
  const place = join(folder, commitFolder), ready = join(folder, own), path = join(place, own);
  begin(ready);
  try {
    const handle = await fs.promises.open(ready, "wx"),
      bytes = new TextEncoder().encode(JSON.stringify(note));
    try {
      await handle.write(bytes, 0, bytes.length, 0);
      await handle.sync();
    } finally {
      await handle.close();
    }
    fs.mkdirSync(place);
    fs.renameSync(ready, path);
    finish(ready);
  } catch (error) {
    abandon(ready);
    // Another made the folder, or took it away as an empty one.
    if (["EEXIST", "ENOENT"].includes((error as { code?: string }).code ?? "")) return null;
    throw fileError("write into", folder, error);
  }
  for (const file of note.files) finish(temporaryPath(folder, file));
  return path;
}

/**
 * Where the file of this path is right now: mostly there, but elsewhere while its folder is being changed.
 *
 * @returns null when there is no such file, or it is going.
 */
export function currentPath(path: string | URL): string | null {
  const full = pathOf(path), { basename, dirname } = builtinModule("node:path")!;
  const folder = dirname(full), name = basename(full);
  for (const note of notesIn(folder).values()) {
    const file = note.files.find((f) => f.name === name);
    if (file !== undefined) {
      const ready = temporaryPath(folder, file);
      if (statusOf(ready) !== null) return ready;
    } else if ([...note.hide, ...note.remove].some((doomed) => doomed.name === name)) return null;
  }
  return statusOf(full) === null ? null : full;
}
