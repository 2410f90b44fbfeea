/**
 * Continuous batching: texts of different requests take their steps together, join and leave between any two of them, and
 * give what they would give alone (Yu et al. 2022, "Orca").
 *
 * A request waits its turn; its prompt goes through the model in pieces, one a round, so that the others keep moving;
 * then it takes a step each round beside all others, each from a cache of its own. Turns are fair: the client with the
 * fewest requests at work is served first, and a client's requests in the order in which they came.
 *
 * @module
 */
import { demandNumbers } from "../core/demand.ts";
import { breather } from "../core/breathe.ts";
import { slice, sliceFrom, turn } from "../core/steps.ts";
import { CancelledError, OptionError } from "../core/errors.ts";
import { number, whole } from "../core/kinds.ts";
import { byDefault, checkOptions, type OptionTable } from "../core/options.ts";
import { counted } from "../core/show.ts";
import type { Tensor } from "../ops/mod.ts";
import { noGrad } from "../tensor/mod.ts";
import type { LanguageModel, LanguageModelCache } from "./model.ts";
import { explained, LogitsError } from "./no_choice.ts";
import { demandModel, demandNoAdapter, demandResolved, forPrompt, type ResolvedOptions } from "./options.ts";
import { Sequence, type TokensResult, type TokenStep } from "./sequence.ts";
import { type Prefix, type PrefixStore, promptRows } from "./prefix.ts";
import { checkPrompt, makeRoom, readLogits } from "./tokens.ts";

/**
 * A model whose texts can take a step together, each of its own length.
 *
 * @category Generation
 */
export interface BatchLanguageModel<C extends LanguageModelCache = LanguageModelCache>
  extends LanguageModel<C> {
  /** As of {@link LanguageModel}; with a list of caches row i of the ids follows what cache i holds, however much that is. */
  forward(
    ids: Tensor | readonly (readonly number[])[],
    options: { cache: NoInfer<C> | readonly NoInfer<C>[]; lastOnly: boolean },
  ): Tensor;
  /** The model with the adapter of this name, or none, whatever other texts use. Caches know whose they are. */
  adapted?(adapter: string | null): LanguageModel<C>;
}

/**
 * Options of {@link Batcher}.
 *
 * @category Generation
 */
export interface BatcherOptions {
  /** How many texts take steps together at most. Default 16. */
  maxBatch?: number;
  /** How many tokens of a prompt are computed before the others take their next step. Default 512. */
  prefillChunk?: number;
  /**
   * How many seconds of work one text's `responseFormat` may take, in all; a text that needs more ends with an OptionError.
   * Default: as long as it takes.
   */
  formatSeconds?: number;
}

/** {@link BatcherOptions} as data. */
export const batcherOptions: OptionTable<BatcherOptions> = {
  maxBatch: byDefault(16, whole(1)),
  prefillChunk: byDefault(512, whole(1)),
  formatSeconds: byDefault(Infinity, number({ from: 0 })),
};
/** Milliseconds after which the event loop has a turn between two rounds. */
const longestTurn = 10;

/**
 * How much there is to do.
 *
 * @category Generation
 */
export interface BatcherLoad {
  /** Requests that are at work. */
  active: number;
  /** Requests that wait. */
  waiting: number;
}

/** A request on its way. */
interface Job<C extends LanguageModelCache> {
  readonly client: string;
  readonly prompt: readonly number[];
  readonly options: ResolvedOptions;
  sequence: Sequence | null;
  cache: C | null;
  /** Where its prompt is kept for others. */
  store: PrefixStore<C> | null;
  /** Steps that nobody has taken yet. */
  readonly steps: TokenStep[];
  started: number;
  /** Milliseconds of work that its format took. */
  worked: number;
  result: TokensResult | null;
  error: unknown;
  wake: (() => void) | null;
}

/** What a job's cache has of its prompt; null when it has begun again from the middle, as a full context does. */
function prefixOf<C extends LanguageModelCache>({ cache, sequence, prompt }: Job<C>): Prefix<C> | null {
  if (!cache || !sequence || cache.ids.length !== sequence.text.length) return null;
  return { ids: prompt.slice(0, cache.length), cache };
}

/**
 * Runs requests on one model.
 *
 * @category Generation
 */
export class Batcher<C extends LanguageModelCache> {
  readonly #model: BatchLanguageModel<C>;
  readonly #maxBatch: number;
  readonly #chunk: number;
  readonly #formatSeconds: number;
  readonly #waiting: Job<C>[] = [];
  readonly #active: Job<C>[] = [];
  #running = false;

  /** Computes nothing until there is a request. */
  constructor(model: BatchLanguageModel<C>, options: BatcherOptions = {}) {
    const { maxBatch = 16, prefillChunk = 512, formatSeconds = Infinity } = checkOptions(
      "Batcher",
      options,
      batcherOptions,
    );
    demandModel("Batcher", model, "forward");
    this.#model = model;
    this.#maxBatch = maxBatch;
    this.#chunk = prefillChunk;
    this.#formatSeconds = formatSeconds;
  }

