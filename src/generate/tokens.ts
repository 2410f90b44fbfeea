/**
 * From a prompt's ids to new ids, one at a time.
 *
 * The prompt goes through the model once and fills the key-value cache; then each new token costs one position. When
 * the model's positions are used up, generation either stops with an error or slides: the later half of the text so
 * far becomes the new beginning, computed afresh, so that every position the model sees is one it was trained on.
 *
 * @module
 */
import { OptionError, ShapeError, throwIfAborted } from "../core/errors.ts";
import { Generator } from "../core/random.ts";
import { argmax, defaultGenerator, reshape, type Tensor } from "../ops/mod.ts";
import { noGrad, tidy } from "../tensor/mod.ts";
import { beamSearch } from "./beam.ts";
import type { ResolvedOptions } from "./options.ts";
import { buildProcessors } from "./processors.ts";
import { argmaxOf, sample } from "./sampler.ts";

/** Keys and values of earlier positions. */
export interface Cache {
  /** Positions filled. */
  readonly length: number;
  /** Positions that fit. */
  readonly capacity: number;
  /** Forgets the positions from `length` on. */
  truncate(length: number): void;
  /** Gives the memory back. */
  dispose(): void;
}

/** What generation needs of a model. */
export interface LanguageModel<C extends Cache = Cache> {
  /** The longest sequence. */
  readonly contextLength: number;
  /** Empty memory for keys and values. */
  createCache(batch?: number, capacity?: number): C;
  /** Logits [batch, 1, vocab] of the last position, for ids that follow what the cache holds. */
  forward(ids: readonly (readonly number[])[], options: { cache: C; lastOnly: true }): Tensor;
}

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
  finishReason: FinishReason;
}

/** Logits of the last position as numbers. */
async function readLogits(logits: Tensor): Promise<Float32Array> {
  const data = await logits.data() as Float32Array;
  logits.dispose();
  return data;
}

/** Continues `prompt`. Yields each token as soon as it is chosen; `return` of the iterator gives the cache back. */
export async function* generateTokens<C extends Cache>(
  model: LanguageModel<C>,
  prompt: readonly number[],
  options: ResolvedOptions,
): AsyncGenerator<TokenStep, TokensResult> {
  const limit = model.contextLength;
  if (prompt.length === 0) throw new OptionError("generate: the prompt is empty; give at least one token or character");
  if (prompt.length > limit) {
    throw new ShapeError(`generate: the prompt has ${prompt.length} tokens, the model takes ${limit}; shorten it`);
  }
  if (options.contextOverflow === "error" && prompt.length + options.maxNewTokens > limit + 1) {
    throw new ShapeError(
      `generate: ${prompt.length} tokens of prompt and ${options.maxNewTokens} new ones are more than the model's ` +
        `${limit} positions; ask for fewer, or pass { contextOverflow: "slide" }`,
    );
  }
  if (options.maxNewTokens === 0) return { ids: [], finishReason: "length" };
  if (options.numBeams > 1) return yield* beamSearch(model, prompt, options);
  const processors = buildProcessors(options, prompt.length);
  const plain = processors.length === 0 && !options.doSample;
  const random = options.seed === undefined ? defaultGenerator() : new Generator(options.seed);
  const ids = [...prompt], cache = model.createCache(1, Math.min(limit, prompt.length + options.maxNewTokens));
  let next: readonly number[] = prompt;
  try {
    for (;;) {
      throwIfAborted(options.signal, "generate");
      const started = performance.now();
      const feed = [next];
      let id: number;
      if (plain) {
        // Greedy without penalties: the choice is made on the device, and one number comes back.
        const best = noGrad(() => tidy(() => argmax(reshape(model.forward(feed, { cache, lastOnly: true }), [-1]))));
        id = await best.item();
        best.dispose();
      } else {
        const logits = await readLogits(noGrad(() => model.forward(feed, { cache, lastOnly: true })));
        for (const process of processors) process(ids, logits);
        id = options.doSample ? sample(logits, random) : argmaxOf(logits);
      }
      ids.push(id);
      options.onToken?.(id);
      yield { id, milliseconds: performance.now() - started };
      const made = ids.length - prompt.length;
      if (options.eosTokenId.includes(id)) return { ids: ids.slice(prompt.length), finishReason: "eos" };
      if (made >= options.maxNewTokens) return { ids: ids.slice(prompt.length), finishReason: "length" };
      next = [id];
      if (cache.length >= limit) {
        next = ids.slice(-Math.max(1, limit >> 1));
        cache.truncate(0);
      }
    }
  } finally {
    cache.dispose();
  }
}
