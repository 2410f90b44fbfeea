/**
 * What every tokenizer can do, and nothing about how.
 *
 * Models, generation and training know a tokenizer by this interface alone; which class stands behind it depends
 * on the file it came from.
 *
 * @module
 */
import { flag, listOf, whole } from "../core/kinds.ts";
import type { OptionTable } from "../core/options.ts";

/**
 * How {@link Tokenizer.encode} treats special tokens.
 *
 * @category Text
 */
export interface EncodeOptions {
  /** Add what the tokenizer puts around a text, such as `[CLS] … [SEP]`. Default true; GPT-2 puts nothing. */
  readonly addSpecialTokens?: boolean;
  /**
   * Treat the text of special tokens (`<|endoftext|>`) as ordinary text. Default false: they become their one id.
   * Named as in Hugging Face `transformers`.
   */
  readonly splitSpecialTokens?: boolean;
}

/**
 * How {@link Tokenizer.decode} treats special tokens.
 *
 * @category Text
 */
export interface DecodeOptions {
  /** Leave special tokens out of the text. Default false. */
  readonly skipSpecialTokens?: boolean;
}

/**
 * How {@link Tokenizer.stream} begins.
 *
 * @category Text
 */
export interface StreamOptions extends DecodeOptions {
  /**
   * Ids of the text that these go on with, or the last of them. At the front of a text some tokenizers leave a space out, which
   * within one is the space between two words. Default none: a text begins.
   */
  readonly after?: readonly number[];
}

/** {@link EncodeOptions} as data. */
export const encodeOptions: OptionTable<EncodeOptions> = { addSpecialTokens: flag, splitSpecialTokens: flag };

/** {@link DecodeOptions} as data. */
export const decodeOptions: OptionTable<DecodeOptions> = { skipSpecialTokens: flag };

/** {@link StreamOptions} as data. */
export const streamOptions: OptionTable<StreamOptions> = {
  ...decodeOptions,
  after: listOf(whole(0), "a list of token ids"),
};

/**
 * Text from ids that arrive one at a time. The pieces, joined, are what `decode` gives for all the ids.
 *
 * @category Text
 */
export interface DecodeStream {
  /**
   * Takes the next id; returns the text that is now complete, `""` while a character is still in parts.
   * @throws {ShapeError} for what is no id: ids are whole numbers from 0.
   */
  push(id: number): string;
  /** Ends the text: returns what is left, with U+FFFD for a character that never became whole. */
  flush(): string;
}

/**
 * Text to ids and back.
 *
 * @category Text
 */
export interface Tokenizer {
  /** One more than the largest id: the number of rows an embedding for this tokenizer needs. */
  readonly vocabSize: number;
  /** The id of the token that ends a text, if there is one. */
  readonly eosTokenId?: number | undefined;
  /**
   * The ids of a text.
   *
   * @throws {OptionError} for what is no text.
   */
  encode(text: string, options?: EncodeOptions): number[];
  /**
   * What `encode` gives, in steps, where the tokenizer can; see `core/steps.ts`.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  encodeSteps?(text: string, options?: EncodeOptions): Generator<number, number[], void>;
  /**
   * The text of ids. Ids beyond the vocabulary have none. Throws ShapeError for what is no id.
   *
   * @throws {OptionError} for what is no list of ids.
   * @throws {ShapeError} for what is no id: ids are whole numbers from 0.
   */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /**
   * Decodes ids one at a time, never splitting a character.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  stream(options?: StreamOptions): DecodeStream;
  /** The id of a token, written as in the vocabulary. */
  tokenToId(token: string): number | undefined;
  /** The token of an id, written as in the vocabulary. */
  idToToken(id: number): string | undefined;
  /** The value of a Hugging Face `tokenizer.json` that gives the same ids. */
  toJSON(): unknown;
  /** Of that value what says which tokens are added and how ids become text, without the vocabulary, which is large. */
  outline?(): { readonly added_tokens: readonly unknown[]; readonly decoder: unknown };
}
