/**
 * What generation needs of a model, and nothing about how it works.
 *
 * @module
 */
import type { Tensor } from "../ops/mod.ts";
import type { CacheDType } from "../models/mod.ts";
import type { PrefixStore } from "./prefix.ts";

/**
 * Keys and values of earlier positions, and the text they belong to.
 *
 * @category Generation
 */
export interface LanguageModelCache {
  /** The ids of the text: the first `length` are computed, those behind them wait for the next step. */
  readonly ids: number[];
  /** How many sequences it holds side by side. */
  readonly batch: number;
  /** Positions filled. */
  readonly length: number;
  /** Positions that fit. */
  readonly capacity: number;
  /** How keys and values are stored. */
  readonly dtype: CacheDType;
  /** Its memory. */
  readonly byteLength: number;
  /** Forgets the positions from `length` on, and their ids. */
  truncate(length: number): void;
  /**
   * The same where it can go back to some positions alone: to the last of these at or before `length`. Ids up to `length` stay, and
   * those behind it wait. Missing where `truncate` goes to any.
   */
  rewind?(length: number): void;
  /** To how many positions it can go back, at most `length`. Missing where that is any number. */
  reaches?(length: number): number;
  /**
   * Takes over the positions of `from` from `start` (default 0) to before `end` (default: all) at their places; row i becomes
   * row `rows[i]` of it. `from` may be this cache itself.
   */
  copyRows(from: this, rows: readonly number[], start?: number, end?: number): void;
  /** Gives the memory back. */
  dispose(): void;
}

/** Forgets the positions of a cache from `length` on, as near as it can. */
export function rewind(cache: LanguageModelCache, length: number): void {
  if (cache.rewind) cache.rewind(length);
  else cache.truncate(length);
}

/**
 * A model that predicts the next token. What its cache is follows from `createCache` alone: a model may take none where we
 * always give one, and a caller's compiler would read that as a cache that may be undefined.
 *
 * @category Generation
 */
export interface LanguageModel<C extends LanguageModelCache = LanguageModelCache> {
  /** The longest sequence. */
  readonly contextLength: number;
  /**
   * How long a text of `length` positions may become without what was computed of it being computed again: guesses do not go beyond,
   * for they are computed together. Missing: `contextLength`.
   */
  reach?(length: number): number;
  /** Prompts that were computed before, where they are kept. */
  readonly prefixes?: PrefixStore<C> | null;
  /** Empty memory for keys and values. */
  createCache(batch?: number, capacity?: number, options?: { dtype?: CacheDType }): C;
  /**
   * Logits [batch, time, vocab], or of the last position alone, for ids that follow what the cache holds. A tensor comes
   * only to a model on a device that draws tokens itself: [1, 1], i32, the token it has just drawn.
   */
  forward(
    ids: Tensor | readonly (readonly number[])[],
    options: { cache: NoInfer<C>; lastOnly: boolean },
  ): Tensor;
  /** Its weights by name: errors about logits say which one is no number. */
  namedParameters?(): readonly (readonly [string, Tensor])[];
  /** What logits are made of, [batch, time, width]; contrastive search compares positions by it. */
  hidden?(ids: readonly (readonly number[])[], options: { cache: NoInfer<C> }): Tensor;
  /** Logits [.., vocab] for such states [.., width]. */
  logits?(hidden: Tensor): Tensor;
}

/**
 * A model that guesses for another: any language model, whatever its cache is.
 *
 * @category Generation
 */
export interface AssistantModel {
  /** The longest sequence. */
  readonly contextLength: number;
  /** Empty memory for keys and values. */
  createCache(batch?: number, capacity?: number): LanguageModelCache;
  /** Logits [1, 1, vocab] of the last position; the cache is one of its own. */
  forward(ids: readonly (readonly number[])[], options: { cache: never; lastOnly: true }): Tensor;
  /** Its weights by name: errors about logits say which one is no number. */
  namedParameters?(): readonly (readonly [string, Tensor])[];
}
