/**
 * Byte-level BPE, the tokenizer of GPT-2: text → pieces → bytes → merged tokens, and back.
 *
 * Nothing is normalised and every string has an encoding, so `decode(encode(text))` is `text` for any JavaScript
 * string; a lone surrogate counts as its three WTF-8 bytes. Most pieces of a text have been seen before: their ids
 * come from a cache that never makes a substring. References: A. Radford et al., "Language models are unsupervised
 * multitask learners", 2019, and OpenAI's `encoder.py`.
 *
 * @module
 */
import { demandIterable, demandNoMore, demandNumbers, demandRecord, demandText } from "../core/demand.ts";
import { FormatError } from "../core/errors.ts";
import { flag, kind, listOf, object, oneOf, text as aText, whole } from "../core/kinds.ts";
import { checkOptions, type OptionTable, required } from "../core/options.ts";
import type { Steps } from "../core/steps.ts";
import { type AddedToken, AddedTokens, addedTokenToJSON } from "./added_tokens.ts";
import type { Merges } from "./bpe_merge.ts";
import { type BpeTrainOptions, trainBpe, trainBpeAsync } from "./bpe_train.ts";
import { byteSymbols, symbolsToBytes } from "./bytes.ts";
import { normalized, normalizedSteps } from "./canonical.ts";
import { mergesIn, mergesOf } from "./merges.ts";
import { pieceEnd } from "./pattern.ts";
import { pieceEnds, pieceEndsSteps, type SplitExpression } from "./split.ts";
import { byteStream } from "./stream.ts";
import { decodeOptions, encodeOptions, streamOptions } from "./tokenizer.ts";
import type { DecodeOptions, DecodeStream, EncodeOptions, StreamOptions, Tokenizer } from "./tokenizer.ts";
import { fromWtf8, toWtf8, writeWtf8 } from "./utf8.ts";
import { demandId, indexTokens, vocabularyMap } from "./vocabulary.ts";
import { WordTable } from "./words.ts";

/**
 * What a {@link BpeTokenizer} is made of.
 *
 * @category Text
 */
export interface BpeParts {
  /** Ids of the tokens, written in byte symbols (`Ġthe` is " the"). Bytes that have none are left out of texts. */
  readonly vocab: Readonly<Record<string, number>> | ReadonlyMap<string, number>;
  /** Pairs of tokens in the order in which they are merged. */
  readonly merges: Iterable<readonly [first: string, second: string]>;
  /** Tokens recognised in a text before it is cut into pieces. */
  readonly addedTokens?: readonly AddedToken[];
  /** The token that ends a text. Default: `<|endoftext|>`, when it is an added token. */
  readonly eosToken?: string;
  /** Expressions by which a text is cut into pieces, one after the other; see `split.ts`. Default: GPT-2's. */
  readonly splits?: readonly SplitExpression[];
  /** Whether a piece that is a token is that token, whatever the merges say (Llama 3). Default false. */
  readonly ignoreMerges?: boolean;
  /** Whether texts are put into Unicode's composed form first. Default: as they are. */
  readonly normalizer?: "NFC" | null;
  /** Ids put before a text. */
  readonly prefixIds?: readonly number[];
  /** Ids put behind a text. */
  readonly suffixIds?: readonly number[];
}

const CACHED_UNITS = 64; // longer pieces seldom come again
const CACHE_WORDS = 1 << 17, CACHE_UNITS = 1 << 20;
const stepCharacters = 4096;
const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
const nothing = new Uint8Array(0);

const splitKind = kind("an expression", (x) => {
  const { source, pattern } = (x ?? {}) as Partial<SplitExpression>;
  return typeof source === "string" && pattern instanceof RegExp && pattern.global && pattern.unicode;
});

const bpeParts: OptionTable<BpeParts> = {
  vocab: required(object),
  merges: required(
    kind("pairs of tokens", (x) => typeof x === "object" && x !== null && Symbol.iterator in x),
  ),
  addedTokens: kind("a list of tokens", Array.isArray),
  eosToken: aText,
  splits: listOf(
    splitKind,
    "a list of expressions, each with its source and a pattern with the flags g and u",
  ),
  ignoreMerges: flag,
  normalizer: oneOf("NFC", null),
  prefixIds: listOf(whole(0), "a list of ids"),
  suffixIds: listOf(whole(0), "a list of ids"),
};

const pairOptions: OptionTable<{ readonly specialTokens?: readonly string[] }> = {
  specialTokens: listOf(aText, "a list of texts"),
};

