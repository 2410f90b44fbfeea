/**
 * A tokenizer's files as the notes of a GGUF, the way llama.cpp's converter writes them.
 *
 * Byte-level BPE is "gpt2", named by how it cuts texts (`pre`); pieces with byte fallback are "llama", where a merge's rank
 * becomes the score of what it makes; "t5" is Unigram and "bert" WordPiece. What none of them is has no notes.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { counted, listed } from "../core/show.ts";
import type { AddedToken } from "./added_tokens.ts";
import { byteSymbols } from "./bytes.ts";
import { pieceTypes, type SentencePieceParts } from "./sentencepiece/tokenizer.ts";
import { ggufSplits, ignoresMerges } from "./gguf_splits.ts";
import { splitPattern } from "./oniguruma.ts";
import { pieceEnds } from "./split.ts";
import { readAddedTokens, readAround, readMerges, readSplits } from "./tokenizer_json.ts";
import { gpt2Pattern } from "./white_space.ts";

type Json = Record<string, unknown>;

/** What tokenizers are written from. */
export type TokenizerSource =
  | { readonly json: Json; readonly config: Json }
  | { readonly parts: SentencePieceParts; readonly config: Json };

/** Notes of `tokenizer.ggml.`, or why there are none. */
export type WrittenTokenizer = { readonly notes: Record<string, unknown> } | { readonly refused: string };

/** Tokens by id, with scores and types. */
class Tokens {
  readonly texts: (string | undefined)[] = [];
  readonly scores: number[] = [];
  readonly types: number[] = [];
  readonly ids = new Map<string, number>();

  set(id: number, text: string, type: number = pieceTypes.normal, score = 0): void {
    this.texts[id] = text;
    this.types[id] = type;
    this.scores[id] = score;
    if (!this.ids.has(text)) this.ids.set(text, id);
  }

  /** Added tokens take their ids, whatever stands there. */
  add(added: readonly AddedToken[], score: number): void {
    for (const { id, content, special } of added) {
      this.set(
        id,
        content,
        special || looksSpecial(content) ? pieceTypes.control : pieceTypes.userDefined,
        score,
      );
    }
  }

  /** The lists, as long as the model's vocabulary: what has no token is unused. */
  notes(size: number, withScores: boolean): Record<string, unknown> {
    const places = Array.from({ length: size }, (_, id) => this.texts[id] !== undefined);
    return {
      "tokenizer.ggml.tokens": places.map((is, id) => is ? this.texts[id]! : `[PAD${id}]`),
      ...(withScores
        ? { "tokenizer.ggml.scores": Float32Array.from(places, (is, id) => is ? this.scores[id] : -10_000) }
        : {}),
      "tokenizer.ggml.token_type": Int32Array.from(
        places,
        (is, id) => is ? this.types[id] : pieceTypes.unused,
      ),
    };
  }
}

/** Tokens that some files add as if they were texts (after llama.cpp's converter). */
function looksSpecial(text: string): boolean {
  return /^<\|.*\|>$|^<｜.*｜>$|^<unused.*>$|^(?:<pad>|<mask>|<2mass>|\[@BOS@\])$/u.test(text);
}

/** A text in which any two ways of cutting differ (llama.cpp's own). */
const checkText =
  "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n🚀 (normal) 😶\u200d🌫️ (multiple emojis concatenated) ✅ 🦙🦙 3 33 333 3333 33333 333333 3333333 33333333 3.3 3..3 3...3 កាន់តែពិសេសអាច😁 ?我想在apple工作1314151天～ ------======= нещо на Български ''''''```````\"\"\"\"......!!!!!!?????? I've been 'told he's there, 'RE you sure? 'M not sure I'll make it, 'D you like some tea? We'Ve a'lL";

/** Names that are tried first: of several that cut alike, the best known. */
const bestKnown = ["gpt-2", "llama-bpe", "smaug-bpe", "qwen2", "smollm", "gpt-4o"];

/** The `pre` that cuts texts as these expressions do, or null. */
export function ggufPre(splits: readonly string[] | null, ignoreMerges: boolean): string | null {
  const ends = (patterns: readonly string[]): string =>
    pieceEnds(checkText, 0, checkText.length, patterns.map(splitPattern)).join();
  const own = ends(splits ?? [gpt2Pattern]);
  for (const name of [...bestKnown, ...Object.keys(ggufSplits)]) {
    const theirs = ggufSplits[name];
    if (theirs && ignoresMerges.has(name) === ignoreMerges && ends(theirs) === own) return name;
  }
  return null;
}

/** The text of a token in a tokenizer_config.json. */
function contentOf(token: unknown): string | undefined {
  const text = typeof token === "object" && token !== null ? (token as Json).content : token;
  return typeof text === "string" ? text : undefined;
}

const roles: readonly (readonly [role: string, field: string])[] = [
  ["bos", "bos_token"],
  ["eos", "eos_token"],
  ["unknown", "unk_token"],
  ["padding", "pad_token"],
  ["seperator", "sep_token"],
  ["cls", "cls_token"],
  ["mask", "mask_token"],
];

