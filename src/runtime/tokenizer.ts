/**
 * Tokenizers from folders.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { hubOptions } from "../hub/options.ts";
import { readSentencePiece } from "../text/sentencepiece/model_file.ts";
import {
  BpeTokenizer,
  type Tokenizer,
  tokenizerFromJson,
  type TokenizerFromJsonOptions,
} from "../text/mod.ts";
import { fromJsonOptions } from "../text/tokenizer_json.ts";
import { demandObject } from "../core/json.ts";
import { mostText } from "../platform/platform.ts";
import {
  type FolderOptions,
  type GivenFiles,
  type ModelFolder,
  openFolder,
  readJson,
} from "./model_folder.ts";

/** What tokenizers are made from; the older pair of files counts where there is no tokenizer.json. */
type TokenizerFiles =
  | { readonly json: unknown; readonly config: unknown }
  | { readonly vocab: unknown; readonly merges: string }
  | { readonly model: Uint8Array; readonly config: unknown };

const loadOptions: OptionTable<FolderOptions & TokenizerFromJsonOptions> = {
  ...hubOptions,
  ...fromJsonOptions,
};

/** The tokenizer's files of a folder, or null when it holds none. */
export async function tokenizerFiles(folder: ModelFolder): Promise<TokenizerFiles | null> {
  const json = await readJson(folder, "tokenizer.json");
  if (json !== null) return { json, config: await readJson(folder, "tokenizer_config.json") };
  const vocab = await readJson(folder, "vocab.json");
  const merges = vocab === null ? null : await folder.text("merges.txt");
  if (merges !== null) return { vocab, merges };
  const source = await folder.open("tokenizer.model");
  if (source === null) return null;
  try {
    if (source.size > mostText) throw new FormatError(`${source.name} is longer than ${mostText} bytes`);
    return {
      model: await source.read(0, source.size),
      config: await readJson(folder, "tokenizer_config.json"),
    };
  } finally {
    await source.close();
  }
}

/** The tokenizer of a folder, or null when it holds none. */
export async function tokenizerOf(
  folder: ModelFolder,
  options: TokenizerFromJsonOptions = {},
): Promise<Tokenizer | null> {
  const files = await tokenizerFiles(folder);
  if (files === null) return null;
  if ("json" in files) return await tokenizerFromJson(files.json, files.config, options);
  if ("model" in files) {
    const { add_bos_token: addBos, add_eos_token: addEos } = (files.config ?? {}) as Record<string, unknown>;
    return await readSentencePiece(files.model, { addBos: addBos === true, addEos: addEos === true });
  }
  const vocab = demandObject(files.vocab, `${folder.name}/vocab.json`) as Record<string, number>;
  return BpeTokenizer.fromVocabMerges(vocab, files.merges);
}

/**
 * Loads a Hugging Face tokenizer (`tokenizer.json`, `vocab.json` with `merges.txt`, or SentencePiece's `tokenizer.model`) from a folder, a URL, a hub
 * repository, or files at hand.
 *
 * @throws {FormatError} when there is none, or it is malformed.
 * @category Text
 */
export async function loadTokenizer(
  where: string | URL | GivenFiles,
  options: FolderOptions & TokenizerFromJsonOptions = {},
): Promise<Tokenizer> {
  const { engine, ...rest } = checkOptions("loadTokenizer", options, loadOptions);
  const folder = await openFolder(where, rest);
  const found = await tokenizerOf(folder, engine ? { engine } : {});
  if (!found) {
    throw new FormatError(
      `${folder.name} holds neither tokenizer.json nor vocab.json with merges.txt nor tokenizer.model`,
    );
  }
  return found;
}
