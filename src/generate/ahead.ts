/**
 * Tokens that are drawn where the logits are: only their ids come back, and the next steps do not wait for them.
 *
 * A drawn id stays on the device and is the next step's input, so that the device works on while ids are on their way.
 * What was computed beyond the end of the text is forgotten, and the random numbers for it are given back.
 *
 * @module
 */
import type { GeneratorState } from "../core/random.ts";
import { reshape, sampleLogits, type Tensor } from "../ops/mod.ts";
import { drawsItself, likeliest } from "../ops/sample.ts";
import { noGrad, tidy } from "../tensor/mod.ts";
import { type LanguageModel, type LanguageModelCache, rewind } from "./model.ts";
import type { Sequence } from "./sequence.ts";

/** Steps whose ids are on their way at once: few to have computed in vain, until answers turn out to be slow. */
const few = 4;
/**
 * The most there may be of them. Where a device is asked for answers every 10 ms only (Deno), a step of a
 * millisecond needs ten ids on their way for the device to be busy.
 */
const most = 32;
/** An id that was waited for this long, in milliseconds, was late: the device may have had nothing to do. */
const late = 0.5;

interface Step {
  readonly id: Tensor;
  readonly value: Promise<number>;
  readonly random: GeneratorState;
}

/** The steps of one text that are on their way. */
export class Ahead<C extends LanguageModelCache> {
  readonly #model: LanguageModel<C>;
  readonly #cache: C;
  readonly #sequence: Sequence;
  readonly #steps: Step[] = [];
  #after: GeneratorState | null = null;
  #room = few;

  /** For a text, from its first logits on. */
  constructor(model: LanguageModel<C>, cache: C, sequence: Sequence) {
    this.#model = model;
    this.#cache = cache;
    this.#sequence = sequence;
  }

  /** Whether a step is on its way. */
  get isBusy(): boolean {
    return this.#steps.length > 0;
  }

  /** Draws from `logits`, and takes them, when that is all there is to do and their device can. */
  takes(logits: Tensor): boolean {
    const { plain, draw } = this.#sequence;
    if (!(plain || draw) || !drawsItself(logits)) return false;
    this.#draw(logits);
    return true;
  }

  /** The next id, with a step or two more set out; the cache takes `limit` positions. */
  async next(limit: number): Promise<number> {
    // Two at a time: the first token is not to wait for all of them.
    for (let i = 0; i < 2 && this.#hasRoom(limit); i++) {
      const last = this.#steps[this.#steps.length - 1].id, cache = this.#cache;
      this.#draw(
        noGrad(() => tidy(() => this.#model.forward(reshape(last, [1, 1]), { cache, lastOnly: true }))),
      );
    }
    const step = this.#steps.shift()!;
    try {
      const asked = performance.now(), id = await step.value;
      if (performance.now() - asked > late && this.#room < most) this.#room++;
      return this.#sequence.accept(id);
    } finally {
      step.id.dispose();
    }
  }

  /** Forgets what is on its way. */
  dispose(): void {
    if (this.isBusy) {
      const [{ random }] = this.#steps, cache = this.#cache, ids = [...cache.ids];
      if (this.#after) this.#sequence.undraw(random, this.#after);
      for (const { id } of this.#steps.splice(0)) id.dispose();
      // The last token waits, as ever.
      rewind(cache, ids.length - 1);
      cache.ids.splice(0, Infinity, ...ids);
    }
  }

  #hasRoom(limit: number): boolean {
    const { length } = this.#steps;
    return length < Math.min(this.#room, this.#sequence.left) && this.#cache.length < limit;
  }

  #draw(logits: Tensor): void {
    const { draw, random } = this.#sequence;
    const id = noGrad(() =>
      tidy(() => {
        const row = reshape(logits, [-1]);
        return draw ? sampleLogits(row, this.#sequence.uniform(), draw) : likeliest(row);
      })
    );
    logits.dispose();
    const value = id.item();
    // Nobody may be there to hear of it.
    value.catch(() => {});
    this.#steps.push({ id, value, random });
    this.#after = this.#sequence.random;
  }
}
