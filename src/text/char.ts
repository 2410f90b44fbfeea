/**
 * One id for each character: the tokenizer for small models and small alphabets.
 *
 * A character is a Unicode code point (a lone surrogate counts as one), so an emoji of several code points takes
 * several ids. It is saved as a Hugging Face tokenizer.json: BPE without merges over single characters, which every
 * reader of such files understands.
 *
 * @module
 */
import { demandIterable, demandNoMore, demandNumbers, demandText } from "../core/demand.ts";
import { FormatError, OptionError } from "../core/errors.ts";
import { listOf, text as aText } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { counted, show } from "../core/show.ts";
import { AddedTokens, addedTokenToJSON } from "./added_tokens.ts";
import { pieceStream } from "./stream.ts";
import { decodeOptions, encodeOptions, streamOptions } from "./tokenizer.ts";
import type { DecodeOptions, DecodeStream, EncodeOptions, StreamOptions, Tokenizer } from "./tokenizer.ts";
import { demandId } from "./vocabulary.ts";

/**
 * Options of a {@link CharTokenizer}.
 *
 * @category Text
 */
export interface CharTokenizerOptions {
  /** What an unknown character becomes. Default: none, an unknown character is an error. */
  readonly unkToken?: string;
  /** Special tokens, recognised in texts; their ids follow those of the characters. Default none. */
  readonly specialTokens?: readonly string[];
  /** The token that ends a text. Default: `<|endoftext|>`, when it is one of the special tokens. */
  readonly eosToken?: string;
}

const charOptions: OptionTable<CharTokenizerOptions> = {
  unkToken: aText,
  specialTokens: listOf(aText, "a list of texts"),
  eosToken: aText,
};

/** The pre-tokenizer of the saved form: every code point a piece of its own. */
const splitCharacters = {
  type: "Split",
  pattern: { Regex: "[\\s\\S]" },
  behavior: "Isolated",
  invert: false,
};

/**
 * A tokenizer whose tokens are characters.
 *
 * @category Text
 */
export class CharTokenizer implements Tokenizer {
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** The id of the token that ends a text, if there is one. */
  readonly eosTokenId: number | undefined;
  /** The id that unknown characters get, if there is one. */
  readonly unkTokenId: number | undefined;
  readonly #tokens: readonly string[];
  readonly #ids: ReadonlyMap<string, number>;
  readonly #added: AddedTokens;
  readonly #idOfCode: Int32Array; // of code points up to U+FFFF; -1: unknown
  readonly #characters: number;

  /**
   * A tokenizer that gives `characters` the ids 0, 1, 2 … in their order. Throws OptionError for duplicates.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  constructor(characters: Iterable<string>, options: CharTokenizerOptions = {}) {
    demandNoMore(arguments, 2, "CharTokenizer");
    checkOptions("CharTokenizer", options, charOptions);
    demandIterable("CharTokenizer", characters, "characters", "a list of characters");
    const tokens = [...characters];
    this.#characters = tokens.length;
    for (const token of tokens) {
      demandText("CharTokenizer", token, "a character");
      if (token === "" || token.length !== String.fromCodePoint(token.codePointAt(0)!).length) {
        throw new OptionError(
          `each character should be one code point, and one of them is ${show(token)}`,
        );
      }
    }
    const specials = [...(options.specialTokens ?? [])];
    const unk = options.unkToken;
    if (unk !== undefined && !tokens.includes(unk) && !specials.includes(unk)) specials.push(unk);
    this.#added = new AddedTokens(specials.map((content, k) => ({ id: this.#characters + k, content })));
    tokens.push(...specials);
    this.#tokens = tokens;
    this.#ids = new Map(tokens.map((token, id) => [token, id]));
    this.vocabSize = tokens.length;
    if (tokens.length === 0) {
      throw new OptionError("CharTokenizer: there is no character to give an id; give a text");
    }
    if (this.#ids.size !== tokens.length || specials.includes("")) {
      const twice = tokens.find((token, id) => token === "" || this.#ids.get(token) !== id);
      throw new OptionError(
        `CharTokenizer: characters and special tokens should be distinct, and ${show(twice)} is not`,
      );
    }
    this.unkTokenId = unk === undefined ? undefined : this.#ids.get(unk);
    const eos = options.eosToken ?? "<|endoftext|>";
    this.eosTokenId = options.eosToken === undefined ? this.#added.idOf(eos) : this.#ids.get(eos);
    let largest = 0;
    for (const token of tokens) if (token.length === 1) largest = Math.max(largest, token.charCodeAt(0));
    this.#idOfCode = new Int32Array(largest + 1).fill(-1);
    for (let id = 0; id < this.#characters; id++) {
      if (tokens[id].length === 1) this.#idOfCode[tokens[id].charCodeAt(0)] = id;
    }
  }

  /**
   * A tokenizer for the characters of a text or of several, in the order of their code points.
   *
   * @throws {OptionError} for a text without characters, and for options that do not exist.
   */
  static from(texts: string | Iterable<string>, options: CharTokenizerOptions = {}): CharTokenizer {
    demandNoMore(arguments, 2, "from");
    checkOptions("CharTokenizer.from", options, charOptions);
    demandIterable("CharTokenizer.from", texts, "what to learn from", "a text or several");
    const codes = new Set<number>();
    const tokens = new AddedTokens((options.specialTokens ?? []).map((content, id) => ({ id, content })));
    for (const text of typeof texts === "string" ? [texts] : texts) {
      tokens.split(text, false, (start, end) => {
        for (let i = start; i < end; i++) {
          const code = text.codePointAt(i)!;
          if (code > 0xffff) i++;
          codes.add(code);
        }
      }, () => {});
    }
    const sorted = [...codes].sort((a, b) => a - b);
    return new CharTokenizer(sorted.map((code) => String.fromCodePoint(code)), options);
  }

