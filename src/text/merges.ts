/**
 * The merges of a byte-level BPE tokenizer: as merges.txt lists them, and by the ids of a vocabulary.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { Merges } from "./bpe_merge.ts";

/**
 * The merges in a merges.txt.
 * @throws {FormatError} for a line that is no pair.
 */
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

/**
 * The merges of pairs of tokens, in their order. Those that go on a word begin with `prefix`.
 *
 * @throws {FormatError} for a pair that is not in the vocabulary, or is none together.
 */
export function mergesOf(
  pairs: Iterable<readonly [first: string, second: string]>,
  ids: ReadonlyMap<string, number>,
  prefix = "",
): Merges {
  const firsts: number[] = [], seconds: number[] = [], results: number[] = [];
  for (const [first, second] of pairs) {
    const whole = first + (prefix !== "" && second.startsWith(prefix) ? second.slice(prefix.length) : second);
    const a = ids.get(first), b = ids.get(second), both = ids.get(whole);
    if (a === undefined || b === undefined || both === undefined) {
      const missing = a === undefined ? first : b === undefined ? second : whole;
      throw new FormatError(
        `merge ${firsts.length} ("${first}" and "${second}") needs the token "${missing}", which is not in the ` +
          "vocabulary; do vocabulary and merges belong together?",
      );
    }
    firsts.push(a);
    seconds.push(b);
    results.push(both);
  }
  return new Merges(firsts, seconds, results);
}
