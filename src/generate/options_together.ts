/**
 * Options that contradict each other, or that mean nothing without another.
 *
 * @module
 */
import { OptionError } from "../core/errors.ts";
import { checkIdle, type Idle } from "../core/options.ts";
import { show } from "../core/show.ts";
import { fields } from "./fields.ts";
import type { GenerateOptions, ResolvedOptions } from "./options.ts";

/** Options that act in beam search alone, besides the number of beams. */
export const beamNames = ["numBeamGroups", "diversityPenalty", "lengthPenalty", "earlyStopping"] as const;

const noEnd = "no token ends the text (eosTokenId is empty)", noGuesses = "nothing guesses";

/** Options that mean nothing beside the settled ones. */
export function idleBeside(o: ResolvedOptions): readonly Idle<GenerateOptions>[] {
  const endless = (): boolean => o.eosTokenId.length === 0, several = (): boolean => beams(o);
  return [
    { option: ["minNewTokens", "minLength"], when: endless, because: noEnd, unless: 0 },
    { option: "exponentialDecayLengthPenalty", when: endless, because: noEnd, unless: null },
    { option: "lengthPenalty", when: () => several() && endless(), because: noEnd, unless: 1 },
    { option: "earlyStopping", when: () => several() && endless(), because: noEnd, unless: false },
    {
      option: "maxMatchingNgramSize",
      when: () => o.promptLookupNumTokens === null,
      because: `${noGuesses} from the prompt; it belongs to promptLookupNumTokens`,
      unless: fields.maxMatchingNgramSize.default,
    },
    {
      option: "numAssistantTokens",
      when: () => o.assistantModel === undefined,
      because: `${noGuesses}; it belongs to assistantModel`,
      unless: fields.numAssistantTokens.default,
    },
    { option: "seed", when: () => !o.doSample, because: "nothing is drawn; it belongs to doSample: true" },
    {
      option: "repeatLastN",
      when: () => o.repetitionPenalty === 1 && o.frequencyPenalty === 0 && o.presencePenalty === 0,
      because: "nothing is penalised; it belongs to repetitionPenalty, frequencyPenalty and presencePenalty",
      unless: fields.repeatLastN.default,
    },
    { option: "contextOverflow", when: several, because: "beam search does not slide", unless: "error" },
    { option: "cachePrompt", when: several, because: "beam search makes caches of its own", unless: false },
  ];
}

/** What does not go together, and what to do; the caller's options are `given`. */
interface Clash {
  readonly when: (o: ResolvedOptions, given: GenerateOptions) => boolean;
  readonly say: string | ((o: ResolvedOptions, given: GenerateOptions) => string);
}

/** A number that others bound. */
const wrong = (name: keyof ResolvedOptions, expected: (o: ResolvedOptions) => string): Clash["say"] => (o) =>
  `${name} is ${show(o[name])}, expected ${expected(o)}`;

const guesses = (o: ResolvedOptions): boolean =>
  o.assistantModel !== undefined || o.promptLookupNumTokens !== null;
const beams = (o: ResolvedOptions): boolean => o.numBeams > 1;

/** Options of beam search that are given where there is one beam. */
const idleBeams = (given: GenerateOptions): string[] =>
  beamNames.filter((name) => given[name] !== undefined && given[name] !== fields[name].default);

