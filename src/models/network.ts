/**
 * What every causal language model can do, whatever it is made of: what stands above knows a family by this alone.
 *
 * @module
 */
import type { Module } from "../nn/mod.ts";
import type { Tensor } from "../ops/mod.ts";
import type { CacheDType, CausalCache } from "./cache.ts";

/**
 * Token ids: a tensor [batch, time] or [time] (i32 or i64), or plain lists of the same form.
 *
 * @category Models
 */
export type Ids = Tensor | readonly number[] | readonly (readonly number[])[] | Int32Array;

/**
 * What training asks of a model beside the cross-entropy.
 *
 * @category Models
 */
export interface ObjectiveOptions {
  /** How much of each target is spread evenly over the vocabulary (0 to 1). Default 0. */
  labelSmoothing?: number;
  /** How much of the square of ln(Σ exp(logits)) is added. Default 0. */
  zLoss?: number;
}

/**
 * What positions see, and where they stand.
 *
 * @category Models
 */
export interface SeenOptions {
  /**
   * [batch, positions]: 0 where texts of unequal length are padded. Or bool [batch, 1, time, positions]: true where a position may
   * look, if it comes later. Default: all that came before.
   */
  attentionMask?: Ids | undefined;
  /** i32 [batch, time]: the number of each position in its text, below the positions of a row. Default: they are counted. */
  positionIds?: Ids | undefined;
}

/**
 * Options of a model's `loss`.
 *
 * @category Models
 */
export interface ModelLossOptions extends ObjectiveOptions, SeenOptions {}

/**
 * A network that predicts the next token.
 *
 * @category Models
 */
export interface CausalNetwork extends Module {
  /** Sizes and choices. */
  readonly config: object;
  /** Its layers. */
  readonly depth: number;
  /** Heads of queries in a layer. */
  readonly heads: number;
  /** Tokens that it knows. */
  readonly vocabSize: number;
  /** The longest sequence. */
  readonly contextLength: number;
  /** How long a text of `length` positions may become without being computed again. Missing: `contextLength`. */
  reach?(length: number): number;
  /** Whether nothing is kept in training of what a layer computes but what went into it; going back, it is computed again. */
  gradientCheckpointing: boolean;
  /** Token embeddings, [vocab, width]: where and as what the model is held. */
  readonly embeddings: Tensor;
  /** Empty memory for keys and values of `capacity` positions (default: all) of `batch` texts (default 1). */
  createCache(batch?: number, capacity?: number, options?: { dtype?: CacheDType }): CausalCache;
  /**
   * Logits [batch, time, vocab] for ids [batch, time] (or [time]: batch 1).
   *
   * With a cache, ids are what follows the positions it holds; with a list of caches, each of one text, row i follows those in
   * cache i. `lastOnly` computes the logits of the last position alone:
   * [batch, 1, vocab]. `attentionMask` [batch, positions in the cache and in ids] is 0 where texts of unequal length are padded;
   * or, bool [batch, 1, time, positions], it says what each may see of what came before. `positionIds` [batch, time] are the
   * numbers of the positions where they are not counted.
   */
  forward(
    ids: Ids,
    options?: { cache?: CausalCache | readonly CausalCache[]; lastOnly?: boolean } & SeenOptions,
  ): Tensor;
  /**
   * What comes out of the last norm: [batch, time, width]. With a cache, of ids that follow what it holds; with `depth`, of the first
   * `depth` layers alone.
   */
  hidden(ids: Ids, options?: { cache?: CausalCache; depth?: number }): Tensor;
  /** Logits [.., vocab] for what comes out of the last norm, [.., width]. */
  logits(hidden: Tensor): Tensor;
  /** The mean cross-entropy, in nats; without targets each position's target is the id that follows. */
  loss(ids: Ids, targets?: Ids, options?: ModelLossOptions): Tensor;
  /** How much each position looks at each before it: [batch, heads, time, time] for each of `layers` (default: all). */
  attentions(ids: Ids, options?: { layers?: readonly number[] }): Tensor[];
  /**
   * Checks ids before they go to the device.
   * @throws {ShapeError} for an id outside the vocabulary.
   */
  checkIds(ids: Iterable<number>): void;
  /** The program of a decoding step of one text as text: one line an operation, with its memory. */
  stepPlan(): string;
}
