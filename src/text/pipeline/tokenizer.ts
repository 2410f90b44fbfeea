/**
 * A tokenizer.json of any kind, run part by part as the Rust library of Hugging Face runs it: added tokens are found, the
 * text between them is normalized, cut into pieces, each piece encoded by the model, and ids put around it all.
 *
 * `truncation` and `padding` of the file are kept, not done: as in `transformers`, who wants a length asks for it.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import { demandText } from "../../core/demand.ts";
import { checkOptions } from "../../core/options.ts";
import { finish, type Steps } from "../../core/steps.ts";
import { type AddedToken, AddedTokens } from "../added_tokens.ts";
import { symbolsToBytes } from "../bytes.ts";
import { byteStream, windowStream } from "../stream.ts";
import { decodeOptions, encodeOptions, streamOptions } from "../tokenizer.ts";
import type { DecodeOptions, DecodeStream, EncodeOptions, StreamOptions, Tokenizer } from "../tokenizer.ts";
import { checkTokenizer } from "../tokenizer_check.ts";
import { toWtf8 } from "../utf8.ts";
import { demandId, indexTokens } from "../vocabulary.ts";
import { type Decode, decoderOf } from "./decoders.ts";
import { type Model, modelOf } from "./models.ts";
import { type Normalize, normalizerOf } from "./normalizers.ts";
import type { Part } from "./parts.ts";
import { type Around, aroundOf } from "./post_processors.ts";
import { type Cut, preTokenizerOf } from "./pre_tokenizers.ts";

const nothing = new Uint8Array(0);

/** Longer pieces make steps of their own, and shorter ones together make one of about so many units. */
const longPiece = 512, stepUnits = 8192;

/** What a file was read into before. */
export interface PipelineParts {
  /** The value of the tokenizer.json. */
  readonly json: Readonly<Record<string, unknown>>;
  readonly addedTokens: readonly AddedToken[];
  /** The merges of a BPE, in their order. */
  readonly merges: readonly (readonly [first: string, second: string])[];
  /** The token that ends a text. */
  readonly eosToken: string | undefined;
}

/**
 * A tokenizer that does what its tokenizer.json says.
 *
 * @category Text
 */
export class PipelineTokenizer implements Tokenizer {
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** The id of the token that ends a text, if there is one. */
  readonly eosTokenId: number | undefined;
  readonly #json: Readonly<Record<string, unknown>>;
  readonly #tokens: readonly (string | undefined)[];
  readonly #ids: ReadonlyMap<string, number>;
  /** Tokens found in the text as it is, and those found once it is normalized. */
  readonly #asWritten: AddedTokens;
  readonly #asNormalized: AddedTokens | null;
  readonly #normalize: Normalize | null;
  readonly #cut: Cut;
  readonly #model: Model;
  readonly #around: Around;
  readonly #decode: Decode | null;
  readonly #isByteLevel: boolean;
  readonly #special: ReadonlySet<number>;

