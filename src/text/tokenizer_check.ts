/**
 * What a tokenizer.json may say, looked at before `@huggingface/tokenizers` does.
 *
 * That package believes its file. What it would choke on is refused here: ids that are no ids, parts of no known form,
 * and what makes work without end or a text of any length out of a short one.
 *
 * @module
 */
import { FormatError } from "../core/errors.ts";
import { demand, demandList, demandObject, type JsonObject } from "../core/json.ts";
import { kind, orNull, someText, text, whole } from "../core/kinds.ts";
import { show } from "../core/show.ts";
import { demandEnding } from "./backtracking.ts";
import { maxId } from "./vocabulary.ts";

/** The most parts (normalizers, pre-tokenizers, decoders, post-processors, with those inside). */
const mostParts = 256;

/** How many times longer the parts may make a text. */
const mostGrowth = 1000;

/** The longest word a WordPiece looks into; it looks at each part of each. */
const longestWord = 1000;

/** How many tokens may begin with each other; a Unigram looks at all of them at each character. */
const deepestPrefix = 64;

/** The most entries of a post-processor's template, and how often a text may stand in it. */
const mostPieces = 1000, mostTexts = 8;

const id = whole(0, maxId);
const maybeText = kind("a text, or null", (x) => x === undefined || orNull(text).accepts(x));

function checkVocabulary(model: JsonObject): void {
  if (Array.isArray(model.vocab) !== (model.type === "Unigram")) {
    throw new FormatError(
      `"model.vocab" of tokenizer.json is ${show(model.vocab)}, and that of the type ${show(model.type)} is ${
        model.type === "Unigram" ? "a list of tokens, each with its score" : "the ids of tokens by their text"
      }`,
    );
  }
  if (Array.isArray(model.vocab)) return checkScores(model, model.vocab);
  for (const [token, value] of Object.entries(demandObject(model.vocab, '"model.vocab" of tokenizer.json'))) {
    demand(value, id, `the id of token ${JSON.stringify(token.slice(0, 40))} in tokenizer.json`);
  }
}

/** A Unigram's vocabulary: [token, score]. */
function checkScores(model: JsonObject, vocab: readonly unknown[]): void {
  const tokens: string[] = [];
  for (const [i, entry] of vocab.entries()) {
    const where = `token ${i} of tokenizer.json`, pair = demandList(entry, where);
    if (pair.length !== 2) {
      throw new FormatError(`${where} is a list of ${pair.length}, expected a text and a score`);
    }
    tokens.push(demand<string>(pair[0], text, where));
    demand(pair[1], kind("a number", Number.isFinite), `the score of ${where}`);
  }
  if (tokens.length === 0) throw new FormatError('"model.vocab" of tokenizer.json is empty');
  demand(model.unk_id ?? null, orNull(whole(0, tokens.length - 1)), '"model.unk_id" of tokenizer.json');
  const stack: string[] = [];
  for (const token of tokens.sort()) {
    while (stack.length && !token.startsWith(stack[stack.length - 1])) stack.pop();
    stack.push(token);
    if (stack.length > deepestPrefix) {
      throw new FormatError(
        `tokenizer.json has more than ${deepestPrefix} tokens that begin with each other`,
      );
    }
  }
}

function checkModel(model: JsonObject): void {
  const where = '"model" of tokenizer.json';
  checkVocabulary(model);
  demand(model.type, kind("a text", (x) => x === undefined || text.accepts(x)), `"type" in ${where}`);
  for (const name of ["unk_token", "continuing_subword_prefix", "end_of_word_suffix"]) {
    demand(model[name], maybeText, `"${name}" in ${where}`);
  }
  if (model.max_input_chars_per_word !== undefined) {
    demand(model.max_input_chars_per_word, whole(0, longestWord), `"max_input_chars_per_word" in ${where}`);
  }
  if (model.type !== "BPE" && model.merges === undefined) return;
  for (const [i, merge] of demandList(model.merges, `"merges" in ${where}`).entries()) {
    const pair = typeof merge === "string" ? merge.split(" ") : merge;
    if (!Array.isArray(pair) || pair.length !== 2 || !pair.every((part) => typeof part === "string")) {
      throw new FormatError(`merge ${i} of tokenizer.json should be two tokens, as "a b" or ["a", "b"]`);
    }
  }
}

/** Walks through the parts of one kind. */
class Parts {
  #count = 0;

