/**
 * Everything that is done to logits before a token is chosen, in the order of Hugging Face: biases and penalties, lengths,
 * the caller's own, and then, when sampling, what cuts the tail off.
 *
 * @module
 */
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
  if (o.sequenceBias.length) list.push(sequenceBias(o.sequenceBias));
  if (o.repetitionPenalty !== 1) list.push(repetitionPenalty(o.repetitionPenalty));
  if (o.frequencyPenalty !== 0 || o.presencePenalty !== 0) {
    list.push(countPenalty(o.frequencyPenalty, o.presencePenalty, start));
  }
  if (o.noRepeatNgramSize > 0) list.push(noRepeatNgram(o.noRepeatNgramSize));
  if (o.badWordsIds.length) list.push(badWords(o.badWordsIds, ends));
  const least = Math.max(o.minLength, o.minNewTokens > 0 ? start + o.minNewTokens : 0);
  if (least > start && ends.length) list.push(minLength(least, ends));
  if (o.forcedBosTokenId !== null) list.push(forceAt(1, [o.forcedBosTokenId]));
  if (o.forcedEosTokenId.length) list.push(forceAt(start + o.maxNewTokens - 1, o.forcedEosTokenId));
  if (o.removeInvalidValues) list.push((_ids, logits) => removeInvalid(logits));
  if (o.exponentialDecayLengthPenalty !== null) {
    list.push(exponentialDecay(...o.exponentialDecayLengthPenalty, start, ends));
  }
  if (o.suppressTokens.length) list.push(suppress(o.suppressTokens));
  if (o.beginSuppressTokens.length) list.push(suppressAtBegin(o.beginSuppressTokens, start));
  list.push(...o.logitsProcessors);
  if (o.doSample) {
    const keep = o.numBeams > 1 ? 1 + Math.max(1, ends.length) : 1;
    if (o.temperature !== 1) list.push(temperature(o.temperature));
    if (o.topH !== null) list.push(topH(o.topH, keep));
    if (o.topK > 0) list.push(topK(o.topK, keep));
    if (o.topP < 1) list.push(topP(o.topP, keep));
    if (o.minP > 0) list.push(minP(o.minP, keep));
    if (o.typicalP < 1) list.push(typicalP(o.typicalP, keep));
    if (o.epsilonCutoff > 0) list.push(epsilonCutoff(o.epsilonCutoff, keep));
    if (o.etaCutoff > 0) list.push(etaCutoff(o.etaCutoff, keep));
  }
  if (o.renormalizeLogits) list.push((_ids, logits) => toLogProbabilities(logits));
  return list;
}
