/**
 * Tokenizers from folders.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import {
  BpeTokenizer,
  type Tokenizer,
  tokenizerFromJson,
  type TokenizerFromJsonOptions,
} from "../text/mod.ts";
import { type FolderOptions, type ModelFolder, openFolder, readJson } from "./model_folder.ts";

/** The tokenizer of a folder, or null when it holds none. */
export async function tokenizerOf(
  folder: ModelFolder,
  options: TokenizerFromJsonOptions = {},
): Promise<Tokenizer | null> {
  const json = await readJson(folder, "tokenizer.json");
  if (json !== null) {
    return await tokenizerFromJson(json, await readJson(folder, "tokenizer_config.json"), options);
  }
  const vocab = await readJson(folder, "vocab.json"), merges = await folder.text("merges.txt");
  if (vocab === null || merges === null) return null;
  return BpeTokenizer.fromVocabMerges(vocab as Record<string, number>, merges);
}

/**
 * Loads a Hugging Face tokenizer (`tokenizer.json`, or `vocab.json` with `merges.txt`) from a folder, a URL or a hub
 * repository.
 *
 * @throws {FormatError} when there is none, or it is malformed.
 */
export async function loadTokenizer(
  where: string | URL,
  options: FolderOptions & TokenizerFromJsonOptions = {},
): Promise<Tokenizer> {
  const { engine, ...rest } = options;
  const folder = await openFolder(where, rest);
  const found = await tokenizerOf(folder, engine ? { engine } : {});
  if (!found) {
    throw new FormatError(`${folder.name} holds neither tokenizer.json nor vocab.json with merges.txt`);
  }
  return found;
}
