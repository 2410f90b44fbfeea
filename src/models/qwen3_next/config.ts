/**
 * The configurations of Qwen3-Next and of Qwen 3.5's text models, as `config.json` of Hugging Face says them.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { expertsOf, sparseLayers } from "../decoder/experts.ts";
import { commonFields, type ConfigFields, layerKinds, mostLayers, rotaryOf } from "../decoder/fields.ts";

/** A decoder most of whose layers are gated delta networks. */
export interface Qwen3NextConfig extends DecoderConfig {
  /** Positions that the convolution before the delta rule sees. */
  readonly kernel: number;
  /** Heads of queries and keys in a delta network. */
  readonly keyHeads: number;
  /** Width of each of them. */
  readonly keyWidth: number;
  /** Heads of values: a multiple. */
  readonly valueHeads: number;
  /** Width of each of them. */
  readonly valueWidth: number;
  /** Whether projections stand side by side, key head by key head (Qwen3-Next), or apart (Qwen 3.5). */
  readonly grouped: boolean;
}

/** Fields of experts, which say nothing where no layer has any. */
const unusedByDense = [
  "num_experts",
  "moe_intermediate_size",
  "shared_expert_intermediate_size",
  "num_experts_per_tok",
  "norm_topk_prob",
  "output_router_logits",
  "router_aux_loss_coef",
];

/** Reads the fields of a config.json of Qwen3-Next. */
export function qwen3NextConfig(c: ConfigFields): Qwen3NextConfig {
  const isSparse = sparseLayers(c), count = c.size("num_hidden_layers");
  const isDense = c.raw("num_experts") === 0 ||
    !Array.from({ length: Math.min(count, mostLayers) }).some((_, i) => isSparse(i));
  if (isDense) {
    for (const name of unusedByDense) c.raw(name);
    return deltaConfig(c, true);
  }
  const experts = expertsOf(c, {
    count: ["num_experts", 512],
    active: 10,
    inner: ["moe_intermediate_size", 512],
    normalised: true,
    shared: ["shared_expert_intermediate_size", 512],
  });
  const config = deltaConfig(c, true);
  return { ...config, experts, layers: config.layers.map((layer, i) => ({ ...layer, sparse: isSparse(i) })) };
}

/** Reads the fields of a config.json of Qwen 3.5's text model. */
export function qwen35Config(c: ConfigFields): Qwen3NextConfig {
  c.only({ attn_output_gate: true });
  return deltaConfig(c, false);
}

function deltaConfig(c: ConfigFields, grouped: boolean): Qwen3NextConfig {
  c.only({ mlp_bias: false, use_sliding_window: false });
  const common = { ...commonFields(c, { positions: 32_768 }), headDim: c.size("head_dim", 256) };
  const rotary = rotaryOf(c, common, 10_000, undefined, 0.25), every = c.size("full_attention_interval", 4);
  const kinds = layerKinds(c, "linear_attention", (layer) => (layer + 1) % every === 0);
  const kernel = c.size("linear_conv_kernel_dim", 4);
  // Beyond, a slip of the hand: there is a tap for each.
  if (kernel > 64) c.fail("linear_conv_kernel_dim", "at most 64");
  const keyHeads = c.size("linear_num_key_heads", 16), valueHeads = c.size("linear_num_value_heads", 32);
  if (valueHeads % keyHeads !== 0) {
    c.fail("linear_num_value_heads", `a multiple of the ${keyHeads} linear_num_key_heads`);
  }
  const keyWidth = c.size("linear_key_head_dim", 128), valueWidth = c.size("linear_value_head_dim", 128);
  const channels = 2 * keyHeads * keyWidth + valueHeads * valueWidth,
    matrix = [valueHeads, keyWidth, valueWidth];
  const states = kernel > 1 ? [matrix, [kernel - 1, channels]] : [matrix];
  return {
    ...common,
    attentionScale: common.headDim ** -0.5,
    normUnitOffset: true,
    qkNorm: "head",
    kernel,
    keyHeads,
    keyWidth,
    valueHeads,
    valueWidth,
    grouped,
    layers: kinds.map((kind) =>
      kind === "full_attention" ? { window: null, rotary } : { window: null, rotary: null, states }
    ),
  };
}
