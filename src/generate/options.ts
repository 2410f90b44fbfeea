/**
 * What one may ask of generation, with the names and defaults of Hugging Face's GenerationConfig.
 *
 * Nothing is ignored: an option that does not exist, that cannot be honoured, or that the others make meaningless, is
 * an error.
 *
 * @module
 */
import { checkOption } from "../core/options.ts";
import { demand, demandNoMore, demandNumbers, demandRecord } from "../core/demand.ts";
import type { Tokenizer } from "../text/mod.ts";
import { hint } from "../core/nearest.ts";
import type { Option } from "../core/options.ts";
import { OptionError } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import { type Field, type FieldName, fields } from "./fields.ts";
import { generateOptions, readOptions } from "./given.ts";
import { beamNames, checkTogether } from "./options_together.ts";
import type { Constraint, ResponseFormat } from "./constraint/format.ts";
import type { CacheDType } from "../models/mod.ts";
import type { AssistantModel, LanguageModelCache } from "./model.ts";

/**
 * Changes logits in place, given all ids so far (prompt and new): a penalty, a constraint.
 *
 * @category Generation
 */
export type LogitsProcessor = (ids: readonly number[], logits: Float32Array) => void;

/**
 * Whether a text is finished, given all ids so far (prompt and new).
 *
 * @category Generation
 */
export type StoppingCriterion = (ids: readonly number[]) => boolean;

/**
 * What is known of a token besides its id, where `logprobs` asked for it.
 *
 * @category Generation
 */
export interface TokenDetails {
  /** ln of the probability that the model gave the token, before penalties and sampling options. */
  readonly logprob: number;
  /** The likeliest tokens at its place, the best first. */
  readonly top: readonly { readonly id: number; readonly logprob: number }[];
}

/**
 * Options of generation.
 *
 * @category Generation
 */
