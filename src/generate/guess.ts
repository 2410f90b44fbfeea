/**
 * Guesses of the next tokens, for a model to confirm several at a time: from the text itself, or from a smaller model.
 *
 * @module
 */
import { reshape } from "../ops/mod.ts";
import { likeliest } from "../ops/sample.ts";
import { noGrad, tidy } from "../tensor/mod.ts";
import { type AssistantModel, type LanguageModelCache, rewind } from "./model.ts";
import { notNumbers } from "./no_choice.ts";
import type { ResolvedOptions } from "./options.ts";

/** Who guesses. */
export interface Guesser {
  /** At most `most` guesses of what follows `text`, whose next token is number `made` of the new ones, from 0. */
  guess(text: readonly number[], most: number, made: number): Promise<number[]>;
  /** Gives memory back. */
  dispose(): void;
}

/**
 * What followed the last time that the text had its last tokens (Saxena 2023, "Prompt lookup decoding"): of up to `size`
 * last tokens, the more the better.
 */
export function lookUp(text: readonly number[], size: number, count: number): number[] {
  for (let n = Math.min(size, text.length - 1); n >= 1; n--) {
    const last = text.length - n;
    for (let at = 0; at < last; at++) {
      let same = 0;
      while (same < n && text[at + same] === text[last + same]) same++;
      if (same === n) return text.slice(at + n, at + n + count);
    }
  }
  return [];
}

class PromptLookup implements Guesser {
  readonly #size: number;
  readonly #count: number;

  constructor(size: number, count: number) {
    this.#size = size;
    this.#count = count;
  }

  guess(text: readonly number[], most: number): Promise<number[]> {
    return Promise.resolve(lookUp(text, this.#size, Math.min(most, this.#count)));
  }

  dispose(): void {}
}

/** What a smaller model finds likeliest, token after token. */
class Assistant implements Guesser {
  readonly #model: AssistantModel;
  readonly #count: number;
  #cache: LanguageModelCache | null = null;

  constructor(model: AssistantModel, count: number) {
    this.#model = model;
    this.#count = count;
  }

  async guess(text: readonly number[], most: number, made: number): Promise<number[]> {
    const model = this.#model,
      room = model.contextLength - text.length,
      count = Math.min(most, this.#count, room);
    if (count < 1) return [];
    const cache = this.#cache ??= model.createCache(1, model.contextLength);
    let same = 0;
    while (same < cache.length && same < text.length - 1 && cache.ids[same] === text[same]) same++;
    rewind(cache, same);
    cache.ids.push(...text.slice(same));
    const guesses: number[] = [];
    while (guesses.length < count) {
      const feed = [cache.ids.slice(cache.length)];
      const best = noGrad(() =>
        tidy(() => likeliest(reshape(model.forward(feed, { cache: cache as never, lastOnly: true }), [-1])))
      );
      const id = await best.item();
      best.dispose();
      if (id < 0) throw notNumbers(made + guesses.length, "the assistant model");
      guesses.push(id);
      cache.ids.push(id);
    }
    return guesses;
  }

  dispose(): void {
    this.#cache?.dispose();
  }
}

/** Who guesses, as the options say; null: nobody. */
export function guesserOf(options: ResolvedOptions): Guesser | null {
  const { assistantModel, numAssistantTokens, promptLookupNumTokens, maxMatchingNgramSize } = options;
  if (assistantModel) return new Assistant(assistantModel, numAssistantTokens);
  return promptLookupNumTokens === null
    ? null
    : new PromptLookup(maxMatchingNgramSize, promptLookupNumTokens);
}
