/**
 * From text to text: a prompt's characters in, pieces of new text out, as they become certain.
 *
 * @module
 */
import { demand, demandNoMore, demandRecord, toldAs } from "../core/demand.ts";
import { OptionError } from "../core/errors.ts";
import { readyToHold } from "../ops/blocks.ts";
import type { DecodeStream, Tokenizer } from "../text/mod.ts";
import { type LanguageModel, type LanguageModelCache, rewind } from "./model.ts";
import { constrainedSoon } from "./constraint/known.ts";
import { demandGeneration, forPrompt, type ResolvedOptions, type TokenDetails } from "./options.ts";
import { StopFilter } from "./stop.ts";
import type { FinishReason, TokensResult, TokenStep } from "./sequence.ts";
import { generateTokens } from "./tokens.ts";

/**
 * One new token and the text that became certain with it.
 *
 * @category Generation
 */
export interface TokenPiece {
  /** The token; null for text that was held back until the end. */
  readonly id: number | null;
  /** Text; empty while a character, or what may be a stop text, is incomplete. */
  readonly text: string;
  /** Milliseconds from asking the model to having the token. */
  readonly milliseconds: number;
  /** Its log-probability and the likeliest tokens, where `logprobs` asks for them. */
  readonly details?: TokenDetails;
}

/**
 * Everything about one finished generation.
 *
 * @category Generation
 */
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
  /** The log-probability of each new token and the likeliest at its place, where `logprobs` asks for them. */
  logprobs?: TokenDetails[];
  /** Logits of each step after all processors, where `outputScores` asks for them. */
  scores?: Float32Array[];
  /** Logits of each step as the model gave them, where `outputLogits` asks for them. */
  logits?: Float32Array[];
}

/**
 * Continues the prompt, token by token. Text never splits a character, and what might begin a stop text is held back
 * until it is clear. The generator's return value tells the rest.
 *
 * @throws {OptionError} for options that `resolveOptions` did not make.
 * @throws {CancelledError} when the signal says so.
 * @throws {LogitsError} for logits that are no numbers, naming the weight or the operation behind them.
 * @throws {FerrotypeError} when every token is excluded.
 * @throws {ShapeError} for ids that are none of the vocabulary, and a prompt of more than the model has positions.
 * @category Generation
 */
export async function* generatePieces<C extends LanguageModelCache>(
  model: LanguageModel<C>,
  tokenizer: Tokenizer | null,
  promptIds: readonly number[],
  options: ResolvedOptions,
): AsyncGenerator<TokenPiece, GenerationResult> {
  demandNoMore(arguments, 4, "generatePieces");
  demandGeneration("generatePieces", model, tokenizer, promptIds, options);
  const tokens = generateTokens(model, promptIds, await constrainedSoon(options, tokenizer));
  return yield* textOfTokens(tokens, tokenizer, promptIds, options);
}

/** The stream of a text that goes on with a prompt. What keeps to a form is a text of its own: a form has no space before it. */
function streamAfter(
  tokenizer: Tokenizer | null,
  promptIds: readonly number[],
  { constraint }: ResolvedOptions,
): DecodeStream | undefined {
  return tokenizer?.stream({
    skipSpecialTokens: true,
    ...(constraint ? {} : { after: promptIds.slice(-16) }),
  });
}

/**
 * The text of tokens as they come, whoever makes them.
 *
 * @throws {OptionError} for arguments that it does not take; what the tokens throw.
 * @category Generation
 */
