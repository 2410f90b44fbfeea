/**
 * The bytes that each token of a tokenizer writes.
 *
 * @module
 */
import { symbolsToBytes } from "../../text/bytes.ts";
import { BpeTokenizer, type Tokenizer } from "../../text/mod.ts";

/** What a token writes; null for what writes no text of its own. */
export interface TokenBytes {
  readonly bytes: Uint8Array | null;
  /** Whether it writes the same as the first of a text. Some tokenizers drop a space there. */
  readonly sameAtStart: boolean;
}

type Json = Readonly<Record<string, unknown>>;

const nothing: TokenBytes = { bytes: null, sameAtStart: false };
const encoder = new TextEncoder();

/** Types of the decoder in a tokenizer.json, those of its parts included. */
function decoders(decoder: Json | null | undefined): string[] {
  const list = decoder?.type === "Sequence" ? decoder.decoders as Json[] : [decoder];
  return list.flatMap((one) => typeof one?.type === "string" ? [one.type] : []);
}

/** Reads a tokenizer; gives what tells of each id. */
export function tokenBytes(tokenizer: Tokenizer): (id: number) => TokenBytes {
  // Writing the whole vocabulary as JSON would take tenths of a second.
  const { decoder, added_tokens } = (tokenizer.outline?.() ?? tokenizer.toJSON()) as {
    decoder?: Json | null;
    added_tokens?: readonly { id?: unknown }[];
  };
  const types = decoders(decoder),
    byteLevel = tokenizer instanceof BpeTokenizer || types.includes("ByteLevel");
  const textOf = (ids: number[]): string => tokenizer.decode(ids, { skipSpecialTokens: true });
  const added = new Set((added_tokens ?? []).map(({ id }) => id));
  // A token in a text is what it adds to another one.
  let before: number | undefined, beforeText = "";
  for (const token of ["a", "e", ".", "▁a", "▁the", "0"]) {
    before ??= tokenizer.tokenToId(token);
  }
  if (before !== undefined) beforeText = textOf([before]);
  return (id) => {
    const first = textOf([id]), token = tokenizer.idToToken(id);
    if (token === undefined) return nothing;
    const byte = types.includes("ByteFallback") ? /^<0x([0-9A-F]{2})>$/.exec(token)?.[1] : undefined;
    if (byte !== undefined) return { bytes: Uint8Array.of(parseInt(byte, 16)), sameAtStart: true };
    if (byteLevel && first !== "" && !added.has(id)) {
      const bytes = symbolsToBytes(token);
      if (bytes) return { bytes, sameAtStart: true };
    }
    if (before === undefined || byteLevel) {
      return first === "" ? nothing : { bytes: encoder.encode(first), sameAtStart: true };
    }
    const both = textOf([before, id]), text = both.slice(beforeText.length);
    if (text === "" || !both.startsWith(beforeText)) return nothing;
    return { bytes: encoder.encode(text), sameAtStart: text === first };
  };
}