/**
 * A byte-level BPE tokenizer, with GPT-2's splitting pattern unless told.
 *
 * @category Text
 */
export class BpeTokenizer implements Tokenizer {
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** The id of the token that ends a text, if there is one. */
  readonly eosTokenId: number | undefined;
  readonly #tokens: readonly (string | undefined)[];
  readonly #ids: ReadonlyMap<string, number>;
  readonly #added: AddedTokens;
  readonly #merges: Merges;
  readonly #splits: readonly SplitExpression[] | null;
  readonly #patterns: readonly RegExp[] | null;
  readonly #ignoreMerges: boolean;
  /** Of the longest token, in bytes. */
  readonly #longest: number;
  readonly #normalizer: "NFC" | null;
  readonly #prefix: readonly number[];
  readonly #suffix: readonly number[];
  /** Of bytes without a token -1. */
  readonly #byteIds: Int32Array;
  readonly #hasHoles: boolean;
  readonly #tokenBytes: (Uint8Array | undefined)[]; // filled in as tokens are decoded

  // The cache: word n has the ids pool[starts[n], starts[n + 1]).
  readonly #words = new WordTable();
  #starts = new Int32Array(1 << 12);
  #pool = new Int32Array(1 << 13);
  #bytes = new Uint8Array(256);
  #piece = new Int32Array(256);

