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
import { applyRotary, Embedding, init, type LayerOptions, Linear, Module, RMSNorm } from "../../nn/mod.ts";
import { add, mul, reshape, slice, type Tensor, transpose } from "../../ops/mod.ts";
import { tidy } from "../../tensor/mod.ts";
import { activations } from "../activations.ts";
import { CausalDecoder, type DecoderParts, type LayerPlace } from "./causal.ts";
import type { DecoderConfig, DecoderLayerConfig } from "./config.ts";
import { DecoderExperts } from "./experts.ts";

function norm(config: DecoderConfig, width: number, options: LayerOptions): RMSNorm {
  const { normEps: eps, normUnitOffset: unitOffset } = config;
  return new RMSNorm(width, { ...options, dtype: "f32", eps, unitOffset });
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
  forward(x: Tensor, { rotation, attend }: LayerPlace): Tensor {
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
      const mixed = attend(q, k, v, {
        scale,
        dropoutP: this.training ? attentionDropout : 0,
        ...(attentionSoftcap === null ? {} : { softcap: attentionSoftcap }),
        ...(this.#window === null ? {} : { window: this.#window }),
      });
      return this.o_proj.forward(reshape(transpose(mixed, 1, 2), [batch, time, queries]));
    });
  }
}

/** What stands behind attention: x [batch, time, width] → the same shape. */
export interface GatedMLP extends Module {
  /** The same shape as x. */
  forward(x: Tensor): Tensor;
}

/** The MLP of a layer, or its experts. */
export function mlpOf(
  config: DecoderConfig,
  { sparse }: DecoderLayerConfig,
  options: LayerOptions,
): GatedMLP {
  const plain = (inner: number): DecoderMLP =>
    new DecoderMLP({ ...config, intermediateSize: inner, mlpBias: false, fused: false }, options);
  return sparse && config.experts
    ? new DecoderExperts(config, plain, options)
    : new DecoderMLP(config, options);
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
  /** The MLP, or experts. */
  mlp: GatedMLP;
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
    this.mlp = mlpOf(config, layer, options);
    if (placement !== "pre") this.post_feedforward_layernorm = make();
    this.#isPre = placement === "pre";
    this.#residualScale = config.residualScale;
  }

  /** x [batch, time, width] → the same shape. */
  forward(x: Tensor, place: LayerPlace): Tensor {
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

/** A network whose checkpoints call the output layer `lm_head`, and all the rest `model`. */
export abstract class HeadedDecoder<Body extends Module> extends CausalDecoder {
  /** All but the output layer. */
  model: Body;
  /** The output layer, when it is not tied to the embeddings. */
  lm_head: Linear | null;

  /** `model` with an output layer; weights are drawn anew. */
  constructor(config: DecoderConfig, model: Body, options: LayerOptions) {
    super(config);
    this.model = model;
    const { hiddenSize, vocabSize, tied } = config;
    this.lm_head = tied ? null : new Linear(hiddenSize, vocabSize, { ...options, bias: false });
    freshWeights(this, config);
  }
}

/** The network: token ids to logits. */
export class DecoderModel extends HeadedDecoder<DecoderBody> {
  /** A model with fresh weights: normal with deviation `initializerRange`, biases 0, norms as they begin. */
  constructor(config: DecoderConfig, options: LayerOptions = {}) {
    super(config, new DecoderBody(config, options), options);
  }

  protected override get parts(): DecoderParts {
    const { embed_tokens: embedding, layers, norm } = this.model;
    return { embedding, layers, norm, head: this.lm_head };
  }
}

/** Matrices normal with deviation `initializerRange`, biases 0. */
export function freshWeights(model: Module, { initializerRange }: DecoderConfig): void {
  for (const [name, p] of model.namedParameters()) {
    if (name.endsWith("bias")) init.constant(p, 0);
    else if (p.shape.length >= 2) init.normal(p, 0, initializerRange);
  }
}
