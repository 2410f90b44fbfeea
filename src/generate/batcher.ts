/**
 * Continuous batching: texts of different requests take their steps together, join and leave between any two of them, and
 * give what they would give alone (Yu et al. 2022, "Orca").
 *
 * A request waits its turn; its prompt goes through the model in pieces, one a round, so that the others keep moving;
 * then it takes a step each round beside all others, each from a cache of its own. Turns are fair: the client with the
 * fewest requests at work is served first, and a client's requests in the order in which they came.
 *
 * What may come next in a text that follows a format is worked out in slices between the rounds, for the texts first whose
 * tokens took least so far, so that what is cheap never waits for what is not. A text has no place and no memory until that
 * is known of its first token.
 *
 * @module
 */
import { demandNoMore, demandNumbers } from "../core/demand.ts";
import { breather } from "../core/breathe.ts";
import { sliceFrom } from "../core/steps.ts";
import { turn } from "../core/turn.ts";
import { CancelledError, LogitsError, OptionError } from "../core/errors.ts";
import { number, whole } from "../core/kinds.ts";
import { byDefault, checkOptions, type OptionTable } from "../core/options.ts";
import { counted } from "../core/show.ts";
import { readyToHold } from "../ops/blocks.ts";
import type { Tensor } from "../ops/mod.ts";
import { noGrad } from "../tensor/mod.ts";
import type { LanguageModel, LanguageModelCache } from "./model.ts";
import { explained } from "./no_choice.ts";
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
   * So does one whose tokens take much each, when the work for it and for the formats of others that it
   * waited for is as much, and a hundredth of that for each of its tokens. Default: as long as it takes.
   */
  formatSeconds?: number;
}

/** {@link BatcherOptions} as data. */
export const batcherOptions: OptionTable<BatcherOptions> = {
  maxBatch: byDefault(16, whole(1)),
  prefillChunk: byDefault(512, whole(1)),
  formatSeconds: byDefault(Infinity, number({ from: 0 })),
};
/** Milliseconds after which the event loop has a turn between two parts of a round, one of which may take several itself. */
const longestTurn = 2;

/** Units of work for a token that are little, as plain formats take; each further rank of formats takes four times as much. */
const little = 200_000;
/** Texts with a format that are begun in one turn of the event loop. */
const mostOpened = 16;
/** From so many on, for each token on average, a format is costly. */
const costly = 800_000;
/** A text that has so many tokens more may have waited for as much work again. */
const steadily = 100;

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
  /** Units of work that its format took. */
  units: number;
  /** Milliseconds of it, and of work for any format while it waited for its own. */
  worked: number;
  waited: number;
  result: TokensResult | null;
  error: unknown;
  wake: (() => void) | null;
}

type AnyJob = Job<LanguageModelCache>;

/** Units of work that a job's format took for each of its tokens. */
const unitsEach = ({ units, sequence }: AnyJob): number => units / (1 + (sequence?.made ?? 0));

/** Whose format is worked on first: in ranks, so that of those that take much one is done after the other. */
const rank = (job: AnyJob): number => Math.ceil(Math.log2(Math.max(1, unitsEach(job) / little)) / 2);

const isCostly = (job: AnyJob): boolean => unitsEach(job) >= costly;

