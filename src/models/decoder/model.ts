/**
 * The decoder that the LLaMA family and its cousins share, reading like the papers and named like the checkpoints.
 *
 *     x = embed_tokens[ids]
 *     for each layer: x += self_attn(norm(x)); x += mlp(norm(x))
 *     logits = norm(x) · lm_headᵀ
 *
 * Touvron et al. 2023 (LLaMA): RMS norms before each branch, rotary positions, a gated MLP. What families do otherwise
 * (grouped heads, windows, norms elsewhere, soft caps, scales) is in {@link DecoderConfig}, field by field.
 *
 * @module
 */
import { DTypeError, ShapeError } from "../../core/errors.ts";
import { formatShape } from "../../core/shape.ts";
import {
  applyRotary,
  Embedding,
  init,
  type KVCache,
  type LayerOptions,
  Linear,
  Module,
  RMSNorm,
  RotaryEmbedding,
  type RotaryOptions,
  type Rotation,
} from "../../nn/mod.ts";
import {
  add,
  contiguous,
  crossEntropy,
  div,
  gelu,
  linear,
  mul,
  relu,
  reshape,
  scaledDotProductAttention,
  silu,
  slice,
  square,
  tanh,
  type Tensor,
  tensor,
  toDType,
  transpose,
} from "../../ops/mod.ts";
import { tidy } from "../../tensor/mod.ts";
import type { CacheDType } from "../gpt2/cache.ts";
import type { Ids } from "../gpt2/model.ts";
import { paddingOf } from "../gpt2/padding.ts";
import { DecoderCache } from "./cache.ts";
import type { DecoderActivation, DecoderConfig, DecoderLayerConfig } from "./config.ts";

const activations: Readonly<Record<DecoderActivation, (x: Tensor) => Tensor>> = {
  silu,
  gelu: (x) => gelu(x),
  geluTanh: (x) => gelu(x, "tanh"),
  relu,
  reluSquared: (x) => square(relu(x)),
};

/** What a layer is told of the positions at work. */
interface Place {
  readonly rotation: Rotation | null;
  readonly cache: KVCache | undefined;
  /** Which positions may be seen, where texts are padded. */
  readonly mask: Tensor | undefined;
}

function norm(config: DecoderConfig, width: number, options: LayerOptions): RMSNorm {
  const { normEps: eps, normUnitOffset: unitOffset } = config;
  return new RMSNorm(width, { ...options, dtype: "f32", eps, unitOffset });
}

/** Values within ± `cap`, by a tanh. */
function softcap(x: Tensor, cap: number | null): Tensor {
  return cap === null ? x : mul(tanh(div(x, cap)), cap);
}

/** Attention of grouped heads with rotary positions. */
export class DecoderAttention extends Module {
  /** Queries, where they are a matrix of their own. */
  q_proj: Linear | null = null;
  /** Keys. */
  k_proj: Linear | null = null;
  /** Values. */
  v_proj: Linear | null = null;
  /** All three in one. */
  qkv_proj: Linear | null = null;
  /** The output. */
  o_proj: Linear;
  /** Norm of queries. */
  q_norm: RMSNorm | null = null;
  /** Norm of keys. */
  k_norm: RMSNorm | null = null;
  readonly #config: DecoderConfig;
  readonly #window: number | null;

  /** Sizes from the configuration. */
  constructor(config: DecoderConfig, { window }: DecoderLayerConfig, options: LayerOptions) {
    super();
    const { hiddenSize, heads, kvHeads, headDim, qkNorm, fused, qkvBias: bias, outputBias } = config;
    const queries = heads * headDim, keys = kvHeads * headDim;
    if (fused) this.qkv_proj = new Linear(hiddenSize, queries + 2 * keys, { ...options, bias });
    else {
      this.q_proj = new Linear(hiddenSize, queries, { ...options, bias });
      this.k_proj = new Linear(hiddenSize, keys, { ...options, bias });
      this.v_proj = new Linear(hiddenSize, keys, { ...options, bias });
    }
    this.o_proj = new Linear(queries, hiddenSize, { ...options, bias: outputBias });
    if (qkNorm !== null) {
      this.q_norm = norm(config, qkNorm === "head" ? headDim : queries, options);
      this.k_norm = norm(config, qkNorm === "head" ? headDim : keys, options);
    }
    this.#config = config;
    this.#window = window;
  }

