/**
 * From a prompt's ids to new ids, one at a time.
 *
 * The prompt goes through the model once and fills the key-value cache; then each new token costs one position. When
 * the model's positions are used up, generation either stops with an error or slides: the later half of the text so
 * far becomes the new beginning, computed afresh, so that every position the model sees is one it was trained on.
 *
 * A cache that the caller brought is left as it is at the end: the last token waits in its `ids` and is computed
 * together with the next prompt, so going on costs nothing twice.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { breather } from "../core/breathe.ts";
import { LogitsError, OptionError, ShapeError, throwIfAborted } from "../core/errors.ts";
import { counted } from "../core/show.ts";
import { readyToHold } from "../ops/blocks.ts";
import { reshape, type Tensor } from "../ops/mod.ts";
import { likeliest } from "../ops/sample.ts";
import { noGrad, tidy } from "../tensor/mod.ts";
import { Ahead } from "./ahead.ts";
import type { Guidance } from "./guidance.ts";
import { type AssistantModel, type LanguageModel, type LanguageModelCache, rewind } from "./model.ts";
import { explained } from "./no_choice.ts";
import { demandGeneration, forPrompt, type ResolvedOptions, type TokenDetails } from "./options.ts";
import { Sequence, type TokensResult, type TokenStep } from "./sequence.ts";

/** Logits of the last position as numbers. */
export async function readLogits(logits: Tensor): Promise<Float32Array> {
  const data = await logits.data() as Float32Array;
  logits.dispose();
  return data;
}

/** @throws {OptionError | ShapeError} for a prompt or a cache that cannot be continued. */
export function checkPrompt(prompt: readonly number[], options: ResolvedOptions, limit: number): void {
  const { cache, maxNewTokens } = options, before = cache?.ids.length ?? 0, all = before + prompt.length;
  if (cache && cache.batch !== 1) {
    throw new OptionError(
      `generate: cache holds ${
        counted(cache.batch, "text")
      }, and only one is continued; make it with batch 1`,
    );
  }
  if (cache && before < cache.length) {
    throw new OptionError(
      `generate: cache holds ${
        counted(cache.length, "position")
      } and the ids of ${before}; append the others to cache.ids`,
    );
  }
  if (all === 0 || (cache && all === cache.length)) {
    throw new OptionError("generate: the prompt is empty; give at least one token or character");
  }
  if (prompt.length > limit) {
    throw new ShapeError(
      `generate: the prompt has ${counted(prompt.length, "token")}, the model takes ${limit}; shorten it`,
    );
  }
  if (options.contextOverflow === "error" && all + maxNewTokens > limit + 1) {
    throw new ShapeError(
      `generate: ${
        counted(all, "token")
      } of prompt and ${maxNewTokens} new ones are more than the ${limit} positions there ` +
        `are; ask for fewer, or pass { contextOverflow: "slide" }`,
    );
  }
}

/**
 * Continues `prompt`. Yields each token as soon as it is chosen; `return` of the iterator ends the work.
 *
 * @throws {OptionError} for options that `resolveOptions` did not make.
 * @throws {CancelledError} when the signal says so.
 * @throws {LogitsError} for logits that are no numbers, naming the weight or the operation behind them.
 * @throws {FerrotypeError} when every token is excluded.
 * @throws {ShapeError} for ids that are none of the vocabulary, and a prompt of more than the model has positions.
 * @category Generation
 */