export interface GenerateOptions {
  /** How many tokens to make at most. Default 20 (Hugging Face's max_length), or the model's generation_config.json. */
  maxNewTokens?: number;
  /** How many tokens the text may have, prompt included; instead of `maxNewTokens`. */
  maxLength?: number | null;
  /** How many before an end-of-text token may come. Default 0. */
  minNewTokens?: number;
  /** How many tokens, prompt included, before an end-of-text token may come. Default 0. */
  minLength?: number;
  /** Seconds after which no further token is begun. Default: none. */
  maxTime?: number | null;
  /** Draw at random instead of taking the likeliest. Default: true when a sampling option is given, else false. */
  doSample?: boolean;
  /** Divides the logits; above 1 is wilder. 0 is greedy. Default 1. */
  temperature?: number;
  /** Keep the k likeliest when sampling; 0 keeps all. Default 50. */
  topK?: number;
  /** Keep the likeliest that together reach this probability (Holtzman et al. 2019). Default 1: all. */
  topP?: number;
  /**
   * Keep the likeliest whose share of the entropy, among the 100 likeliest, stays within this (Potraghloo et al. 2025).
   * Default null: off.
   */
  topH?: number | null;
  /** Drop those below this fraction of the likeliest's probability (Nguyen et al. 2024). Default 0: none. */
  minP?: number;
  /** Keep those of the most typical surprise that together reach this probability (Meister et al. 2022). Default 1: all. */
  typicalP?: number;
  /** Drop those less likely than this (Hewitt et al. 2022). Default 0: none. */
  epsilonCutoff?: number;
  /** Drop those less likely than this or than its root times e^−entropy, whichever is less (Hewitt et al. 2022). Default 0. */
  etaCutoff?: number;
  /**
   * Above 0, contrastive search (Su et al. 2022): of the `topK` likeliest tokens the one that is likely (weight 1 − α) and
   * unlike earlier ones (weight α). 0.6 with a topK of 4 is usual. Default 0: off.
   */
  penaltyAlpha?: number;
  /** Divides positive logits of tokens seen before, multiplies negative ones (Keskar et al. 2019). Default 1. */
  repetitionPenalty?: number;
  /** Taken from a new token's logit for each time it was made already (as in OpenAI's API). Default 0. */
  frequencyPenalty?: number;
  /** Taken from a new token's logit when it was made already (as in OpenAI's API). Default 0. */
  presencePenalty?: number;
  /**
   * At how many of the text's last tokens the three penalties before look, as llama.cpp's `repeat_last_n`: 0 turns them off.
   * Default -1: the whole text.
   */
  repeatLastN?: number;
  /** No so many tokens in a row appear twice (Paulus et al. 2017). Default 0: off. */
  noRepeatNgramSize?: number;
  /** Sequences of tokens that never appear. */
  badWordsIds?: readonly (readonly number[])[];
  /** Tokens that are never made. */
  suppressTokens?: number | readonly number[];
  /** Tokens that are not made first. */
  beginSuppressTokens?: number | readonly number[];
  /** Sequences of tokens and what is added to the logit of the last one where the others precede it. */
  sequenceBias?: readonly (readonly [readonly number[], number])[];
  /** [n, factor]: from n new tokens on, end-of-text tokens grow likelier by the power of `factor`. */
  exponentialDecayLengthPenalty?: readonly [number, number] | null;
  /** The token that follows the first one of a text, where the prompt is that one alone. */
  forcedBosTokenId?: number | null;
  /** The token, or tokens, that the last one is chosen from when `maxNewTokens` is reached. */
  forcedEosTokenId?: number | readonly number[] | null;
  /** NaN logits count as 0, infinite ones as the largest number. Default false. */
  removeInvalidValues?: boolean;
  /** Logits become log-probabilities again after all processors. Default false. */
  renormalizeLogits?: boolean;
  /** Makes sampling reproducible. Default: from the process's generator. */
  seed?: number;
  /** Texts that end generation; they are cut off. They may span tokens. */
  stop?: string | readonly string[];
  /** The same as `stop`, by its name in Hugging Face. */
  stopStrings?: string | readonly string[];
  /** Beams of beam search; 1 is none. With `doSample` the beams are drawn. */
  numBeams?: number;
  /** Groups that the beams are divided into, which avoid each other's tokens (Vijayakumar et al. 2016). Default 1. */
  numBeamGroups?: number;
  /** What a beam's token loses for each beam of an earlier group that has it at this step. Default 0. */
  diversityPenalty?: number;
  /** A finished beam's score is its log-probability divided by its length to this power. Default 1; above 0 favours length. */
  lengthPenalty?: number;
  /** When beam search ends: with as many finished texts as beams (true), when none better is likely (false), or possible ("never"). */
  earlyStopping?: boolean | "never";
  /** How many texts `completions` gives. Default 1; with beams at most that many. */
  numReturnSequences?: number;
  /** Tokens that end the text. Default: the model's. An empty list: none. */
  eosTokenId?: number | readonly number[] | null;
  /**
   * Above 1 leads away from what the model would say without the prompt (classifier-free guidance, Sanchez et al. 2023), at
   * the cost of a second pass for each token. Default 1: off.
   */
  guidanceScale?: number;
  /** The prompt that `guidanceScale` leads away from. Default: the last token of the prompt alone. */
  negativePromptIds?: readonly number[];
  /**
   * Guess so many tokens from what followed the text's last ones before (prompt lookup), and confirm them together. The
   * text is the one that plain decoding gives; when sampling it has the same distribution. Default null: no guesses.
   */
  promptLookupNumTokens?: number | null;
  /** Of how many last tokens prompt lookup looks for at most. Default 2. */
  maxMatchingNgramSize?: number;
  /** A smaller model of the same vocabulary that guesses (speculative decoding, Leviathan et al. 2023). */
  assistantModel?: AssistantModel;
  /** How many tokens it guesses each time. Default 20. */
  numAssistantTokens?: number;
  /** With each token, its log-probability and those of so many likeliest ones. Default: none. */
  logprobs?: number;
  /** Keep the logits of each step after all processors (`scores` of the result). Default false. */
  outputScores?: boolean;
  /** Keep the logits of each step as the model gave them (`logits` of the result). Default false. */
  outputLogits?: boolean;
  /**
   * What the text must be: JSON of a schema, or what a regular expression matches as a whole. It is whole when it ends, if
   * `maxNewTokens` are enough for any such text. Default: anything.
   */
  responseFormat?: ResponseFormat;
  /** Ends generation with a CancelledError. */
  signal?: AbortSignal;
  /** Hears each token as it is chosen, before its text is complete. */
  onToken?: (id: number, details?: TokenDetails) => void;
  /** Further changes to the logits, after the built-in penalties and before sampling. */
  logitsProcessors?: readonly LogitsProcessor[];
  /** The text ends after a token for which one of these says so. */
  stoppingCriteria?: readonly StoppingCriterion[];
  /**
   * What happens when the model's positions are used up: "slide" (default) goes on from the later half of the text so
   * far, computed afresh; "sinks" from its first four tokens and the later half (Xiao et al. 2023); "error" throws.
   */
  contextOverflow?: "slide" | "sinks" | "error";
  /**
   * A cache of the model (`model.createCache()`) to go on from, and to keep: the prompt is what follows the text it
   * holds, and afterwards it holds the prompt and the new tokens too. Not with beam search. Default: one of its own.
   */
  cache?: LanguageModelCache;
  /**
   * Positions that the prompt has in common with an earlier one are not computed again, and those of this one are kept for
   * the next (see `PrefixStore`). Default true.
   */
  cachePrompt?: boolean;
  /**
   * How keys and values are stored. "f16" and "bf16" take half of the memory of "f32", "q8" a little more than a quarter;
   * `bench/cache_loss.ts` measures what each costs in perplexity. Default "f32".
   */
  cacheDType?: CacheDType;
  /**
   * The LoRA adapter of this text alone, by the name it was loaded under; null: none. Texts of several adapters can be made at
   * once. Default: the one in use (`setAdapter`).
   */
  adapter?: string | null;
}

