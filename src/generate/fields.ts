/**
 * Every field of Hugging Face's `GenerationConfig`: the ones that hold here, with their defaults and what they accept,
 * the ones that change no token, and the ones that cannot hold, with the reason.
 *
 * @module
 */
import * as kinds from "../core/kinds.ts";
import { byDefault, type Option } from "../core/options.ts";

/** A field that is honoured. */
export interface Field extends Option {
  /** Its value when nobody sets it. */
  readonly default: unknown;
}

const { either, flag, kind, listOf, number, orNull, someText, whole } = kinds;

const id = whole(0), isId = id.accepts;
const isSequence = (x: unknown): boolean => Array.isArray(x) && x.length > 0 && x.every(isId);
const ids: Field = byDefault([], listOf(id, "token ids"));
const share = number({ above: 0, to: 1 });
const isPair = (x: unknown): boolean => Array.isArray(x) && x.length === 2;
const isNumber = number().accepts;

/** Beams, and texts, that are made side by side: all of them are in memory, and every step takes them all. */
export const mostBeams = 1024, mostTexts = 1024;

/** Those that a generation_config.json may hold, in camelCase, by their names here. */
export const fields = {
  maxNewTokens: byDefault(20, whole(0)),
  maxLength: byDefault(null, orNull(whole(0))),
  minNewTokens: byDefault(0, whole(0)),
  minLength: byDefault(0, whole(0)),
  maxTime: byDefault(null, kinds.called("seconds above 0, or null", orNull(number({ above: 0 })))),
  stop: byDefault([], listOf(someText, "texts of at least one character")),
  doSample: byDefault(false, flag),
  numBeams: byDefault(1, whole(1, mostBeams)),
  numBeamGroups: byDefault(1, whole(1, mostBeams)),
  diversityPenalty: byDefault(0, number({ from: 0 })),
  lengthPenalty: byDefault(1, number()),
  earlyStopping: byDefault(false, kinds.oneOf(true, false, "never")),
  numReturnSequences: byDefault(1, whole(1, mostTexts)),
  temperature: byDefault(1, number({ from: 0 })),
  topK: byDefault(50, kinds.called("a whole number from 0 (0 keeps all)", whole(0))),
  topP: byDefault(1, share),
  topH: byDefault(null, orNull(share)),
  minP: byDefault(0, number({ from: 0, to: 1 })),
  typicalP: byDefault(1, share),
  epsilonCutoff: byDefault(0, number({ from: 0, below: 1 })),
  etaCutoff: byDefault(0, number({ from: 0, below: 1 })),
  penaltyAlpha: byDefault(0, number({ from: 0, to: 1 })),
  repetitionPenalty: byDefault(1, number({ above: 0 })),
  frequencyPenalty: byDefault(0, number()),
  presencePenalty: byDefault(0, number()),
  repeatLastN: byDefault(-1, kinds.called("a whole number from -1 (-1: the whole text)", whole(-1))),
  noRepeatNgramSize: byDefault(0, whole(0)),
  badWordsIds: byDefault([], listOf(kind("", isSequence), "lists of token ids, none of them empty")),
  suppressTokens: ids,
  beginSuppressTokens: ids,
  sequenceBias: byDefault(
    [],
    listOf(
      kind("", (x) => isPair(x) && isSequence((x as unknown[])[0]) && isNumber((x as unknown[])[1])),
      "pairs of token ids and a bias, such as [[[5, 6], -2]]",
    ),
  ),
  exponentialDecayLengthPenalty: byDefault(
    null,
    orNull(
      kind(
        "a number of tokens and a factor, such as [20, 1.1]",
        (x) => isPair(x) && isId((x as unknown[])[0]) && number({ above: 0 }).accepts((x as unknown[])[1]),
      ),
    ),
  ),
  forcedBosTokenId: byDefault(null, kinds.called("a token id, or null", orNull(id))),
  forcedEosTokenId: ids,
  removeInvalidValues: byDefault(false, flag),
  renormalizeLogits: byDefault(false, flag),
  guidanceScale: byDefault(1, number({ from: 1 })),
  promptLookupNumTokens: byDefault(null, orNull(whole(1))),
  maxMatchingNgramSize: byDefault(2, whole(1)),
  numAssistantTokens: byDefault(20, whole(1)),
  outputScores: byDefault(false, flag),
  outputLogits: byDefault(false, flag),
  eosTokenId: ids,
} as const satisfies Record<string, Field>;

/** The name of an honoured field. */
export type FieldName = keyof typeof fields;

