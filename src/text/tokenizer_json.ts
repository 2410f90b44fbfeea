/**
 * From the value of a tokenizer.json to the tokenizer that runs it.
 *
 * Characters and byte-level BPE have tokenizers of their own here, which are fast; every other kind is run part by part
 * (`pipeline/`), which is loaded when the first such file is. `@huggingface/tokenizers` runs a file for who asks for it.
 *
 * @module
 */
import { demand, demandNoMore } from "../core/demand.ts";
import { FormatError, OptionError } from "../core/errors.ts";
import { oneOf } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { type AddedToken, addedTokenToJSON } from "./added_tokens.ts";
import { BpeTokenizer } from "./bpe.ts";
import { byteSymbols } from "./bytes.ts";
import { CharTokenizer } from "./char.ts";
import type { SplitExpression } from "./split.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { gpt2Pattern } from "./white_space.ts";
import { maxId, vocabularyMap } from "./vocabulary.ts";

/**
 * Options of {@link tokenizerFromJson}.
 *
 * @category Text
 */
export interface TokenizerFromJsonOptions {
  /**
   * `auto` (default): this library's own tokenizers, whose ids are those of Hugging Face's Rust library. `huggingface`: the
   * package `@huggingface/tokenizers`.
   */
  readonly engine?: "auto" | "huggingface";
}

/** {@link TokenizerFromJsonOptions} as data. */
export const fromJsonOptions: OptionTable<TokenizerFromJsonOptions> = {
  engine: oneOf("auto", "huggingface"),
};

type Json = Record<string, unknown>;

/**
 * Makes the tokenizer that a Hugging Face tokenizer.json describes.
 *
 * @param json the parsed tokenizer.json
 * @param config the parsed tokenizer_config.json, which names the token that ends a text
 * `truncation` and `padding` of the file are kept and not done, as in `transformers`: who wants a length asks for it.
 *
 * @throws {FormatError} for a value that is no tokenizer.json.
 * @throws {FerrotypeError} when `@huggingface/tokenizers` is asked for and not installed.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @throws {FormatError} for what is no tokenizer.json.
 * @category Text
 */
export async function tokenizerFromJson(
  json: unknown,
  config?: unknown,
  options: TokenizerFromJsonOptions = {},
): Promise<Tokenizer> {
  demandNoMore(arguments, 3, "tokenizerFromJson");
  const { engine = "auto" } = checkOptions("tokenizerFromJson", options, fromJsonOptions);
  const file = object(json, "a tokenizer.json");
  const configuration = config === undefined || config === null
    ? {}
    : object(config, "a tokenizer_config.json");
  const model: Json = { ...object(file.model, '"model" of tokenizer.json') };
  if (typeof model.vocab !== "object" || model.vocab === null) {
    throw new FormatError(
      `"model.vocab" of tokenizer.json should be an object or a list and is ${show(model.vocab)}`,
    );
  }
  const addedTokens = readAddedTokens(file.added_tokens);
  const eosToken = contentOf(configuration.eos_token);
  model.type = typeOf(model);
  if (engine === "auto") {
    const cuts = readSplits((file.pre_tokenizer ?? {}) as Json) ?? [];
    const own = readOwn(file, model, addedTokens, eosToken, cuts.length === 0 ? null : await compiled(cuts));
    if (own !== undefined) return own;
    const { PipelineTokenizer } = await import("./pipeline/tokenizer.ts");
    const merges = model.type === "BPE" ? readMerges(model.merges) : [];
    return new PipelineTokenizer({ json: { ...file, model }, addedTokens, merges, eosToken });
  }
  if (model.type === "WordLevel") {
    throw new FormatError(
      '@huggingface/tokenizers does not read the "model.type" "WordLevel" of tokenizer.json',
    );
  }
  // Loaded when it is needed, with what looks at such a file first: most pages read their own.
  const { HuggingFaceTokenizer } = await import("./huggingface.ts");
  return await HuggingFaceTokenizer.load({ ...file, model }, configuration, eosToken);
}

