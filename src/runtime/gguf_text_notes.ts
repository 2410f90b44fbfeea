/**
 * What a folder says of texts, as the notes of a GGUF: its tokenizer, of whichever files, and its chat template.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import type { JsonObject } from "../core/json.ts";
import type { GgufNotes } from "../files/gguf/mod.ts";
import { mostText } from "../platform/platform.ts";
import { tokenizerNotes, type TokenizerSource } from "../text/gguf_notes.ts";
import { readSentencePieceParts } from "../text/sentencepiece/model_file.ts";
import { BpeTokenizer } from "../text/mod.ts";
import { folderChat } from "./chat_source.ts";
import { type ModelFolder, readJson } from "./model_folder.ts";

async function tokenizerSource(folder: ModelFolder): Promise<TokenizerSource | null> {
  const config = (await readJson(folder, "tokenizer_config.json") ?? {}) as JsonObject;
  const model = await folder.open("tokenizer.model");
  if (model !== null) {
    try {
      if (model.size > mostText) throw new FormatError(`${model.name} is longer than ${mostText} bytes`);
      const bytes = await model.read(0, model.size);
      const addBos = config.add_bos_token === true, addEos = config.add_eos_token === true;
      return { parts: await readSentencePieceParts(bytes, { addBos, addEos }), config };
    } finally {
      await model.close();
    }
  }
  const json = await readJson(folder, "tokenizer.json");
  if (json !== null) return { json: json as JsonObject, config };
  const vocab = await readJson(folder, "vocab.json");
  const merges = vocab === null ? null : await folder.text("merges.txt");
  if (merges === null) return null;
  const made = BpeTokenizer.fromVocabMerges(vocab as Record<string, number>, merges);
  return { json: made.toJSON() as JsonObject, config };
}

/** Notes of the folder's tokenizer and chat template. */
export async function textNotes(
  folder: ModelFolder,
  json: JsonObject,
  vocabSize: number,
  warn: (message: string) => void,
): Promise<GgufNotes> {
  const none = { "tokenizer.ggml.model": "none" }, source = await tokenizerSource(folder);
  if (source === null) {
    warn(`${folder.name} holds no tokenizer, and the file none`);
    return none;
  }
  const written = tokenizerNotes(source, json, vocabSize);
  if ("refused" in written) {
    warn(`the tokenizer is left out: ${written.refused}; give ids, or keep the folder's`);
    return none;
  }
  const notes = written.notes as GgufNotes, chat = await folderChat(folder);
  if (chat === null) return notes;
  const named = [...chat.templates].filter(([name]) => name !== "default"),
    own = chat.templates.get("default");
  return {
    ...notes,
    ...(own === undefined ? {} : { "tokenizer.chat_template": own }),
    ...(named.length === 0 ? {} : { "tokenizer.chat_templates": named.map(([name]) => name) }),
    ...Object.fromEntries(named.map(([name, template]) => [`tokenizer.chat_template.${name}`, template])),
  };
}
