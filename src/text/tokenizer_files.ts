/**
 * A tokenizer from the files of a folder, whichever of them there are, as the fast tokenizers of `transformers` read them:
 * a tokenizer.json before all else; then what the class has, SentencePiece's tokenizer.model, vocab.json with merges.txt, or
 * vocab.txt. What the files beside say of special tokens, and of what begins and ends a text, is added to it.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { demand, demandObject, type JsonObject } from "../core/json.ts";
import { flag, text, whole } from "../core/kinds.ts";
import { show } from "../core/show.ts";
import { addedTokenToJSON } from "./added_tokens.ts";
import {
  around,
  beginsTexts,
  defaultTokens,
  type Manner,
  mannerOf,
  pairJson,
  wordsJson,
} from "./folder_json.ts";
import { readSentencePieceParts } from "./sentencepiece/model_file.ts";
import { pieceTypes, SentencePieceTokenizer } from "./sentencepiece/tokenizer.ts";
import {
  type TokenFiles,
  type TokenName,
  type TokenSettings,
  tokenSettings,
  type TokenText,
  withTokens,
} from "./special_tokens.ts";
import type { Tokenizer } from "./tokenizer.ts";
import {
  readAddedTokens,
  readAround,
  tokenizerFromJson,
  type TokenizerFromJsonOptions,
} from "./tokenizer_json.ts";
import { maxId, vocabularyMap } from "./vocabulary.ts";

/** What a folder holds of a tokenizer; null, or absent, where it does not. */
export interface TokenizerFiles extends TokenFiles {
  /** The value of tokenizer.json. */
  readonly json?: unknown;
  /** The value of vocab.json, and the text of merges.txt. */
  readonly vocab?: unknown;
  readonly merges?: string | null;
  /** The text of vocab.txt. */
  readonly words?: string | null;
  /** The bytes of tokenizer.model. */
  readonly model?: Uint8Array | null;
  /** `model_type` in config.json, for folders whose tokenizer names no class. */
  readonly modelType?: unknown;
}

/** A field of the configuration that is true or false, undefined where it is not said. */
function choice(config: JsonObject, name: string, where: string): boolean | undefined {
  const value = config[name];
  return value === undefined || value === null
    ? undefined
    : demand<boolean>(value, flag, `${where}/tokenizer_config.json: ${name}`);
}

/** The vocabulary of a tokenizer.json's model, and how many entries it has. */
function vocabularyOf(json: JsonObject): ReadonlyMap<string, number> {
  const { vocab } = demandObject(json.model, '"model" of tokenizer.json');
  if (Array.isArray(vocab)) {
    const tokenOf = (entry: unknown, id: number): string =>
      demand((entry as unknown[] | null)?.[0], text, `token ${id} of tokenizer.json`);
    return new Map(vocab.map((entry, id) => [tokenOf(entry, id), id]));
  }
  return vocabularyMap(demandObject(vocab, '"model.vocab" of tokenizer.json') as Record<string, number>);
}

/** What begins and ends a text, where the configuration says so. */
function processorOf(
  json: JsonObject,
  settings: TokenSettings,
  idOf: (content: string) => number | undefined,
  where: string,
): unknown {
  const { config, named } = settings, own = json.post_processor ?? null;
  const begin = choice(config, "add_bos_token", where), end = choice(config, "add_eos_token", where);
  const isSaid = begin !== undefined || end !== undefined;
  if (!isSaid && !(own === null && beginsTexts(config))) return own;
  const put = (isPut: boolean, name: TokenName): (readonly [string, number])[] => {
    if (!isPut) return [];
    const content = named.get(name)?.content, id = content === undefined ? undefined : idOf(content);
    if (content !== undefined && id !== undefined) return [[content, id]];
    throw new FormatError(
      `${where}/tokenizer_config.json: add_${name} is true, and ${name} is ${
        show(content ?? null)
      }, which is no token`,
    );
  };
  const before = put(begin ?? (!isSaid || beginsTexts(config)), "bos_token"),
    after = put(end ?? false, "eos_token");
  const now = readAround(own), ids = (list: typeof before): string => list.map(([, id]) => id).join();
  // What comes to the same stays as it is written.
  return now && now.prefixIds.join() === ids(before) && now.suffixIds.join() === ids(after)
    ? own
    : around(before, after);
}

/** Steps of a Sequence, or the one that there is. */
function steps(value: unknown, inner: string): JsonObject[] {
  if (value === null || value === undefined) return [];
  const part = value as JsonObject;
  return part.type === "Sequence" && Array.isArray(part[inner]) ? part[inner] as JsonObject[] : [part];
}

function sequence(list: readonly JsonObject[], inner: string): JsonObject | null {
  return list.length > 1 ? { type: "Sequence", [inner]: list } : list[0] ?? null;
}

