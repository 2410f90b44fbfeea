/**
 * Qwen3-Next and Qwen 3.5, text (Qwen Team 2025, 2026), named like their checkpoints.
 *
 *     x = embed_tokens[ids]
 *     for each layer: x += linear_attn(norm(x)) or self_attn(norm(x)); x += mlp(norm(x))
 *     logits = norm(x) · lm_headᵀ
 *
 * Three layers of four are gated delta networks (Yang et al. 2024): queries, keys and values of a short convolution read and write
 * a matrix ({@link gatedDeltaRule}); the fourth attends, each head's result through a gate. Norms are 1 + w, but for that of the delta
 * network, which is w.
 *
 * @module
 */
import { causalConv, seesBack } from "../../nn/causal_conv.ts";
import { gatedDeltaRule } from "../../nn/delta_rule.ts";
import {
  applyRotary,
  Embedding,
  type LayerOptions,
  Linear,
  Module,
  parameter,
  RMSNorm,
} from "../../nn/mod.ts";
import {
  add,
  concat,
  div,
  exp,
  expand,
  mul,
  neg,
  reshape,
  sigmoid,
  silu,
  slice,
  softplus,
  sqrt,
  sum,
  type Tensor,
  tensor,
  toDType,
  transpose,
  unsqueeze,
  where,
  zeros,
} from "../../ops/mod.ts";
import { tidy } from "../../tensor/mod.ts";
import type { DecoderBlock, DecoderParts, LayerPlace } from "../decoder/causal.ts";
import type { DecoderLayerConfig } from "../decoder/config.ts";
import { type GatedMLP, HeadedDecoder, mlpOf } from "../decoder/model.ts";
import { Taps } from "../lfm2/model.ts";
import type { Qwen3NextConfig } from "./config.ts";

const norm = (
  width: number,
  { normEps: eps }: Qwen3NextConfig,
  options: LayerOptions,
  unitOffset = true,
): RMSNorm => new RMSNorm(width, { ...options, dtype: "f32", eps, unitOffset });

/** Attention of grouped heads, each head's result through a gate that stands beside its query. */
export class Qwen3NextAttention extends Module {
  /** Query and gate, head by head. */
  q_proj: Linear;
  /** Keys. */
  k_proj: Linear;
  /** Values. */
  v_proj: Linear;
  /** The output. */
  o_proj: Linear;
  /** Norm of queries. */
  q_norm: RMSNorm;
  /** Norm of keys. */
  k_norm: RMSNorm;
  readonly #config: Qwen3NextConfig;

  /** Sizes from the configuration. */
  constructor(config: Qwen3NextConfig, options: LayerOptions) {
    super();
    const { hiddenSize, heads, kvHeads, headDim, qkvBias: bias, outputBias } = config;
    this.q_proj = new Linear(hiddenSize, 2 * heads * headDim, { ...options, bias });
    this.k_proj = new Linear(hiddenSize, kvHeads * headDim, { ...options, bias });
    this.v_proj = new Linear(hiddenSize, kvHeads * headDim, { ...options, bias });
    this.o_proj = new Linear(heads * headDim, hiddenSize, { ...options, bias: outputBias });
    this.q_norm = norm(headDim, config, options);
    this.k_norm = norm(headDim, config, options);
    this.#config = config;
  }

  /** x [batch, time, width] → the same shape. */
  forward(x: Tensor, { rotation, attend }: LayerPlace): Tensor {
    const { heads, kvHeads, headDim, attentionScale: scale, attentionDropout } = this.#config;
    const [batch, time] = x.shape, width = heads * headDim;
    return tidy(() => {
      const both = reshape(this.q_proj.forward(x), [batch, time, heads, 2 * headDim]);
      const part = (from: number): Tensor => slice(both, null, null, null, [from, from + headDim]);
      const split = (t: Tensor): Tensor => reshape(t, [batch, time, kvHeads, headDim]);
      const turn = (t: Tensor): Tensor => applyRotary(transpose(t, 1, 2), rotation!);
      const q = turn(this.q_norm.forward(part(0))),
        k = turn(this.k_norm.forward(split(this.k_proj.forward(x))));
      const v = transpose(split(this.v_proj.forward(x)), 1, 2);
      const mixed = attend(q, k, v, { scale, dropoutP: this.training ? attentionDropout : 0 });
      const joined = reshape(transpose(mixed, 1, 2), [batch, time, width]);
      return this.o_proj.forward(mul(joined, sigmoid(reshape(part(headDim), [batch, time, width]))));
    });
  }
}