/**
 * Expressions of a file, ready to be run.
 * @throws {FormatError} for one that is not understood, or might never end.
 */
async function compiled(cuts: readonly string[]): Promise<SplitExpression[]> {
  const { splitPattern } = await import("./oniguruma.ts");
  const splits = cuts.map((source) => ({ source, pattern: splitPattern(source) }));
  if (cuts.every((cut) => cut === gpt2Pattern)) return splits;
  const { demandEnding } = await import("./backtracking.ts");
  for (const { pattern } of splits) demandEnding(pattern);
  return splits;
}

const modelTypes = ["BPE", "Unigram", "WordPiece", "WordLevel"];

/**
 * The kind of model; older files do not name it.
 * @throws {FormatError} for one that nothing here reads.
 */
function typeOf({ type, vocab, ...model }: Json): string {
  const known = type ??
    (Array.isArray(vocab)
      ? "Unigram"
      : "merges" in model
      ? "BPE"
      : "continuing_subword_prefix" in model && "unk_token" in model
      ? "WordPiece"
      : undefined);
  if (modelTypes.includes(known as string)) return known as string;
  throw new FormatError(
    `"model.type" of tokenizer.json is ${show(type)}, and there are readers for ${modelTypes.join(", ")}`,
  );
}

/**
 * The value of a tokenizer_config.json to go with a tokenizer.json written here. It keeps Hugging Face libraries
 * from "cleaning up" spaces before punctuation, which would change decoded texts.
 *
 * @param modelMaxLength the longest text in tokens that the model takes, if there is a limit
 * @throws {OptionError} for what is no tokenizer.
 * @category Text
 */
export function tokenizerConfig(tokenizer: Tokenizer, modelMaxLength?: number): Record<string, unknown> {
  demandNoMore(arguments, 2, "tokenizerConfig");
  demand(
    "tokenizerConfig",
    "what is given",
    tokenizer,
    typeof tokenizer?.encode === "function",
    "a tokenizer",
  );
  const eos = tokenizer.eosTokenId === undefined ? undefined : tokenizer.idToToken(tokenizer.eosTokenId);
  const unk = tokenizer instanceof CharTokenizer && tokenizer.unkTokenId !== undefined
    ? tokenizer.idToToken(tokenizer.unkTokenId)
    : undefined;
  return {
    tokenizer_class: "PreTrainedTokenizerFast",
    clean_up_tokenization_spaces: false,
    added_tokens_decoder: Object.fromEntries(
      readAddedTokens((tokenizer.toJSON() as Json).added_tokens).map(addedTokenToJSON).map((
        { id, ...token },
      ) => [
        id,
        token,
      ]),
    ),
    ...(eos === undefined ? {} : { eos_token: eos }),
    ...(unk === undefined ? {} : { unk_token: unk }),
    ...(modelMaxLength === undefined ? {} : { model_max_length: modelMaxLength }),
  };
}

function show(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  const text = typeof value === "object" && value !== null ? "an object" : JSON.stringify(value) ?? "missing";
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function object(value: unknown, what: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FormatError(`${what} should be a JSON object and is ${show(value)}`);
  }
  return value as Json;
}

/** A token in a tokenizer_config.json is its text, or an object that has it as `content`. */
function contentOf(token: unknown): string | undefined {
  if (typeof token === "object" && token !== null) token = (token as Json).content;
  return typeof token === "string" ? token : undefined;
}

export function readAddedTokens(value: unknown): AddedToken[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) {
    throw new FormatError(`"added_tokens" of tokenizer.json should be a list and is ${show(value)}`);
  }
  return value.map((entry: unknown, k) => {
    const token = object(entry, `added token ${k} of tokenizer.json`);
    const { id } = token;
    if (
      typeof token.content !== "string" || !Number.isInteger(id) || (id as number) < 0 ||
      (id as number) > maxId
    ) {
      throw new FormatError(
        `added token ${k} of tokenizer.json should have a text as content and an integer from 0 to ${maxId} as id, and has ` +
          `${show(token.content)} and ${show(token.id)}`,
      );
    }
    return {
      id: token.id as number,
      content: token.content,
      special: token.special === true,
      singleWord: token.single_word === true,
      lstrip: token.lstrip === true,
      rstrip: token.rstrip === true,
      normalized: token.normalized === true,
    };
  });
}

