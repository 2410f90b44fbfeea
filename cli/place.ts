/**
 * One rule for every command that writes: nothing that is there is lost in silence.
 *
 * A language model, and whatever the command itself did not write, is refused without --force. What the same command wrote
 * before is written again, as it is made anew by the same call, and that is said: "replaced" in place of "wrote".
 *
 * @module
 */
import { isDirectory, joinPath, openSource, readDir, stat } from "../src/platform/platform.ts";
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
 * @throws {UsageError} where something is there that the command did not write.
 */
export async function placeOf(
  command: string,
  path: string,
  force: boolean,
  { what, is }: Own,
): Promise<"wrote" | "replaced"> {
  const found = await stat(path);
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
