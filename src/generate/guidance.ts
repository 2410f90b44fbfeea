/**
 * Classifier-free guidance (Sanchez et al. 2023, "Stay on topic with classifier-free guidance"): away from what the model
 * would say without the prompt.
 *
 * Both distributions are log-probabilities, and the guided one is unconditional + scale · (conditional − unconditional). As in
 * Hugging Face, the text without the prompt begins at the negative prompt, or else at the prompt's last token.
 *
 * @module
 */
import { OptionError } from "../core/errors.ts";
import { noGrad } from "../tensor/mod.ts";
import type { CacheDType } from "../models/mod.ts";
import type { LanguageModel, LanguageModelCache } from "./model.ts";
import { demandNumbers } from "./no_choice.ts";
import type { ResolvedOptions } from "./options.ts";
import { toLogProbabilities } from "./processors/warpers.ts";

/** The other text, and how strongly it is left. */
export class Guidance<C extends LanguageModelCache> {
  readonly #model: LanguageModel<C>;
  readonly #scale: number;
  /** Whether numbers that are none are removed later. */
  readonly #takesAny: boolean;
  readonly #start: number;
  readonly #dtype: CacheDType;
  readonly #from: readonly number[];
  #cache: C | null = null;

  /** For a text of `start` ids, the last of which is `last`. */
  constructor(
    model: LanguageModel<C>,
    { guidanceScale, negativePromptIds, cacheDType, removeInvalidValues }: ResolvedOptions,
    start: number,
    last: number,
  ) {
    this.#model = model;
    this.#scale = guidanceScale;
    this.#takesAny = removeInvalidValues;
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
    const token = text.length - this.#start;
    // What the model itself gives is told of as such.
    if (!this.#takesAny) { for (const given of [logits, other]) demandNumbers(given, token); }
    toLogProbabilities(other);
    toLogProbabilities(logits);
    let any = false;
    for (let i = 0; i < logits.length; i++) {
      // Nothing leads away from where the other text cannot go.
      if (other[i] === -Infinity) {
        any ||= logits[i] > -Infinity;
        continue;
      }
      logits[i] = other[i] + this.#scale * (logits[i] - other[i]);
      const guided = logits[i]; // as f32 has it
      if (guided > -Infinity && guided < Infinity) any = true;
      else if (guided !== -Infinity && !this.#takesAny) this.#tooLarge(token);
    }
    if (!any && !this.#takesAny) this.#tooLarge(token);
  }

  #tooLarge(token: number): never {
    throw new OptionError(
      `generate: guidanceScale is ${this.#scale}, which takes the logits of new token ${
        token + 1
      } beyond f32; give a smaller one`,
    );
  }

  /** Gives memory back. */
  dispose(): void {
    this.#cache?.dispose();
  }
}
