/**
 * Everything that is done to logits before a token is chosen, in the order of Hugging Face: biases and penalties, lengths,
 * the caller's own, and then, when sampling, what cuts the tail off.
 *
 * @module
 */
import { isNamed, named } from "../no_choice.ts";
import type { LogitsProcessor, ResolvedOptions } from "../options.ts";
import { exponentialDecay, forceAt, minLength } from "./lengths.ts";
import { countPenalty, noRepeatNgram, repetitionPenalty } from "./penalties.ts";
import {
  epsilonCutoff,
  etaCutoff,
  minP,
  removeInvalid,
  temperature,
  toLogProbabilities,
  topH,
  topK,
  topP,
  typicalP,
} from "./warpers.ts";
import { badWords, sequenceBias, suppress, suppressAtBegin } from "./words.ts";

/** All processors that `options` ask for, in order, for a prompt of `start` ids. */
export function buildProcessors(options: ResolvedOptions, start: number): LogitsProcessor[] {
  const o = options, ends = o.eosTokenId, list: LogitsProcessor[] = [];
  const add = (name: string, process: LogitsProcessor): void => void list.push(named(name, process));
  if (o.sequenceBias.length) add("sequenceBias", sequenceBias(o.sequenceBias));
  const last = o.repeatLastN < 0 ? Infinity : o.repeatLastN;
  if (o.repetitionPenalty !== 1 && last > 0) {
    add("repetitionPenalty", repetitionPenalty(o.repetitionPenalty, last));
  }
  if ((o.frequencyPenalty !== 0 || o.presencePenalty !== 0) && last > 0) {
    add(
      "frequencyPenalty or presencePenalty",
      countPenalty(o.frequencyPenalty, o.presencePenalty, start, last),
    );
  }
  if (o.noRepeatNgramSize > 0) add("noRepeatNgramSize", noRepeatNgram(o.noRepeatNgramSize));
  if (o.badWordsIds.length) add("badWordsIds", badWords(o.badWordsIds, ends));
  const least = Math.max(o.minLength, o.minNewTokens > 0 ? start + o.minNewTokens : 0);
  if (least > start && ends.length) add("minLength", minLength(least, ends));
  if (o.forcedBosTokenId !== null) add("forcedBosTokenId", forceAt(1, [o.forcedBosTokenId]));
  if (o.forcedEosTokenId.length) {
    add("forcedEosTokenId", forceAt(start + o.maxNewTokens - 1, o.forcedEosTokenId));
  }
  if (o.removeInvalidValues) add("removeInvalidValues", (_ids, logits) => removeInvalid(logits));
  if (o.exponentialDecayLengthPenalty !== null) {
    add("exponentialDecayLengthPenalty", exponentialDecay(...o.exponentialDecayLengthPenalty, start, ends));
  }
  if (o.suppressTokens.length) add("suppressTokens", suppress(o.suppressTokens));
  if (o.beginSuppressTokens.length) add("beginSuppressTokens", suppressAtBegin(o.beginSuppressTokens, start));
  // A function may stand in several lists: the name is of the place in this one.
  o.logitsProcessors.forEach((process, i) =>
    add(`logitsProcessors[${i}]`, isNamed(process) ? process : (ids, logits) => process(ids, logits))
  );
  if (o.doSample) {
    const keep = o.numBeams > 1 ? 1 + Math.max(1, ends.length) : 1;
    if (o.temperature !== 1) add("temperature", temperature(o.temperature));
    if (o.topH !== null) add("topH", topH(o.topH, keep));
    if (o.topK > 0) add("topK", topK(o.topK, keep));
    if (o.topP < 1) add("topP", topP(o.topP, keep));
    if (o.minP > 0) add("minP", minP(o.minP, keep));
    if (o.typicalP < 1) add("typicalP", typicalP(o.typicalP, keep));
    if (o.epsilonCutoff > 0) add("epsilonCutoff", epsilonCutoff(o.epsilonCutoff, keep));
    if (o.etaCutoff > 0) add("etaCutoff", etaCutoff(o.etaCutoff, keep));
  }
  if (o.renormalizeLogits) add("renormalizeLogits", (_ids, logits) => toLogProbabilities(logits));
  return list;
}