  /** What is to be done at present. */
  get load(): BatcherLoad {
    return { active: this.#active.length, waiting: this.#waiting.length };
  }

  /**
   * Continues `prompt`, as `generateTokens` does. The request is in the queue as soon as this returns; leaving the
   * iterator, or its `signal`, takes it out. `client` says whose turn it is.
   *
   * @throws {OptionError} for what only one text alone can have: beams and a cache of the caller's.
   */
  submit(
    prompt: readonly number[],
    asked: ResolvedOptions,
    client = "",
  ): AsyncGenerator<TokenStep, TokensResult> {
    demandNumbers("submit", prompt, "the prompt");
    demandResolved("submit", asked);
    const options = forPrompt(asked, prompt.length);
    const { numBeams, cache, assistantModel, promptLookupNumTokens, guidanceScale, penaltyAlpha } = options;
    if (
      numBeams > 1 || cache || assistantModel || promptLookupNumTokens !== null || guidanceScale > 1 ||
      penaltyAlpha > 0
    ) {
      throw new OptionError(
        "a batch takes no beam or contrastive search, no guesses, no guidance and no cache of the caller's; generate alone " +
          "for those",
      );
    }
    checkPrompt(prompt, options, this.#model.contextLength);
    if (options.adapter !== undefined) {
      if (!this.#model.adapted) demandNoAdapter("submit", options);
      else this.#model.adapted(options.adapter);
    }
    const job: Job<C> = {
      client,
      prompt,
      options,
      sequence: null,
      cache: null,
      store: null,
      steps: [],
      started: performance.now(),
      worked: 0,
      result: null,
      error: null,
      wake: null,
    };
    const abort = (): void => this.#end(job, new CancelledError("generate: cancelled"));
    if (options.signal?.aborted) abort();
    else {
      options.signal?.addEventListener("abort", abort, { once: true });
      this.#waiting.push(job);
      void this.#run();
    }
    return this.#steps(job, abort);
  }

  async *#steps(job: Job<C>, abort: () => void): AsyncGenerator<TokenStep, TokensResult> {
    try {
      for (;;) {
        const step = job.steps.shift();
        if (step) yield step;
        else if (job.error !== null) {
          throw await explained(job.error, this.#model, job.sequence?.text ?? job.prompt);
        } else if (job.result) return job.result;
        else await new Promise<void>((resolve) => job.wake = resolve);
      }
    } finally {
      job.options.signal?.removeEventListener("abort", abort);
      abort();
    }
  }

  /** Takes a job out, with an error unless it is finished already. */
  #end(job: Job<C>, error: unknown): void {
    if (job.result === null && job.error === null) {
      if (error === null) job.result = job.sequence?.result() ?? { ids: [], finishReason: "length" };
      else job.error = error;
    }
    for (const list of [this.#waiting, this.#active]) {
      const at = list.indexOf(job);
      if (at >= 0) list.splice(at, 1);
    }
    if (job.cache) {
      const { store } = job, known = prefixOf(job);
      // What is computed of numbers that are none is not kept for others.
      if (store && known && !(job.error instanceof LogitsError)) store.give(job.cache, known.ids);
      else job.cache.dispose();
    }
    job.cache = null;
    job.wake?.();
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    const breathe = breather(longestTurn);
    try {
      while (this.#waiting.length || this.#active.length) {
        await breathe();
        this.#admit();
        if (this.#prepare()) await turn();
        await this.#prefill();
        await this.#step();
      }
    } finally {
      this.#running = false;
    }
  }

  /**
   * Texts whose format is still worked on take no place from others; but there are no more of them than places, so that there
   * are never more than twice as many texts at work.
   */
  #admit(): void {
    for (;;) {
      const held = this.#active.filter(({ sequence }) => sequence !== null && !sequence.isReady).length;
      if (this.#active.length - held >= this.#maxBatch) return;
      const candidates = held < this.#maxBatch
        ? this.#waiting
        : this.#waiting.filter(({ options }) => !options.constraint);
      if (candidates.length === 0) return;
      const busy = (job: Job<C>): number => this.#active.filter(({ client }) => client === job.client).length;
      const job = candidates.reduce((best, other) => busy(other) < busy(best) ? other : best);
      this.#waiting.splice(this.#waiting.indexOf(job), 1);
      this.#active.push(job);
      const { prompt, options } = job;
      try {
        job.sequence = new Sequence(prompt, options);
        if (!job.sequence.isDue()) this.#end(job, null);
      } catch (error) {
        this.#end(job, error);
      }
    }
  }

  /**
   * Works out what may come next in texts that follow a format, a slice of it; who needs more does not keep the others.
   *
   * @returns whether the slice was used up.
   */
  #prepare(): boolean {
    const allowance = sliceFrom(), isOver = (): boolean => allowance.units <= 0 || allowance.isLate!();
    for (const job of [...this.#active]) {
      const { sequence } = job;
      if (!sequence || sequence.isReady) continue;
      const began = performance.now();
      try {
        if (sequence.prepare(allowance) && !sequence.isDue()) this.#end(job, null);
      } catch (error) {
        this.#end(job, error);
      }
      job.worked += performance.now() - began;
      if (job.worked >= 1000 * this.#formatSeconds && !sequence.isReady) {
        const tokens = sequence.text.length - job.prompt.length;
        this.#end(
          job,
          new OptionError(
            `responseFormat: finding out which tokens may follow took more than ${
              counted(this.#formatSeconds, "second")
            } after ${tokens} ` +
              "tokens; make the format simpler",
          ),
        );
      }
      if (!isOver()) continue;
      // The next slice begins with another one.
      const at = this.#active.indexOf(job);
      if (at >= 0) this.#active.push(...this.#active.splice(at, 1));
      return true;
    }
    return false;
  }

  /** One piece of one prompt: of the job that is furthest behind its others, which is the one that came first. */
  async #prefill(): Promise<void> {
    const job = this.#active.find(({ cache, sequence }) =>
      sequence?.finishReason === null && (cache === null || cache.ids.length - cache.length > 1)
    );
    if (!job?.sequence) return;
    const { sequence, prompt, options } = job;
    try {
      const cache = job.cache ??= this.#cacheFor(job), left = cache.ids.length - cache.length;
      // Alone: then it takes its step with the others.
      if (left === 1) return;
      makeRoom(cache, sequence, this.#model.contextLength, prompt.length, options.contextOverflow);
      // No piece so small that its sums run in another order than those of a whole prompt.
      const rest = left - this.#chunk, most = this.#chunk - promptRows;
      const size = rest > 0 && rest < promptRows && most >= promptRows ? most : this.#chunk;
      const piece = cache.ids.slice(cache.length, cache.length + size);
      // The last piece gives a token.
      if (left <= size && !sequence.isReady) return;
      const logits = noGrad(() => this.#model.forward([piece], { cache, lastOnly: true }));
      if (cache.length < cache.ids.length) return logits.dispose();
      const values = await readLogits(logits);
      if (job.cache) this.#take(job, values);
    } catch (error) {
      this.#end(job, error);
    }
  }

  /** Memory for a job, with what its prompt has in common with an earlier one, or with one that is at work. */
  #cacheFor(job: Job<C>): C {
    const { prompt, options } = job, dtype = options.cacheDType, { adapter } = options;
    const model: LanguageModel<C> = adapter === undefined ? this.#model : this.#model.adapted!(adapter);
    const store = job.store = options.cachePrompt ? model.prefixes ?? null : null;
    // What was computed with another adapter is something else.
    const others = this.#active.filter((other) => other.store === store);
    const capacity = Math.max(1, Math.min(this.#model.contextLength, prompt.length + options.maxNewTokens));
    const cache = store
      ? store.take(model, prompt, capacity, dtype, others.map(prefixOf).filter((known) => known !== null))
      : model.createCache(1, capacity, { dtype });
    cache.ids.push(...prompt.slice(cache.length));
    return cache;
  }

  /** A step of all whose prompts are done. */
  async #step(): Promise<void> {
    for (const { cache, sequence, prompt, options } of this.#active) {
      if (cache && sequence) {
        makeRoom(cache, sequence, this.#model.contextLength, prompt.length, options.contextOverflow);
      }
    }
    const ready = this.#active.filter(({ cache, sequence }) =>
      cache !== null && sequence?.finishReason === null && cache.ids.length - cache.length === 1 &&
      sequence.isReady
    );
    if (!ready.length) return;
    const jobs = ready.slice(0, this.#maxBatch);
    if (ready.length > jobs.length) {
      // The others are first in the next step.
      for (const job of jobs) this.#active.push(...this.#active.splice(this.#active.indexOf(job), 1));
    }
    let values: Float32Array;
    try {
      const caches = jobs.map(({ cache }) => cache as C);
      values = await readLogits(
        noGrad(() =>
          this.#model.forward(caches.map(({ ids }) => ids.slice(-1)), { cache: caches, lastOnly: true })
        ),
      );
    } catch (error) {
      for (const job of jobs) this.#end(job, error);
      return;
    }
    const width = values.length / jobs.length, breathe = breather(slice.milliseconds);
    for (const [row, job] of jobs.entries()) {
      // One that left meanwhile has no cache any more.
      if (job.cache) this.#take(job, values.subarray(row * width, (row + 1) * width));
      // Of a large vocabulary each text's choice takes a while.
      await breathe();
    }
  }

  /** Chooses a job's next token. What goes wrong in its own functions is its own affair. */
  #take(job: Job<C>, logits: Float32Array): void {
    const { sequence, cache } = job;
    if (!sequence || !cache) return;
    try {
      if (!sequence.isDue()) return this.#end(job, null);
      const { id, details } = sequence.choose(logits), now = performance.now();
      cache.ids.push(id);
      job.steps.push({ id, milliseconds: now - job.started, ...(details ? { details } : {}) });
      job.started = now;
      sequence.push(id, details, true);
      // Where a format has not told yet whether that was the end, it does so in its turn.
      if (sequence.finishReason !== null || (sequence.isReady && !sequence.isDue())) this.#end(job, null);
      else job.wake?.();
    } catch (error) {
      this.#end(job, error);
    }
  }
}
