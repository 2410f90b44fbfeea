/**
 * Options of generation as they are given, by a caller or in a file: the table of all of them, and the check of each.
 *
 * @module
 */
import { OptionError } from "../core/errors.ts";
import * as kinds from "../core/kinds.ts";
import { hint } from "../core/nearest.ts";
import { checkOption, demandObject, type OptionTable } from "../core/options.ts";
import { counted, show } from "../core/show.ts";
import {
  aliases,
  type Field,
  type FieldName,
  fields,
  idFields,
  listFields,
  quantizedCache,
  refused,
  unfelt,
} from "./fields.ts";
import type { GenerateOptions } from "./options.ts";

/** What a caller may say besides: functions, signals, memory. */
const callers = {
  seed: kinds.seed,
  logprobs: kinds.whole(0),
  responseFormat: kinds.object,
  assistantModel: kinds.like("a model that guesses", "forward", "createCache"),
  negativePromptIds: kinds.listOf(kinds.whole(0), "token ids"),
  signal: kinds.abortSignal,
  onToken: kinds.callback,
  logitsProcessors: kinds.listOf(kinds.callback, "a list of functions"),
  stoppingCriteria: kinds.listOf(kinds.callback, "a list of functions"),
  contextOverflow: kinds.oneOf("slide", "sinks", "error"),
  cache: kinds.like("a cache of model.createCache()", "ids", "truncate"),
  cachePrompt: kinds.flag,
  cacheDType: kinds.oneOf("f32", "f16", "bf16", "q8"),
  adapter: kinds.orNull(kinds.someText),
} as const satisfies Partial<OptionTable<GenerateOptions>>;

/** What is said with a call alone: no file of a model's has it. */
export const callerNames: readonly string[] = Object.keys(callers);

/** {@link GenerateOptions} as data; in place of some lists one entry may be given. */
export const generateOptions: OptionTable<GenerateOptions> = {
  ...fields,
  ...callers,
  stopStrings: fields.stop,
};
const names: readonly string[] = Object.keys(generateOptions);

/** @throws {OptionError} for a field whose value changes tokens (or what a caller is told) and cannot be honoured. */
export function demandHonoured(name: string, value: unknown, where: string, said = name): void {
  const is = (why: string): OptionError =>
    new OptionError(`${where}: ${said} ${show(value)} cannot be honoured: ${why}`);
  if (name === "cacheImplementation" && value === "quantized") throw is(quantizedCache);
  if (!Object.hasOwn(refused, name) || value === undefined) return;
  const { neutral, why } = refused[name];
  if (!neutral.includes(value)) throw is(why);
}

/** A field's value in the form in which it is kept. */
export function valueOf(name: FieldName, value: unknown, where: string, said: string = name): unknown {
  const field: Field = fields[name];
  const kept = !listFields.includes(name)
    ? value
    : value === null
    ? []
    : Array.isArray(value)
    ? value
    : [value];
  if (kept === null && field.default !== null) return field.default;
  if (!field.accepts(kept)) checkOption(where, said, value, { ...field, accepts: () => false });
  return kept;
}

/** Options by the names here, checked one by one. */
export function readOptions(options: GenerateOptions, where: string): GenerateOptions {
  const given: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(demandObject(where, options, generateOptions))) {
    demandHonoured(name, value, where);
    if (Object.hasOwn(refused, name)) continue;
    if (Object.hasOwn(unfelt, name)) {
      if (value !== undefined && value !== null) checkOption(where, name, value, unfelt[name]);
      continue;
    }
    if (!Object.hasOwn(generateOptions, name)) {
      throw new OptionError(`${where}: there is no option "${name}"${hint(name, names)}`);
    }
    if (value === undefined) continue;
    const own = Object.hasOwn(aliases, name) ? aliases[name] : name;
    if (own !== name && options[own as FieldName] !== undefined) {
      throw new OptionError(`${where}: ${name} is another name of ${own}; leave one out`);
    }
    if (Object.hasOwn(fields, own)) given[own] = valueOf(own as FieldName, value, where, name);
    else {
      checkOption(where, name, value, callers[name as keyof typeof callers]);
      given[own] = value;
    }
  }
  return given as GenerateOptions;
}

/**
 * Ids that options name are tokens of the model: `where` says whose options they are.
 * @throws {OptionError} for one that is not.
 */
export function checkVocabulary(
  options: GenerateOptions,
  vocabSize: number,
  where = "generate",
  only: readonly string[] = Object.keys(idFields),
  spelled: (name: string) => string = (name) => name,
): void {
  for (const name of only) {
    const value = options[name as FieldName];
    if (value === undefined) continue;
    const list = listFields.includes(name as FieldName) && !Array.isArray(value) ? [value] : value;
    const outside = list === null ? undefined : idFields[name](list as never).find((id) => id >= vocabSize);
    if (outside === undefined) continue;
    throw new OptionError(
      `${where}: ${spelled(name)} names token ${outside}, and the model's tokens go from 0 to ${
        vocabSize - 1
      }`,
    );
  }
  const other = (options.assistantModel as { config?: { vocabSize?: unknown } } | undefined)?.config
    ?.vocabSize;
  if (typeof other === "number" && other !== vocabSize) {
    throw new OptionError(
      `${where}: assistantModel has ${
        counted(other, "token")
      }, and the model has ${vocabSize}; it guesses with the same ones`,
    );
  }
}
