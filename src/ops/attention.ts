/**
 * Scaled dot-product attention as it is called: options and tensors are looked at here, and what is only there in a compiled
 * function; the rest is `attend.ts`.
 *
 * @module
 */
import { demandNoMore } from "../core/demand.ts";
import { flag, number, whole } from "../core/kinds.ts";
import { checkOptions, type Idle, type OptionTable } from "../core/options.ts";
import { aTensor } from "../tensor/mod.ts";
import { attendAppended } from "./appended.ts";
import { attend, type AttentionOptions } from "./attend.ts";
import { demandTensor } from "./bridge.ts";
import type { Tensor } from "./tensor.ts";

export type { AttentionOptions };

const attentionOptions: OptionTable<AttentionOptions> = {
  isCausal: flag,
  scale: number(),
  attnMask: aTensor,
  dropoutP: number({ from: 0, to: 1 }),
  softcap: number({ above: 0 }),
  window: whole(1),
};

const idle: readonly Idle<AttentionOptions>[] = [
  { option: "window", when: ({ isCausal }) => !isCausal, because: "isCausal is not set" },
];

/**
 * softmax(q·kᵀ · scale) · v. q is [batch, heads, rows, width], k and v [batch, heads, keys, width]; k and v may have
 * fewer heads that divide q's (grouped-query attention, Ainslie et al. 2023), and be stored as f16, bf16 or q8 under a q of
 * f32, as a cache may be.
 *
 * @example
 * ```ts
 * const y = scaledDotProductAttention(q, k, v, { isCausal: true }); // [batch, heads, time, width]
 * const joined = y.transpose(1, 2).reshape(batch, time, heads * width); // a view where the device has a kernel
 * ```
 * @throws {ShapeError} when shapes do not fit together; the message has both.
 * @throws {DTypeError} for what is no tensor.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @category Products, attention, norms
 */
export function scaledDotProductAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: AttentionOptions = {},
): Tensor {
  demandNoMore(arguments, 4, "scaledDotProductAttention");
  checkOptions("scaledDotProductAttention", options, attentionOptions, idle);
  demandTensor("scaledDotProductAttention", q, "q");
  demandTensor("scaledDotProductAttention", k, "k");
  demandTensor("scaledDotProductAttention", v, "v");
  return attendAppended(q, k, v, options) ?? attend(q, k, v, options);
}
