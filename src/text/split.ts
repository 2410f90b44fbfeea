/**
 * Cutting a text by regular expressions, as the split pre-tokenizers of a tokenizer.json do: each expression cuts what the
 * one before it left into its matches and what lies between them.
 *
 * @module
 */
import { finish, type Steps } from "../core/steps.ts";

/**
 * An expression that cuts texts.
 *
 * @category Text
 */
export interface SplitExpression {
  /** As a tokenizer.json writes it, in Oniguruma's syntax. */
  readonly source: string;
  /** The same to JavaScript, with the flags g and u. */
  readonly pattern: RegExp;
}

/** The ends of the pieces of `text[start, end)`. */
export function pieceEnds(text: string, start: number, end: number, patterns: readonly RegExp[]): number[] {
  return finish(pieceEndsSteps(text, start, end, patterns));
}

/** Matches that are found in a step. */
const stepMatches = 512;

/** The same in steps. */
export function* pieceEndsSteps(
  text: string,
  start: number,
  end: number,
  patterns: readonly RegExp[],
): Steps<number[]> {
  let ends = [end];
  for (const pattern of patterns) {
    const finer: number[] = [];
    let from = start, count = 0;
    for (const to of ends) {
      const part = text.slice(from, to);
      for (const match of part.matchAll(pattern)) {
        // A match of nothing cuts, too.
        const at = from + match.index;
        if (at > (finer.at(-1) ?? start)) finer.push(at);
        if (match[0] !== "") finer.push(at + match[0].length);
        if (++count % stepMatches === 0) yield 8 * stepMatches;
      }
      if ((finer.at(-1) ?? start) < to) finer.push(to);
      from = to;
    }
    ends = finer;
  }
  return ends;
}
