/**
 * Why logits are no numbers: the weight that is none, or the operation that makes none; loaded when that has happened.
 *
 * @module
 */
import { FerrotypeError } from "../core/errors.ts";
import { flawIn } from "../nn/flaw.ts";
import { detectAnomaly, noGrad, tidy } from "../tensor/mod.ts";
import type { LanguageModel, LanguageModelCache } from "./model.ts";
import { LogitsError } from "./no_choice.ts";

/** The operation that makes NaN of `text`, where the device tells at once. */
function anomalyOf<C extends LanguageModelCache>(
  model: LanguageModel<C>,
  text: readonly number[],
): string | null {
  const last = text.slice(-model.contextLength), cache = model.createCache(1, last.length);
  try {
    noGrad(() => tidy(() => void detectAnomaly(() => model.forward([last], { cache, lastOnly: true }))));
    return null;
  } catch (error) {
    return error instanceof FerrotypeError ? error.message.replace("detectAnomaly: ", "") : null;
  } finally {
    cache.dispose();
  }
}

/** `error`, and what of the model is behind it. */
export async function withReason<C extends LanguageModelCache>(
  error: LogitsError,
  model: LanguageModel<C>,
  text: readonly number[],
): Promise<LogitsError> {
  const say = (reason: string): LogitsError =>
    new LogitsError(`${error.message}: ${reason}`, { cause: error });
  try {
    const weights = model.namedParameters?.() ?? [];
    const flaw = await flawIn(weights);
    if (flaw !== null) return say(flaw);
    const anomaly = weights[0]?.[1].backend.mapped ? anomalyOf(model, text) : null;
    if (anomaly !== null) return say(`its weights are finite, but ${anomaly}`);
    return weights.length
      ? say("its weights are finite, so numbers on the way grew too large; load it in f32 or bf16")
      : error;
  } catch {
    // Not enough memory to look, perhaps; what is known is said.
    return error;
  }
}
