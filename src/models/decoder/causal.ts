/**
 * Token ids to logits, whatever the layers in between are: what all decoders with rotary positions share.
 *
 * @module
 */
import { OptionError, ShapeError } from "../../core/errors.ts";
import * as kinds from "../../core/kinds.ts";
import { checkOptions, type OptionTable } from "../../core/options.ts";
import { formatShape } from "../../core/shape.ts";
import {
  type Embedding,
  type KVCache,
  type Layer,
  Module,
  RotaryEmbedding,
  type RotaryOptions,
  type Rotation,
} from "../../nn/mod.ts";
import { attentionRows } from "../../ops/attention_rows.ts";
import {
  type AttentionOptions,
  concat,
  contiguous,
  crossEntropy,
  div,
  linear,
  mul,
  reshape,
  scaledDotProductAttention,
  slice,
  tanh,
  type Tensor,
  tensor,
  toDType,
} from "../../ops/mod.ts";
import { noGrad, tidy } from "../../tensor/mod.ts";
import type { CacheDType, CausalCache } from "../cache.ts";
import { checkIds, idsAsTensor, onlyId } from "../ids.ts";
import type { CausalNetwork, Ids } from "../network.ts";
import { paddingOf } from "../padding.ts";
import { planOf, Steps } from "../step.ts";
import { DecoderCache } from "./cache.ts";
import type { DecoderConfig } from "./config.ts";
import { probabilities } from "./probabilities.ts";

/** What a layer attends with; see {@link Place.attend}. */
export type AttendOptions = Pick<AttentionOptions, "scale" | "dropoutP" | "softcap" | "window">;

/** What a layer is told of the positions at work. */
export interface Place {
  /** Their angles, where the layer is told any. */
  readonly rotation: Rotation | null;
  /**
   * What queries [batch, heads, time, width] find among the keys and values of their own positions and of those before, in the
   * layer's cache or in the caches of several texts: [batch, heads, time, width].
   */
  attend(q: Tensor, k: Tensor, v: Tensor, options: AttendOptions): Tensor;
}

/** Where the positions at work stand, and what lies before them. */
interface Positions {
  /** Of each kind of angles. */
  readonly rotations: ReadonlyMap<RotaryOptions, Rotation>;
  /** See {@link Place.attend}, for a layer. */
  readonly attend: (layer: number) => Place["attend"];
}

/** One layer: x [batch, time, width] → the same shape. */
export interface DecoderBlock {
  /** Attends to the positions at work and before. */
  forward(x: Tensor, place: Place): Tensor;
}

/** What a decoder is made of, whatever its checkpoint calls it. */
export interface DecoderParts {
  /** Of tokens. */
  readonly embedding: Embedding;
  /** First to last. */
  readonly layers: readonly DecoderBlock[];
  /** The last norm. */
  readonly norm: Layer;
  /** The output layer; null where the embeddings are. */
  readonly head: Layer | null;
}

/** Values within ± `cap`, by a tanh. */
function softcap(x: Tensor, cap: number | null): Tensor {
  return cap === null ? x : mul(tanh(div(x, cap)), cap);
}

/** A decoder: token ids to logits. */
export abstract class CausalDecoder extends Module implements CausalNetwork {
  /** Sizes and choices. */
  readonly config: DecoderConfig;
  readonly #rotary: ReadonlyMap<RotaryOptions, RotaryEmbedding>;
  readonly #steps: Steps = new Steps(this, (ids, places, caches) => this.#rows(ids, places, caches));
  /** Steps below this length see all positions, and can be programs. */
  readonly #leastWindow: number;

  /** The tables of angles are made when they are needed. */
  constructor(config: DecoderConfig) {
    super();
    this.config = config;
    const kinds = new Set(config.layers.map(({ rotary }) => rotary).filter((rotary) => rotary !== null));
    this.#rotary = new Map([...kinds].map((rotary) => [rotary, new RotaryEmbedding(rotary)]));
    this.#leastWindow = Math.min(...config.layers.map(({ window }) => window ?? Infinity));
  }

  /** Its layers. */
  get depth(): number {
    return this.config.layers.length;
  }

  /** Heads of queries in a layer. */
  get heads(): number {
    return this.config.heads;
  }

  /** Tokens that it knows. */
  get vocabSize(): number {
    return this.config.vocabSize;
  }

  /** Token embeddings, [vocab, width]. */
  get embeddings(): Tensor {
    return this.parts.embedding.weight;
  }

  /** Its parts. */
  protected abstract get parts(): DecoderParts;

  /** The longest sequence. */
  get contextLength(): number {
    return this.config.maxPositions;
  }

