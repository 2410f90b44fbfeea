/**
 * LFM2 (Liquid AI 2025), named like its checkpoints.
 *
 *     x = embed_tokens[ids]
 *     for each layer: x += conv(operator_norm(x)) or self_attn(operator_norm(x)); x += feed_forward(ffn_norm(x))
 *     logits = embedding_norm(x) · embed_tokensᵀ
 *
 * Most layers are gated short convolutions: what a position says is a product of two projections of it and of those just before,
 * out_proj(C · conv(B · x)). The others attend, with grouped heads, rotary positions and norms of queries and keys.
 *
 * @module
 */
import { causalConv } from "../../nn/causal_conv.ts";
import {
  applyRotary,
  Embedding,
  type LayerOptions,
  Linear,
  Module,
  parameter,
  RMSNorm,
} from "../../nn/mod.ts";
import { add, mul, reshape, silu, slice, type Tensor, transpose, zeros } from "../../ops/mod.ts";
import { tidy } from "../../tensor/mod.ts";
import type { DecoderBlock, DecoderParts, LayerPlace } from "../decoder/causal.ts";
import { HeadedDecoder } from "../decoder/model.ts";
import type { Lfm2Config } from "./config.ts";

const norm = (width: number, { normEps: eps }: Lfm2Config, options: LayerOptions): RMSNorm =>
  new RMSNorm(width, { ...options, dtype: "f32", eps });

/** The taps of a depthwise convolution. */
export class Taps extends Module {
  /** [channels, 1, kernel], f32. */
  weight: Tensor;
  /** [channels], or null. */
  bias: Tensor | null;

  /** All 0. */
  constructor(channels: number, kernel: number, bias: boolean, options: LayerOptions) {
    super();
    const place = { ...options, dtype: "f32" } as const;
    this.weight = parameter(zeros([channels, 1, kernel], place));
    this.bias = bias ? parameter(zeros([channels], place)) : null;
  }
}

/** A gated short convolution. */
export class Lfm2ShortConv extends Module {
  /** B, C and x side by side. */
  in_proj: Linear;
  /** Along time. */
  conv: Taps;
  /** The output. */
  out_proj: Linear;

  /** Sizes from the configuration. */
  constructor({ hiddenSize: width, kernel, convBias: bias }: Lfm2Config, options: LayerOptions) {
    super();
    this.in_proj = new Linear(width, 3 * width, { ...options, bias });
    this.conv = new Taps(width, kernel, bias, options);
    this.out_proj = new Linear(width, width, { ...options, bias });
  }

  /** x [batch, time, width] → the same shape. */
  forward(x: Tensor, { recur }: LayerPlace): Tensor {
    const width = x.shape[2];
    return tidy(() => {
      const all = this.in_proj.forward(x), recurrence = recur();
      const part = (i: number): Tensor => slice(all, null, null, [i * width, (i + 1) * width]);
      const { weight, bias } = this.conv;
      const { y, tail } = causalConv(
        mul(part(0), part(2)),
        weight,
        bias,
        recurrence.before?.[0] ?? null,
        recurrence,
      );
      const out = this.out_proj.forward(mul(part(1), y));
      if (tail) recurrence.leave([tail]);
      return out;
    });
  }
}

/** Attention of grouped heads with rotary positions. */
export class Lfm2Attention extends Module {
  /** Queries. */
  q_proj: Linear;
  /** Keys. */
  k_proj: Linear;
  /** Values. */
  v_proj: Linear;
  /** The output. */
  out_proj: Linear;
  /** Norm of queries, head by head. */
  q_layernorm: RMSNorm;
  /** Norm of keys. */
  k_layernorm: RMSNorm;
  readonly #config: Lfm2Config;

  /** Sizes from the configuration. */
  constructor(config: Lfm2Config, options: LayerOptions) {
    super();
    const { hiddenSize, heads, kvHeads, headDim } = config, plain = { ...options, bias: false };
    this.q_proj = new Linear(hiddenSize, heads * headDim, plain);
    this.k_proj = new Linear(hiddenSize, kvHeads * headDim, plain);
    this.v_proj = new Linear(hiddenSize, kvHeads * headDim, plain);
    this.out_proj = new Linear(heads * headDim, hiddenSize, plain);
    this.q_layernorm = norm(headDim, config, options);
    this.k_layernorm = norm(headDim, config, options);
    this.#config = config;
  }

