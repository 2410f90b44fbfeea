/**
 * Tokens by id and ids by token, checked.
 *
 * @module
 */
import { FormatError, ShapeError } from "../core/errors.ts";
import { show } from "../core/show.ts";
import type { AddedToken } from "./added_tokens.ts";

/** Ids above this are a mistake in the file, not a vocabulary; arrays are indexed by id. */
export const maxId: number = 1 << 24;

/**
 * An id that may lie beyond the vocabulary: models have more rows than their tokenizer has tokens, and such an id has no
 * text.
 * @throws {ShapeError} for what is no id at all.
 */
export function demandId(id: number): number {
  if (Number.isInteger(id) && id >= 0) return id;
  throw new ShapeError(`${show(id)} is no id of a token; ids are whole numbers from 0 on`);
}

/** The vocabulary of a file as a map; its tokens may have any name, `__proto__` too. */
export function vocabularyMap(vocab: Readonly<Record<string, number>>): Map<string, number> {
  const map = new Map<string, number>();
  for (const token of Object.keys(vocab)) map.set(token, vocab[token]);
  return map;
}

/**
 * Both directions of a vocabulary together with its added tokens. Throws FormatError for an id that is no integer
 * from 0 on, or that two tokens share.
 */
export function indexTokens(
  vocab: ReadonlyMap<string, number>,
  added: readonly AddedToken[],
): { tokens: (string | undefined)[]; ids: ReadonlyMap<string, number> } {
  const tokens: (string | undefined)[] = new Array(vocab.size).fill(undefined);
  const place = (token: string, id: number): void => {
    if (!Number.isInteger(id) || id < 0 || id > maxId) {
      throw new FormatError(
        `the id of token "${token}" should be an integer from 0 to ${maxId} and is ${show(id)}`,
      );
    }
    while (tokens.length <= id) tokens.push(undefined);
    if (tokens[id] !== undefined && tokens[id] !== token) {
      throw new FormatError(`the tokens "${tokens[id]}" and "${token}" have the same id, ${id}`);
    }
    tokens[id] = token;
  };
  for (const [token, id] of vocab) place(token, id);
  for (const { content, id } of added) {
    const known = vocab.get(content);
    if (known !== undefined && known !== id) {
      throw new FormatError(`the added token "${content}" has the id ${id}, but ${known} in the vocabulary`);
    }
    place(content, id);
  }
  const extra = added.filter(({ content }) => !vocab.has(content));
  if (extra.length === 0) return { tokens, ids: vocab };
  const ids = new Map(vocab);
  for (const { content, id } of extra) ids.set(content, id);
  return { tokens, ids };
}