/** Each row of x [.., width] of length 1. */
const unit = (x: Tensor): Tensor => div(x, sqrt(add(sum(mul(x, x), -1, true), 1e-6)));

/** A gated delta network. */
export class GatedDeltaNet extends Module {
  /** Queries, keys, values and gates, key head by key head. */
  in_proj_qkvz: Linear | null = null;
  /** What β and decays come from, key head by key head. */
  in_proj_ba: Linear | null = null;
  /** Queries, keys and values, where they stand apart. */
  in_proj_qkv: Linear | null = null;
  /** Gates. */
  in_proj_z: Linear | null = null;
  /** What β comes from. */
  in_proj_b: Linear | null = null;
  /** What decays come from. */
  in_proj_a: Linear | null = null;
  /** Along time. */
  conv1d: Taps;
  /** [valueHeads], f32: added to what decays come from. */
  dt_bias: Tensor;
  /** [valueHeads], f32: the logarithm of how fast each head's matrix fades. */
  A_log: Tensor;
  /** Norm of what is read, head by head. */
  norm: RMSNorm;
  /** The output. */
  out_proj: Linear;
  readonly #config: Qwen3NextConfig;

  /** Sizes from the configuration. */
  constructor(config: Qwen3NextConfig, options: LayerOptions) {
    super();
    const { hiddenSize: width, keyHeads, keyWidth, valueHeads, valueWidth, kernel, grouped } = config;
    const keys = keyHeads * keyWidth,
      values = valueHeads * valueWidth,
      place = { ...options, dtype: "f32" } as const;
    const plain = (to: number): Linear => new Linear(width, to, { ...options, bias: false });
    if (grouped) {
      this.in_proj_qkvz = plain(2 * keys + 2 * values);
      this.in_proj_ba = plain(2 * valueHeads);
    } else {
      this.in_proj_qkv = plain(2 * keys + values);
      this.in_proj_z = plain(values);
      this.in_proj_b = plain(valueHeads);
      this.in_proj_a = plain(valueHeads);
    }
    this.conv1d = new Taps(2 * keys + values, kernel, false, options);
    this.dt_bias = parameter(zeros([valueHeads], place));
    // From slow to 16 times as fast as the first head of 16.
    const rates = Array.from({ length: valueHeads }, (_, i) => Math.log(16 * (i + 0.5) / valueHeads));
    this.A_log = parameter(tensor(rates, place));
    this.norm = norm(valueWidth, config, options, false);
    this.out_proj = new Linear(values, width, { ...options, bias: false });
    this.#config = config;
  }

  /** What the projections say: q, k and v side by side, z, b and a, each [batch, time, ..]. */
  #project(x: Tensor): { qkv: Tensor; z: Tensor; b: Tensor; a: Tensor } {
    const { in_proj_qkvz, in_proj_ba, in_proj_qkv, in_proj_z, in_proj_b, in_proj_a } = this;
    if (!in_proj_qkvz || !in_proj_ba) {
      const [qkv, z, b, a] = [in_proj_qkv, in_proj_z, in_proj_b, in_proj_a].map((layer) => layer!.forward(x));
      return { qkv, z, b, a };
    }
    const { keyHeads, keyWidth, valueHeads, valueWidth } = this.#config, [batch, time] = x.shape;
    const each = valueHeads / keyHeads, values = each * valueWidth;
    const groups = (layer: Linear): Tensor => reshape(layer.forward(x), [batch, time, keyHeads, -1]);
    const all = groups(in_proj_qkvz), ba = groups(in_proj_ba);
    const part = (t: Tensor, from: number, size: number): Tensor =>
      reshape(slice(t, null, null, null, [from, from + size]), [batch, time, -1]);
    const qkv = [part(all, 0, keyWidth), part(all, keyWidth, keyWidth), part(all, 2 * keyWidth, values)];
    return {
      qkv: concat(qkv, 2),
      z: part(all, 2 * keyWidth + values, values),
      b: part(ba, 0, each),
      a: part(ba, each, each),
    };
  }

  /** x [batch, time, width] → the same shape. */
  forward(x: Tensor, { recur }: LayerPlace): Tensor {
    const { keyHeads, keyWidth, valueHeads, valueWidth } = this.#config, [batch, time] = x.shape;
    const keys = keyHeads * keyWidth, values = valueHeads * valueWidth, each = valueHeads / keyHeads;
    return tidy(() => {
      const recurrence = recur(), { before, real, seen } = recurrence, { qkv, z, b, a } = this.#project(x);
      const conv = causalConv(qkv, this.conv1d.weight, null, before?.[1] ?? null, recurrence);
      const mixed = toDType(silu(conv.y), "f32");
      const part = (from: number, to: number, heads: number): Tensor =>
        reshape(slice(mixed, null, null, [from, to]), [batch, time, heads, -1]);
      /** Each key head stands before the heads of values that it is for. */
      const repeated = (t: Tensor): Tensor =>
        reshape(
          expand(unsqueeze(t, 3), [batch, time, keyHeads, each, keyWidth]),
          [batch, time, valueHeads, keyWidth],
        );
      const q = repeated(mul(unit(part(0, keys, keyHeads)), keyWidth ** -0.5));
      const k = repeated(unit(part(keys, 2 * keys, keyHeads))),
        v = part(2 * keys, 2 * keys + values, valueHeads);
      let beta = sigmoid(toDType(b, "f32"));
      let decay = exp(neg(mul(exp(this.A_log), softplus(add(toDType(a, "f32"), this.dt_bias)))));
      if (real) {
        // Padding writes nothing, and nothing fades.
        const is = unsqueeze(real, 2);
        beta = mul(beta, toDType(is, "f32"));
        decay = where(is, decay, 1);
      }
      // A text that stands behind another begins with an empty matrix.
      if (seen) decay = mul(decay, toDType(seesBack(seen, time, 1), "f32"));
      const { out, state } = gatedDeltaRule({ q, k, v, decay, beta }, before?.[0] ?? null);
      const gate = reshape(z, [batch, time, valueHeads, valueWidth]);
      const gated = mul(this.norm.forward(out), silu(gate));
      const result = this.out_proj.forward(toDType(reshape(gated, [batch, time, values]), x.dtype));
      recurrence.leave(conv.tail ? [state, conv.tail] : [state]);
      return result;
    });
  }
}

