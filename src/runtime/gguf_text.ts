/**
 * The notes of a GGUF that a tokenizer and a chat template are made of.
 *
 * @module
 */
import type { Openable } from "../platform/platform.ts";
import type { TokenizerNotes } from "../text/gguf_tokenizer.ts";
import type { GivenFiles, ModelFolder } from "./model_folder.ts";

/** Of a GGUF in parts, the first leads to the others. */
export function isFirstGguf(name: string): boolean {
  const [, part] = /-(\d{5})-of-\d{5}\.gguf$/i.exec(name) ?? [];
  return /\.gguf$/i.test(name) && (part === undefined || Number(part) === 1);
}

/** Whether what is given is a GGUF by its name, or the content of a file. */
export function isGguf(where: string | URL | GivenFiles | Openable): where is Openable {
  if (where instanceof Blob || where instanceof Uint8Array || where instanceof ArrayBuffer) return true;
  const name = where instanceof URL ? where.pathname : where;
  return typeof name === "string" && /\.gguf$/i.test(name.replace(/[?#].*$/, ""));
}

/** A GGUF's notes, and its name for messages. */
export interface GgufText {
  readonly metadata: TokenizerNotes;
  readonly where: string;
}

async function read(file: Openable): Promise<GgufText> {
  // Loaded when it is needed: most pages have folders.
  const [{ openGgufParts }, { GgufFile }] = await Promise.all([
    import("./gguf_file.ts"),
    import("../files/gguf/reader.ts"),
  ]);
  await using gguf = await openGgufParts(file, (parts) => new GgufFile(parts));
  return { metadata: gguf.metadata, where: gguf.files[0] };
}

/** The notes of what is a GGUF; null for what is none. */
export async function textOfGguf(where: string | URL | GivenFiles | Openable): Promise<GgufText | null> {
  return isGguf(where) ? await read(where) : null;
}

/** The notes of the one GGUF in a folder; null where there is none, or several. */
export async function textOfLoneGguf(folder: ModelFolder): Promise<GgufText | null> {
  const alone = await folder.only?.(isFirstGguf);
  return alone ? await read(alone) : null;
}
