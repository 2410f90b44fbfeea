/**
 * How a gated delta network lies in a GGUF: heads of values of Qwen 3.5 in another order, projections of Qwen3-Next apart, and decays as
 * what they are multiplied with.
 *
 * llama.cpp repeats keys as a whole, so that the first heads of values of all key heads come first, then all second ones; Hugging
 * Face has those of one key head side by side.
 *
 * @module
 */
import type { GgufWeight } from "../gguf.ts";
import type { Qwen3NextConfig } from "./config.ts";

const names: Readonly<Record<string, string>> = {
  "in_proj_qkv.weight": "attn_qkv.weight",
  "in_proj_z.weight": "attn_gate.weight",
  "in_proj_b.weight": "ssm_beta.weight",
  "in_proj_a.weight": "ssm_alpha.weight",
  "in_proj_qkvz.weight": "attn_qkv.weight",
  "in_proj_ba.weight": "ssm_ba.weight",
  "conv1d.weight": "ssm_conv1d.weight",
  "dt_bias": "ssm_dt.bias",
  "A_log": "ssm_a",
  "norm.weight": "ssm_norm.weight",
  "out_proj.weight": "ssm_out.weight",
};

/** The tensor that the parameter `own` of the delta network of a layer is; null for what is none. */
export function deltaWeight(own: string, config: Qwen3NextConfig, layer: string): GgufWeight | null {
  const theirs = names[own];
  if (theirs === undefined) return null;
  const { keyHeads, keyWidth, valueHeads, valueWidth, grouped } = config, each = valueHeads / keyHeads;
  const keys = keyHeads * keyWidth,
    values = valueHeads * valueWidth,
    at = (name: string) => `blk.${layer}.${name}`;
  const name = at(theirs), flat = own === "conv1d.weight" ? { flat: 1 } : {};
  if (own === "in_proj_qkvz.weight") {
    const wide = each * valueWidth, group = 2 * keyWidth + 2 * wide;
    const rows = (row: number): number => {
      const head = Math.floor(row / group), within = row % group;
      if (within < keyWidth) return head * keyWidth + within;
      if (within < 2 * keyWidth) return keys + head * keyWidth + within - keyWidth;
      const value = within - 2 * keyWidth;
      return 2 * keys + head * wide + (value < wide ? value : values + value - wide);
    };
    return { name, rows, rest: { name: at("attn_gate.weight"), from: 2 * keys + values } };
  }
  if (own === "A_log") {
    const to = (x: number): number => Math.log(-x), back = (x: number): number => -Math.exp(x);
    return { name, map: { to, back }, ...ordered(1, 0) };
  }
  /** Rows (or columns) from `from` on are of heads of values, `width` of each. */
  function ordered(width: number, from: number): { rows?: (row: number) => number } {
    if (grouped || each === 1) return {};
    return {
      rows: (row) => {
        if (row < from) return row;
        const head = Math.floor((row - from) / width);
        return from + (head % each * keyHeads + Math.floor(head / each)) * width + (row - from) % width;
      },
    };
  }
  switch (own) {
    case "in_proj_qkv.weight":
    case "conv1d.weight":
      return { name, ...flat, ...ordered(valueWidth, 2 * keys) };
    case "in_proj_z.weight":
      return { name, ...ordered(valueWidth, 0) };
    case "in_proj_b.weight":
    case "in_proj_a.weight":
    case "dt_bias":
      return { name, ...ordered(1, 0) };
    case "out_proj.weight": {
      const { rows: order } = ordered(valueWidth, 0);
      return order ? { name, columns: { order, run: valueWidth } } : { name };
    }
    default:
      return { name };
  }
}

/** What a GGUF's notes say of the delta networks of `architecture`, as a config.json would. */
export function deltaJson(note: (name: string) => unknown, layers: number): Record<string, unknown> {
  const every = Number(note("full_attention_interval") ?? 4), recurrent = note("attention.recurrent_layers");
  const heads = note("ssm.time_step_rank"), inner = note("ssm.inner_size");
  const isDelta = (layer: number): boolean =>
    Array.isArray(recurrent) ? recurrent[layer] === true : (layer + 1) % every !== 0;
  return {
    linear_conv_kernel_dim: note("ssm.conv_kernel"),
    linear_num_key_heads: note("ssm.group_count"),
    linear_num_value_heads: heads,
    linear_key_head_dim: note("ssm.state_size"),
    ...(typeof inner === "number" && typeof heads === "number"
      ? { linear_value_head_dim: inner / heads }
      : {}),
    layer_types: Array.from(
      { length: layers },
      (_, i) => isDelta(i) ? "linear_attention" : "full_attention",
    ),
  };
}
