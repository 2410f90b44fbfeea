/**
 * How a model wants a conversation written: the Jinja template in its folder.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { importPackage, optionalPackages } from "../core/packages.ts";
import { type FolderOptions, openFolder, readJson } from "./model_folder.ts";

/** A message of a conversation. */
export interface ChatMessage {
  /** Who speaks: "system", "user", "assistant" … */
  role: string;
  /** What is said. */
  content: string;
}

/** The part of `@huggingface/jinja` that is used. */
interface Jinja {
  readonly Template: new (text: string) => { render(values: Record<string, unknown>): string };
}

/** Writes a conversation as the text of a prompt, ready for the model's answer. */
export type ChatTemplate = (messages: readonly ChatMessage[]) => string;

/** The text of a special token in tokenizer_config.json: a text, or an object that has it as content. */
function tokenText(value: unknown): string {
  if (typeof value === "string") return value;
  const content = (value as { content?: unknown } | null | undefined)?.content;
  return typeof content === "string" ? content : "";
}

/** The template that the folder's files hold; of several by name the one called "default". */
function templateOf(config: Record<string, unknown>, file: string | null): string | null {
  const own = file ?? config.chat_template;
  if (typeof own === "string") return own;
  if (!Array.isArray(own)) return null;
  const list = own as { name?: unknown; template?: unknown }[];
  const chosen = list.find(({ name }) => name === "default") ?? list[0];
  return typeof chosen?.template === "string" ? chosen.template : null;
}

/**
 * The chat template of a model (`chat_template` in tokenizer_config.json, or chat_template.jinja), or null when it has
 * none: then it was not trained on conversations. Needs the package `@huggingface/jinja`, which is loaded when there is
 * one.
 *
 * @throws {FormatError} for a template that does not parse.
 */
export async function loadChatTemplate(
  where: string | URL,
  options: FolderOptions = {},
): Promise<ChatTemplate | null> {
  const folder = await openFolder(where, options);
  const config = (await readJson(folder, "tokenizer_config.json") ?? {}) as Record<string, unknown>;
  const text = templateOf(config, await folder.text("chat_template.jinja"));
  if (text === null) return null;
  const { Template } = await optionalPackages(
    "@huggingface/jinja",
    "a chat template",
    () => importPackage<Jinja>("@huggingface/jinja"),
  );
  try {
    const template = new Template(text);
    return (messages) =>
      template.render({
        messages,
        add_generation_prompt: true,
        bos_token: tokenText(config.bos_token),
        eos_token: tokenText(config.eos_token),
      });
  } catch (error) {
    throw new FormatError(`${folder.name}: the chat template does not parse: ${(error as Error).message}`);
  }
}
