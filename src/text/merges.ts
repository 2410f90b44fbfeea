/**
 * The merges of a byte-level BPE tokenizer as merges.txt lists them.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";

/** The merges in a merges.txt. @throws {FormatError} for a line that is no pair. */
export function mergesIn(text: string): [first: string, second: string][] {
  const pairs: [string, string][] = [];
  for (const [number, raw] of text.split("\n").entries()) {
    const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
    if (line === "" || number === 0 && line.startsWith("#version")) continue;
    const pair = line.split(" ");
    if (pair.length !== 2) {
      throw new FormatError(
        `line ${number + 1} of merges.txt should be two tokens and is "${line}"`,
      );
    }
    pairs.push([pair[0], pair[1]]);
  }
  return pairs;
}
