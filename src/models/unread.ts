/**
 * Fields of a `config.json` that a family does not read: what would change the numbers is refused by name, what was probably
 * mistyped is told of, all else is kept, as transformers keeps it.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { nearest } from "../core/nearest.ts";
import { show } from "../core/show.ts";

/** Whether a field is set to nothing: it is as if it were not there. */
const isOff = (value: unknown): boolean =>
  value === null || value === undefined || value === false || value === 0 || value === "" ||
  (typeof value === "object" && Object.keys(value as object).length === 0);

const one = (value: unknown): boolean => isOff(value) || value === 1;

/**
 * Fields of other models and methods that change what is computed, and which values of them change nothing. A family that
 * honours one reads it, and is not asked.
 */
const changing: Readonly<Record<string, (value: unknown) => boolean>> = {
  clip_qkv: isOff,
  quantization_config: isOff,
  compression_config: isOff,
  pruned_heads: isOff,
  is_encoder_decoder: isOff,
  add_cross_attention: isOff,
  alibi: isOff,
  use_alibi: isOff,
  logit_scale: one,
  logits_scaling: one,
  embedding_multiplier: one,
  residual_multiplier: one,
  attention_multiplier: isOff,
  final_logit_softcapping: isOff,
  attn_logit_softcapping: isOff,
  query_pre_attn_scalar: isOff,
  use_qk_norm: isOff,
  qk_layernorm: isOff,
  num_local_experts: one,
  num_experts: one,
  n_routed_experts: isOff,
  moe_intermediate_size: isOff,
  shared_expert_intermediate_size: isOff,
  n_shared_experts: isOff,
  kv_lora_rank: isOff,
  q_lora_rank: isOff,
  no_rope_layers: isOff,
  pretraining_tp: () => true,
};

/** Fields of transformers that change no number of a forward pass, though they are spelled like some that do. */
const harmless: ReadonlySet<string> = new Set([
  "activation_function",
  "attn_pdrop",
  "classifier_dropout",
  "embd_pdrop",
  "hidden_dropout",
  "hidden_dropout_prob",
  "max_window_layers",
  "n_ctx",
  "n_inner",
  "n_positions",
  "resid_pdrop",
  "rope_scaling",
  "rope_theta",
  "rope_parameters",
  "rms_norm_eps",
  "layer_norm_eps",
  "layer_norm_epsilon",
  "sliding_window",
  "use_sliding_window",
  "sliding_window_pattern",
  "head_dim",
  "hidden_act",
  "hidden_activation",
  "attention_bias",
  "attention_dropout",
  "mlp_bias",
  "pad_token_id",
  "bos_token_id",
  "eos_token_id",
  "sep_token_id",
  "cls_token_id",
  "decoder_start_token_id",
  "num_key_value_heads",
  "num_labels",
  "vocab_size",
]);

/**
 * Looks at the fields of `json` that are not among those that a family has `read`.
 *
 * @returns Sentences for those that are probably mistyped.
 * @throws {FormatError} naming one that changes what is computed.
 */
export function unreadFields(
  json: Readonly<Record<string, unknown>>,
  read: ReadonlySet<string>,
  where: string,
  family: string,
): string[] {
  const warnings: string[] = [];
  for (const [name, value] of Object.entries(json)) {
    if (read.has(name)) continue;
    const changesNothing = Object.hasOwn(changing, name) ? changing[name] : null;
    if (changesNothing?.(value) === false) {
      throw new FormatError(
        `${where}: ${name} is ${
          show(value)
        }, which changes what a model computes, and ${family} does not honour it here; ` +
          "take a checkpoint without it",
      );
    }
    if (changesNothing || harmless.has(name)) continue;
    const meant = nearest(name, read);
    // A field that stands there under its own name was not mistyped as another.
    if (meant === undefined || Object.hasOwn(json, meant) || !isSlip(name, meant)) continue;
    warnings.push(`${where}: ${name} is not read; did you mean ${meant}?`);
  }
  return warnings;
}

/** Whether the two names have the same letters but for one or two. */
function isSlip(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1) return false;
  const letters = new Map<string, number>();
  for (const c of a) letters.set(c, (letters.get(c) ?? 0) + 1);
  for (const c of b) letters.set(c, (letters.get(c) ?? 0) - 1);
  return [...letters.values()].reduce((n, k) => n + Math.abs(k), 0) <= 2;
}
