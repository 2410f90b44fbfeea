/**
 * The tokenizer in a GGUF's notes: byte-level BPE ("gpt2"), BPE over characters ("gemma4"), SentencePiece ("llama", "t5") or
 * WordPiece ("bert").
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { counted, show } from "../core/show.ts";
import { type AddedToken, addedTokenToJSON } from "./added_tokens.ts";
import { BpeTokenizer } from "./bpe.ts";
import { splitPattern } from "./oniguruma.ts";
import { PipelineTokenizer } from "./pipeline/tokenizer.ts";
import { pieceTypes, type SentencePiece, SentencePieceTokenizer } from "./sentencepiece/tokenizer.ts";
import { beginsTexts, ggufSplits, ignoresMerges } from "./gguf_splits.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { gpt2Pattern } from "./white_space.ts";
import { WordPieceTokenizer } from "./wordpiece.ts";

/** Notes by name. */
export type TokenizerNotes = ReadonlyMap<string, unknown>;

/** Notes of `tokenizer.ggml.`, each of its kind. */
class Notes {
  readonly #notes: TokenizerNotes;
  readonly #where: string;

  constructor(notes: TokenizerNotes, where: string) {
    this.#notes = notes;
    this.#where = where;
  }

  fail(name: string, expected: string): never {
    throw new FormatError(`${this.#where}: tokenizer.ggml.${name} should be ${expected}`);
  }

  get(name: string): unknown {
    return this.#notes.get(`tokenizer.ggml.${name}`);
  }

  /** A note by its whole name. */
  whole(name: string): unknown {
    return this.#notes.get(name);
  }

  id(name: string, size: number, fallback?: number): number | undefined {
    const value = this.get(`${name}_token_id`) ?? fallback;
    if (value === undefined) return undefined;
    const isId = typeof value === "number" && Number.isInteger(value) && value >= 0;
    if (!isId) this.fail(`${name}_token_id`, "an id");
    // Some files name ids that their vocabulary does not have, to say there is none.
    return (value as number) < size ? value as number : undefined;
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.get(name) ?? fallback;
    return typeof value === "boolean" ? value : this.fail(name, "true or false");
  }

  texts(name: string): readonly string[] {
    const value = this.get(name);
    const isList = Array.isArray(value) && value.every((text) => typeof text === "string");
    return isList ? value : this.fail(name, "a list of texts");
  }

  numbers(name: string, length: number): ArrayLike<number> | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    const isList = ArrayBuffer.isView(value) && (value as unknown as ArrayLike<number>).length === length;
    return isList
      ? value as unknown as ArrayLike<number>
      : this.fail(name, `a list of ${counted(length, "number")}`);
  }
}

/** Tokens that end a turn or a text, which some files take for ordinary ones. */
const endings: ReadonlySet<string> = new Set([
  "<|eot_id|>",
  "<|im_end|>",
  "<|end|>",
  "<|return|>",
  "<|call|>",
  "<|flush|>",
  "<|calls|>",
  "<end_of_turn>",
  "<|endoftext|>",
  "<|eom_id|>",
  "<EOT>",
  "_<EOT>",
  "[EOT]",
  "[EOS]",
  "<|end_of_text|>",
  "<end_of_utterance>",
  "<\uff5cend\u2581of\u2581sentence\uff5c>",
]);

/** Marks of a format of answers, which are part of what is said. */
const shown: ReadonlySet<string> = new Set(["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"]);

/** Tokens that are found in a text before all else, with the white space that they take. */
function addedTokens(
  notes: Notes,
  tokens: readonly string[],
  types: ArrayLike<number> | undefined,
): AddedToken[] {
  const textOf = (value: unknown): string => typeof value === "string" ? value : "";
  const name = textOf(notes.whole("general.name")).toLowerCase(), pre = textOf(notes.get("pre"));
  const isPhi3 = /phi-?3/.test(name), keeps = ["<unk>", "<s>", "<|endoftext|>"];
  const mask = /jina-v2-(?:de|es|code)/.test(pre) || notes.whole("general.architecture") === "nomic-bert-moe"
    ? "<mask>"
    : name.includes("modern-bert")
    ? "[MASK]"
    : null;
  return tokens.flatMap((content, id): AddedToken[] => {
    const type = types?.[id] ?? pieceTypes.normal, isUser = type === pieceTypes.userDefined;
    const isFound = isUser || type === pieceTypes.control || type === pieceTypes.unknown ||
      endings.has(content);
    if (!isFound || content === "") return [];
    return [{
      id,
      content,
      special: !isUser && !shown.has(content),
      ...(isPhi3 && !keeps.includes(content) ? { rstrip: true } : {}),
      ...(content === mask ? { lstrip: true } : {}),
    }];
  });
}

