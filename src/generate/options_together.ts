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
  const endless = (): boolean => o.eosTokenId.length === 0, beams = (): boolean => o.numBeams > 1;
  return [
    { option: ["minNewTokens", "minLength"], when: endless, because: noEnd, unless: 0 },
    { option: "exponentialDecayLengthPenalty", when: endless, because: noEnd, unless: null },
    { option: "lengthPenalty", when: () => beams() && endless(), because: noEnd, unless: 1 },
    { option: "earlyStopping", when: () => beams() && endless(), because: noEnd, unless: false },
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
    { option: "contextOverflow", when: beams, because: "beam search does not slide", unless: "error" },
    { option: "cachePrompt", when: beams, because: "beam search makes caches of its own", unless: false },
  ];
}

/** @throws {OptionError} naming the options that do not go together. `given` are those of the caller. */
export function checkTogether(o: ResolvedOptions, given: GenerateOptions): void {
  const demand = (ok: boolean, name: keyof ResolvedOptions, expected: string): void => {
    if (!ok) throw new OptionError(`generate: ${name} is ${show(o[name])}, expected ${expected}`);
  };
  checkIdle("generate", given, idleBeside(o));
  demand(
    o.maxLength !== null || o.minNewTokens <= o.maxNewTokens,
    "minNewTokens",
    `at most maxNewTokens ${o.maxNewTokens}`,
  );
  demand(
    o.temperature > 0 || !o.doSample,
    "temperature",
    "a number above 0 when doSample is true; 0 is greedy",
  );
  if (o.cache && given.cacheDType !== undefined && given.cacheDType !== o.cache.dtype) {
    throw new OptionError(
      `generate: cacheDType is ${JSON.stringify(o.cacheDType)}, and the cache was made with ${
        JSON.stringify(o.cache.dtype)
      }; leave cacheDType out`,
    );
  }
  if (o.negativePromptIds.length && o.guidanceScale === 1) {
    throw new OptionError(
      "generate: negativePromptIds act with guidanceScale above 1; give it, or leave them out",
    );
  }
  if (o.guidanceScale > 1 && (o.numBeams > 1 || o.assistantModel || o.promptLookupNumTokens !== null)) {
    throw new OptionError(
      "generate: guidanceScale leads one text token by token; leave it, or beams and guesses out",
    );
  }
  if (o.penaltyAlpha > 0) {
    if (o.doSample || o.numBeams > 1) {
      throw new OptionError(
        "generate: penaltyAlpha chooses among the likeliest tokens of one text; leave it, or doSample and numBeams out",
      );
    }
    demand(o.topK > 1, "topK", "at least 2 candidates, which penaltyAlpha chooses from");
    if (o.cache || o.guidanceScale > 1 || o.assistantModel || o.promptLookupNumTokens !== null) {
      throw new OptionError(
        "generate: penaltyAlpha takes no guesses, no guidance and no cache of the caller's; leave it or them out",
      );
    }
  }
  const guesses = o.assistantModel !== undefined || o.promptLookupNumTokens !== null;
  if (o.assistantModel && o.promptLookupNumTokens !== null) {
    throw new OptionError("generate: assistantModel and promptLookupNumTokens both guess; leave one out");
  }
  if (guesses && (o.numBeams > 1 || o.outputScores || o.outputLogits)) {
    throw new OptionError(
      "generate: guesses (assistantModel, promptLookupNumTokens) follow one text and tell no scores; leave them, or numBeams, " +
        "outputScores and outputLogits out",
    );
  }
  if (o.numBeams === 1) {
    const idle = beamNames.filter((name) =>
      given[name] !== undefined && given[name] !== fields[name].default
    );
    if (idle.length) {
      throw new OptionError(
        `generate: ${idle.join(", ")} ${
          idle.length === 1 ? "acts" : "act"
        } only in beam search; give numBeams above 1, or leave ${idle.length === 1 ? "it" : "them"} out`,
      );
    }
    if (o.numReturnSequences > 1 && !o.doSample) {
      throw new OptionError(
        `generate: numReturnSequences is ${o.numReturnSequences}, and without sampling or beams there is one text only; ` +
          `give doSample: true or numBeams`,
      );
    }
    return;
  }
  if (o.cache) throw new OptionError("generate: numBeams above 1 makes caches of its own; leave cache out");
  if (o.logprobs !== undefined || o.outputScores || o.outputLogits) {
    throw new OptionError(
      "generate: logprobs, outputScores and outputLogits tell of one text as it grows, and beam search has several; " +
        "leave them or numBeams out",
    );
  }
  if (o.responseFormat) {
    throw new OptionError("generate: responseFormat follows one text; leave it or numBeams out");
  }
  if (o.stoppingCriteria.length) {
    throw new OptionError("generate: stoppingCriteria belong to one text; leave them or numBeams out");
  }
  demand(o.numReturnSequences <= o.numBeams, "numReturnSequences", `at most numBeams ${o.numBeams}`);
  if (o.numBeamGroups > 1) {
    demand(o.numBeams % o.numBeamGroups === 0, "numBeamGroups", `a divisor of numBeams ${o.numBeams}`);
    if (o.doSample) {
      throw new OptionError(
        "generate: beam groups take the likeliest tokens and do not sample; leave doSample out",
      );
    }
  } else if (o.diversityPenalty > 0) {
    throw new OptionError(
      "generate: diversityPenalty acts between groups of beams; give numBeamGroups above 1",
    );
  }
}
