/**
 * Prompts that were computed before: what the next prompt has in common with one of them is not computed again (llama.cpp's
 * `cache_prompt`, vLLM's automatic prefix caching). A chat, a system prompt, the same text once more.
 *
 * Kept are only the positions that went through the model as a prompt, and of a new prompt enough is left to go through it as
 * one: then no sum runs in another order than without the store, and what a text becomes does not depend on what was asked
 * before it. (A BLAS may still round by the number of rows; the library's own products do not.)
 *
 * @module
 */
import { demandFunction, demandNoMore } from "../core/demand.ts";
import type { CacheDType } from "../models/mod.ts";
import { type LanguageModel, type LanguageModelCache, rewind } from "./model.ts";

/** Rows from which on a prompt is multiplied as one; fewer go the way of decoding steps. */
export const promptRows = 17;

/** Tokens in common from which on copying them is worth it. */
const leastShared = 32;

/**
 * What tells that weights are still the same: their memory, and how often it was written to.
 *
 * @category Generation
 */
export interface Versioned {
  /** Writes so far. */
  readonly version: number;
}

/**
 * Positions that were computed as a prompt.
 *
 * @category Generation
 */
export interface Prefix<C extends LanguageModelCache> {
  /** Their ids. */
  readonly ids: readonly number[];
  /** What holds them, and perhaps more behind them. */
  readonly cache: C;
}

/** How many of the first ids are the same. */
function shared(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length);
  let n = 0;
  while (n < most && a[n] === b[n]) n++;
  return n;
}

/**
 * Keeps caches of prompts, the latest ones, up to `maxBytes`.
 *
 * @category Generation
 */
export class PrefixStore<C extends LanguageModelCache> {
  /** Positions that did not have to be computed, so far. */
  reused = 0;

  #maxBytes = 256 << 20;
  readonly #weights: () => readonly Versioned[];
  #seen: readonly (readonly [Versioned, number])[] = [];
  /** The one that was used last comes last. */
  readonly #entries: Prefix<C>[] = [];

  /**
   * `weights` are what the positions were computed with: when they change, the store is emptied.
   * @throws {OptionError} for `weights` that are no function.
   */
  constructor(weights: () => readonly Versioned[]) {
    demandNoMore(arguments, 1, "PrefixStore");
    demandFunction("PrefixStore", weights, "weights");
    this.#weights = weights;
  }

  /** How much memory they may take together, in bytes; 0 keeps none. Default 256 MiB. */
  get maxBytes(): number {
    return this.#maxBytes;
  }
  set maxBytes(bytes: number) {
    this.#maxBytes = bytes;
    this.#trim();
  }

  /** Memory in use, in bytes. */
  get byteLength(): number {
    return this.#entries.reduce((sum, { cache }) => sum + cache.byteLength, 0);
  }

  /**
   * A cache for `prompt` and what follows it, with as many of the prompt's first positions as are known from the store, or
   * from `others`, which go on being used. `ids` of the cache are those positions'.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   * @throws {DTypeError} for a dtype that it does not take.
   * @throws {ShapeError} for a capacity that is no whole number from 0.
   */
  take(
    model: LanguageModel<C>,
    prompt: readonly number[],
    capacity: number,
    dtype: CacheDType,
    others: readonly Prefix<C>[] = [],
  ): C {
    this.#checkWeights();
    let from: Prefix<C> | null = null, count = leastShared - 1;
    for (const entry of [...others, ...this.#entries]) {
      if (entry.cache.dtype !== dtype) continue;
      const most = Math.min(shared(entry.ids, prompt), prompt.length - promptRows);
      const n = entry.cache.reaches?.(most) ?? most;
      if (n > count) [from, count] = [entry, n];
    }
    if (!from) return model.createCache(1, capacity, { dtype });
    this.reused += count;
    const at = this.#entries.indexOf(from);
    if (at >= 0) this.#entries.splice(at, 1);
    // A prompt that goes on from the whole of an earlier one takes its place.
    const isGoingOn = at >= 0 && shared(from.ids, prompt) === from.ids.length;
    if (isGoingOn && from.cache.capacity >= capacity) {
      from.cache.truncate(count);
      return from.cache;
    }
    const cache = model.createCache(1, capacity, { dtype });
    cache.copyRows(from.cache, [0], 0, count);
    cache.ids.splice(0, Infinity, ...prompt.slice(0, count));
    if (isGoingOn) from.cache.dispose();
    else if (at >= 0) this.#entries.push(from);
    return cache;
  }

  /** Keeps the positions of `prompt`, with which `cache` begins, or gives its memory back. */
  give(cache: C, prompt: readonly number[]): void {
    const isStale = this.#checkWeights(), count = Math.min(prompt.length, cache.length);
    if (
      isStale || count < leastShared || cache.byteLength > this.maxBytes || cache.batch !== 1 ||
      shared(cache.ids, prompt) < count
    ) return cache.dispose();
    rewind(cache, count);
    const ids = prompt.slice(0, cache.length);
    cache.ids.length = ids.length;
    if (ids.length < leastShared) return cache.dispose();
    for (const old of [...this.#entries]) {
      if (old.cache.dtype === cache.dtype && shared(old.ids, ids) === old.ids.length) this.#drop(old);
    }
    this.#entries.push({ ids, cache });
    this.#trim();
  }

  /** Gives all memory back. */
  clear(): void {
    for (const entry of [...this.#entries]) this.#drop(entry);
  }

  #trim(): void {
    while (this.byteLength > this.#maxBytes) this.#drop(this.#entries[0]);
  }

  #drop(entry: Prefix<C>): void {
    this.#entries.splice(this.#entries.indexOf(entry), 1);
    entry.cache.dispose();
  }

  /** Empties the store when the weights are not those of before; gives whether they are not. */
  #checkWeights(): boolean {
    const weights = this.#weights(), seen = this.#seen;
    if (
      weights.length === seen.length &&
      weights.every((w, i) => w === seen[i][0] && w.version === seen[i][1])
    ) return false;
    this.clear();
    this.#seen = weights.map((w) => [w, w.version]);
    return true;
  }
}
