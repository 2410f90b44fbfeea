/**
 * The configuration of an LFM2, as `config.json` of Hugging Face says it, in the names of both its spellings.
 *
 * @module
 */
import type { DecoderConfig } from "../decoder/config.ts";
import { commonFields, type ConfigFields, layerKinds, rotaryOf } from "../decoder/fields.ts";

/** A decoder most of whose layers are short convolutions. */
export interface Lfm2Config extends DecoderConfig {
  /** Positions that a convolution sees, its own included. */
  readonly kernel: number;
  /** Whether convolutions, and what stands before and behind them, have biases. */
  readonly convBias: boolean;
}

/** Reads the fields of a config.json. */
export function lfm2Config(c: ConfigFields): Lfm2Config {
  c.only({
    attention_bias: false,
    mlp_bias: false,
    hidden_act: "silu",
    block_use_swiglu: true,
    use_pos_enc: true,
    attention_dropout: 0,
  });
  const common = commonFields(c, {
    positions: 128_000,
    eps: "norm_eps",
    inner: c.raw("block_ff_dim") === undefined ? "intermediate_size" : "block_ff_dim",
  });
  const { hiddenSize } = common;
  for (const name of ["block_dim", "conv_dim", "conv_dim_out"]) {
    if (c.size(name, hiddenSize) !== hiddenSize) c.fail(name, `${hiddenSize}, the hidden_size`);
  }
  if (c.size("num_heads", common.heads) !== common.heads) {
    c.fail("num_heads", `${common.heads}, the num_attention_heads`);
  }
  const rotary = rotaryOf(c, common, c.positive("theta", 1_000_000)), kernel = c.size("conv_L_cache", 3);
  // Beyond, a slip of the hand: there is a tap for each.
  if (kernel > 64) c.fail("conv_L_cache", "at most 64");
  const attending = c.raw("full_attn_idxs"),
    isIndex = (x: unknown): boolean => Number.isInteger(x) && Number(x) >= 0;
  if (attending !== undefined && !(Array.isArray(attending) && attending.every(isIndex))) {
    c.fail("full_attn_idxs", "a list of numbers of layers, the first being 0");
  }
  const kinds = layerKinds(c, "conv", (layer) => !attending || (attending as number[]).includes(layer));
  const states = kernel > 1 ? [[kernel - 1, hiddenSize]] : [];
  return {
    ...common,
    normEps: c.positive("norm_eps", c.positive("block_norm_eps", 1e-5)),
    intermediateSize: innerWidth(c, common.intermediateSize),
    qkNorm: "head",
    tied: c.flag("tie_word_embeddings", c.flag("tie_embedding", true)),
    kernel,
    convBias: c.flag("conv_bias", false),
    layers: kinds.map((kind) =>
      kind === "conv" ? { window: null, rotary: null, states } : { window: null, rotary }
    ),
  };
}

/** The width inside the MLP: two thirds of what is said, times a factor, in whole multiples, where that is asked for. */
function innerWidth(c: ConfigFields, said: number): number {
  c.raw("intermediate_size");
  const isAdjusted = c.flag("block_auto_adjust_ff_dim", true), multiple = c.size("block_multiple_of", 256);
  const factor = c.positive("block_ffn_dim_multiplier", 1);
  if (!isAdjusted) return said;
  return multiple * Math.ceil(Math.floor(factor * Math.floor(2 * said / 3)) / multiple);
}