  /** x [batch, time, width] → the same shape. */
  forward(x: Tensor, { rotation, cache, mask }: Place): Tensor {
    const { heads, kvHeads, headDim, attentionScale: scale, attentionSoftcap, attentionDropout } =
      this.#config;
    const [batch, time] = x.shape, queries = heads * headDim, keys = kvHeads * headDim;
    return tidy(() => {
      const all = this.qkv_proj?.forward(x);
      const part = (layer: Linear | null, from: number, to: number): Tensor =>
        all ? slice(all, null, null, [from, to]) : layer!.forward(x);
      /** [batch, heads, time, headDim], normalised where the family does so. */
      const split = (t: Tensor, count: number, by: RMSNorm | null): Tensor => {
        const whole = by && this.#config.qkNorm === "width" ? by.forward(t) : t;
        const each = reshape(whole, [batch, time, count, headDim]);
        return transpose(by && this.#config.qkNorm === "head" ? by.forward(each) : each, 1, 2);
      };
      const turn = (t: Tensor): Tensor => rotation ? applyRotary(t, rotation) : t;
      const q = turn(split(part(this.q_proj, 0, queries), heads, this.q_norm));
      const k = turn(split(part(this.k_proj, queries, queries + keys), kvHeads, this.k_norm));
      const v = split(part(this.v_proj, queries + keys, queries + 2 * keys), kvHeads, null);
      const seen = cache ? cache.append(k, v) : { keys: k, values: v };
      const mixed = scaledDotProductAttention(q, seen.keys, seen.values, {
        isCausal: true,
        scale,
        dropoutP: this.training ? attentionDropout : 0,
        ...(mask ? { attnMask: mask } : {}),
        ...(attentionSoftcap === null ? {} : { softcap: attentionSoftcap }),
        ...(this.#window === null ? {} : { window: this.#window }),
      });
      return this.o_proj.forward(reshape(transpose(mixed, 1, 2), [batch, time, queries]));
    });
  }
}

/** down(activation(gate(x)) · up(x)) (Shazeer 2020). */
export class DecoderMLP extends Module {
  /** What is bent. */
  gate_proj: Linear | null = null;
  /** What it is multiplied with. */
  up_proj: Linear | null = null;
  /** Both in one. */
  gate_up_proj: Linear | null = null;
  /** Back to the width. */
  down_proj: Linear;
  readonly #activation: (x: Tensor) => Tensor;
  readonly #inner: number;

  /** Sizes from the configuration. */
  constructor(config: DecoderConfig, options: LayerOptions) {
    super();
    const { hiddenSize, intermediateSize: inner, mlpBias: bias, fused } = config;
    if (fused) this.gate_up_proj = new Linear(hiddenSize, 2 * inner, { ...options, bias });
    else {
      this.gate_proj = new Linear(hiddenSize, inner, { ...options, bias });
      this.up_proj = new Linear(hiddenSize, inner, { ...options, bias });
    }
    this.down_proj = new Linear(inner, hiddenSize, { ...options, bias });
    this.#activation = activations[config.activation];
    this.#inner = inner;
  }

  /** The same shape as x. */
  forward(x: Tensor): Tensor {
    return tidy(() => {
      const both = this.gate_up_proj?.forward(x),
        last = (from: number): Tensor => slice(both!, null, null, [from, from + this.#inner]);
      const gate = both ? last(0) : this.gate_proj!.forward(x);
      const up = both ? last(this.#inner) : this.up_proj!.forward(x);
      return this.down_proj.forward(mul(this.#activation(gate), up));
    });
  }
}

/** Attention and MLP, each a branch that is added to what came in. */
export class DecoderLayer extends Module {
  /** Before attention. */
  input_layernorm: RMSNorm | null = null;
  /** Attention. */
  self_attn: DecoderAttention;
  /** Before the MLP; behind attention where norms stand behind. */
  post_attention_layernorm: RMSNorm;
  /** Before the MLP, where norms stand on both sides. */
  pre_feedforward_layernorm: RMSNorm | null = null;
  /** The MLP. */
  mlp: DecoderMLP;
  /** Behind the MLP. */
  post_feedforward_layernorm: RMSNorm | null = null;
  readonly #residualScale: number;
  readonly #isPre: boolean;

  /** Sizes from the configuration. */
  constructor(config: DecoderConfig, layer: DecoderLayerConfig, options: LayerOptions) {
    super();
    const { normPlacement: placement, hiddenSize } = config,
      make = (): RMSNorm => norm(config, hiddenSize, options);
    if (placement !== "post") this.input_layernorm = make();
    this.self_attn = new DecoderAttention(config, layer, options);
    this.post_attention_layernorm = make();
    if (placement === "both") this.pre_feedforward_layernorm = make();
    this.mlp = new DecoderMLP(config, options);
    if (placement !== "pre") this.post_feedforward_layernorm = make();
    this.#isPre = placement === "pre";
    this.#residualScale = config.residualScale;
  }

  /** x [batch, time, width] → the same shape. */
  forward(x: Tensor, place: Place): Tensor {
    const scaled = (branch: Tensor): Tensor =>
      this.#residualScale === 1 ? branch : mul(branch, this.#residualScale);
    return tidy(() => {
      const mixed = this.self_attn.forward(this.input_layernorm?.forward(x) ?? x, place);
      const y = add(x, scaled(this.#isPre ? mixed : this.post_attention_layernorm.forward(mixed)));
      const before = this.#isPre ? this.post_attention_layernorm : this.pre_feedforward_layernorm;
      const inner = this.mlp.forward(before?.forward(y) ?? y);
      return add(y, scaled(this.post_feedforward_layernorm?.forward(inner) ?? inner));
    });
  }
}

/** Embeddings, layers and the last norm: `model.` in checkpoints. */
export class DecoderBody extends Module {
  /** [vocab, width]. */
  embed_tokens: Embedding;
  /** The layers. */
  layers: DecoderLayer[];
  /** The last norm. */
  norm: RMSNorm;

  /** Sizes from the configuration. */
  constructor(config: DecoderConfig, options: LayerOptions) {
    super();
    this.embed_tokens = new Embedding(config.vocabSize, config.hiddenSize, options);
    this.layers = config.layers.map((layer) => new DecoderLayer(config, layer, options));
    this.norm = norm(config, config.hiddenSize, options);
  }
}

/** The network: token ids to logits. */
export class DecoderModel extends Module {
  /** Sizes and choices. */
  readonly config: DecoderConfig;
  /** All but the output layer. */
  model: DecoderBody;
  /** The output layer, when it is not tied to the embeddings. */
  lm_head: Linear | null;
  readonly #rotary: ReadonlyMap<RotaryOptions, RotaryEmbedding>;

  /** A model with fresh weights: normal with deviation `initializerRange`, biases 0, norms as they begin. */
  constructor(config: DecoderConfig, options: LayerOptions = {}) {
    super();
    this.config = config;
    this.model = new DecoderBody(config, options);
    const { hiddenSize, vocabSize, tied, initializerRange } = config;
    this.lm_head = tied ? null : new Linear(hiddenSize, vocabSize, { ...options, bias: false });
    for (const [name, p] of this.namedParameters()) {
      if (name.endsWith("bias")) init.constant(p, 0);
      else if (p.shape.length >= 2) init.normal(p, 0, initializerRange);
    }
    const kinds = new Set(config.layers.map(({ rotary }) => rotary).filter((rotary) => rotary !== null));
    this.#rotary = new Map([...kinds].map((rotary) => [rotary, new RotaryEmbedding(rotary)]));
  }

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
      const logits = linear(hidden, (this.lm_head ?? this.model.embed_tokens).weight);
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
    return this.model.embed_tokens.weight.device;
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
    const tokens = toDType(this.model.embed_tokens.forward(ids), "f32");
    let x = embeddingScale === 1 ? tokens : mul(tokens, embeddingScale);
    this.model.layers.forEach((layer, i) => {
      const { rotary } = layers[i];
      x = layer.forward(x, {
        rotation: rotary && rotations.get(rotary)!,
        cache: cache?.layers[i],
        mask: padding?.seen,
      });
    });
    return this.model.norm.forward(x);
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
