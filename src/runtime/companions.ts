/**
 * Small files beside a tokenizer that say more of it than this library reads: how conversations are written, which tokens are
 * special. They are kept as they are, and written back with the tokenizer they came with.
 *
 * @module
 */
import { demandObject } from "../core/json.ts";
import { type Tokenizer, tokenizerConfig } from "../text/mod.ts";
import type { TokenizerNotes } from "../text/gguf_tokenizer.ts";
import { type ChatSource, folderChat, ggufChat, templateFile, templateName } from "./chat_source.ts";
import { type BesideWeights, jsonFile } from "./model_files.ts";
import { type ModelFolder, readJson } from "./model_folder.ts";

/** What came with a tokenizer. */
export interface Companions {
  /** Whose they are: another one's files are its own. */
  readonly tokenizer: Tokenizer;
  /** tokenizer_config.json; null where there is none. */
  readonly config: Readonly<Record<string, unknown>> | null;
  /** Texts by the name of their file. */
  readonly texts: ReadonlyMap<string, string>;
}

/** What says nothing more where tokenizer_config.json has `added_tokens_decoder`. */
const older = ["special_tokens_map.json", "added_tokens.json"];

/** The companions of the tokenizer in a folder; null where there is no tokenizer. */
export async function companionsIn(
  folder: ModelFolder,
  tokenizer: Tokenizer | null,
): Promise<Companions | null> {
  if (tokenizer === null) return null;
  const texts = new Map<string, string>(), file = "tokenizer_config.json";
  const own = await readJson(folder, file),
    config = own === null ? null : demandObject(own, `${folder.name}/${file}`);
  const template = await templateFile(folder, config ?? {});
  if (template !== null) texts.set(templateName, template);
  for (const name of folder.isRemote && (config?.added_tokens_decoder ?? null) !== null ? [] : older) {
    const text = await folder.text(name);
    if (text !== null) texts.set(name, text);
  }
  const chat = await folderChat(folder);
  // Templates in a folder of their own go into the configuration: a model's folder is written without others in it.
  const isMore = chat !== null && texts.has(templateName) && chat.templates.size > 1;
  return { tokenizer, config: isMore ? { ...config, chat_template: listOf(chat) } : config, texts };
}

/** Templates as tokenizer_config.json lists them. */
function listOf({ templates }: ChatSource): { name: string; template: string }[] {
  return [...templates].map(([name, template]) => ({ name, template }));
}

/** What a folder would have beside the model in a GGUF; null where that has no tokenizer. */
export function companionsOfGguf(
  metadata: TokenizerNotes,
  where: string,
  tokenizer: Tokenizer | null,
): Companions | null {
  const chat = ggufChat(metadata, where);
  if (tokenizer === null || chat === null) return null;
  const own = chat.templates.get("default"), isMore = chat.templates.size > 1 || own === undefined;
  return {
    tokenizer,
    config: {
      ...tokenizerConfig(tokenizer),
      ...chat.tokens,
      ...(isMore ? { chat_template: listOf(chat) } : {}),
    },
    texts: new Map(own === undefined ? [] : [[templateName, own]]),
  };
}

/** The files of a tokenizer; those it came with are kept as they were, where they are its own. */
export function tokenizerBeside(
  tokenizer: Tokenizer,
  companions: Companions | null,
  positions: number,
): BesideWeights[] {
  const kept = companions?.tokenizer === tokenizer ? companions : null;
  return [
    jsonFile("tokenizer.json", tokenizer.toJSON()),
    jsonFile("tokenizer_config.json", kept?.config ?? tokenizerConfig(tokenizer, positions)),
    ...[...kept?.texts ?? []].map(([name, text]) => ({ name, content: () => text })),
  ];
}
