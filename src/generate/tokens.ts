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
import { breather } from "../core/breathe.ts";
import { OptionError, ShapeError, throwIfAborted } from "../core/errors.ts";
import { Generator } from "../core/random.ts";
import { argmax, defaultGenerator, reshape, type Tensor } from "../ops/mod.ts";
import { noGrad, tidy } from "../tensor/mod.ts";
import { beamSearch } from "./beam.ts";
import type { LanguageModel, LanguageModelCache } from "./model.ts";
import type { ResolvedOptions } from "./options.ts";
import { buildProcessors } from "./processors.ts";
import { argmaxOf, sample } from "./sampler.ts";

/** Why generation ended. */
export type FinishReason = "length" | "stop" | "eos";

/** One new token. */
export interface TokenStep {
  /** The token. */
  readonly id: number;
  /** Milliseconds from asking the model to having the token. */
  readonly milliseconds: number;
}

/** How it ended. */
export interface TokensResult {
  /** The new ids, an end-of-text token included. */
  ids: number[];
  /** Why it ended. */
  finishReason: FinishReason;
}

/** Logits of the last position as numbers. */
async function readLogits(logits: Tensor): Promise<Float32Array> {
  const data = await logits.data() as Float32Array;
  logits.dispose();
  return data;
}

/** @throws {OptionError | ShapeError} for a prompt or a cache that cannot be continued. */
function checkPrompt(prompt: readonly number[], options: ResolvedOptions, limit: number): void {
  const { cache, maxNewTokens } = options, before = cache?.ids.length ?? 0, all = before + prompt.length;
  if (cache && cache.batch !== 1) {
    throw new OptionError(
      `generate: cache holds ${cache.batch} texts, and only one is continued; make it with batch 1`,
    );
  }
  if (cache && before < cache.length) {
    throw new OptionError(
      `generate: cache holds ${cache.length} positions and the ids of ${before}; append the others to cache.ids`,
    );
  }
  if (all === 0 || (cache && all === cache.length)) {
    throw new OptionError("generate: the prompt is empty; give at least one token or character");
  }
  if (prompt.length > limit) {
    throw new ShapeError(
      `generate: the prompt has ${prompt.length} tokens, the model takes ${limit}; shorten it`,
    );
  }
  if (options.contextOverflow === "error" && all + maxNewTokens > limit + 1) {
    throw new ShapeError(
      `generate: ${all} tokens of prompt and ${maxNewTokens} new ones are more than the ${limit} positions there ` +
        `are; ask for fewer, or pass { contextOverflow: "slide" }`,
    );
  }
}

/** Continues `prompt`. Yields each token as soon as it is chosen; `return` of the iterator ends the work. */
export async function* generateTokens<C extends LanguageModelCache>(
  model: LanguageModel<C>,
  prompt: readonly number[],
  options: ResolvedOptions,
): AsyncGenerator<TokenStep, TokensResult> {
  const given = options.cache as C | undefined, { maxNewTokens, eosTokenId } = options;
  const limit = Math.min(model.contextLength, given?.capacity ?? Infinity);
  checkPrompt(prompt, options, limit);
  if (options.numBeams > 1) return yield* beamSearch(model, prompt, options);
  const cache = given ?? model.createCache(1, Math.max(1, Math.min(limit, prompt.length + maxNewTokens)));
  try {
    cache.ids.push(...prompt);
    const text = [...cache.ids], start = text.length;
    const processors = buildProcessors(options, start);
    const plain = processors.length === 0 && !options.doSample;
    const random = options.seed === undefined ? defaultGenerator() : new Generator(options.seed);
    const breathe = breather();
    let finishReason: FinishReason = "length";
    while (text.length - start < maxNewTokens) {
      await breathe();
      throwIfAborted(options.signal, "generate");
      const started = performance.now();
      if (cache.ids.length > limit) {
        slide(cache, Math.max(limit >> 1, text.length === start ? prompt.length : 1));
      }
      const feed = [cache.ids.slice(cache.length)];
      let id: number;
      if (plain) {
        // Greedy without penalties: the choice is made on the device, and one number comes back.
        const best = noGrad(() =>
          tidy(() => argmax(reshape(model.forward(feed, { cache, lastOnly: true }), [-1])))
        );
        id = await best.item();
        best.dispose();
      } else {
        const logits = await readLogits(noGrad(() => model.forward(feed, { cache, lastOnly: true })));
        for (const process of processors) process(text, logits);
        id = options.doSample ? sample(logits, random) : argmaxOf(logits);
      }
      text.push(id);
      cache.ids.push(id);
      options.onToken?.(id);
      yield { id, milliseconds: performance.now() - started };
      if (eosTokenId.includes(id)) {
        finishReason = "eos";
        break;
      }
    }
    return { ids: text.slice(start), finishReason };
  } finally {
    if (!given) cache.dispose();
  }
}

/** Begins again with the last `count` ids. */
function slide(cache: LanguageModelCache, count: number): void {
  const kept = cache.ids.slice(-count);
  cache.truncate(0);
  cache.ids.push(...kept);
}