/** Kinds of BPE whose tokens are texts with a sign for spaces, and bytes only for what has none. */
const textual: readonly unknown[] = ["gemma4", "sarvam-moe", "granite-embed-multi-311m"];

/** Pairs of tokens, in the order in which they are joined. */
function mergesIn(notes: Notes): [string, string][] {
  return notes.texts("merges").map((merge, k): [string, string] => {
    // Tokens have no spaces of their own here; the first one parts them.
    const at = merge.indexOf(" ", 1);
    return at > 0
      ? [merge.slice(0, at), merge.slice(at + 1)]
      : notes.fail("merges", `pairs, and entry ${k} is none`);
  });
}

/** BPE over characters, as Gemma 4 has it: a run of line feeds that is a token is one. */
function readTextual(notes: Notes): PipelineTokenizer {
  const tokens = notes.texts("tokens"), size = tokens.length, types = notes.numbers("token_type", size);
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const added = addedTokens(notes, tokens, types), known = new Set(added.map(({ id }) => id));
  const lines = tokens.flatMap((content, id): AddedToken[] =>
    /^\n+$/.test(content) && !known.has(id) ? [{ id, content, special: false }] : []
  );
  const all = [...added, ...lines].sort((a, b) => a.id - b.id), merges = mergesIn(notes);
  const bos = notes.id("bos", size), eos = notes.id("eos", size), sign = "\u2581";
  const isGemma = notes.get("pre") === "gemma4" || notes.get("model") === "gemma4";
  const put = (id: number | undefined, is: boolean): { SpecialToken: { id: string; type_id: number } }[] =>
    is && id !== undefined ? [{ SpecialToken: { id: tokens[id], type_id: 0 } }] : [];
  return new PipelineTokenizer({
    json: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: all.map(addedTokenToJSON),
      normalizer: { type: "Replace", pattern: { String: " " }, content: sign },
      pre_tokenizer: { type: "Split", pattern: { Regex: "\\n+" }, behavior: "Isolated", invert: false },
      post_processor: {
        type: "TemplateProcessing",
        single: [
          ...put(bos, isGemma || notes.flag("add_bos_token", false)),
          { Sequence: { id: "A", type_id: 0 } },
          ...put(eos, notes.flag("add_eos_token", false)),
        ],
        pair: [],
        special_tokens: Object.fromEntries(
          [bos, eos].flatMap((id) =>
            id === undefined ? [] : [[tokens[id], { id: tokens[id], ids: [id], tokens: [tokens[id]] }]]
          ),
        ),
      },
      decoder: {
        type: "Sequence",
        decoders: [
          { type: "Replace", pattern: { String: sign }, content: " " },
          { type: "ByteFallback" },
          { type: "Fuse" },
        ],
      },
      model: { type: "BPE", unk_token: null, byte_fallback: true, fuse_unk: false, vocab, merges },
    },
    addedTokens: all,
    merges,
    eosToken: eos === undefined ? undefined : tokens[eos],
  });
}

function readBpe(notes: Notes): BpeTokenizer | PipelineTokenizer {
  if (textual.includes(notes.get("pre"))) return readTextual(notes);
  const tokens = notes.texts("tokens"), types = notes.numbers("token_type", tokens.length);
  const pre = notes.get("pre") ?? "default", splits = typeof pre === "string" ? ggufSplits[pre] : undefined;
  if (typeof pre !== "string" || splits === undefined || !Object.hasOwn(ggufSplits, pre)) {
    notes.fail(
      "pre",
      `one of ${[...Object.keys(ggufSplits), ...textual].join(", ")}, not ${show(pre)}`,
    );
  }
  const bos = notes.id("bos", tokens.length), eos = notes.id("eos", tokens.length);
  const addBos = notes.flag("add_bos_token", beginsTexts.has(pre)) && bos !== undefined;
  const addEos = notes.flag("add_eos_token", false) && eos !== undefined;
  const isDefault = splits.length === 1 && splits[0] === gpt2Pattern;
  // Of tokens that stand twice the first counts; special ones are found in the text, not merged.
  const vocab = new Map<string, number>();
  tokens.forEach((token, id) => vocab.has(token) || vocab.set(token, id));
  return new BpeTokenizer({
    vocab,
    merges: mergesIn(notes),
    addedTokens: addedTokens(notes, tokens, types),
    ...(eos === undefined ? {} : { eosToken: tokens[eos] }),
    ...(isDefault ? {} : { splits: splits.map((source) => ({ source, pattern: splitPattern(source) })) }),
    ...(ignoresMerges.has(pre) ? { ignoreMerges: true } : {}),
    ...(addBos ? { prefixIds: [bos] } : {}),
    ...(addEos ? { suffixIds: [eos] } : {}),
  });
}

