/**
 * From text to text: a prompt's characters in, pieces of new text out, as they become certain.
 *
 * @module
 */
import type { Tokenizer } from "../text/mod.ts";
import type { LanguageModel, LanguageModelCache } from "./model.ts";
import type { ResolvedOptions } from "./options.ts";
import { StopFilter } from "./stop.ts";
import { type FinishReason, generateTokens } from "./tokens.ts";

/** Everything about one finished generation. */
export interface GenerationResult {
  /** The new text. */
  text: string;
  /** The ids of the prompt. */
  promptIds: number[];
  /** The new ids, with those of a stop text that was cut off, and an end-of-text token. */
  ids: number[];
  /** Why it ended: enough tokens, a stop text, an end-of-text token. */
  finishReason: FinishReason;
  /** Milliseconds until the first new token. */
  prefillMilliseconds: number;
  /** Milliseconds for the tokens after the first. */
  decodeMilliseconds: number;
}

/**
 * Continues the prompt. Pieces never split a character, and text that might begin a stop text is held back until it
 * is clear. The generator's return value tells the rest.
 */
export async function* generateText<C extends LanguageModelCache>(
  model: LanguageModel<C>,
  tokenizer: Tokenizer | null,
  promptIds: readonly number[],
  options: ResolvedOptions,
): AsyncGenerator<string, GenerationResult> {
  const tokens = generateTokens(model, promptIds, options);
  const stream = tokenizer?.stream({ skipSpecialTokens: true }), filter = new StopFilter(options.stop);
  const ids: number[] = [];
  let text = "", finishReason: FinishReason = "length", prefill = 0, decode = 0;
  try {
    for (;;) {
      const step = await tokens.next();
      if (step.done) {
        finishReason = step.value.finishReason;
        break;
      }
      if (ids.length) decode += step.value.milliseconds;
      else prefill = step.value.milliseconds;
      ids.push(step.value.id);
      const piece = stream ? filter.push(stream.push(step.value.id)) : "";
      text += piece;
      if (piece) yield piece;
      if (filter.found !== null) break;
    }
    if (filter.found === null) {
      const last = (stream ? filter.push(stream.flush()) : "") +
        (filter.found === null ? filter.flush() : "");
      text += last;
      if (last) yield last;
    }
  } finally {
    await tokens.return(undefined as never);
  }
  return {
    text,
    promptIds: [...promptIds],
    ids,
    finishReason: filter.found === null ? finishReason : "stop",
    prefillMilliseconds: prefill,
    decodeMilliseconds: decode,
  };
}