export async function* textOfTokens(
  tokens: AsyncGenerator<TokenStep, TokensResult>,
  tokenizer: Tokenizer | null,
  promptIds: readonly number[],
  options: ResolvedOptions,
): AsyncGenerator<TokenPiece, GenerationResult> {
  demandNoMore(arguments, 4, "textOfTokens");
  demand("textOfTokens", "tokens", tokens, typeof tokens?.next === "function", "what generateTokens gives");
  demandRecord("textOfTokens", options, "the options", "what resolveOptions gives");
  demand("textOfTokens", "stop", options.stop, Array.isArray(options.stop), "a list of texts");
  const stream = streamAfter(tokenizer, promptIds, options), filter = new StopFilter(options.stop);
  const ids: number[] = [], logprobs: TokenDetails[] = [];
  let text = "", finishReason: FinishReason = "length", prefill = 0, decode = 0;
  let kept: { scores?: Float32Array[]; logits?: Float32Array[] } = {};
  try {
    for (;;) {
      const step = await tokens.next();
      if (step.done) {
        const { scores, logits } = step.value;
        finishReason = step.value.finishReason;
        kept = { ...(scores ? { scores } : {}), ...(logits ? { logits } : {}) };
        break;
      }
      const { id, milliseconds, details } = step.value;
      if (ids.length) decode += milliseconds;
      else prefill = milliseconds;
      ids.push(id);
      if (details) logprobs.push(details);
      const piece = stream ? filter.push(stream.push(id)) : "";
      text += piece;
      yield { ...step.value, text: piece };
      if (filter.found !== null) break;
    }
    if (filter.found === null) {
      const last = (stream ? filter.push(stream.flush()) : "") +
        (filter.found === null ? filter.flush() : "");
      text += last;
      if (last) yield { id: null, text: last, milliseconds: 0 };
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
    ...(options.logprobs === undefined ? {} : { logprobs }),
    ...kept,
  };
}

/**
 * The same, and only text: every piece has some.
 *
 * @throws {OptionError} for options that `resolveOptions` did not make.
 * @throws {CancelledError} when the signal says so.
 * @throws {LogitsError} for logits that are no numbers, naming the weight or the operation behind them.
 * @throws {FerrotypeError} when every token is excluded.
 * @throws {ShapeError} for ids that are none of the vocabulary, and a prompt of more than the model has positions.
 * @category Generation
 */
export async function* generateText<C extends LanguageModelCache>(
  model: LanguageModel<C>,
  tokenizer: Tokenizer | null,
  promptIds: readonly number[],
  options: ResolvedOptions,
): AsyncGenerator<string, GenerationResult> {
  demandNoMore(arguments, 4, "generateText");
  const pieces = generatePieces(model, tokenizer, promptIds, options);
  try {
    for (;;) {
      const step = await toldAs("generateText", ["generatePieces"], () => pieces.next());
      if (step.done) return step.value;
      if (step.value.text) yield step.value.text;
    }
  } finally {
    await pieces.return(undefined as never);
  }
}

/**
 * Runs to the end.
 *
 * @throws {OptionError} for options that `resolveOptions` did not make.
 * @throws {CancelledError} when the signal says so.
 * @throws {LogitsError} for logits that are no numbers, naming the weight or the operation behind them.
 * @throws {FerrotypeError} when every token is excluded.
 * @throws {ShapeError} for ids that are none of the vocabulary, and a prompt of more than the model has positions.
 * @category Generation
 */
export async function generateWhole<C extends LanguageModelCache>(
  model: LanguageModel<C>,
  tokenizer: Tokenizer | null,
  promptIds: readonly number[],
  options: ResolvedOptions,
): Promise<GenerationResult> {
  demandNoMore(arguments, 4, "generateWhole");
  return await toldAs(
    "generateWhole",
    ["generatePieces"],
    () => runToEnd(generatePieces(model, tokenizer, promptIds, options)),
  );
}

/**
 * What pieces are in the end.
 *
 * @throws {OptionError} for what is no generator; besides, what the generator throws.
 * @category Generation
 */
export async function runToEnd(
  pieces: AsyncGenerator<TokenPiece, GenerationResult>,
): Promise<GenerationResult> {
  demandNoMore(arguments, 1, "runToEnd");
  demand("runToEnd", "pieces", pieces, typeof pieces?.next === "function", "what generatePieces gives");
  for (;;) {
    const step = await pieces.next();
    if (step.done) return step.value;
  }
}

/**
 * `numReturnSequences` continuations of the prompt: the best of a beam search, or so many draws, of which draw i is
 * the one that `seed` + i gives. The prompt is computed once.
 *
 * @throws {OptionError} for options that `resolveOptions` did not make.
 * @throws {CancelledError} when the signal says so.
 * @throws {LogitsError} for logits that are no numbers, naming the weight or the operation behind them.
 * @throws {FerrotypeError} when every token is excluded.
 * @throws {ShapeError} for ids that are none of the vocabulary, and a prompt of more than the model has positions.
 * @category Generation
 */
export async function generateMany<C extends LanguageModelCache>(
  model: LanguageModel<C>,
  tokenizer: Tokenizer | null,
  promptIds: readonly number[],
  asked: ResolvedOptions,
): Promise<GenerationResult[]> {
  demandNoMore(arguments, 4, "generateMany");
  demandGeneration("generateMany", model, tokenizer, promptIds, asked);
  const options = forPrompt(asked, promptIds.length),
    { numReturnSequences: count, maxNewTokens } = options;
  await readyToHold([options.cacheDType]);
  if (options.numBeams > 1) return await beamTexts(model, tokenizer, promptIds, options);
  if (count === 1) return [await generateWhole(model, tokenizer, promptIds, asked)];
  if (options.cache) {
    throw new OptionError(
      "generate: numReturnSequences above 1 leaves no one text in a cache; leave cache out",
    );
  }
  const results: GenerationResult[] = [], last = promptIds.length - 1;
  const slides = promptIds.length + maxNewTokens > model.contextLength;
  const cache = slides || last < 0
    ? null
    : model.createCache(1, promptIds.length + maxNewTokens, { dtype: options.cacheDType });
  try {
    for (let i = 0; i < count; i++) {
      // What an earlier draw left of the prompt in the cache is there already.
      const known = cache ? Math.min(cache.ids.length, last) : 0;
      if (cache) rewind(cache, known);
      const result = await generateWhole(model, tokenizer, promptIds.slice(known), {
        ...options,
        seed: options.seed === undefined ? undefined : options.seed + i,
        ...(cache ? { cache } : {}),
      });
      results.push({ ...result, promptIds: [...promptIds] });
    }
  } finally {
    cache?.dispose();
  }
  return results;
}

async function beamTexts<C extends LanguageModelCache>(
  model: LanguageModel<C>,
  tokenizer: Tokenizer | null,
  promptIds: readonly number[],
  options: ResolvedOptions,
): Promise<GenerationResult[]> {
  const started = performance.now(), { beamSearch } = await import("./beam.ts");
  const found = await beamSearch(model, promptIds, options);
  const milliseconds = performance.now() - started;
  return found.map(({ ids, finishReason }) => {
    const filter = new StopFilter(options.stop), stream = streamAfter(tokenizer, promptIds, options);
    let text = "";
    for (const id of ids) if (stream && filter.found === null) text += filter.push(stream.push(id));
    if (stream && filter.found === null) text += filter.push(stream.flush());
    if (filter.found === null) text += filter.flush();
    return {
      text,
      promptIds: [...promptIds],
      ids,
      finishReason: filter.found === null ? finishReason : "stop",
      prefillMilliseconds: 0,
      decodeMilliseconds: milliseconds,
    };
  });
}
