/**
 * Words that are wanted or not: sequences of tokens whose last one gets a bias when the others have just been made.
 *
 * @module
 */
import type { LogitsProcessor } from "../options.ts";

/** Adds the bias of each sequence to its last token, where the text ends with the tokens before that. */
export function sequenceBias(sequences: readonly (readonly [readonly number[], number])[]): LogitsProcessor {
  return (ids, logits) => {
    for (const [sequence, bias] of sequences) {
      const before = sequence.length - 1, from = ids.length - before;
      if (from < 0) continue;
      let same = 0;
      while (same < before && ids[from + same] === sequence[same]) same++;
      if (same === before) logits[sequence[before]] += bias;
    }
  };
}

/** The sequences never appear. One that is just an end-of-text token is left out, as in Hugging Face. */
export function badWords(words: readonly (readonly number[])[], ends: readonly number[]): LogitsProcessor {
  return sequenceBias(
    words.filter((word) => word.length !== 1 || !ends.includes(word[0])).map((word) => [word, -Infinity]),
  );
}

/** These tokens get −∞. */
export function suppress(tokens: readonly number[]): LogitsProcessor {
  return (_ids, logits) => {
    for (const id of tokens) logits[id] = -Infinity;
  };
}

/** These tokens get −∞ at the first step, after `start` ids. */
export function suppressAtBegin(tokens: readonly number[], start: number): LogitsProcessor {
  return (ids, logits) => {
    if (ids.length === start) { for (const id of tokens) logits[id] = -Infinity; }
  };
}
