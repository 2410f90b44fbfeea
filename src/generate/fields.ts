/**
 * Every field of Hugging Face's `GenerationConfig`: the ones that hold here, with their defaults and what they accept,
 * and the ones that cannot, with the reason.
 *
 * @module
 */

/** A field that is honoured. */
export interface Field {
  /** Its value when nobody sets it. */
  readonly default: unknown;
  /** Whether a value is possible. */
  readonly accepts: (value: unknown) => boolean;
  /** What is possible, in words. */
  readonly expected: string;
}

const isNumber = (x: unknown): x is number => typeof x === "number" && Number.isFinite(x);
const isCount = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0;
const isList = (x: unknown, of: (item: unknown) => boolean): boolean => Array.isArray(x) && x.every(of);
const areIds = (x: unknown): boolean => isList(x, isCount);
const isSequence = (x: unknown): boolean => areIds(x) && (x as unknown[]).length > 0;
const orNull = (of: (x: unknown) => boolean) => (x: unknown): boolean => x === null || of(x);

const field = (value: unknown, accepts: Field["accepts"], expected: string): Field => ({
  default: value,
  accepts,
  expected,
});
const count = (value: number, least = 0): Field =>
  field(value, (x) => isCount(x) && x >= least, `a whole number from ${least}`);
const flag = (value: boolean): Field => field(value, (x) => typeof x === "boolean", "true or false");
const ids: Field = field([], areIds, "token ids");
const share = (value: number, from: "above" | "from"): Field =>
  field(
    value,
    (x) => isNumber(x) && x <= 1 && (from === "from" ? x >= 0 : x > 0),
    from === "from" ? "a number from 0 to 1" : "a number above 0, up to 1",
  );
const number = (value: number, expected = "a number", ok = (_x: number) => true): Field =>
  field(value, (x) => isNumber(x) && ok(x), expected);

/** Those that a generation_config.json may hold, in camelCase, by their names here. */
export const fields = {
  maxNewTokens: count(20),
  maxLength: field(null, orNull(isCount), "a whole number from 0, or null"),
  minNewTokens: count(0),
  minLength: count(0),
  maxTime: field(null, orNull((x) => isNumber(x) && x > 0), "seconds above 0, or null"),
  stop: field(
    [],
    (x) => isList(x, (s) => typeof s === "string" && s.length > 0),
    "texts of at least one character",
  ),
  doSample: flag(false),
  numBeams: count(1, 1),
  numBeamGroups: count(1, 1),
  diversityPenalty: number(0, "a number from 0", (x) => x >= 0),
  lengthPenalty: number(1),
  earlyStopping: field(false, (x) => typeof x === "boolean" || x === "never", `true, false or "never"`),
  numReturnSequences: count(1, 1),
  temperature: number(1, "a number from 0", (x) => x >= 0),
  topK: field(50, isCount, "a whole number from 0 (0 keeps all)"),
  topP: share(1, "above"),
  minP: share(0, "from"),
  typicalP: share(1, "above"),
  epsilonCutoff: number(0, "a number from 0, below 1", (x) => x >= 0 && x < 1),
  etaCutoff: number(0, "a number from 0, below 1", (x) => x >= 0 && x < 1),
  penaltyAlpha: field(
    0,
    (x) => isNumber(x) && x >= 0 && x <= 1,
    "a number from 0 to 1",
  ),
  repetitionPenalty: number(1, "a number above 0", (x) => x > 0),
  frequencyPenalty: number(0),
  presencePenalty: number(0),
  noRepeatNgramSize: count(0),
  badWordsIds: field([], (x) => isList(x, isSequence), "lists of token ids, none of them empty"),
  suppressTokens: ids,
  beginSuppressTokens: ids,
  sequenceBias: field(
    [],
    (x) =>
      isList(
        x,
        (pair) => Array.isArray(pair) && pair.length === 2 && isSequence(pair[0]) && isNumber(pair[1]),
      ),
    "pairs of token ids and a bias, such as [[[5, 6], -2]]",
  ),
  exponentialDecayLengthPenalty: field(
    null,
    orNull((x) => Array.isArray(x) && x.length === 2 && isCount(x[0]) && isNumber(x[1]) && x[1] > 0),
    "a number of tokens and a factor, such as [20, 1.1], or null",
  ),
  forcedBosTokenId: field(null, orNull(isCount), "a token id, or null"),
  forcedEosTokenId: ids,
  removeInvalidValues: flag(false),
  renormalizeLogits: flag(false),
  guidanceScale: number(1, "a number from 1", (x) => x >= 1),
  promptLookupNumTokens: field(null, orNull((x) => isCount(x) && x > 0), "a whole number from 1, or null"),
  maxMatchingNgramSize: count(2, 1),
  numAssistantTokens: count(20, 1),
  outputScores: flag(false),
  outputLogits: flag(false),
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

/** A field that cannot be honoured: the values that change nothing, and why others are refused. */
export interface Refused {
  /** Values that mean what happens anyway. */
  readonly neutral: readonly unknown[];
  /** Why any other value is refused. */
  readonly why: string;
}

const never = (why: string, ...neutral: unknown[]): Refused => ({ neutral: [null, ...neutral], why });
const noEncoder = "it belongs to encoder-decoder models, and GPT-2 has no encoder";
const noAssistant = "guesses are as many each time, and all of them are looked at";
const removed = "Hugging Face took it out of its library; pass a function in logitsProcessors";

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
  useCache: never("keys and values are always kept: the same text, sooner", true),
  cacheImplementation: never(
    "the cache has one form; cacheDType says how keys and values are stored",
    "static",
  ),
  cacheConfig: never("the cache has one form; cacheDType says how keys and values are stored"),
  returnLegacyCache: never("there is no older form of the cache", false, true),
  prefillChunkSize: never("a prompt goes through the model in one piece"),
  dolaLayers: never(removed),
  isAssistant: never(noAssistant, false),
  numAssistantTokensSchedule: never(noAssistant, "constant"),
  assistantConfidenceThreshold: never(noAssistant, 0.4),
  assistantEarlyExit: never(noAssistant),
  assistantLookbehind: never(noAssistant, 10),
  targetLookbehind: never(noAssistant, 10),
  forceWordsIds: never(removed),
  constraints: never(removed),
  tokenHealing: never("prompts are taken as they are", false),
  watermarkingConfig: never(removed),
  lowMemory: never("memory is planned once and does not depend on the search", false, true),
  outputAttentions: never("use model.attentions(ids)", false),
  outputHiddenStates: never("use model.hidden(ids)", false),
  returnDictInGenerate: never("completion always tells everything", false, true),
  encoderRepetitionPenalty: never(noEncoder, 1),
  encoderNoRepeatNgramSize: never(noEncoder, 0),
  decoderStartTokenId: never(noEncoder),
  compileConfig: never("kernels are always compiled"),
  disableCompile: never("kernels are always compiled", false),
};
