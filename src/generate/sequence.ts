/**
 * One text as it grows: how its next token is chosen from logits, and when it is finished. Whoever computes the logits,
 * for one text or for many at once, does the rest.
 *
 * @module
 */
import { Generator, type GeneratorState } from "../core/random.ts";
import { defaultGenerator } from "../ops/mod.ts";
import { OptionError } from "../core/errors.ts";
import type { Follower } from "./constraint/format.ts";
import { detailsOf } from "./details.ts";
import { type Allowance, finish, type Steps } from "../core/steps.ts";
import type { LogitsProcessor, ResolvedOptions, TokenDetails } from "./options.ts";
import { buildProcessors } from "./processors/build.ts";
import { probabilities } from "./processors/warpers.ts";
import { argmaxOf, sample } from "./sampler.ts";
import { demandNumbers, excluded, named, notNumbers } from "./no_choice.ts";

/**
 * Why generation ended.
 *
 * @category Generation
 */
export type FinishReason = "length" | "stop" | "eos";

/**
 * One new token.
 *
 * @category Generation
 */
export interface TokenStep {
  /** The token. */
  readonly id: number;
  /** Milliseconds from asking the model to having the token. */
  readonly milliseconds: number;
  /** Its log-probability and the likeliest tokens, where `logprobs` asks for them. */
  readonly details?: TokenDetails;
}

/**
 * How it ended.
 *
 * @category Generation
 */
export interface TokensResult {
  /** The new ids, an end-of-text token included. */
  ids: number[];
  /** Why it ended. */
  finishReason: FinishReason;
  /** Logits of each step after all processors, where `outputScores` asks for them. */
  scores?: Float32Array[];
  /** Logits of each step as the model gave them, where `outputLogits` asks for them. */
  logits?: Float32Array[];
}

/** A text that is being continued. */
export class Sequence {
  /** All ids so far, those of the prompt first. */
  readonly text: number[];
  /** How many of them were there at the beginning. */
  readonly start: number;
  /** Why it is finished, or null while it is not. */
  finishReason: FinishReason | null = null;
  /** Whether nothing but the likeliest token is asked for, so that logits need not be read. */
  readonly plain: boolean;
  /** How the device could draw in our place, where nothing but these two bears on the choice; else null. */
  readonly draw: { readonly temperature: number; readonly topK: number } | null;

  readonly #options: ResolvedOptions;
  readonly #processors: readonly LogitsProcessor[];
  readonly #follower: Follower | null;
  readonly #random: Generator;
  readonly #deadline: number;
  readonly #scores: Float32Array[] = [];
  readonly #logits: Float32Array[] = [];
  #raw = new Float32Array(0); // what the model gave, to find out what a processor made of it

  /** Continues `text`; time runs from now. */
  constructor(text: readonly number[], asked: ResolvedOptions) {
    const follower = followerOf(asked), options = withProcessor(asked, follower);
    this.#follower = follower;
    this.text = [...text];
    this.start = text.length;
    this.#options = options;
    this.#processors = buildProcessors(options, this.start);
    const { temperature, topK, doSample } = options, count = this.#processors.length;
    const unread = options.logprobs === undefined && !options.outputScores && !options.outputLogits &&
      options.guidanceScale === 1;
    this.plain = unread && !doSample && count === 0;
    const simple = doSample && count === Number(temperature !== 1) + Number(topK > 0);
    this.draw = unread && simple ? { temperature, topK } : null;
    this.#random = options.seed === undefined ? defaultGenerator() : new Generator(options.seed);
    this.#deadline = performance.now() + 1e3 * (options.maxTime ?? Infinity);
    this.isDue();
  }

  /** How many tokens it may still have. */
  get left(): number {
    return this.#options.maxNewTokens - (this.text.length - this.start);
  }

  /** Whether the next token can be chosen without finding out first what a format allows. */
  get isReady(): boolean {
    return this.#follower?.isKnown(this.text) ?? true;
  }