  /** The characters, in the order of their ids. */
  get characters(): readonly string[] {
    return this.#tokens.slice(0, this.#characters);
  }

  /**
   * The ids of a text. Throws FormatError for an unknown character, unless there is an `unkToken`.
   *
   * @throws {OptionError} for what is no text.
   * @throws {FormatError} for a character that the tokenizer does not have.
   */
  encode(text: string, options: EncodeOptions = {}): number[] {
    demandNoMore(arguments, 2, "encode");
    const { splitSpecialTokens = false } = checkOptions("encode", options, encodeOptions);
    const out: number[] = [];
    this.#added.split(text, splitSpecialTokens, (start, end) => {
      for (let i = start; i < end; i++) {
        const at = i, unit = text.charCodeAt(i);
        let id = unit < this.#idOfCode.length ? this.#idOfCode[unit] : -1;
        if ((unit & 0xfc00) === 0xd800 && text.codePointAt(i)! > 0xffff) {
          id = this.#ids.get(text.slice(i, i + 2)) ?? -1;
          i++;
        }
        if (id < 0) id = this.unkTokenId ?? this.#unknown(text, at);
        out.push(id);
      }
    }, (id) => out.push(id));
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
    return Array.from(ids, (id) => this.#textOf(id, skip)).join("");
  }

  /**
   * Decodes ids one at a time, whole characters only.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  stream(options: StreamOptions = {}): DecodeStream {
    demandNoMore(arguments, 1, "stream");
    const { skipSpecialTokens: skip = false } = checkOptions("stream", options, streamOptions);
    return pieceStream((id) => this.#textOf(id, skip));
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

  /** The value of a Hugging Face tokenizer.json. */
  toJSON(): unknown {
    return {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: [...this.#added.byId.values()].map(addedTokenToJSON),
      normalizer: null,
      pre_tokenizer: splitCharacters,
      post_processor: null,
      decoder: { type: "Fuse" },
      model: {
        type: "BPE",
        dropout: null,
        unk_token: this.unkTokenId === undefined ? null : this.#tokens[this.unkTokenId],
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        vocab: Object.fromEntries(this.#ids),
        merges: [],
      },
    };
  }

  #textOf(id: number, skipSpecialTokens: boolean): string {
    const token = this.#tokens[demandId(id)];
    return token === undefined || skipSpecialTokens && this.#added.isSpecial(id) ? "" : token;
  }

  #unknown(text: string, at: number): never {
    const code = text.codePointAt(at)!, hex = code.toString(16).toUpperCase().padStart(4, "0");
    throw new FormatError(
      `the character ${
        JSON.stringify(String.fromCodePoint(code))
      } (U+${hex}) at position ${at} is not among the ` +
        `${
          counted(this.#characters, "character")
        } of this tokenizer; take it out, or make the tokenizer with an unkToken`,
    );
  }
}
