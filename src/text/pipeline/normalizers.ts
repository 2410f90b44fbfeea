/**
 * What a tokenizer.json does to a text before it is cut: the normalizers of the Rust library of Hugging Face.
 *
 * Each is a function from text to text. Letters are made small one by one, without regard to what stands beside them, and
 * white space is Unicode's, as there.
 *
 * @module
 */
import { FormatError } from "../../core/errors.ts";
import type { Steps } from "../../core/steps.ts";
import { byteSymbols } from "../bytes.ts";
import { type NormalForm, normalizedSteps } from "../canonical.ts";
import { CharsMap } from "../sentencepiece/normalizer.ts";
import { expressionIn, type Part, type PartList, partsOf, textIn } from "./parts.ts";

/** Writes a text anew, in steps. */
export type Normalize = (text: string) => Steps<string>;

/** What the engine does in one go, at a few units for each of some characters. */
function quick(write: (text: string) => string): Normalize {
  return function* (text) {
    yield text.length >> 2;
    return write(text);
  };
}

/** Clusters of characters that make a step. */
const stepClusters = 256;

const encoder = new TextEncoder();

/** Characters that BERT takes for Chinese. */
const chinese =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

/** The text with each letter small. */
export function lowercase(text: string): string {
  // A sigma at the end of a word has a form of its own to JavaScript.
  return text.includes("\u03a3") ? Array.from(text, (c) => c.toLowerCase()).join("") : text.toLowerCase();
}

/** What a Replace looks for: a text, or an expression. */
export function replacement(part: Part): (text: string) => string {
  const pattern = part.pattern as Part | undefined, content = textIn(part, "content");
  if (typeof pattern?.String === "string") {
    const { String: from } = pattern as { String: string };
    return from === "" ? (text) => text : (text) => text.replaceAll(from, () => content);
  }
  const expression = expressionIn(part);
  return (text) => text.replaceAll(expression, () => content);
}

function bert(part: Part): Normalize {
  const isClean = part.clean_text !== false, isChinese = part.handle_chinese_chars !== false;
  const isLower = part.lowercase !== false, isStripped = (part.strip_accents ?? isLower) === true;
  return function* (text) {
    let own = text;
    yield text.length >> 1;
    if (isClean) {
      own = own.replaceAll(/[\0\ufffd]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\p{Cs}]/gu, "").replaceAll(
        /\p{White_Space}/gu,
        " ",
      );
    }
    if (isChinese) own = own.replaceAll(chinese, " $& ");
    if (isStripped) own = (yield* normalizedSteps(own, "NFD")).replaceAll(/\p{Mn}/gu, "");
    return isLower ? lowercase(own) : own;
  };
}

/** Control characters go, and what is a space of some kind becomes one. */
function nmt(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replaceAll(/[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]/g, "")
    .replaceAll(/[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g, " ");
}

/** SentencePiece's table, which that library asks for clusters of characters, then for each of them. */
function precompiled(part: Part): Normalize {
  const encoded = textIn(part, "precompiled_charsmap");
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
  } catch (cause) {
    throw new FormatError('"precompiled_charsmap" of tokenizer.json is not base64', { cause });
  }
  if (bytes.length === 0) return quick((text) => text);
  const map = new CharsMap(bytes), clusters = new Intl.Segmenter("en", { granularity: "grapheme" });
  const known = new Map<string, string | null>();
  const find = (text: string): string | null => {
    let found = known.get(text);
    if (found === undefined) {
      found = map.first(encoder.encode(text));
      if (known.size > 10_000) known.clear();
      known.set(text, found);
    }
    return found;
  };
  return function* (text) {
    let out = "", count = 0;
    for (const { segment } of clusters.segment(text)) {
      if (++count % stepClusters === 0) yield 20 * stepClusters;
      const whole = encoder.encode(segment).length < 6 ? find(segment) : null;
      if (whole !== null) out += whole;
      else for (const character of segment) out += find(character) ?? character;
    }
    return out;
  };
}

function strip(part: Part): Normalize {
  const left = part.strip_left !== false, right = part.strip_right !== false;
  return quick((text) => {
    let own = text;
    if (left) own = own.replace(/^\p{White_Space}+/u, "");
    // Only from where white space begins: from inside of it each way to its end would be gone anew.
    return right ? own.replace(/(?<!\p{White_Space})\p{White_Space}+$/u, "") : own;
  });
}

const form = (name: NormalForm): Normalize => (text) => normalizedSteps(text, name);

const makers: Readonly<Record<string, (part: Part) => Normalize>> = {
  BertNormalizer: bert,
  ByteLevel: () => quick((text) => Array.from(encoder.encode(text), (byte) => byteSymbols[byte]).join("")),
  Lowercase: () => quick(lowercase),
  NFC: () => form("NFC"),
  NFD: () => form("NFD"),
  NFKC: () => form("NFKC"),
  NFKD: () => form("NFKD"),
  Nmt: () => quick(nmt),
  Precompiled: precompiled,
  Prepend: (part) => {
    const before = textIn(part, "prepend");
    return quick((text) => text === "" ? text : before + text);
  },
  Replace: (part) => quick(replacement(part)),
  Strip: strip,
  StripAccents: () => quick((text) => text.replaceAll(/\p{M}/gu, "")),
};

const list: PartList = { name: "normalizer", inner: "normalizers", known: makers };

/**
 * The normalizer that a file describes; null for none.
 * @throws {FormatError} for one that is not known.
 */
export function normalizerOf(value: unknown): Normalize | null {
  const steps = partsOf(value, list).map((part) => makers[part.type](part));
  if (steps.length === 0) return null;
  return function* (text) {
    let own = text;
    for (const step of steps) own = yield* step(own);
    return own;
  };
}