  /**
   * Finds that out as far as the allowance goes.
   * @returns whether it went far enough.
   */
  prepare(allowance: Allowance): boolean {
    if (!this.#follower?.advance(this.text, allowance)) return this.#follower === null;
    this.#checkFormat();
    return true;
  }

  /** A text that follows a format ends where nothing can follow. */
  #checkFormat(): void {
    if (this.finishReason === null && this.#follower?.isOver(this.text)) this.finishReason = "stop";
  }

  /** Whether another token is to be made; it may have become too late for one. */
  isDue(): boolean {
    if (this.finishReason === null && (this.left <= 0 || performance.now() >= this.#deadline)) {
      this.finishReason = "length";
    }
    return this.finishReason === null;
  }

  /** The number that draws the next token. */
  uniform(): number {
    return this.#random.uniform();
  }

  /** Where its random numbers stand. */
  get random(): GeneratorState {
    return this.#random.getState();
  }

  /** Gives back the numbers drawn since `before`, unless somebody else drew after `after`. */
  undraw(before: GeneratorState, after: GeneratorState): void {
    const { seed, offset } = this.#random.getState();
    if (seed === after.seed && offset === after.offset) this.#random.setState(before);
  }

  /**
   * Changes logits to those that are chosen from; gives what is told of a token, where it is asked for. A step is what one
   * processor does, or a pass over the vocabulary.
   */
  *#process(logits: Float32Array): Steps<((id: number) => TokenDetails) | null> {
    const { logprobs, outputLogits, outputScores, removeInvalidValues } = this.#options, { length } = logits;
    if (!removeInvalidValues) demandNumbers(logits, this.made);
    if (this.#processors.length > 0) {
      if (this.#raw.length !== logits.length) this.#raw = new Float32Array(logits.length);
      this.#raw.set(logits);
    }
    yield length;
    const known = logprobs === undefined ? null : detailsOf(logits, logprobs);
    if (outputLogits) this.#logits.push(logits.slice());
    for (const process of this.#processors) {
      yield length;
      process(this.text, logits);
    }
    yield length;
    if (outputScores) this.#scores.push(logits.slice());
    return known;
  }

  /** Tokens made so far. */
  get made(): number {
    return this.text.length - this.start;
  }

  /**
   * The likeliest token of processed logits.
   * @throws {FerrotypeError} where they leave none, or make NaN or ∞ of one, naming the processors.
   */
  #best(logits: Float32Array): number {
    const best = argmaxOf(logits);
    if (best < 0 || logits[best] === Infinity) {
      throw excluded(this.#processors, this.text, this.#raw, this.made, logits);
    }
    return best;
  }

  /** The next token where only the likeliest is asked for: `id` is it, or below 0 where the largest logit is no number. */
  accept(id: number): number {
    if (id < 0) throw notNumbers(this.made);
    return id;
  }

  /** The next token, of logits that may be changed. */
  choose(logits: Float32Array): { id: number; details: TokenDetails | undefined } {
    return finish(this.chooseSteps(logits));
  }

  /** The same in steps, none of which is more than one processor's work. */
  *chooseSteps(logits: Float32Array): Steps<{ id: number; details: TokenDetails | undefined }> {
    const known = yield* this.#process(logits), best = this.#best(logits);
    if (this.#options.doSample) yield logits.length;
    const id = this.#options.doSample ? sample(logits, this.#random, best) : best;
    return { id, details: known?.(id) };
  }

  /** The `count` likeliest next tokens, the best first, and their probabilities; of logits that may be changed. */
  candidates(
    logits: Float32Array,
    count: number,
  ): { ids: number[]; chances: number[]; details: ((id: number) => TokenDetails) | null } {
    const details = finish(this.#process(logits)),
      ids = [this.#best(logits)],
      chances = probabilities(logits);
    const rest = Array.from(logits.keys()).filter((id) => id !== ids[0] && logits[id] > -Infinity);
    ids.push(...rest.sort((a, b) => logits[b] - logits[a] || a - b).slice(0, count - 1));
    return { ids, chances: ids.map((id) => chances[id]), details };
  }

  /**
   * The next token where one was guessed: the guess itself as often as plain drawing would give it, else another (Leviathan
   * et al. 2023, for a guess that is certain). Greedy choice keeps a guess that it would have made.
   */
  verify(logits: Float32Array, guess: number): { id: number; details: TokenDetails | undefined } {
    if (!this.#options.doSample) return this.choose(logits);
    const known = finish(this.#process(logits)), best = this.#best(logits);
    let id = guess;
    if (this.#random.uniform() >= probabilities(logits)[guess]) {
      logits[guess] = -Infinity;
      const other = guess === best ? argmaxOf(logits) : best;
      if (other >= 0) id = sample(logits, this.#random, other);
    }
    return { id, details: known?.(id) };
  }

  /**
   * Takes the next token, tells who listens, and sees whether that was the last one. What a format says about that is left to
   * {@link Sequence.prepare} where it comes `later`.
   */
  push(id: number, details?: TokenDetails, later = false): void {
    const { onToken, eosTokenId, stoppingCriteria, maxNewTokens } = this.#options;
    this.text.push(id);
    onToken?.(id, details);
    if (eosTokenId.includes(id)) this.finishReason = "eos";
    else if (stoppingCriteria.some((isDone) => isDone(this.text))) this.finishReason = "stop";
    if (later && this.#follower) return;
    this.#checkFormat();
    if (this.text.length - this.start >= maxNewTokens) this.finishReason ??= "length";
  }

  /** What became of it. */
  result(): TokensResult {
    return {
      ids: this.text.slice(this.start),
      finishReason: this.finishReason ?? "length",
      ...(this.#options.outputScores ? { scores: this.#scores } : {}),
      ...(this.#options.outputLogits ? { logits: this.#logits } : {}),
    };
  }
}

/** What keeps this one text to its format, where it has one. */
function followerOf(
  { constraint, responseFormat, maxNewTokens, eosTokenId }: ResolvedOptions,
): Follower | null {
  if (constraint) return constraint.follow(maxNewTokens, eosTokenId);
  if (responseFormat && responseFormat.type !== "text") {
    throw new OptionError("generate: responseFormat needs a tokenizer; generate text, not ids");
  }
  return null;
}

/** It comes after the caller's own processors. */
function withProcessor(options: ResolvedOptions, follower: Follower | null): ResolvedOptions {
  if (!follower) return options;
  const processor = named("responseFormat", (ids, logits) => follower.apply(ids, logits));
  return { ...options, logitsProcessors: [...options.logitsProcessors, processor] };
}