  /**
   * Throws FormatError when no byte has a token, an id around texts is no token's, or a merge joins tokens that are not in the vocabulary.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {FormatError} for a vocabulary whose ids or merges are none, or that has no tokens for bytes.
   */
  constructor(parts: BpeParts) {
    demandNoMore(arguments, 1, "BpeTokenizer");
    checkOptions("BpeTokenizer", parts, bpeParts);
    const vocab = parts.vocab instanceof Map
      ? parts.vocab as ReadonlyMap<string, number>
      : vocabularyMap(parts.vocab as Record<string, number>);
    const added = parts.addedTokens ?? [];
    const { tokens, ids } = indexTokens(vocab, added);
    this.#tokens = tokens;
    this.#ids = ids;
    this.vocabSize = tokens.length;
    this.#tokenBytes = new Array(tokens.length).fill(undefined);
    this.#added = new AddedTokens(added);
    const eos = parts.eosToken ?? "<|endoftext|>";
    this.eosTokenId = parts.eosToken === undefined ? this.#added.idOf(eos) : ids.get(eos);
    this.#byteIds = Int32Array.from(byteSymbols, (symbol) => vocab.get(symbol) ?? -1);
    this.#hasHoles = this.#byteIds.includes(-1);
    if (this.#byteIds.every((id) => id < 0)) {
      throw new FormatError(
        "a byte-level BPE vocabulary has tokens for bytes, and this one has none; was it trained without the byte alphabet?",
      );
    }
    this.#merges = mergesOf(parts.merges, vocab);
    this.#splits = parts.splits ?? null;
    this.#patterns = parts.splits?.map(({ pattern }) => pattern) ?? null;
    this.#ignoreMerges = parts.ignoreMerges ?? false;
    this.#longest = tokens.reduce((most, token) => Math.max(most, token?.length ?? 0), 0);
    this.#normalizer = parts.normalizer ?? null;
    this.#prefix = parts.prefixIds ?? [];
    this.#suffix = parts.suffixIds ?? [];
    const foreign = [...this.#prefix, ...this.#suffix].find((id) => !(id >= 0 && id < this.vocabSize));
    if (foreign !== undefined) {
      throw new FormatError(
        `the id ${foreign} is put around a text, and the tokens go from 0 to ${this.vocabSize - 1}`,
      );
    }
  }

  /**
   * Learns merges from texts: always the most frequent pair of neighbours, of equally frequent ones the pair with
   * the smallest ids, until the vocabulary has its size or no pair is frequent enough. Ids are given as in GPT-2:
   * the 256 bytes, the merges, the special tokens. Throws OptionError for a `vocabSize` that has no room for the
   * bytes and special tokens, CancelledError when the signal is aborted.
   *
   * @throws {OptionError} for no text and for options that do not exist.
   */
  static train(texts: string | Iterable<string>, options: BpeTrainOptions): BpeTokenizer;
  /** The same from texts that arrive one after another, such as those of a stream of files. */
  static train(texts: AsyncIterable<string>, options: BpeTrainOptions): Promise<BpeTokenizer>;
  static train(
    texts: string | Iterable<string> | AsyncIterable<string>,
    options: BpeTrainOptions,
  ): BpeTokenizer | Promise<BpeTokenizer> {
    demandNoMore(arguments, 2, "train");
    demandIterable("BpeTokenizer.train", texts, "what to learn from", "a text or several");
    if (typeof texts !== "string" && Symbol.asyncIterator in texts) {
      return trainBpeAsync(texts, options).then((parts) => new BpeTokenizer(parts));
    }
    return new BpeTokenizer(trainBpe(typeof texts === "string" ? [texts] : texts, options));
  }

  /**
   * From the older pair of files: the value of `vocab.json` (`encoder.json`) and the text of `merges.txt`
   * (`vocab.bpe`). `specialTokens` that are in the vocabulary are recognised in texts; default `<|endoftext|>`.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {FormatError} naming the line of merges.txt that is no pair of tokens, and for a vocabulary that is none.
   */
  static fromVocabMerges(
    vocab: Readonly<Record<string, number>>,
    merges: string,
    options: { readonly specialTokens?: readonly string[] } = {},
  ): BpeTokenizer {
    demandNoMore(arguments, 3, "fromVocabMerges");
    const { specialTokens = ["<|endoftext|>"] } = checkOptions("fromVocabMerges", options, pairOptions);
    demandRecord("fromVocabMerges", vocab, "vocab", "the ids of tokens by their text");
    demandText("fromVocabMerges", merges, "merges");
    const addedTokens: AddedToken[] = [];
    for (const content of specialTokens) {
      if (Object.hasOwn(vocab, content)) addedTokens.push({ id: vocab[content], content, normalized: true });
    }
    return new BpeTokenizer({ vocab, merges: mergesIn(merges), addedTokens });
  }

  /**
   * The ids of a text; special tokens in it become theirs.
   *
   * @throws {OptionError} for what is no text.
   */
  encode(text: string, options: EncodeOptions = {}): number[] {
    demandNoMore(arguments, 2, "encode");
    const { addSpecialTokens: isWhole = true, splitSpecialTokens = false } = checkOptions(
      "encode",
      options,
      encodeOptions,
    );
    const out: number[] = isWhole ? [...this.#prefix] : [];
    this.#added.split(
      text,
      splitSpecialTokens,
      (start, end) => {
        if (this.#normalizer === null) return this.#encodeText(text, start, end, out);
        const composed = normalized(text.slice(start, end), this.#normalizer);
        this.#encodeText(composed, 0, composed.length, out);
      },
      (id) => out.push(id),
    );
    if (isWhole) out.push(...this.#suffix);
    return out;
  }

  /**
   * What `encode` gives, in steps of some thousand characters: for who may not keep others waiting.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  *encodeSteps(text: string, options: EncodeOptions = {}): Generator<number, number[], void> {
    demandNoMore(arguments, 2, "encodeSteps");
    const { addSpecialTokens: isWhole = true, splitSpecialTokens = false } = checkOptions(
      "encodeSteps",
      options,
      encodeOptions,
    );
    const out: number[] = isWhole ? [...this.#prefix] : [];
    for (const stretch of this.#added.stretches(text, splitSpecialTokens)) {
      if (typeof stretch === "number") {
        out.push(stretch);
        continue;
      }
      const own = this.#normalizer === null ? stretch : yield* normalizedSteps(stretch, this.#normalizer);
      const ends = this.#patterns && (yield* pieceEndsSteps(own, 0, own.length, this.#patterns));
      for (let from = 0, piece = 0; from < own.length;) {
        const first = piece;
        let to = from;
        while (to < own.length && to - from < stepCharacters) {
          const end = ends ? ends[piece] : pieceEnd(own, to, own.length);
          // A long one makes steps of its own.
          if (to > from && end - to > stepCharacters) break;
          to = end;
          piece++;
        }
        if (to - from > 2 * stepCharacters) yield* this.#encodeLong(own, from, to, out);
        else {
          this.#encodePieces(own, from, to, ends && ends.slice(first, piece), out);
          yield 4 * (to - from);
        }
        from = to;
      }
    }
    if (isWhole) out.push(...this.#suffix);
    return out;
  }

  /**
   * The text of ids. Ids beyond the vocabulary have none. Throws ShapeError for what is no id.
   *
   * @throws {OptionError} for what is no list of ids.
   * @throws {ShapeError} for what is no id: ids are whole numbers from 0.
   */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    demandNoMore(arguments, 2, "decode");
    const { skipSpecialTokens: skip = false } = checkOptions("decode", options, decodeOptions);
    demandNumbers("decode", ids, "ids");
    let length = 0;
    for (let i = 0; i < ids.length; i++) length += this.#bytesOf(ids[i], skip).length;
    const bytes = new Uint8Array(length);
    for (let i = 0, at = 0; i < ids.length; i++) {
      const token = this.#bytesOf(ids[i], skip);
      for (let k = 0; k < token.length; k++) bytes[at++] = token[k];
    }
    return fromWtf8(bytes);
  }

  /**
   * Decodes ids one at a time, whole characters only.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  stream(options: StreamOptions = {}): DecodeStream {
    demandNoMore(arguments, 1, "stream");
    const { skipSpecialTokens: skip = false } = checkOptions("stream", options, streamOptions);
    return byteStream((id) => this.#bytesOf(id, skip));
  }

  /** The id of a token, written as in the vocabulary. */
  tokenToId(token: string): number | undefined {
    demandNoMore(arguments, 1, "tokenToId");
    return this.#ids.get(token);
  }

  /** The token of an id, written as in the vocabulary. */
  idToToken(id: number): string | undefined {
    demandNoMore(arguments, 1, "idToToken");
    return this.#tokens[id];
  }

  /** Of {@link BpeTokenizer.toJSON} what says which tokens are added and how ids become text. */
  outline(): { readonly added_tokens: readonly unknown[]; readonly decoder: unknown } {
    demandNoMore(arguments, 0, "outline");
    return { added_tokens: [...this.#added.byId.values()].map(addedTokenToJSON), decoder: { ...byteLevel } };
  }

  /** The value of a Hugging Face tokenizer.json. */
  toJSON(): unknown {
    const { added_tokens, decoder } = this.outline();
    const merges: string[] = [];
    for (let rank = 0; rank < this.#merges.size; rank++) {
      const [first, second] = this.#merges.at(rank);
      merges.push(`${this.#tokens[first]} ${this.#tokens[second]}`);
    }
    return {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens,
      normalizer: this.#normalizer && { type: this.#normalizer },
      pre_tokenizer: this.#splits === null ? byteLevel : {
        type: "Sequence",
        pretokenizers: [
          ...this.#splits.map(({ source: Regex }) => ({
            type: "Split",
            pattern: { Regex },
            behavior: "Isolated",
            invert: false,
          })),
          { ...byteLevel, use_regex: false },
        ],
      },
      post_processor: this.#template() ?? { ...byteLevel, trim_offsets: false },
      decoder,
      model: {
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: "",
        end_of_word_suffix: "",
        fuse_unk: false,
        byte_fallback: false,
        ...(this.#ignoreMerges ? { ignore_merges: true } : {}),
        // fromEntries defines properties, so that a token called "__proto__" is one like any other.
        vocab: Object.fromEntries(
          this.#tokens.flatMap((token, id) => token === undefined ? [] : [[token, id]]),
        ),
        merges,
      },
    };
  }

  /** What a tokenizer.json says of the ids around a text. */
  #template(): object | null {
    const around = [...this.#prefix, ...this.#suffix];
    if (around.length === 0) return null;
    const name = (id: number): string => this.#tokens[id]!;
    const put = (ids: readonly number[], type_id: number) =>
      ids.map((id) => ({ SpecialToken: { id: name(id), type_id } }));
    const text = (id: "A" | "B", type_id: number) => [
      ...put(this.#prefix, type_id),
      { Sequence: { id, type_id } },
      ...put(this.#suffix, type_id),
    ];
    return {
      type: "TemplateProcessing",
      single: text("A", 0),
      pair: [...text("A", 0), ...text("B", 1)],
      special_tokens: Object.fromEntries(
        around.map((id) => [name(id), { id: name(id), ids: [id], tokens: [name(id)] }]),
      ),
    };
  }

  #bytesOf(id: number, skipSpecialTokens: boolean): Uint8Array {
    if (skipSpecialTokens && this.#added.isSpecial(id)) return nothing;
    return this.#tokenBytes[id] ?? this.#spell(id);
  }

  #spell(id: number): Uint8Array {
    const token = this.#tokens[demandId(id)];
    if (token === undefined) return nothing;
    return this.#tokenBytes[id] = (this.#added.byId.has(id) ? undefined : symbolsToBytes(token)) ??
      toWtf8(token);
  }

  #encodeText(text: string, start: number, end: number, out: number[]): void {
    this.#encodePieces(text, start, end, this.#patterns && pieceEnds(text, start, end, this.#patterns), out);
  }

  /** The ids of `text[start, end)`, which is cut at `ends`; without them by GPT-2's own pattern. */
  #encodePieces(
    text: string,
    start: number,
    end: number,
    ends: readonly number[] | null,
    out: number[],
  ): void {
    for (let from = start, piece = 0; from < end;) {
      const to = ends ? ends[piece++] : pieceEnd(text, from, end);
      if (to - from > CACHED_UNITS) {
        const length = this.#encodePiece(text, from, to);
        for (let i = 0; i < length; i++) out.push(this.#piece[i]);
      } else {
        const word = this.#words.add(text, from, to);
        if (word >= 0) {
          const last = this.#starts[word + 1];
          for (let i = this.#starts[word]; i < last; i++) out.push(this.#pool[i]);
        } else {
          const length = this.#encodePiece(text, from, to);
          for (let i = 0; i < length; i++) out.push(this.#piece[i]);
          this.#remember(~word, length);
          if (this.#words.size >= CACHE_WORDS || this.#words.units >= CACHE_UNITS) this.#words.clear();
        }
      }
      from = to;
    }
  }

  /** The ids of one piece, into the front of `#piece`; returns how many. */
  #encodePiece(text: string, start: number, end: number): number {
    const room = 3 * (end - start);
    if (this.#bytes.length < room || this.#bytes.length > 65536 && room < 65536) {
      this.#bytes = new Uint8Array(Math.max(256, room));
      this.#piece = new Int32Array(this.#bytes.length);
    }
    const length = writeWtf8(text, start, end, this.#bytes, 0);
    const whole = this.#wholeId(this.#bytes, length);
    if (whole !== undefined) {
      this.#piece[0] = whole;
      return 1;
    }
    for (let i = 0; i < length; i++) this.#piece[i] = this.#byteIds[this.#bytes[i]];
    return this.#merges.merge(this.#piece, this.#hasHoles ? withoutHoles(this.#piece, length) : length);
  }

  /** The token that these bytes are, where that comes before what they merge into. */
  #wholeId(bytes: Uint8Array, length: number): number | undefined {
    if (!this.#ignoreMerges || length > this.#longest) return undefined;
    let symbols = "";
    for (let i = 0; i < length; i++) symbols += byteSymbols[bytes[i]];
    const whole = this.#ids.get(symbols);
    return whole === undefined || this.#added.byId.has(whole) ? undefined : whole;
  }

  /** The ids of one long piece, in steps; in memory of its own, since other texts are encoded between them. */
  *#encodeLong(text: string, start: number, end: number, out: number[]): Steps<void> {
    const bytes = new Uint8Array(3 * (end - start));
    let length = 0;
    for (let from = start, to = start; from < end; from = to) {
      to = Math.min(from + stepCharacters, end);
      // Halves of a character stay together.
      if (to < end && (text.charCodeAt(to) & 0xfc00) === 0xdc00) to++;
      length = writeWtf8(text, from, to, bytes, length);
      yield to - from;
    }
    const whole = this.#wholeId(bytes, length);
    if (whole !== undefined) return void out.push(whole);
    const ids = new Int32Array(length);
    for (let i = 0; i < length; i++) {
      ids[i] = this.#byteIds[bytes[i]];
      if (i % stepCharacters === 0) yield stepCharacters >> 2;
    }
    const kept = yield* this.#merges.mergeSteps(ids, this.#hasHoles ? withoutHoles(ids, length) : length);
    for (let i = 0; i < kept; i++) {
      out.push(ids[i]);
      if (i % stepCharacters === 0) yield stepCharacters >> 2;
    }
  }

  #remember(word: number, length: number): void {
    if (word + 1 >= this.#starts.length) this.#starts = grown(this.#starts, word + 2);
    const at = word === 0 ? 0 : this.#starts[word];
    if (at + length > this.#pool.length) this.#pool = grown(this.#pool, at + length);
    for (let i = 0; i < length; i++) this.#pool[at + i] = this.#piece[i];
    this.#starts[word + 1] = at + length;
  }
}

/** Leaves out what is no id, as the library of Hugging Face does before it merges; returns how many are left. */
function withoutHoles(ids: Int32Array, length: number): number {
  let kept = 0;
  for (let i = 0; i < length; i++) if (ids[i] >= 0) ids[kept++] = ids[i];
  return kept;
}

function grown(array: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(Math.max(2 * array.length, length));
  larger.set(array);
  return larger;
}
