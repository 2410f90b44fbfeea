/**
 * How a model wants a conversation written: the Jinja template that came with it, given what `transformers` gives it.
 *
 * @module
 */
import { demand, demandNoMore, demandText } from "../core/demand.ts";
import { OptionError } from "../core/errors.ts";
import { abortSignal } from "../core/kinds.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { importPackage, optionalPackages } from "../core/packages.ts";
import { slicer } from "../core/steps.ts";
import type { Tokenizer } from "../text/mod.ts";
import { type ChatTemplateOptions, templateOptions } from "./chat_options.ts";
import { boundedTemplate, type Jinja } from "./chat_render.ts";
import { type ChatSource, chooseTemplate, folderChat } from "./chat_source.ts";
import type { Companions } from "./companions.ts";
import { openFolder } from "./model_folder.ts";
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
 * Writes a conversation as the text of a prompt, ready for the model's answer. The text has the special tokens that the model
 * wants, so its ids are those of {@link encodeChat}, which puts no others around it.
 *
 * @category Text
 */
export type ChatTemplate = (messages: readonly ChatMessage[], options?: ChatTemplateOptions) => string;

/**
 * Templates ready to be used.
 * @throws {FormatError} for one that does not parse.
 */
export async function templateFrom(source: ChatSource, where: string): Promise<ChatTemplate> {
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

/** Templates by what they came with. */
const known = new WeakMap<Companions, Promise<ChatTemplate | null>>();

/** The chat template that came with a tokenizer, or null. `where` names the model in messages. */
async function chatOf({ config, texts }: Companions, where: string): Promise<ChatTemplate | null> {
  const encoder = new TextEncoder(), files: Record<string, Uint8Array<ArrayBuffer>> = {};
  if (config) files["tokenizer_config.json"] = encoder.encode(JSON.stringify(config));
  for (const [name, text] of texts) files[name] = encoder.encode(text);
  const source = await folderChat(await openFolder(files));
  return source && await templateFrom(source, where);
}

/** What a conversation needs of a model. */
export interface Speaker {
  readonly tokenizer: Tokenizer | null;
  readonly companions: Companions | null;
  readonly family: string;
}

/** The chat template that came with a model, or null. */
export async function templateOf({ tokenizer, companions, family }: Speaker): Promise<ChatTemplate | null> {
  if (!tokenizer || companions?.tokenizer !== tokenizer) return null;
  let found = known.get(companions);
  if (!found) known.set(companions, found = chatOf(companions, family));
  return await found;
}

/**
 * The ids of a conversation, as a model's own template has it.
 * @throws {OptionError} for a model without one.
 */
export async function idsOfChat(
  speaker: Speaker,
  messages: readonly ChatMessage[],
  options: ChatTemplateOptions,
): Promise<number[]> {
  const template = await templateOf(speaker);
  if (!template) {
    throw new OptionError(
      "chat: this model came with no chat template, so it was not trained on conversations; use complete",
    );
  }
  return await encodeChat(speaker.tokenizer!, template(messages, options));
}

const encodeOptions: OptionTable<{ readonly signal?: AbortSignal }> = { signal: abortSignal };

/**
 * The ids of a text that a chat template made. It says itself where it begins and ends, so nothing is put around it; a long
 * text is read a slice in each turn of the event loop.
 *
 * @throws {CancelledError} by `signal`.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @category Text
 */
export async function encodeChat(
  tokenizer: Tokenizer,
  text: string,
  options: { readonly signal?: AbortSignal } = {},
): Promise<number[]> {
  demandNoMore(arguments, 3, "encodeChat");
  const { signal } = checkOptions("encodeChat", options, encodeOptions),
    bare = { addSpecialTokens: false, splitSpecialTokens: false };
  demand("encodeChat", "the tokenizer", tokenizer, typeof tokenizer?.encode === "function", "a tokenizer");
  demandText("encodeChat", text);
  const steps = tokenizer.encodeSteps?.(text, bare);
  return steps ? await slicer.run(steps, signal) : tokenizer.encode(text, bare);
}