/** Whether a model is BPE and no more. */
function isPlainBpe(model: Json): boolean {
  return (model.type === "BPE" || model.type === undefined) && "merges" in model &&
    !Array.isArray(model.vocab) &&
    !model.dropout && !model.continuing_subword_prefix && !model.end_of_word_suffix &&
    model.byte_fallback !== true;
}

/** The tokenizer, where it is one of this library's. */
function readOwn(
  file: Json,
  model: Json,
  addedTokens: readonly AddedToken[],
  eosToken: string | undefined,
  splits: readonly SplitExpression[] | null,
): Tokenizer | undefined {
  try {
    return readCharacters(file, model, addedTokens, eosToken) ??
      readBpe(file, model, addedTokens, eosToken, splits);
  } catch (error) {
    // What would be a caller's mistake elsewhere is the file's here.
    if (error instanceof OptionError) {
      throw new FormatError(`tokenizer.json: ${error.message}`, { cause: error });
    }
    throw error;
  }
}

/** The form that {@link CharTokenizer} saves, and nothing else. */
function readCharacters(
  file: Json,
  model: Json,
  addedTokens: readonly AddedToken[],
  eosToken: string | undefined,
): CharTokenizer | undefined {
  const split = (file.pre_tokenizer ?? {}) as Json, decoder = (file.decoder ?? {}) as Json;
  const saved = isPlainBpe(model) && (file.normalizer ?? null) === null &&
    Array.isArray(model.merges) && model.merges.length === 0 &&
    split.type === "Split" && (split.pattern as Json | undefined)?.Regex === "[\\s\\S]" &&
    split.behavior === "Isolated" && split.invert !== true && (file.post_processor ?? null) === null &&
    decoder.type === "Fuse";
  if (!saved) return undefined;
  const ids = model.vocab as Record<string, number>;
  if (!Object.values(ids).every(Number.isInteger)) return undefined;
  const tokens = Object.entries(ids).sort((a, b) => a[1] - b[1]);
  const specials = new Set(addedTokens.map((token) => token.content));
  const characters = tokens.map(([token]) => token).filter((token) => !specials.has(token));
  const plain =
    tokens.every(([token, id], k) => id === k && specials.has(token) === k >= characters.length) &&
    characters.every((token) => token !== "" && [...token].length === 1) &&
    addedTokens.every((token, k) =>
      token.id === characters.length + k && token.special && !token.lstrip && !token.rstrip &&
      !token.singleWord
    );
  const unkToken = contentOf(model.unk_token);
  if (!plain || unkToken !== undefined && !tokens.some(([token]) => token === unkToken)) return undefined;
  return new CharTokenizer(characters, {
    specialTokens: [...specials],
    ...(unkToken === undefined ? {} : { unkToken }),
    ...(eosToken === undefined ? {} : { eosToken }),
  });
}

/** The expressions that cut a text before byte-level BPE; none for GPT-2's own, undefined for what is not done here. */
export function readSplits(cut: Json): readonly string[] | null | undefined {
  const steps = cut.type === "Sequence" && Array.isArray(cut.pretokenizers)
    ? cut.pretokenizers as Json[]
    : [cut];
  const last = steps.at(-1);
  if (last?.type !== "ByteLevel" || last.add_prefix_space !== false) return undefined;
  const splits: string[] = [];
  for (const step of steps.slice(0, -1)) {
    const regex = (step?.pattern as Json | undefined)?.Regex;
    if (step?.type === "Digits" && step.individual_digits === true) splits.push(String.raw`\p{N}`);
    else if (
      step?.type !== "Split" || step.behavior !== "Isolated" || step.invert === true ||
      typeof regex !== "string"
    ) {
      return undefined;
    } else splits.push(regex);
  }
  if (last.use_regex !== false) splits.push(gpt2Pattern);
  return splits.length === 1 && last.use_regex !== false ? null : splits;
}

