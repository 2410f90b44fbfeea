/**
 * The kernels of attention, for devices that do not bring all of theirs.
 *
 * @module
 */
import type { Backend, Kernels } from "../contract.ts";
import { attention } from "../cpu/kernels/attention.ts";
import { mostKeysInOrder } from "../cpu/kernels/attention/in_order.ts";
import { quantizeRows, storedKeys } from "../cpu/kernels/attention/stored.ts";
import { attentionInOrder } from "../cpu/kernels/attention_in_order.ts";
import { attentionBackward } from "../cpu/kernels/attention_backward.ts";
import { provideKernels } from "../cpu/provided.ts";

provideKernels((engine) => ({
  attention: (q, k, v, out, lse, scale, causal) => attention(engine, q, k, v, out, lse, scale, causal),
  attentionInOrder: (...args) => attentionInOrder(engine, ...args),
  attentionDTypes: storedKeys,
  quantize: (x, out) => quantizeRows(engine, x, out),
  attentionBackward: (dout, q, k, v, out, lse, dq, dk, dv, scale, causal) =>
    attentionBackward(engine, dout, q, k, v, out, lse, dq, dk, dv, scale, causal),
}));

/** What a device has for attention. */
export function attentionKernels(
  { kernels }: Backend,
): Pick<Kernels, "attention" | "attentionBackward" | "attentionDTypes" | "attentionInOrder"> {
  return kernels;
}

/** Whether a device is in the mode in which attention to so many keys is computed in their order. */
export function attendsInOrder({ kernels, arithmetic }: Backend, keys: number): boolean {
  return arithmetic === "deterministic" && kernels.attentionInOrder !== undefined && keys <= mostKeysInOrder;
}
