/**
 * SentencePiece tokenizers (Kudo and Richardson 2018): pieces with scores, cut by BPE or by likelihood, over any text with
 * spaces as ▁. Those of Llama 2, Mistral, Gemma and T5; read from a `tokenizer.model`, or from a GGUF's notes.
 *
 * @module
 */
import { demandNoMore, demandText } from "../../core/demand.ts";
import { FormatError } from "../../core/errors.ts";
import * as kinds from "../../core/kinds.ts";
import { checkOptions, type OptionTable, required } from "../../core/options.ts";
import { finish, type Steps } from "../../core/steps.ts";
import { type AddedToken, AddedTokens, addedTokenToJSON } from "../added_tokens.ts";
import { windowStream } from "../stream.ts";
import { decodeOptions, encodeOptions, streamOptions } from "../tokenizer.ts";
import type { DecodeOptions, DecodeStream, EncodeOptions, StreamOptions, Tokenizer } from "../tokenizer.ts";
import { demandId } from "../vocabulary.ts";
import { joinByScore } from "./bpe.ts";
import { Normalizer, type NormalizerParts, spaceSymbol } from "./normalizer.ts";
import { Unigram } from "./unigram.ts";

/** What a piece is; the numbers of SentencePiece and of GGUF. */
export const pieceTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/**
 * One piece; its id is its place.
 *
 * @category Text
 */
export interface SentencePiece {
  /** Its text, spaces as ▁. */
  readonly text: string;
  /** How likely it is, or how early it is joined. */
  readonly score: number;
  /** One of {@link pieceTypes}. */
  readonly type: number;
}

/**
 * What a {@link SentencePieceTokenizer} is made of.
 *
 * @category Text
 */
export interface SentencePieceParts extends NormalizerParts {
  /** The pieces, by id. */
  readonly pieces: readonly SentencePiece[];
  /** How texts are cut. */
  readonly model: "bpe" | "unigram";
  /** Whether what has no piece becomes its bytes, rather than unknown. */
  readonly byteFallback: boolean;
  /** The id of the token that begins a text. */
  readonly bosTokenId?: number;
  /** The id of the token that ends a text. */
  readonly eosTokenId?: number;
  /** Whether the first is put before a text. */
  readonly addBos?: boolean;
  /** Whether the other is put behind it. */
  readonly addEos?: boolean;
  /** Tokens found in a text before all else, beside control pieces; their ids may lie behind the pieces'. */
  readonly addedTokens?: readonly AddedToken[];
  /** Whether only what begins a text gets a space, and not what follows such a token. Default false. */
  readonly prefixFirst?: boolean;
  /**
   * Whether control pieces (`<s>`) written in a text become their ids, where `encode` is not told by `splitSpecialTokens`.
   * SentencePiece itself spells them out, Hugging Face and llama.cpp do not. Default true.
   */
  readonly controlsInText?: boolean;
}

const id = kinds.whole(0);

const sentencePieceParts: OptionTable<SentencePieceParts> = {
  pieces: required(kinds.kind("a list of pieces", Array.isArray)),
  model: required(kinds.oneOf("bpe", "unigram")),
  byteFallback: required(kinds.flag),
  bosTokenId: id,
  eosTokenId: id,
  addBos: kinds.flag,
  addEos: kinds.flag,
  addedTokens: kinds.kind("a list of tokens", Array.isArray),
  prefixFirst: kinds.flag,
  controlsInText: kinds.flag,
  charsMap: kinds.kind("bytes", (x) => x instanceof Uint8Array),
  addDummyPrefix: required(kinds.flag),
  removeExtraWhitespaces: required(kinds.flag),
  treatWhitespaceAsSuffix: kinds.flag,
};

/** Parts of a text that make a step. */
const stepParts = 1024;

const encoder = new TextEncoder(), decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const byteCount = (text: string): number => encoder.encode(text).length;
/** What an unknown piece is decoded to. */
const unknownText = " \u2047 ";

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
}