  /** x [batch, time, width] → the same shape. */
  forward(x: Tensor, { rotation, attend }: LayerPlace): Tensor {
    const { heads, kvHeads, headDim, attentionScale: scale } = this.#config, [batch, time] = x.shape;
    return tidy(() => {
      const split = (t: Tensor, count: number): Tensor => reshape(t, [batch, time, count, headDim]);
      const turn = (t: Tensor): Tensor => applyRotary(transpose(t, 1, 2), rotation!);
      const q = turn(this.q_layernorm.forward(split(this.q_proj.forward(x), heads)));
      const k = turn(this.k_layernorm.forward(split(this.k_proj.forward(x), kvHeads)));
      const v = transpose(split(this.v_proj.forward(x), kvHeads), 1, 2);
      const mixed = attend(q, k, v, { scale });
      return this.out_proj.forward(reshape(transpose(mixed, 1, 2), [batch, time, heads * headDim]));
    });
  }
}

/** w2(silu(w1(x)) · w3(x)). */
export class Lfm2MLP extends Module {
  /** What is bent. */
  w1: Linear;
  /** Back to the width. */
  w2: Linear;
  /** What it is multiplied with. */
  w3: Linear;

  /** Sizes from the configuration. */
  constructor({ hiddenSize, intermediateSize }: Lfm2Config, options: LayerOptions) {
    super();
    const plain = { ...options, bias: false };
    this.w1 = new Linear(hiddenSize, intermediateSize, plain);
    this.w2 = new Linear(intermediateSize, hiddenSize, plain);
    this.w3 = new Linear(hiddenSize, intermediateSize, plain);
  }

  /** The same shape as x. */
  forward(x: Tensor): Tensor {
    return tidy(() => this.w2.forward(mul(silu(this.w1.forward(x)), this.w3.forward(x))));
  }
}

/** A convolution or attention, and an MLP, each a branch that is added to what came in. */
export class Lfm2Layer extends Module implements DecoderBlock {
  /** Before the first branch. */
  operator_norm: RMSNorm;
  /** Before the MLP. */
  ffn_norm: RMSNorm;
  /** Where the layer attends. */
  self_attn: Lfm2Attention | null = null;
  /** Where it does not. */
  conv: Lfm2ShortConv | null = null;
  /** The MLP. */
  feed_forward: Lfm2MLP;

  /** Sizes from the configuration. */
  constructor(config: Lfm2Config, attends: boolean, options: LayerOptions) {
    super();
    this.operator_norm = norm(config.hiddenSize, config, options);
    this.ffn_norm = norm(config.hiddenSize, config, options);
    if (attends) this.self_attn = new Lfm2Attention(config, options);
    else this.conv = new Lfm2ShortConv(config, options);
    this.feed_forward = new Lfm2MLP(config, options);
  }

  /** x [batch, time, width] → the same shape. */
  forward(x: Tensor, place: LayerPlace): Tensor {
    return tidy(() => {
      const y = add(x, (this.self_attn ?? this.conv!).forward(this.operator_norm.forward(x), place));
      return add(y, this.feed_forward.forward(this.ffn_norm.forward(y)));
    });
  }
}

/** Embeddings, layers and the last norm: `model.` in checkpoints. */
export class Lfm2Body extends Module {
  /** [vocab, width]. */
  embed_tokens: Embedding;
  /** The layers. */
  layers: Lfm2Layer[];
  /** The last norm. */
  embedding_norm: RMSNorm;

  /** Sizes from the configuration. */
  constructor(config: Lfm2Config, options: LayerOptions) {
    super();
    this.embed_tokens = new Embedding(config.vocabSize, config.hiddenSize, options);
    this.layers = config.layers.map(({ states }) => new Lfm2Layer(config, !states, options));
    this.embedding_norm = norm(config.hiddenSize, config, options);
  }
}

/** The network: token ids to logits. */
export class Lfm2Model extends HeadedDecoder<Lfm2Body> {
  /** A model with fresh weights: normal with deviation `initializerRange`, biases 0, norms as they begin. */
  constructor(config: Lfm2Config, options: LayerOptions = {}) {
    super(config, new Lfm2Body(config, options), options);
  }

  protected override get parts(): DecoderParts {
    const { embed_tokens: embedding, layers, embedding_norm: norm } = this.model;
    return { embedding, layers, norm, head: this.lm_head };
  }
}