/**
 * Options with every default filled in.
 *
 * @category Generation
 */
export interface ResolvedOptions extends
  Required<
    Omit<
      GenerateOptions,
      | "seed"
      | "signal"
      | "onToken"
      | "cache"
      | "logprobs"
      | "stop"
      | "stopStrings"
      | "responseFormat"
      | "assistantModel"
      | "eosTokenId"
      | "forcedEosTokenId"
      | "suppressTokens"
      | "beginSuppressTokens"
      | "adapter"
    >
  > {
  /** The adapter of this text; undefined: the one in use. */
  adapter?: string | null;
  /** Texts that end generation; none is an empty list. */
  stop: readonly string[];
  /** Tokens that end the text; none is an empty list. */
  eosTokenId: readonly number[];
  /** Tokens that the last one is chosen from; any is an empty list. */
  forcedEosTokenId: readonly number[];
  /** Tokens that are never made. */
  suppressTokens: readonly number[];
  /** Tokens that are not made first. */
  beginSuppressTokens: readonly number[];
  /** The seed of sampling; undefined draws from the process's generator. */
  seed: number | undefined;
  /** How many alternatives to tell of; undefined tells nothing. */
  logprobs: number | undefined;
  /** A smaller model that guesses. */
  assistantModel: AssistantModel | undefined;
  /** What the text must be; undefined: anything. */
  responseFormat: ResponseFormat | undefined;
  /** The same for a tokenizer; whoever has one puts it there. */
  constraint?: Constraint | null;
  /** Ends generation with a CancelledError. */
  signal: AbortSignal | undefined;
  /** Hears each token. */
  onToken: ((id: number, details?: TokenDetails) => void) | undefined;
  /** A cache that is kept by the caller. */
  cache: LanguageModelCache | undefined;
}

const fieldNames = Object.keys(fields) as FieldName[];

/** Options that act when sampling, and the value of each that changes nothing. */
export const sampling = {
  temperature: 1,
  topK: 0,
  topP: 1,
  topH: null,
  minP: 0,
  typicalP: 1,
  epsilonCutoff: 0,
  etaCutoff: 0,
} as const;
/** Options that act when sampling. */
export const samplingNames = Object.keys(sampling) as (keyof typeof sampling)[];

/** Why the caller's options exclude sampling, or null. */
function notSampling(given: GenerateOptions): string | null {
  if (given.doSample === false) return "doSample: false";
  if (given.temperature === 0) return "temperature: 0";
  if (given.doSample === true) return null;
  if ((given.penaltyAlpha ?? 0) > 0) return `penaltyAlpha: ${given.penaltyAlpha}`;
  return (given.numBeams ?? 1) > 1 ? `numBeams: ${given.numBeams}` : null;
}

function without(options: GenerateOptions, left: readonly string[]): GenerateOptions {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !left.includes(name)));
}

/** Names that a sentence says, in its order. */
const namesIn = (sentence: string): string[] => sentence.match(/\b[a-z]+(?:[A-Z][a-z]*)*\b/g) ?? [];