/**
 * A SentencePiece tokenizer.
 *
 * @category Text
 */
export class SentencePieceTokenizer implements Tokenizer {
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** The id of the token that ends a text, if there is one. */
  readonly eosTokenId: number | undefined;
  readonly #parts: SentencePieceParts;
  readonly #ids = new Map<string, number>();
  /** Ids of what texts are cut into: neither control tokens nor bytes. */
  readonly #cut = new Map<string, number>();
  readonly #bytes = new Int32Array(256).fill(-1);
  readonly #unknown: number;
  readonly #added: AddedTokens;
  /** Those that are found in a text where nothing else is asked for. */
  readonly #found: AddedTokens;
  readonly #normalizer: Normalizer;
  /** For what does not begin a text. */
  readonly #inner: Normalizer;
  readonly #frozen: RegExp | null;
  readonly #unigram: Unigram | null;

  /**
   * From its pieces.
   *
   * @throws {FormatError} for pieces without an unknown one, or without bytes where they are needed.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  constructor(parts: SentencePieceParts) {
    demandNoMore(arguments, 1, "SentencePieceTokenizer");
    checkOptions("SentencePieceTokenizer", parts, sentencePieceParts);
    const { pieces, model, byteFallback, eosTokenId } = parts, own: string[] = [], added: AddedToken[] = [];
    this.#parts = parts;
    const { addedTokens = [] } = parts;
    this.vocabSize = addedTokens.reduce((size, { id }) => Math.max(size, id + 1), pieces.length);
    this.eosTokenId = eosTokenId;
    let unknown = -1;
    pieces.forEach(({ text, type }, id) => {
      this.#ids.set(text, id);
      if (type === pieceTypes.unknown && unknown < 0) unknown = id;
      else if (type === pieceTypes.byte) {
        const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(text);
        if (byte) this.#bytes[parseInt(byte[1], 16)] = id;
      } else if (type === pieceTypes.control) added.push({ id, content: text, special: true });
      else if (type !== pieceTypes.unknown) this.#cut.set(text, id);
      if (type === pieceTypes.userDefined) own.push(text);
    });
    if (unknown < 0) {
      throw new FormatError(
        "a SentencePiece vocabulary has a piece for what is unknown, and this one has none",
      );
    }
    if (byteFallback && this.#bytes.includes(-1)) {
      throw new FormatError(
        `there is no piece for byte ${this.#bytes.indexOf(-1)}, and unknown characters become bytes`,
      );
    }
    this.#unknown = unknown;
    for (const { id, content } of addedTokens) this.#ids.set(content, id);
    const given = new Set(addedTokens.map(({ content }) => content));
    this.#added = new AddedTokens([...added.filter(({ content }) => !given.has(content)), ...addedTokens]);
    this.#found = parts.controlsInText === false ? new AddedTokens(addedTokens) : this.#added;
    this.#normalizer = new Normalizer(parts, own);
    this.#inner = parts.prefixFirst
      ? new Normalizer({ ...parts, addDummyPrefix: false }, own)
      : this.#normalizer;
    const escaped = own.sort((a, b) => b.length - a.length).map((text) =>
      text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")
    );
    this.#frozen = escaped.length === 0 ? null : new RegExp(escaped.join("|"), "gu");
    this.#unigram = model === "bpe" ? null : new Unigram(this.#unigramPieces());
  }

  *#unigramPieces() {
    for (const [id, { text, score, type }] of this.#parts.pieces.entries()) {
      if (type === pieceTypes.normal) yield { text, id, score };
      else if (type === pieceTypes.userDefined) yield { text, id, score: null };
    }
  }

  /**
   * The ids of a text; special tokens in it become theirs ({@link SentencePieceParts.controlsInText}).
   *
   * @throws {OptionError} for what is no text.
   */
  encode(text: string, options: EncodeOptions = {}): number[] {
    demandNoMore(arguments, 2, "encode");
    return finish(this.#steps(text, checkOptions("encode", options, encodeOptions)));
  }

  /**
   * What `encode` gives, in steps of some hundred characters: for who may not keep others waiting.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  encodeSteps(text: string, options: EncodeOptions = {}): Generator<number, number[], void> {
    demandNoMore(arguments, 2, "encodeSteps");
    return this.#steps(text, checkOptions("encodeSteps", options, encodeOptions));
  }

  *#steps(
    text: string,
    { addSpecialTokens: around = true, splitSpecialTokens }: EncodeOptions,
  ): Steps<number[]> {
    const { addBos = false, addEos = false, bosTokenId, eosTokenId } = this.#parts, out: number[] = [];
    demandText("encode", text);
    if (around && addBos && bosTokenId !== undefined) out.push(bosTokenId);
    const added = splitSpecialTokens === undefined ? this.#found : this.#added;
    for (const [i, stretch] of added.stretches(text.toWellFormed(), splitSpecialTokens ?? false).entries()) {
      if (typeof stretch === "number") out.push(stretch);
      else yield* this.#encodeText(stretch, i === 0 ? this.#normalizer : this.#inner, out);
    }
    if (around && addEos && eosTokenId !== undefined) out.push(eosTokenId);
    return out;
  }

  *#encodeText(text: string, normalizer: Normalizer, out: number[]): Steps<void> {
    const normal = yield* normalizer.normalizeSteps(text);
    if (normal === "") return;
    let isUnknownBefore = false, count = 0;
    const cut = this.#unigram ? this.#unigram.cutSteps(normal, byteCount) : this.#join(normal);
    for (const { text: part, id } of yield* cut) {
      if (++count % stepParts === 0) yield 4 * stepParts;
      const isUnknown = id < 0;
      if (!isUnknown) out.push(id);
      else if (this.#parts.byteFallback) {
        for (const byte of encoder.encode(part)) out.push(this.#bytes[byte]);
      } // Several unknown characters side by side are one unknown piece.
      else if (!isUnknownBefore) out.push(this.#unknown);
      isUnknownBefore = isUnknown;
    }
  }

  /** The text cut by BPE. */
  *#join(text: string): Steps<{ text: string; id: number }[]> {
    const symbols: string[] = [], frozen = new Set<number>();
    const letters = function* (from: number, to: number): Steps<void> {
      for (let i = from; i < to; i += symbols[symbols.length - 1].length) {
        const length = symbols.push(String.fromCodePoint(text.codePointAt(i)!));
        if (length % stepParts === 0) yield 2 * stepParts;
      }
    };
    let done = 0;
    for (const found of this.#frozen ? text.matchAll(this.#frozen) : []) {
      yield* letters(done, found.index);
      frozen.add(symbols.push(found[0]) - 1);
      done = found.index + found[0].length;
      yield 4;
    }
    yield* letters(done, text.length);
    const { pieces } = this.#parts;
    const parts = yield* joinByScore(symbols, frozen, (joined) => {
      const id = this.#cut.get(joined);
      return id === undefined ? undefined : pieces[id].score;
    });
    const out: { text: string; id: number }[] = [];
    /** Pieces that are only steps on the way are taken apart again. */
    const put = (part: string): void => {
      const id = this.#cut.get(part) ?? -1, unused = id >= 0 && pieces[id].type === pieceTypes.unused;
      const halves = unused ? this.#halves(part) : undefined;
      if (halves) halves.forEach(put);
      else out.push({ text: part, id });
    };
    for (const [i, part] of parts.entries()) {
      put(part);
      if (i % stepParts === 0) yield 4 * stepParts;
    }
    return out;
  }