/** A delta network or attention, and an MLP, each a branch that is added to what came in. */
export class Qwen3NextLayer extends Module implements DecoderBlock {
  /** Before the first branch. */
  input_layernorm: RMSNorm;
  /** Where the layer does not attend. */
  linear_attn: GatedDeltaNet | null = null;
  /** Where it attends. */
  self_attn: Qwen3NextAttention | null = null;
  /** Before the MLP. */
  post_attention_layernorm: RMSNorm;
  /** The MLP, or experts. */
  mlp: GatedMLP;

  /** Sizes from the configuration. */
  constructor(config: Qwen3NextConfig, layer: DecoderLayerConfig, options: LayerOptions) {
    super();
    this.input_layernorm = norm(config.hiddenSize, config, options);
    if (!layer.states) this.self_attn = new Qwen3NextAttention(config, options);
    else this.linear_attn = new GatedDeltaNet(config, options);
    this.post_attention_layernorm = norm(config.hiddenSize, config, options);
    this.mlp = mlpOf(config, layer, options);
  }

  /** x [batch, time, width] → the same shape. */
  forward(x: Tensor, place: LayerPlace): Tensor {
    return tidy(() => {
      const y = add(x, (this.self_attn ?? this.linear_attn!).forward(this.input_layernorm.forward(x), place));
      return add(y, this.mlp.forward(this.post_attention_layernorm.forward(y)));
    });
  }
}

/** Embeddings, layers and the last norm: `model.` in checkpoints. */
export class Qwen3NextBody extends Module {
  /** [vocab, width]. */
  embed_tokens: Embedding;
  /** The layers. */
  layers: Qwen3NextLayer[];
  /** The last norm. */
  norm: RMSNorm;

  /** Sizes from the configuration. */
  constructor(config: Qwen3NextConfig, options: LayerOptions) {
    super();
    this.embed_tokens = new Embedding(config.vocabSize, config.hiddenSize, options);
    this.layers = config.layers.map((layer) => new Qwen3NextLayer(config, layer, options));
    this.norm = norm(config.hiddenSize, config, options);
  }
}

/** The network: token ids to logits. */
export class Qwen3NextModel extends HeadedDecoder<Qwen3NextBody> {
  /** A model with fresh weights: normal with deviation `initializerRange`, biases 0, norms as they begin. */
  constructor(config: Qwen3NextConfig, options: LayerOptions = {}) {
    super(config, new Qwen3NextBody(config, options), options);
  }

  protected override get parts(): DecoderParts {
    const { embed_tokens: embedding, layers, norm } = this.model;
    return { embedding, layers, norm, head: this.lm_head };
  }
}
