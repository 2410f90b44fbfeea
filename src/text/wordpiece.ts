/**
 * WordPiece, the tokenizer of BERT (Devlin et al. 2018): words are cut at white space and punctuation, and each is taken
 * apart from its front into the longest pieces there are; a word that cannot be is unknown as a whole.
 *
 * @module
 */
import { demandNoMore, demandNumbers } from "../core/demand.ts";
import { FormatError } from "../core/errors.ts";
import * as kinds from "../core/kinds.ts";
import { checkOptions, type OptionTable, required } from "../core/options.ts";
import { finish, type Steps } from "../core/steps.ts";
import { type AddedToken, AddedTokens, addedTokenToJSON } from "./added_tokens.ts";
import { normalizedSteps } from "./canonical.ts";
import { windowStream } from "./stream.ts";
import { decodeOptions, encodeOptions, streamOptions } from "./tokenizer.ts";
import type { DecodeOptions, DecodeStream, EncodeOptions, StreamOptions, Tokenizer } from "./tokenizer.ts";
import { demandId } from "./vocabulary.ts";

/**
 * What a {@link WordPieceTokenizer} is made of.
 *
 * @category Text
 */
export interface WordPieceParts {
  /** The tokens, by id; those that go on a word begin with `##`. */
  readonly tokens: readonly string[];
  /** Whether letters are made small. Default true. */
  readonly lowercase?: boolean;
  /** Whether they lose their accents. Default: where they are made small. */
  readonly stripAccents?: boolean;
  /** The token of what is unknown. Default `[UNK]`. */
  readonly unkToken?: string;
  /** The token before a text. Default `[CLS]`. */
  readonly clsToken?: string;
  /** The token behind a text. Default `[SEP]`. */
  readonly sepToken?: string;
  /** Tokens that are left out by `skipSpecialTokens`, beside these. */
  readonly specialTokens?: readonly string[];
}

const { text } = kinds, texts = kinds.listOf(text, "a list of texts");

const wordPieceParts: OptionTable<WordPieceParts> = {
  tokens: required(texts),
  lowercase: kinds.flag,
  stripAccents: kinds.flag,
  unkToken: text,
  clsToken: text,
  sepToken: text,
  specialTokens: texts,
};

/** Longer words are unknown, as in BERT. */
const longestWord = 100;

/** Words that make a step, and characters that are looked at together. */
const stepWords = 128, stepCharacters = 16_384;
const space = /[ \t\n\r]/g;

