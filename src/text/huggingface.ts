/**
 * The door to `@huggingface/tokenizers`, for every tokenizer.json that this library does not read itself.
 *
 * The package is loaded when the first such file is, never before. What differs here from using it directly: white
 * space is Unicode's (see `white_space.ts`), `splitSpecialTokens` and streaming exist, no ids have an empty text, and
 * decoding never "cleans up" spaces before punctuation, because that would change the text. Lone surrogates become
 * U+FFFD, as in any UTF-8.
 *
 * @module
 */
import { demandNoMore, demandNumbers, demandText } from "../core/demand.ts";
import { FerrotypeError, FormatError } from "../core/errors.ts";
import { checkOptions } from "../core/options.ts";
import { importPackage, optionalPackages } from "../core/packages.ts";
import { symbolsToBytes } from "./bytes.ts";
import { byteStream, windowStream } from "./stream.ts";
import { decodeOptions, encodeOptions, streamOptions } from "./tokenizer.ts";
import type { DecodeOptions, DecodeStream, EncodeOptions, StreamOptions, Tokenizer } from "./tokenizer.ts";
import { checkExpressions, checkTokenizer } from "./tokenizer_check.ts";
import { fromWtf8, toWtf8 } from "./utf8.ts";
import { demandId } from "./vocabulary.ts";
import { withUnicodeWhiteSpace } from "./white_space.ts";

/** The part of the package's `Tokenizer` that is used here. */
interface PackageTokenizer {
  readonly post_processor:
    | ((tokens: string[], pair: null, addSpecialTokens: boolean) => { tokens: string[] })
    | null;
  encode(
    text: string,
    options: { add_special_tokens: boolean },
  ): { ids: (number | undefined)[]; tokens: string[] };
  decode(
    ids: number[],
    options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean },
  ): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_vocab(): Map<string | undefined, number>;
  get_added_tokens_decoder(): Map<number, { readonly content: string; readonly special: boolean }>;
}

interface Package {
  readonly Tokenizer: new (tokenizer: object, config: object) => PackageTokenizer;
}

type Json = Record<string, unknown>;

const nothing = new Uint8Array(0);

function loadPackage(): Promise<Package> {
  return optionalPackages(
    "@huggingface/tokenizers",
    "this tokenizer.json",
    () => importPackage<Package>("@huggingface/tokenizers"),
  );
}

/** Does what the package does; an error of its own is the file's fault, and says so. */
function trying<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof FerrotypeError) throw cause;
    // What the package stumbles over itself says nothing to anybody.
    const reason = cause instanceof TypeError ? "a part of it has an unknown form" : (cause as Error).message;
    throw new FormatError(`@huggingface/tokenizers ${what}: ${reason}`, { cause });
  }
}

/** The package's tokenizer with errors of ours. */
function guarded(made: PackageTokenizer): PackageTokenizer {
  const { post_processor: process } = made, failed = "failed on this tokenizer.json";
  return {
    post_processor: process && ((...given) => trying(failed, () => process(...given))),
    encode: (...given) => trying(failed, () => made.encode(...given)),
    decode: (...given) => trying(failed, () => made.decode(...given)),
    token_to_id: (token) => made.token_to_id(token),
    id_to_token: (id) => made.id_to_token(id),
    get_vocab: () => made.get_vocab(),
    get_added_tokens_decoder: () => made.get_added_tokens_decoder(),
  };
}

/**
 * A tokenizer that is run by `@huggingface/tokenizers`.
 *
 * @category Text
 */
export class HuggingFaceTokenizer implements Tokenizer {
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** The id of the token that ends a text, if there is one. */
  readonly eosTokenId: number | undefined;
  readonly #json: Json;
  readonly #make: (json: Json) => PackageTokenizer;
  readonly #tokenizer: PackageTokenizer;
  readonly #special: ReadonlySet<number>;
  readonly #added: ReadonlyMap<number, { readonly content: string }>;
  readonly #byteLevel: boolean;
  #plain: PackageTokenizer | undefined; // knows no special tokens; made when first asked for

  private constructor(json: Json, make: (json: Json) => PackageTokenizer, eosToken: string | undefined) {
    this.#json = json;
    this.#make = make;
    this.#tokenizer = make(json);
    let largest = -1;
    for (const id of this.#tokenizer.get_vocab().values()) largest = Math.max(largest, id);
    this.vocabSize = largest + 1;
    const added = this.#tokenizer.get_added_tokens_decoder();
    this.#added = added;
    this.#special = new Set([...added].filter(([, token]) => token.special).map(([id]) => id));
    const eos = this.#tokenizer.token_to_id(eosToken ?? "<|endoftext|>");
    this.eosTokenId = eosToken === undefined && eos !== undefined && !this.#special.has(eos)
      ? undefined
      : eos;
    const decoder = json.decoder as Json | null | undefined, model = json.model as Json;
    this.#byteLevel = decoder?.type === "ByteLevel" && !model.end_of_word_suffix;
  }

  /**
   * Loads the value of a tokenizer.json, with that of its tokenizer_config.json if there is one. `eosToken` is the
   * token that ends a text. Throws FormatError when the package cannot read it, FerrotypeError when there is no
   * package.
   */
  static async load(json: Json, config: Json, eosToken: string | undefined): Promise<HuggingFaceTokenizer> {
    demandNoMore(arguments, 3, "load");
    checkTokenizer(json);
    const { Tokenizer } = await loadPackage();
    const absent = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };
    const make = (value: Json): PackageTokenizer => {
      const made = new Tokenizer(
        { ...absent, ...withUnicodeWhiteSpace(value), added_tokens: value.added_tokens ?? [] },
        config,
      );
      checkExpressions(made);
      return guarded(made);
    };
    return trying("cannot read this tokenizer.json", () => new HuggingFaceTokenizer(json, make, eosToken));
  }

