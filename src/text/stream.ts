/**
 * Text from ids that arrive one at a time, without ever giving out half a character.
 *
 * Where a token is a run of bytes ({@link byteStream}) or a whole text ({@link pieceStream}) that is exact. A
 * decoder of which nothing is known is asked again for a short window of ids ({@link windowStream}), as
 * `DecodeStream` of the Rust library of Hugging Face does.
 *
 * @module
 */
import type { DecodeStream } from "./tokenizer.ts";
import { Wtf8Decoder } from "./utf8.ts";

/** A stream over tokens that stand for bytes; `bytesOf` gives none for an id that is to be left out. */
export function byteStream(bytesOf: (id: number) => Uint8Array): DecodeStream {
  const decoder = new Wtf8Decoder();
  return { push: (id) => decoder.push(bytesOf(id)), flush: () => decoder.flush() };
}

/** A stream over tokens that each stand for a text of their own. */
export function pieceStream(textOf: (id: number) => string): DecodeStream {
  return { push: textOf, flush: () => "" };
}

/** Of what came before, so many tokens tell whether a text has begun. */
const mostAfter = 16;

/**
 * A stream over any decoder. The window begins where text was last given out, one step back, so that a decoder
 * which treats the first token of a text differently sees the same beginning twice. Ids that are no token's have no text.
 * `after` are ids that were given out before.
 */
export function windowStream(
  decode: (ids: readonly number[]) => string,
  isToken: (id: number) => boolean,
  after: readonly number[] = [],
): DecodeStream {
  let ids = after.slice(-mostAfter).filter(isToken), given = ids.length > 0 ? decode(ids) : "";
  // Half a character is no text that was given out.
  if (given.endsWith("\ufffd")) [ids, given] = [[], ""];
  let known = ids.length; // ids[0, known) have been given out as `given`
  return {
    push(id) {
      if (!isToken(id)) return "";
      ids.push(id);
      const text = decode(ids);
      if (text.length <= given.length || text.endsWith("\ufffd")) return "";
      const piece = text.slice(given.length);
      ids = ids.slice(known);
      known = ids.length;
      given = decode(ids);
      return piece;
    },
    flush() {
      const piece = decode(ids).slice(given.length);
      ids = [];
      known = 0;
      given = "";
      return piece;
    },
  };
}
