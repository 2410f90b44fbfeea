/**
 * Where chat templates are: in folders, repositories and GGUFs.
 *
 * @module
 */
import { demandNoMore, toldAs } from "../core/demand.ts";
import { checkOptions } from "../core/options.ts";
import { hubOptions } from "../hub/options.ts";
import type { Openable } from "../platform/platform.ts";
import type { TokenizerNotes } from "../text/gguf_tokenizer.ts";
import { folderChat, ggufChat } from "./chat_source.ts";
import { type ChatTemplate, templateFrom } from "./chat_template.ts";
import { textOfGguf, textOfLoneGguf } from "./gguf_text.ts";
import {
  demandNoHub,
  type FolderOptions,
  type GivenFiles,
  type ModelFolder,
  openFolder,
} from "./model_folder.ts";

/**
 * The chat template of a folder, or null when it has none.
 * @throws {FormatError} as {@link loadChatTemplate} does.
 */
export async function chatTemplateOf(folder: ModelFolder): Promise<ChatTemplate | null> {
  const source = await folderChat(folder);
  return source && await templateFrom(source, folder.name);
}

/**
 * The chat template in a GGUF's notes, or null when it has none.
 * @throws {FormatError} as {@link loadChatTemplate} does.
 */
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
 * @throws {OptionError} for an `onDownload` that is no function, and options that do not exist, or values that they do
 *   not take.
 * @category Text
 */
export async function loadChatTemplate(
  where: string | URL | GivenFiles | Openable,
  options: FolderOptions = {},
): Promise<ChatTemplate | null> {
  demandNoMore(arguments, 2, "loadChatTemplate");
  const reach = checkOptions("loadChatTemplate", options, hubOptions),
    gguf = await toldAs("loadChatTemplate", ["open"], () => textOfGguf(where));
  if (gguf) demandNoHub(where, reach);
  if (gguf) return await ggufChatTemplate(gguf.metadata, gguf.where);
  const place = where as string | URL | GivenFiles;
  const folder = await toldAs("loadChatTemplate", ["load"], () => openFolder(place, reach)),
    own = await chatTemplateOf(folder);
  if (own) return own;
  const alone = await textOfLoneGguf(folder);
  return alone && await ggufChatTemplate(alone.metadata, alone.where);
}
