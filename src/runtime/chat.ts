/**
 * How a model wants a conversation written: the Jinja template that came with it, given what `transformers` gives it.
 *
 * @module
 */
import { demand, demandText } from "../core/demand.ts";
import { abortSignal, flag, kind, listOf, object, text as aText } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { importPackage, optionalPackages } from "../core/packages.ts";
import { slicer } from "../core/steps.ts";
import { hubOptions } from "../hub/options.ts";
import type { Openable } from "../platform/platform.ts";
import type { TokenizerNotes } from "../text/gguf_tokenizer.ts";
import type { Tokenizer } from "../text/mod.ts";
import { boundedTemplate, type Jinja } from "./chat_render.ts";
import { type ChatSource, chooseTemplate, folderChat, ggufChat } from "./chat_source.ts";
import { textOfGguf, textOfLoneGguf } from "./gguf_text.ts";
import { type FolderOptions, type GivenFiles, type ModelFolder, openFolder } from "./model_folder.ts";
import { strftime } from "./strftime.ts";

/**
 * A message of a conversation. Templates may read more of it: `tool_calls`, `name`, `reasoning_content` …
 *
 * @category Text
 */
export interface ChatMessage {
  /** Who speaks: "system", "user", "assistant", "tool" … */
  role: string;
  /** What is said. */
  content: string;
  /** What else a template may look at. */
  [field: string]: unknown;
}

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

const templateOptions: OptionTable<ChatTemplateOptions> = {
  tools: listOf(object, "a list of objects"),
  documents: listOf(object, "a list of objects"),
  addGenerationPrompt: flag,
  template: aText,
  variables: object,
  now: kind("a date", (x) => x instanceof Date && !Number.isNaN(x.getTime())),
};

/**
 * Writes a conversation as the text of a prompt, ready for the model's answer. The text has the special tokens that the model
 * wants, so its ids are those of {@link encodeChat}, which puts no others around it.
 *
 * @category Text
 */
export type ChatTemplate = (messages: readonly ChatMessage[], options?: ChatTemplateOptions) => string;

/** Templates ready to be used. @throws {FormatError} for one that does not parse. */
async function templateFrom(source: ChatSource, where: string): Promise<ChatTemplate> {
  const jinja = await optionalPackages(
    "@huggingface/jinja",
    "a chat template",
    () => importPackage<Jinja>("@huggingface/jinja"),
  );
  const ready = new Map<string, ReturnType<typeof boundedTemplate>>();
  const parsed = (template: string): ReturnType<typeof boundedTemplate> => {
    let found = ready.get(template);
    if (!found) ready.set(template, found = boundedTemplate(jinja, template, where));
    return found;
  };
  // A template that does not parse is known when the model is loaded.
  if (source.templates.has("default")) parsed(chooseTemplate(source, "default", false, where));
  return (messages, options = {}) => {
    const { tools, documents, addGenerationPrompt = true, template, variables, now } = checkOptions(
      "the chat template",
      options,
      templateOptions,
    );
    return parsed(chooseTemplate(source, template, tools !== undefined, where))({
      ...source.tokens,
      tools: tools ?? null,
      documents: documents ?? null,
      add_generation_prompt: addGenerationPrompt,
      strftime_now: (format: unknown) => strftime(String(format), now ?? new Date()),
      ...variables,
      messages,
    });
  };
}

/** The chat template of a folder, or null when it has none. @throws {FormatError} as {@link loadChatTemplate} does. */
export async function chatTemplateOf(folder: ModelFolder): Promise<ChatTemplate | null> {
  const source = await folderChat(folder);
  return source && await templateFrom(source, folder.name);
}

/** The chat template in a GGUF's notes, or null when it has none. @throws {FormatError} as {@link loadChatTemplate} does. */
export async function ggufChatTemplate(
  metadata: TokenizerNotes,
  where: string,
): Promise<ChatTemplate | null> {
  const source = ggufChat(metadata, where);
  return source && await templateFrom(source, where);
}

/**
 * The chat template of a model (`chat_template` in tokenizer_config.json, chat_template.jinja, the folder
 * additional_chat_templates, notes of a GGUF), or null when it has none: then it was not trained on conversations. Needs the
 * package `@huggingface/jinja`, which is loaded when there is one.
 *
 * @throws {FormatError} for a template that does not parse; the result throws one for a conversation that it refuses, and
 * when it takes too long.
 * @category Text
 */
export async function loadChatTemplate(
  where: string | URL | GivenFiles | Openable,
  options: FolderOptions = {},
): Promise<ChatTemplate | null> {
  const reach = checkOptions("loadChatTemplate", options, hubOptions), gguf = await textOfGguf(where);
  if (gguf) return await ggufChatTemplate(gguf.metadata, gguf.where);
  const folder = await openFolder(where as string | URL | GivenFiles, reach),
    own = await chatTemplateOf(folder);
  if (own) return own;
  const alone = await textOfLoneGguf(folder);
  return alone && await ggufChatTemplate(alone.metadata, alone.where);
}

const encodeOptions: OptionTable<{ readonly signal?: AbortSignal }> = { signal: abortSignal };

/**
 * The ids of a text that a chat template made. It says itself where it begins and ends, so nothing is put around it; a long
 * text is read a slice in each turn of the event loop.
 *
 * @throws {CancelledError} by `signal`.
 * @category Text
 */
export async function encodeChat(
  tokenizer: Tokenizer,
  text: string,
  options: { readonly signal?: AbortSignal } = {},
): Promise<number[]> {
  const { signal } = checkOptions("encodeChat", options, encodeOptions),
    bare = { addSpecialTokens: false, splitSpecialTokens: false };
  demand("encodeChat", "the tokenizer", tokenizer, typeof tokenizer?.encode === "function", "a tokenizer");
  demandText("encodeChat", text);
  const steps = tokenizer.encodeSteps?.(text, bare);
  return steps ? await slicer.run(steps, signal) : tokenizer.encode(text, bare);
}