function readPieces(notes: Notes, model: "bpe" | "unigram"): SentencePieceTokenizer {
  const tokens = notes.texts("tokens"), size = tokens.length;
  const scores = notes.numbers("scores", size), types = notes.numbers("token_type", size);
  const unknown = notes.id("unknown", size) ?? 0;
  const pieces = tokens.map((text, id): SentencePiece => ({
    text,
    score: scores?.[id] ?? -id,
    type: id === unknown ? pieceTypes.unknown : types?.[id] ?? pieceTypes.normal,
  }));
  const bos = notes.id("bos", size, model === "bpe" ? 1 : undefined),
    eos = notes.id("eos", size, model === "bpe" ? 2 : 1),
    charsMap = notes.get("precompiled_charsmap");
  return new SentencePieceTokenizer({
    pieces,
    model,
    byteFallback: pieces.some(({ type }) => type === pieceTypes.byte),
    addedTokens: addedTokens(notes, tokens, types),
    addDummyPrefix: notes.flag("add_space_prefix", true),
    removeExtraWhitespaces: notes.flag("remove_extra_whitespaces", false),
    addBos: notes.flag("add_bos_token", model === "bpe"),
    addEos: notes.flag("add_eos_token", model === "unigram"),
    ...(charsMap instanceof Uint8Array || charsMap instanceof Int8Array
      ? { charsMap: new Uint8Array(charsMap) }
      : {}),
    ...(bos === undefined ? {} : { bosTokenId: bos }),
    ...(eos === undefined ? {} : { eosTokenId: eos }),
  });
}

/** Tokens of BERT as its own vocabulary has them: a GGUF writes ▁ before what begins a word, and drops the ##. */
function readWordPiece(notes: Notes): WordPieceTokenizer {
  const given = notes.texts("tokens"), types = notes.numbers("token_type", given.length);
  const isPhantom = given.some((token) => token.startsWith("\u2581"));
  const tokens = given.map((token, id) => {
    if (!isPhantom || types?.[id] === pieceTypes.control || types?.[id] === pieceTypes.unknown) return token;
    return token.startsWith("\u2581") ? token.slice(1) : `##${token}`;
  });
  const name = (id: string): string | undefined => tokens[notes.id(id, tokens.length) ?? -1];
  const unkToken = name("unknown"),
    clsToken = name("cls") ?? name("bos"),
    sepToken = name("seperator") ?? name("eos");
  const lowercase = notes.flag("normalizer.lowercase", true);
  return new WordPieceTokenizer({
    tokens,
    lowercase,
    stripAccents: notes.flag("normalizer.strip_accents", lowercase),
    ...(unkToken === undefined ? {} : { unkToken }),
    ...(clsToken === undefined ? {} : { clsToken }),
    ...(sepToken === undefined ? {} : { sepToken }),
  });
}

/**
 * The tokenizer that a GGUF's notes describe, or null where they describe none.
 *
 * @throws {FormatError} for notes that are not of their kind, and for kinds of tokenizers that are not read.
 */
export function ggufTokenizer(metadata: TokenizerNotes, where: string): Tokenizer | null {
  const notes = new Notes(metadata, where), model = notes.get("model");
  if (model === undefined || model === "none" || model === "no_vocab") return null;
  switch (model) {
    case "gpt2":
      return readBpe(notes);
    case "gemma4":
      return readTextual(notes);
    case "llama":
      return readPieces(notes, "bpe");
    case "t5":
      return readPieces(notes, "unigram");
    case "bert":
      return readWordPiece(notes);
    default:
      return notes.fail("model", `gpt2, llama, t5, bert or gemma4, not ${show(model)}`);
  }
}