/** Ids of special tokens: those of the tokenizer's configuration, or of the model's. */
function specialIds(tokens: Tokens, config: Json, model: Json, size: number): Record<string, unknown> {
  const out: Record<string, unknown> = {}, names: Record<string, string> = { unknown: "unk", padding: "pad" };
  for (const [role, field] of roles) {
    const content = contentOf(config[field]), given = model[`${names[role] ?? role}_token_id`];
    const id = (content === undefined ? undefined : tokens.ids.get(content)) ??
      (Array.isArray(given) ? given[0] : given);
    if (Number.isInteger(id) && (id as number) >= 0 && (id as number) < size) {
      out[`tokenizer.ggml.${role}_token_id`] = id;
    }
  }
  return out;
}

/** Whether texts begin or end with their token: by what the tokenizer does, or else its configuration. */
function around(
  ids: Record<string, unknown>,
  config: Json,
  found: { prefixIds: readonly number[]; suffixIds: readonly number[] } | undefined,
): Record<string, unknown> {
  const is = (list: readonly number[] | undefined, role: string, fallback: unknown): boolean => {
    if (list === undefined || list.length === 0) return fallback === true && list === undefined;
    if (list.length === 1 && list[0] === ids[`tokenizer.ggml.${role}_token_id`]) return true;
    throw new FormatError(
      `texts are put between tokens ${
        listed(list)
      }, which a GGUF does not say: it has one of ${role} at most`,
    );
  };
  return {
    "tokenizer.ggml.add_bos_token": is(found?.prefixIds, "bos", config.add_bos_token),
    "tokenizer.ggml.add_eos_token": is(found?.suffixIds, "eos", config.add_eos_token),
  };
}

/** Every step of a pre-tokenizer, a normalizer or a decoder. */
function stepsOf(value: unknown): Json[] {
  if (typeof value !== "object" || value === null) return [];
  const { type, normalizers, pretokenizers, decoders } = value as Json;
  const inner = normalizers ?? pretokenizers ?? decoders;
  return type === "Sequence" && Array.isArray(inner) ? inner.flatMap(stepsOf) : [value as Json];
}

/** Whether a text gets a space put before it. */
function addsSpace(json: Json): boolean {
  return [...stepsOf(json.normalizer), ...stepsOf(json.pre_tokenizer)].some((step) =>
    step.type === "Prepend" && step.prepend === "▁" ||
    step.type === "Metaspace" && (step.prepend_scheme ?? "always") !== "never" &&
      step.add_prefix_space !== false
  );
}

function bytesOf(base64: unknown): Uint8Array | null {
  return typeof base64 === "string" ? Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)) : null;
}

/** A space in a token of a merge stands for itself nowhere in llama.cpp. */
const merged = (token: string): string => token.replaceAll(" ", "Ġ");