/** Ids around a text, by the processor that puts them there; undefined for what is not done here. */
export function readAround(after: unknown): { prefixIds: number[]; suffixIds: number[] } | undefined {
  const none = { prefixIds: [], suffixIds: [] };
  if (after === null || after === undefined) return none;
  const { type, processors, single, special_tokens } = after as Json;
  if (type === "ByteLevel") return none;
  if (type === "Sequence" && Array.isArray(processors)) {
    const all = processors.map(readAround);
    if (all.includes(undefined)) return undefined;
    const put = all.filter((each) => each!.prefixIds.length + each!.suffixIds.length > 0);
    return put.length > 1 ? undefined : put[0] ?? none;
  }
  if (type !== "TemplateProcessing" || !Array.isArray(single)) return undefined;
  const parts = single as Json[], at = parts.findIndex((part) => part?.Sequence !== undefined);
  const idsOf = (list: readonly Json[]): number[] =>
    list.flatMap((part) => {
      const name = (part?.SpecialToken as Json | undefined)?.id;
      return ((special_tokens as Json | undefined)?.[typeof name === "string" ? name : ""] as
        | Json
        | undefined)?.ids as number[] ??
        [NaN];
    });
  const prefixIds = idsOf(parts.slice(0, at)), suffixIds = idsOf(parts.slice(at + 1));
  return at >= 0 && [...prefixIds, ...suffixIds].every(Number.isInteger)
    ? { prefixIds, suffixIds }
    : undefined;
}

function readBpe(
  file: Json,
  model: Json,
  addedTokens: readonly AddedToken[],
  eosToken: string | undefined,
  splits: readonly SplitExpression[] | null,
): BpeTokenizer | undefined {
  const decoder = (file.decoder ?? {}) as Json;
  const normalizer = (file.normalizer ?? null) as Json | null, around = readAround(file.post_processor);
  const isOurs = isPlainBpe(model) && readSplits((file.pre_tokenizer ?? {}) as Json) !== undefined &&
    around !== undefined &&
    decoder.type === "ByteLevel" &&
    // Tokens that are looked for once the text is normalised.
    (normalizer === null || normalizer.type === "NFC" && !addedTokens.some(({ normalized }) => normalized));
  if (!isOurs) return undefined;
  const vocab = vocabularyMap(model.vocab as Record<string, number>);
  // Trained without the whole byte alphabet: then something stands for what is unknown.
  if (typeof model.unk_token === "string" && byteSymbols.some((symbol) => !vocab.has(symbol))) {
    return undefined;
  }
  return new BpeTokenizer({
    vocab,
    merges: readMerges(model.merges),
    addedTokens,
    ...around,
    ...(splits === null ? {} : { splits }),
    ...(model.ignore_merges === true ? { ignoreMerges: true } : {}),
    ...(normalizer === null ? {} : { normalizer: "NFC" as const }),
    ...(eosToken === undefined ? {} : { eosToken }),
  });
}

/** Merges are "first second", or [first, second] in newer files. */
export function readMerges(merges: unknown): [first: string, second: string][] {
  if (!Array.isArray(merges)) {
    throw new FormatError(`"model.merges" of tokenizer.json should be a list and is ${show(merges)}`);
  }
  return merges.map((merge: unknown, k) => {
    const pair = typeof merge === "string" ? merge.split(" ") : merge;
    if (
      !Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string" || typeof pair[1] !== "string"
    ) {
      throw new FormatError(
        `merge ${k} of tokenizer.json should be two tokens, as "a b" or ["a", "b"], and is ${show(merge)}`,
      );
    }
    return pair as [string, string];
  });
}