/** In the order in which they are told: what comes first is nearer to the cause. */
const clashes: readonly Clash[] = [
  {
    when: (o) => o.maxLength === null && o.minNewTokens > o.maxNewTokens,
    say: wrong("minNewTokens", (o) => `at most maxNewTokens ${o.maxNewTokens}`),
  },
  {
    when: (o) => o.doSample && !(o.temperature > 0),
    say: wrong("temperature", () => "a number above 0 when doSample is true; 0 is greedy"),
  },
  {
    when: (o, given) => o.cache !== undefined && ![undefined, o.cache.dtype].includes(given.cacheDType),
    say: (o) =>
      `cacheDType is ${show(o.cacheDType)}, and the cache was made with ${
        show(o.cache!.dtype)
      }; leave cacheDType out`,
  },
  {
    when: (o) => o.negativePromptIds.length > 0 && o.guidanceScale === 1,
    say: "negativePromptIds act with guidanceScale above 1; give it, or leave them out",
  },
  {
    when: (o) => o.guidanceScale > 1 && (beams(o) || guesses(o)),
    say: "guidanceScale leads one text token by token; leave it, or beams and guesses out",
  },
  {
    when: (o) => o.penaltyAlpha > 0 && (o.doSample || beams(o)),
    say:
      "penaltyAlpha chooses among the likeliest tokens of one text; leave it, or doSample and numBeams out",
  },
  {
    when: (o) => o.penaltyAlpha > 0 && o.topK <= 1,
    say: wrong("topK", () => "at least 2 candidates, which penaltyAlpha chooses from"),
  },
  {
    when: (o) => o.penaltyAlpha > 0 && (o.cache !== undefined || o.guidanceScale > 1 || guesses(o)),
    say: "penaltyAlpha takes no guesses, no guidance and no cache of the caller's; leave it or them out",
  },
  {
    when: (o) => o.assistantModel !== undefined && o.promptLookupNumTokens !== null,
    say: "assistantModel and promptLookupNumTokens both guess; leave one out",
  },
  {
    when: (o) => guesses(o) && (beams(o) || o.outputScores || o.outputLogits),
    say:
      "guesses (assistantModel, promptLookupNumTokens) follow one text and tell no scores; leave them, or numBeams, " +
      "outputScores and outputLogits out",
  },
  {
    when: (o, given) => !beams(o) && idleBeams(given).length > 0,
    say: (_, given) => {
      const idle = idleBeams(given), one = idle.length === 1;
      return `${idle.join(", ")} ${
        one ? "acts" : "act"
      } only in beam search; give numBeams above 1, or leave ${one ? "it" : "them"} out`;
    },
  },
  {
    when: (o) => !beams(o) && o.numReturnSequences > 1 && !o.doSample,
    say: (o) =>
      `numReturnSequences is ${o.numReturnSequences}, and without sampling or beams there is one text only; ` +
      "give doSample: true or numBeams",
  },
  {
    when: (o) => beams(o) && o.cache !== undefined,
    say: "numBeams above 1 makes caches of its own; leave cache out",
  },
  {
    when: (o) => beams(o) && (o.logprobs !== undefined || o.outputScores || o.outputLogits),
    say:
      "logprobs, outputScores and outputLogits tell of one text as it grows, and beam search has several; " +
      "leave them or numBeams out",
  },
  {
    when: (o) => beams(o) && Boolean(o.responseFormat),
    say: "responseFormat follows one text; leave it or numBeams out",
  },
  {
    when: (o) => beams(o) && o.stoppingCriteria.length > 0,
    say: "stoppingCriteria belong to one text; leave them or numBeams out",
  },
  {
    when: (o) => beams(o) && o.numReturnSequences > o.numBeams,
    say: wrong("numReturnSequences", (o) => `at most numBeams ${o.numBeams}`),
  },
  {
    when: (o) => beams(o) && o.numBeams % o.numBeamGroups !== 0,
    say: wrong("numBeamGroups", (o) => `a divisor of numBeams ${o.numBeams}`),
  },
  {
    when: (o) => beams(o) && o.numBeamGroups > 1 && o.doSample,
    say: "beam groups take the likeliest tokens and do not sample; leave doSample out",
  },
  {
    when: (o) => beams(o) && o.numBeamGroups === 1 && o.diversityPenalty > 0,
    say: "diversityPenalty acts between groups of beams; give numBeamGroups above 1",
  },
];

/** @throws {OptionError} naming the options that do not go together. `given` are those of the caller. */
export function checkTogether(o: ResolvedOptions, given: GenerateOptions): void {
  checkIdle("generate", given, idleBeside(o));
  const clash = clashes.find(({ when }) => when(o, given));
  if (!clash) return;
  throw new OptionError(`generate: ${typeof clash.say === "string" ? clash.say : clash.say(o, given)}`);
}
