/**
 * What a conversation may be given beside its messages.
 *
 * @module
 */
import { flag, kind, listOf, object, text as aText } from "../core/kinds.ts";
import type { OptionTable } from "../core/options.ts";
import type { GenerateOptions } from "../generate/mod.ts";

/**
 * What a template is given beside the messages; as in `apply_chat_template` of transformers.
 *
 * @category Text
 */
export interface ChatTemplateOptions {
  /** Functions that the model may call, as JSON schemas. Default none. */
  readonly tools?: readonly object[];
  /** Texts that the model may quote, each with a `title` and a `text`. Default none. */
  readonly documents?: readonly object[];
  /** Whether the text ends where the answer begins. Default true. */
  readonly addGenerationPrompt?: boolean;
  /** Which of the model's templates. Default: "tool_use" where there are tools and it is one of them, else "default". */
  readonly template?: string;
  /** Other values, by the names that the template has for them: `enable_thinking` … They count before all others. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** The time that `strftime_now` tells. Default: now. */
  readonly now?: Date;
}

/** {@link ChatTemplateOptions} as data. */
export const templateOptions: OptionTable<ChatTemplateOptions> = {
  tools: listOf(object, "a list of objects"),
  documents: listOf(object, "a list of objects"),
  addGenerationPrompt: flag,
  template: aText,
  variables: object,
  now: kind("a date", (x) => x instanceof Date && !Number.isNaN(x.getTime())),
};

/**
 * Options of `chat` of a model.
 *
 * @category Text
 */
export interface ChatOptions extends GenerateOptions, Omit<ChatTemplateOptions, "addGenerationPrompt"> {}

/** What is not undefined. */
export function definedOf<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}
