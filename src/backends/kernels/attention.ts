/**
 * The kernels of attention, for devices that do not bring all of theirs.
 *
 * @module
 */
import type { Backend, Kernels } from "../contract.ts";
import { attention } from "../cpu/kernels/attention.ts";
import { quantizeRows, storedKeys } from "../cpu/kernels/attention/stored.ts";
import { attentionBackward } from "../cpu/kernels/attention_backward.ts";
import { provideKernels } from "../cpu/provided.ts";

provideKernels((engine) => ({
  attention: (q, k, v, out, lse, scale, causal) => attention(engine, q, k, v, out, lse, scale, causal),
  attentionDTypes: storedKeys,
  quantize: (x, out) => quantizeRows(engine, x, out),
  attentionBackward: (dout, q, k, v, out, lse, dq, dk, dv, scale, causal) =>
    attentionBackward(engine, dout, q, k, v, out, lse, dq, dk, dv, scale, causal),
}));

/** What a device has for attention. */
export function attentionKernels(
  { kernels }: Backend,
): Pick<Kernels, "attention" | "attentionBackward" | "attentionDTypes"> {
  return kernels;
}