/** Other names: Hugging Face's in camelCase, and the name here. */
export const aliases: Readonly<Record<string, FieldName>> = { stopStrings: "stop" };

/** Fields where one id or text may stand for a list of one. */
export const listFields: readonly FieldName[] = [
  "stop",
  "eosTokenId",
  "forcedEosTokenId",
  "suppressTokens",
  "beginSuppressTokens",
];

/** Fields whose ids are of the model's vocabulary, and the ids in a value. */
export const idFields: Readonly<Record<string, (value: never) => readonly number[]>> = {
  badWordsIds: (words: readonly (readonly number[])[]) => words.flat(),
  suppressTokens: (list: readonly number[]) => list,
  beginSuppressTokens: (list: readonly number[]) => list,
  sequenceBias: (pairs: readonly (readonly [readonly number[], number])[]) => pairs.flatMap(([ids]) => ids),
  forcedBosTokenId: (one: number | null) => one === null ? [] : [one],
  forcedEosTokenId: (list: readonly number[]) => list,
  eosTokenId: (list: readonly number[]) => list,
  negativePromptIds: (list: readonly number[]) => list,
  padTokenId: (one: number | null) => one === null || one < 0 ? [] : [one],
};

/** Fields that change no token, whatever they say: how fast, in how much memory, in what form, with which padding. */
export const unfelt: Readonly<Record<string, kinds.Kind>> = {
  useCache: flag,
  cacheImplementation: kinds.oneOf(
    "dynamic",
    "dynamic_full",
    "static",
    "offloaded",
    "offloaded_static",
    "sliding_window",
    "hybrid",
    "hybrid_chunked",
    "offloaded_hybrid",
    "offloaded_hybrid_chunked",
    "mamba",
    "paged",
  ),
  cacheConfig: kinds.object,
  maxCacheLen: whole(1),
  returnLegacyCache: flag,
  prefillChunkSize: whole(1),
  isAssistant: flag,
  numAssistantTokensSchedule: kinds.oneOf("constant", "heuristic", "heuristic_transient"),
  assistantConfidenceThreshold: number({ from: 0, to: 1 }),
  assistantEarlyExit: whole(1),
  assistantLookbehind: whole(1),
  targetLookbehind: whole(1),
  useMtp: flag,
  lowMemory: flag,
  returnDictInGenerate: flag,
  compileConfig: kinds.object,
  disableCompile: flag,
  continuousBatchingConfig: kinds.object,
  padTokenId: either(id, kinds.oneOf(-1)),
};

/** A field that cannot be honoured: the values that change nothing, and why others are refused. */
export interface Refused {
  /** Values that mean what happens anyway. */
  readonly neutral: readonly unknown[];
  /** Why any other value is refused. */
  readonly why: string;
  /** Whether it asks for something beside the tokens, which only a caller can miss: in a file it changes nothing. */
  readonly besides?: boolean;
}

const never = (why: string, ...neutral: unknown[]): Refused => ({ neutral: [null, ...neutral], why });
const besides = (why: string, ...neutral: unknown[]): Refused => ({
  ...never(why, ...neutral),
  besides: true,
});
const removed = "Hugging Face took it out of its library; pass a function in logitsProcessors";
const noEncoder = "it looks at what an encoder was given, and this model has no encoder";

/** Fields that only say something about the file or the model's own tokens: they change no text. */
export const silentFields: readonly string[] = [
  "bosTokenId",
  "padTokenId",
  "transformersVersion",
  "FromModelConfig",
  "fromModelConfig",
  "generationKwargs",
];

/** Fields that are refused, unless their value changes nothing. */
export const refused: Readonly<Record<string, Refused>> = {
  dolaLayers: never(removed),
  forceWordsIds: never(removed),
  constraints: never(removed),
  forcedDecoderIds: never("Hugging Face took it out of its library; use forcedBosTokenId or a prompt"),
  tokenHealing: never("prompts are taken as they are", false),
  watermarkingConfig: never(removed),
  assistantEnsembleWeight: never("guesses are confirmed, never mixed into the distribution"),
  outputAttentions: besides("use model.attentions(ids)", false),
  outputHiddenStates: besides("use model.hidden(ids)", false),
  decoderStartTokenId: besides(
    "a text begins with its prompt, and this model has no decoder beside an encoder",
  ),
  encoderRepetitionPenalty: never(noEncoder, 1),
  encoderNoRepeatNgramSize: never(noEncoder, 0),
};

/** Why a value of `cacheImplementation` is refused: the one that changes tokens. */
export const quantizedCache = `a cache of fewer bits changes tokens; say it as cacheDType: "q8"`;
