/**
 * Answers in the form of OpenAI's API, whole and piece by piece.
 *
 * @module
 */
import type { Steps } from "../../src/core/steps.ts";
import type { GenerationResult, TokenDetails, Tokenizer } from "../../mod.ts";

/** What an answer says about tokens. */
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}

/** A token with what is known of it. */
export interface TokenInfo {
  readonly id: number;
  readonly details: TokenDetails;
}

/** "stop" for an end of its own or of the caller's, "tool_calls" where it calls some. */
export function finishReason(
  { finishReason }: GenerationResult,
  calls: number = 0,
): "stop" | "length" | "tool_calls" {
  return finishReason === "length" ? "length" : calls > 0 ? "tool_calls" : "stop";
}

/** Tokens of prompts and of answers. */
export function usageOf(prompts: readonly number[], made: readonly number[]): Usage {
  const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
  const prompt_tokens = sum(prompts), completion_tokens = sum(made);
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}

const textOf = (tokenizer: Tokenizer, id: number): string =>
  tokenizer.decode([id], { skipSpecialTokens: false });

/** Units of {@link Steps} that the text of a token costs. */
const oneText = 20;

/**
 * Log-probabilities as `/v1/completions` tells them; `offset` is where the first token's text begins. An answer may have the texts of
 * many thousand tokens in it: a step is one token and what might have stood there.
 */
export function* completionLogprobs(
  tokenizer: Tokenizer,
  tokens: readonly TokenInfo[],
  offset: number,
): Steps<Record<string, unknown>> {
  let at = offset;
  const texts: string[] = [], top: Record<string, number>[] = [], offsets: number[] = [];
  for (const { id, details } of tokens) {
    const text = textOf(tokenizer, id);
    texts.push(text);
    top.push(Object.fromEntries(details.top.map(({ id, logprob }) => [textOf(tokenizer, id), logprob])));
    offsets.push(at);
    at += text.length;
    yield oneText * (1 + details.top.length);
  }
  return {
    tokens: texts,
    token_logprobs: tokens.map(({ details }) => details.logprob),
    top_logprobs: top,
    text_offset: offsets,
  };
}

const encoder = new TextEncoder();

/** Log-probabilities as `/v1/chat/completions` tells them, in the same steps. */
export function* chatLogprobs(
  tokenizer: Tokenizer,
  tokens: readonly TokenInfo[],
): Steps<Record<string, unknown>> {
  const one = (id: number, logprob: number): Record<string, unknown> => {
    const token = textOf(tokenizer, id);
    return { token, logprob, bytes: [...encoder.encode(token)] };
  };
  const content: Record<string, unknown>[] = [];
  for (const { id, details } of tokens) {
    content.push({
      ...one(id, details.logprob),
      top_logprobs: details.top.map((other) => one(other.id, other.logprob)),
    });
    yield oneText * (1 + details.top.length);
  }
  return { content, refusal: null };
}
