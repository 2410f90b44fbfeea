/**
 * Why logits are no numbers: the weight that is none, or the operation that makes none; loaded when that has happened.
 *
 * @module
 */
import { isQuantized } from "../core/dtype.ts";
import { FerrotypeError } from "../core/errors.ts";
import { formatShape } from "../core/shape.ts";
import { argmax, isfinite, logicalNot, reshape, type Tensor, toDType } from "../ops/mod.ts";
import { detectAnomaly, noGrad, tidy } from "../tensor/mod.ts";
import type { LanguageModel, LanguageModelCache } from "./model.ts";
import { LogitsError } from "./no_choice.ts";

/** What is not finite in a weight: where, and what; null when all is. */
async function flawOf(weight: Tensor): Promise<string | null> {
  const [at, value] = noGrad(() =>
    tidy(() => {
      const x = reshape(isQuantized(weight.dtype) ? toDType(weight, "f32") : weight, [-1]);
      const at = argmax(toDType(logicalNot(isfinite(x)), "i32"), 0, true);
      return [at, x.gather(0, at)];
    })
  );
  const [first, found] = [await at.item(), await value.item()];
  at.dispose();
  value.dispose();
  if (Number.isFinite(found)) return null;
  const where: number[] = [];
  for (
    let d = weight.shape.length - 1, left = first;
    d >= 0;
    left = Math.floor(left / weight.shape[d]), d--
  ) {
    where.unshift(left % weight.shape[d]);
  }
  return `${found} at ${formatShape(where)} of ${formatShape(weight.shape)}`;
}

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
    for (const [name, weight] of weights) {
      const flaw = weight.size > 0 ? await flawOf(weight) : null;
      if (flaw !== null) return say(`weight ${name} has ${flaw}`);
    }
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