/**
 * What of a model's own options contradicts the caller's, or one another: those that are left aside for it, each with the
 * reason. Nothing where the caller's contradict each other.
 */
export function contradicting(
  given: GenerateOptions,
  defaults: GenerateOptions,
): [name: string, why: string][] {
  const problemOf = (base: GenerateOptions): string | null => {
    try {
      settle(given, base);
      return null;
    } catch (error) {
      if (!(error instanceof OptionError)) throw error;
      return error.message;
    }
  };
  const left: [string, string][] = [];
  for (let base = defaults;;) {
    const why = problemOf(base);
    if (why === null) return left;
    const said = namesIn(why), place = (name: string): number => (said.indexOf(name) + 1) || Infinity;
    const names = Object.keys(base).sort((a, b) => place(a) - place(b) || 0);
    // One that mends it alone, else the one that is named.
    const name = names.find((name) => problemOf(without(base, [name])) === null) ?? names[0];
    if (name === undefined) return [];
    left.push([name, why]);
    base = without(base, [name]);
  }
}

/**
 * Fills in defaults and checks. `modelOptions` are the model's own (generation_config.json); what the caller says wins,
 * and leaves aside those of them that contradict it.
 *
 * @throws {OptionError} for an unknown name (with the nearest known one), an impossible value, or options that
 * contradict each other.
 * @category Generation
 */
export function resolveOptions(
  options: GenerateOptions,
  modelOptions: GenerateOptions = {},
): ResolvedOptions {
  demandNoMore(arguments, 2, "resolveOptions");
  const given = readOptions(options, "generate"), defaults = readOptions(modelOptions, "generationConfig");
  try {
    return settle(given, defaults);
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    const left = contradicting(given, defaults).map(([name]) => name);
    // Where none of them is to blame, the caller's own are.
    return settle(given, left.length ? without(defaults, left) : {});
  }
}

/**
 * The options of a caller over a model's own, both read.
 * @throws {OptionError} for those that contradict each other.
 */
function settle(given: GenerateOptions, defaults: GenerateOptions): ResolvedOptions {
  const asked = samplingNames.filter((name) => given[name] !== undefined), excluded = notSampling(given);
  const isContrastive = excluded !== null && (given.penaltyAlpha ?? 0) > 0;
  const drawn = given.seed === undefined || (given.numBeams ?? 1) > 1 ? asked : [...asked, "seed" as const];
  const idle = drawn.filter((name) =>
    (name === "seed" || given[name] !== sampling[name]) && !(name === "temperature" && given[name] === 0) &&
    !(name === "topK" && isContrastive)
  );
  if (excluded !== null && idle.length) {
    throw new OptionError(
      `generate: ${idle.join(", ")} ${
        idle.length === 1 ? "acts" : "act"
      } only when sampling, which ${excluded} excludes; leave one out`,
    );
  }
  const samples = excluded === null && (given.doSample ?? asked.length > 0);
  let base = excluded !== null
    ? without(defaults, ["doSample", ...samplingNames.filter((name) => name !== "topK" || !isContrastive)])
    : samples && given.numBeams === undefined
    ? without(defaults, ["numBeams", ...beamNames])
    : defaults;
  if (!isContrastive && (excluded !== null || samples)) base = without(base, ["penaltyAlpha"]);
  if (isContrastive && given.numBeams === undefined) base = without(base, ["numBeams", ...beamNames]);
  if (given.maxNewTokens !== undefined && given.maxLength != null) {
    throw new OptionError("generate: maxNewTokens and maxLength say the same in two ways; leave one out");
  }
  if (given.maxNewTokens !== undefined) base = without(base, ["maxLength"]);
  if (given.maxLength != null) base = without(base, ["maxNewTokens"]);
  const all: GenerateOptions = { ...base, ...given };
  const settled = Object.fromEntries(
    fieldNames.map((name) => [name, all[name] === undefined ? (fields[name] as Field).default : all[name]]),
  ) as unknown as ResolvedOptions;
  const o: ResolvedOptions = {
    ...settled,
    minNewTokens: given.minNewTokens ?? Math.min(base.minNewTokens ?? 0, settled.maxNewTokens),
    doSample: given.doSample ?? (samples || settled.doSample),
    seed: all.seed,
    logprobs: all.logprobs,
    responseFormat: all.responseFormat,
    assistantModel: all.assistantModel,
    negativePromptIds: all.negativePromptIds ?? [],
    signal: all.signal,
    onToken: all.onToken,
    logitsProcessors: all.logitsProcessors ?? [],
    stoppingCriteria: all.stoppingCriteria ?? [],
    contextOverflow: all.contextOverflow ?? "slide",
    cache: all.cache,
    cachePrompt: all.cachePrompt ?? true,
    cacheDType: all.cacheDType ?? "f32",
    ...(all.adapter === undefined ? {} : { adapter: all.adapter }),
  };
  checkTogether(o, given);
  return o;
}