  /**
   * The ids of a text; special tokens in it become theirs.
   *
   * @throws {OptionError} for what is no text.
   */
  encode(text: string, options: EncodeOptions = {}): number[] {
    demandNoMore(arguments, 2, "encode");
    const { addSpecialTokens = true, splitSpecialTokens = false } = checkOptions(
      "encode",
      options,
      encodeOptions,
    );
    demandText("encode", text);
    const ids = splitSpecialTokens
      ? this.#encodePlain(text, addSpecialTokens)
      : this.#tokenizer.encode(text, { add_special_tokens: addSpecialTokens }).ids;
    if (!ids.every(Number.isInteger)) {
      throw new FormatError(
        "the text has something for which this tokenizer has neither a token nor an unk_token",
      );
    }
    return ids as number[];
  }

  /**
   * The text of ids. Ids beyond the vocabulary have none. Throws ShapeError for what is no id.
   *
   * @throws {OptionError} for what is no list of ids.
   */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    demandNoMore(arguments, 2, "decode");
    const { skipSpecialTokens: skip = false } = checkOptions("decode", options, decodeOptions);
    demandNumbers("decode", ids, "ids");
    const list = Array.from(ids);
    if (!this.#byteLevel) return this.#decodeList(list, skip);
    const tokens = list.map((id) => this.#bytesOf(id, skip));
    const bytes = new Uint8Array(tokens.reduce((sum, token) => sum + token.length, 0));
    let at = 0;
    for (const token of tokens) {
      bytes.set(token, at);
      at += token.length;
    }
    return fromWtf8(bytes);
  }

  /** Decodes ids one at a time, whole characters only. */
  stream(options: StreamOptions = {}): DecodeStream {
    demandNoMore(arguments, 1, "stream");
    const { skipSpecialTokens: skip = false, after } = checkOptions("stream", options, streamOptions);
    if (this.#byteLevel) return byteStream((id) => this.#bytesOf(id, skip));
    return windowStream((ids) => this.#decodeList(ids, skip), (id) => this.#isToken(id), after);
  }

  /** The id of a token, written as in the vocabulary. */
  tokenToId(token: string): number | undefined {
    demandNoMore(arguments, 1, "tokenToId");
    return this.#tokenizer.token_to_id(token);
  }

  /** The token of an id, written as in the vocabulary. */
  idToToken(id: number): string | undefined {
    demandNoMore(arguments, 1, "idToToken");
    return this.#tokenizer.id_to_token(id);
  }

  /** The value of a Hugging Face tokenizer.json. */
  toJSON(): unknown {
    return this.#json;
  }

  /** Special tokens in the text are text; those that the post-processor puts around it are not. */
  #encodePlain(text: string, addSpecialTokens: boolean): (number | undefined)[] {
    const added = (this.#json.added_tokens ?? []) as { special?: boolean }[];
    this.#plain ??= this.#make({
      ...this.#json,
      added_tokens: added.filter((token) => token.special !== true),
      post_processor: null,
    });
    const { ids, tokens } = this.#plain.encode(text, { add_special_tokens: false });
    const processor = this.#tokenizer.post_processor;
    if (processor === null) return ids;
    const idOf = new Map(tokens.map((token, i) => [token, ids[i]]));
    return processor(tokens, null, addSpecialTokens).tokens
      .map((token) => idOf.get(token) ?? this.#tokenizer.token_to_id(token));
  }

  #isToken(id: number): boolean {
    return this.#tokenizer.id_to_token(demandId(id)) !== undefined;
  }

  #decodeList(ids: readonly number[], skipSpecialTokens: boolean): string {
    const kept = ids.filter((id) => this.#isToken(id) && !(skipSpecialTokens && this.#special.has(id)));
    if (kept.length === 0) return "";
    return this.#tokenizer.decode(kept, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  }

  #bytesOf(id: number, skipSpecialTokens: boolean): Uint8Array {
    const token = this.#tokenizer.id_to_token(demandId(id));
    if (token === undefined || skipSpecialTokens && this.#special.has(id)) return nothing;
    return (this.#added.has(id) ? undefined : symbolsToBytes(token)) ?? toWtf8(token);
  }
}
