/**
 * Why logits are no numbers: the weight that is none, or the operation that makes none; loaded when that has happened.
 *
 * @module
 */
import { FerrotypeError, LogitsError } from "../core/errors.ts";
import { flawIn, grewTooLarge } from "../nn/flaw.ts";
import { detectAnomaly, noGrad, tidy } from "../tensor/mod.ts";
import type { AssistantModel } from "./model.ts";

/** The operation that makes NaN of `text`, where the device tells at once. */
function anomalyOf(model: AssistantModel, text: readonly number[]): string | null {
  const last = text.slice(-model.contextLength), cache = model.createCache(1, last.length);
  try {
    noGrad(() =>
      tidy(() => void detectAnomaly(() => model.forward([last], { cache: cache as never, lastOnly: true })))
    );
    return null;
  } catch (error) {
    return error instanceof FerrotypeError ? error.message.replace("detectAnomaly: ", "") : null;
  } finally {
    cache.dispose();
  }
}

/** `error`, and what of the model is behind it. */
export async function withReason(
  error: LogitsError,
  model: AssistantModel,
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
    return weights.length ? say(grewTooLarge) : error;
  } catch {
    // Not enough memory to look, perhaps; what is known is said.
    return error;
  }
}
