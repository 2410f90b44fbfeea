/**
 * How a tokenizer.json makes a text of tokens: the decoders of the Rust library of Hugging Face.
 *
 * @module
 */
import { symbolsToBytes } from "../bytes.ts";
import { spaceSymbol } from "../sentencepiece/normalizer.ts";
import { fromWtf8, toWtf8 } from "../utf8.ts";
import { replacement } from "./normalizers.ts";
import { countIn, type Part, type PartList, partsOf, textIn } from "./parts.ts";
import { prependScheme } from "./pre_tokenizers.ts";

/** Writes tokens anew; joined they are the text. */
export type Decode = (tokens: readonly string[]) => string[];

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

function joined(lists: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(lists.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const bytes of lists) {
    out.set(bytes, at);
    at += bytes.length;
  }
  return out;
}

function byteLevel(): Decode {
  return (tokens) => [fromWtf8(joined(tokens.map((token) => symbolsToBytes(token) ?? toWtf8(token))))];
}

/** Runs of bytes become their text, or a sign for each byte where they are none. */
function byteFallback(): Decode {
  return (tokens) => {
    const out: string[] = [];
    let bytes: number[] = [];
    const flush = (): void => {
      if (bytes.length === 0) return;
      try {
        out.push(utf8.decode(Uint8Array.from(bytes)));
      } catch {
        for (const _ of bytes) out.push("\ufffd");
      }
      bytes = [];
    };
    for (const token of tokens) {
      const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
      if (byte) bytes.push(parseInt(byte[1], 16));
      else {
        flush();
        out.push(token);
      }
    }
    flush();
    return out;
  };
}

/** Spaces that English does not write. */
function cleanUp(text: string): string {
  return text.replaceAll(" .", ".").replaceAll(" ?", "?").replaceAll(" !", "!").replaceAll(" ,", ",")
    .replaceAll(" ' ", "'").replaceAll(" n't", "n't").replaceAll(" 'm", "'m").replaceAll(" do not", " don't")
    .replaceAll(" 's", "'s").replaceAll(" 've", "'ve").replaceAll(" 're", "'re");
}

function wordPiece(part: Part): Decode {
  const prefix = textIn(part, "prefix", "##"), isClean = part.cleanup !== false;
  return (tokens) =>
    tokens.map((token, i) => {
      const own = i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
      return isClean ? cleanUp(own) : own;
    });
}

function metaspace(part: Part): Decode {
  const sign = textIn(part, "replacement", spaceSymbol), scheme = prependScheme(part);
  return (tokens) =>
    tokens.map((token, i) => token.replaceAll(sign, () => i === 0 && scheme !== "never" ? "" : " "));
}

function strip(part: Part): Decode {
  const content = textIn(part, "content", " "),
    start = countIn(part, "start", 0),
    stop = countIn(part, "stop", 0);
  return (tokens) =>
    tokens.map((token) => {
      const letters = [...token];
      let from = 0, to = letters.length;
      while (from < start && letters[from] === content) from++;
      while (letters.length - to < stop && to > from && letters[to - 1] === content) to--;
      return letters.slice(from, to).join("");
    });
}

function ctc(part: Part): Decode {
  const pad = textIn(part, "pad_token", "<pad>"), word = textIn(part, "word_delimiter_token", "|");
  const isClean = part.cleanup !== false;
  return (tokens) =>
    tokens.filter((token, i) => token !== tokens[i - 1]).map((token) => {
      const own = pad === "" ? token : token.replaceAll(pad, "");
      return isClean && word !== "" ? cleanUp(own).replaceAll(word, " ") : own;
    }).filter((token) => token !== "");
}

const makers: Readonly<Record<string, (part: Part) => Decode>> = {
  BPEDecoder: (part) => {
    const suffix = textIn(part, "suffix", "</w>");
    return (tokens) =>
      tokens.map((token, i) =>
        suffix === "" ? token : token.replaceAll(suffix, i === tokens.length - 1 ? "" : " ")
      );
  },
  ByteFallback: byteFallback,
  ByteLevel: byteLevel,
  CTC: ctc,
  Fuse: () => (tokens) => [tokens.join("")],
  Metaspace: metaspace,
  Replace: (part) => {
    const replace = replacement(part);
    return (tokens) => tokens.map(replace);
  },
  Strip: strip,
  WordPiece: wordPiece,
};

const list: PartList = { name: "decoder", inner: "decoders", known: makers };

/**
 * The decoder that a file describes; null for none.
 * @throws {FormatError} for one that is not known.
 */
export function decoderOf(value: unknown): Decode | null {
  const steps = partsOf(value, list).map((part) => makers[part.type](part));
  return steps.length === 0
    ? null
    : (tokens) => steps.reduce<string[]>((own, step) => step(own), [...tokens]);
}
