/**
 * The models of a tokenizer.json: from a piece of a text to ids.
 *
 * @module
 */
import { show } from "../../core/show.ts";
import { FormatError } from "../../core/errors.ts";
import { finish, type Steps } from "../../core/steps.ts";
import { mergesOf } from "../merges.ts";
import { Unigram } from "../sentencepiece/unigram.ts";
import { vocabularyMap } from "../vocabulary.ts";
import { countIn, type Part, textIn } from "./parts.ts";

/** A vocabulary with a way to cut pieces into it. */
export interface Model {
  readonly ids: ReadonlyMap<string, number>;
  /**
   * Puts the ids of a piece into `out`.
   * @throws {FormatError} for what has no token, where none stands for the unknown.
   */
  encode(piece: string, out: number[]): void;
  /** The same in steps, where long pieces need them. */
  readonly encodeSteps?: (piece: string, out: number[]) => Steps<void>;
}

/** Letters that make a step. */
const stepLetters = 1024;

const encoder = new TextEncoder();

/** The tokens of a text's bytes, or null when one has none. */
function byteIds(text: string, ids: ReadonlyMap<string, number>): number[] | null {
  const out: number[] = [];
  for (const byte of encoder.encode(text)) {
    const id = ids.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
    if (id === undefined) return null;
    out.push(id);
  }
  return out;
}

function unknown(token: string): never {
  throw new FormatError(
    `${JSON.stringify(token.slice(0, 40))} has no token, and this tokenizer has none for what is unknown`,
  );
}

/** A token of the file's choice that stands for what is unknown. */
function unknownId(model: Part, ids: ReadonlyMap<string, number>): number | undefined {
  return typeof model.unk_token === "string" ? ids.get(model.unk_token) : undefined;
}

type Pair = readonly [first: string, second: string];

/** Longer pieces seldom come again, and so many are kept. */
const keptLength = 64, keptPieces = 50_000;

/**
 * Byte-pair encoding over characters.
 * @param pairs the merges in their order.
 */
export function bpeModel(model: Part, pairs: readonly Pair[]): Model {
  const ids = vocabularyMap(model.vocab as Record<string, number>);
  const prefix = typeof model.continuing_subword_prefix === "string" ? model.continuing_subword_prefix : "";
  const suffix = typeof model.end_of_word_suffix === "string" ? model.end_of_word_suffix : "";
  const merges = mergesOf(pairs, ids, prefix), unk = unknownId(model, ids);
  if (typeof model.unk_token === "string" && model.unk_token !== "" && unk === undefined) {
    throw new FormatError(
      `"unk_token" of tokenizer.json is ${show(model.unk_token)}, which is no token`,
    );
  }
  const { byte_fallback: isBytes, fuse_unk: isFused, ignore_merges: isWhole } = model;
  const known = new Map<string, readonly number[]>();
  const symbols = function* (piece: string): Steps<number[]> {
    const letters = [...piece], found: number[] = [];
    let waiting = false;
    for (const [i, letter] of letters.entries()) {
      if (i % stepLetters === stepLetters - 1) yield 8 * stepLetters;
      const symbol = `${i > 0 ? prefix : ""}${letter}${i === letters.length - 1 ? suffix : ""}`;
      const id = ids.get(symbol), bytes = id === undefined && isBytes === true ? byteIds(symbol, ids) : null;
      if (bytes) found.push(...bytes);
      else if (id !== undefined) {
        if (waiting) found.push(unk!);
        waiting = false;
        found.push(id);
      } else if (unk !== undefined) {
        if (waiting && isFused !== true) found.push(unk);
        waiting = true;
      }
    }
    if (waiting) found.push(unk!);
    return found;
  };
  const encode = function* (piece: string): Steps<readonly number[]> {
    const whole = isWhole === true ? ids.get(piece) : undefined;
    if (whole !== undefined) return [whole];
    const found = Int32Array.from(yield* symbols(piece));
    const length = piece.length > stepLetters
      ? yield* merges.mergeSteps(found, found.length)
      : merges.merge(found, found.length);
    return Array.from(found.subarray(0, length));
  };
  return {
    ids,
    *encodeSteps(piece, out) {
      for (const id of yield* encode(piece)) out.push(id);
    },
    encode(piece, out) {
      let found = known.get(piece);
      if (found === undefined) {
        found = finish(encode(piece));
        if (piece.length <= keptLength) {
          if (known.size >= keptPieces) known.clear();
          known.set(piece, found);
        }
      }
      for (const id of found) out.push(id);
    },
  };
}

const never = (): number => 0;

function unigramModel(model: Part): Model {
  const vocab = model.vocab as [string, number][], ids = new Map(vocab.map(([text], id) => [text, id]));
  const pieces = vocab.map(([text, score], id) => ({ text, score, id }));
  const cutter = new Unigram(pieces, { double: true }), unk = model.unk_id as number | null | undefined;
  return {
    ids,
    encode: (piece, out) => finish(encodeSteps(piece, out)),
    encodeSteps,
  };
  function* encodeSteps(piece: string, out: number[]): Steps<void> {
    let missing = "", count = 0;
    const flush = (): void => {
      if (missing === "") return;
      // Unknown characters side by side are one token, or that which they happen to be together.
      const id = ids.get(missing),
        bytes = id === undefined && model.byte_fallback === true ? byteIds(missing, ids) : null;
      if (bytes) { for (const byte of bytes) out.push(byte); }
      else out.push(id ?? unk ?? unknown(missing));
      missing = "";
    };
    for (const { text, id } of yield* cutter.cutSteps(piece, never)) {
      if (++count % stepLetters === 0) yield 4 * stepLetters;
      if (id < 0 || id === unk) {
        missing += text;
        continue;
      }
      flush();
      out.push(ids.get(text)!);
    }
    flush();
  }
}

function wordPieceModel(model: Part): Model {
  const ids = vocabularyMap(model.vocab as Record<string, number>);
  const prefix = textIn(model, "continuing_subword_prefix", "##"),
    unk = ids.get(textIn(model, "unk_token", "[UNK]"));
  const longest = countIn(model, "max_input_chars_per_word", 100);
  return {
    ids,
    encode(piece, out) {
      if (piece.length > 2 * longest) return void out.push(unk ?? unknown(piece));
      const letters = [...piece], found: number[] = [];
      if (letters.length > longest) return void out.push(unk ?? unknown(piece));
      for (let from = 0; from < letters.length;) {
        let to = letters.length, id: number | undefined;
        for (; to > from; to--) {
          id = ids.get((from > 0 ? prefix : "") + letters.slice(from, to).join(""));
          if (id !== undefined) break;
        }
        if (id === undefined) return void out.push(unk ?? unknown(piece));
        found.push(id);
        from = to;
      }
      out.push(...found);
    },
  };
}

function wordLevelModel(model: Part): Model {
  const ids = vocabularyMap(model.vocab as Record<string, number>), unk = unknownId(model, ids);
  return { ids, encode: (piece, out) => void out.push(ids.get(piece) ?? unk ?? unknown(piece)) };
}

/** The model of a file, whose merges are `pairs`. */
export function modelOf(model: Part, pairs: readonly Pair[]): Model {
  switch (model.type) {
    case "BPE":
      return bpeModel(model, pairs);
    case "Unigram":
      return unigramModel(model);
    case "WordPiece":
      return wordPieceModel(model);
    default:
      return wordLevelModel(model);
  }
}
