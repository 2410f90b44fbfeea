/**
 * What the results in a folder, or in a queue, were made with: recorded beside them, so that none are taken for those of another call.
 *
 * A model is known by what its files hold, as far as that is cheap to see: sizes, beginnings, ends and samples between. So a copy
 * of it is the same model wherever it lies, and one that was trained further is another.
 *
 * @module
 */
import { show } from "../../src/core/show.ts";
import {
  createFile,
  exists,
  type Hash,
  isDirectory,
  joinPath,
  openSource,
  readDir,
  readTextFile,
  startHash,
  stat,
} from "../../src/platform/platform.ts";
import { UsageError, type Values } from "../command.ts";
import { bundledModel } from "../model.ts";

/** What `--model` or `--lora` names. */
export interface ModelIdentity {
  readonly name: string;
  /** Of samples of its files; null where it is not on this disk. */
  readonly sha256: string | null;
}

/** Options by their names; null for one that is not given. */
export type Settings = Readonly<Record<string, string | number | boolean | ModelIdentity | null>>;

/** What results are of. */
export interface Made {
  readonly command: string;
  /** Of all pieces; null where it is said of each which piece it is. */
  readonly pieces_sha256: string | null;
  readonly settings: Settings;
}

/** Where a folder says it. */
export const settingsFile = "settings.json";

const decides =
  /\.(safetensors|gguf|jinja)$|^(.*config|.*tokenizer|vocab|.*\.index|special_tokens_map|added_tokens)\.json$|^(tokenizer\.model|merges\.txt|vocab\.txt)$/;
/** Bytes of a sample, and how many there are of a file. */
const sample = 1 << 14, samples = 32;

async function addFile(hash: Hash, name: string, path: string): Promise<void> {
  const source = await openSource(path);
  try {
    const { size } = source, last = Math.max(0, size - sample);
    hash.update(new TextEncoder().encode(JSON.stringify([name, size])));
    const count = Math.min(samples, Math.ceil(size / sample));
    for (let i = 0; i < count; i++) {
      const at = count === 1 ? 0 : Math.floor(last * i / (count - 1));
      hash.update(await source.read(at, Math.min(sample, size - at)));
    }
  } finally {
    await source.close();
  }
}

/** What a model is known by; `where` is a folder, a file, a repository or an address. */
async function identityOf(where: string | URL, name: string): Promise<ModelIdentity> {
  if (/^https?:/.test(String(where))) return { name, sha256: null };
  const hash = startHash("sha256"), found = await stat(where);
  if (found === null) return { name, sha256: null };
  if (found.isFile) await addFile(hash, "", String(where));
  else if (await isDirectory(where)) {
    const names = (await readDir(where)).map(({ name }) => name).filter((name) => decides.test(name)).sort();
    for (const name of names) {
      const path = joinPath(where, name);
      if ((await stat(path))?.isFile) await addFile(hash, name, String(path));
    }
  }
  return { name, sha256: await hash.digest() };
}

/** What the options `names` say, and the model and adapter that they name. */
export async function settingsOf(values: Values, names: readonly string[]): Promise<Settings> {
  const model = values.text("model"), lora = values.text("lora");
  return {
    model: await identityOf(model ?? bundledModel, model ?? "bundled"),
    lora: lora === undefined ? null : await identityOf(lora, lora),
    ...Object.fromEntries(names.map((name) => [name, values.value(name) ?? null])) as Settings,
  };
}

const isModel = (value: Settings[string] | undefined): value is ModelIdentity =>
  typeof value === "object" && value !== null;

function isSame(a: Settings[string] = null, b: Settings[string] = null): boolean {
  if (!isModel(a) || !isModel(b)) return a === b;
  return a.sha256 === null && b.sha256 === null ? a.name === b.name : a.sha256 === b.sha256;
}

const said = (name: string, value: Settings[string] = null): string =>
  value === null ? `without --${name}` : `with --${name} ${isModel(value) ? value.name : value}`;

/**
 * Looks whether what `text` records is what is asked now; `given` has no settings where only its pieces are asked for.
 * @throws {UsageError} naming what differs, with `way` as the way out.
 */
export function demandMade(text: string, given: Made, where: string, noun: string, way: string): void {
  const refuse = (why: string): never => {
    throw new UsageError(`${given.command}: ${where} ${why}; ${way}`);
  };
  let found: Partial<Made> | null = null;
  try {
    found = JSON.parse(text);
  } catch {
    // What is no JSON is no record either.
  }
  if (typeof found?.settings !== "object" || found.settings === null || found.command !== given.command) {
    const { command } = found ?? {};
    const what = typeof command === "string" ? `what ${command} made` : `something else (${show(text)})`;
    return refuse(`holds ${what}`);
  }
  if ((found.pieces_sha256 ?? null) !== given.pieces_sha256) refuse(`holds other ${noun}s`);
  for (const name of Object.keys(given.settings)) {
    const before = found.settings[name], now = given.settings[name];
    if (isSame(before, now)) continue;
    const isChanged = isModel(before) && isModel(now) && before.name === now.name;
    refuse(
      isChanged
        ? `holds results ${said(name, before)} as it was, and its files have changed`
        : `holds results ${said(name, before)}, and this is ${said(name, now)}`,
    );
  }
}

/** What a folder says that it holds; null where it says nothing. */
export async function madeIn(folder: string): Promise<string | null> {
  const path = joinPath(folder, settingsFile);
  return await exists(path) ? await readTextFile(path) : null;
}

/** Says what a folder is to hold, unless it says so already. @returns what it says. */
export async function sayMade(folder: string, made: Made): Promise<string> {
  await createFile(joinPath(folder, settingsFile), `${JSON.stringify(made)}\n`);
  return (await madeIn(folder))!;
}
