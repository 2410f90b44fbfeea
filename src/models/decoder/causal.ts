/**
 * Token ids to logits, whatever the layers in between are: what all decoders with rotary positions share.
 *
 * @module
 */
import {
  type Attend,
  type Embedding,
  type Layer,
  type LayerOptions,
  type Recurrence,
  RotaryEmbedding,
  type RotaryOptions,
  type Rotation,
} from "../../nn/mod.ts";
import { contiguous, div, linear, mul, reshape, slice, tanh, type Tensor, toDType } from "../../ops/mod.ts";
import { autocastDType, tidy } from "../../tensor/mod.ts";
import { CausalModel, type StepForm } from "../causal.ts";
import { idsAsTensor } from "../ids.ts";
import type { SeenOptions } from "../network.ts";
import type { Place } from "../place.ts";
import { DecoderCache } from "./cache.ts";
import type { DecoderConfig } from "./config.ts";

/** What a layer is told of the positions at work. */
export interface LayerPlace {
  /** Their angles, where the layer is told any. */
  readonly rotation: Rotation | null;
  /** What its queries find; see {@link Attend}. */
  readonly attend: Attend;
  /** What a layer with states finds of the positions before. */
  recur(): Recurrence;
}

/** One layer: x [batch, time, width] → the same shape. */
export interface DecoderBlock {
  /** Attends to the positions at work and before. */
  forward(x: Tensor, place: LayerPlace): Tensor;
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
export abstract class CausalDecoder extends CausalModel<DecoderCache> {
  /** Sizes and choices. */
  override readonly config: DecoderConfig;
  readonly #rotary: ReadonlyMap<RotaryOptions, RotaryEmbedding>;

  /** The tables of angles are made when they are needed. */
  constructor(config: DecoderConfig) {
    super();
    this.config = config;
    const kinds = new Set(config.layers.map(({ rotary }) => rotary).filter((rotary) => rotary !== null));
    this.#rotary = new Map([...kinds].map((rotary) => [rotary, new RotaryEmbedding(rotary)]));
  }

  /** Its layers. */
  override get depth(): number {
    return this.config.layers.length;
  }

  /** Heads of queries in a layer. */
  override get heads(): number {
    return this.config.heads;
  }

  /** Tokens that it knows. */
  override get vocabSize(): number {
    return this.config.vocabSize;
  }

  /** Token embeddings, [vocab, width]. */
  override get embeddings(): Tensor {
    return this.parts.embedding.weight;
  }

  /** Its parts. */
  protected abstract get parts(): DecoderParts;

  /** The longest sequence. */
  override get contextLength(): number {
    return this.config.maxPositions;
  }

  protected override get title(): string {
    return this.config.family;
  }

  /** @internal */
  override reach(length: number): number {
    return Math.min(this.contextLength, ...this.#rotaries.map((rotary) => rotary.reach(length)));
  }

  protected override get isCounting(): boolean {
    return this.reach(1) < this.contextLength;
  }

  protected override attends(layer: number): boolean {
    return this.config.layers[layer].states === undefined;
  }

  protected override cacheOf(batch: number, capacity: number, options: LayerOptions): DecoderCache {
    return new DecoderCache(this.config, batch, capacity, options);
  }

  /** Gives all memory back. */
  override dispose(): void {
    for (const rotary of this.#rotaries) rotary.dispose();
    super.dispose();
  }

  /** Logits [.., vocab] for what comes out of the last norm, [.., width]. */
  override logits(hidden: Tensor): Tensor {
    const { logitScale, logitSoftcap } = this.config;
    return this.end(hidden, (hidden) =>
      tidy(() => {
        const { head, embedding } = this.parts;
        const logits = head?.forward(hidden) ?? linear(hidden, embedding.weight);
        return softcap(logitScale === 1 ? logits : mul(logits, logitScale), logitSoftcap);
      }));
  }

  /**
   * All layers, one after the other.
   * @internal
   */
  override through(ids: Tensor, place: Place, depth?: number): Tensor {
    const { embeddingScale, layers } = this.config;
    const rotations = new Map(
      [...this.#rotary].map(([kind, rotary]) => [kind, this.#rotation(rotary, place)]),
    );
    let x = this.begin(ids, () => {
      const tokens = toDType(this.parts.embedding.forward(ids), autocastDType());
      return embeddingScale === 1 ? tokens : mul(tokens, embeddingScale);
    });
    this.parts.layers.slice(0, depth).forEach((layer, i) => {
      const { rotary } = layers[i], rotation = rotary && rotations.get(rotary)!;
      x = this.layer(
        x,
        place,
        rotation ? [rotation.cos, rotation.sin] : [],
        (x, place, [cos, sin]) =>
          layer.forward(x, {
            rotation: rotation && { cos, sin },
            attend: place.attend(i),
            recur: () => place.recur(i),
          }),
      );
    });
    return this.end(x, (x) => this.parts.norm.forward(x));
  }

  /** Where angles change when a text grows, what was computed of it is computed again with those of its new length. */
  protected override hiddenOf(
    ids: Tensor,
    cache: DecoderCache | null,
    seen: SeenOptions | null = null,
  ): Tensor {
    if (!cache || !this.#isStretching) return super.hiddenOf(ids, cache, seen);
    const time = ids.shape[1],
      known = cache.length,
      all = cache.remember(ids),
      kind = this.#kind(known + time);
    if (known === 0 || cache.kind === kind) {
      cache.kind = kind;
      return super.hiddenOf(ids, cache, seen);
    }
    cache.forget();
    cache.kind = kind;
    return contiguous(slice(super.hiddenOf(all, cache, seen), null, [known, null]));
  }

  /** A step is compiled for angles that stay; where some change at a length, it is for texts below or above it. */
  protected override stepOf(
    caches: readonly DecoderCache[],
    rows: readonly (readonly number[])[] | Tensor,
  ): StepForm | null {
    const least = 1 + Math.min(...caches.map(({ length }) => length));
    const most = 1 + Math.max(...caches.map(({ length }) => length));
    const reach = this.reach(least);
    // Angles that change with every position are worked out for each.
    if (most > reach || (reach < this.contextLength && reach <= least)) return null;
    if (!this.#isStretching) return { kind: String(reach), reach };
    const kind = this.#kind(most),
      isGrowing = caches.some((cache) => cache.length > 0 && cache.kind !== kind);
    if (isGrowing) return null;
    const ids = idsAsTensor(this.title, this, rows);
    caches.forEach((cache, i) => {
      cache.kind = kind;
      cache.remember(cache.batch === 1 ? slice(ids, [i, i + 1]) : ids);
    });
    return { kind, reach };
  }

  get #rotaries(): RotaryEmbedding[] {
    return [...this.#rotary.values()];
  }

  /** Whether angles change when a text grows, so that what was computed of it is computed again. */
  get #isStretching(): boolean {
    return this.#rotaries.some(({ isStretching }) => isStretching);
  }

  /** What the angles of a text of `length` positions depend on. */
  #kind(length: number): string {
    return this.#rotaries.map((rotary) => rotary.kind(length)).join();
  }

  #rotation(rotary: RotaryEmbedding, place: Place): Rotation {
    const { start, time, reach } = place;
    if (start !== null) return rotary.at(start, time, this.device);
    const positions = place.positions();
    return rotary.at(reach - time, time, this.device, reshape(positions, [-1, time]));
  }
}
