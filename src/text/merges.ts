/**
 * The merges of a byte-level BPE tokenizer: as merges.txt lists them, and by the ids of a vocabulary.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { Merges } from "./bpe_merge.ts";

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

/** Pairs of tokens as pairs of ids. @throws {FormatError} for a token that the vocabulary lacks. */
export function readMerges(
  merges: Iterable<readonly [first: string, second: string]>,
  vocab: ReadonlyMap<string, number>,
): Merges {
  const firsts: number[] = [], seconds: number[] = [], results: number[] = [];
  for (const [first, second] of merges) {
    const a = vocab.get(first), b = vocab.get(second), joined = vocab.get(first + second);
    if (a === undefined || b === undefined || joined === undefined) {
      const missing = a === undefined ? first : b === undefined ? second : first + second;
      throw new FormatError(
        `merge ${firsts.length} ("${first}" and "${second}") needs the token "${missing}", which is not in the ` +
          "vocabulary; do vocabulary and merges belong together?",
      );
    }
    firsts.push(a);
    seconds.push(b);
    results.push(joined);
  }
  return new Merges(firsts, seconds, results);
}
