/**
 * Token ids to logits, whatever the layers in between are: what all decoders with rotary positions share.
 *
 * @module
 */
import { DTypeError, ShapeError } from "../../core/errors.ts";
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
import {
  contiguous,
  crossEntropy,
  div,
  linear,
  mul,
  reshape,
  slice,
  tanh,
  type Tensor,
  tensor,
  toDType,
} from "../../ops/mod.ts";
import { tidy } from "../../tensor/mod.ts";
import type { CacheDType } from "../gpt2/cache.ts";
import type { Ids } from "../gpt2/model.ts";
import { paddingOf } from "../gpt2/padding.ts";
import { DecoderCache } from "./cache.ts";
import type { DecoderConfig } from "./config.ts";

/** What a layer is told of the positions at work. */
export interface Place {
  /** Their angles, where the layer is told any. */
  readonly rotation: Rotation | null;
  /** Keys and values of the positions before them. */
  readonly cache: KVCache | undefined;
  /** Which positions may be seen, where texts are padded. */
  readonly mask: Tensor | undefined;
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
  /** The output layer, [vocab, width]. */
  readonly head: Tensor;
}

/** Values within ± `cap`, by a tanh. */
function softcap(x: Tensor, cap: number | null): Tensor {
  return cap === null ? x : mul(tanh(div(x, cap)), cap);
}

/** A decoder: token ids to logits. */
export abstract class CausalDecoder extends Module {
  /** Sizes and choices. */
  readonly config: DecoderConfig;
  readonly #rotary: ReadonlyMap<RotaryOptions, RotaryEmbedding>;

  /** The tables of angles are made when they are needed. */
  constructor(config: DecoderConfig) {
    super();
    this.config = config;
    const kinds = new Set(config.layers.map(({ rotary }) => rotary).filter((rotary) => rotary !== null));
    this.#rotary = new Map([...kinds].map((rotary) => [rotary, new RotaryEmbedding(rotary)]));
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

  /** An empty key-value cache on the model's device, for `capacity` positions of `batch` texts. */
  createCache(
    batch = 1,
    capacity: number = this.contextLength,
    options: { dtype?: CacheDType } = {},
  ): DecoderCache {
    const { dtype = "f32" } = options;
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
    return tidy(() => {
      const x = this.#hidden(this.#asTensor(ids), options.cache, options.attentionMask);
      return this.logits(options.lastOnly ? contiguous(slice(x, null, [-1, null])) : x);
    });
  }

  /** What comes out of the last norm: [batch, time, width]. With a cache, of ids that follow what it holds. */
  hidden(ids: Ids, options: { cache?: DecoderCache } = {}): Tensor {
    return tidy(() => this.#hidden(this.#asTensor(ids), options.cache));
  }

  /** Logits [.., vocab] for what comes out of the last norm, [.., width]. */
  logits(hidden: Tensor): Tensor {
    const { logitScale, logitSoftcap } = this.config;
    return tidy(() => {
      const logits = linear(hidden, this.parts.head);
      return softcap(logitScale === 1 ? logits : mul(logits, logitScale), logitSoftcap);
    });
  }

  /**
   * The mean cross-entropy, in nats. `targets` has the shape of ids; without it each position's target is the id that
   * follows. A target of −100 does not count.
   */
  loss(ids: Ids, targets?: Ids): Tensor {
    return tidy(() => {
      let x = this.#asTensor(ids), y: Tensor;
      if (targets === undefined) {
        if (x.shape[1] < 2) {
          throw new ShapeError(`loss: needs at least 2 tokens, not ${formatShape(x.shape)}`);
        }
        y = slice(x, null, [1, null]);
        x = slice(x, null, [0, -1]);
      } else y = this.#asTensor(targets, -100);
      return crossEntropy(
        reshape(this.logits(this.#hidden(x)), [-1, this.config.vocabSize]),
        reshape(y, [-1]),
      );
    });
  }

  get #device() {
    return this.parts.embedding.weight.device;
  }

  /** What the angles of a text of `length` positions depend on. */
  #kind(length: number): string {
    return [...this.#rotary.values()].map((rotary) => rotary.kind(length)).join();
  }

  #hidden(ids: Tensor, cache?: DecoderCache, mask?: Ids): Tensor {
    if (!cache || !this.config.layers.some(({ rotary }) => rotary?.scaling?.ropeType === "longrope")) {
      return this.#run(ids, cache, mask);
    }
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
    const [batch, time] = ids.shape,
      start = cache?.length ?? 0,
      { maxPositions, embeddingScale, layers } = this.config;
    if (start + time > maxPositions) {
      throw new ShapeError(
        `${this.config.family}: ${
          start + time
        } tokens are more than the ${maxPositions} positions of this model`,
      );
    }
    const padding = mask === undefined ? null : paddingOf(mask, batch, time, start + time, this.#device);
    const rotations = new Map(
      [...this.#rotary].map((
        [kind, rotary],
      ) => [kind, rotary.at(start, time, this.#device, padding?.positions)]),
    );
    const tokens = toDType(this.parts.embedding.forward(ids), "f32");
    let x = embeddingScale === 1 ? tokens : mul(tokens, embeddingScale);
    this.parts.layers.forEach((layer, i) => {
      const { rotary } = layers[i];
      x = layer.forward(x, {
        rotation: rotary && rotations.get(rotary)!,
        cache: cache?.layers[i],
        mask: padding?.seen,
      });
    });
    return this.parts.norm.forward(x);
  }

  #asTensor(ids: Ids, least = 0): Tensor {
    const { vocabSize, family } = this.config;
    let t: Tensor;
    if (ids instanceof Int32Array || Array.isArray(ids)) {
      for (const id of (ids as readonly (number | readonly number[])[]).flat() as number[]) {
        if (!Number.isInteger(id) || id < least || id >= vocabSize) {
          throw new ShapeError(`${family}: token id ${id} is outside the vocabulary of ${vocabSize}`);
        }
      }
      t = ids instanceof Int32Array
        ? tensor(ids, { device: this.#device })
        : tensor(ids as number[], { dtype: "i32", device: this.#device });
    } else {
      t = ids as Tensor;
      if (t.dtype !== "i32" && t.dtype !== "i64") {
        throw new DTypeError(`${family}: token ids are i32 or i64, not ${t.dtype}`);
      }
    }
    if (t.shape.length === 1) t = reshape(t, [1, t.shape[0]]);
    if (t.shape.length !== 2 || t.size === 0) {
      throw new ShapeError(
        `${family}: ids are [batch, time] with at least one token, not ${formatShape(t.shape)}`,
      );
    }
    return t;
  }
}