  /** @throws {FormatError} for a file that is not to be believed, or has a part that is not known. */
  constructor({ json, addedTokens, merges, eosToken }: PipelineParts) {
    checkTokenizer(json);
    this.#json = json;
    this.#normalize = normalizerOf(json.normalizer);
    this.#cut = preTokenizerOf(json.pre_tokenizer);
    this.#model = modelOf(json.model as Part, merges);
    this.#around = aroundOf(json.post_processor);
    this.#decode = decoderOf(json.decoder);
    const decoder = json.decoder as Part | null | undefined;
    this.#isByteLevel = decoder?.type === "ByteLevel";
    const { tokens, ids } = indexTokens(this.#model.ids, addedTokens);
    this.#tokens = tokens;
    this.#ids = ids;
    this.vocabSize = tokens.length;
    const foreign = this.#around.find((id) => id !== null && !(id >= 0 && id < tokens.length));
    if (foreign !== undefined) {
      throw new FormatError(
        `"post_processor" of tokenizer.json puts the id ${foreign} around a text, and the tokens go from 0 to ${
          tokens.length - 1
        }`,
      );
    }
    const late = addedTokens.filter(({ normalized }) => normalized === true);
    this.#asWritten = new AddedTokens(addedTokens.filter(({ normalized }) => normalized !== true));
    this.#asNormalized = late.length === 0 ? null : new AddedTokens(
      late.map((token) => ({ ...token, content: this.#written(token.content) })),
    );
    this.#special = new Set(addedTokens.flatMap(({ id, special }) => special === false ? [] : [id]));
    const eos = ids.get(eosToken ?? "<|endoftext|>");
    this.eosTokenId = eosToken === undefined && eos !== undefined && !this.#special.has(eos)
      ? undefined
      : eos;
  }

  /** The ids of a text; special tokens in it become theirs. */
  encode(text: string, options: EncodeOptions = {}): number[] {
    return finish(this.#steps(text, checkOptions("encode", options, encodeOptions)));
  }

  /** What `encode` gives, in steps of some hundred pieces: for who may not keep others waiting. */
  encodeSteps(text: string, options: EncodeOptions = {}): Generator<number, number[], void> {
    return this.#steps(text, checkOptions("encodeSteps", options, encodeOptions));
  }

  *#steps(
    text: string,
    { addSpecialTokens = true, splitSpecialTokens = false }: EncodeOptions,
  ): Steps<number[]> {
    demandText("encode", text);
    const own: number[] = [];
    for (const [i, stretch] of this.#asWritten.stretches(text.toWellFormed(), splitSpecialTokens).entries()) {
      if (typeof stretch === "number") own.push(stretch);
      else yield* this.#encodeStretch(stretch, i === 0, splitSpecialTokens, own);
    }
    if (!addSpecialTokens) return own;
    return this.#around.flatMap((id) => id === null ? own : [id]);
  }

  *#encodeStretch(
    text: string,
    isFirst: boolean,
    splitSpecialTokens: boolean,
    out: number[],
  ): Steps<void> {
    const normal = this.#normalize ? yield* this.#normalize(text) : text;
    // Where its first character is gone, what is left does not begin the text.
    const begins = isFirst && !this.#isDropped(String.fromCodePoint(text.codePointAt(0)!));
    const parts = this.#asNormalized?.stretches(normal, splitSpecialTokens) ?? [normal];
    for (const [i, part] of parts.entries()) {
      if (typeof part === "number") out.push(part);
      else if (part !== "") yield* this.#encodePart(part, begins && i === 0, out);
    }
  }

  *#encodePart(text: string, begins: boolean, out: number[]): Steps<void> {
    let units = 0;
    for (const piece of yield* this.#cut(text, begins)) {
      if (piece.length > longPiece && this.#model.encodeSteps) yield* this.#model.encodeSteps(piece, out);
      else {
        this.#model.encode(piece, out);
        units += 8 + 8 * Math.min(piece.length, longPiece);
      }
      if (units < stepUnits) continue;
      yield units;
      units = 0;
    }
    yield units;
  }

  /** What the normalizer makes of a text. */
  #written(text: string): string {
    return this.#normalize ? finish(this.#normalize(text)) : text;
  }

  /** Whether the normalizer leaves a character at the front out. */
  #isDropped(character: string): boolean {
    return this.#normalize !== null && this.#written(`${character}x`) === this.#written("x");
  }

  /** The text of ids. Ids beyond the vocabulary have none. Throws ShapeError for what is no id. */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const { skipSpecialTokens: skip = false } = checkOptions("decode", options, decodeOptions);
    return this.#textOf(Array.from(ids), skip);
  }

  #textOf(ids: readonly number[], skipSpecialTokens: boolean): string {
    const tokens = ids.flatMap((id) => {
      const token = this.#tokens[demandId(id)];
      return token === undefined || skipSpecialTokens && this.#special.has(id) ? [] : [token];
    });
    return this.#decode?.(tokens).join("") ?? tokens.join(" ");
  }

  /** Decodes ids one at a time, whole characters only. */
  stream(options: StreamOptions = {}): DecodeStream {
    const { skipSpecialTokens: skip = false, after } = checkOptions("stream", options, streamOptions);
    if (this.#isByteLevel) {
      return byteStream((id) => {
        const token = this.#tokens[demandId(id)];
        if (token === undefined || skip && this.#special.has(id)) return nothing;
        return symbolsToBytes(token) ?? toWtf8(token);
      });
    }
    return windowStream(
      (ids) => this.#textOf(ids, skip),
      (id) => this.#tokens[demandId(id)] !== undefined,
      after,
    );
  }

  /** The id of a token, written as in the vocabulary. */
  tokenToId(token: string): number | undefined {
    return this.#ids.get(token);
  }

  /** The token of an id, written as in the vocabulary. */
  idToToken(id: number): string | undefined {
    return this.#tokens[id];
  }

  /** The value of a Hugging Face tokenizer.json. */
  toJSON(): unknown {
    return this.#json;
  }
}
