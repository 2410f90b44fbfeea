/**
 * Texts from files and standard input.
 *
 * @module
 */
import { stdin } from "node:process";
import { text as readStream } from "node:stream/consumers";
import { readFile } from "../src/platform/platform.ts";
import { FormatError } from "../mod.ts";

/** The whole text of a UTF-8 file, or of standard input for `-`. @throws {FormatError} when it is not UTF-8 or empty. */
export async function readText(path: string): Promise<string> {
  if (path === "-") return await readStream(stdin);
  const bytes = await readFile(path);
  if (bytes.length === 0) throw new FormatError(`${path} is empty`);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new FormatError(`${path} is not UTF-8 text; convert it first, for example with iconv -t utf-8`);
  }
}