const ignorable = /[\0\ufffd]|(?![\t\n\r])\p{C}/gu;
const chinese =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b820}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;
const words = /[^\p{White_Space}\p{P}!-/:-@[-`{-~]+|[\p{P}!-/:-@[-`{-~]/gu;

/**
 * A WordPiece tokenizer.
 *
 * @category Text
 */
export class WordPieceTokenizer implements Tokenizer {
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** The id of the token that ends a text. */
  readonly eosTokenId: number | undefined;
  readonly #parts: WordPieceParts;
  readonly #ids: ReadonlyMap<string, number>;
  readonly #added: AddedTokens;
  readonly #unknown: number;
  readonly #cls: number | undefined;
  readonly #sep: number | undefined;

  /**
   * From its tokens.
   *
   * @throws {FormatError} where the unknown token is not among them.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  constructor(parts: WordPieceParts) {
    demandNoMore(arguments, 1, "WordPieceTokenizer");
    checkOptions("WordPieceTokenizer", parts, wordPieceParts);
    const { tokens, unkToken = "[UNK]", clsToken = "[CLS]", sepToken = "[SEP]", specialTokens = [] } = parts;
    this.#parts = parts;
    this.#ids = new Map(tokens.map((token, id) => [token, id]));
    this.vocabSize = tokens.length;
    const unknown = this.#ids.get(unkToken);
    if (unknown === undefined) throw new FormatError(`the vocabulary has no ${unkToken} for what is unknown`);
    this.#unknown = unknown;
    this.#cls = this.#ids.get(clsToken);
    this.#sep = this.#ids.get(sepToken);
    this.eosTokenId = this.#sep;
    const special = new Set([unkToken, clsToken, sepToken, "[PAD]", "[MASK]", ...specialTokens]);
    this.#added = new AddedTokens(
      [...special].flatMap((content): AddedToken[] => {
        const id = this.#ids.get(content);
        return id === undefined ? [] : [{ id, content, special: true }];
      }),
    );
  }

  /**
   * The ids of a text; special tokens in it become theirs.
   *
   * @throws {OptionError} for what is no text.
   */
  encode(text: string, options: EncodeOptions = {}): number[] {
    demandNoMore(arguments, 2, "encode");
    const { addSpecialTokens: around = true, splitSpecialTokens = false } = checkOptions(
      "encode",
      options,
      encodeOptions,
    );
    return finish(this.#steps(text, around, splitSpecialTokens));
  }

  /**
   * What `encode` gives, in steps of some hundred words: for who may not keep others waiting.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  encodeSteps(text: string, options: EncodeOptions = {}): Generator<number, number[], void> {
    demandNoMore(arguments, 2, "encodeSteps");
    const { addSpecialTokens: around = true, splitSpecialTokens = false } = checkOptions(
      "encodeSteps",
      options,
      encodeOptions,
    );
    return this.#steps(text, around, splitSpecialTokens);
  }

  *#steps(text: string, around: boolean, splitSpecialTokens: boolean): Steps<number[]> {
    const out: number[] = [];
    if (around && this.#cls !== undefined) out.push(this.#cls);
    for (const stretch of this.#added.stretches(text, splitSpecialTokens)) {
      if (typeof stretch === "number") out.push(stretch);
      else {
        for (let from = 0, to = 0; from < stretch.length; from = to) {
          // Nothing reaches over a space.
          space.lastIndex = from + stepCharacters;
          to = space.exec(stretch)?.index ?? stretch.length;
          yield* this.#encodeText(stretch.slice(from, to), out);
        }
      }
    }
    if (around && this.#sep !== undefined) out.push(this.#sep);
    return out;
  }

  *#encodeText(text: string, out: number[]): Steps<void> {
    let clean = text.toWellFormed().replaceAll(ignorable, "").replaceAll(chinese, " $& ");
    const { lowercase = true, stripAccents = lowercase } = this.#parts;
    if (stripAccents) clean = (yield* normalizedSteps(clean, "NFD")).replaceAll(/\p{Mn}/gu, "");
    if (lowercase) clean = clean.toLowerCase();
    yield clean.length >> 2;
    let count = 0;
    for (const [word] of clean.matchAll(words)) {
      this.#encodeWord(word, out);
      if (++count % stepWords === 0) yield 100 * stepWords;
    }
  }

  #encodeWord(word: string, out: number[]): void {
    const letters = [...word], ids: number[] = [];
    if (letters.length > longestWord) {
      out.push(this.#unknown);
      return;
    }
    for (let from = 0; from < letters.length;) {
      let to = letters.length, id: number | undefined;
      for (; to > from && id === undefined; to--) {
        id = this.#ids.get((from > 0 ? "##" : "") + letters.slice(from, to).join(""));
      }
      if (id === undefined) {
        out.push(this.#unknown);
        return;
      }
      ids.push(id);
      from = to + 1;
    }
    out.push(...ids);
  }

  /**
   * The text of ids, words with a space between. Ids beyond the vocabulary have none. Throws ShapeError for what is no id.
   *
   * @throws {OptionError} for what is no list of ids.
   * @throws {ShapeError} for what is no id: ids are whole numbers from 0.
   */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    demandNoMore(arguments, 2, "decode");
    const { skipSpecialTokens: skip = false } = checkOptions("decode", options, decodeOptions);
    demandNumbers("decode", ids, "ids");
    let text = "";
    for (let i = 0; i < ids.length; i++) {
      const token = this.#parts.tokens[demandId(ids[i])];
      if (token === undefined || skip && this.#added.isSpecial(ids[i])) continue;
      text += token.startsWith("##") ? token.slice(2) : text === "" ? token : ` ${token}`;
    }
    return text;
  }

  /**
   * Decodes ids one at a time.
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
    return this.#parts.tokens[id];
  }

  /** Of {@link WordPieceTokenizer.toJSON} what says which tokens are added and how ids become text. */
  outline(): { readonly added_tokens: readonly unknown[]; readonly decoder: unknown } {
    demandNoMore(arguments, 0, "outline");
    return {
      added_tokens: [...this.#added.byId.values()].map(addedTokenToJSON),
      decoder: { type: "WordPiece", prefix: "##", cleanup: false },
    };
  }

  /** The value of a Hugging Face tokenizer.json that gives the same ids. */
  toJSON(): unknown {
    const { added_tokens, decoder } = this.outline();
    const {
      tokens,
      lowercase = true,
      stripAccents,
      unkToken = "[UNK]",
      clsToken = "[CLS]",
      sepToken = "[SEP]",
    } = this.#parts;
    const special = (id: string, type_id: number) => ({ SpecialToken: { id, type_id } });
    const template = this.#cls === undefined || this.#sep === undefined ? null : {
      type: "TemplateProcessing",
      single: [special(clsToken, 0), { Sequence: { id: "A", type_id: 0 } }, special(sepToken, 0)],
      pair: [
        special(clsToken, 0),
        { Sequence: { id: "A", type_id: 0 } },
        special(sepToken, 0),
        { Sequence: { id: "B", type_id: 1 } },
        special(sepToken, 1),
      ],
      special_tokens: Object.fromEntries(
        [clsToken, sepToken].map((id) => [id, { id, ids: [this.#ids.get(id)], tokens: [id] }]),
      ),
    };
    return {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens,
      normalizer: {
        type: "BertNormalizer",
        clean_text: true,
        handle_chinese_chars: true,
        strip_accents: stripAccents ?? null,
        lowercase,
      },
      pre_tokenizer: { type: "BertPreTokenizer" },
      post_processor: template,
      decoder,
      model: {
        type: "WordPiece",
        unk_token: unkToken,
        continuing_subword_prefix: "##",
        max_input_chars_per_word: longestWord,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      },
    };
  }
}
