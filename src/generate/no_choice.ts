/**
 * When no token can be chosen: logits that are no numbers, or none that is left. What is wrong is said as far as it can be
 * found out: the id, the step, the processors; and, asking the model again, the weight or the operation behind it.
 *
 * @module
 */
import { FerrotypeError, LogitsError } from "../core/errors.ts";
import type { AssistantModel } from "./model.ts";
import type { LogitsProcessor } from "./options.ts";

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

/** The same, where only the choice was read: the largest logit of `who` is NaN, or infinite. */
export function notNumbers(token: number, who = "the model"): LogitsError {
  return new LogitsError(`generate: at ${place(token)} ${who}'s largest logit is NaN or infinite`);
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

/** What a processor made of a logit is NaN, or ∞, beside which no other counts: the same words however tokens are chosen. */
function notFinite(name: string, id: number, value: number, token: number): FerrotypeError {
  return new FerrotypeError(
    `generate: at ${place(token)} ${name} made the logit of id ${id} ${value}; ` +
      "give it a finite number, or -Infinity to exclude it (to choose one token, exclude all others)",
  );
}

/** Where a logit is NaN or ∞; -1 where none is. */
const wrongIn = (logits: Float32Array): number => logits.findIndex((x) => !(x < Infinity));

/** @throws {FerrotypeError} where `process` made a score that cannot be added to others: NaN, or ∞. */
export function demandScores(scores: Float32Array, process: LogitsProcessor, token: number): void {
  const wrong = wrongIn(scores);
  if (wrong >= 0) throw notFinite(names.get(process) ?? "a processor", wrong, scores[wrong], token);
}

/** The names of processors, for a message. */
export function namesOf(processors: readonly LogitsProcessor[]): string {
  return processors.map((process) => names.get(process)).join(", ") || "the model's logits";
}

/**
 * Why none can be chosen of what `processors` made of `logits`, those of the model: `made`, where none is left, or one is NaN
 * or ∞. They are run again, one by one.
 */
export function excluded(
  processors: readonly LogitsProcessor[],
  text: readonly number[],
  logits: Float32Array,
  token: number,
  made: Float32Array,
): FerrotypeError {
  const taking: string[] = [], count = (): number => logits.reduce((n, x) => n + Number(x > -Infinity), 0);
  let left = count(), wrong: FerrotypeError | null = null;
  for (const process of processors) {
    const name = names.get(process) ?? "a processor", before = left;
    process(text, logits);
    const at = wrongIn(logits);
    left = count();
    // Nothing can be weighed against it: what comes after and takes all is not to blame, unless it takes it alone.
    if (at >= 0) wrong ??= notFinite(name, at, logits[at], token);
    else if (left > 0) wrong = null;
    if (left < before) taking.push(name);
    if (left === 0) break;
  }
  if (wrong !== null) return wrong;
  // A processor need not do the same twice.
  const at = wrongIn(made);
  if (at >= 0) return notFinite("a processor", at, made[at], token);
  const last = taking.pop() ?? "the processors",
    others = taking.length ? `${taking.join(", ")} and then ` : "";
  return new FerrotypeError(
    `generate: every token is excluded at ${place(token)}: ${others}${last} left none; loosen ${
      taking.length ? "them" : "it"
    }`,
  );
}

/** `error`, and when it is about logits, what of the model is behind it. */
export async function explained(
  error: unknown,
  model: AssistantModel,
  text: readonly number[],
): Promise<unknown> {
  return error instanceof LogitsError ? (await import("./reason.ts")).withReason(error, model, text) : error;
}