  /** How many times longer a part makes a text at most; checks it, and those inside. */
  growth(value: unknown, where: string): number {
    if (value === undefined || value === null) return 1;
    const part = demandObject(value, where);
    if (++this.#count > mostParts) throw new FormatError(`tokenizer.json has more than ${mostParts} parts`);
    const type = demand<string>(part.type, someText, `"type" in ${where}`), here = `${type} in ${where}`;
    switch (type) {
      case "Sequence": {
        const list = part.normalizers ?? part.pretokenizers ?? part.decoders ?? part.processors ?? [];
        return demandList(list, here).reduce<number>(
          (all, inner) => all * this.growth(demandObject(inner, here), here),
          1,
        );
      }
      case "Replace": {
        const length = demand<string>(part.content ?? "", text, `"content" of ${here}`).length;
        const [least, isPlain] = patternLength(part.pattern, here);
        return isPlain && least > 0 ? Math.max(1, length / least) : 1 + length;
      }
      case "Split":
        patternLength(part.pattern, here);
        demand(part.behavior, maybeText, `"behavior" of ${here}`);
        return 1;
      case "Metaspace":
        for (const name of ["replacement", "str_rep", "prepend_scheme"]) {
          demand(part[name], maybeText, `"${name}" of ${here}`);
        }
        return Math.max(1, String(part.str_rep || part.replacement || "_").length);
      case "FixedLength":
        demand(part.length, whole(1), `"length" of ${here}`);
        return 1;
      case "Prepend":
        demand(part.prepend, text, `"prepend" of ${here}`);
        return 1;
      case "Strip":
      case "CTC":
      case "BPEDecoder":
      case "WordPiece":
        for (const name of ["content", "pad_token", "word_delimiter_token", "suffix", "prefix"]) {
          demand(part[name], maybeText, `"${name}" of ${here}`);
        }
        return 2;
      case "TemplateProcessing":
        return this.#template(part.single, here);
      case "BertProcessing":
      case "RobertaProcessing":
        for (const name of ["sep", "cls"]) {
          demand(demandList(part[name], `"${name}" of ${here}`)[0], text, `"${name}" of ${here}`);
        }
        return 1;
      default:
        return 1;
    }
  }

  /** What stands around a text: how often the text itself does. */
  #template(single: unknown, where: string): number {
    let texts = 0;
    for (const entry of demandList(single, `"single" of ${where}`, mostPieces)) {
      const [name, value] = Object.entries(demandObject(entry, where))[0] ?? [];
      const piece = demandObject(value, `${name} in ${where}`);
      demand(piece.id, text, `the id of ${name} in ${where}`);
      if (name === "Sequence") texts++;
    }
    if (texts > mostTexts) {
      throw new FormatError(`${where} has the text in it ${texts} times, at most ${mostTexts}`);
    }
    return Math.max(1, texts);
  }
}

/** The least length of a match, and whether the pattern is a plain text. */
function patternLength(value: unknown, where: string): [length: number, isPlain: boolean] {
  const pattern = demandObject(value, `"pattern" of ${where}`);
  if (pattern.String !== undefined) {
    return [demand<string>(pattern.String, text, `the pattern of ${where}`).length, true];
  }
  demand(pattern.Regex, someText, `the pattern of ${where}`);
  return [0, false];
}

/** @throws {FormatError} for a tokenizer.json that is not to be believed; `file` is its value. */
export function checkTokenizer(file: JsonObject): void {
  checkModel(demandObject(file.model, '"model" of tokenizer.json'));
  const parts = new Parts();
  for (const name of ["normalizer", "pre_tokenizer", "decoder", "post_processor"]) {
    const growth = parts.growth(file[name], `"${name}" of tokenizer.json`);
    if (growth > mostGrowth) {
      throw new FormatError(
        `"${name}" of tokenizer.json makes a text up to ${
          Math.round(growth).toLocaleString("en")
        } times longer, ` +
          `more than ${mostGrowth.toLocaleString("en")}`,
      );
    }
  }
}

/** @throws {FormatError} when one of the regular expressions that a tokenizer holds might never end. */
export function checkExpressions(tokenizer: object): void {
  const seen = new Set<unknown>(), queue: unknown[] = [tokenizer];
  while (queue.length) {
    const value = queue.pop();
    if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) {
      continue;
    }
    seen.add(value);
    if (value instanceof RegExp) {
      demandEnding(value);
      continue;
    }
    // Vocabularies hold no expressions.
    if (value instanceof Map || value instanceof Set || (Array.isArray(value) && value.length > mostParts)) {
      continue;
    }
    for (const inner of Object.values(value)) queue.push(inner);
  }
}
