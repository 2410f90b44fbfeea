/**
 * The kernel of a decoding step's attention, for devices that do not bring all of theirs.
 *
 * @module
 */
import type { Backend, Kernels } from "../contract.ts";
import { attentionStep } from "../cpu/kernels/attention_step.ts";
import { provideKernels } from "../cpu/provided.ts";

provideKernels((engine) => ({
  attentionStep: (qkv, keys, values, lengths, out, scale, places) =>
    attentionStep(engine, qkv, keys, values, lengths, out, scale, places),
}));

/** What a device has for it. */
export function attentionStepKernels(
  { kernels }: Backend,
): Pick<Kernels, "attentionStep" | "attentionDTypes"> {
  return kernels;
}