export async function* generateTokens<C extends LanguageModelCache>(
  model: LanguageModel<C>,
  prompt: readonly number[],
  asked: ResolvedOptions,
): AsyncGenerator<TokenStep, TokensResult> {
  demandNoMore(arguments, 3, "generateTokens");
  demandGeneration("generateTokens", model, null, prompt, asked);
  const given = asked.cache as C | undefined;
  const options = forPrompt(asked, (given?.ids.length ?? 0) + prompt.length);
  const { maxNewTokens } = options;
  await readyToHold([options.cacheDType]);
  const limit = Math.min(model.contextLength, given?.capacity ?? Infinity);
  checkPrompt(prompt, options, limit);
  if (options.numBeams > 1) return yield* beamSteps(model, prompt, options);
  // What few ask for is loaded when it is asked for: pages do not fetch it.
  if (options.penaltyAlpha > 0) {
    const { contrastiveSteps } = await import("./contrastive.ts");
    return yield* contrastiveSteps(model, prompt, options);
  }
  const guesses = options.assistantModel || options.promptLookupNumTokens !== null;
  const guesser = guesses ? (await import("./guess.ts")).guesserOf(options) : null;
  let guidance: Guidance<C> | null = null, ahead: Ahead<C> | null = null, isSound = true;
  let answering: AssistantModel = model;
  const store = options.cachePrompt ? model.prefixes : null, dtype = options.cacheDType;
  const capacity = Math.max(1, Math.min(limit, prompt.length + maxNewTokens));
  const cache = given ?? store?.take(model, prompt, capacity, dtype) ??
    model.createCache(1, capacity, { dtype });
  try {
    cache.ids.push(...given ? prompt : prompt.slice(cache.length));
    const sequence = new Sequence(cache.ids, options), breathe = breather(), { start } = sequence;
    ahead = new Ahead(model, cache, sequence);
    if (options.guidanceScale > 1) {
      const { Guidance } = await import("./guidance.ts");
      guidance = new Guidance(model, options, start, cache.ids[start - 1]);
    }
    while (sequence.isDue()) {
      await breathe();
      throwIfAborted(options.signal, "generate");
      const started = performance.now();
      makeRoom(cache, sequence, limit, prompt.length, options.contextOverflow);
      if (guesser) {
        const known = cache.ids.length, reach = model.reach?.(known) ?? limit;
        const room = Math.max(0, Math.min(limit - known, reach - known, sequence.left - 1));
        answering = options.assistantModel ?? model;
        const guesses = await guesser.guess(sequence.text, room, sequence.made);
        answering = model;
        const { steps, failure } = await confirm(model, cache, sequence, guesses);
        const milliseconds = (performance.now() - started) / steps.length;
        for (const step of steps) yield { ...step, milliseconds };
        if (failure) throw failure.error;
        continue;
      }
      let id: number, details: TokenDetails | undefined;
      if (ahead.isBusy) id = await ahead.next(limit);
      else {
        const feed = [cache.ids.slice(cache.length)];
        const logits = noGrad(() => model.forward(feed, { cache, lastOnly: true }));
        if (ahead.takes(logits)) id = await ahead.next(limit);
        else if (sequence.plain) {
          // Greedy without penalties: the choice is made on the device, and one number comes back.
          const best = tidy(() => likeliest(reshape(logits, [-1])));
          logits.dispose();
          id = sequence.accept(await best.item());
          best.dispose();
        } else {
          const values = await readLogits(logits);
          await guidance?.apply(sequence.text, values);
          ({ id, details } = sequence.choose(values));
        }
      }
      cache.ids.push(id);
      sequence.push(id, details);
      yield { id, milliseconds: performance.now() - started, ...(details ? { details } : {}) };
    }
    return sequence.result();
  } catch (error) {
    // What is computed of numbers that are none is not kept for others.
    isSound = !(error instanceof LogitsError);
    throw await explained(error, answering, cache.ids);
  } finally {
    guesser?.dispose();
    guidance?.dispose();
    ahead?.dispose();
    if (given === undefined) {
      if (store && isSound) store.give(cache, prompt);
      else cache.dispose();
    }
  }
}

/**
 * One pass over what waits in the cache and guesses behind it: all guesses that hold, and one token more. Where none can be
 * chosen behind tokens that were, that is told beside them: their text may end before it.
 */
async function confirm<C extends LanguageModelCache>(
  model: LanguageModel<C>,
  cache: C,
  sequence: Sequence,
  guesses: readonly number[],
): Promise<{ steps: Omit<TokenStep, "milliseconds">[]; failure: { error: unknown } | null }> {
  const before = cache.ids.length, feed = [...cache.ids.slice(cache.length), ...guesses];
  const data = await readLogits(
    noGrad(() => model.forward([feed], { cache, lastOnly: guesses.length === 0 })),
  );
  const rows = guesses.length === 0 ? 1 : feed.length,
    width = data.length / rows,
    steps: Omit<TokenStep, "milliseconds">[] = [];
  let failure: { error: unknown } | null = null;
  for (let i = 0; i <= guesses.length && sequence.finishReason === null; i++) {
    const at = rows - 1 - guesses.length + i, logits = data.slice(at * width, (at + 1) * width);
    try {
      const { id, details } = i < guesses.length
        ? sequence.verify(logits, guesses[i])
        : sequence.choose(logits);
      steps.push({ id, ...(details ? { details } : {}) });
      sequence.push(id, details);
      if (id !== guesses[i]) break;
    } catch (error) {
      if (i === 0) throw error;
      failure = { error };
      break;
    }
  }
  // Of the guesses the cache keeps those that held; the last token waits, as ever.
  const made = steps.map(({ id }) => id);
  rewind(cache, Math.min(cache.length, before + made.length - 1));
  cache.ids.splice(before, Infinity, ...made);
  return { steps, failure };
}

/** The best text of a beam search; its tokens come all at once, at the end. */
async function* beamSteps<C extends LanguageModelCache>(
  model: LanguageModel<C>,
  prompt: readonly number[],
  options: ResolvedOptions,
): AsyncGenerator<TokenStep, TokensResult> {
  const started = performance.now(), { beamSearch } = await import("./beam.ts");
  const [{ ids, finishReason }] = await beamSearch(model, prompt, options);
  const milliseconds = (performance.now() - started) / Math.max(1, ids.length);
  for (const id of ids) {
    options.onToken?.(id);
    yield { id, milliseconds };
  }
  return { ids, finishReason };
}

/** Tokens at the beginning that "sinks" keeps: attention leans on the first few, whatever they say. */
const sinkTokens = 4;

/**
 * Begins again with the later half of the text when the cache's ids are more than fit; at the first step with the whole of
 * the `prompt` tokens that have just come. With "sinks" the first tokens stay before it (Xiao et al. 2023).
 */
export function makeRoom(
  cache: LanguageModelCache,
  { text, start }: Sequence,
  limit: number,
  prompt: number,
  overflow: ResolvedOptions["contextOverflow"],
): void {
  if (cache.ids.length <= limit) return;
  const count = Math.max(limit >> 1, text.length === start ? prompt : 1);
  const sinks = overflow === "sinks" ? Math.min(sinkTokens, limit - count, cache.ids.length - count) : 0;
  const kept = [...cache.ids.slice(0, sinks), ...cache.ids.slice(-count)];
  cache.truncate(0);
  cache.ids.push(...kept);
}
