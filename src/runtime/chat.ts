/**
 * How a model wants a conversation written: the Jinja template in its folder.
 *
 * @module
 */
import { demand, demandList, demandObject, type JsonObject } from "../core/json.ts";
import { text } from "../core/kinds.ts";
import { checkOptions } from "../core/options.ts";
import { hubOptions } from "../hub/options.ts";
import { importPackage, optionalPackages } from "../core/packages.ts";
import { boundedTemplate, type Jinja } from "./chat_render.ts";
import { type FolderOptions, openFolder, readJson } from "./model_folder.ts";

/**
 * A message of a conversation.
 *
 * @category Text
 */
export interface ChatMessage {
  /** Who speaks: "system", "user", "assistant" … */
  role: string;
  /** What is said. */
  content: string;
}

/**
 * Writes a conversation as the text of a prompt, ready for the model's answer.
 *
 * @category Text
 */
export type ChatTemplate = (messages: readonly ChatMessage[]) => string;

/** The text of a special token in tokenizer_config.json: a text, or an object that has it as content. */
function tokenText(value: unknown): string {
  if (typeof value === "string") return value;
  const content = (value as { content?: unknown } | null | undefined)?.content;
  return typeof content === "string" ? content : "";
}

/** The template that the folder's files hold; of several by name the one called "default". */
export function templateOf(config: JsonObject, file: string | null, where: string): string | null {
  const own = file ?? config.chat_template ?? null;
  if (typeof own === "string" || own === null) return own;
  const list = demandList(own, `${where}: chat_template`, 1000).map((entry, i) => {
    const { name, template } = demandObject(entry, `${where}: entry ${i} of chat_template`);
    return {
      name,
      template: demand<string>(template, text, `${where}: the template of entry ${i} of chat_template`),
    };
  });
  return (list.find(({ name }) => name === "default") ?? list[0])?.template ?? null;
}

/**
 * The chat template of a model (`chat_template` in tokenizer_config.json, or chat_template.jinja), or null when it has
 * none: then it was not trained on conversations. Needs the package `@huggingface/jinja`, which is loaded when there is
 * one.
 *
 * @throws {FormatError} for a template that does not parse; the result throws one for a conversation that it refuses, and
 * when it takes too long.
 * @category Text
 */
export async function loadChatTemplate(
  where: string | URL,
  options: FolderOptions = {},
): Promise<ChatTemplate | null> {
  const folder = await openFolder(where, checkOptions("loadChatTemplate", options, hubOptions));
  const file = `${folder.name}/tokenizer_config.json`;
  const config = demandObject(await readJson(folder, "tokenizer_config.json") ?? {}, file);
  const source = templateOf(config, await folder.text("chat_template.jinja"), file);
  if (source === null) return null;
  const jinja = await optionalPackages(
    "@huggingface/jinja",
    "a chat template",
    () => importPackage<Jinja>("@huggingface/jinja"),
  );
  const template = boundedTemplate(jinja, source, folder.name);
  return (messages) =>
    template({
      messages,
      add_generation_prompt: true,
      bos_token: tokenText(config.bos_token),
      eos_token: tokenText(config.eos_token),
    });
}