/** A file whose texts begin with a space of their own, or do not, as the configuration has it. */
function withPrefixSpace(json: JsonObject, isPrefixed: boolean): JsonObject {
  const cuts = steps(json.pre_tokenizer, "pretokenizers"), last = cuts.at(-1);
  if (last?.type === "ByteLevel" && last.add_prefix_space !== isPrefixed) {
    const own = [...cuts.slice(0, -1), { ...last, add_prefix_space: isPrefixed }];
    return { ...json, pre_tokenizer: sequence(own, "pretokenizers") };
  }
  if (isPrefixed) return json;
  const isPrepend = (part: JsonObject): boolean => part.type === "Prepend" && part.prepend === "▁";
  const normal = steps(json.normalizer, "normalizers");
  const isMetaspace = (part: JsonObject): boolean =>
    part.type === "Metaspace" && part.prepend_scheme !== "never";
  if (!normal.some(isPrepend) && !cuts.some(isMetaspace)) return json;
  return {
    ...json,
    normalizer: sequence(normal.filter((part) => !isPrepend(part)), "normalizers"),
    pre_tokenizer: sequence(
      cuts.map((part) =>
        isMetaspace(part) ? { ...part, prepend_scheme: "never", add_prefix_space: false } : part
      ),
      "pretokenizers",
    ),
    decoder: sequence(
      steps(json.decoder, "decoders").filter(({ type, content }) => !(type === "Strip" && content === " "))
        .map((part) =>
          isMetaspace(part) ? { ...part, prepend_scheme: "never", add_prefix_space: false } : part
        ),
      "decoders",
    ),
  };
}

/** BERT's normalizer, as the configuration has it. */
function withBertChoices(json: JsonObject, config: JsonObject, where: string): JsonObject {
  const normalizer = json.normalizer as JsonObject | null | undefined;
  if (normalizer?.type !== "BertNormalizer") return json;
  const lowercase = choice(config, "do_lower_case", where),
    strip_accents = choice(config, "strip_accents", where);
  const handle_chinese_chars = choice(config, "tokenize_chinese_chars", where);
  const given = { lowercase, strip_accents, handle_chinese_chars };
  const changed = Object.entries(given).filter(([name, value]) =>
    value !== undefined && normalizer[name] !== value
  );
  return changed.length === 0
    ? json
    : { ...json, normalizer: { ...normalizer, ...Object.fromEntries(changed) } };
}

/** A tokenizer.json with what the files beside it say. */
export function completed(json: JsonObject, settings: TokenSettings, where: string): JsonObject {
  const { config } = settings;
  let out = withBertChoices(json, config, where);
  const isPrefixed = choice(config, "add_prefix_space", where);
  if (isPrefixed !== undefined) out = withPrefixSpace(out, isPrefixed);
  const known = readAddedTokens(json.added_tokens);
  let vocab: ReadonlyMap<string, number> | undefined;
  const inVocabulary = (content: string): number | undefined => (vocab ??= vocabularyOf(json)).get(content);
  const byContent = new Map(known.map((token) => [token.content, token]));
  const isNews = settings.tokens.some((token) => {
    const old = byContent.get(token.content);
    return old === undefined || !token.isPlain || old.special === false;
  });
  if (isNews) {
    const vocabulary = vocab ??= vocabularyOf(json);
    const added = withTokens(known, settings.tokens, (content) => vocabulary.get(content), vocabulary.size);
    for (const token of added) byContent.set(token.content, token);
    if (JSON.stringify(added) !== JSON.stringify(known)) {
      out = { ...out, added_tokens: added.map(addedTokenToJSON) };
    }
  }
  const processor = processorOf(
    out,
    settings,
    (text) => byContent.get(text)?.id ?? inVocabulary(text),
    where,
  );
  return processor === (json.post_processor ?? null) ? out : { ...out, post_processor: processor };
}

/** Settings in which tokens that a class has are named where no file does, if the vocabulary has them. */
function withDefaults(
  settings: TokenSettings,
  manner: Manner,
  has: (content: string) => boolean,
): TokenSettings {
  const named = new Map(settings.named), tokens: TokenText[] = [...settings.tokens];
  for (const [name, token] of Object.entries(defaultTokens[manner]) as [TokenName, TokenText][]) {
    if (named.has(name) || !has(token.content) || settings.config[name] === null) continue;
    named.set(name, token);
    if (!tokens.some(({ content }) => content === token.content)) tokens.push(token);
  }
  return { ...settings, named, tokens };
}

/** The most pieces that T5 puts behind its vocabulary. */
const mostExtraIds = 10_000;