  /** Gives all memory back. */
  override dispose(): void {
    for (const rotary of this.#rotary.values()) rotary.dispose();
    super.dispose();
  }

  /**
   * An empty key-value cache on the model's device, for `capacity` positions of `batch` texts. As f16 or bf16 it takes half
   * the memory of f32, the default; as q8 a little more than a quarter, where heads are a multiple of 32 wide.
   *
   * @throws {OptionError} for sizes that are no whole numbers above 0. @throws {DTypeError} for other dtypes.
   */
  createCache(
    batch = 1,
    capacity: number = this.contextLength,
    options: { dtype?: CacheDType } = {},
  ): DecoderCache {
    for (const [name, value] of Object.entries({ batch, capacity })) {
      if (!Number.isInteger(value) || value < 1) {
        throw new OptionError(`createCache: ${name} is a whole number above 0, not ${value}`);
      }
    }
    const { dtype = "f32" } = checkOptions("createCache", options, cacheOptions);
    return new DecoderCache(this.config, batch, capacity, { device: this.#device, dtype });
  }

  /**
   * Logits [batch, time, vocab] for ids [batch, time] (or [time]: batch 1).
   *
   * With a cache, ids are what follows the positions it holds. `lastOnly` computes the logits of the last position alone:
   * [batch, 1, vocab]. `attentionMask` [batch, positions in the cache and in ids] is 0 where texts of unequal length are padded.
   *
   * @throws {ShapeError} for more positions than the model has, an id outside the vocabulary, or a mask of another shape.
   */
  forward(ids: Ids, options: { cache?: DecoderCache; lastOnly?: boolean; attentionMask?: Ids } = {}): Tensor {
    const { cache, attentionMask: mask } = checkOptions("forward", options, forwardOptions);
    const id = cache?.batch === 1 && !mask && !this.training ? onlyId(ids, this.embeddings.backend) : null;
    if (cache && id !== null && cache.length < Math.min(cache.capacity, this.contextLength)) {
      const logits = tidy(() => {
        if (typeof id === "number") this.checkIds([id]);
        const row = this.#step(typeof id === "number" ? [id] : reshape(id, [1, 1]), [cache]);
        return row && reshape(row, [1, 1, -1]);
      });
      if (logits) return logits;
    }
    return tidy(() => {
      const x = this.#hidden(this.#ids(ids), cache, mask);
      return this.logits(options.lastOnly ? contiguous(slice(x, null, [-1, null])) : x);
    });
  }

  /**
   * The next position of several texts at once, each of its own length: logits [rows, vocab] for `ids[i]`, which
   * follows the positions in `caches[i]` (a cache of one text). What a row gives does not depend on the others.
   *
   * @throws {ShapeError} when a text has no positions left, or the lists differ in length.
   */
  forwardRows(ids: readonly number[], caches: readonly DecoderCache[]): Tensor {
    const { family } = this.config;
    if (ids.length !== caches.length || ids.length === 0) {
      throw new ShapeError(`${family}: forwardRows: ${ids.length} ids for ${caches.length} caches`);
    }
    if (caches.some(({ length }) => length >= this.contextLength)) {
      throw new ShapeError(
        `${family}: a text has all of the ${this.contextLength} positions of this model`,
      );
    }
    this.checkIds(ids);
    return tidy(() => {
      const rows = this.#step(ids, caches);
      if (rows) return rows;
      const each = ids.map((id, i) => this.forward([[id]], { cache: caches[i], lastOnly: true }));
      return reshape(concat(each, 0), [ids.length, -1]);
    });
  }

  /** The program of a decoding step of one text as text: one line an operation, with its memory. */
  stepPlan(): string {
    const { training } = this, capacity = Math.min(this.contextLength, this.#leastWindow);
    const cache = this.createCache(1, capacity);
    try {
      this.eval();
      this.#makeTables([cache]);
      return noGrad(() => planOf(this, [cache], (ids, places, caches) => this.#rows(ids, places, caches)));
    } finally {
      this.train(training);
      cache.dispose();
    }
  }

  /** What comes out of the last norm: [batch, time, width]. With a cache, of ids that follow what it holds. */
  hidden(ids: Ids, options: { cache?: DecoderCache } = {}): Tensor {
    const { cache } = checkOptions("hidden", options, hiddenOptions);
    return tidy(() => this.#hidden(this.#ids(ids), cache));
  }

  /**
   * How much each position looks at each before it, for every layer or those of `layers`: [batch, heads, time, time], rows
   * of sum 1 (transformers' `output_attentions`). Computed for looking at: the layers themselves keep no such matrix.
   */
  attentions(ids: Ids, options: { layers?: readonly number[] } = {}): Tensor[] {
    const { layers: all } = this.config,
      { layers = all.map((_, i) => i) } = checkOptions("attentions", options, attentionsOptions);
    for (const layer of layers) {
      if (all[layer]) continue;
      throw new OptionError(`attentions: layer ${layer} is none of the ${all.length} from 0`);
    }
    return noGrad(() =>
      tidy(() => {
        const found = new Map<number, Tensor>(), given = this.#ids(ids);
        const { rotations, attend } = this.#at(given);
        this.#through(given, {
          rotations,
          attend: (layer) => (q, k, v, options) => {
            if (layers.includes(layer)) found.set(layer, probabilities(q, k, options));
            return attend(layer)(q, k, v, options);
          },
        });
        return layers.map((layer) => found.get(layer) as Tensor);
      })
    );
  }

  /** Logits [.., vocab] for what comes out of the last norm, [.., width]. */
  logits(hidden: Tensor): Tensor {
    const { logitScale, logitSoftcap } = this.config;
    return tidy(() => {
      const { head, embedding } = this.parts;
      const logits = head?.forward(hidden) ?? linear(hidden, embedding.weight);
      return softcap(logitScale === 1 ? logits : mul(logits, logitScale), logitSoftcap);
    });
  }

  /**
   * The mean cross-entropy, in nats. `targets` has the shape of ids; without it each position's target is the id that
   * follows. A target of −100 does not count.
   */
  loss(ids: Ids, targets?: Ids): Tensor {
    return tidy(() => {
      let x = this.#ids(ids), y: Tensor;
      if (targets === undefined) {
        if (x.shape[1] < 2) {
          throw new ShapeError(`loss: needs at least 2 tokens, not ${formatShape(x.shape)}`);
        }
        y = slice(x, null, [1, null]);
        x = slice(x, null, [0, -1]);
      } else y = idsAsTensor(this.config.family, this, targets, -100);
      return crossEntropy(reshape(this.logits(this.#hidden(x)), [-1, this.vocabSize]), reshape(y, [-1]));
    });
  }

  /** Checks ids before they go to the device. @throws {ShapeError} for an id outside the vocabulary. */
  checkIds(ids: Iterable<number>): void {
    checkIds(this.config.family, this.vocabSize, ids);
  }

  #ids(ids: Ids): Tensor {
    return idsAsTensor(this.config.family, this, ids);
  }

  get #device() {
    return this.embeddings.device;
  }

  /** Whether angles change when a text grows, so that what was computed of it is computed again. */
  get #isStretching(): boolean {
    return [...this.#rotary.values()].some(({ isStretching }) => isStretching);
  }

  /** What the angles of a text of `length` positions depend on. */
  #kind(length: number): string {
    return [...this.#rotary.values()].map((rotary) => rotary.kind(length)).join();
  }

  /** Angles for all positions of the caches, so that a program finds them. */
  #makeTables(caches: readonly CausalCache[]): void {
    const most = Math.min(this.contextLength, Math.max(...caches.map(({ capacity }) => capacity)));
    for (const rotary of this.#rotary.values()) rotary.prepare(most, this.#device);
  }

  /**
   * Logits [rows, vocab] of one more position of each text, by a program where that can be; null where the texts have to go
   * their own ways.
   */
  #step(ids: readonly number[] | Tensor, caches: readonly DecoderCache[]): Tensor | null {
    const { attentionSoftcap } = this.config;
    if (this.training || this.#isStretching || caches.some(({ length, capacity }) => length >= capacity)) {
      return null;
    }
    // In a program no window closes, and capped scores would be those of all positions that fit: such steps are taken one by one.
    if (attentionSoftcap === null && caches.every(({ length }) => length < this.#leastWindow)) {
      this.#makeTables(caches);
      const logits = this.#steps.next(ids, caches);
      if (logits) return logits;
    }
    const lengths = caches.map(({ length }) => length);
    const given = Array.isArray(ids)
      ? this.#ids((ids as readonly number[]).map((id) => [id]))
      : ids as Tensor;
    const logits = this.#rows(
      given,
      tensor(lengths, { dtype: "i32", device: this.#device }),
      caches,
      lengths,
    );
    for (const { layers } of caches) for (const layer of layers) layer.length++;
    return logits;
  }

  /**
   * Logits [rows, vocab] for ids [rows, 1] at positions `places` [rows], which follow those in the caches, whose lengths are
   * left alone; `known` are the places again where they need not be read on the device.
   */
  #rows(ids: Tensor, places: Tensor, caches: readonly CausalCache[], known?: readonly number[]): Tensor {
    const [rows] = ids.shape, positions = reshape(places, [rows, 1]);
    const least = known ? 1 + Math.max(...known) : Math.max(...caches.map(({ capacity }) => capacity));
    const length = Math.min(this.contextLength, least);
    const x = this.#through(ids, {
      rotations: this.#rotations((rotary) => rotary.at(length - 1, 1, this.#device, positions)),
      attend: (i) => (q, k, v, { scale, softcap, window }) => {
        const flat = (t: Tensor): Tensor => reshape(t, [rows, t.shape[1], t.shape[3]]);
        const keys = caches.map(({ layers }) => layers[i].keys);
        const values = caches.map(({ layers }) => layers[i].values);
        const found = attentionRows(flat(q), flat(k), flat(v), keys, values, known ?? places, {
          ...(scale === undefined ? {} : { scale }),
          ...(softcap === undefined ? {} : { softcap }),
          ...(window === undefined || !known ? {} : { window }),
        });
        return reshape(found, q.shape);
      },
    });
    return reshape(this.logits(x), [rows, -1]);
  }

  #hidden(ids: Tensor, cache?: DecoderCache, mask?: Ids): Tensor {
    if (!cache || !this.#isStretching) return this.#run(ids, cache, mask);
    // Angles change at a length: the text so far is computed again with those of its new length.
    const time = ids.shape[1],
      known = cache.length,
      all = cache.remember(ids),
      kind = this.#kind(known + time);
    if (known === 0 || cache.kind === kind) {
      cache.kind = kind;
      return this.#run(ids, cache, mask);
    }
    for (const layer of cache.layers) layer.truncate(0);
    cache.kind = kind;
    return contiguous(slice(this.#run(all, cache, mask), null, [known, null]));
  }

  #run(ids: Tensor, cache?: DecoderCache, mask?: Ids): Tensor {
    return this.#through(ids, this.#at(ids, cache?.layers, mask));
  }

  #rotations(of: (rotary: RotaryEmbedding) => Rotation): Map<RotaryOptions, Rotation> {
    return new Map([...this.#rotary].map(([kind, rotary]) => [kind, of(rotary)]));
  }

  /** Where `ids` stand that follow what a cache holds. */
  #at(ids: Tensor, cache?: readonly KVCache[], mask?: Ids): Positions {
    const [batch, time] = ids.shape, start = cache?.[0].length ?? 0, { family } = this.config;
    if (start + time > this.contextLength) {
      throw new ShapeError(
        `${family}: ${start + time} tokens are more than the ${this.contextLength} positions of this model`,
      );
    }
    const padding = mask === undefined ? null : paddingOf(mask, batch, time, start + time, this.#device);
    return {
      rotations: this.#rotations((rotary) => rotary.at(start, time, this.#device, padding?.positions)),
      attend: (layer) => (q, k, v, options) => {
        const { keys, values } = cache ? cache[layer].append(k, v) : { keys: k, values: v };
        return scaledDotProductAttention(q, keys, values, {
          ...options,
          isCausal: true,
          ...(padding ? { attnMask: padding.seen } : {}),
        });
      },
    };
  }

  /** All layers, one after the other: ids [batch, time] → what comes out of the last norm. */
  #through(ids: Tensor, { rotations, attend }: Positions): Tensor {
    const { embeddingScale, layers } = this.config;
    const tokens = toDType(this.parts.embedding.forward(ids), "f32");
    let x = embeddingScale === 1 ? tokens : mul(tokens, embeddingScale);
    this.parts.layers.forEach((layer, i) => {
      const { rotary } = layers[i];
      x = layer.forward(x, { rotation: rotary && rotations.get(rotary)!, attend: attend(i) });
    });
    return this.parts.norm.forward(x);
  }
}

const cacheOptions: OptionTable<{ dtype?: CacheDType }> = {
  dtype: kinds.oneOf("f32", "f16", "bf16", "q8"),
};
const aCache = kinds.kind("a cache of createCache()", (x) => x instanceof DecoderCache);
const hiddenOptions: OptionTable<{ cache?: DecoderCache }> = { cache: aCache };
const forwardOptions: OptionTable<{ cache?: DecoderCache; lastOnly?: boolean; attentionMask?: Ids }> = {
  cache: aCache,
  lastOnly: kinds.flag,
  attentionMask: kinds.kind("a tensor or lists of 0 and 1", (x) => typeof x === "object" && x !== null),
};
const attentionsOptions: OptionTable<{ layers?: readonly number[] }> = {
  layers: kinds.listOf(kinds.whole(0), "a list of numbers of layers, the first being 0"),
};
