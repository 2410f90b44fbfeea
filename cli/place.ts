/**
 * One rule for every command that writes: nothing that is there is lost in silence.
 *
 * A language model, and whatever the command itself did not write, is refused without --force; so is a file that a model
 * beside it would be read from in place of its own. What the same command wrote
 * before is written again, as it is made anew by the same call, and that is said: "replaced" in place of "wrote".
 * What goes with that, goes by name: a folder is never removed with something in it that the command does not make.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import {
  isDirectory,
  joinPath,
  openSource,
  readDir,
  remove,
  removeEmptyFolder,
  stat,
} from "../src/platform/platform.ts";
import { UsageError, type Values } from "./command.ts";
import { note } from "./output.ts";

/** What `--force` says of itself in help. */
export const forceHelp =
  "replace what is there, whatever it is; without it only what this command wrote before is";

/** Whether bytes go to a stream of this process, whatever is behind it: a shell has put it there. */
export function isStream(path: string): boolean {
  return /^\/(dev\/(std(out|err)|fd\/)|proc\/self\/fd\/)/.test(path);
}

/** What a command writes. */
export interface Own {
  /** What another file is, in words: "no model of a table". */
  readonly what: string;
  /** Whether a file that begins so is one. */
  readonly is: (head: Uint8Array) => boolean | Promise<boolean>;
}

/** Files of a model's folder that are read in place of others, where they are there. */
const readFirst: Readonly<Record<string, readonly string[]>> = {
  "model.safetensors": ["model.safetensors.index.json"],
  "tokenizer.json": ["tokenizer.model", "vocab.json"],
};

/** @throws {UsageError} where a new file would be read in place of what a model beside it has. */
async function checkBeside(command: string, path: string): Promise<void> {
  for (const other of readFirst[basename(path)] ?? []) {
    const beside = join(dirname(path), other), found = await stat(beside);
    if (found?.isFile !== true) continue;
    throw new UsageError(
      `${command}: ${path} would be read in place of ${beside}, and the model in ${
        dirname(path)
      } would be another one or ` +
        "none; give --force to write it all the same, or name another",
    );
  }
}

/** Bytes of a file's beginning that tell what it is. */
const mostHead = 1 << 16;

/** The first bytes as text, each a character. */
export const letters = (head: Uint8Array, count: number = head.length): string =>
  String.fromCharCode(...head.subarray(0, count));

/** The beginning of a file. */
async function headOf(path: string): Promise<Uint8Array> {
  const source = await openSource(path);
  try {
    return await source.read(0, Math.min(mostHead, source.size));
  } finally {
    await source.close();
  }
}

/**
 * What is to be said of writing a file at `path`.
 * @throws {UsageError} where something is there that the command did not write, or a model that the file would break.
 */
export async function placeOf(
  command: string,
  path: string,
  force: boolean,
  { what, is }: Own,
): Promise<"wrote" | "replaced"> {
  const found = await stat(path);
  if (found === null && !force && !isStream(path)) await checkBeside(command, path);
  // A folder is refused when it is written; what is neither is written through: a device, a pipe.
  if (found?.isFile !== true || found.size === 0 || isStream(path)) return "wrote";
  if (force) return "replaced";
  if (await is(await headOf(path))) return "replaced";
  throw new UsageError(
    `${command}: ${path} is there already and is ${what}; give --force to replace it, or name another`,
  );
}

/** Says beforehand that the file of the option `name`, which begins with `begins`, will be replaced. @throws {UsageError} for another. */
export async function demandPlace(
  command: string,
  values: Values,
  name: string,
  what: string,
  begins: string,
): Promise<void> {
  const file = values.text(name);
  if (file === undefined) return;
  const wrote = await placeOf(command, file, values.flag("force"), {
    what: `${what} that this command wrote`,
    is: (head) => letters(head, begins.length) === begins,
  });
  if (wrote === "replaced") await note(`${file} is there already, and will be replaced`);
}

/** Files that a command may write into a folder. */
export interface OwnFiles {
  /** Whether a file of this name would be replaced. */
  readonly replaces: (name: string) => boolean;
  /** Whether one that begins so may be, as the command wrote it. Default: none may. */
  readonly is?: (name: string, head: Uint8Array) => boolean;
}

/**
 * Looks through the folder that a command is to fill, which need not be there; `force` is null where there is no such option.
 * @throws {UsageError} where it holds a file that would be lost, and that the command did not write.
 */
export async function demandFolder(
  command: string,
  folder: string,
  force: boolean | null,
  { replaces, is = () => false }: OwnFiles,
): Promise<void> {
  if (force || !await isDirectory(folder)) return;
  for (const { name } of (await readDir(folder)).sort((a, b) => a.name < b.name ? -1 : 1)) {
    if (!replaces(name)) continue;
    const path = String(joinPath(folder, name)), found = await stat(path);
    if (found?.isFile === true && (found.size === 0 || is(name, await headOf(path)))) continue;
    const way = force === null ? "" : "give --force for that, or ";
    throw new UsageError(
      `${command}: ${path} is there already, and would be replaced; ${way}name another folder`,
    );
  }
}

/** Whether a command makes what is at `path` below a folder of its own, with "/" between names: a file, or a folder. */
export type IsOwn = (path: string, isFolder: boolean) => boolean;

/** Goes through a folder, from the leaves up; where something is not own nothing below it is looked at. */
async function* walk(folder: string, isOwn: IsOwn, inner = ""): AsyncGenerator<{
  path: string;
  isOwn: boolean;
  isFolder: boolean;
}> {
  for (const { name, isDirectory: isFolder, isLink } of await readDir(folder)) {
    const path = String(joinPath(folder, name)), below = inner + name;
    // No command makes a link, and what one leads to is not here.
    if (isLink || !isOwn(below, isFolder)) {
      yield { path, isOwn: false, isFolder };
      continue;
    }
    if (isFolder) yield* walk(path, isOwn, `${below}/`);
    yield { path, isOwn: true, isFolder };
  }
}

/** Files and folders in `folder`, which need not be there, that a command does not make. */
export async function strangersIn(folder: string, isOwn: IsOwn): Promise<string[]> {
  const found: string[] = [];
  if (!await isDirectory(folder)) return found;
  for await (const one of walk(folder, isOwn)) if (!one.isOwn) found.push(one.path);
  return found.sort();
}

/** Removes what a command made in `folder`, and folders that are empty then; what else is there stays. */
export async function removeOwn(folder: string, isOwn: IsOwn): Promise<void> {
  if (!await isDirectory(folder)) return;
  const all: { path: string; isFolder: boolean }[] = [];
  for await (const one of walk(folder, isOwn)) if (one.isOwn) all.push(one);
  for (const { path, isFolder } of all) await (isFolder ? removeEmptyFolder(path) : remove(path));
  await removeEmptyFolder(folder);
}