async function fromModel(
  model: Uint8Array,
  files: TokenizerFiles,
  given: TokenSettings,
  where: string,
): Promise<SentencePieceTokenizer> {
  const allowed: Manner[] = ["llama", "gemma", "t5"], { config } = given;
  const manner = mannerOf(config, files.modelType, allowed, "sentencepiece", "tokenizer.model");
  const parts = await readSentencePieceParts(model), pieces = [...parts.pieces];
  if (manner === "t5") {
    const count = demand<number>(config.extra_ids ?? 100, whole(0, mostExtraIds), `${where}: extra_ids`);
    for (let i = count - 1; i >= 0; i--) {
      pieces.push({ text: `<extra_id_${i}>`, score: 0, type: pieceTypes.control });
    }
  }
  const ids = new Map(pieces.map(({ text }, id) => [text, id]));
  const settings = withDefaults(given, manner, (content) => ids.has(content));
  const added = withTokens([], settings.tokens, (content) => ids.get(content), pieces.length);
  for (const { content, id } of added) ids.set(content, id);
  const begin = choice(config, "add_bos_token", where) ?? (manner === "llama" || manner === "gemma");
  const end = choice(config, "add_eos_token", where) ?? manner === "t5";
  const idOf = (name: TokenName, fallback: number | undefined): number | undefined =>
    ids.get(settings.named.get(name)?.content ?? "") ?? fallback;
  const bosTokenId = idOf("bos_token", parts.bosTokenId), eosTokenId = idOf("eos_token", parts.eosTokenId);
  for (
    const [isPut, name, id] of [[begin, "bos_token", bosTokenId], [end, "eos_token", eosTokenId]] as const
  ) {
    if (isPut && id === undefined) {
      throw new FormatError(`${where}: texts begin or end with ${name}, and tokenizer.model has none`);
    }
  }
  const isPrefixed = choice(config, "add_prefix_space", where);
  try {
    return new SentencePieceTokenizer({
      ...parts,
      pieces,
      addedTokens: added,
      // As SentencePiece itself, where no file says that a class of transformers reads it.
      controlsInText: manner !== "sentencepiece",
      addBos: begin,
      addEos: end,
      ...(isPrefixed === undefined ? {} : { addDummyPrefix: isPrefixed }),
      ...(manner === "llama" && choice(config, "legacy", where) === false ? { prefixFirst: true } : {}),
      ...(bosTokenId === undefined ? {} : { bosTokenId }),
      ...(eosTokenId === undefined ? {} : { eosTokenId }),
    });
  } catch (cause) {
    throw new FormatError(`tokenizer.model: ${(cause as Error).message}`, { cause });
  }
}

/** The vocabulary in a vocab.json. */
function checkedVocabulary(value: unknown, where: string): Map<string, number> {
  const vocab = vocabularyMap(demandObject(value, where) as Record<string, number>);
  for (const [token, id] of vocab) demand(id, whole(0, maxId), `${where}: the id of token ${show(token)}`);
  return vocab;
}

/**
 * The tokenizer of a folder's files, or null where there is none. `where` names the folder in messages.
 *
 * @throws {FormatError} for files that are malformed, lack another, or are of a class that is read from no such file.
 */
export async function tokenizerFromFiles(
  files: TokenizerFiles,
  where: string,
  options: TokenizerFromJsonOptions = {},
): Promise<Tokenizer | null> {
  const settings = tokenSettings(files, where), { config } = settings;
  if (choice(config, "split_special_tokens", where) === true) {
    throw new FormatError(
      `${where}/tokenizer_config.json: split_special_tokens is true, which is not read; give splitSpecialTokens to encode`,
    );
  }
  const read = (json: JsonObject, own: TokenSettings): Promise<Tokenizer> => {
    const eos = own.named.get("eos_token")?.content;
    return tokenizerFromJson(completed(json, own, where), {
      ...(eos === undefined ? {} : { eos_token: eos }),
    }, options);
  };
  if (files.json !== undefined && files.json !== null) {
    return await read(demandObject(files.json, `${where}/tokenizer.json`), settings);
  }
  const { vocab, merges = null, words = null, model = null, modelType } = files,
    hasVocab = (vocab ?? null) !== null;
  if (hasVocab && merges !== null) {
    const manner = mannerOf(
      config,
      modelType,
      ["gpt2", "qwen2", "roberta"],
      "gpt2",
      "vocab.json and merges.txt",
    );
    const ids = checkedVocabulary(vocab, `${where}/vocab.json`);
    const own = withDefaults(settings, manner, (content) => ids.has(content));
    return await read(pairJson(manner, ids, merges, own), own);
  }
  if (model !== null) return await fromModel(model, files, settings, where);
  if (words !== null) {
    mannerOf(config, modelType, ["bert"], "bert", "vocab.txt");
    const ids = new Set(words.split(/\r?\n/));
    const own = withDefaults(settings, "bert", (content) => ids.has(content));
    return await read(wordsJson(words, own), own);
  }
  if (!hasVocab && merges === null) return null;
  throw new FormatError(
    hasVocab ? `${where} holds vocab.json and no merges.txt` : `${where} holds merges.txt and no vocab.json`,
  );
}
