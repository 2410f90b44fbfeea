/**
 * What a model reads of a visitor's text: letters that its tokenizer does not know are left out, and of a text that is longer
 * than the model's context it sees the end, as it does of what it writes. Runs in the pages' workers, and anywhere else.
 *
 * @module
 */
import { CharTokenizer, type Tokenizer } from "../../src/text/mod.ts";

/** A text as a tokenizer knows it. */
export interface Known {
  /** Without the letters that are not known. */
  readonly text: string;
  /** Those letters, each once. */
  readonly left: string;
}

/** What a model reads of a text. */
export interface Reading extends Known {
  /** All its tokens. */
  readonly ids: readonly number[];
  /** The last ones, as many as the model has positions. */
  readonly seen: readonly number[];
}

/** The part of a model that is asked. */
interface Reader {
  readonly contextLength: number;
  readonly tokenizer: Tokenizer | null;
  encode(text: string): number[];
}

/** The part of `text` that a tokenizer knows; one that cuts into bytes knows all. */
export function knownOf(text: string, tokenizer: Tokenizer | null): Known {
  if (!(tokenizer instanceof CharTokenizer) || tokenizer.unkTokenId !== undefined) return { text, left: "" };
  const known = new Set(tokenizer.characters), left = new Set<string>();
  const kept = [...text].filter((letter) => known.has(letter) || !left.add(letter));
  return { text: kept.join(""), left: [...left].join("") };
}

/** What a model reads of `text`. @throws where it reads no text, or knows none of the letters. */
export function readingOf(model: Reader, text: string): Reading {
  if (model.tokenizer === null) {
    throw new Error(
      "This model came without a tokenizer.json, so it reads no text; open it together with that file.",
    );
  }
  const known = knownOf(text, model.tokenizer);
  if (known.text === "" && text !== "") {
    throw new Error(`The model knows none of these letters: ${[...known.left].slice(0, 20).join("")}`);
  }
  const ids = model.encode(known.text);
  return { ...known, ids, seen: ids.slice(-model.contextLength) };
}

/** How many ids the model looked back on when it chose the next one, after `start` of a prompt and `made` behind it: where its
 * positions are used up, it goes on from the later half. */
export function windowAt(start: number, made: number, positions: number): number {
  let held = Math.min(start, positions);
  for (let i = 0; i < made; i++) if (++held > positions) held = Math.max(1, positions >> 1);
  return held;
}
