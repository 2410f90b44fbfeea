/**
 * Texts from files and standard input.
 *
 * @module
 */
import { stdin } from "node:process";
import { buffer } from "node:stream/consumers";
import { isTerminal, readFile } from "../src/platform/platform.ts";
import { FormatError } from "../src/core/errors.ts";
import { note } from "./output.ts";

/** The text of a UTF-8 file, or of standard input for `-`. @throws {FormatError} when it is not UTF-8. */
export async function readText(path: string): Promise<string> {
  const piped = path === "-";
  if (piped && isTerminal("stdin")) await note("reading from the terminal; Ctrl-D ends the text");
  const bytes = piped ? await buffer(stdin) : await readFile(path);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    const what = piped ? "standard input" : path;
    throw new FormatError(`${what} is not UTF-8 text; convert it first, for example with iconv -t utf-8`);
  }
}

/** The first `1 - fraction` of a text and the rest, with no character cut in two. */
export function splitText(text: string, fraction: number): [string, string] {
  let cut = Math.floor(text.length * (1 - fraction));
  if (cut > 0 && /[\udc00-\udfff]/.test(text.charAt(cut))) cut--;
  return [text.slice(0, cut), text.slice(cut)];
}
