/**
 * GPT-NeoX (Black et al. 2022; Biderman et al. 2023: Pythia), named like its checkpoints.
 *
 *     x = embed_in[ids]
 *     for each layer: x += attention(input_layernorm(x)) + mlp(post_attention_layernorm(x))    in parallel
 *     logits = final_layer_norm(x) · embed_outᵀ
 *
 * A quarter of each head is turned by its position; queries, keys and values lie side by side head by head.
 *
 * @module
 */
import { applyRotary, Embedding, LayerNorm, type LayerOptions, Linear, Module } from "../../nn/mod.ts";
import { add, reshape, slice, type Tensor, transpose } from "../../ops/mod.ts";
import { tidy } from "../../tensor/mod.ts";
import { CausalDecoder, type DecoderParts, type LayerPlace } from "../decoder/causal.ts";
import type { DecoderConfig } from "../decoder/config.ts";
import { activations } from "../activations.ts";
import { freshWeights } from "../decoder/model.ts";
import type { GPTNeoXConfig } from "./config.ts";

/** Attention whose heads have their query, key and value side by side. */
export class GPTNeoXAttention extends Module {
  /** [heads × (query, key, value)]. */
  query_key_value: Linear;
  /** The output. */
  dense: Linear;
  readonly #config: DecoderConfig;

  /** Sizes from the configuration. */
  constructor(config: DecoderConfig, options: LayerOptions) {
    super();
    const { hiddenSize, qkvBias: bias } = config;
    this.query_key_value = new Linear(hiddenSize, 3 * hiddenSize, { ...options, bias });
    this.dense = new Linear(hiddenSize, hiddenSize, { ...options, bias });
    this.#config = config;
  }

  /** x [batch, time, width] → the same shape. */
  forward(x: Tensor, { rotation, attend }: LayerPlace): Tensor {
    const { heads, headDim, attentionScale: scale, attentionDropout } = this.#config,
      [batch, time, width] = x.shape;
    return tidy(() => {
      const all = reshape(this.query_key_value.forward(x), [batch, time, heads, 3, headDim]);
      const part = (i: number): Tensor => transpose(slice(all, null, null, null, i), 1, 2); // [batch, heads, time, headDim]
      const turn = (t: Tensor): Tensor => rotation ? applyRotary(t, rotation) : t;
      const q = turn(part(0)), k = turn(part(1)), v = part(2);
      const mixed = attend(q, k, v, { scale, dropoutP: this.training ? attentionDropout : 0 });
      return this.dense.forward(reshape(transpose(mixed, 1, 2), [batch, time, width]));
    });
  }
}

/** The part of a layer that works on each position alone. */
export class GPTNeoXMLP extends Module {
  /** Width to inner width. */
  dense_h_to_4h: Linear;
  /** Back to width. */
  dense_4h_to_h: Linear;
  readonly #activation: (x: Tensor) => Tensor;

  /** Sizes from the configuration. */
  constructor(config: DecoderConfig, options: LayerOptions) {
    super();
    this.dense_h_to_4h = new Linear(config.hiddenSize, config.intermediateSize, options);
    this.dense_4h_to_h = new Linear(config.intermediateSize, config.hiddenSize, options);
    this.#activation = activations[config.activation];
  }

  /** The same shape as x. */
  forward(x: Tensor): Tensor {
    return tidy(() => this.dense_4h_to_h.forward(this.#activation(this.dense_h_to_4h.forward(x))));
  }
}

/** Attention and MLP, side by side or one after the other. */
export class GPTNeoXLayer extends Module {
  /** Before attention. */
  input_layernorm: LayerNorm;
  /** Before the MLP. */
  post_attention_layernorm: LayerNorm;
  /** Attention. */
  attention: GPTNeoXAttention;
  /** The MLP. */
  mlp: GPTNeoXMLP;
  readonly #isParallel: boolean;

  /** Sizes from the configuration. */
  constructor(config: GPTNeoXConfig, options: LayerOptions) {
    super();
    const norm = { ...options, dtype: "f32", eps: config.normEps } as const;
    this.input_layernorm = new LayerNorm(config.hiddenSize, norm);
    this.post_attention_layernorm = new LayerNorm(config.hiddenSize, norm);
    this.attention = new GPTNeoXAttention(config, options);
    this.mlp = new GPTNeoXMLP(config, options);
    this.#isParallel = config.parallelResidual;
  }

  /** x [batch, time, width] → the same shape. */
  forward(x: Tensor, place: LayerPlace): Tensor {
    return tidy(() => {
      const y = add(x, this.attention.forward(this.input_layernorm.forward(x), place));
      return add(y, this.mlp.forward(this.post_attention_layernorm.forward(this.#isParallel ? x : y)));
    });
  }
}

/** Embeddings, layers and the last norm: `gpt_neox.` in checkpoints. */
export class GPTNeoXBody extends Module {
  /** [vocab, width]. */
  embed_in: Embedding;
  /** The layers. */
  layers: GPTNeoXLayer[];
  /** The last norm. */
  final_layer_norm: LayerNorm;

  /** Sizes from the configuration. */
  constructor(config: GPTNeoXConfig, options: LayerOptions) {
    super();
    this.embed_in = new Embedding(config.vocabSize, config.hiddenSize, options);
    this.layers = config.layers.map(() => new GPTNeoXLayer(config, options));
    this.final_layer_norm = new LayerNorm(config.hiddenSize, {
      ...options,
      dtype: "f32",
      eps: config.normEps,
    });
  }
}

/** The network: token ids to logits. */
export class GPTNeoXModel extends CausalDecoder {
  /** All but the output layer. */
  gpt_neox: GPTNeoXBody;
  /** The output layer, when it is not tied to the embeddings. */
  embed_out: Linear | null;

  /** A model with fresh weights: normal with deviation `initializerRange`, biases 0, norms as they begin. */
  constructor(config: GPTNeoXConfig, options: LayerOptions = {}) {
    super(config);
    this.gpt_neox = new GPTNeoXBody(config, options);
    const { hiddenSize, vocabSize, tied } = config;
    this.embed_out = tied ? null : new Linear(hiddenSize, vocabSize, { ...options, bias: false });
    freshWeights(this, config);
  }

  protected override get parts(): DecoderParts {
    const { embed_in: embedding, layers, final_layer_norm: norm } = this.gpt_neox;
    return { embedding, layers, norm, head: this.embed_out };
  }
}