function fromJson(json: Json, config: Json, model: Json, size: number): WrittenTokenizer {
  const inner = (json.model ?? {}) as Json, added = readAddedTokens(json.added_tokens), tokens = new Tokens();
  const put = (vocab: unknown): void => {
    for (const [text, id] of Object.entries(vocab as Record<string, number>)) tokens.set(id, text);
  };
  const kind = inner.type ?? ("merges" in inner ? "BPE" : Array.isArray(inner.vocab) ? "Unigram" : undefined);
  const finish = (name: string, more: Record<string, unknown>, withScores: boolean): WrittenTokenizer => {
    const beyond = tokens.texts.findIndex((text, id) => text !== undefined && id >= size);
    if (beyond >= 0) {
      return { refused: `it has token ${beyond}, and the model's vocabulary ${counted(size, "token")}` };
    }
    const ids = specialIds(tokens, config, model, size);
    return {
      notes: {
        "tokenizer.ggml.model": name,
        ...more,
        ...tokens.notes(size, withScores),
        ...ids,
        ...(name === "bert" ? {} : around(ids, config, readAround(json.post_processor))),
      },
    };
  };
  if (kind === "BPE" && inner.byte_fallback !== true) {
    put(inner.vocab);
    const splits = readSplits((json.pre_tokenizer ?? {}) as Json);
    if (splits === undefined || byteSymbols.some((symbol) => !tokens.ids.has(symbol))) {
      return { refused: "it is no byte-level BPE" };
    }
    const pre = ggufPre(splits, inner.ignore_merges === true);
    if (pre === null) return { refused: "llama.cpp has no way of cutting texts that is this one's" };
    tokens.add(added, 0);
    const merges = readMerges(inner.merges).map(([a, b]) => `${merged(a)} ${merged(b)}`);
    return finish("gpt2", { "tokenizer.ggml.pre": pre, "tokenizer.ggml.merges": merges }, false);
  }
  if (kind === "BPE") {
    put(inner.vocab);
    // A piece is joined the earlier, the earlier the merge that makes it.
    readMerges(inner.merges).forEach(([a, b], rank) => {
      const id = tokens.ids.get(a + b);
      if (id !== undefined && tokens.scores[id] === 0) tokens.scores[id] = -(rank + 1);
    });
    tokens.texts.forEach((text, id) => {
      if (/^<0x[0-9A-Fa-f]{2}>$/.test(text!)) tokens.types[id] = pieceTypes.byte;
    });
    tokens.add(added, -1000);
    const unknown = tokens.ids.get(contentOf(inner.unk_token) ?? contentOf(config.unk_token) ?? "<unk>");
    if (unknown !== undefined) tokens.types[unknown] = pieceTypes.unknown;
    return finish("llama", {
      "tokenizer.ggml.pre": "default",
      "tokenizer.ggml.add_space_prefix": addsSpace(json),
    }, true);
  }
  if (kind === "Unigram") {
    (inner.vocab as [string, number][]).forEach(([text, score], id) =>
      tokens.set(
        id,
        text,
        id === inner.unk_id
          ? pieceTypes.unknown
          : inner.byte_fallback === true && /^<0x[0-9A-Fa-f]{2}>$/.test(text)
          ? pieceTypes.byte
          : pieceTypes.normal,
        score,
      )
    );
    const scores = tokens.scores.slice();
    tokens.add(added.filter(({ id }) => id !== inner.unk_id), 0);
    scores.forEach((score, id) => tokens.scores[id] = score);
    const charsMap = stepsOf(json.normalizer).map((step) => bytesOf(step.precompiled_charsmap)).find((m) =>
      m !== null
    );
    return finish("t5", {
      "tokenizer.ggml.pre": "default",
      "tokenizer.ggml.add_space_prefix": addsSpace(json),
      "tokenizer.ggml.remove_extra_whitespaces": stepsOf(json.normalizer).some((step) =>
        step.type === "Strip"
      ),
      ...(charsMap ? { "tokenizer.ggml.precompiled_charsmap": charsMap } : {}),
    }, true);
  }
  if (kind === "WordPiece") {
    put(inner.vocab);
    tokens.add(added, 0);
    const isWord = (id: number): boolean => tokens.types[id] === pieceTypes.normal;
    tokens.texts.forEach((text, id) => {
      // What begins a word is marked rather than what goes on with it.
      if (isWord(id)) tokens.texts[id] = text!.startsWith("##") ? text!.slice(2) : `▁${text}`;
    });
    const unknown = tokens.ids.get(contentOf(inner.unk_token) ?? "[UNK]");
    if (unknown !== undefined) tokens.types[unknown] = pieceTypes.unknown;
    return finish("bert", { "tokenizer.ggml.pre": "default", "tokenizer.ggml.token_type_count": 2 }, false);
  }
  return { refused: `it is of the kind ${String(kind)}` };
}

function fromParts(parts: SentencePieceParts, config: Json, model: Json, size: number): WrittenTokenizer {
  const tokens = new Tokens();
  parts.pieces.forEach(({ text, type, score }, id) => tokens.set(id, text, type, score));
  const added = Object.entries((config.added_tokens_decoder ?? {}) as Record<string, Json>);
  tokens.add(
    added.filter(([, token]) => typeof token?.content === "string").map(([id, token]) => ({
      id: Number(id),
      content: token.content as string,
      special: token.special === true,
    })).filter(({ id, content }) => tokens.texts[id] !== content),
    -1000,
  );
  if (tokens.texts.length > size) {
    return { refused: `it has ${counted(tokens.texts.length, "token")}, and the model's vocabulary ${size}` };
  }
  const ids = specialIds(tokens, config, {
    bos_token_id: parts.bosTokenId,
    eos_token_id: parts.eosTokenId,
    ...model,
  }, size);
  return {
    notes: {
      "tokenizer.ggml.model": parts.model === "bpe" ? "llama" : "t5",
      "tokenizer.ggml.pre": "default",
      ...tokens.notes(size, true),
      ...ids,
      "tokenizer.ggml.add_bos_token": parts.addBos === true,
      "tokenizer.ggml.add_eos_token": parts.addEos === true,
      "tokenizer.ggml.add_space_prefix": parts.addDummyPrefix,
      "tokenizer.ggml.remove_extra_whitespaces": parts.removeExtraWhitespaces,
      ...(parts.charsMap && parts.charsMap.length > 0
        ? { "tokenizer.ggml.precompiled_charsmap": parts.charsMap }
        : {}),
    },
  };
}

/**
 * The notes of a tokenizer for a model of `size` tokens, whose `config.json` is `model`.
 *
 * @throws {FormatError} for files that are malformed, and for tokens around a text that no GGUF says.
 */
export function tokenizerNotes(source: TokenizerSource, model: Json, size: number): WrittenTokenizer {
  return "json" in source
    ? fromJson(source.json, source.config, model, size)
    : fromParts(source.parts, source.config, model, size);
}
