/**
 * Classifier-free guidance (Sanchez et al. 2023, "Stay on topic with classifier-free guidance"): away from what the model
 * would say without the prompt.
 *
 * Both distributions are log-probabilities, and the guided one is unconditional + scale · (conditional − unconditional). As in
 * Hugging Face, the text without the prompt begins at the negative prompt, or else at the prompt's last token.
 *
 * @module
 */
import { noGrad } from "../tensor/mod.ts";
import type { CacheDType } from "../models/mod.ts";
import type { LanguageModel, LanguageModelCache } from "./model.ts";
import type { ResolvedOptions } from "./options.ts";
import { toLogProbabilities } from "./processors/warpers.ts";

/** The other text, and how strongly it is left. */
export class Guidance<C extends LanguageModelCache> {
  readonly #model: LanguageModel<C>;
  readonly #scale: number;
  readonly #start: number;
  readonly #dtype: CacheDType;
  readonly #from: readonly number[];
  #cache: C | null = null;

  /** For a text of `start` ids, the last of which is `last`. */
  constructor(
    model: LanguageModel<C>,
    { guidanceScale, negativePromptIds, cacheDType }: ResolvedOptions,
    start: number,
    last: number,
  ) {
    this.#model = model;
    this.#scale = guidanceScale;
    this.#start = start;
    this.#dtype = cacheDType;
    this.#from = negativePromptIds.length ? negativePromptIds : [last];
  }

  /** Changes the logits that follow `text`. */
  async apply(text: readonly number[], logits: Float32Array): Promise<void> {
    const model = this.#model, all = [...this.#from, ...text.slice(this.#start)];
    const cache = this.#cache ??= model.createCache(1, model.contextLength, { dtype: this.#dtype });
    // The later half, when positions are used up.
    if (all.length > model.contextLength) {
      const kept = all.slice(-(model.contextLength >> 1));
      all.splice(0, Infinity, ...kept);
      cache.truncate(0);
    }
    const feed = all.slice(cache.length);
    const result = noGrad(() => model.forward([feed], { cache, lastOnly: true }));
    const other = await result.data() as Float32Array;
    result.dispose();
    toLogProbabilities(other);
    toLogProbabilities(logits);
    for (let i = 0; i < logits.length; i++) logits[i] = other[i] + this.#scale * (logits[i] - other[i]);
  }

  /** Gives memory back. */
  dispose(): void {
    this.#cache?.dispose();
  }
}
