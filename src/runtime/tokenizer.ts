/**
 * Tokenizers from folders.
 *
 * @module
 */
import { demandNoMore, toldAs } from "../core/demand.ts";
import { FormatError } from "../core/errors.ts";
import { checkOptions, type OptionTable } from "../core/options.ts";
import { hubOptions } from "../hub/options.ts";
import { mostText, type Openable } from "../platform/platform.ts";
import { type Tokenizer, tokenizerFromJson, type TokenizerFromJsonOptions } from "../text/mod.ts";
import { fromJsonOptions } from "../text/tokenizer_json.ts";
import type { TokenizerFiles } from "../text/tokenizer_files.ts";
import { type GgufText, textOfGguf, textOfLoneGguf } from "./gguf_text.ts";
import {
  demandNoHub,
  type FolderOptions,
  type GivenFiles,
  type ModelFolder,
  openFolder,
  readJson,
} from "./model_folder.ts";

const loadOptions: OptionTable<FolderOptions & TokenizerFromJsonOptions> = {
  ...hubOptions,
  ...fromJsonOptions,
};

/**
 * The bytes of a file, or null where there is none.
 * @throws {FormatError} for one that is too large.
 */
async function bytesOf(folder: ModelFolder, name: string): Promise<Uint8Array | null> {
  const source = await folder.open(name);
  if (source === null) return null;
  try {
    if (source.size > mostText) throw new FormatError(`${source.name} is longer than ${mostText} bytes`);
    return await source.read(0, source.size);
  } finally {
    await source.close();
  }
}

/** The files of a folder from which its tokenizer is made; those that would not be looked at are not read. */
export async function tokenizerFiles(folder: ModelFolder): Promise<TokenizerFiles> {
  const json = await readJson(folder, "tokenizer.json"),
    config = await readJson(folder, "tokenizer_config.json");
  // What came before `added_tokens_decoder` counts where there is none.
  const isNew = ((config ?? {}) as { added_tokens_decoder?: unknown }).added_tokens_decoder;
  const older = isNew === undefined || isNew === null
    ? {
      specialTokensMap: await readJson(folder, "special_tokens_map.json"),
      addedTokens: await readJson(folder, "added_tokens.json"),
    }
    : {};
  if (json !== null) return { json, config, ...older };
  const vocab = await readJson(folder, "vocab.json"), merges = await folder.text("merges.txt");
  const model = vocab !== null && merges !== null ? null : await bytesOf(folder, "tokenizer.model");
  const words = vocab !== null || model !== null ? null : await folder.text("vocab.txt");
  const isAny = vocab !== null || merges !== null || model !== null || words !== null;
  const model_config = isAny
    ? await readJson(folder, "config.json") as { model_type?: unknown } | null
    : null;
  return { config, ...older, vocab, merges, model, words, modelType: model_config?.model_type };
}

/** Whether a tokenizer.json is all that there is to know. */
function isAlone({ json, config, specialTokensMap, addedTokens }: TokenizerFiles): boolean {
  if ((json ?? null) === null || (specialTokensMap ?? null) !== null || (addedTokens ?? null) !== null) {
    return false;
  }
  return Object.entries((config ?? {}) as Record<string, unknown>).every(([name, value]) =>
    plainFields.includes(name) || name === "added_tokens_decoder" && JSON.stringify(value) === "{}"
  );
}

/** Fields of tokenizer_config.json that change no ids. */
const plainFields: readonly string[] = [
  "tokenizer_class",
  "clean_up_tokenization_spaces",
  "chat_template",
  "model_max_length",
];

/** The tokenizer of a folder, or null when it holds none. */
export async function tokenizerOf(
  folder: ModelFolder,
  options: TokenizerFromJsonOptions = {},
): Promise<Tokenizer | null> {
  const files = await tokenizerFiles(folder);
  if (isAlone(files)) return await tokenizerFromJson(files.json, files.config, options);
  // Loaded when it is needed: what a page brings along says no more.
  const { tokenizerFromFiles } = await import("../text/tokenizer_files.ts");
  return await tokenizerFromFiles(files, folder.name, options);
}

/** The tokenizer in a GGUF's notes. */
async function ofGguf({ metadata, where }: GgufText): Promise<Tokenizer> {
  const { ggufTokenizer } = await import("../text/gguf_tokenizer.ts");
  const found = ggufTokenizer(metadata, where);
  if (found) return found;
  throw new FormatError(`${where} says nothing of a tokenizer`);
}

/**
 * Loads a Hugging Face tokenizer (`tokenizer.json`, `vocab.json` with `merges.txt`, SentencePiece's `tokenizer.model`, or BERT's
 * `vocab.txt`, with the files beside that name special tokens, or a GGUF's notes) from a folder, a URL, a hub
 * repository, or files at hand.
 *
 * @throws {FormatError} when there is none, or it is malformed.
 * @throws {OptionError} for options that do not exist, or values that they do not take.
 * @category Text
 */
export async function loadTokenizer(
  where: string | URL | GivenFiles | Openable,
  options: FolderOptions & TokenizerFromJsonOptions = {},
): Promise<Tokenizer> {
  demandNoMore(arguments, 2, "loadTokenizer");
  const { engine, ...rest } = checkOptions("loadTokenizer", options, loadOptions);
  const gguf = await toldAs("loadTokenizer", ["open"], () => textOfGguf(where));
  if (gguf) demandNoHub(where, rest);
  if (gguf) return await ofGguf(gguf);
  const folder = await toldAs(
    "loadTokenizer",
    ["load"],
    () => openFolder(where as string | URL | GivenFiles, rest),
  );
  const own = await tokenizerOf(folder, engine ? { engine } : {}),
    alone = own ? null : await textOfLoneGguf(folder);
  const found = own ?? (alone && await ofGguf(alone));
  if (!found) {
    throw new FormatError(
      `${folder.name} holds neither tokenizer.json nor vocab.json with merges.txt nor tokenizer.model nor vocab.txt`,
    );
  }
  return found;
}
