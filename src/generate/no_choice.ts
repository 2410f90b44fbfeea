/**
 * When no token can be chosen: logits that are no numbers, or none that is left. What is wrong is said as far as it can be
 * found out: the id, the step, the processors; and, asking the model again, the weight or the operation behind it.
 *
 * @module
 */
import { isQuantized } from "../core/dtype.ts";
import { FerrotypeError } from "../core/errors.ts";
import { formatShape } from "../core/shape.ts";
import { argmax, isfinite, logicalNot, reshape, type Tensor, toDType } from "../ops/mod.ts";
import { detectAnomaly, noGrad, tidy } from "../tensor/mod.ts";
import type { LanguageModel, LanguageModelCache } from "./model.ts";
import type { LogitsProcessor } from "./options.ts";

/** Logits that are no numbers, as a model gave them; {@link explained} finds out why. */
export class LogitsError extends FerrotypeError {}

/** "new token 3", counted from 1. */
function place(token: number): string {
  return `new token ${token + 1}`;
}

/** @throws {LogitsError} unless all logits for new token number `token` are numbers or −∞, and one is a number. */
export function demandNumbers(logits: Float32Array, token: number): void {
  let any = false;
  for (let i = 0; i < logits.length; i++) {
    const x = logits[i];
    if (x > -Infinity && x < Infinity) any = true;
    else if (x !== -Infinity) {
      throw new LogitsError(`generate: at ${place(token)} the model's logit of id ${i} is ${x}`);
    }
  }
  if (!any) throw new LogitsError(`generate: at ${place(token)} all of the model's logits are -Infinity`);
}

/** The same, where only the choice was read: the largest logit is NaN, or infinite. */
export function notNumbers(token: number): LogitsError {
  return new LogitsError(`generate: at ${place(token)} the model's largest logit is NaN or infinite`);
}

const names = new WeakMap<LogitsProcessor, string>();

/** The processor, under the name of the option that asks for it; one that has a name keeps it. */
export function named<P extends LogitsProcessor>(name: string, process: P): P {
  if (!names.has(process)) names.set(process, name);
  return process;
}

/** Whether the processor has a name already. */
export function isNamed(process: LogitsProcessor): boolean {
  return names.has(process);
}

/** The names of processors, for a message. */
export function namesOf(processors: readonly LogitsProcessor[]): string {
  return processors.map((process) => names.get(process)).join(", ") || "the model's logits";
}

/**
 * Why none of `logits`, which are those of the model, is left by `processors`: they are run again, one by one.
 */
export function excluded(
  processors: readonly LogitsProcessor[],
  text: readonly number[],
  logits: Float32Array,
  token: number,
): FerrotypeError {
  const taking: string[] = [], count = (): number => logits.reduce((n, x) => n + Number(x > -Infinity), 0);
  let left = count();
  for (const process of processors) {
    const name = names.get(process) ?? "a processor";
    process(text, logits);
    const wrong = logits.findIndex((x) => x !== x);
    if (wrong >= 0) {
      return new FerrotypeError(`generate: at ${place(token)} ${name} made NaN of the logit of id ${wrong}`);
    }
    const before = left;
    left = count();
    if (left < before) taking.push(name);
    if (left === 0) break;
  }
  const last = taking.pop() ?? "the processors",
    others = taking.length ? `${taking.join(", ")} and then ` : "";
  return new FerrotypeError(
    `generate: every token is excluded at ${place(token)}: ${others}${last} left none; loosen ${
      taking.length ? "them" : "it"
    }`,
  );
}

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

/** `error`, and when it is about logits, what of the model is behind it. */
export async function explained<C extends LanguageModelCache>(
  error: unknown,
  model: LanguageModel<C>,
  text: readonly number[],
): Promise<unknown> {
  if (!(error instanceof LogitsError)) return error;
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