  /** The two pieces that a piece is joined from last, best scores first. */
  #halves(piece: string): [string, string] | undefined {
    const letters = [...piece];
    if (letters.length < 2) return undefined;
    const { pieces } = this.#parts,
      inner = finish(joinByScore(letters, new Set(), (joined) => {
        const id = joined === piece ? undefined : this.#cut.get(joined);
        return id === undefined ? undefined : pieces[id].score;
      }));
    return inner.length === 2 ? inner as [string, string] : [inner[0], inner.slice(1).join("")];
  }

  /**
   * The text of ids. Ids beyond the vocabulary have none. Throws ShapeError for what is no id.
   *
   * @throws {OptionError} for what is no list of ids.
   * @throws {ShapeError} for what is no id: ids are whole numbers from 0.
   */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    demandNoMore(arguments, 2, "decode");
    const { pieces, addDummyPrefix, removeExtraWhitespaces } = this.#parts;
    const { skipSpecialTokens: skip = false } = checkOptions("decode", options, decodeOptions);
    let text = "", bytes: number[] = [], isStart = addDummyPrefix || removeExtraWhitespaces;
    const flush = (): void => {
      if (bytes.length === 0) return;
      text += decoder.decode(new Uint8Array(bytes));
      bytes = [];
      isStart = false;
    };
    for (let i = 0; i < ids.length; i++) {
      const piece = pieces[demandId(ids[i])], added = this.#added.byId.get(ids[i]);
      if (added) {
        flush();
        const isSpecial = this.#added.isSpecial(ids[i]);
        if (!(skip && isSpecial)) text += added.content;
        // A text begins behind the token that begins it.
        if (!isSpecial || piece?.type === pieceTypes.unknown) isStart = false;
        continue;
      }
      if (piece === undefined) continue;
      if (piece.type === pieceTypes.byte) {
        bytes.push(parseInt(piece.text.slice(3, 5), 16));
        continue;
      }
      flush();
      let own = piece.type === pieceTypes.unknown ? unknownText : piece.text;
      if (isStart && own.startsWith(spaceSymbol)) own = own.slice(1);
      own = own.replaceAll(spaceSymbol, " ");
      if (own !== "" || !removeExtraWhitespaces) isStart = false;
      text += own;
    }
    flush();
    return text;
  }

  /**
   * Decodes ids one at a time, whole characters only.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  stream(options: StreamOptions = {}): DecodeStream {
    demandNoMore(arguments, 1, "stream");
    const { after, ...checked } = checkOptions("stream", options, streamOptions);
    return windowStream((ids) => this.decode(ids, checked), (id) => demandId(id) < this.vocabSize, after);
  }

  /** The id of a token, written as in the vocabulary. */
  tokenToId(token: string): number | undefined {
    demandNoMore(arguments, 1, "tokenToId");
    return this.#ids.get(token);
  }

  /** The token of an id, written as in the vocabulary. */
  idToToken(id: number): string | undefined {
    demandNoMore(arguments, 1, "idToToken");
    return this.#parts.pieces[id]?.text ?? this.#added.byId.get(id)?.content;
  }

  /** Of {@link SentencePieceTokenizer.toJSON} what says which tokens are added and how ids become text. */
  outline(): { readonly added_tokens: readonly unknown[]; readonly decoder: unknown } {
    demandNoMore(arguments, 0, "outline");
    const { pieces, byteFallback, addDummyPrefix } = this.#parts;
    const added = new Map(
      pieces.flatMap(({ text: content, type }, id): [number, AddedToken][] =>
        type === pieceTypes.control || type === pieceTypes.unknown || type === pieceTypes.userDefined
          ? [[id, { id, content, special: type !== pieceTypes.userDefined }]]
          : []
      ),
    );
    for (const token of this.#added.byId.values()) added.set(token.id, token);
    return {
      added_tokens: [...added.values()].sort((a, b) => a.id - b.id).map(addedTokenToJSON),
      decoder: {
        type: "Sequence",
        decoders: [
          { type: "Replace", pattern: { String: spaceSymbol }, content: " " },
          ...byteFallback ? [{ type: "ByteFallback" }] : [],
          { type: "Fuse" },
          ...addDummyPrefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : [],
        ],
      },
    };
  }

  /** The value of a Hugging Face tokenizer.json that gives the same ids. */
  toJSON(): unknown {
    const { added_tokens, decoder } = this.outline();
    const {
      pieces,
      model,
      byteFallback,
      addDummyPrefix,
      removeExtraWhitespaces,
      charsMap,
      addBos,
      addEos,
      prefixFirst,
    } = this.#parts;
    const normalizers: object[] = [];
    if (charsMap && charsMap.length > 0) {
      normalizers.push({ type: "Precompiled", precompiled_charsmap: base64(charsMap) });
    }
    if (removeExtraWhitespaces) {
      normalizers.push({ type: "Strip", strip_left: true, strip_right: true });
      normalizers.push({ type: "Replace", pattern: { Regex: " {2,}" }, content: " " });
    }
    const isFirst = addDummyPrefix && prefixFirst === true;
    if (addDummyPrefix && !isFirst) normalizers.push({ type: "Prepend", prepend: spaceSymbol });
    if (!isFirst) normalizers.push({ type: "Replace", pattern: { String: " " }, content: spaceSymbol });
    const token = (id: number | undefined) =>
      id === undefined ? [] : [{ SpecialToken: { id: this.idToToken(id)!, type_id: 0 } }];
    const { bosTokenId, eosTokenId } = this.#parts,
      bos = addBos ? token(bosTokenId) : [],
      eos = addEos ? token(eosTokenId) : [];
    const specials = [...addBos ? [bosTokenId] : [], ...addEos ? [eosTokenId] : []].filter((id) =>
      id !== undefined
    );
    return {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens,
      normalizer: normalizers.length === 0 ? null : { type: "Sequence", normalizers },
      pre_tokenizer: isFirst
        ? { type: "Metaspace", replacement: spaceSymbol, prepend_scheme: "first", split: false }
        : null,
      post_processor: specials.length === 0 ? null : {
        type: "TemplateProcessing",
        single: [...bos, { Sequence: { id: "A", type_id: 0 } }, ...eos],
        pair: [
          ...bos,
          { Sequence: { id: "A", type_id: 0 } },
          ...bos,
          { Sequence: { id: "B", type_id: 1 } },
          ...eos,
        ],
        special_tokens: Object.fromEntries(
          specials.map((id) => this.idToToken(id!)!).map((
            name,
            i,
          ) => [name, { id: name, ids: [specials[i]], tokens: [name] }]),
        ),
      },
      decoder,
      model: model === "unigram"
        ? {
          type: "Unigram",
          unk_id: this.#unknown,
          vocab: pieces.map(({ text, score }) => [text, score]),
          byte_fallback: byteFallback,
        }
        : {
          type: "BPE",
          dropout: null,
          unk_token: pieces[this.#unknown].text,
          continuing_subword_prefix: null,
          end_of_word_suffix: null,
          fuse_unk: true,
          byte_fallback: byteFallback,
          vocab: Object.fromEntries(pieces.map(({ text }, id) => [text, id])),
          merges: this.#merges(),
        },
    };
  }

  /** The pairs that BPE joins, in the order of their scores: every way to make a piece of two others. */
  #merges(): string[] {
    const { pieces } = this.#parts,
      found: { first: string; second: string; score: number; rank: number[] }[] = [];
    for (const [text, id] of this.#cut) {
      const letters = [...text];
      for (let i = 1; i < letters.length; i++) {
        const first = letters.slice(0, i).join(""), second = letters.slice(i).join("");
        const a = this.#cut.get(first), b = this.#cut.get(second);
        if (a !== undefined && b !== undefined) {
          found.push({ first, second, score: pieces[id].score, rank: [a, b] });
        }
      }
    }
    found.sort((x, y) => y.score - x.score || x.rank[0] - y.rank[0] || x.rank[1] - y.rank[1]);
    return found.map(({ first, second }) => `${first} ${second}`);
  }
}