/**
 * Options of those who call generation's parts themselves.
 * @throws {OptionError} for options that
 * {@link resolveOptions} did not make: one that does not exist, a value of another kind, one that is missing.
 */
export function demandResolved(what: string, options: ResolvedOptions): void {
  demandRecord(what, options, "the options", "what resolveOptions gives");
  for (const [name, value] of Object.entries(options)) {
    if (name === "constraint") continue;
    if (name === "adapter" && value === null) continue;
    if (!Object.hasOwn(generateOptions, name)) {
      throw new OptionError(
        `${what}: there is no option "${name}"${hint(name, Object.keys(generateOptions))}`,
      );
    }
    const option = generateOptions[name as keyof GenerateOptions] as Option;
    if (value !== undefined && !(value === null && option.default === null)) {
      checkOption(what, name, value, option);
    }
  }
  const missing = fieldNames.find((name) => options[name as keyof ResolvedOptions] === undefined);
  if (missing === undefined) return;
  throw new OptionError(
    `${what}: ${missing} is missing; pass resolveOptions({ … }), which fills in what is not given`,
  );
}

/** @throws {OptionError} for what has no `forward`, `createCache` and the like. */
export function demandModel(what: string, model: unknown, ...members: readonly string[]): void {
  const isModel = typeof model === "object" && model !== null &&
    ["forward", "createCache", ...members].every((name) =>
      typeof (model as Record<string, unknown>)[name] === "function"
    );
  demand(what, "the model", model, isModel, "a language model, such as GPT2.load gives");
}

/** What every public way to generate takes, checked at once. */
export function demandGeneration(
  what: string,
  model: unknown,
  tokenizer: unknown,
  promptIds: unknown,
  options: ResolvedOptions,
): void {
  demandModel(what, model);
  const isOne = tokenizer === null || typeof (tokenizer as Tokenizer | undefined)?.stream === "function";
  demand(what, "the tokenizer", tokenizer, isOne, "a tokenizer, or null for none");
  demandNumbers(what, promptIds, "the prompt");
  demandResolved(what, options);
  demandNoAdapter(what, options);
}

/** @throws {OptionError} for an adapter where a model's own methods alone know of them. */
export function demandNoAdapter(what: string, { adapter }: ResolvedOptions): void {
  if (adapter === undefined) return;
  throw new OptionError(
    `${what}: adapter belongs to the methods of a model, as model.completion(prompt, { adapter })`,
  );
}

/** @throws {OptionError} where the length that a caller asks for is more than a prompt of so many ids can become. */
export function demandLength(
  minLength: number | undefined,
  promptLength: number,
  { maxNewTokens, maxLength }: ResolvedOptions,
): void {
  const most = maxLength ?? promptLength + maxNewTokens;
  if (minLength === undefined || minLength <= most) return;
  const sum = maxLength === null
    ? `the ${promptLength} of the prompt and maxNewTokens ${maxNewTokens}`
    : `maxLength ${maxLength}`;
  throw new OptionError(`generate: minLength is ${minLength}, expected at most ${most}: ${sum}`);
}

/** The same for a prompt of so many ids: `maxLength` becomes a number of new tokens. */
export function forPrompt(options: ResolvedOptions, promptLength: number): ResolvedOptions {
  const { maxLength } = options;
  if (maxLength === null) return options;
  if (promptLength >= maxLength) {
    throw new OptionError(
      `generate: the prompt has ${
        counted(promptLength, "token")
      }, and maxLength ${maxLength} leaves room for none; raise it, or use ` +
        `maxNewTokens`,
    );
  }
  return { ...options, maxNewTokens: maxLength - promptLength, maxLength: null };
}
