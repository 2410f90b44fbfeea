/**
 * The kernel of a decoding step's attention, for devices that do not bring all of theirs.
 *
 * @module
 */
import type { Backend, Kernels } from "../contract.ts";
import { attentionStep } from "../cpu/kernels/attention_step.ts";
import { provideKernels } from "../cpu/provided.ts";

provideKernels((engine) => ({
  attentionStep: (...args) => attentionStep(engine, ...args),
}));

/** What a device has for it. */
export function attentionStepKernels(
  { kernels }: Backend,
): Pick<Kernels, "attentionStep" | "attentionDTypes"> {
  return kernels;
}