/** Whether its format is to be worked on. */
const isHeld = ({ sequence }: AnyJob): boolean => sequence !== null && !sequence.isReady;

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
  /** Gives the event loop a turn between two parts of a round. */
  #breathe = breather(longestTurn);

  /**
   * Computes nothing until there is a request.
   * @throws {OptionError} for options that do not exist, or values that they do not take.
   */
  constructor(model: BatchLanguageModel<C>, options: BatcherOptions = {}) {
    demandNoMore(arguments, 2, "Batcher");
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
   * @throws {ShapeError} for ids that are none of the vocabulary, and more than the model has positions.
   */
  submit(
    prompt: readonly number[],
    asked: ResolvedOptions,
    client = "",
  ): AsyncGenerator<TokenStep, TokensResult> {
    demandNoMore(arguments, 3, "submit");
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
      units: 0,
      worked: 0,
      waited: 0,
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
    this.#breathe = breather(longestTurn);
    try {
      for (let others = 0; this.#waiting.length || this.#active.length;) {
        await this.#breathe();
        // Formats have a slice, and as much time as the round before took: neither keeps the other for long.
        const end = performance.now() + others;
        do this.#admit(); while (this.#prepare() && (await turn(), performance.now() < end));
        const began = performance.now();
        await this.#prefill();
        await this.#breathe();
        await this.#step();
        others = performance.now() - began;
      }
    } finally {
      this.#running = false;
    }
  }

  /**
   * Texts whose format is still worked on take no place from others; but there are no more of them than places, and half as
   * many of costly ones, so that there are never more than twice as many texts at work.
   */
  #admit(): void {
    const closed = this.#waiting.filter(({ sequence, options }) => !sequence && options.constraint);
    // A few in each turn, as there may be hundreds.
    for (const job of closed.slice(0, mostOpened)) this.#open(job);
    for (;;) {
      const held = this.#active.filter(isHeld);
      if (this.#active.length - held.length >= this.#maxBatch) return;
      const hasRoom = held.length < this.#maxBatch;
      const hasRoomForCostly = hasRoom && held.filter(isCostly).length < Math.ceil(this.#maxBatch / 2);
      const candidates = this.#waiting.filter((job) =>
        !job.options.constraint || (job.sequence?.isReady && (isCostly(job) ? hasRoomForCostly : hasRoom))
      );
      if (candidates.length === 0) return;
      const busy = (job: Job<C>): number => this.#active.filter(({ client }) => client === job.client).length;
      const job = candidates.reduce((best, other) => busy(other) < busy(best) ? other : best);
      this.#waiting.splice(this.#waiting.indexOf(job), 1);
      this.#active.push(job);
      if (!job.sequence) this.#open(job);
    }
  }

  /** Begins a text; it may be over at once. */
  #open(job: Job<C>): void {
    try {
      job.sequence = new Sequence(job.prompt, job.options);
      if (!job.sequence.isDue()) this.#end(job, null);
    } catch (error) {
      this.#end(job, error);
    }
  }

  /**
   * Works out what may come next in texts that follow a format, a slice of it; who needs more does not keep the others.
   *
   * @returns whether the slice was used up.
   */
  #prepare(): boolean {
    const held = [...this.#active, ...this.#waiting].filter(isHeld);
    if (held.length === 0) return false;
    const allowance = sliceFrom(), began = performance.now();
    const isOver = (): boolean => allowance.units <= 0 || allowance.isLate!();
    const ranked = held.map((job) => ({ job, rank: rank(job) })).sort((a, b) => a.rank - b.rank);
    for (const { job } of ranked) {
      const { sequence } = job, before = performance.now(), { units } = allowance;
      try {
        if (sequence!.prepare(allowance) && !sequence!.isDue()) this.#end(job, null);
      } catch (error) {
        this.#end(job, error);
      }
      job.worked += performance.now() - before;
      job.units += units - allowance.units;
      if (isOver()) break;
    }
    const spent = performance.now() - began;
    for (const job of held) {
      job.waited += spent;
      if (isHeld(job)) this.#checkWork(job);
    }
    return isOver();
  }

  /** Ends a text whose format has taken too long. */
  #checkWork(job: Job<C>): void {
    const { made } = job.sequence as Sequence, most = 1000 * this.#formatSeconds;
    const tookLong = job.worked >= most;
    if (!tookLong && (!isCostly(job) || job.waited < most * (1 + made / steadily))) return;
    const seconds = (milliseconds: number): string =>
      `${counted(Number((milliseconds / 1000).toFixed(1)), "second")}`;
    this.#end(
      job,
      new OptionError(
        `responseFormat: finding out which tokens may follow took ${
          tookLong
            ? `more than ${counted(this.#formatSeconds, "second")} after ${
              counted(made, "token")
            }; make the format simpler`
            : `${seconds(job.worked)} after ${counted(made, "token")}, and ${
              seconds(job.waited)
            } with the formats of others; ` +
              "make the format simpler, or try again later"
        }`,
      ),
    );
  }

  /** One piece of one prompt: of the job that is furthest behind its others, which is the one that came first. */
  async #prefill(): Promise<void> {
    const job = this.#active.find(({ cache, sequence }) =>
      sequence?.finishReason === null && (cache === null || cache.ids.length - cache.length > 1)
    );
    if (!job?.sequence) return;
    const { sequence, prompt, options } = job;
    try {
      if (job.cache === null) await readyToHold([options.cacheDType]);
      // It may have been taken back meanwhile.
      if (!this.#active.includes(job)) return;
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
      await this.#breathe();
      await this.#take(job, values);
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
    await this.#breathe();
    const width = values.length / jobs.length;
    for (const [row, job] of jobs.entries()) {
      await this.#take(job, values.subarray(row * width, (row + 1) * width));
    }
  }

  /**
   * Chooses a job's next token, which takes a while of a large vocabulary: others have their turn meanwhile. What goes wrong in
   * its own functions is its own affair.
   */
  async #take(job: Job<C>, logits: Float32Array): Promise<void> {
    const { sequence, cache } = job;
    // One that left meanwhile has no cache any more.
    if (!sequence || !cache) return;
    try {
      if (!sequence.isDue()) return this.#end(job, null);
      const steps = sequence.chooseSteps(logits);
      let step = steps.next();
      for (; !step.done; step = steps.next()) {
        await this.#breathe();
        if (!job.cache) return;
      }
      const { id, details } = step.value, now = performance.now();
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
